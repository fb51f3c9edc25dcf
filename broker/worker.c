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
#include "broker/drain.h"
#include "broker/handle.h"
#include "broker/journal.h"
#include "broker/kernel.h"
#include "broker/listing.h"
#include "broker/orphan.h"
#include "broker/stream/reading.h"
#include "broker/tables.h"

#define DUE_MAX    1024u /* in one wake */
#define GATHER_OPS 16u
#define GATHER_NS  (100 * SL_NS_PER_US)
#define STRAYS_NS  (60 * SL_NS_PER_S) /* between two lines about them */
/* Of the worker itself: accept_retry, drain_timer, gate_timer, memory_timer, stopping_timer,
 * unsent_timer. */
#define OWN_TIMERS 6u

/* ---- open and close ---- */

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

static int init(broker_worker *worker) {
    int status = tables_init(worker);
    sl_list_init(&worker->all_sessions);
    sl_list_init(&worker->ended);
    sl_list_init(&worker->asking);
    sl_list_init(&worker->runnable);
    sl_list_init(&worker->flushing);
    sl_list_init(&worker->reaping);
    sl_list_init(&worker->feeding);
    sl_list_init(&worker->unknown);
    worker->now_ns = sl_clock_now_ns(worker->broker->options.clock);
    journal_init(worker);
    kernel_init(worker);
    reading_init(worker);
    orphan_init(worker);
    drain_init(worker);
    for (unsigned i = 0; i < OWN_TIMERS && status == SLUICE_OK; i++) {
        status = deadline_reserve(worker);
    }
    if (status == SLUICE_OK) {
        status = refusal_init(worker);
    }
    tables_trim(worker); /* to what it is again when its last session has gone */
    return status;
}

int worker_open(broker_worker *worker) {
    int status = init(worker);
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
        tables_deinit(worker);
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
        reading_deinit(worker);
        tables_deinit(worker);
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
        listing_begin_all(worker);
    }
}

static void run_due(broker_worker *worker) {
    broker_timer *timer;
    for (unsigned i = 0; i < DUE_MAX && (timer = deadline_take_due(worker)) != NULL; i++) {
        timer->on_due(timer);
    }
}

/* A session with many operations gets its replies together: a wake is short (ENGINE_TURN_NS), and a
 * write for each of its replies would cost more than they do. Not for long, and not when the worker
 * has nothing else to do. */
static bool may_wait(const broker_worker *worker, const broker_session *session) {
    return session->state == SESSION_OPEN && session->live_count >= GATHER_OPS &&
           worker->now_ns - session->flush_ns < GATHER_NS;
}

/* I6: what has ended is told from here, and only from here. */
static void pass_on_ends(broker_worker *worker) {
    sl_list *node;
    while ((node = sl_list_pop_front(&worker->ended)) != NULL) {
        output_take(SL_LIST_ENTRY(node, broker_op, link));
    }
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
            output_flush(session);
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
        receive_feed(SL_LIST_ENTRY(node, broker_session, in_feeding));
    }
}

bool worker_is_busy(const broker_worker *worker) {
    return !sl_list_is_empty(&worker->runnable) || !sl_list_is_empty(&worker->flushing) ||
           !sl_list_is_empty(&worker->feeding);
}

void worker_flush(broker_worker *worker) {
    flush_all(worker, true);
    pass_on_ends(worker);
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
        listing_begin_all(worker);
    }
    run_due(worker);
    feed_all(worker);
    pass_on_ends(worker);
    flush_all(worker, count == 0);
    pass_on_ends(worker); /* of sessions that have ended in between */
    reap_all(worker);
    SL_CHECK(sl_list_is_empty(&worker->ended) && sl_list_is_empty(&worker->asking),
             "what has ended is told in the same wake");
    return drain_continue(worker);
}
