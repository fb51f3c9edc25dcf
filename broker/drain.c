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
 * for ever (I9).
 */
#include "broker/drain.h"

#include "broker/handle.h"
#include "broker/op.h"

#define STUCK_LINES_MAX 64u

static void on_drain(broker_letter *letter, broker_worker *here);
static void on_exit_letter(broker_letter *letter, broker_worker *here);
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
    if (worker->state < WORKER_DRAINING || !is_clean(worker)) {
        return true;
    }
    deadline_clear(worker, &worker->drain_timer);
    drain_report(worker, 0);
    return !worker->may_exit;
}
