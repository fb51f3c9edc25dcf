/*
 * hang.h - hangtest: the workload of Go's TestPipeIOCloseRace (golang/go#64482), over and over.
 *
 * A *worker* has three threads that live as long as the test, its *lanes*: the closer makes a pipe,
 * wakes the two others, waits a moment and closes both ends while they are busy; the writer writes
 * "hi" until its end is closed; the reader reads 2 bytes until then. (Scenario mixed: the reader
 * issues an overlapped receive on a socket and then blocks in the read of the pipe; the closer
 * cancels the receive from its own thread; there is no writer.)
 *
 * Each call is *watched*: a lane notes when it goes in (hang_begin) and when it comes out
 * (hang_end). The main thread does nothing but look at the lanes, so that a call that never returns
 * is reported with its age instead of hanging the tool.
 *
 * How the I/O is done stands behind hang_io: through the broker (hang_broker.c), or inside this
 * process as the original did (direct_win.c: the disease; direct_posix.c).
 */
#ifndef SLUICE_CLI_HANG_H
#define SLUICE_CLI_HANG_H

#include "base/atomic.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/thread.h"

#define HANG_WORKERS_MAX 256u
#define HANG_CALLS       32u /* completions told apart: see hang_lane.calls */

/* X(name, word) */
#define HANG_KIND_TABLE(X) \
    X(PAIR, "pipe") \
    X(WRITE, "write") \
    X(READ, "read") \
    X(CLOSE, "close") \
    X(RECEIVE, "receive") \
    X(CANCEL, "cancel")

typedef enum hang_kind {
#define X(name, word) HANG_##name,
    HANG_KIND_TABLE(X)
#undef X
        HANG_KINDS
} hang_kind;

/* One asynchronous call: armed when it starts, disarmed by its callback. */
typedef struct hang_call {
    struct hang_lane *lane;
    sl_atomic_bool armed;
    sl_atomic_u64 done; /* of the result; with `status` written before the lane's event is set */
    sl_atomic_u64 in_doubt;
    int status;
} hang_call;

typedef struct hang_lane {
    struct hang_worker *worker;
    const char *role;
    sl_thread thread;
    sl_event go;
    sl_event completed; /* an asynchronous call of this lane has ended */
    /* The watch. */
    sl_atomic_u64 since_ns; /* when the call at work went in; 0 = none */
    sl_atomic_u32 kind;
    uint64_t told_ns; /* the watchdog's: the age at which it last told of this call */
    /* What happened. Written by the lane, read by the main thread also while it runs. */
    sl_atomic_u64 outcomes[HANG_KINDS][SLUICE_STATUS_COUNT];
    sl_atomic_u64 unexpected; /* outcomes that this workload cannot explain */
    sl_atomic_u64 lost;       /* ... that the loss of the broker explains */
    sl_atomic_u64 over_1s, over_30s;
    sl_atomic_u64 slowest_ns;
    sl_atomic_u32 slowest_kind;
    sl_atomic_u64 bytes, bytes_in_doubt;
    sl_atomic_u64 started, completions, doubled; /* asynchronous calls */
    hang_call calls[HANG_CALLS]; /* used in turn: a late second callback finds its call disarmed */
    unsigned next_call;
} hang_lane;

typedef struct hang_ends {
    uint64_t reader, writer;
} hang_ends;

typedef struct hang_worker {
    struct hang_test *test;
    unsigned index;
    void *io_state; /* hang_io's */
    hang_lane closer, writer, reader;
    hang_ends ends;
    bool asynchronous;      /* in this iteration */
    sl_event writer_parked; /* the lane has seen the end of its pipe end */
    sl_event reader_parked;
    sl_event receive_issued; /* mixed */
    sl_event pause;          /* never set: waiting for it is the workload's millisecond */
    sl_atomic_u64 iterations;
    sl_atomic_u64 corrupt; /* bytes that arrived and were not those written */
    bool quit;             /* for the lanes, told with their `go` */
} hang_worker;

/* How the I/O is done. Functions return a status; ends are hang_io's own numbers. */
typedef struct hang_io {
    const char *name;
    bool has_asynchronous;
    int (*open_worker)(struct hang_test *test, hang_worker *worker);
    void (*close_worker)(hang_worker *worker);
    int (*pair)(hang_lane *lane, hang_ends *ret_ends);
    /* *ret_done also on failure. With `worker->asynchronous`: start, wait for the callback. */
    int (*read)(hang_lane *lane, uint64_t end, void *buffer, uint32_t bytes, uint64_t *ret_done);
    int (*write)(hang_lane *lane, uint64_t end, const void *data, uint32_t bytes,
                 uint64_t *ret_done);
    int (*close)(hang_lane *lane, uint64_t end);
    /* Both ends are closed and no lane uses them any more. */
    void (*forget)(hang_worker *worker);
    /* Scenario mixed; NULL = not here. The socket is made by open_worker. */
    int (*receive_start)(hang_lane *reader);  /* asynchronous, on the socket */
    int (*receive_cancel)(hang_lane *closer); /* returns when it was asked to end */
    int (*receive_wait)(hang_lane *closer);   /* the receive's own outcome */
    int (*socket_check)(hang_worker *worker); /* does the socket still carry bytes? */
} hang_io;

extern const hang_io hang_io_broker; /* hang_broker.c */
extern const hang_io hang_io_direct; /* direct*.c */

typedef struct hang_options {
    uint64_t workers;
    uint64_t iterations;
    const char *via;
    const char *scenario;
    const char *calls;    /* sync, async, both */
    const char *delivery; /* thread, inline */
    const char *endpoint;
    const char *broker_user;
    const char *broker_path;
    bool is_private;
    bool json;
    uint64_t patience_ns;
} hang_options;

/* What the broker holds, before and after. */
typedef struct hang_books {
    bool known;
    uint64_t handles, operations, zombies, memory_bytes, sessions;
    uint64_t started, finished, cancels, violations;
} hang_books;

typedef struct hang_test {
    hang_options options;
    const hang_io *io;
    bool is_mixed;
    hang_worker *workers;
    unsigned worker_count;
    sl_atomic_u32 running; /* closers at work */
    sl_event finished;     /* running has become 0 */
    sl_atomic_bool stop;   /* end after the present iteration */
    sl_atomic_bool is_lost; /* the broker */
    bool is_interrupted;    /* before the end */
    sl_atomic_u32 failed;  /* workers that gave up: their pipes could not be made */
    int failed_status;     /* of the first */
    uint64_t begin_ns, end_ns;
    unsigned stuck_count;               /* lanes still inside a call at the end */
    hang_books at_start, before, after; /* before: after a short run that warms the broker up */
    /* hang_broker.c */
    void *control;      /* the session that looks at the broker's books */
    char endpoint[768]; /* where the workers connect */
} hang_test;

/* ---- lanes (hang_lane.c) ---- */

void hang_begin(hang_lane *lane, hang_kind kind);
/* Counts the outcome and returns it. */
int hang_end(hang_lane *lane, hang_kind kind, int status);

void hang_run_closer(void *lane);
void hang_run_writer(void *lane);
void hang_run_reader(void *lane);

/* ---- the whole (hang_run.c) ---- */

/* Makes workers and lanes, runs, watches. SLUICE_OK: it ran (what it found is in the lanes); else
 * why it could not start, said on standard error. With stuck_count > 0 threads are still inside
 * calls: the process must end without joining them (os_leave). */
int hang_run(hang_test *test);
void hang_deinit(hang_test *test);

/* ---- the broker's side (hang_broker.c) ---- */

int hang_broker_open(hang_test *test);
void hang_broker_close(hang_test *test);
/* Waits up to 10 s until the broker holds no more than at the start, and reads the books. */
void hang_broker_settle(hang_test *test, hang_books *ret_books);

/* ---- the report (hang_report.c) ---- */

/* Prints. The tool's exit code: CLI_EXIT_OK; _FOUND: something that must not be; _NOBROKER: the
 * broker was lost, _INTERRUPTED: we were, and until then there was nothing wrong. */
int hang_report(const hang_test *test);

#endif
