/*
 * bench.h - what a call through the broker costs, beside the bare system.
 *
 * In each round a case and its baseline run one right after the other for a few milliseconds, so
 * that what disturbs the machine disturbs both; the ratio is taken per round, and its median over
 * the rounds is what counts. With a private broker (the default) the tool, the broker and the echo
 * process all run on one processor: then a figure is work, not the wake-up of another processor.
 *
 * Baselines: a blocking ping-pong of 64 bytes with the echo process over a Unix socket or a named
 * pipe (bench_peer_*.c), one write and one read of a pipe's two ends by this thread, or the null
 * call of the same session.
 */
#ifndef SLUICE_CLI_BENCH_H
#define SLUICE_CLI_BENCH_H

#include <sluice/sluice.h>
#include <stdbool.h>

#include "base/atomic.h"
#include "base/thread.h"

#define BENCH_BYTES      64u
#define BENCH_FLIGHT     64u
#define BENCH_ROUNDS_MAX 101u
#define BENCH_CASES_MAX  32u
#define BENCH_SAMPLES    (1u << 18) /* latencies kept of a case, over all rounds */

typedef enum bench_work {
    BENCH_PING,        /* nothing, there and back */
    BENCH_WRITE,       /* 64 bytes into a pipe; the read that makes room again is not counted */
    BENCH_READ,        /* 64 bytes that are there */
    BENCH_ECHO,        /* write to the echo process and read its answer */
    BENCH_FLIGHT_WORK, /* write and read of a pipe, 64 pipes at a time */
    BENCH_CANCEL,      /* a pending read, cancelled: until its callback */
    BENCH_PACED,       /* a null call each millisecond */
    BENCH_RELAY,       /* raw: to the echo process through a bare relay process */
} bench_work;

typedef enum bench_mode { BENCH_INLINE, BENCH_THREAD, BENCH_POLL, BENCH_SYNC } bench_mode;

typedef enum bench_base {
    BENCH_BASE_RAW,   /* blocking ping-pong */
    BENCH_BASE_CALLS, /* write and read of a pipe, two system calls */
    BENCH_BASE_NULL,  /* the null call of the same session */
    BENCH_BASE_PACED, /* blocking ping-pong, one each millisecond */
} bench_base;

typedef struct bench_case {
    const char *name;
    const char *what;
    bench_work work;
    bench_mode mode;
    bench_base base;
    uint32_t others;     /* other pipes that are open */
    bool others_pending; /* ... with a read pending on each */
    double aim;          /* highest ratio; 0 = none is set */
} bench_case;

extern const bench_case bench_cases[];
extern const unsigned bench_case_count;

/* ---- the raw side (bench_peer_*.c) ---- */

typedef struct bench_peer bench_peer;

/* Binds this process, and those that it starts, to the processor. False: not possible. */
bool bench_peer_pin(unsigned processor);
/* Starts the echo and relay process. Before any thread of the library. SLUICE_OK or why not. */
int bench_peer_start(bench_peer **ret_peer);
void bench_peer_stop(bench_peer *peer);
/* "pipe:..." where the echo process listens, for the broker to connect to. */
const char *bench_peer_address(const bench_peer *peer);
/* 64 bytes there and back; false = broken. */
bool bench_peer_ping(bench_peer *peer);
bool bench_peer_relay(bench_peer *peer);
/* One write and one read of a pipe's two ends. */
bool bench_peer_calls(bench_peer *peer);
/* Waits until a waitable of the library is ready. */
void bench_peer_wait(uint64_t waitable);
/* What a hidden command line starts on Windows; elsewhere unused. Does not return normally. */
int bench_peer_serve(const char *name);

/* ---- the broker's side (bench_chain.c) ---- */

typedef struct bench_crowd bench_crowd;

typedef struct bench_subject {
    const bench_case *what;
    sluice_session *session;
    bench_crowd *crowd;
    struct bench_chain *chains;
    uint32_t chain_count;
} bench_subject;

/* Where to put latencies. */
typedef struct bench_tally {
    uint64_t *samples_ns;
    uint64_t room;
    uint64_t count; /* also beyond the room: the first ones are kept */
    uint64_t units;
    uint64_t elapsed_ns;
} bench_tally;

int bench_subject_open(bench_subject *subject, const bench_case *what, const char *endpoint,
                       const char *echo_address);
void bench_subject_close(bench_subject *subject);
/* Does so many units; `work` is the case's, or BENCH_PING for BENCH_BASE_NULL. */
int bench_subject_run(bench_subject *subject, bench_work work, uint64_t units, bench_tally *tally);

/* ---- results (bench_report.c) ---- */

typedef struct bench_side {
    double p50_ns, p99_ns, p999_ns; /* of all rounds' samples */
    double mean_ns;                 /* elapsed by units, median of the rounds */
} bench_side;

typedef struct bench_result {
    const bench_case *what;
    int skipped; /* a status: why it was not measured; SLUICE_OK = it was */
    unsigned rounds;
    uint64_t units; /* of a round */
    bench_side broker, base;
    double ratio_median, ratio_least, ratio_most;
} bench_result;

typedef struct bench_setting {
    bool json;
    bool pinned;
    bool is_private;
    unsigned processor;
    unsigned rounds;
    char engine_name[32];
    char broker_version[64];
} bench_setting;

bool bench_report(const bench_setting *setting, const bench_result *results, unsigned count);
/* Sorts; the value below which that share of them lies. */
double bench_quantile(uint64_t *values, uint64_t count, double share);
/* Median, least and most. */
void bench_spread(double *values, unsigned count, double *ret_median, double *ret_least,
                  double *ret_most);

#endif
