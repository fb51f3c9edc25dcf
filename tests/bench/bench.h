/*
 * bench.h - what is measured, and the one interface behind which the raw loop and the engine stand.
 *
 * A *unit* is one ping-pong (64 bytes there and back), one 64 KiB block, or one cancel with its
 * completion and the read submitted again. Both subjects do the same number of units in turn, on
 * the same thread, in slices of a few milliseconds, so that whatever disturbs the machine disturbs
 * both.
 *
 * TOPOLOGIES
 *  one-cpu  both ends of every connection belong to the measured subject and run in its one loop on
 *           one processor. Nothing ever sleeps, so no scheduler and no hypervisor wake-up is in the
 *           figure: what remains is system calls and the loop's own work, twice. This is the most
 *           repeatable of the two and the strictest, because nothing dilutes the engine's share.
 *  two-cpu  the far ends are an echo thread (peer.h) on another processor, the same raw code for
 *           both subjects. Closer to use, but on virtual processors mostly a measure of wake-ups.
 *
 * Thread: subjects are opened, run and closed on one measuring thread, which never prints (on
 * Windows no thread may do overlapped I/O and print); the main thread prints.
 */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/engine.h"
#include "histogram.h"

#define BENCH_MESSAGE_BYTES 64u
#define BENCH_RECEIVE_BYTES 4096u /* room of a ping-pong's read: a short read says "drained" */
#define BENCH_BLOCK_BYTES   65536u
#define BENCH_BULK_WRITES   4u /* blocks that the writer keeps outstanding */
#define BENCH_FLIGHT_COUNT  64u
#define BENCH_SAMPLE_EVERY  8u   /* one latency in so many is timed: reading the clock costs, too */
#define BENCH_EVENTS        128u /* room for events or completions per wait, both subjects */
#define BENCH_ROUNDS_MAX    101u
#define BENCH_CASES_MAX     16u

typedef enum bench_kind { BENCH_PINGPONG, BENCH_BULK, BENCH_CANCEL } bench_kind;

typedef struct bench_case {
    const char *name;
    const char *what;
    bench_kind kind;
    unsigned connections; /* CANCEL: handles with a pending read, the victim included */
    double aim;           /* highest ratio engine / raw; 0 = none is set */
} bench_case;

typedef struct bench_setup {
    const bench_case *what;
    const engine_backend *backend;
    bool two_cpu;
    bool raw_cancel_turn;  /* the raw cancel includes one turn of its loop; see raw_epoll_posix.c */
    const char *peer_name; /* two_cpu: where peer_start listens */
    const char *own_name;  /* a pipe name for the subject's own use */
} bench_setup;

typedef struct bench_subject {
    const char *name;
    /* Makes the connections. SLUICE_OK or why not. */
    int (*open)(const bench_setup *setup, void **ret_self);
    /* Does so many units and leaves nothing in flight. */
    void (*run)(void *self, uint64_t units, histogram *latency);
    void (*close)(void *self);
} bench_subject;

#define BENCH_SUBJECT_COUNT 2u
extern const bench_subject bench_raw;    /* raw_epoll_posix.c, raw_iocp_win.c */
extern const bench_subject bench_engine; /* subject_engine.c */

/*
 * `count` buffers of `size` bytes (a multiple of 64), written to once, the first at the beginning
 * of a page, each next one 64 bytes further into its own, so that they do not share cache sets.
 * Both subjects get theirs here: on Zen 3 a 64 KiB receive into a buffer that begins 16 bytes into
 * a page, as malloc hands out large ones, takes 19 us instead of 11, and the ratio would measure
 * the allocator.
 */
typedef struct bench_buffers {
    void *base; /* to free */
    unsigned char *first;
    size_t stride;
} bench_buffers;

void bench_buffers_init(bench_buffers *self, size_t count, size_t size);
void bench_buffers_deinit(bench_buffers *self);

static inline unsigned char *bench_buffer(const bench_buffers *self, size_t index) {
    return self->first + index * self->stride;
}

/* The victim of the next cancel: both subjects draw the same sequence. */
static inline unsigned bench_draw(uint64_t *state, unsigned bound) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(((*state >> 33) * bound) >> 31);
}

/* ---- one case, measured (measure.c) ---------------------------------------------------------- */

typedef struct bench_side {
    bool measured;
    double wall_ns[BENCH_ROUNDS_MAX]; /* per unit */
    double cpu_ns[BENCH_ROUNDS_MAX];  /* per unit, of the measuring thread; 0 = not known here */
    double calls_per_unit;            /* OS calls, when they are counted */
    histogram latency;
} bench_side;

typedef struct bench_result {
    const bench_case *what;
    const char *skipped; /* why it was not measured, or NULL */
    int status;          /* when skipped because a subject could not open */
    unsigned rounds;
    uint64_t units_per_round;
    bench_side sides[BENCH_SUBJECT_COUNT]; /* raw, engine */
} bench_result;

typedef struct bench_options {
    const engine_backend *backend;
    const char *case_name; /* or "all" */
    unsigned rounds;
    double seconds;      /* per round and subject */
    uint64_t iterations; /* units per round and subject; 0 = by seconds */
    unsigned cpus[2];    /* measured, peer */
    bool two_cpu;
    bool raw_cancel_turn;
    bool run_raw;
    bool run_engine;
    const char *json_path;
} bench_options;

/* Written by the measuring thread, read by the main thread's progress line. */
typedef struct bench_progress {
    sl_atomic_u32 case_index;
    sl_atomic_u32 round;
} bench_progress;

extern const bench_case bench_cases[];
extern const unsigned bench_case_count;

/* Measures one case into *ret_result (zeroed by the caller), on the calling thread. */
void bench_measure(const bench_options *options, const bench_case *what, bench_progress *progress,
                   bench_result *ret_result);

/* ---- reports (report.c), main thread --------------------------------------------------------- */

#if defined(__MINGW_PRINTF_FORMAT)
#define BENCH_LIKE_PRINTF(at, rest) __attribute__((format(__MINGW_PRINTF_FORMAT, at, rest)))
#elif defined(__GNUC__)
#define BENCH_LIKE_PRINTF(at, rest) __attribute__((format(printf, at, rest)))
#else
#define BENCH_LIKE_PRINTF(at, rest)
#endif

typedef struct bench_spread {
    double min, median, max;
} bench_spread;

bench_spread bench_spread_of(const double *values, unsigned count);
/* Per round, engine / raw. */
bench_spread bench_ratio(const bench_result *result, bool cpu);

void bench_print_table(const bench_options *options, const bench_result *results, unsigned count);
/* false: the file could not be written. */
bool bench_write_json(const bench_options *options, const bench_result *results, unsigned count);
void bench_print(const char *format, ...) BENCH_LIKE_PRINTF(1, 2);
void bench_print_error(const char *format, ...) BENCH_LIKE_PRINTF(1, 2);

/* ---- per OS (bench_posix.c, bench_win.c) ----------------------------------------------------- */

uint64_t bench_os_thread_cpu_ns(void); /* 0 = not known */
uint64_t bench_os_calls(void);         /* I/O calls of this process so far; 0 = not counted */
const char *bench_os_calls_note(void); /* how calls are counted, or why not */
void bench_os_enter_measuring_thread(void);
bool bench_os_error_is_terminal(void);
unsigned bench_os_default_cpu(unsigned index); /* 0 = measured, 1 = peer */
/* A name for a pipe that no other process uses. */
void bench_os_pipe_name(char *ret_name, size_t size, const char *purpose);
/* false: so many descriptors cannot be had. */
bool bench_os_want_descriptors(unsigned count);

#endif
