/*
 * listener.c - a worker's share of the endpoint: connections become sessions of this worker, for
 * life. While it drains, all are refused.
 */
#include "base/failpoint.h"
#include "broker/journal.h"
#include "broker/orphan.h"
#include "broker/session.h"

#define ACCEPTS_MAX 4u
#define RETRY_NS    (50 * SL_NS_PER_MS) /* after an accept failed: no descriptors, no memory */

static void on_accepted(broker_target *target, const engine_completion *completion) {
    broker_worker *worker = SL_CONTAINER_OF(target, struct broker_worker, accept_target);
    worker->accepts--;
    if (completion->status == SLUICE_OK) {
        if (SL_FAILPOINT(broker, accept) == SLUICE_OK) {
            session_accept(worker, completion->opened[0]);
            SL_FAILPOINT_PASS(broker, accepted);
        } else {
            orphan_close(worker, completion->opened[0]);
        }
        listener_arm(worker);
    } else if (!worker->is_shut) {
        sl_log_field fields[] = {{"worker", (int64_t)worker->index},
                                 {"status", completion->status},
                                 {"os_error", (int64_t)completion->os_error}};
        journal_record(worker, NULL, SL_LOG_WARN, "accept failed", NULL, fields, 3);
        deadline_set(worker, &worker->accept_retry, sl_clock_after_ns(worker->now_ns, RETRY_NS));
    }
}

static void on_retry(broker_timer *timer) {
    listener_arm(SL_CONTAINER_OF(timer, broker_worker, accept_retry));
}

static void on_closed(broker_target *target, const engine_completion *completion) {
    (void)completion;
    SL_CONTAINER_OF(target, broker_worker, listener_close_target)->listener = NULL;
}

int listener_open(broker_worker *worker) {
    worker->accept_target.on_completion = on_accepted;
    worker->listener_close_target.on_completion = on_closed;
    worker->accept_retry.on_due = on_retry;
    int status = engine_endpoint_join(worker->broker->endpoint, worker->engine, &worker->listener);
    if (status == SLUICE_OK) {
        listener_arm(worker);
    }
    return status;
}

void listener_arm(broker_worker *worker) {
    while (!worker->is_shut && worker->accepts < ACCEPTS_MAX) {
        int status = engine_accept(worker->listener, &worker->accept_target, NULL);
        if (status != SLUICE_OK) {
            deadline_set(worker, &worker->accept_retry,
                         sl_clock_after_ns(worker->now_ns, RETRY_NS));
            return;
        }
        worker->accepts++;
    }
}

void listener_close(broker_worker *worker) {
    worker->is_shut = true;
    deadline_clear(worker, &worker->accept_retry);
    if (worker->listener != NULL) {
        (void)engine_close(worker->listener, &worker->listener_close_target);
    }
}
