/*
 * broker.h - the broker's core as main, the service and the tests see it.
 *
 * A broker owns an engine, an endpoint (the pipe name on which clients connect) and N workers. In a
 * program the workers are threads (broker_start); in the single-threaded simulator the caller runs
 * them (broker_worker_*). Everything below may be called from one control thread; broker_drain,
 * broker_counters_get and broker_has_ended from any. No function waits for a client.
 *
 *     create -> start -> ... -> drain -> (on_end) -> destroy
 *
 * The core formats nothing, takes no lock and knows no OS header: time, randomness, memory, the log
 * and the engine's backend are given in the options.
 */
#ifndef SLUICE_BROKER_BROKER_H
#define SLUICE_BROKER_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/engine.h"
#include "proto/limits.h"

#define BROKER_WORKERS_MAX 64u
#define BROKER_ALLOW_MAX   32u /* users and groups */

typedef struct broker broker;

/* How it ended. `stuck_count` 0: clean. Otherwise so many handles and requests are still with the
 * operating system; each is in the log; their threads stay, and the process should just exit. */
typedef struct broker_end {
    uint64_t stuck_count;
} broker_end;

typedef struct broker_options {
    const engine_backend *backend; /* NULL = the platform's default (engine_backend_find) */
    const void *backend_options;   /* engine_options.backend_options: the simulator's */
    const char *endpoint;    /* the pipe's name as the engine takes it (engine_address_endpoint) */
    const char *access;      /* engine_listen_options.access; NULL = this user only */
    /* Who is let in of those who can connect, besides the broker's own user and administrators:
     * users and groups. None = those that `access` lets in. Copied. */
    const engine_identity *allow;
    unsigned allow_count;    /* at most BROKER_ALLOW_MAX */
    /* Also clients in this very process (tests). Otherwise such a peer is the broker itself, sent
     * here by one of its clients, and refused. */
    bool serves_itself;
    /* The process whose private broker this is; 0 = none, or not known. It outlives the broker. */
    uint64_t client_process;
    uint32_t worker_count;   /* 1 to BROKER_WORKERS_MAX; 0 = one for each processor */
    sl_limits limits;        /* sl_limits_default, then changed */
    sl_allocator *allocator; /* NULL = the system's; likewise clock and random */
    sl_clock *clock;
    sl_random *random;   /* thread-safe if the workers are threads */
    sl_log *log;         /* NULL = no log */
    const char *version; /* at most SL_VERSION_BYTES; NULL = "0". Must outlive the broker */
    uint64_t process_id; /* for Status; 0 = not told */
    uint64_t descriptors; /* the process may have so many; 0 = no such limit (descriptors.h) */
    uint64_t pipe_pages; /* so many the pipes of its user may have; 0 = no limit (pipes.h) */
    uint64_t epoch;      /* HelloReply.epoch; 0 = from `random` */
    /* Called once, when every worker has ended after a drain, or has given up; on a worker's
     * thread. It may post to the control loop, not call the broker. May be NULL. */
    void (*on_end)(void *user, const broker_end *end);
    void *user;
    /* Of a broker_create that fails: what its status does not say of the endpoint; static, NULL =
     * nothing. May be NULL. */
    const char **ret_detail;
} broker_options;

/* Sets the limits' defaults, everything else to 0. */
void broker_options_init(broker_options *ret_options);

/* How many workers broker_options.worker_count is. */
uint32_t broker_workers_of(uint32_t worker_count);

/* Makes the engine and takes the endpoint. SLUICE_OK; EINVAL (options), ENOMEM, EOSLIMIT; those of
 * engine_endpoint_create (ENAMETAKEN, EACCESS, ENAMETOOLONG, ENOTFOUND, EOS). */
int broker_create(const broker_options *options, broker **ret_broker);

/* Starts the worker threads and waits until all of them listen. On failure none runs any more and
 * the broker can only be destroyed. SLUICE_OK, ENOMEM, EOSLIMIT, EOS, ENOTSUP (the backend is not
 * threaded: use broker_worker_open). */
int broker_start(broker *broker);

/* Begins to end: refuses new clients and new work (ESHUTDOWN), lets operations run for grace_ns
 * (SL_CLOCK_NEVER = the limit drain_grace_ns), then cancels them (ESHUTDOWN), answers and closes.
 * Called again it can only shorten the grace: 0 = cancel now. Returns at once. Any thread. */
void broker_drain(broker *broker, uint64_t grace_ns);

/* true when on_end has been called or would have been. ret_end may be NULL. Any thread. */
bool broker_has_ended(broker *broker, broker_end *ret_end);

/* Waits for the threads' end until deadline_ns on the SYSTEM clock (sl_clock_system). true: all
 * ended. A thread with stuck operations does not end (I9). */
bool broker_join(broker *broker, uint64_t deadline_ns);

/* Frees everything. Waits at most for opener threads, grace_ns. SLUICE_OK; SLUICE_EABANDONED: there
 * are openers in the system with what nobody waits for any more, and the process may end;
 * SLUICE_EBUSY while workers run or something is stuck. Then nothing in use is freed. NULL is
 * allowed. */
int broker_destroy(broker *broker, uint64_t grace_ns);

/* ---- a worker in the caller's thread (simulator, tests) ---- */

/* Instead of broker_start, for each index < worker_count; a worker belongs to the thread that
 * opened it. Errors as engine_endpoint_join. */
int broker_worker_open(broker *broker, uint32_t index);
/* One wake: polls until deadline_ns on the broker's clock, handles what came, sends replies.
 * false: the worker has ended after a drain (close it). */
bool broker_worker_step(broker *broker, uint32_t index, uint64_t deadline_ns);
/* Has it work that needs no completion (step it with deadline 0 before time moves)? */
bool broker_worker_is_busy(const broker *broker, uint32_t index);
/* When its next timer is due, on the broker's clock: step it by then. SL_CLOCK_NEVER = no timer. */
uint64_t broker_worker_deadline_ns(const broker *broker, uint32_t index);
/* SLUICE_OK, or SLUICE_EBUSY unless broker_worker_step has returned false. */
int broker_worker_close(broker *broker, uint32_t index);

/* ---- looking inside ---- */

typedef struct broker_counters {
    uint32_t workers;
    uint64_t sessions; /* now: connections, and what is left of ended ones with zombies */
    uint64_t handles;  /* now, zombies included */
    uint64_t operations;
    uint64_t zombies;        /* handles and requests that are gone for the client only */
    uint64_t opens_given_up; /* engine_given_up: of the broker as a whole */
    uint64_t memory_bytes;
    uint64_t operations_started; /* since the start, as the five below */
    uint64_t operations_finished;
    uint64_t cancels;
    uint64_t sessions_started;
    uint64_t protocol_violations;
    uint64_t stray_packets; /* engine_counters.stray_count */
    bool is_draining;
} broker_counters;

/* A sum over workers that are not stopped for it: exact when nothing happens. Any thread. */
void broker_counters_get(const broker *broker, broker_counters *ret_counters);

const char *broker_engine_name(const broker *broker);
uint64_t broker_epoch(const broker *broker);
uint32_t broker_worker_count(const broker *broker);

#endif
