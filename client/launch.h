/*
 * launch.h - a private broker as a process of its own. launch_posix.c, launch_win.c.
 *
 * It ends with this process, however that ends: Windows kills it with the job whose only handle is
 * ours and not inheritable; on Linux it watches a pidfd of ours, which also does not care about
 * forks. And it ends when we let it go: Windows closes the job; on Linux we shut down the life
 * line, a socket that the broker watches, which needs no right to signal it (a program that gave
 * its rights up has none).
 *
 * Starting and stopping may block: for the launch thread and for closing threads, never the I/O
 * thread (but client_launch_has_ended and client_launch_let_go, which do not).
 */
#ifndef SLUICE_CLIENT_LAUNCH_H
#define SLUICE_CLIENT_LAUNCH_H

#include "base/atomic.h"
#include "base/text.h"
#include "client/place.h"

#define CLIENT_PATH_BYTES 2048u

/* What it is started with. */
typedef struct client_launch_options {
    char path[CLIENT_PATH_BYTES]; /* of sluiced */
    /* Where its standard error goes: a file to append to; "" = `log`. */
    char log_path[CLIENT_PATH_BYTES];
    uint64_t log;       /* a descriptor or HANDLE, or CLIENT_LOG_NOWHERE */
    uint32_t log_level; /* SLUICE_LOG_* */
} client_launch_options;

#define CLIENT_LOG_NOWHERE UINT64_MAX

typedef struct client_launch {
    uint64_t process_id; /* 0 = there is none */
    uint64_t os_process; /* pidfd, process handle */
    uint64_t os_life;    /* our end of the life line, the job */
    client_place place;
    /* What the start is at, for another thread to tell: client_launch_step, CLIENT_LAUNCH_NOWHERE.
     * What that is about does not change any more. */
    sl_atomic_u32 at;
    /* Linux: the pidfd while exec has not come back; UINT32_MAX = there is none. */
    sl_atomic_u32 os_starting;
} client_launch;

#define CLIENT_LAUNCH_NOWHERE UINT32_MAX

/* There is none. */
void client_launch_init(client_launch *launch);

/* Where sluiced is, by absolute path; the first that is there and can be trusted (docs/design.md,
 * "Where a private broker is looked for"). SLUICE_OK; ENOTFOUND. Appends for people to `tried`
 * where it has looked: "/usr/lib/{sluiced,../bin/sluiced}, /opt/x/sluiced"; and to `passed_over`
 * what it has found and not taken, and why: "others can write to /opt/x/sluiced". */
int client_launch_find(char *ret_path, size_t size, sl_text *tried, sl_text *passed_over);

/* Is that an absolute path? */
bool client_launch_is_absolute(const char *path);

/* The program's standard error, if it is open and can be written to, else CLIENT_LOG_NOWHERE. The
 * first call of a process decides whether it is open: later the number may be something else's,
 * ours for example. */
uint64_t client_launch_standard_error(void);

/* Can a program's descriptor or HANDLE be a log? Does not wait. SLUICE_OK; EINVAL, with what is
 * wrong with it, static. */
int client_launch_log_check(uint64_t log, const char **ret_wrong);

/* A copy of one that can; of CLIENT_LOG_NOWHERE that. SLUICE_OK, EOSLIMIT. */
int client_launch_log_copy(uint64_t log, uint64_t *ret_log);
void client_launch_log_close(uint64_t log);

/* What a start can fail at. */
typedef enum client_launch_step {
    CLIENT_LAUNCH_PROGRAM,
    CLIENT_LAUNCH_INTERPRETER, /* the file is there, what it names to run it is not */
    CLIENT_LAUNCH_FOLDER,      /* the file is a folder */
    CLIENT_LAUNCH_NULL_DEVICE,
    CLIENT_LAUNCH_LOG,
    CLIENT_LAUNCH_LOG_UNREAD, /* Linux: a FIFO that nobody reads */
} client_launch_step;

/* Starts one that listens at launch->place, which is made. SLUICE_OK; ENOTFOUND: no program there,
 * or no folder for the log; EACCESS, ENAMETOOLONG, ENOMEM, EOSLIMIT, EOS. *ret_step: of what. */
int client_launch_start(client_launch *launch, const client_launch_options *options,
                        client_launch_step *ret_step, uint32_t *ret_os_error);

/* What the system means by that. */
void client_launch_words(uint32_t os_error, char *ret_words, size_t size);

/* Any thread, while client_launch_start is under way on another, and until the launch is stopped:
 * gets it out of an exec that does not come back, if the system lets it. */
void client_launch_interrupt(client_launch *launch);

bool client_launch_has_ended(const client_launch *launch);

/* It is to end. Does not wait. */
void client_launch_let_go(client_launch *launch);

/* Lets it go, waits until polite_ns for its end, then kills it and waits until deadline_ns (times
 * of the system clock). true: it has ended. false: the system has not let it go yet, or we must not
 * kill it. Harmless without one. */
bool client_launch_end(client_launch *launch, uint64_t polite_ns, uint64_t deadline_ns);

/* How it has ended, and who knows why: ", with exit code 1; its log says why, if it is a sluiced:
 * ". The code only where the system tells it. */
void client_launch_exit_words(const client_launch *launch, char *ret_words, size_t size);

/* Gives back what we hold of it, and leaves it to itself: it has been let go. */
void client_launch_leave(client_launch *launch);

/* This process's number, and its name for people. */
uint64_t client_launch_own_id(void);
void client_launch_own_name(char *ret_name, size_t size);

#endif
