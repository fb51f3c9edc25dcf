/*
 * worker.h - one thread, its completion queue, and everything that lives on it.
 */
#ifndef SLUICE_BROKER_WORKER_H
#define SLUICE_BROKER_WORKER_H

#include "base/log_gate.h"
#include "base/slots.h"
#include "base/thread.h"
#include "broker/book.h"
#include "broker/broker.h"
#include "broker/chunk.h"
#include "broker/descriptors.h"
#include "broker/pipes.h"
#include "broker/refusal.h"
#include "broker/types.h"
#include "broker/user.h"

#define WORKER_BATCH 128u
/* Handles, and requests, that its engine may have: beyond all quotas in use. */
#define WORKER_ENTRIES (1u << 20)

/* Written by the worker only, read by any (relaxed). */
typedef struct worker_counters {
    sl_atomic_u64 sessions;
    sl_atomic_u64 handles;
    sl_atomic_u64 operations; /* not ended */
    sl_atomic_u64 zombies;
    sl_atomic_u64 operations_started;
    sl_atomic_u64 operations_finished;
    sl_atomic_u64 cancels;
    sl_atomic_u64 sessions_started;
    sl_atomic_u64 protocol_violations;
    sl_atomic_u64 stray_packets;
} worker_counters;

typedef enum worker_state {
    WORKER_CLOSED,
    WORKER_RUNNING,
    WORKER_DRAINING, /* no new sessions, no new work: both are refused */
    WORKER_CUT,      /* the grace is over: operations are cancelled */
    WORKER_ENDING    /* sessions are ended */
} worker_state;

/* A message between workers, or from the control thread: what it does where it arrives. */
typedef struct broker_letter broker_letter;
struct broker_letter {
    engine_message message; /* its user is the letter */
    void (*on_delivery)(broker_letter *letter, broker_worker *here);
};

struct broker_worker {
    broker *broker;
    uint32_t index;
    worker_state state;
    engine_worker *engine;
    sl_atomic_bool is_open; /* others may post to it */
    uint64_t now_ns;        /* of this wake */
    worker_counters counters;
    sl_account account;
    chunk_pool chunks;
    sl_arena arena; /* for the message being decoded */
    sl_heap timers; /* deadline.c */
    uint32_t timer_owners;

    sl_slots sessions;
    sl_slots ops;
    sl_list all_sessions; /* session.in_worker */
    sl_list ended;        /* operations whose sessions have not heard of it (op.link) */
    sl_list asking;       /* operations that ask for a listing (op.link) */
    sl_list runnable;     /* sessions with work left over (session.in_runnable) */
    sl_list flushing;     /* sessions with something to say (session.in_flushing) */
    sl_list reaping;      /* sessions that may be over (session.in_reaping) */
    sl_list unknown;      /* sessions whose user is not known yet, oldest first (in_unknown) */
    sl_list feeding;      /* sessions with reads that wait for memory (session.in_feeding) */
    sl_list stopping;     /* readings whose stop is not done, in order of time (reading.c) */
    broker_timer stopping_timer;
    broker_timer memory_timer; /* those who wait for memory try again */
    sl_list unsent;       /* handles of whose writes the kernel may hold bytes (kernel.c) */
    uint32_t unsent_count;
    broker_timer unsent_timer;

    /* listener.c */
    engine_handle *listener;
    broker_target accept_target;
    broker_target listener_close_target;
    uint32_t accepts; /* in the engine */
    bool is_shut;     /* the listener takes in nobody any more */
    broker_timer accept_retry;
    broker_refusal refusals[REFUSALS_MAX];
    broker_target turn_away_target; /* refusal.c */
    uint32_t turned_away;           /* without a place for a refusal: they are closing */
    uint64_t strays_logged_ns;      /* when last, 0 = never */
    broker_target orphan_target;    /* orphan.c */

    /* drain.c */
    broker_letter drain_letter;
    broker_letter exit_letter;
    sl_log_gate gate; /* journal.c */
    broker_timer gate_timer;
    sl_atomic_bool is_drain_posted;
    sl_atomic_u64 drain_grace_ns; /* the latest wish; SL_CLOCK_NEVER = the limit */
    broker_timer drain_timer;
    bool has_reported;
    bool may_exit;

    sl_thread thread; /* broker_start */
    bool has_thread;
    int start_status;
    engine_completion batch[WORKER_BATCH];
};

struct broker {
    broker_options options;
    sl_account account;
    engine *engine;
    engine_endpoint *endpoint;
    engine_address endpoint_address;
    uint64_t epoch;
    uint64_t started_ns;
    uint32_t worker_count;
    broker_worker *workers; /* worker_count of them */
    sl_mutex gate;          /* start and stop only: nobody posts to a worker that is gone */
    sl_event started;
    sl_atomic_u32 started_count;
    sl_atomic_u32 start_failures;
    sl_atomic_u64 session_ids;
    broker_book sessions; /* connections of all workers */
    broker_book memory;   /* bytes that all sessions have (charge.h) */
    broker_descriptors descriptors;
    broker_pipes pipes;
    sl_atomic_u32 reported_count;
    sl_atomic_u64 stuck_count;
    sl_atomic_bool has_ended;
    sl_atomic_bool is_draining;
    engine_identity own; /* the user that the broker runs as */
    broker_users users;
    engine_identity allow[BROKER_ALLOW_MAX];
    char access[256];
    char version[SL_VERSION_BYTES + 1];
};

static inline const sl_limits *worker_limits(const broker_worker *worker) {
    return &worker->broker->options.limits;
}

static inline void counter_add(sl_atomic_u64 *counter, uint64_t amount) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static inline void counter_subtract(sl_atomic_u64 *counter, uint64_t amount) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    SL_CHECK(value >= amount, "a counter is given back once");
    atomic_store_explicit(counter, value - amount, memory_order_relaxed);
}

static inline uint64_t counter_get(const sl_atomic_u64 *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline bool worker_is_draining(const broker_worker *worker) {
    return worker->state >= WORKER_DRAINING;
}

/* worker.c: in the thread that the worker is to belong to. Errors as engine_endpoint_join. */
int worker_open(broker_worker *worker);
/* One wake. false: the worker has ended. */
bool worker_step(broker_worker *worker, uint64_t deadline_ns);
/* Something is left over from the last step: the next one does not wait. */
bool worker_is_busy(const broker_worker *worker);
/* Sends the replies that are being gathered. */
void worker_flush(broker_worker *worker);
/* SLUICE_OK, or EBUSY: something is left. */
int worker_close(broker_worker *worker);

/* listener.c */
int listener_open(broker_worker *worker);
void listener_arm(broker_worker *worker);
void listener_close(broker_worker *worker); /* once */

/* deadline.c */
int deadline_reserve(
    broker_worker *worker); /* room for one more timer: SLUICE_OK, ENOMEM, EQUOTA */
void deadline_unreserve(broker_worker *worker);
void deadline_set(broker_worker *worker, broker_timer *timer,
                  uint64_t deadline_ns); /* NEVER = none */
void deadline_clear(broker_worker *worker, broker_timer *timer);
/* The next one that is due, off the heap; NULL: none is. */
broker_timer *deadline_take_due(broker_worker *worker);

#endif
