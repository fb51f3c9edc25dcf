/*
 * finish.c - how a request ends, and how the next one of its queue begins.
 *
 * Every request ends in complete(), once: from the backend (engine_request_finish), or here when
 * the backend does not have it (engine_request_finish_unstarted). It then sits on worker->ready
 * until engine_poll delivers it. Queues: requests of one direction wait in order and are started as
 * far as the backend takes them at a time. A request may end inside ops->start; the pump is a loop,
 * not a recursion, so a thousand queued reads at the end of a file need no stack.
 */
#include "base/failpoint.h"
#include "engine/core.h"

engine_direction engine_kind_direction(engine_kind kind) {
    return kind == ENGINE_WRITE || kind == ENGINE_SEND_TO || kind == ENGINE_HALF_CLOSE ? ENGINE_OUT
                                                                                       : ENGINE_IN;
}

engine_request *engine_queue_head(engine_queue *queue) {
    sl_list *node = sl_list_first(&queue->started);
    return node != NULL ? SL_LIST_ENTRY(node, engine_request, link) : NULL;
}

void engine_request_start(engine_request *request) {
    request->state = ENGINE_REQUEST_STARTED;
    request->worker->ops->start(request->worker, request);
}

void engine_queue_pump(engine_handle *handle, engine_direction direction) {
    engine_queue *queue = &handle->queue[direction];
    if (queue->pumping) {
        return; /* the loop below goes on when ops->start returns */
    }
    queue->pumping = true;
    while (queue->started_count < queue->started_max && !sl_list_is_empty(&queue->waiting)) {
        sl_list *node = sl_list_pop_front(&queue->waiting);
        sl_list_push_back(&queue->started, node);
        queue->started_count++;
        engine_request_start(SL_LIST_ENTRY(node, engine_request, link));
    }
    queue->pumping = false;
}

void engine_handle_opened(engine_handle *handle, unsigned capabilities, unsigned started_max_in) {
    SL_CHECK(!handle->open, "a handle is opened once");
    handle->open = true;
    handle->capabilities = capabilities;
    handle->queue[ENGINE_IN].started_max = started_max_in;
    handle->queue[ENGINE_OUT].started_max = 1;
    handle->worker->handles_opened_count++;
}

/* The handles taken at submit go to the receiver of a success; else nobody will ever see them. */
static void settle_opening(engine_request *request) {
    for (unsigned i = 0; i < request->opening_count; i++) {
        if (request->status == SLUICE_OK) {
            SL_CHECK(request->opening[i]->open, "a request that opens succeeds with open handles");
        } else {
            engine_handle_discard(request->opening[i]);
        }
    }
    if (request->status != SLUICE_OK) {
        request->opening_count = 0;
    }
}

static void complete(engine_request *request, int status, uint32_t os_error, size_t bytes,
                     size_t in_doubt) {
    SL_CHECK(bytes <= request->length && in_doubt <= request->length - bytes,
             "a request transfers no more than was asked for");
    SL_CHECK(status != SLUICE_OK || in_doubt == 0, "a success leaves no doubt");
    sl_list_remove(&request->link);
    request->state = ENGINE_REQUEST_DONE;
    request->status = status;
    request->os_error = os_error;
    request->bytes = bytes;
    request->in_doubt = in_doubt;
    if (request->kind == ENGINE_CONNECT) {
        engine_connect_end(request);
    }
    if (request->opening_count > 0) {
        settle_opening(request);
    }
    engine_ready_push(&request->worker->ready, &request->ready);
    if (request->handle != NULL) {
        SL_CHECK(request->handle->pending > 0, "a handle counts its requests");
        request->handle->pending--;
    }
}

void engine_request_finish(engine_request *request, int status, uint32_t os_error, size_t bytes,
                           size_t in_doubt) {
    SL_CHECK(request->state == ENGINE_REQUEST_STARTED,
             "a request ends once, and only after it was started");
    SL_CHECK(!request->retrying, "a connect between two attempts is not the backend's");
    engine_handle *handle = request->handle;
    engine_direction direction = engine_kind_direction(request->kind);
    SL_FAILPOINT_PASS(engine, complete);
    if (status == SLUICE_ECANCELED && request->timed_out) {
        status = SLUICE_ETIMEDOUT;
    }
    complete(request, status, os_error, bytes, in_doubt);
    if (handle != NULL) {
        engine_queue *queue = &handle->queue[direction];
        queue->started_count--;
        if (!sl_list_is_empty(&queue->waiting)) {
            engine_queue_pump(handle, direction);
        }
        if (handle->closing) {
            engine_close_continue(handle);
        }
    }
}

void engine_request_finish_unstarted(engine_request *request, int status) {
    SL_CHECK(request->state == ENGINE_REQUEST_WAITING || request->retrying,
             "what the backend has, only the backend ends");
    engine_handle *handle = request->handle;
    complete(request, status, 0, 0, 0);
    if (handle != NULL) {
        engine_close_continue(handle);
    }
}
