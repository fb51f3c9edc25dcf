/*
 * worker.c - one thread's loop: poll, act on what came, run what was left over, send replies.
 *
 * Everything a worker has belongs to its thread (I1): sessions, handles, operations, the engine's
 * worker. Other threads send letters. It waits in engine_poll only, takes no lock and formats
 * nothing. What ends in the middle of a wake is given back at its end (reaping), so that whoever is
 * still acting on it finds it.
 */
#include "broker/worker.h"

#include "base/failpoint.h"
#include "broker/charge.h"
#include "broker/drain.h"
#include "broker/kernel.h"
#include "broker/op.h"

#define OPS_MAX    (1u << 22)
#define TIMERS_MAX (1u << 24)
#define GATHER_OPS 16u
#define GATHER_NS  (100 * SL_NS_PER_US)
#define STRAYS_NS  (60 * SL_NS_PER_S) /* between two lines about them */
/* Of the worker itself: accept_retry, drain_timer, gate_timer, unsent_timer. */
#define OWN_TIMERS 4u
#define TELL_NS    (60 * SL_NS_PER_S) /* so often it is logged how much was left out of the log */

static void on_orphan_closed(broker_target *target, const engine_completion *completion) {
    (void)target;
    (void)completion;
}

void worker_close_orphan(broker_worker *worker, engine_handle *handle) {
    (void)engine_close(handle, &worker->orphan_target);
}

/* ---- the log ---- */

static void on_tell(broker_timer *timer) {
    broker_worker *worker = SL_CONTAINER_OF(timer, broker_worker, gate_timer);
    sl_log_gate_tell(&worker->gate, worker->now_ns);
}

void worker_log(broker_worker *worker, const engine_identity *whom, sl_log_level level,
                const char *message, const char *text, const sl_log_field *fields,
                unsigned field_count) {
    uint64_t key = whom != NULL ? users_hash(whom) : 0;
    sl_log_gate_record(&worker->gate, worker->now_ns, key, level, message, text, fields,
                       field_count);
    if (sl_log_gate_owes(&worker->gate) && !sl_heap_contains(&worker->gate_timer.node)) {
        deadline_set(worker, &worker->gate_timer, sl_clock_after_ns(worker->now_ns, TELL_NS));
    }
}

void worker_log_end(broker_worker *worker) {
    deadline_clear(worker, &worker->gate_timer);
    sl_log_gate_tell(&worker->gate, worker->now_ns);
}

void worker_trim(broker_worker *worker) {
    if (worker->sessions.used == 0) {
        sl_slots_trim(&worker->sessions);
        sl_slots_trim(&worker->ops);
        chunk_pool_trim(&worker->chunks);
        sl_heap_trim(&worker->timers, worker->timer_owners);
    }
}

/* ---- open and close ---- */

static int init_tables(broker_worker *worker) {
    const sl_limits *limits = worker_limits(worker);
    int status = sl_message_arena_init(&worker->arena, &worker->account);
    if (status == SLUICE_OK) {
        /* One more, which is looked at and refused. */
        status = sl_slots_init(&worker->sessions, &worker->account, (uint32_t)limits->sessions + 1,
                               sizeof(broker_session));
    }
    if (status == SLUICE_OK) {
        status = sl_slots_init(&worker->ops, &worker->account, OPS_MAX, sizeof(broker_op));
    }
    for (unsigned i = 0; i < OWN_TIMERS && status == SLUICE_OK; i++) {
        status = deadline_reserve(worker);
    }
    if (status == SLUICE_OK) {
        status = refusal_init(worker);
    }
    worker_trim(worker); /* to what it is again when its last session has gone */
    return status;
}

static void deinit(broker_worker *worker) {
    sl_slots_deinit(&worker->ops);
    sl_slots_deinit(&worker->sessions);
    sl_arena_deinit(&worker->arena);
    sl_heap_deinit(&worker->timers);
    chunk_pool_deinit(&worker->chunks);
    sl_account_deinit(&worker->account);
}

/* Delivered completions need no handling any more: only what says that a handle has closed. */
static int destroy_engine_worker(broker_worker *worker) {
    for (unsigned i = 0; i < 1000; i++) {
        if (engine_worker_destroy(worker->engine) == SLUICE_OK) {
            worker->engine = NULL;
            return SLUICE_OK;
        }
        (void)engine_poll(worker->engine, worker->batch, WORKER_BATCH, 0);
    }
    return SLUICE_EBUSY;
}

static void init(broker_worker *worker) {
    broker *b = worker->broker;
    sl_account_init(&worker->account, b->options.allocator, "broker worker", SIZE_MAX);
    chunk_pool_init(&worker->chunks, &worker->account);
    sl_heap_init(&worker->timers, &worker->account, TIMERS_MAX);
    worker->timer_owners = 0;
    sl_list_init(&worker->all_sessions);
    sl_list_init(&worker->runnable);
    sl_list_init(&worker->flushing);
    sl_list_init(&worker->reaping);
    sl_list_init(&worker->feeding);
    sl_list_init(&worker->unknown);
    worker->orphan_target.on_completion = on_orphan_closed;
    worker->gate_timer.on_due = on_tell;
    kernel_init(worker);
    worker->now_ns = sl_clock_now_ns(b->options.clock);
    sl_log_gate_init(&worker->gate, b->options.log);
    drain_init(worker);
}

int worker_open(broker_worker *worker) {
    init(worker);
    int status = init_tables(worker);
    if (status == SLUICE_OK) {
        status = engine_worker_create(worker->broker->engine, &worker->engine);
    }
    if (status == SLUICE_OK) {
        worker->state = WORKER_RUNNING;
        status = listener_open(worker);
        if (status != SLUICE_OK) {
            worker->state = WORKER_CLOSED;
            (void)engine_worker_destroy(worker->engine);
            worker->engine = NULL;
        }
    }
    if (status != SLUICE_OK) {
        deinit(worker);
        return status;
    }
    sl_mutex_lock(&worker->broker->gate);
    atomic_store_explicit(&worker->is_open, true, memory_order_release);
    sl_mutex_unlock(&worker->broker->gate);
    return SLUICE_OK;
}

int worker_close(broker_worker *worker) {
    if (worker->state == WORKER_CLOSED) {
        return SLUICE_OK;
    }
    if (!worker->may_exit || worker->sessions.used > 0 || worker->ops.used > 0) {
        return SLUICE_EBUSY;
    }
    sl_mutex_lock(&worker->broker->gate);
    atomic_store_explicit(&worker->is_open, false, memory_order_release);
    sl_mutex_unlock(&worker->broker->gate);
    int status = destroy_engine_worker(worker);
    if (status == SLUICE_OK) {
        worker->state = WORKER_CLOSED;
        deinit(worker);
    }
    return status;
}

/* ---- the loop ---- */

static void handle_completion(broker_worker *worker, const engine_completion *completion) {
    if (completion->kind == ENGINE_MESSAGE) {
        broker_letter *letter = completion->user;
        letter->on_delivery(letter, worker);
    } else {
        broker_target *target = completion->user;
        SL_FAILPOINT_PASS(broker, complete);
        target->on_completion(target, completion);
    }
}

/* Those with work left over from the wake before, once each. */
static void run_left_over(broker_worker *worker) {
    sl_list now;
    sl_list *node;
    sl_list_init(&now);
    sl_list_splice_back(&now, &worker->runnable);
    while ((node = sl_list_pop_front(&now)) != NULL) {
        session_continue(SL_LIST_ENTRY(node, broker_session, in_runnable));
    }
}

/* A session with many operations gets its replies together: a wake is short (ENGINE_TURN_NS), and a
 * write for each of its replies would cost more than they do. Not for long, and not when the worker
 * has nothing else to do. */
static bool may_wait(const broker_worker *worker, const broker_session *session) {
    return session->state == SESSION_OPEN && session->live_count >= GATHER_OPS &&
           worker->now_ns - session->flush_ns < GATHER_NS;
}

static void flush_all(broker_worker *worker, bool is_idle) {
    sl_list now;
    sl_list *node;
    sl_list_init(&now);
    sl_list_splice_back(&now, &worker->flushing);
    while ((node = sl_list_pop_front(&now)) != NULL) {
        broker_session *session = SL_LIST_ENTRY(node, broker_session, in_flushing);
        if (!is_idle && may_wait(worker, session)) {
            sl_list_push_back(&worker->flushing, node);
        } else {
            session_flush(session);
        }
    }
}

static void reap_all(broker_worker *worker) {
    sl_list *node;
    while ((node = sl_list_pop_front(&worker->reaping)) != NULL) {
        session_reap(SL_LIST_ENTRY(node, broker_session, in_reaping));
    }
}

/* What is freed meanwhile is for the next wake. */
static void feed_all(broker_worker *worker) {
    sl_list now;
    sl_list *node;
    sl_list_init(&now);
    sl_list_splice_back(&now, &worker->feeding);
    while ((node = sl_list_pop_front(&now)) != NULL) {
        charge_feed(SL_LIST_ENTRY(node, broker_session, in_feeding));
    }
}

bool worker_is_busy(const broker_worker *worker) {
    return !sl_list_is_empty(&worker->runnable) || !sl_list_is_empty(&worker->flushing) ||
           !sl_list_is_empty(&worker->feeding);
}

void worker_flush(broker_worker *worker) {
    flush_all(worker, true);
}

/* Packets at the completion port that are no operation's: whoever can send one can send many. */
static void note_strays(broker_worker *worker, uint64_t strays) {
    atomic_store_explicit(&worker->counters.stray_packets, strays, memory_order_relaxed);
    if (worker->strays_logged_ns == 0 || worker->now_ns - worker->strays_logged_ns >= STRAYS_NS) {
        sl_log_field fields[] = {{"worker", (int64_t)worker->index}, {"in_all", (int64_t)strays}};
        sl_log_record(worker->broker->options.log, SL_LOG_WARN, "stray completion packets dropped",
                      NULL, fields, 2);
        worker->strays_logged_ns = worker->now_ns;
    }
}

bool worker_step(broker_worker *worker, uint64_t deadline_ns) {
    uint64_t timer_ns = sl_heap_deadline_ns(&worker->timers);
    if (worker_is_busy(worker)) {
        deadline_ns = 0;
    } else if (timer_ns < deadline_ns) {
        deadline_ns = timer_ns;
    }
    unsigned count = engine_poll(worker->engine, worker->batch, WORKER_BATCH, deadline_ns);
    worker->now_ns = sl_clock_now_ns(worker->broker->options.clock);
    uint64_t strays = engine_worker_strays(worker->engine);
    if (strays != counter_get(&worker->counters.stray_packets)) {
        note_strays(worker, strays);
    }
    run_left_over(worker);
    for (unsigned i = 0; i < count; i++) {
        handle_completion(worker, &worker->batch[i]);
    }
    deadline_run(worker);
    feed_all(worker);
    flush_all(worker, count == 0);
    reap_all(worker);
    return drain_continue(worker);
}
