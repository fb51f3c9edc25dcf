/*
 * types.h - names that the core's files share: who completes what, who waits for when.
 */
#ifndef SLUICE_BROKER_TYPES_H
#define SLUICE_BROKER_TYPES_H

#include "base/check.h"
#include "base/heap.h"
#include "base/list.h"
#include "engine/engine.h"
#include "proto/message.h"

typedef struct broker_worker broker_worker;
typedef struct broker_session broker_session;
typedef struct broker_handle broker_handle;
typedef struct broker_op broker_op;
typedef struct broker_chunk broker_chunk;
typedef struct broker_query broker_query;

/* Every request to the engine carries one of these as its `user`: embedded in what asked, and alive
 * until the completion is handled (I4). */
typedef struct broker_target broker_target;
struct broker_target {
    void (*on_completion)(broker_target *target, const engine_completion *completion);
};

/* Memory that somebody is charged for (charge.h). Whatever needs it holds one of these, by which it
 * was taken and alone can be given back. */
typedef struct broker_charge {
    broker_session *payer; /* NULL: nothing is taken */
    uint64_t bytes;
} broker_charge;

/* Something that happens at a time, on the worker's heap (deadline.c). Room for it in the heap is
 * taken when its owner is made, so that arming cannot fail. */
typedef struct broker_timer broker_timer;
struct broker_timer {
    sl_heap_node node;
    void (*on_due)(broker_timer *timer);
};

#endif
