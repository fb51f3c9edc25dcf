/*
 * harness.h - what the conformance tests run on: one test at a time, on a thread of its own.
 *
 * The main thread runs cmocka and prints; it never touches the engine. A test's body runs on a
 * fresh thread (a thread that does overlapped I/O must never write synchronously, DESIGN I2), and
 * so do the threads it starts. A failed EXPECT records where and what, and parks its thread for
 * ever: its stack and its requests stay valid, and nothing jumps over frames. The main thread
 * prints the record and goes on. A body that does not end within T_WATCHDOG_NS is reported with
 * what was pending, and the process ends.
 *
 * Any thread of a test: EXPECT*, t_note, t_phase, t_fail. The body's thread only: t_skip.
 */
#ifndef SLUICE_TESTS_ENGINE_HARNESS_H
#define SLUICE_TESTS_ENGINE_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/thread.h"
#include "engine/engine.h"

#define T_WATCHDOG_NS \
    (UINT64_C(240) * SL_NS_PER_S) /* for one test; full-size runs get ten times that */
#define T_AWAIT_NS    (UINT64_C(60) * SL_NS_PER_S)  /* for one completion that must come */
#define T_QUIET_NS    (UINT64_C(20) * SL_NS_PER_MS) /* how long "nothing comes" is watched */
#define T_NOTES_BYTES 8192

#if defined(__MINGW_PRINTF_FORMAT) /* stdio.h: the compiler's idea of its own printf */
#define T_PRINTF(text, first) __attribute__((format(__MINGW_PRINTF_FORMAT, text, first)))
#elif defined(__GNUC__)
#define T_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define T_PRINTF(text, first)
#endif

/* ---- tests ----------------------------------------------------------------------------------- */

enum {
    T_SMOKE = 1,    /* fast, and part of the smoke run */
    T_THREADED = 2, /* needs workers on several threads: skipped by name in the simulator */
    T_CHILD = 4,    /* a death scene: run only in a child process, by t_run_child */
    T_LEAKS = 8     /* leaves things behind on purpose: no handle count afterwards */
};

typedef struct t_case {
    const char *name;
    unsigned flags;
    void (*run)(void);
} t_case;

typedef struct t_suite {
    const char *name; /* the group */
    const t_case *cases;
    unsigned count;
} t_suite;

extern const t_suite suite_streams;
extern const t_suite suite_eof;
extern const t_suite suite_cancel;
extern const t_suite suite_close;
extern const t_suite suite_race;
extern const t_suite suite_accept;
extern const t_suite suite_socket;
extern const t_suite suite_errors;
extern const t_suite suite_identity;
extern const t_suite suite_limits;
extern const t_suite suite_messages;
extern const t_suite suite_openers;
extern const t_suite suite_many;
extern const t_suite suite_memory;
extern const t_suite suite_child;
extern const t_suite suite_listen;
extern const t_suite suite_inside;
extern const t_suite suite_port; /* in the program that is not audited */
extern const t_suite suite_names;

/* ---- the run --------------------------------------------------------------------------------- */

const engine_backend *t_backend(void);
bool t_is_sim(void);
bool t_is_backend(const char *name);
uint64_t t_seed(void);

/* How often, by scale. */
typedef enum t_count {
    T_COUNT_RACES,         /* requests that met a cancel or a close, per kind of stream */
    T_COUNT_ACCEPT_CLOSE,  /* pending accepts ended by closing their listener */
    T_COUNT_ACCEPT_CANCEL, /* accepts cancelled while clients connect */
    T_COUNT_CLOSE_ROUNDS,  /* close with every kind pending */
    T_COUNT_CANCEL_ROUNDS, /* cancelled writes and the like */
    T_COUNT_BULK_BYTES,    /* bytes through one stream */
    T_COUNT_MESSAGES,      /* per poster */
    T_COUNT_STEADY,        /* requests of each kind in the steady state */
    T_COUNT_SPREAD,        /* connections over the workers of an endpoint */
    T_COUNT_FAIL_AT,       /* allocation failpoints tried at most */
    T_COUNT_LAST
} t_count;

unsigned t_scale(t_count what);

/* ---- what a test says ------------------------------------------------------------------------ */

/* A line the main thread prints after the test. */
void t_note(const char *format, ...) T_PRINTF(1, 2);
/* What the test is doing, for a report of a failure or a hang. Static string. */
void t_phase(const char *phase);
/* Records why the test cannot run here; the body returns right after (use T_SKIP). */
void t_skip(const char *reason);
/* Records a failure and parks the calling thread. */
SL_NORETURN void t_fail(const char *file, int line, const char *format, ...) T_PRINTF(3, 4);
/* The last counters of a worker, for a report of a hang. */
void t_publish(const engine_counters *counters);

#define T_SKIP(reason) \
    do { \
        t_skip(reason); \
        return; \
    } while (0)

#define EXPECT(condition) \
    ((condition) ? (void)0 : t_fail(__FILE__, __LINE__, "expected: %s", #condition))

#define EXPECT_STATUS(actual, expected) \
    t_expect_status(__FILE__, __LINE__, #actual, (actual), (expected))

#define EXPECT_INT(actual, expected) \
    t_expect_int(__FILE__, __LINE__, #actual, (int64_t)(actual), (int64_t)(expected))

void t_expect_status(const char *file, int line, const char *what, int actual, int expected);
void t_expect_int(const char *file, int line, const char *what, int64_t actual, int64_t expected);

/* A further thread of a test. The structure must live until t_thread_join has returned. */
typedef struct t_thread {
    sl_thread thread;
    sl_thread_fn run;
    void *context;
    unsigned test;
} t_thread;
void t_thread_start(t_thread *thread, sl_thread_fn run, void *context);
void t_thread_join(t_thread *thread);

/* ---- memory ---------------------------------------------------------------------------------- */

/* The allocator of the running test: counts, checks sizes, and fails on demand. Any thread. */
sl_allocator *t_allocator(void);
uint64_t t_allocations(void);                           /* successful ones so far */
void t_allocator_fail(uint64_t nth, bool from_then_on); /* 0 = never; counted from this call */
uint64_t t_allocator_failed(void);                      /* failures since then */
int64_t t_allocator_live_bytes(void);

/* ---- per operating system: harness_posix.c, harness_win.c ------------------------------------ */

void os_start(void); /* main thread, before everything; remembers signal handlers, raises limits */
void os_stop(void);
void os_before_test(void); /* puts crash handlers back that cmocka took */
void os_after_test(void);  /* undoes os_lower_handle_limit */
SL_NORETURN void os_exit_now(int code);
unsigned os_process_id(void);

/* "linux", "windows", "wine" */
const char *os_name(void);
bool os_is_wine(void);

/* A pipe name that nobody uses, of `extra` more bytes. */
void os_pipe_name(char ret_name[ENGINE_PIPE_NAME_BYTES], unsigned number, unsigned extra);
/* A name in a directory that does not exist, or "" where there is no such thing. */
void os_pipe_name_nowhere(char ret_name[ENGINE_PIPE_NAME_BYTES]);
/* A name where this user may not create one, or "" where that cannot be had (e.g. as root). */
void os_pipe_name_forbidden(char ret_name[ENGINE_PIPE_NAME_BYTES]);
/* Writes a pipe's name so that it would look like an endpoint's: the `which`th way of these. */
#define OS_FORGED_NAMES 4u
void os_forge_mark(char name[ENGINE_PIPE_NAME_BYTES], unsigned which);
/* Leaves a listener's name behind as a process that died would; false where a name dies with it. */
bool os_leave_stale_pipe(const char *name);
/* Puts a file of somebody else's where the name's lock would be; false where there is no such. */
bool os_put_lock(const char *name, const char *text);
/* Is it there, as it was? Removes it. */
bool os_take_lock(const char *name, const char *text);
/* Another program's server: it has bound that name and does not listen yet; false where there is no
 * such state. */
bool os_bind_foreign(const char *name, intptr_t *ret_server);
/* Its socket file gets another name, over what is there. */
bool os_move_foreign(const char *from, const char *to);
bool os_listen_foreign(intptr_t server);
/* Ends it (-1: it has ended). Is its socket file still there? Removes that too. */
bool os_close_foreign(const char *name, intptr_t server, bool removes);

unsigned os_open_handles(void); /* descriptors or handles of this process */
/* At most `more` further descriptors from now on; false where there is no such limit. */
bool os_lower_handle_limit(unsigned more);
/* How many descriptors the process may have, UINT_MAX = no limit known. */
unsigned os_handle_limit(void);

/* A TCP client of plain blocking calls: connects, sends `send_bytes`, waits for the event, and
 * closes with a reset. It runs on a thread of its own: call it as a thread's body. */
typedef struct os_reset_client {
    uint16_t port;
    unsigned send_bytes;
    bool ok;
    sl_event *go;
} os_reset_client;
void os_run_reset_client(void *reset_client);

/* Runs this program again with the arguments and waits for it (for at most `limit_ns`).
 * Its output goes nowhere. */
typedef enum os_end { OS_END_EXITED, OS_END_ABORTED, OS_END_CRASHED, OS_END_HUNG } os_end;
bool os_run_child(const char *const *arguments, uint64_t limit_ns, os_end *ret_end, int *ret_code);

/* ---- harness.c, for main.c ------------------------------------------------------------------- */

#define T_EXIT_SURVIVED 77 /* a death scene that nobody died in */

typedef struct t_options {
    const char *program;
    const engine_backend *backend;
    uint64_t seed;
    unsigned scale;   /* index into the table */
    const char *test; /* NULL, a group or a test's name */
    const char *child;
    bool is_sim;
} t_options;

extern const char *const t_scale_names[]; /* ends with NULL */
const t_options *t_options_get(void);
void t_harness_init(const t_options *options);
/* Main thread, inside a cmocka test: runs the case, prints, and fails or skips. */
void t_run_case(const t_case *test_case);
/* Runs something unreported first, so that what the system makes once and keeps is there before
 * handles are counted. */
void t_warm_up(void (*run)(void));
/* Runs a death scene on a thread, as the only thing this process does. */
int t_run_scene(const t_case *scene);
void t_print_scale(void);

#endif
