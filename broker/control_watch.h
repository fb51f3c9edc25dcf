/*
 * control_watch.h - notices the end of the process that a private broker serves, killed or not.
 *
 * Part of the control loop: used on its thread only. control_watch_posix.c: a pidfd in the loop.
 * control_watch_win.c: a wait of the system's thread pool, which wakes the loop.
 */
#ifndef SLUICE_BROKER_CONTROL_WATCH_H
#define SLUICE_BROKER_CONTROL_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct control_watch {
    void (*on_gone)(void *user);
    void *user;
    bool is_open;
    union {
        uv_poll_t poll;   /* posix */
        uv_async_t async; /* win */
    } uv;
    int fd;           /* posix */
    void *os_process; /* win */
    void *os_wait;    /* win */
} control_watch;

/* `who` is a process id or, inherited, "fd:N", "fd:N:ID" (its id) or "handle:N". A pidfd is
 * readable when the process has ended; a life line, a socket, when its other end is shut down,
 * which a process can do that has no right to signal us. on_gone is called once, by the loop.
 * SLUICE_OK; ENOTFOUND: the process is gone already; EINVAL: no such notation here; EACCESS,
 * ENOMEM, EOSLIMIT, EOS. */
int control_watch_open(control_watch *watch, uv_loop_t *loop, const char *who,
                       void (*on_gone)(void *user), void *user);

/* We listen: says so to the other end of a life line, one byte, if that can be done at once (Linux;
 * on Windows there is nobody to tell). */
void control_watch_tell(const control_watch *watch);

/* The loop has to run once more for the last of it. */
void control_watch_close(control_watch *watch);

/* Has whoever started this process made it ignore that signal (nohup)? As long as we have not asked
 * for it ourselves. */
bool control_watch_ignores(int signal);

/* What a failed call of libuv comes to: SLUICE_OK (0), EOSLIMIT, ENOMEM, EOS. */
int control_watch_status(int uv_error);

/* The process id that `who` names; 0: none. */
uint64_t control_watch_process(const char *who);

/* A decimal number that goes from the beginning of the text to the first `end` ('\0': all of it);
 * 0 = it is none. */
uint64_t control_watch_number(const char *text, char end);

#endif
