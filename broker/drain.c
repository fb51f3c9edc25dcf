/*
 * drain.c - how a worker ends.
 *
 *   RUNNING    a letter from broker_drain()
 *   DRAINING   no new sessions, no new work; operations run until the grace is over
 *   CUT        operations are cancelled (ESHUTDOWN) and answered; for the call grace
 *   ENDING     sessions that have not gone are ended; for the close grace
 *   (report)   nothing is left; or something is stuck: it is logged, counted, and stays
 *
 * A session with nothing left to do leaves at once, with a Goodbye. A worker that has reported goes
 * on polling until all have, for others may still send it letters; one with stuck requests goes on
 * for ever (I9). Until all have reported each worker listens, and refuses whoever connects, with a
 * Goodbye: a client need not wait to learn that the broker is stopping, and one that is dealt to a
 * worker with nothing left to do is not lost. Nobody waits for those clients: what the engine has
 * of them is neither left nor stuck.
 */
#include "broker/drain.h"

#include "base/failpoint.h"
#include "broker/handle.h"
#include "broker/journal.h"
#include "broker/op.h"

#define STUCK_LINES_MAX 64u

static void on_drain(broker_letter *letter, broker_worker *here);
static void on_exit_letter(broker_letter *letter, broker_worker *here);
static void on_due(broker_timer *timer);

void drain_init(broker_worker *worker) {
    worker->drain_letter.message.user = &worker->drain_letter;
    worker->drain_letter.on_delivery = on_drain;
    worker->exit_letter.message.user = &worker->exit_letter;
    worker->exit_letter.on_delivery = on_exit_letter;
    worker->drain_timer.on_due = on_due;
}

static void on_exit_letter(broker_letter *letter, broker_worker *here) {
    (void)letter;
    here->may_exit = true;
}

static void for_each_session(broker_worker *worker, void (*act)(broker_session *session)) {
    sl_list *node = worker->all_sessions.next;
    for (; node != &worker->all_sessions; node = node->next) {
        act(SL_LIST_ENTRY(node, broker_session, in_worker));
    }
}

static void on_drain(broker_letter *letter, broker_worker *here) {
    (void)letter;
    SL_FAILPOINT_PASS(broker, drain);
    /* A swap, not a store: a wish that found the letter posted still is one that is seen here. */
    (void)atomic_exchange_explicit(&here->is_drain_posted, false, memory_order_acq_rel);
    uint64_t grace_ns = counter_get(&here->drain_grace_ns);
    if (grace_ns == SL_CLOCK_NEVER) {
        grace_ns = worker_limits(here)->drain_grace_ns;
    }
    uint64_t due_ns = sl_clock_after_ns(here->now_ns, grace_ns);
    if (here->state == WORKER_RUNNING) {
        deadline_set(here, &here->drain_timer, due_ns);
        here->state = WORKER_DRAINING;
        for_each_session(here, session_drain);
    } else if (here->state == WORKER_DRAINING && !here->has_reported &&
               due_ns < here->drain_timer.node.deadline_ns) {
        deadline_set(here, &here->drain_timer, due_ns);
    }
}

static void cancel_operations(broker_session *session) {
    sl_list *node = session->ops.next;
    while (session_can_reply(session) && node != &session->ops) {
        /* Nothing is given back here: what ends is yet to be answered. */
        op_cancel(SL_LIST_ENTRY(node, broker_op, in_session), SLUICE_ESHUTDOWN);
        node = node->next;
    }
    session_wants_flush(session); /* one that only reads streams leaves now */
}

/* ---- what is left, and what is stuck ---- */

static uint32_t without(uint32_t all, uint32_t some) {
    return all > some ? all - some : 0;
}

/* In the engine, without what it has of the clients that come: the listener, its accepts, each of
 * which has a handle ready, and those that are being refused. */
static void count_left(const broker_worker *worker, uint32_t *ret_handles, uint32_t *ret_requests) {
    engine_counters counters;
    uint32_t handles = (worker->listener != NULL ? 1 : 0) + worker->accepts;
    uint32_t requests = worker->accepts;
    refusal_count(worker, &handles, &requests);
    engine_worker_counters(worker->engine, &counters);
    *ret_handles = without(counters.handles, handles);
    *ret_requests = without(counters.requests, requests);
}

static void log_stuck_op(const broker_op *op) {
    const broker_worker *worker = op->session->worker;
    sl_log_field fields[] = {
        {"session", (int64_t)op->session->id}, {"operation", (int64_t)op->id},
        {"handle", (int64_t)op->handle_id},    {"length", (int64_t)op->length},
        {"done", (int64_t)op->done},           {"worker", (int64_t)worker->index},
    };
    sl_log_record(worker->broker->options.log, SL_LOG_ERROR, "stuck operation",
                  sl_request_kind_name(op->kind), fields, 6);
}

static uint64_t log_stuck(broker_worker *worker) {
    uint32_t handles;
    uint32_t requests;
    uint32_t cursor = 0;
    for (uint32_t i = 0; i < STUCK_LINES_MAX; i++) {
        broker_op *op = sl_slots_next(&worker->ops, &cursor);
        if (op == NULL) {
            break;
        }
        log_stuck_op(op);
    }
    count_left(worker, &handles, &requests);
    sl_log_field fields[] = {{"worker", (int64_t)worker->index},
                             {"handles", (int64_t)handles},
                             {"requests", (int64_t)requests},
                             {"sessions", (int64_t)worker->sessions.used}};
    sl_log_record(worker->broker->options.log, SL_LOG_ERROR, "drain: the system does not let go",
                  NULL, fields, 4);
    return (uint64_t)handles + requests;
}

/* ---- reporting ---- */

/* The last one tells. Nobody is woken who is gone: the gate. */
static void tell_all(broker *b) {
    bool is_failed_start = atomic_load_explicit(&b->start_failures, memory_order_acquire) != 0;
    broker_end end = {counter_get(&b->stuck_count)};
    sl_mutex_lock(&b->gate);
    atomic_store_explicit(&b->has_ended, true, memory_order_release);
    for (uint32_t i = 0; i < b->worker_count; i++) {
        broker_worker *worker = &b->workers[i];
        if (atomic_load_explicit(&worker->is_open, memory_order_acquire)) {
            engine_post(worker->engine, &worker->exit_letter.message);
        }
    }
    sl_mutex_unlock(&b->gate);
    if (!is_failed_start && b->options.on_end != NULL) {
        b->options.on_end(b->options.user, &end);
    }
}

void drain_report(broker_worker *worker, uint64_t stuck_count) {
    broker *b = worker->broker;
    if (worker->has_reported) {
        return;
    }
    worker->has_reported = true;
    if (worker->engine != NULL) { /* else it did not start */
        journal_end(worker);
    }
    atomic_fetch_add_explicit(&b->stuck_count, stuck_count, memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&b->reported_count, 1, memory_order_acq_rel);
    if (before + 1 == b->worker_count) {
        tell_all(b);
    }
}

static bool has_work(const broker_worker *worker) {
    uint32_t handles;
    uint32_t requests;
    count_left(worker, &handles, &requests);
    return worker->sessions.used > 0 || worker->ops.used > 0 || handles > 0 || requests > 0;
}

/* Nobody is refused any more. */
static void shut(broker_worker *worker) {
    if (!worker->is_shut) {
        listener_close(worker);
        refusal_end_all(worker);
    }
}

static bool is_empty(const broker_worker *worker) {
    engine_counters counters;
    engine_worker_counters(worker->engine, &counters);
    return worker->sessions.used == 0 && worker->ops.used == 0 && counters.handles == 0 &&
           counters.requests == 0;
}

static void end_session(broker_session *session) {
    session_end(session, SLUICE_ESHUTDOWN);
}

static void on_due(broker_timer *timer) {
    broker_worker *worker = SL_CONTAINER_OF(timer, broker_worker, drain_timer);
    const sl_limits *limits = worker_limits(worker);
    if (worker->state == WORKER_DRAINING) {
        worker->state = WORKER_CUT;
        deadline_set(worker, timer, sl_clock_after_ns(worker->now_ns, limits->call_grace_ns));
        for_each_session(worker, cancel_operations);
    } else if (worker->state == WORKER_CUT) {
        worker->state = WORKER_ENDING;
        deadline_set(worker, timer, sl_clock_after_ns(worker->now_ns, limits->close_grace_ns));
        for_each_session(worker, end_session);
    } else {
        drain_report(worker, log_stuck(worker));
    }
}

bool drain_continue(broker_worker *worker) {
    if (worker->state < WORKER_DRAINING) {
        return true;
    }
    if (!worker->has_reported && !has_work(worker)) {
        deadline_clear(worker, &worker->drain_timer);
        drain_report(worker, 0);
    }
    if (!worker->may_exit) {
        return true;
    }
    shut(worker);
    if (!is_empty(worker)) {
        return true;
    }
    journal_end(worker); /* of those who were refused since it reported */
    return false;
}
