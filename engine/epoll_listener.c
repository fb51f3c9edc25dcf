/*
 * epoll_listener.c - TCP listeners, and accepting from listeners of every kind.
 *
 * A listener's handle has one descriptor, and a TCP listener on several addresses has more of them
 * (self->more), registered for the same handle: an edge of any makes its accepts runnable. An
 * accepted socket is the listener's (self->held_fd) until it is a handle, so no connection is ever
 * without an owner. Worker's thread only, except engine_epoll_accept_fd, which touches nothing
 * shared.
 */
#include <errno.h>
#include <netinet/tcp.h>

#include "engine/epoll.h"

#define CALLS           engine_epoll_calls
#define SOCKET_FLAGS    (SOCK_NONBLOCK | SOCK_CLOEXEC)
#define ACCEPT_ATTEMPTS 8 /* connections that died in the backlog, passed over in one call */

struct engine_epoll_more {
    unsigned count;
    unsigned next; /* to ask: 0 is the handle's own, then fds[next - 1] */
    int fds[ENGINE_LISTEN_ADDRESSES_MAX - 1];
};

/* ---- listening ------------------------------------------------------------------------------ */

static int failed(engine_worker *worker, int error) {
    worker->os_error = (uint32_t)error;
    return engine_epoll_status(error);
}

static int open_socket(engine_worker *worker, const engine_address *address, bool is_dual,
                       unsigned backlog, uintptr_t *ret_socket) {
    int fd;
    int error = engine_epoll_open_bound(address, SOCK_STREAM, is_dual, &fd);
    if (error != 0) {
        return failed(worker, error);
    }
    engine_epoll_buffers_narrow(fd);
    if (CALLS.listen(fd, (int)backlog) != 0) { /* cut to net.core.somaxconn: listen(2) */
        error = errno;
        (void)CALLS.close(fd);
        return failed(worker, error);
    }
    *ret_socket = (uintptr_t)fd;
    return SLUICE_OK;
}

static int port_of_socket(engine_worker *worker, uintptr_t socket, uint16_t *ret_port) {
    engine_address address;
    int error = engine_epoll_bound_to((int)socket, &address);
    if (error != 0) {
        return failed(worker, error);
    }
    *ret_port = address.port;
    return SLUICE_OK;
}

static void close_socket(engine_worker *worker, uintptr_t socket) {
    (void)worker;
    (void)CALLS.close((int)socket);
}

/* A child between fork and exec may hold a copy: the registration is ended first, as in epoll.c. */
void engine_epoll_close_more(engine_epoll_handle *self) {
    engine_worker *worker = self->handle.worker;
    if (self->more == NULL) {
        return;
    }
    for (unsigned i = 0; i < self->more->count; i++) {
        (void)CALLS.epoll_ctl(engine_epoll_worker_of(worker)->epoll_fd, EPOLL_CTL_DEL,
                              self->more->fds[i], NULL);
        (void)CALLS.close(self->more->fds[i]);
    }
    engine_worker_free(worker, self->more, sizeof(*self->more));
    self->more = NULL;
}

/* Its edges are the handle's as well. */
static int register_more(engine_epoll_handle *self, int fd) {
    engine_epoll_worker *worker = engine_epoll_worker_of(self->handle.worker);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = self};
    return CALLS.epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

/* Takes all sockets. */
static int adopt_sockets(engine_worker *worker, engine_epoll_handle *self,
                         const engine_sockets *sockets) {
    engine_epoll_handle_init(self, ENGINE_EPOLL_LISTENER, (int)sockets->sockets[0]);
    self->is_tcp = true;
    if (sockets->count > 1) {
        self->more = engine_worker_alloc(worker, sizeof(*self->more));
        if (self->more == NULL) {
            for (unsigned i = 0; i < sockets->count; i++) {
                close_socket(worker, sockets->sockets[i]);
            }
            self->fd = -1;
            return SLUICE_ENOMEM;
        }
        self->more->next = 0;
        self->more->count = sockets->count - 1;
        for (unsigned i = 0; i < self->more->count; i++) {
            self->more->fds[i] = (int)sockets->sockets[i + 1];
        }
    }
    int error = engine_epoll_register(engine_epoll_worker_of(worker), self, false);
    for (unsigned i = 1; i < sockets->count && error == 0; i++) {
        error = register_more(self, (int)sockets->sockets[i]);
    }
    if (error == 0) {
        return SLUICE_OK;
    }
    engine_epoll_close_more(self);
    engine_epoll_close_fd(self);
    return failed(worker, error);
}

int engine_epoll_tcp_listen(engine_worker *worker, engine_handle *handle,
                            const engine_address *addresses, unsigned address_count,
                            const engine_listen_options *options, const engine_rights *rights) {
    static const engine_sockets_ops ops = {
        .open = open_socket, .port = port_of_socket, .close = close_socket};
    engine_sockets sockets;
    (void)rights; /* a port is nobody's */
    int status = engine_sockets_open(worker, &ops, addresses, address_count, options, &sockets);
    if (status == SLUICE_OK) {
        status = adopt_sockets(worker, engine_epoll_handle_of(handle), &sockets);
    }
    if (status == SLUICE_OK) {
        engine_handle_opened(handle, ENGINE_CAN_ACCEPT, 1);
    }
    return status;
}

/* ---- accepting ------------------------------------------------------------------------------ */

bool engine_epoll_is_connections_own(int error) {
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH: return true;
    default: return false;
    }
}

int engine_epoll_accept_fd(int listening_fd, int *ret_fd) {
    for (unsigned i = 0; i < ACCEPT_ATTEMPTS; i++) {
        int fd = CALLS.accept4(listening_fd, NULL, NULL, SOCKET_FLAGS);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
        int error = errno;
        if (engine_epoll_is_shortage(error) && error != EAGAIN) {
            /* accept4 takes the descriptor before it looks for a connection (Linux
             * __sys_accept4_file), so it complains even when nobody is there. */
            struct pollfd look = {.fd = listening_fd, .events = POLLIN};
            return CALLS.poll(&look, 1, 0) == 0 ? EAGAIN : error;
        }
        if (!engine_epoll_is_connections_own(error)) {
            return error;
        }
    }
    return EINTR;
}

/* Whether a stream socket is TCP is known by its listener: endpoints are for pipes only. */
int engine_epoll_adopt(engine_epoll_worker *worker, engine_handle *handle, int fd, bool is_tcp) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    engine_epoll_handle_init(self, ENGINE_EPOLL_SOCKET, fd);
    self->is_tcp = is_tcp;
    int error = engine_epoll_register(worker, self, false);
    if (error != 0) {
        self->fd = -1;
        return error;
    }
    if (is_tcp) {
        /* It fails only if the peer is gone already. */
        (void)engine_epoll_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        engine_epoll_buffers_lock(self);
    }
    engine_handle_opened(handle, ENGINE_EPOLL_STREAM_CAPABILITIES, 1);
    return 0;
}

static int fd_at(const engine_epoll_handle *self, unsigned index) {
    return index == 0 ? self->fd : self->more->fds[index - 1];
}

/* From whichever socket has one, in turn. As the edges of all of them are the handle's, EAGAIN is
 * the answer only when every one has said so. */
static int accept_any(engine_epoll_handle *self, int *ret_fd) {
    engine_epoll_more *more = self->more;
    if (more == NULL) {
        return engine_epoll_accept_fd(self->fd, ret_fd);
    }
    int error = EAGAIN;
    for (unsigned i = 0; i <= more->count && error == EAGAIN; i++) {
        error = engine_epoll_accept_fd(fd_at(self, more->next), ret_fd);
        more->next = more->next < more->count ? more->next + 1 : 0;
    }
    return error;
}

void engine_epoll_accept(engine_epoll_worker *worker, engine_epoll_handle *self,
                         engine_request *request) {
    int error = 0;
    if (self->held_fd < 0) {
        error = self->role == ENGINE_EPOLL_MEMBER
                    ? engine_epoll_member_take(self->member, &self->held_fd)
                    : accept_any(self, &self->held_fd);
    }
    if (error == EAGAIN) {
        engine_epoll_set_blocked(self, ENGINE_IN);
        return;
    }
    self->readiness[ENGINE_IN] = ENGINE_EPOLL_MAYBE;
    if (error == EINTR) {
        return;
    }
    if (error == 0) {
        error = engine_epoll_adopt(worker, request->opening[0], self->held_fd, self->is_tcp);
    }
    if (error != 0) { /* what was accepted stays with us for the next accept */
        engine_request_finish(request, engine_epoll_status(error), (uint32_t)error, 0, 0);
        return;
    }
    self->held_fd = -1;
    engine_request_finish(request, SLUICE_OK, 0, 0, 0);
}
