/*
 * iocp_accept.c - TCP listeners: several listening sockets with some standing AcceptEx each.
 *
 * They stand from the first accept on, and are renewed while one waits: a listener that nobody
 * accepts from has its clients in the backlog, where the system keeps them. An instance's socket is
 * joined to the port when it becomes a handle.
 */
#include "engine/iocp_listener.h"

/* Winsock's, but not every MinGW's. */
#ifndef SOMAXCONN_HINT
#define SOMAXCONN_HINT(number) (-(number))
#endif

#define PLAIN_BACKLOG_MAX  200 /* more is asked for as a hint, which means 200 at least [docs] */
#define ACCEPTS_PER_SOCKET 4   /* so that one turn of the worker can bring several clients */
#define SKIP_MAX           32  /* clients that came and were gone, skipped in a row */

static DWORD last_error(void) {
    return (DWORD)WSAGetLastError();
}

/* ---- listening sockets ---- */

static int open_socket(engine_worker *worker, const engine_address *address, bool is_dual,
                       unsigned backlog, uintptr_t *ret_socket) {
    SOCKET socket;
    int status = engine_iocp_socket_bound(worker, address, SOCK_STREAM, is_dual, &socket);
    if (status != SLUICE_OK) {
        return status;
    }
    if (listen(socket, backlog <= PLAIN_BACKLOG_MAX ? (int)backlog
                                                    : SOMAXCONN_HINT((int)backlog)) != 0) {
        worker->os_error = last_error();
        (void)closesocket(socket);
        return engine_iocp_status(worker->os_error);
    }
    *ret_socket = (uintptr_t)socket;
    return SLUICE_OK;
}

static int port_of_socket(engine_worker *worker, uintptr_t socket, uint16_t *ret_port) {
    engine_address address;
    DWORD error = engine_iocp_bound_to((SOCKET)socket, &address);
    if (error != 0) {
        worker->os_error = error;
        return engine_iocp_status(error);
    }
    *ret_port = address.port;
    return SLUICE_OK;
}

static void close_socket(engine_worker *worker, uintptr_t socket) {
    (void)worker;
    (void)closesocket((SOCKET)socket);
}

/* ---- instances ---- */

static DWORD instance_open(iocp_instance *instance) {
    const iocp_place *place = &instance->listener->places[instance->place];
    SOCKET socket = engine_iocp_socket_create(place->family, SOCK_STREAM);
    if (socket == INVALID_SOCKET) {
        return last_error();
    }
    instance->os = (HANDLE)socket;
    instance->target = (HANDLE)place->socket;
    return 0;
}

/* One AcceptEx. 0: a packet will come. No first bytes with the connection: a silent client would
 * keep the accept. Nobody reads the addresses: the socket knows its own later (instance_give). */
static DWORD accept_once(iocp_instance *instance, void (*on_packet)(iocp_op *op, DWORD bytes)) {
    engine_worker *worker = instance->listener->owner->handle.worker;
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    DWORD received = 0;
    DWORD error = 0;
    engine_iocp_op_begin(&instance->op, instance->listener->places[instance->place].file,
                         on_packet);
    if (!engine_iocp_engine(worker)->accept_ex((SOCKET)instance->target, (SOCKET)instance->os,
                                               w->accepted, 0, IOCP_ACCEPT_ADDRESS_BYTES,
                                               IOCP_ACCEPT_ADDRESS_BYTES, &received,
                                               &instance->op.overlapped)) {
        error = last_error();
    }
    return engine_iocp_op_accepted(&instance->op, error) ? 0 : error;
}

static DWORD instance_wait(iocp_instance *instance, void (*on_packet)(iocp_op *op, DWORD bytes)) {
    unsigned tries = 0;
    DWORD error;
    do {
        error = accept_once(instance, on_packet);
    } while (engine_iocp_status(error) == SLUICE_ERESET && ++tries < SKIP_MAX);
    return error;
}

static bool instance_is_client(DWORD code) {
    return code == 0;
}

/* The accepted socket inherits from the listener by name: its handle, not the new one's
 * (nng#1598). */
static DWORD instance_give(iocp_instance *instance, engine_handle *handle) {
    SOCKET socket = (SOCKET)instance->os;
    SOCKET from = (SOCKET)instance->target;
    if (setsockopt(socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&from,
                   (int)sizeof(from)) != 0) {
        return last_error();
    }
    iocp_file *file;
    DWORD error = engine_iocp_join(handle->worker, (HANDLE)socket, &file);
    if (error == 0) {
        engine_iocp_stream_opened(handle, socket, file);
    }
    return error;
}

static void instance_close(iocp_instance *instance) {
    (void)closesocket((SOCKET)instance->os);
}

/* ---- listeners ---- */

static void deinit(iocp_listener *listener) {
    engine_worker *worker = listener->owner->handle.worker;
    for (unsigned i = 0; i < listener->place_count; i++) {
        close_socket(worker, (uintptr_t)listener->places[i].socket);
        if (listener->places[i].file != NULL) {
            engine_iocp_leave(worker, listener->places[i].file);
        }
    }
}

static const iocp_listener_ops ops = {
    .type = IOCP_TCP_LISTENER,
    .is_eager = false,
    .open = instance_open,
    .wait = instance_wait,
    .is_client = instance_is_client,
    .give = instance_give,
    .close = instance_close,
    .deinit = deinit,
};

static DWORD join_all(iocp_listener *listener) {
    DWORD error = 0;
    for (unsigned i = 0; i < listener->place_count && error == 0; i++) {
        iocp_place *place = &listener->places[i];
        error =
            engine_iocp_join(listener->owner->handle.worker, (HANDLE)place->socket, &place->file);
    }
    return error;
}

int engine_iocp_tcp_listen(engine_worker *worker, iocp_handle *h, const engine_address *addresses,
                           unsigned address_count, const engine_listen_options *options) {
    static const engine_sockets_ops sockets_ops = {
        .open = open_socket, .port = port_of_socket, .close = close_socket};
    engine_sockets sockets;
    int status = engine_sockets_open(worker, &sockets_ops, addresses, address_count, options,
                                     &sockets);
    if (status != SLUICE_OK) {
        return status;
    }
    iocp_listener *listener =
        engine_iocp_listener_create(h, &ops, sockets.count * ACCEPTS_PER_SOCKET);
    if (listener == NULL) {
        for (unsigned i = 0; i < sockets.count; i++) {
            close_socket(worker, sockets.sockets[i]);
        }
        return SLUICE_ENOMEM;
    }
    listener->place_count = sockets.count;
    for (unsigned i = 0; i < sockets.count; i++) {
        listener->places[i].socket = (SOCKET)sockets.sockets[i];
        listener->places[i].family =
            sockets.families[i] == ENGINE_ADDRESS_IPV4 ? AF_INET : AF_INET6;
    }
    /* In turn, so that the first round of a shortage leaves out no address. */
    for (unsigned i = 0; i < listener->instance_count; i++) {
        listener->instances[i].place = i % sockets.count;
    }
    DWORD error = join_all(listener);
    if (error != 0) {
        engine_iocp_listener_destroy(listener);
        return engine_iocp_join_failed(worker, error);
    }
    engine_iocp_listener_opened(listener);
    return SLUICE_OK;
}

SOCKET engine_iocp_tcp_listener_socket(const iocp_handle *h) {
    return h->listener->places[0].socket;
}
