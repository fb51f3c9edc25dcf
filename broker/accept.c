/*
 * accept.c - accepting: those who wait for a connection, and the connection that waits for them.
 *
 * The system's accept is the listener's, not the client's: a cancelled accept leaves the queue, and
 * a connection that arrives then is kept for the next one. One is kept at most, for none is asked
 * for while nobody waits.
 */
#include "broker/handle.h"
#include "broker/orphan.h"

static void on_completion(broker_target *target, const engine_completion *completion);

static void serve_all(broker_handle *handle) {
    for (;;) {
        sl_list *node = sl_list_first(&handle->accepters);
        if (node == NULL) {
            return;
        }
        broker_op *op = SL_LIST_ENTRY(node, struct broker_op, link);
        if (handle->ready != NULL) {
            engine_handle *connection = handle->ready;
            handle->ready = NULL;
            handle_close_if_late(handle_open(op, connection));
            op_finish(op, SLUICE_OK, 0);
            continue;
        }
        if (handle->is_accepting || handle->state != HANDLE_OPEN) {
            return;
        }
        handle->accept_target.on_completion = on_completion;
        int status = engine_accept(handle->os, &handle->accept_target, NULL);
        if (status == SLUICE_OK) {
            handle->is_accepting = true;
            return;
        }
        op_finish(op, status, 0);
    }
}

void handle_accept(broker_handle *handle, broker_op *op) {
    sl_list_push_back(&handle->accepters, &op->link);
    op->state = OP_STARTED;
    serve_all(handle);
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_handle *handle = SL_CONTAINER_OF(target, struct broker_handle, accept_target);
    handle->is_accepting = false;
    if (completion->status == SLUICE_OK) {
        if (handle->state != HANDLE_OPEN) {
            orphan_close(handle->session->worker, completion->opened[0]);
            return;
        }
        SL_CHECK(handle->ready == NULL, "one connection waits at most");
        handle->ready = completion->opened[0];
    } else {
        sl_list *node = sl_list_first(&handle->accepters);
        if (node != NULL) {
            op_finish(SL_LIST_ENTRY(node, broker_op, link), completion->status,
                      completion->os_error);
        }
    }
    serve_all(handle);
}
