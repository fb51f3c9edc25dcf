/*
 * chaos.h - the driver: a real broker and clients with checked load (load.h), some of them through
 * a faulty proxy (proxy.h), while it kills, halts and restarts either side by a seeded schedule.
 *
 * Time is cut into cycles: a *clean* part, in which nothing is done to anybody, then a *chaos*
 * part, then a *quiet point*: the survivors close what they have, all other clients are killed, and
 * the books of the broker and of the survivors are looked at. Throughput is compared within each
 * cycle.
 *
 * One thread, the main one, does all of it; proxies have theirs.
 */
#ifndef SLUICE_TESTS_CHAOS_CHAOS_H
#define SLUICE_TESTS_CHAOS_CHAOS_H

#include "tests/chaos/proxy.h"
#include "tests/integration/place.h"

#define CHAOS_CLIENTS_MAX   12u
#define CHAOS_CLIENTS_MIN   3u
#define CHAOS_SURVIVORS     2u /* client 0, with a pipe of its own, and client 1, by a proxy */
#define CHAOS_CYCLES_MAX    4096u
#define CHAOS_CYCLE_S       25u
#define CHAOS_LINE_BYTES    600u
#define CHAOS_PATIENCE_NS   (60 * SL_NS_PER_S)

/* X(name, option, default in ms, word): what is done to them, and how often in the chaos part */
#define CHAOS_DEED_TABLE(X) \
    X(KILL_CLIENT, "client-kill-every", 1000, "clients killed") \
    X(HALT_CLIENT, "client-halt-every", 2000, "clients halted") \
    X(KILL_BROKER, "broker-kill-every", 60000, "brokers killed") \
    X(HALT_BROKER, "broker-halt-every", 10000, "brokers halted") \
    X(STOP_BROKER, "broker-stop-every", 120000, "brokers stopped in order")

typedef enum chaos_deed {
#define X(name, option, standard_ms, word) CHAOS_##name,
    CHAOS_DEED_TABLE(X)
#undef X
    CHAOS_DEEDS
} chaos_deed;

typedef struct chaos_options {
    uint64_t seconds;
    uint64_t seed;
    uint64_t clients;
    uint64_t every_ns[CHAOS_DEEDS];
    const char *sluiced;
    bool is_json;
} chaos_options;

/* What clients say of themselves: load.c. */
typedef struct chaos_counts {
    uint64_t ok, ended, bytes, lost, streams, latest_us;
} chaos_counts;

typedef struct chaos_client {
    uint32_t number;
    char endpoint[PLACE_ENDPOINT_BYTES];
    proxy *proxy; /* NULL: none */
    process process;
    bool is_started; /* the process is there */
    bool is_running; /* ... and its lanes */
    bool is_quiet;
    bool is_halted;
    uint64_t start_ns;  /* not started: when it will be */
    uint64_t resume_ns; /* halted: until when */
    uint64_t heard_ns;
    chaos_counts before; /* of the lives before this one */
    chaos_counts now;
    /* At quiet points. */
    uint64_t open_count, open_first;
    uint64_t memory_bytes;
} chaos_client;

/* What a process has in memory, from one quiet point to the next. */
typedef struct chaos_memory {
    uint32_t points;
    uint64_t at_ns[CHAOS_CYCLES_MAX + 1];
    uint64_t bytes[CHAOS_CYCLES_MAX + 1];
} chaos_memory;

/* Over all series of a kind. */
typedef struct chaos_growth {
    uint64_t most_bytes; /* from a first to a last point */
    uint32_t slopes;     /* series that were long enough to tell one */
    double most_per_minute;
} chaos_growth;

typedef struct chaos {
    chaos_options options;
    place at; /* the broker */
    char peer_base[PLACE_ENDPOINT_BYTES];
    sl_random_seeded random;
    sluice_session *control;
    chaos_client clients[CHAOS_CLIENTS_MAX];
    proxy proxies[2]; /* of client 1; of the other half */
    bool is_broker_up, is_broker_halted;
    uint64_t broker_back_ns; /* down or halted: until when */
    /* The schedule, on a clock that runs in the chaos part only. */
    uint64_t chaos_ns;
    uint64_t next_ns[CHAOS_DEEDS];
    uint64_t said_ns; /* the last line of progress */
    uint64_t begin_ns;
    /* What has come of it. */
    uint64_t deeds[CHAOS_DEEDS];
    uint64_t wrong, hangs, crashes, leaks;
    uint32_t cycles;
    double clean_rate[CHAOS_CYCLES_MAX], chaos_rate[CHAOS_CYCLES_MAX]; /* calls a second */
    double clean_bytes[CHAOS_CYCLES_MAX], chaos_bytes[CHAOS_CYCLES_MAX];
    uint64_t broker_open_first; /* descriptors of an idle broker with the survivors */
    uint64_t lives; /* of brokers */
    chaos_memory broker_memory; /* of this life */
    chaos_memory survivor_memory[CHAOS_SURVIVORS];
    chaos_growth broker_growth, survivor_growth;
} chaos;

/* ---- clients.c ---- */

void chaos_clients_init(chaos *c);
/* Starts those whose time has come, continues those who were halted, and hears what they say. */
void chaos_clients_tend(chaos *c);
void chaos_clients_start_all(chaos *c);
/* The victim is killed; it comes back after a while. */
void chaos_client_kill(chaos *c, chaos_client *client, uint64_t back_after_ns);
void chaos_client_halt(chaos_client *client, uint64_t time_ns);
/* All those that are halted, at once. */
void chaos_clients_resume(chaos *c);
/* Waits until `is_so` holds of each client that is started; else that is a hang. */
void chaos_clients_await(chaos *c, bool (*is_so)(const chaos_client *client), const char *what);
chaos_counts chaos_total(const chaos *c);
/* They close their sessions and end; exit code 0. */
void chaos_clients_end(chaos *c);

/* ---- broker.c ---- */

void chaos_broker_start(chaos *c);
void chaos_broker_kill(chaos *c, uint64_t back_after_ns);
void chaos_broker_halt(chaos *c, uint64_t time_ns);
void chaos_broker_stop(chaos *c);
/* Starts or continues it when its time has come, or `at_once`; is it still there? */
void chaos_broker_tend(chaos *c, bool at_once);
/* Its counters; false: none to be had, which is a hang. */
bool chaos_broker_ask(chaos *c, sluice_broker_info *ret_info);

/* ---- quiet.c ---- */

void chaos_quiet(chaos *c);
/* This broker's life is over: its growth is taken down. */
void chaos_life_end(chaos *c);
/* The same of the survivors, at the end. */
void chaos_survivors_end(chaos *c);

/* ---- schedule.c ---- */

/* The whole test. */
void chaos_run(chaos *c);
/* Between two looks at everything. */
void chaos_step(chaos *c, const char *part);

/* ---- report.c ---- */

/* Prints; is all as it must be? */
bool chaos_report(chaos *c);
/* The median over cycles of what chaos leaves of the throughput. */
double chaos_ratio(const double *chaos_rate, const double *clean_rate, uint32_t count);

#endif
