/*
 * counters.c - see counters.h.
 */
#include "broker/counters.h"

#include "broker/worker.h"

void counters_sum(const broker *b, broker_counters *ret_counters) {
    broker_counters sum = {.workers = b->worker_count};
    for (uint32_t i = 0; i < b->worker_count; i++) {
        const broker_worker *worker = &b->workers[i];
        const worker_counters *counters = &worker->counters;
        sum.sessions += counter_get(&counters->sessions);
        sum.handles += counter_get(&counters->handles);
        sum.operations += counter_get(&counters->operations);
        sum.zombies += counter_get(&counters->zombies);
        sum.operations_started += counter_get(&counters->operations_started);
        sum.operations_finished += counter_get(&counters->operations_finished);
        sum.cancels += counter_get(&counters->cancels);
        sum.sessions_started += counter_get(&counters->sessions_started);
        sum.protocol_violations += counter_get(&counters->protocol_violations);
        sum.stray_packets += counter_get(&counters->stray_packets);
        sum.memory_bytes += atomic_load_explicit(&worker->account.used_bytes, memory_order_relaxed);
    }
    sum.opens_given_up = engine_given_up(b->engine);
    sum.is_draining = atomic_load_explicit(&b->is_draining, memory_order_relaxed);
    *ret_counters = sum;
}
