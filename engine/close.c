/*
 * close.c - the life and the end of a handle.
 *
 * close = set closing (new requests are refused) -> cancel what waits and what is in the kernel ->
 * every request has come back -> release the OS handle -> deliver ENGINE_CLOSE, behind the
 * completions of its requests. Nothing but the last request's return moves a close on (I4): a
 * request that never returns leaves a zombie, counted in engine_counters.closing. The entry is
 * recycled by the poll after the delivery.
 */
#include <string.h>

#include "base/failpoint.h"
#include "engine/core.h"

int engine_handle_take(engine_worker *w, engine_handle **ret_handle) {
    void *entry;
    sl_slot_id slot;
    int status = sl_slots_take(&w->handles, &entry, &slot);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_handle *handle = entry;
    /* The common part only; a backend resets its own when it opens. */
    memset(handle, 0, sizeof(*handle));
    handle->worker = w;
    handle->slot = slot;
    handle->ready.is_handle = true;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(handle->queue); i++) {
        sl_list_init(&handle->queue[i].waiting);
        sl_list_init(&handle->queue[i].started);
    }
    *ret_handle = handle;
    return SLUICE_OK;
}

/* The backend closes the OS resource; a listener leaves its endpoint. */
static void release(engine_handle *handle) {
    engine_worker *w = handle->worker;
    if (handle->open) {
        SL_FAILPOINT_PASS(engine, release);
        handle->open = false;
        w->ops->release(w, handle);
        w->handles_closed_count++;
    }
    if (handle->endpoint != NULL) {
        atomic_fetch_sub(&handle->endpoint->listener_count, 1);
        handle->endpoint = NULL;
    }
}

void engine_handle_discard(engine_handle *handle) {
    SL_CHECK(handle->pending == 0, "a handle that nobody has seen has no requests");
    release(handle);
    sl_slots_release(&handle->worker->handles, handle);
}

/* Every request of one direction: those that wait end at once, those in the kernel are asked to. */
static void cancel_queue(engine_queue *queue) {
    sl_list *node;
    while ((node = sl_list_first(&queue->waiting)) != NULL) {
        engine_request_cancel(SL_LIST_ENTRY(node, engine_request, link));
    }
    node = queue->started.next;
    while (node != &queue->started) {
        engine_request *request = SL_LIST_ENTRY(node, engine_request, link);
        if (request->cancel_asked) {
            node = node->next;
        } else {
            engine_request_cancel(request);
            node = queue->started.next; /* it may have ended inside: look again from the front */
        }
    }
}

int engine_close(engine_handle *handle, void *user) {
    engine_worker *w = handle->worker;
    engine_check_owner(w);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    SL_CHECK(handle->open, "only an open handle is closed");
    SL_FAILPOINT_PASS(engine, close);
    handle->closing = true;
    w->closing_count++;
    handle->close_user = user;
    cancel_queue(&handle->queue[ENGINE_IN]);
    cancel_queue(&handle->queue[ENGINE_OUT]);
    if (w->ops->closing != NULL && handle->pending != 0) {
        w->ops->closing(w, handle);
    }
    engine_close_continue(handle);
    return SLUICE_OK;
}

void engine_handle_hold(engine_handle *handle) {
    handle->pending++;
}

void engine_handle_unhold(engine_handle *handle) {
    SL_CHECK(handle->pending > 0, "a hold is released once");
    handle->pending--;
    engine_close_continue(handle);
}

void engine_close_continue(engine_handle *handle) {
    if (!handle->closing || handle->closed || handle->pending != 0) {
        return;
    }
    handle->closed = true;
    handle->worker->closing_count--;
    release(handle);
    engine_ready_push(&handle->worker->ready, &handle->ready);
}

unsigned engine_handle_capabilities(const engine_handle *handle) {
    return handle->capabilities;
}

int engine_handle_local_address(engine_handle *handle, engine_address *ret_address) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    return handle->worker->ops->local_address(handle, ret_address);
}
