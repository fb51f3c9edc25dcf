/*
 * epoll_socket.c - sockets of the epoll backend: connecting, datagrams, addresses; and anonymous
 * pipes. (What names a path: epoll_path.c.)
 *
 * Local pipes are Unix stream sockets. A listening socket belongs to the listener's handle, an
 * accepted or connected one to the handle that the request opens; in between it is held by the
 * listener (self->held_fd) or by the connect (self->fd), so no connection is ever without an
 * owner. All sockets are non-blocking and close-on-exec from their creation. Worker's thread
 * only, except engine_epoll_sockaddr, which touches nothing shared.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

#include "engine/epoll.h"

#define CALLS        engine_epoll_calls
#define SOCKET_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* ---- addresses ------------------------------------------------------------------------------ */

_Static_assert(ENGINE_PIPE_PATH_MAX + 1 == sizeof(((struct sockaddr_un *)0)->sun_path),
               "a path and its NUL fill the address");

static int pipe_sockaddr(const engine_address *address, struct sockaddr_un *ret_un,
                         socklen_t *ret_length) {
    size_t length = strnlen(address->pipe, sizeof(address->pipe));
    if (length == 0) {
        return SLUICE_EINVAL;
    }
    if (length > ENGINE_PIPE_PATH_MAX) {
        return SLUICE_ENAMETOOLONG;
    }
    ret_un->sun_family = AF_UNIX;
    memcpy(ret_un->sun_path, address->pipe, length + 1);
    engine_epoll_collapse(ret_un->sun_path);
    length = strlen(ret_un->sun_path);
    *ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return SLUICE_OK;
}

int engine_epoll_sockaddr(const engine_address *address, struct sockaddr_storage *ret_storage,
                          socklen_t *ret_length) {
    memset(ret_storage, 0, sizeof(*ret_storage));
    if (address->family == ENGINE_ADDRESS_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip, sizeof(in->sin_addr));
        *ret_length = sizeof(*in);
        return SLUICE_OK;
    }
    if (address->family == ENGINE_ADDRESS_IPV6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_storage;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(address->port);
        in6->sin6_scope_id = address->scope_id;
        memcpy(&in6->sin6_addr, address->ip, sizeof(in6->sin6_addr));
        *ret_length = sizeof(*in6);
        return SLUICE_OK;
    }
    if (address->family == ENGINE_ADDRESS_PIPE) {
        return pipe_sockaddr(address, (struct sockaddr_un *)ret_storage, ret_length);
    }
    return SLUICE_EINVAL;
}

static void from_sockaddr(const struct sockaddr_storage *storage, engine_address *ret_address) {
    memset(ret_address, 0, sizeof(*ret_address));
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
        engine_address_ipv4(ret_address, (const uint8_t *)&in->sin_addr, ntohs(in->sin_port));
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
        engine_address_ipv6(ret_address, in6->sin6_addr.s6_addr, in6->sin6_scope_id,
                            ntohs(in6->sin6_port));
    }
}

int engine_epoll_bound_to(int fd, engine_address *ret_address) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    memset(&storage, 0, sizeof(storage));
    if (CALLS.getsockname(fd, (struct sockaddr *)&storage, &length) != 0) {
        return errno;
    }
    from_sockaddr(&storage, ret_address);
    return 0;
}

int engine_epoll_local_address(engine_handle *handle, engine_address *ret_address) {
    const engine_epoll_handle *self = engine_epoll_handle_of(handle);
    if (!self->is_tcp && self->role != ENGINE_EPOLL_DATAGRAM) {
        return SLUICE_ENOTSUP;
    }
    engine_address address;
    if (engine_epoll_bound_to(self->fd, &address) != 0) {
        return SLUICE_EOS;
    }
    *ret_address = address;
    return SLUICE_OK;
}

int engine_epoll_set_option(int fd, int level, int name, int value) {
    return CALLS.setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : errno;
}

/* Since Linux 6.16; connections inherit it from their listener. Debian 12's headers lack it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/*
 * A peer may send descriptors with its bytes (SCM_RIGHTS). We never ask for them, so the kernel
 * closes them inside our recv(2) or close(2), and closing can wait as long as their sender likes: a
 * TCP socket with SO_LINGER and a full send buffer waits for its linger time (measured: a worker
 * stood still for all of it). So a peer must not be able to send any. A kernel before 6.16 refuses
 * the option; there a local peer that may connect can delay a worker (docs/design.md).
 */
sl_atomic_bool engine_epoll_takes_rights;

int engine_epoll_unix_socket(void) {
    int fd = CALLS.socket(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (fd >= 0) {
        const int off = 0;
        if (CALLS.setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) != 0) {
            atomic_store_explicit(&engine_epoll_takes_rights, true, memory_order_relaxed);
        }
    }
    return fd;
}

/* ---- binding -------------------------------------------------------------------------------- */

/*
 * SO_REUSEADDR lets a successor bind while old connections are in TIME_WAIT, if they had it too:
 * they have it from their listener (Linux inet_csk_bind_conflict). For a port of the system's
 * choice it is set after bind(): before, the system might choose one that another such socket is
 * about to listen on.
 */
static int bind_socket(int fd, int type, const struct sockaddr_storage *storage, socklen_t length,
                       uint16_t port) {
    int error = 0;
    if (type == SOCK_STREAM && port != 0) {
        error = engine_epoll_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if (error == 0 && CALLS.bind(fd, (const struct sockaddr *)storage, length) != 0) {
        error = errno;
    }
    if (error == 0 && type == SOCK_STREAM && port == 0) {
        error = engine_epoll_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    return error;
}

int engine_epoll_open_bound(const engine_address *address, int type, bool is_dual, int *ret_fd) {
    struct sockaddr_storage storage;
    socklen_t length;
    if (engine_epoll_sockaddr(address, &storage, &length) != SLUICE_OK) {
        return EINVAL;
    }
    int fd = CALLS.socket(storage.ss_family, type | SOCKET_FLAGS, 0);
    if (fd < 0) {
        return errno;
    }
    int error = 0;
    if (storage.ss_family == AF_INET6) { /* said either way: the system's default is a setting */
        error = engine_epoll_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_dual ? 0 : 1);
    }
    if (error == 0) {
        error = bind_socket(fd, type, &storage, length, address->port);
    }
    if (error != 0) {
        (void)CALLS.close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

int engine_epoll_udp_open(engine_worker *worker, engine_handle *handle,
                          const engine_address *address) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    int fd;
    int error = engine_epoll_open_bound(address, SOCK_DGRAM, false, &fd);
    if (error == 0) {
        engine_epoll_handle_init(self, ENGINE_EPOLL_DATAGRAM, fd);
        error = engine_epoll_register(engine_epoll_worker_of(worker), self, false);
        if (error != 0) {
            (void)CALLS.close(fd);
            self->fd = -1;
        }
    }
    if (error != 0) {
        worker->os_error = (uint32_t)error;
        return engine_epoll_status(error);
    }
    engine_handle_opened(handle, ENGINE_CAN_DATAGRAM, 1);
    return SLUICE_OK;
}

/* ---- connecting ----------------------------------------------------------------------------- */

/* Is there a local address from which to get there? Connecting a UDP socket looks for one in the
 * same way, and sends nothing (Linux ip4_datagram_connect, ip6_datagram_connect). */
static bool has_source(const engine_address *address) {
    struct sockaddr_storage storage;
    socklen_t length;
    if (engine_epoll_sockaddr(address, &storage, &length) != SLUICE_OK) {
        return false;
    }
    int fd = CALLS.socket(storage.ss_family, SOCK_DGRAM | SOCKET_FLAGS, 0);
    if (fd < 0) {
        return false;
    }
    bool has = CALLS.connect(fd, (const struct sockaddr *)&storage, length) == 0 ||
               errno == EAGAIN; /* UDP's ports are used up, too (Linux inet_autobind) */
    (void)CALLS.close(fd);
    return has;
}

/* As engine.h lists them. EADDRNOTAVAIL: every local port towards there is in use (connect(2)), or
 * there is no local address of that family (Linux ipv6_dev_get_saddr). */
static int connect_status(int error, const engine_address *address) {
    if (error == EADDRNOTAVAIL) {
        return has_source(address) ? SLUICE_EOSLIMIT : SLUICE_EUNREACHABLE;
    }
    return error == EAFNOSUPPORT ? SLUICE_EUNREACHABLE : engine_epoll_status(error);
}

static void connect_failed(engine_epoll_handle *self, int status, int error) {
    engine_request *request = self->opening;
    self->opening = NULL;
    if (self->fd >= 0) {
        engine_epoll_close_fd(self);
    }
    request->detail = status == SLUICE_EOSLIMIT && error == EADDRNOTAVAIL ? ENGINE_DETAIL_NO_PORT
                      : status == SLUICE_EINVAL && engine_address_lacks_link(&request->address)
                          ? ENGINE_DETAIL_LINK
                          : NULL;
    engine_request_finish(request, status, (uint32_t)error, 0, 0);
}

static bool is_connected_to_itself(const engine_epoll_handle *self, const engine_address *to) {
    engine_address own;
    return engine_epoll_bound_to(self->fd, &own) == 0 && engine_is_connected_to_itself(&own, to);
}

static void connected(engine_epoll_handle *self) {
    engine_request *request = self->opening;
    if (is_connected_to_itself(self, &request->address)) {
        connect_failed(self, SLUICE_EREFUSED, ECONNREFUSED);
        return;
    }
    self->opening = NULL;
    engine_epoll_buffers_lock(self);
    engine_handle_opened(&self->handle, ENGINE_EPOLL_STREAM_CAPABILITIES, 1);
    engine_request_finish(request, SLUICE_OK, 0, 0, 0);
}

void engine_epoll_connect(engine_epoll_worker *worker, engine_epoll_handle *self) {
    engine_request *request = self->opening;
    struct sockaddr_storage storage;
    socklen_t length;
    int status = engine_epoll_sockaddr(&request->address, &storage, &length);
    if (status != SLUICE_OK) {
        connect_failed(self, status, 0);
        return;
    }
    self->fd = CALLS.socket(storage.ss_family, SOCK_STREAM | SOCKET_FLAGS, 0);
    if (self->fd < 0) {
        connect_failed(self, connect_status(errno, &request->address), errno);
        return;
    }
    self->is_tcp = true;
    (void)engine_epoll_set_option(self->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    engine_epoll_buffers_narrow(self->fd);
    int error = CALLS.connect(self->fd, (const struct sockaddr *)&storage, length) == 0 ? 0 : errno;
    /* Interrupted, it goes on by itself as if it were in progress: connect(2). */
    bool is_under_way = error == EINPROGRESS || error == EINTR;
    if (error == 0 || is_under_way) {
        error = engine_epoll_register(worker, self, is_under_way);
    }
    if (error != 0) {
        connect_failed(self, connect_status(error, &request->address), error);
    } else if (!is_under_way) {
        connected(self);
    }
}

void engine_epoll_connect_event(engine_epoll_handle *self, uint32_t events) {
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    int error = 0;
    socklen_t length = sizeof(error);
    if (CALLS.getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        error = errno;
    }
    if (error != 0) {
        connect_failed(self, connect_status(error, &self->opening->address), error);
        return;
    }
    /* The peer may have spoken already, and this was the edge that told it. */
    engine_epoll_note_events(self, events);
    connected(self);
}

/* ---- datagrams ------------------------------------------------------------------------------ */

void engine_epoll_receive_from(engine_epoll_handle *self, engine_request *request) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    storage.ss_family = AF_UNSPEC;
    /* MSG_TRUNC: the datagram's real length, however much of it fits (recv(2)). */
    ssize_t count = CALLS.recvfrom(self->fd, request->buffer, request->length, MSG_TRUNC,
                                   (struct sockaddr *)&storage, &length);
    if (count < 0) {
        if (errno == EAGAIN) {
            engine_epoll_set_blocked(self, ENGINE_IN);
        } else if (errno != EINTR && !engine_epoll_is_connections_own(errno) &&
                   errno != ECONNREFUSED) {
            engine_request_finish(request, engine_epoll_status(errno), (uint32_t)errno, 0, 0);
        } /* else an earlier send's ICMP error, told once: try again */
        return;
    }
    self->readiness[ENGINE_IN] = ENGINE_EPOLL_MAYBE;
    if (request->ret_from != NULL) {
        from_sockaddr(&storage, request->ret_from);
    }
    if ((size_t)count > request->length) {
        engine_request_finish(request, SLUICE_ETRUNCATED, 0, request->length, 0);
    } else {
        engine_request_finish(request, SLUICE_OK, 0, (size_t)count, 0);
    }
}

void engine_epoll_send_to(engine_epoll_handle *self, engine_request *request) {
    struct sockaddr_storage storage;
    socklen_t length;
    int status = engine_epoll_sockaddr(&request->address, &storage, &length);
    if (status != SLUICE_OK) {
        engine_request_finish(request, status, 0, 0, 0);
        return;
    }
    struct iovec vectors[ENGINE_GATHER_MAX];
    for (unsigned i = 0; i < request->buffer_count; i++) {
        /* struct iovec serves both directions and has no const; nothing writes through it here. */
        vectors[i].iov_base = (void *)(uintptr_t)request->buffers[i].bytes;
        vectors[i].iov_len = request->buffers[i].length;
    }
    struct msghdr message = {.msg_name = &storage,
                             .msg_namelen = length,
                             .msg_iov = vectors,
                             .msg_iovlen = request->buffer_count};
    ssize_t count = CALLS.sendmsg(self->fd, &message, MSG_NOSIGNAL);
    if (count >= 0) {
        engine_request_finish(request, SLUICE_OK, 0, (size_t)count, 0);
    } else if (errno == EAGAIN) {
        engine_epoll_set_blocked(self, ENGINE_OUT);
    } else if (errno != EINTR) {
        engine_request_finish(request, engine_epoll_status(errno), (uint32_t)errno, 0, 0);
    }
}

/* ---- anonymous pipes ------------------------------------------------------------------------ */

static int open_pair(engine_handle *opening[2], uint32_t bytes) {
    int fds[2];
    if (CALLS.pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        return errno;
    }
    if (bytes != 0) { /* it only makes an empty pipe smaller: refused to nobody */
        (void)fcntl(fds[0], F_SETPIPE_SZ, (int)bytes);
    }
    for (unsigned i = 0; i < 2; i++) {
        engine_epoll_handle_init(engine_epoll_handle_of(opening[i]), ENGINE_EPOLL_PIPE, fds[i]);
    }
    return 0;
}

void engine_epoll_pair(engine_epoll_handle *self) {
    engine_request *request = self->opening;
    self->opening = NULL;
    int error = open_pair(request->opening, request->behalf.pair_bytes);
    if (error != 0) {
        engine_request_finish(request, engine_epoll_status(error), (uint32_t)error, 0, 0);
        return;
    }
    engine_handle_opened(request->opening[0], ENGINE_CAN_READ, 1);
    engine_handle_opened(request->opening[1], ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE, 1);
    engine_request_finish(request, SLUICE_OK, 0, 0, 0);
}
