/*
 * tables.c - see tables.h.
 */
#include "broker/tables.h"

#include "broker/op.h"

#define OPS_MAX    (1u << 22)
#define TIMERS_MAX (1u << 24)

int tables_init(broker_worker *worker) {
    sl_account_init(&worker->account, worker->broker->options.allocator, "broker worker", SIZE_MAX);
    chunk_pool_init(&worker->chunks, &worker->account);
    sl_heap_init(&worker->timers, &worker->account, TIMERS_MAX);
    worker->timer_owners = 0;
    int status = sl_message_arena_init(&worker->arena, &worker->account);
    if (status == SLUICE_OK) {
        /* One more, which is looked at and refused. */
        status =
            sl_slots_init(&worker->sessions, &worker->account,
                          (uint32_t)worker_limits(worker)->sessions + 1, sizeof(broker_session));
    }
    if (status == SLUICE_OK) {
        status = sl_slots_init(&worker->ops, &worker->account, OPS_MAX, sizeof(broker_op));
    }
    return status;
}

void tables_deinit(broker_worker *worker) {
    sl_slots_deinit(&worker->ops);
    sl_slots_deinit(&worker->sessions);
    sl_arena_deinit(&worker->arena);
    sl_heap_deinit(&worker->timers);
    chunk_pool_deinit(&worker->chunks);
    sl_account_deinit(&worker->account);
}

void tables_trim(broker_worker *worker) {
    if (worker->sessions.used == 0) {
        sl_slots_trim(&worker->sessions);
        sl_slots_trim(&worker->ops);
        chunk_pool_trim(&worker->chunks);
        sl_heap_trim(&worker->timers, worker->timer_owners);
    }
}
