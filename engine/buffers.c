/*
 * buffers.c - see buffers.h: what a backend does not know is nothing.
 */
#include "engine/buffers.h"

#include "engine/backend.h"
#include "engine/core.h"

uint32_t engine_handle_bytes(const engine *e) {
    return e->ops->handle_bytes;
}

uint32_t engine_receive_step(engine_handle *handle) {
    const engine_ops *ops = handle->worker->ops;
    engine_check_owner(handle->worker);
    return ops->receive_step != NULL ? ops->receive_step(handle) : 0;
}

void engine_widen(engine_handle *handle) {
    const engine_ops *ops = handle->worker->ops;
    engine_check_owner(handle->worker);
    if (ops->widen != NULL) {
        ops->widen(handle);
    }
}

bool engine_sends_more(engine_handle *handle) {
    const engine_ops *ops = handle->worker->ops;
    engine_check_owner(handle->worker);
    return ops->sends_more != NULL && ops->sends_more(handle);
}

int engine_unsent(engine_handle *handle, uint64_t *ret_bytes) {
    const engine_ops *ops = handle->worker->ops;
    engine_check_owner(handle->worker);
    return ops->unsent != NULL ? ops->unsent(handle, ret_bytes) : SLUICE_ENOTSUP;
}
