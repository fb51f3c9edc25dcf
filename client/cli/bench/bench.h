/*
 * bench.h - the yardsticks: a way to do some work beside another way to do the same, in one run.
 *
 * A *way* does units of a case's work: through Sluice (broker.c), by a bare model of the same work
 * that we wrote for comparison (models.c), or, in tests/bench, by the engine and by a hand-written
 * loop. A row of the table is a case done in two ways, the subject and its model. They take turns
 * in slices of some milliseconds, who begins alternates, and the ratio subject / model is taken
 * per round: what disturbs the machine disturbs both. The figure is the median of the rounds, and
 * the lower quartile beside it is what other load has disturbed least (base/stats.h). What is
 * compared in a round is the p50 of the units' latencies; where many are in flight, or a unit is
 * too short to be timed, the median of the slices' times by their units.
 *
 * TOPOLOGIES
 *  one-processor   every process is bound to one processor. A figure is work and switches between
 *                  processes; no other processor is woken up.
 *  two-processors  the program and the far ends on one, the broker, or who stands for it in a
 *                  model, on the other. Both are kept awake by a process of the scheduler's idle
 *                  class, or a virtual machine's wake-up by its hypervisor would be the figure.
 *                  Where three work at the same time (bulk) each has a processor of its own.
 *  any             the system chooses.
 *
 * Threads: everything is opened, run and closed on one measuring thread, which never prints (on
 * Windows no thread may do overlapped I/O and print); the main thread prints.
 */
#ifndef SLUICE_CLI_BENCH_H
#define SLUICE_CLI_BENCH_H

#include <sluice/sluice.h>
#include <stdbool.h>

#include "base/atomic.h"
#include "base/stats.h"
#include "client/cli/args.h"

#define BENCH_BYTES     64u /* a message */
#define BENCH_FLIGHT    64u
#define BENCH_CASES_MAX 64u
#define BENCH_SIDES     2u /* the subject and its model */

typedef enum bench_work {
    BENCH_PING,      /* nothing, there and back */
    BENCH_WRITE,     /* 64 bytes into a pipe; the read that makes room again does not count */
    BENCH_READ,      /* 64 bytes that are there */
    BENCH_ECHO,      /* 64 bytes to a far process and back */
    BENCH_PAIRS,     /* write and read of a pipe, on many pipes at a time */
    BENCH_CANCEL,    /* a pending read, cancelled: until its end */
    BENCH_PACED,     /* a ping each millisecond */
    BENCH_BULK_OUT,  /* blocks to a far process that takes them */
    BENCH_BULK_IN,   /* blocks from a far process that gives them */
    BENCH_OPEN,      /* a session with a broker that runs */
    BENCH_OPEN_OWN,  /* a session with a broker that is started for it */
    BENCH_LOOP_ECHO, /* tests/bench: both ends in one loop */
    BENCH_LOOP_BULK,
    BENCH_LOOP_CANCEL,
} bench_work;

/* How the subject's calls end. */
typedef enum bench_mode { BENCH_INLINE, BENCH_THREAD, BENCH_POLL, BENCH_SYNC } bench_mode;

typedef enum bench_topology { BENCH_ONE, BENCH_TWO, BENCH_ANY } bench_topology;
extern const char *const bench_topology_words[]; /* by number, ends with NULL */

typedef struct bench_case bench_case;
typedef struct bench_stage bench_stage;

typedef struct bench_way {
    const char *name;
    /* SLUICE_OK or why not; *ret_self also then, if it is to be closed. */
    int (*open)(bench_stage *stage, const bench_case *what, void **ret_self);
    /* Does so many units and leaves nothing in flight. `latency`, in ns, is for as many of them as
     * are timed one by one. SLUICE_OK, or why they were not done. */
    int (*run)(void *self, uint64_t units, sl_histogram *latency);
    void (*close)(void *self);
    /* The process at the other end, whose time counts as well; 0 = none. NULL: none. */
    uint64_t (*partner)(const void *self);
} bench_way;

struct bench_case {
    const char *name;
    const char *what; /* "": as the case before */
    const bench_way *subject, *model;
    bench_work work;
    bench_mode mode;
    uint32_t bytes;      /* of a block */
    uint32_t flight;     /* blocks, or connections, at a time */
    uint32_t others;     /* other handles that are open */
    bool others_pending; /* ... with a read pending on each */
    bool spins;          /* the other end spins: two processors at least */
    bool one_only;       /* there is nothing to put on a second processor */
    uint32_t stretch;    /* a round takes so many times longer; 0 = 1 */
    const char *says; /* for a person: {ratio}, {time} and {rate} are filled in. NULL = nothing */
};

/* Where it plays. */
struct bench_stage {
    bench_topology topology;
    unsigned processors;        /* of the machine that this program may use */
    unsigned home, away, third; /* their numbers; all alike for BENCH_ONE; two alike if there are
                                   but two */
    const char *endpoint;       /* of the broker */
    const char *broker_path;    /* NULL = beside the program */
    uint64_t broker_process;    /* 0 = not known */
    bool is_private;
};

typedef struct bench_side {
    double p50_ns, p99_ns, p999_ns; /* of all rounds' latencies; 0 = none was taken */
    double unit_ns;                 /* the figure that is compared, median of the rounds */
    double cpu_ns, partner_cpu_ns;  /* a unit; 0 = not known */
    double calls;                   /* of the operating system, a unit; 0 = not counted */
} bench_side;

typedef struct bench_result {
    const bench_case *what;
    int status;     /* why it was not measured; SLUICE_OK = it was, or: */
    unsigned needs; /* ... it needs so many processors; 0 = it was measured */
    unsigned rounds;
    bench_side sides[BENCH_SIDES];
    sl_spread ratio, ratio_p99;
} bench_result;

/* What is open and idle takes, in bytes: see sessions.c. */
enum { BENCH_PER_SESSION, BENCH_PER_HANDLE, BENCH_PER_READ, BENCH_PER }; /* a read that waits */
enum { BENCH_OF_BROKER, BENCH_OF_CLIENT, BENCH_OF_BOOKS, BENCH_OF };     /* the broker's books */

typedef struct bench_memory {
    int status;
    const char *kind; /* of the first two: "PSS" and the like */
    double bytes[BENCH_PER][BENCH_OF];
} bench_memory;

typedef struct bench_progress {
    sl_atomic_u32 row; /* the measuring thread writes, the main thread shows */
    sl_atomic_u32 round;
} bench_progress;

/* What differs between `sluice bench` and the development's table (tests/bench). */
typedef struct bench_program {
    const char *name;       /* how it is called */
    const char *about;      /* of --help */
    const bench_case *more; /* cases besides ours */
    unsigned more_count;
    /* The most that a ratio should be; 0 = none is set. NULL: no aims are shown. */
    double (*aim)(const bench_case *what, bench_topology topology);
    void (*enter)(void);     /* on the measuring thread; or NULL */
    uint64_t (*calls)(void); /* of the operating system so far; or NULL */
} bench_program;

typedef struct bench_plan {
    const bench_program *program;
    const bench_case *rows[BENCH_CASES_MAX];
    unsigned row_count;
    bench_stage stage;
    uint64_t rounds, round_ns;
    uint64_t units;   /* of a slice, instead of a time; 0 = by time */
    const char *only; /* "subject" or "model": that one alone, for profilers; NULL = both */
    bool json, strict, with_memory;
    bool fell_asleep; /* BENCH_TWO: nothing could be started to keep the processors awake */
    char engine_name[32], broker_version[64];
    char machine[160];
    double busy_before, busy_after; /* share of the machine's time that others took; below 0 = ? */
    double stolen;                  /* share that the hypervisor took meanwhile; below 0 = ? */
    uint64_t took_ns;
    bench_memory memory;
    bench_result results[BENCH_CASES_MAX];
} bench_plan;

extern const bench_case bench_cases[]; /* cases.c */
extern const unsigned bench_case_count;

/* command.c: the whole program; the exit code. */
int bench_main(const bench_program *program, int count, char **argv);
/* rounds.c: measures every row of the plan, on the calling thread. */
void bench_measure(bench_plan *plan, bench_progress *progress);
/* sessions.c */
void bench_measure_memory(const bench_stage *stage, bench_memory *ret_memory);
/* report.c: the table or the JSON on standard output; false = could not be written. */
bool bench_report(const bench_plan *plan);
/* Is the row's ratio above its aim? */
bool bench_missed(const bench_plan *plan, const bench_result *result);
const char *bench_mode_word(bench_mode mode);

/* models.c: what is compared with. */
extern const bench_way bench_ping_pong, bench_ring, bench_relay, bench_copy, bench_shared,
    bench_calls, bench_connect, bench_process;
/* broker.c: the same work through Sluice; the null call of a session like the case's; and the
 * case's work in a broker in which nothing else is open. */
extern const bench_way bench_broker, bench_null, bench_alone;
/* sessions.c: opening sessions. */
extern const bench_way bench_sessions;

/* A session with the broker at that endpoint. */
int bench_session_open(const char *endpoint, uint32_t delivery, sluice_session **ret_session);

#endif
