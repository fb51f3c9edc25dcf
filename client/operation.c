/*
 * operation.c - see operation.h.
 */
#include "client/operation.h"

#include <stddef.h>
#include <string.h>

void client_operation_init(client_operation *op, sl_request_kind kind, uint64_t timeout_ns) {
    sl_event event = op->event;
    bool has_event = op->has_event;
    memset(op, 0, offsetof(client_operation, result.detail) + 1);
    op->event = event;
    op->has_event = has_event;
    atomic_init(&op->reference_count, 1);
    atomic_init(&op->cancel_posted, false);
    atomic_init(&op->is_released, true);
    atomic_init(&op->is_finished, false);
    op->kind = CLIENT_REQUEST;
    op->request.kind = kind;
    op->timeout_ns = timeout_ns;
    op->result.size = sizeof(op->result);
    sl_list_init(&op->link);
    sl_list_init(&op->cancel_link);
    sl_list_init(&op->all_link);
    sl_list_init(&op->read_link);
}

void client_operation_hold(client_operation *op) {
    atomic_fetch_add_explicit(&op->reference_count, 1, memory_order_relaxed);
}

bool client_operation_drop(client_operation *op) {
    /* The only one there is cannot become more: nobody else has one to take another from. */
    if (atomic_load_explicit(&op->reference_count, memory_order_acquire) == 1) {
        return true;
    }
    unsigned before = atomic_fetch_sub_explicit(&op->reference_count, 1, memory_order_acq_rel);
    SL_CHECK(before != 0, "an operation is not released once too often");
    return before == 1;
}

bool client_operation_credit(const client_operation *op, uint32_t *ret_bytes) {
    if (op->kind != CLIENT_REQUEST || op->is_internal ||
        (sl_request_traits(op->request.kind) & SL_REQUEST_TAKES_CREDIT) == 0) {
        return false;
    }
    *ret_bytes = sl_request_credit_bytes(&op->request);
    return true;
}

uint64_t *client_operation_handle(client_operation *op) {
    switch (op->request.kind) {
    case SL_REQUEST_READ: return &op->request.as.read.handle;
    case SL_REQUEST_WRITE: return &op->request.as.write.handle;
    case SL_REQUEST_ACCEPT: return &op->request.as.accept.listener;
    case SL_REQUEST_CLOSE: return &op->request.as.close.handle;
    case SL_REQUEST_HALF_CLOSE: return &op->request.as.half_close.handle;
    case SL_REQUEST_ACKNOWLEDGE_TORN: return &op->request.as.acknowledge_torn.handle;
    default: return NULL;
    }
}
