/*
 * deadline.c - everything that happens at a time: one heap per worker, whose first entry is the
 * deadline of the worker's engine_poll.
 *
 * Whoever owns a timer has reserved its place when it was made, so arming never fails.
 */
#include "broker/worker.h"

int deadline_reserve(broker_worker *worker) {
    int status = sl_heap_reserve(&worker->timers, worker->timer_owners + 1);
    if (status == SLUICE_OK) {
        worker->timer_owners++;
    }
    return status;
}

void deadline_unreserve(broker_worker *worker) {
    SL_CHECK(worker->timer_owners > 0, "a timer's place is given back once");
    worker->timer_owners--;
}

void deadline_set(broker_worker *worker, broker_timer *timer, uint64_t deadline_ns) {
    sl_heap_remove(&worker->timers, &timer->node);
    if (deadline_ns != SL_CLOCK_NEVER) {
        int status = sl_heap_insert(&worker->timers, &timer->node, deadline_ns);
        SL_CHECK(status == SLUICE_OK, "a timer's place was reserved");
    }
}

void deadline_clear(broker_worker *worker, broker_timer *timer) {
    sl_heap_remove(&worker->timers, &timer->node);
}

broker_timer *deadline_take_due(broker_worker *worker) {
    sl_heap_node *node = sl_heap_pop_due(&worker->timers, worker->now_ns);
    return node != NULL ? SL_CONTAINER_OF(node, broker_timer, node) : NULL;
}
