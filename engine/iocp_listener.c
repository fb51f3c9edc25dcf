/*
 * iocp_listener.c - listeners on the completion port; see iocp_listener.h.
 *
 * The listener holds its handle (engine_handle_hold) from its opening until it is closing and
 * nothing of it is in the kernel: a close cancels the operations, the last packet lets go, and only
 * then is anything closed (R7).
 */
#include "engine/iocp_listener.h"

static void serve(iocp_listener *listener);

/* ---- instances ---- */

static void drop(iocp_instance *instance) {
    SL_CHECK(!instance->op.in_kernel, "no handle is closed with an operation in the kernel");
    sl_list_remove(&instance->link);
    if (instance->os != NULL) {
        instance->listener->ops->close(instance);
        instance->os = NULL;
    }
}

static void count(iocp_instance *instance, int change) {
    instance->listener->in_kernel_count += (unsigned)change;
    instance->listener->places[instance->place].in_kernel_count += (unsigned)change;
}

static void on_packet(iocp_op *op, DWORD bytes);

void engine_iocp_instance_arm(iocp_instance *instance) {
    iocp_listener *listener = instance->listener;
    DWORD error = listener->ops->wait(instance, on_packet);
    if (error == 0) {
        count(instance, 1);
    } else if (error == ERROR_PIPE_CONNECTED) {
        sl_list_push_back(&listener->connected, &instance->link);
    } else {
        listener->last_error = error;
        drop(instance);
    }
}

/* What engine.h allows an accept to say. */
static void fail(engine_request *request, DWORD code) {
    int status = engine_iocp_status(code);
    if (status == SLUICE_EACCESS || status == SLUICE_EOSLIMIT) {
        engine_iocp_fail(request, code, 0, 0);
    } else {
        engine_request_finish(request, SLUICE_EOS, code, 0, 0);
    }
}

/* A client that came and was gone is not the listener's failure: the accept waits for the next
 * [docs: AcceptEx, WSAECONNRESET; src go: fd_windows.go]. */
static bool is_lost_client(DWORD code) {
    return engine_iocp_status(code) == SLUICE_ERESET;
}

static engine_request *first_accept(iocp_listener *listener) {
    return engine_queue_head(&listener->owner->handle.queue[ENGINE_IN]);
}

/* The kernel gave an instance up. Whoever waits is told, so that an operation that always fails
 * does not go round for ever. */
static void instance_failed(iocp_instance *instance, DWORD code) {
    iocp_listener *listener = instance->listener;
    engine_request *request = first_accept(listener);
    drop(instance);
    if (!is_lost_client(code)) {
        listener->last_error = code;
        if (request != NULL) {
            fail(request, code);
        }
    }
}

static void on_packet(iocp_op *op, DWORD bytes) {
    iocp_instance *instance = SL_CONTAINER_OF(op, iocp_instance, op);
    iocp_listener *listener = instance->listener;
    DWORD code = engine_iocp_packet_code(op);
    (void)bytes;
    count(instance, -1);
    if (listener->closing) {
        if (listener->in_kernel_count == 0) {
            engine_handle_unhold(&listener->owner->handle);
        }
        return;
    }
    if (listener->ops->is_client(code)) {
        sl_list_push_back(&listener->connected, &instance->link);
    } else {
        instance_failed(instance, code);
    }
    serve(listener);
}

/* ---- listeners ---- */

void engine_iocp_listener_refill(iocp_listener *listener) {
    for (unsigned i = 0; i < listener->instance_count; i++) {
        iocp_instance *instance = &listener->instances[i];
        if (instance->os != NULL) {
            continue;
        }
        DWORD error = listener->ops->open(instance);
        if (error != 0) {
            listener->last_error = error;
            return;
        }
        engine_iocp_instance_arm(instance);
        if (instance->os == NULL) {
            return;
        }
    }
}

/* Would a client be seen, wherever it comes? */
static bool is_waiting(const iocp_listener *listener) {
    for (unsigned i = 0; i < listener->place_count; i++) {
        if (listener->places[i].in_kernel_count == 0) {
            return false;
        }
    }
    return true;
}

/* One connection to one accept. What only a shortage keeps from being a handle waits for the next
 * accept (R5). */
static void give(iocp_instance *instance, engine_request *request) {
    iocp_listener *listener = instance->listener;
    DWORD error = listener->ops->give(instance, request->opening[0]);
    if (error == 0) {
        instance->os = NULL;
        if (listener->ops->is_eager) {
            engine_iocp_listener_refill(listener);
        }
        engine_request_finish(request, SLUICE_OK, 0, 0, 0);
    } else if (engine_iocp_status(error) == SLUICE_EOSLIMIT) {
        sl_list_push_front(&listener->connected, &instance->link);
        fail(request, error);
    } else {
        drop(instance);
        if (!is_lost_client(error)) {
            fail(request, error);
        }
    }
}

/* Brings accepts and clients together. Finishing a request may start the next, which comes back
 * here: the loop goes on with it. */
static void serve(iocp_listener *listener) {
    engine_request *request;
    if (listener->serving) {
        return;
    }
    listener->serving = true;
    if (listener->ops->is_eager) {
        engine_iocp_listener_refill(listener);
    }
    while ((request = first_accept(listener)) != NULL) {
        sl_list *node = sl_list_pop_front(&listener->connected);
        if (node != NULL) {
            give(SL_LIST_ENTRY(node, iocp_instance, link), request);
            continue;
        }
        engine_iocp_listener_refill(listener);
        if (!sl_list_is_empty(&listener->connected)) {
            continue;
        }
        if (is_waiting(listener)) {
            break;
        }
        fail(request, listener->last_error);
    }
    listener->serving = false;
}

void engine_iocp_listener_closing(iocp_handle *h) {
    iocp_listener *listener = h->listener;
    listener->closing = true;
    for (unsigned i = 0; i < listener->instance_count; i++) {
        iocp_instance *instance = &listener->instances[i];
        engine_iocp_op_cancel(&instance->op, instance->target);
    }
    if (listener->in_kernel_count == 0) {
        engine_handle_unhold(&listener->owner->handle);
    }
}

void engine_iocp_accept_start(iocp_request *r) {
    serve(engine_iocp_handle(r->request.handle)->listener);
}

static size_t size_of(unsigned instance_count) {
    return sizeof(iocp_listener) + instance_count * sizeof(iocp_instance);
}

iocp_listener *engine_iocp_listener_create(iocp_handle *h, const iocp_listener_ops *ops,
                                           unsigned instance_count) {
    iocp_listener *listener = engine_worker_alloc(h->handle.worker, size_of(instance_count));
    if (listener == NULL) {
        return NULL;
    }
    listener->ops = ops;
    listener->owner = h;
    listener->place_count = 1;
    listener->instance_count = instance_count;
    sl_list_init(&listener->connected);
    for (unsigned i = 0; i < instance_count; i++) {
        listener->instances[i].listener = listener;
        sl_list_init(&listener->instances[i].link);
    }
    return listener;
}

void engine_iocp_listener_destroy(iocp_listener *listener) {
    engine_worker *worker = listener->owner->handle.worker;
    for (unsigned i = 0; i < listener->instance_count; i++) {
        drop(&listener->instances[i]);
    }
    listener->ops->deinit(listener);
    engine_worker_free(worker, listener, size_of(listener->instance_count));
}

void engine_iocp_listener_opened(iocp_listener *listener) {
    iocp_handle *h = listener->owner;
    h->type = listener->ops->type;
    h->os = NULL;
    h->file = NULL;
    h->listener = listener;
    /* No accept is in the kernel: as many as one likes wait in the queue. */
    engine_handle_opened(&h->handle, ENGINE_CAN_ACCEPT, UINT32_MAX);
    engine_handle_hold(&h->handle);
}

void engine_iocp_listener_release(iocp_handle *h) {
    engine_iocp_listener_destroy(h->listener);
    h->listener = NULL;
}
