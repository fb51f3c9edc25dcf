/*
 * orphan.c - see orphan.h.
 */
#include "broker/orphan.h"

static void on_closed(broker_target *target, const engine_completion *completion) {
    (void)target;
    (void)completion;
}

void orphan_init(broker_worker *worker) {
    worker->orphan_target.on_completion = on_closed;
}

void orphan_close(broker_worker *worker, engine_handle *handle) {
    (void)engine_close(handle, &worker->orphan_target);
}
