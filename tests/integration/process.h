/*
 * process.h - other processes: started, listened to, stopped, continued, ended. process.c,
 * process_posix.c, process_win.c.
 *
 * A child's standard output and error come through one pipe, which a thread of ours reads; its
 * standard input is a pipe whose other end we hold, and close when the child is to go on. Whatever
 * ends this process in order, or by EXPECT, ends the children first; on Linux they also die with
 * it. One thread, the main one, uses these functions (process_kill_all excepted).
 */
#ifndef SLUICE_TESTS_INTEGRATION_PROCESS_H
#define SLUICE_TESTS_INTEGRATION_PROCESS_H

#include "base/clock.h"
#include "base/thread.h"

/* Ends the children, says where and why, and ends this process with 1. */
#define EXPECT(condition) \
    ((condition) ? (void)0 : process_give_up(__FILE__, __LINE__, #condition))

#define PROCESS_TEXT_BYTES (1u << 20)
#define PROCESS_WORDS_MAX  40u
/* For what takes no time at all, on a machine that is busy with other things. */
#define PROCESS_PATIENCE_NS (30 * SL_NS_PER_S)

typedef struct process {
    uint64_t os_process; /* pidfd, process handle; 0 = none */
    uint64_t id;
    uint64_t os_input;  /* we write */
    uint64_t os_output; /* we read */
    bool has_input;
    bool has_ended;
    int exit_code; /* when it has ended; a signal's number + 128 */
    sl_thread reader;
    sl_mutex lock;
    sl_cond grown;
    char *text; /* all that it has said, NUL-terminated */
    size_t length;
    size_t mark; /* how far process_until has got */
    bool is_silent; /* the pipe has ended */
} process;

/* words[0] is the program's absolute path; ends with NULL. */
void process_start(process *p, const char *const *words);

/* Waits until it has said a whole line with this text, behind the one that was found last; returns
 * what follows the text there. Fails the test if the line does not come in time. */
const char *process_until(process *p, const char *text);
/* The same line, if it has been said already, from the beginning; else NULL. Of one that has ended
 * (process_wait) all that it said: its last lines may be read after its end. */
const char *process_has_said(process *p, const char *text);

/* Takes the next whole line that it has said, without its end: what was taken is not kept, so that
 * a child may talk for hours. false: there is none now. Not together with process_until. */
bool process_next_line(process *p, char *ret_line, size_t size);

/* Writes to its standard input; one that has ended does not mind. */
void process_tell(process *p, const char *text);
/* Ends its standard input. */
void process_continue_input(process *p);

/* Waits for its end. true: exit_code is set. */
bool process_wait(process *p, uint64_t timeout_ns);
/* Kills it if it has not ended, and gives everything back. What it said is kept until here. */
void process_deinit(process *p);

/* ---- process_posix.c, process_win.c ---- */

void process_kill(process *p);
void process_suspend(process *p); /* one that has ended does not mind */
void process_resume(process *p);
/* SIGTERM, or Ctrl-Break. false: there is no way to do that here (Wine without a terminal). */
bool process_interrupt(process *p);

/* Is Windows an imitation here? One server process then does the kernel's work for all. */
bool process_is_wine(void);

/* Another process by its number, also one that is not our child. 0 = there is none. */
uint64_t process_open(uint64_t id);
/* Waits for its end and forgets it. */
bool process_is_gone(uint64_t opened, uint64_t timeout_ns);

/* Descriptors or handles that a process has open, and what it has in memory (its working set);
 * 0 = the system does not say. */
uint64_t process_open_count_of(uint64_t id);
uint64_t process_memory_bytes(uint64_t id);
uint64_t process_open_count(void); /* of ours */
uint64_t process_own_id(void);
/* What processes that are started from now on find in their environment; NULL: nothing. */
void process_set_environment(const char *name, const char *value);
/* A shell whose `ulimit -n` limits what it becomes; "" = no such thing here. */
const char *process_shell(void);
/* This program's absolute path. */
void process_own_path(char *ret_path, size_t size);
/* A name for an endpoint that nobody else has; `number` tells several apart. */
void process_endpoint(char *ret_name, size_t size, unsigned number);

/* A connection to an endpoint without the library. Fails the test if there is none. */
uint64_t process_raw_open(const char *endpoint);
/* The same to a pipe of a client's: such a name is another kind of name than an endpoint's. */
uint64_t process_raw_open_pipe(const char *name);
/* false: the other side has closed. */
bool process_raw_send(uint64_t raw, const void *bytes, size_t length);
/* Up to `size` bytes; 0 = the other side has closed. */
size_t process_raw_receive(uint64_t raw, void *bytes, size_t size);
void process_raw_close(uint64_t raw);

/* ---- between the parts ---- */

_Noreturn void process_give_up(const char *file, int line, const char *what);
/* Any thread: for a watchdog. */
void process_kill_all(void);
void process_os_start(process *p, const char *const *words);
/* Up to `size` bytes of the output, 0 at its end. On the reader's thread. */
size_t process_os_read(process *p, char *bytes, size_t size);
/* Waits; true: exit_code is set. */
bool process_os_wait(process *p, uint64_t timeout_ns);
void process_os_write(process *p, const char *text, size_t length);
void process_os_close_input(process *p);
void process_os_close(process *p);
/* Any thread: kills without looking at anything but os_process. */
void process_os_kill(uint64_t os_process);

#endif
