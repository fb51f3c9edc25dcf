/*
 * cases_win.h - what the right and the wrong programs of the run-time audit's self-test share.
 *
 * A case is a function that runs on the main thread, which does no I/O but printing; it starts the
 * threads it needs. `expected` is the one kind of violation that it must be caught for, NULL for
 * none.
 */
#ifndef SLUICE_TESTS_AUDIT_CASES_WIN_H
#define SLUICE_TESTS_AUDIT_CASES_WIN_H

#include <stdbool.h>

#include <winsock2.h>

#include <windows.h>

typedef struct audit_case {
    const char *name;
    void (*run)(void);
    const char *expected;
} audit_case;

extern const audit_case right_cases[];      /* right_win.c; ends with a NULL name */
extern const audit_case pipe_cases[];       /* wrong_pipe_win.c */
extern const audit_case request_cases[];    /* wrong_request_win.c */
extern const audit_case discipline_cases[]; /* wrong_thread_win.c */

/* Ends the program with a code of its own: the case itself did not work. */
void must(bool condition, const char *what);

/* Runs a function on a thread of its own, to its end. */
typedef void (*thread_fn)(void *context);
void on_thread(thread_fn run, void *context);
/* Starts it; thread_join waits for its end. */
HANDLE thread_begin(thread_fn run, void *context);
void thread_join(HANDLE thread);

/* A pipe as the rules want it: both ends overlapped, the client opened on a thread of its own (an
 * opener), both associated with `port` by the calling thread, which owns them from now on. */
typedef struct pipe_ends {
    HANDLE server;
    HANDLE client;
} pipe_ends;
void pipe_open(HANDLE port, pipe_ends *ret_ends);
void pipe_close(const pipe_ends *ends);

/* The server's end alone, not associated; mode and security as given. */
HANDLE pipe_create(DWORD pipe_mode, bool has_security);
/* Opens the last pipe created; on the calling thread. */
HANDLE pipe_connect(DWORD flags);

HANDLE port_create(void);
/* Waits for one packet; its OVERLAPPED. */
OVERLAPPED *port_wait(HANDLE port);

/* Starts an overlapped read of one byte that will pend. */
void read_begin(HANDLE pipe, OVERLAPPED *overlapped);

#endif
