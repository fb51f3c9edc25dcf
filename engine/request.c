/*
 * request.c - submitting: check, take a request from the pool, fill it in, queue it.
 *
 * Refusals happen before anything is taken or touched. A request that is accepted is published in
 * its queue before the backend hears of it (I5); requests without a handle (listen, connect, pair,
 * resolve) go to the backend at once.
 */
#include <string.h>

#include "base/failpoint.h"
#include "engine/core.h"

/* Takes a request from the pool and fills in what is common. */
static int take_request(engine_worker *w, engine_kind kind, void *user,
                        engine_request **ret_request) {
    void *entry;
    engine_request_id id;
    int status = SL_FAILPOINT(engine, submit);
    if (status != SLUICE_OK) {
        return status;
    }
    status = sl_slots_take(&w->requests, &entry, &id);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_request *request = entry;
    sl_list_init(&request->link);
    request->worker = w;
    request->handle = NULL;
    request->id = id;
    request->user = user;
    request->kind = kind;
    request->state = ENGINE_REQUEST_WAITING;
    request->cancel_asked = false;
    request->timed_out = false;
    request->retrying = false;
    request->detail = NULL;
    request->opening_count = 0;
    request->buffer_count = 0;
    request->length = 0;
    request->done = 0;
    request->job = NULL;
    *ret_request = request;
    return SLUICE_OK;
}

static void give_back(engine_request *request) {
    for (unsigned i = 0; i < request->opening_count; i++) {
        engine_handle_discard(request->opening[i]);
    }
    request->state = ENGINE_REQUEST_FREE;
    sl_slots_release(&request->worker->requests, request);
}

/* Reserves the handles a request will open: a connection that arrives finds its place. */
static int take_opening(engine_request *request, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        int status = engine_handle_take(request->worker, &request->opening[i]);
        if (status != SLUICE_OK) {
            return status;
        }
        request->opening_count++;
    }
    return SLUICE_OK;
}

static int check_handle(engine_handle *handle, unsigned capabilities) {
    engine_check_owner(handle->worker);
    if (handle->closing) {
        return SLUICE_ECLOSED;
    }
    return (handle->capabilities & capabilities) == capabilities ? SLUICE_OK : SLUICE_ENOTSUP;
}

static void publish_id(const engine_request *request, engine_request_id *ret_id) {
    request->worker->submitted_count++;
    if (ret_id != NULL) {
        *ret_id = request->id;
    }
}

/* To the end of its queue, and into the kernel if it is its turn. */
static void enqueue(engine_handle *handle, engine_request *request, engine_request_id *ret_id) {
    engine_direction direction = engine_kind_direction(request->kind);
    request->handle = handle;
    handle->pending++;
    publish_id(request, ret_id);
    engine_queue *queue = &handle->queue[direction];
    if (queue->started_count < queue->started_max && sl_list_is_empty(&queue->waiting)) {
        sl_list_push_back(&queue->started, &request->link);
        queue->started_count++;
        engine_request_start(request);
    } else {
        sl_list_push_back(&queue->waiting, &request->link);
    }
    SL_FAILPOINT_PASS(engine, submitted);
}

/* A request without a handle. */
static void launch(engine_request *request, const engine_behalf *behalf,
                   engine_request_id *ret_id) {
    static const engine_behalf own;
    request->behalf = behalf != NULL ? *behalf : own;
    sl_list_push_back(&request->worker->loose, &request->link);
    publish_id(request, ret_id);
    engine_request_start(request);
    SL_FAILPOINT_PASS(engine, submitted);
}

static int check_buffers(const engine_buffer *buffers, unsigned count, size_t *ret_total) {
    size_t total = 0;
    if (count > ENGINE_GATHER_MAX || (count > 0 && buffers == NULL)) {
        return SLUICE_EINVAL;
    }
    for (unsigned i = 0; i < count; i++) {
        if (buffers[i].length > ENGINE_IO_MAX - total ||
            (buffers[i].length > 0 && buffers[i].bytes == NULL)) {
            return SLUICE_EINVAL;
        }
        total += buffers[i].length;
    }
    *ret_total = total;
    return SLUICE_OK;
}

/* Copies the array without its empty buffers, so that backends never meet one. */
static void copy_buffers(engine_request *request, const engine_buffer *buffers, unsigned count,
                         size_t total) {
    for (unsigned i = 0; i < count; i++) {
        if (buffers[i].length > 0) {
            request->buffers[request->buffer_count++] = buffers[i];
        }
    }
    request->length = total;
}

static int submit_in(engine_handle *handle, engine_kind kind, void *buffer, size_t length,
                     engine_address *ret_from, void *user, engine_request_id *ret_id) {
    if (length > ENGINE_IO_MAX || (length > 0 && buffer == NULL)) {
        return SLUICE_EINVAL;
    }
    engine_request *request;
    int status = take_request(handle->worker, kind, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    request->buffer = buffer;
    request->length = length;
    request->ret_from = ret_from;
    enqueue(handle, request, ret_id);
    return SLUICE_OK;
}

int engine_read(engine_handle *handle, void *buffer, size_t length, void *user,
                engine_request_id *ret_id) {
    int status = check_handle(handle, ENGINE_CAN_READ);
    if (status != SLUICE_OK) {
        return status;
    }
    return submit_in(handle, ENGINE_READ, buffer, length, NULL, user, ret_id);
}

int engine_try_read(engine_handle *handle, void *buffer, size_t length, size_t *ret_bytes,
                    uint32_t *ret_os_error) {
    int status = check_handle(handle, ENGINE_CAN_READ);
    if (status != SLUICE_OK) {
        return status;
    }
    if (handle->worker->ops->try_read == NULL) {
        return SLUICE_ENOTSUP;
    }
    if (buffer == NULL || length == 0 || length > ENGINE_IO_MAX) {
        return SLUICE_EINVAL;
    }
    const engine_request *head = engine_queue_head(&handle->queue[ENGINE_IN]);
    SL_CHECK(head == NULL || head->length == 0, "what is tried overtakes no read");
    return handle->worker->ops->try_read(handle, buffer, length, ret_bytes, ret_os_error);
}

bool engine_tries(const engine_handle *handle) {
    return handle->worker->ops->try_read != NULL;
}

int engine_receive_from(engine_handle *handle, void *buffer, size_t length,
                        engine_address *ret_from, void *user, engine_request_id *ret_id) {
    int status = check_handle(handle, ENGINE_CAN_DATAGRAM);
    if (status != SLUICE_OK) {
        return status;
    }
    return submit_in(handle, ENGINE_RECEIVE_FROM, buffer, length, ret_from, user, ret_id);
}

int engine_write(engine_handle *handle, const engine_buffer *buffers, unsigned buffer_count,
                 void *user, engine_request_id *ret_id) {
    size_t total;
    int status = check_handle(handle, ENGINE_CAN_WRITE);
    if (status == SLUICE_OK) {
        status = check_buffers(buffers, buffer_count, &total);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    if (total == 0) {
        return SLUICE_EINVAL;
    }
    engine_request *request;
    status = take_request(handle->worker, ENGINE_WRITE, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    copy_buffers(request, buffers, buffer_count, total);
    enqueue(handle, request, ret_id);
    return SLUICE_OK;
}

size_t engine_write_progress(const engine_worker *w, engine_request_id id) {
    engine_check_owner(w);
    const engine_request *request = sl_slots_find(&w->requests, id);
    return request != NULL && request->kind == ENGINE_WRITE ? request->done : 0;
}

int engine_send_to(engine_handle *handle, const engine_buffer *buffers, unsigned buffer_count,
                   const engine_address *to, void *user, engine_request_id *ret_id) {
    size_t total;
    int status = check_handle(handle, ENGINE_CAN_DATAGRAM);
    if (status == SLUICE_OK) {
        status = check_buffers(buffers, buffer_count, &total);
    }
    if (status == SLUICE_OK && to->family != ENGINE_ADDRESS_IPV4 &&
        to->family != ENGINE_ADDRESS_IPV6) {
        status = SLUICE_EINVAL;
    }
    if (status != SLUICE_OK) {
        return status;
    }
    engine_request *request;
    status = take_request(handle->worker, ENGINE_SEND_TO, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    copy_buffers(request, buffers, buffer_count, total);
    request->address = *to;
    enqueue(handle, request, ret_id);
    return SLUICE_OK;
}

int engine_half_close(engine_handle *handle, void *user, engine_request_id *ret_id) {
    int status = check_handle(handle, ENGINE_CAN_HALF_CLOSE);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_request *request;
    status = take_request(handle->worker, ENGINE_HALF_CLOSE, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    enqueue(handle, request, ret_id);
    return SLUICE_OK;
}

int engine_accept(engine_handle *listener, void *user, engine_request_id *ret_id) {
    int status = check_handle(listener, ENGINE_CAN_ACCEPT);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_request *request;
    status = take_request(listener->worker, ENGINE_ACCEPT, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    status = take_opening(request, 1);
    if (status != SLUICE_OK) {
        give_back(request);
        return status;
    }
    enqueue(listener, request, ret_id);
    return SLUICE_OK;
}

int engine_connect(engine_worker *w, const engine_address *address, uint64_t deadline_ns,
                   const engine_behalf *behalf, void *user, engine_request_id *ret_id) {
    engine_check_owner(w);
    bool is_pipe = address->family == ENGINE_ADDRESS_PIPE;
    if (address->family == ENGINE_ADDRESS_NONE || (!is_pipe && address->port == 0)) {
        return SLUICE_EINVAL;
    }
    engine_request *request;
    int status = take_request(w, ENGINE_CONNECT, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    request->address = *address;
    status = take_opening(request, 1);
    if (status == SLUICE_OK) {
        status = engine_connect_begin(request, deadline_ns);
    }
    if (status != SLUICE_OK) {
        give_back(request);
        return status;
    }
    launch(request, behalf, ret_id);
    return SLUICE_OK;
}

int engine_pair(engine_worker *w, const engine_behalf *behalf, void *user,
                engine_request_id *ret_id) {
    engine_check_owner(w);
    engine_request *request;
    int status = take_request(w, ENGINE_PAIR, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    status = take_opening(request, 2);
    if (status != SLUICE_OK) {
        give_back(request);
        return status;
    }
    launch(request, behalf, ret_id);
    return SLUICE_OK;
}

int engine_resolve(engine_worker *w, const char *host, uint16_t port, engine_address *ret_addresses,
                   uint32_t capacity, const engine_behalf *behalf, void *user,
                   engine_request_id *ret_id) {
    engine_check_owner(w);
    size_t length = strlen(host);
    if (length == 0 || capacity == 0 || ret_addresses == NULL) {
        return SLUICE_EINVAL;
    }
    if (length >= ENGINE_HOST_BYTES) {
        return SLUICE_ENAMETOOLONG;
    }
    engine_request *request;
    int status = take_request(w, ENGINE_RESOLVE, user, &request);
    if (status != SLUICE_OK) {
        return status;
    }
    memcpy(request->host, host, length + 1);
    request->port = port;
    request->ret_addresses = ret_addresses;
    request->address_capacity = capacity;
    request->address_count = 0;
    launch(request, behalf, ret_id);
    return SLUICE_OK;
}

int engine_check_listen_options(const engine_listen_options *options) {
    return options->backlog > ENGINE_BACKLOG_MAX ? SLUICE_EINVAL : SLUICE_OK;
}

/* One pipe, or network addresses. */
static int check_listen_addresses(const engine_address *addresses, unsigned count) {
    if (count == 1 && addresses[0].family == ENGINE_ADDRESS_PIPE && !addresses[0].is_endpoint) {
        return SLUICE_OK;
    }
    for (unsigned i = 0; i < count; i++) {
        if (addresses[i].family != ENGINE_ADDRESS_IPV4 &&
            addresses[i].family != ENGINE_ADDRESS_IPV6) {
            return SLUICE_EINVAL;
        }
    }
    return count > 0 && count <= ENGINE_LISTEN_ADDRESSES_MAX ? SLUICE_OK : SLUICE_EINVAL;
}

int engine_listen(engine_worker *w, const engine_address *addresses, unsigned address_count,
                  const engine_listen_options *options, const engine_behalf *behalf, void *user,
                  engine_request_id *ret_id) {
    static const engine_listen_options defaults;
    engine_check_owner(w);
    if (options == NULL) {
        options = &defaults;
    }
    if (check_listen_addresses(addresses, address_count) != SLUICE_OK ||
        engine_check_listen_options(options) != SLUICE_OK) {
        return SLUICE_EINVAL;
    }
    engine_request *request;
    int status = SL_FAILPOINT(engine, listen);
    if (status == SLUICE_OK) {
        status = take_request(w, ENGINE_LISTEN, user, &request);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    request->address = addresses[0];
    request->listen = *options;
    request->listen_addresses = addresses;
    request->listen_count = address_count;
    status = take_opening(request, 1);
    if (status != SLUICE_OK) {
        give_back(request);
        return status;
    }
    launch(request, behalf, ret_id);
    return SLUICE_OK;
}

int engine_udp_open(engine_worker *w, const engine_address *bind_address,
                    engine_handle **ret_handle) {
    engine_check_owner(w);
    if (bind_address->family != ENGINE_ADDRESS_IPV4 &&
        bind_address->family != ENGINE_ADDRESS_IPV6) {
        return SLUICE_EINVAL;
    }
    engine_handle *handle;
    int status = SL_FAILPOINT(engine, listen);
    if (status == SLUICE_OK) {
        status = engine_handle_take(w, &handle);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    status = w->ops->udp_open(w, handle, bind_address);
    if (status != SLUICE_OK) {
        engine_handle_discard(handle);
        return status;
    }
    *ret_handle = handle;
    return SLUICE_OK;
}
