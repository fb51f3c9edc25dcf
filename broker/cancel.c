/*
 * cancel.c - asking an operation to end: by the client, by its deadline, by the close of its
 * handle, by the end of its session, by a drain. All come here; the first cause wins.
 *
 * What waits in one of our queues ends at once, and exactly: a read or an accept is only a waiter
 * (the handle's standing receive goes on, and what arrives is there for the next one); a write of
 * which nothing was sent leaves no trace. What is with the system is asked once, and its packet
 * decides (R4). If that does not come within half the call grace, so that the client hears of it
 * before it gives the call up itself, the operation ends EABANDONED and the system's request lives
 * on as a zombie. An open that an opener thread has, or that waits for one, ends when it is asked:
 * the engine gives it up, and counts it for its user (engine_share) until the thread is back.
 */
#include "base/failpoint.h"
#include "broker/handle.h"

/* It did not come back in time: what the system holds stays pinned. */
static void abandon(broker_op *op) {
    if (op->kind == SL_REQUEST_WRITE || op->kind == SL_REQUEST_HALF_CLOSE) {
        handle_abandon_write(op);
    } else {
        SL_CHECK(op->is_pinned, "only what the system has is abandoned");
        op_finish(op, SLUICE_EABANDONED, 0);
    }
}

static void on_due(broker_timer *timer) {
    broker_op *op = SL_CONTAINER_OF(timer, struct broker_op, timer);
    SL_FAILPOINT_PASS(broker, deadline);
    if (op->state == OP_CANCELLING) {
        abandon(op);
    } else {
        op_cancel(op, SLUICE_ETIMEDOUT);
    }
}

static void set_timer(broker_op *op, uint64_t deadline_ns) {
    op->timer.on_due = on_due;
    deadline_set(op->session->worker, &op->timer, deadline_ns);
}

void op_set_timeout(broker_op *op, uint64_t timeout_ns) {
    if (timeout_ns != 0) {
        op->deadline_ns = sl_clock_after_ns(op->session->worker->now_ns, timeout_ns);
        set_timer(op, op->deadline_ns);
    }
}

static void ask(broker_op *op, engine_request_id request) {
    broker_worker *worker = op->session->worker;
    op->state = OP_CANCELLING;
    set_timer(op, sl_clock_after_ns(worker->now_ns, worker_limits(worker)->call_grace_ns / 2));
    engine_cancel(worker->engine, request);
}

void op_cancel(broker_op *op, int cause) {
    /* A close that has begun ends with its handle. One that never began (it was the violation that
     * ended its session) has none to end with. */
    if (op->state >= OP_ENDED || (op->kind == SL_REQUEST_CLOSE && op->is_pinned)) {
        return;
    }
    if (op->cause == 0) {
        op->cause = cause;
    }
    if (op->state == OP_CANCELLING) {
        return;
    }
    switch (op->kind) {
    case SL_REQUEST_READ:
    case SL_REQUEST_ACCEPT: op_finish(op, op->cause, 0); break;
    case SL_REQUEST_WRITE:
    case SL_REQUEST_HALF_CLOSE:
        if (op->is_pinned) {
            ask(op, op->handle->write_request);
        } else if (op->handle != NULL) {
            handle_end_write(op, op->cause, 0);
        } else { /* likewise: it never came to its handle */
            op_finish(op, op->cause, 0);
        }
        break;
    default:
        if (op->is_pinned && op->request != 0) {
            ask(op, op->request);
        } else {
            op_finish(op, op->cause, 0);
        }
        break;
    }
}
