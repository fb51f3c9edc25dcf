/*
 * iocp_socket.c - TCP and UDP on the completion port.
 *
 * Listening and making sockets does not wait; accept and connect are AcceptEx and ConnectEx, whose
 * addresses come from WSAIoctl once per engine. The socket of an accept or connect belongs to the
 * request (r->socket) until it is open. Reading and writing streams is in iocp_stream.c.
 *
 * A datagram longer than the buffer: whether a WSARecvFrom that fails at once with WSAEMSGSIZE also
 * brings a packet is not documented (Wine 8 queues one, measured: STATUS_BUFFER_OVERFLOW is a
 * warning; libuv takes it that none comes). So that question never comes up: every receive has a
 * second buffer behind the caller's, shared by all of a worker and never read, with which the
 * longest datagram fits, and more bytes than the caller's buffer holds means truncated. For the
 * same reason a datagram that is too long to send is refused here.
 */
#include "engine/iocp.h"

#include <mstcpip.h>
#include <string.h>

/* mstcpip.h has them, but not every MinGW's does. */
#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif
#ifndef SIO_UDP_NETRESET
#define SIO_UDP_NETRESET _WSAIOW(IOC_VENDOR, 15)
#endif

/* What fits the 16-bit lengths of UDP and, for IPv4, of IP. */
#define DATAGRAM_MAX_IPV4 (65535 - 20 - 8)
#define DATAGRAM_MAX_IPV6 (65535 - 8)

#define SKIP_MAX 32 /* errors that are nobody's fault, skipped in a row without a packet */

static SOCKET socket_of(const iocp_handle *h) {
    return (SOCKET)h->os;
}

static DWORD last_error(void) {
    return (DWORD)WSAGetLastError();
}

/* ---- addresses ---- */

/* The length of the sockaddr, or 0 when it is no network address. */
static int to_sockaddr(const engine_address *address, struct sockaddr_storage *ret_sockaddr) {
    memset(ret_sockaddr, 0, sizeof(*ret_sockaddr));
    if (address->family == ENGINE_ADDRESS_IPV4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)ret_sockaddr;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        memcpy(&v4->sin_addr, address->ip, 4);
        return (int)sizeof(*v4);
    }
    if (address->family == ENGINE_ADDRESS_IPV6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_sockaddr;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(address->port);
        memcpy(&v6->sin6_addr, address->ip, 16);
        v6->sin6_scope_id = address->scope_id;
        return (int)sizeof(*v6);
    }
    return 0;
}

void engine_iocp_from_sockaddr(const struct sockaddr *sockaddr, engine_address *ret_address) {
    if (sockaddr->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sockaddr;
        engine_address_ipv4(ret_address, (const uint8_t *)&v4->sin_addr, ntohs(v4->sin_port));
    } else if (sockaddr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sockaddr;
        engine_address_ipv6(ret_address, (const uint8_t *)&v6->sin6_addr, v6->sin6_scope_id,
                            ntohs(v6->sin6_port));
    } else {
        ret_address->family = ENGINE_ADDRESS_NONE;
    }
}

int engine_iocp_local_address(engine_handle *handle, engine_address *ret_address) {
    iocp_handle *h = engine_iocp_handle(handle);
    struct sockaddr_storage storage;
    int length = (int)sizeof(storage);
    if (h->type == IOCP_PIPE || h->type == IOCP_PIPE_LISTENER) {
        return SLUICE_ENOTSUP;
    }
    if (getsockname(socket_of(h), (struct sockaddr *)&storage, &length) != 0) {
        return SLUICE_EOS;
    }
    engine_iocp_from_sockaddr((struct sockaddr *)&storage, ret_address);
    return SLUICE_OK;
}

/* ---- sockets ---- */

static SOCKET create_socket(int family, int type) {
    return WSASocketW(family, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static void drop_socket(iocp_request *r) {
    SL_CHECK(!r->op.in_kernel, "no socket is closed with an operation in the kernel");
    (void)closesocket(r->socket);
    r->socket = INVALID_SOCKET;
}

static bool set_flag(SOCKET socket, int level, int option) {
    BOOL on = TRUE;
    return setsockopt(socket, level, option, (const char *)&on, (int)sizeof(on)) == 0;
}

static void opened(engine_handle *handle, iocp_type type, SOCKET socket, int family,
                   unsigned capabilities, unsigned started_max_in) {
    iocp_handle *h = engine_iocp_handle(handle);
    h->type = type;
    h->os = (HANDLE)socket;
    h->family = family;
    h->was_reset = false;
    h->at_end = false;
    h->held = INVALID_SOCKET;
    h->listener = NULL;
    engine_handle_opened(handle, capabilities, started_max_in);
}

static void stream_opened(iocp_request *r, int family) {
    SOCKET socket = r->socket;
    r->socket = INVALID_SOCKET;
    (void)set_flag(socket, IPPROTO_TCP, TCP_NODELAY); /* refused: slower, not wrong */
    opened(r->request.opening[0], IOCP_STREAM_SOCKET, socket, family,
           ENGINE_CAN_READ | ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE, 1);
    engine_request_finish(&r->request, SLUICE_OK, 0, 0, 0);
}

static bool load_function(SOCKET socket, GUID *id, void *ret_function, size_t size) {
    DWORD bytes = 0;
    return WSAIoctl(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, id, sizeof(*id), ret_function,
                    (DWORD)size, &bytes, NULL, NULL) == 0;
}

int engine_iocp_sockets_open(iocp_engine *e) {
    static GUID accept_ex = WSAID_ACCEPTEX;
    static GUID connect_ex = WSAID_CONNECTEX;
    WSADATA data;
    if (WSAStartup(MAKEWORD(2, 2), &data) != 0) {
        return SLUICE_EOSLIMIT;
    }
    SOCKET socket = create_socket(AF_INET, SOCK_STREAM);
    if (socket == INVALID_SOCKET) {
        socket = create_socket(AF_INET6, SOCK_STREAM);
    }
    bool ok = socket != INVALID_SOCKET &&
              load_function(socket, &accept_ex, &e->accept_ex, sizeof(e->accept_ex)) &&
              load_function(socket, &connect_ex, &e->connect_ex, sizeof(e->connect_ex));
    if (socket != INVALID_SOCKET) {
        (void)closesocket(socket);
    }
    if (!ok) {
        (void)WSACleanup();
        return SLUICE_EOSLIMIT;
    }
    return SLUICE_OK;
}

void engine_iocp_sockets_close(iocp_engine *e) {
    (void)e;
    (void)WSACleanup();
}

/* With nothing in the kernel. What was written still goes out, then the end of the stream
 * [docs: closesocket]; a peer whose bytes were not all read gets a reset. No shutdown(SD_SEND)
 * before it: that would put an end of file in front of the reset, and a peer could take a stream
 * that lost its last bytes for a whole one (measured under Wine 8). */
void engine_iocp_socket_release(iocp_handle *h) {
    if (h->held != INVALID_SOCKET) {
        (void)closesocket(h->held);
        h->held = INVALID_SOCKET;
    }
    (void)closesocket(socket_of(h));
}

/* A bound socket that is joined to the port, or a status and worker->os_error. */
static int bound_socket(engine_worker *worker, const engine_address *address, int type,
                        SOCKET *ret_socket) {
    struct sockaddr_storage storage;
    int length = to_sockaddr(address, &storage);
    if (length == 0) {
        return SLUICE_EINVAL;
    }
    DWORD error = 0;
    SOCKET socket = create_socket(storage.ss_family, type);
    if (socket == INVALID_SOCKET) {
        error = last_error();
    } else if (!set_flag(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE) ||
               bind(socket, (struct sockaddr *)&storage, length) != 0) {
        error = last_error();
    } else {
        error = engine_iocp_associate(worker, (HANDLE)socket);
    }
    if (error == 0) {
        *ret_socket = socket;
        return SLUICE_OK;
    }
    if (socket != INVALID_SOCKET) {
        (void)closesocket(socket);
    }
    worker->os_error = error;
    return engine_iocp_status(error);
}

/* ---- TCP: accepting ---- */

int engine_iocp_tcp_listen(engine_worker *worker, iocp_handle *h, const engine_address *address,
                           const engine_listen_options *options) {
    SOCKET socket;
    int family = address->family == ENGINE_ADDRESS_IPV4 ? AF_INET : AF_INET6;
    unsigned backlog = options->backlog != 0 ? options->backlog : ENGINE_BACKLOG_DEFAULT;
    int status = bound_socket(worker, address, SOCK_STREAM, &socket);
    if (status != SLUICE_OK) {
        return status;
    }
    if (listen(socket, backlog < SOMAXCONN ? (int)backlog : SOMAXCONN) != 0) {
        worker->os_error = last_error();
        (void)closesocket(socket);
        return engine_iocp_status(worker->os_error);
    }
    opened(&h->handle, IOCP_TCP_LISTENER, socket, family, ENGINE_CAN_ACCEPT, IOCP_ACCEPTS_MAX);
    return SLUICE_OK;
}

static void on_accept_packet(iocp_op *op, DWORD bytes);

/* One AcceptEx: 0 when a packet will come, else what it failed with. */
static DWORD accept_issue(iocp_request *r) {
    iocp_handle *listener = engine_iocp_handle(r->request.handle);
    iocp_engine *e = engine_iocp_engine(r->request.worker);
    DWORD received = 0;
    DWORD error = 0;
    r->socket = create_socket(listener->family, SOCK_STREAM);
    if (r->socket == INVALID_SOCKET) {
        return last_error();
    }
    engine_iocp_op_begin(&r->op, on_accept_packet);
    /* No first bytes with the connection: a silent client would keep the accept. */
    if (!e->accept_ex(socket_of(listener), r->socket, r->address.accepted, 0,
                      IOCP_ACCEPT_ADDRESS_BYTES, IOCP_ACCEPT_ADDRESS_BYTES, &received,
                      &r->op.overlapped)) {
        error = last_error();
    }
    if (engine_iocp_op_accepted(&r->op, error)) {
        return 0;
    }
    drop_socket(r);
    return error;
}

/* A client that came and was gone is not the listener's failure: the accept waits for the next
 * [docs: AcceptEx, WSAECONNRESET; src go: fd_windows.go]. */
static bool is_lost_client(const iocp_request *r, DWORD code) {
    return engine_iocp_status(code) == SLUICE_ERESET && !r->request.cancel_asked;
}

/* What engine.h allows an accept to say. */
static void accept_failed(iocp_request *r, DWORD code) {
    int status = engine_iocp_status(code);
    bool is_told = status == SLUICE_ECANCELED || status == SLUICE_EACCESS ||
                   status == SLUICE_EOSLIMIT;
    if (is_told) {
        engine_iocp_fail(&r->request, code, 0, 0);
    } else {
        engine_request_finish(&r->request, SLUICE_EOS, code, 0, 0);
    }
}

/* In the kernel again, or failed. */
static void accept_go_on(iocp_request *r) {
    unsigned tries = 0;
    DWORD error;
    do {
        error = accept_issue(r);
    } while (is_lost_client(r, error) && ++tries < SKIP_MAX);
    if (error != 0) {
        accept_failed(r, error);
    }
}

/* The accepted socket inherits from the listener by name: its handle, not the new one's
 * (nng#1598). */
static DWORD finish_accept(iocp_request *r, iocp_handle *listener) {
    SOCKET from = socket_of(listener);
    if (setsockopt(r->socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&from,
                   (int)sizeof(from)) != 0) {
        return last_error();
    }
    return engine_iocp_associate(r->request.worker, (HANDLE)r->socket);
}

/* There is no connection: who connected has gone, or the accept failed. */
static void accept_lost(iocp_request *r, DWORD code) {
    drop_socket(r);
    if (is_lost_client(r, code)) {
        accept_go_on(r);
    } else {
        accept_failed(r, code);
    }
}

/*
 * Makes a handle of r->socket. A connection that only a shortage keeps from that is held for the
 * next accept (R5). One at most: when several accepts end in the same shortage, the others are
 * lost, as they are for want of a descriptor on any system whose backlog is full.
 */
static void accept_connection(iocp_request *r) {
    iocp_handle *listener = engine_iocp_handle(r->request.handle);
    DWORD code = finish_accept(r, listener);
    if (code == 0) {
        stream_opened(r, listener->family);
        return;
    }
    if (engine_iocp_status(code) == SLUICE_EOSLIMIT && listener->held == INVALID_SOCKET &&
        !listener->handle.closing) {
        listener->held = r->socket;
        r->socket = INVALID_SOCKET;
        accept_failed(r, code);
        return;
    }
    accept_lost(r, code);
}

static void on_accept_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    DWORD code = engine_iocp_packet_code(op);
    (void)bytes;
    if (code == 0) {
        accept_connection(r);
        return;
    }
    accept_lost(r, code);
}

void engine_iocp_tcp_accept_start(iocp_request *r) {
    iocp_handle *listener = engine_iocp_handle(r->request.handle);
    if (listener->held == INVALID_SOCKET) {
        accept_go_on(r);
        return;
    }
    r->socket = listener->held;
    listener->held = INVALID_SOCKET;
    accept_connection(r);
}

/* ---- TCP: connecting ---- */

/* What engine.h allows a connect to say. No local address: no IPv6 here, or no free port. */
static void connect_failed(iocp_request *r, DWORD code) {
    int status = engine_iocp_status(code);
    if (status == SLUICE_EADDRNOTAVAIL || status == SLUICE_EADDRINUSE || status == SLUICE_ENOTSUP) {
        engine_request_finish(&r->request, SLUICE_EUNREACHABLE, code, 0, 0);
    } else {
        engine_iocp_fail(&r->request, code, 0, 0);
    }
}

static void on_connect_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    DWORD code = engine_iocp_packet_code(op);
    (void)bytes;
    if (code == 0 && setsockopt(r->socket, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) != 0) {
        code = last_error();
    }
    if (code == 0) {
        stream_opened(r, r->address.socket_address.ss_family);
    } else {
        drop_socket(r);
        connect_failed(r, code);
    }
}

/* A socket bound to any address, which ConnectEx asks for [docs], and joined to the port. */
static DWORD prepare_connect(iocp_request *r, int length) {
    struct sockaddr_storage any;
    memset(&any, 0, sizeof(any));
    any.ss_family = r->address.socket_address.ss_family;
    r->socket = create_socket(any.ss_family, SOCK_STREAM);
    if (r->socket == INVALID_SOCKET) {
        return last_error();
    }
    DWORD error = 0;
    if (bind(r->socket, (struct sockaddr *)&any, length) != 0) {
        error = last_error();
    } else {
        error = engine_iocp_associate(r->request.worker, (HANDLE)r->socket);
    }
    if (error != 0) {
        drop_socket(r);
    }
    return error;
}

void engine_iocp_tcp_connect_start(iocp_request *r) {
    iocp_engine *e = engine_iocp_engine(r->request.worker);
    int length = to_sockaddr(&r->request.address, &r->address.socket_address);
    if (length == 0) {
        engine_request_finish(&r->request, SLUICE_EINVAL, 0, 0, 0);
        return;
    }
    DWORD error = prepare_connect(r, length);
    if (error != 0) {
        connect_failed(r, error);
        return;
    }
    engine_iocp_op_begin(&r->op, on_connect_packet);
    if (!e->connect_ex(r->socket, (struct sockaddr *)&r->address.socket_address, length, NULL, 0,
                       NULL, &r->op.overlapped)) {
        error = last_error();
    }
    if (!engine_iocp_op_accepted(&r->op, error)) {
        drop_socket(r);
        connect_failed(r, error);
    }
}

/* Not a wait: it queues the FIN behind what was written. */
void engine_iocp_half_close_start(iocp_request *r) {
    iocp_handle *h = engine_iocp_handle(r->request.handle);
    if (shutdown(socket_of(h), SD_SEND) != 0) {
        engine_iocp_fail(&r->request, last_error(), 0, 0);
    } else {
        engine_request_finish(&r->request, SLUICE_OK, 0, 0, 0);
    }
}

/* ---- UDP ---- */

/* Otherwise a receive reports that an earlier send was answered by "port unreachable" or "time to
 * live exceeded". Refused by Wine 8 or an old system: skip_error() does the rest. */
static void ignore_send_errors(SOCKET socket) {
    BOOL off = FALSE;
    DWORD bytes = 0;
    (void)WSAIoctl(socket, SIO_UDP_CONNRESET, &off, sizeof(off), NULL, 0, &bytes, NULL, NULL);
    (void)WSAIoctl(socket, SIO_UDP_NETRESET, &off, sizeof(off), NULL, 0, &bytes, NULL, NULL);
}

int engine_iocp_udp_open(engine_worker *worker, engine_handle *handle,
                         const engine_address *address) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    SOCKET socket;
    if (w->overflow == NULL) {
        w->overflow = engine_worker_alloc(worker, IOCP_DATAGRAM_MAX_BYTES);
        if (w->overflow == NULL) {
            return SLUICE_ENOMEM;
        }
    }
    int status = bound_socket(worker, address, SOCK_DGRAM, &socket);
    if (status != SLUICE_OK) {
        return status;
    }
    ignore_send_errors(socket);
    opened(handle, IOCP_UDP_SOCKET, socket,
           address->family == ENGINE_ADDRESS_IPV4 ? AF_INET : AF_INET6, ENGINE_CAN_DATAGRAM, 1);
    return SLUICE_OK;
}

static void on_receive_packet(iocp_op *op, DWORD bytes);

static DWORD receive_issue(iocp_request *r) {
    iocp_worker *w = SL_CONTAINER_OF(r->request.worker, iocp_worker, worker);
    WSABUF buffers[2] = {
        {.len = (ULONG)r->request.length, .buf = r->request.buffer},
        {.len = IOCP_DATAGRAM_MAX_BYTES, .buf = w->overflow},
    };
    unsigned first = r->request.length > 0 ? 0 : 1;
    r->flags = 0;
    r->address_length = (int)sizeof(r->address.socket_address);
    engine_iocp_op_begin(&r->op, on_receive_packet);
    if (WSARecvFrom(socket_of(engine_iocp_handle(r->request.handle)), buffers + first, 2 - first,
                    NULL, &r->flags, (struct sockaddr *)&r->address.socket_address,
                    &r->address_length, &r->op.overlapped, NULL) == 0) {
        return 0;
    }
    return last_error();
}

/* An error of an earlier send, which the contract says is not reported here. */
static bool skip_error(const iocp_request *r, DWORD code) {
    int status = engine_iocp_status(code);
    return (status == SLUICE_ERESET || status == SLUICE_EREFUSED ||
            status == SLUICE_EUNREACHABLE) &&
           !r->request.cancel_asked;
}

void engine_iocp_receive_from_start(iocp_request *r) {
    DWORD error;
    unsigned tries = 0;
    do {
        error = receive_issue(r);
        if (engine_iocp_op_accepted(&r->op, error)) {
            return;
        }
    } while (skip_error(r, error) && ++tries < SKIP_MAX);
    engine_iocp_fail(&r->request, error, 0, 0);
}

static void on_receive_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    engine_request *request = &r->request;
    DWORD code = engine_iocp_packet_code(op);
    if (code != 0 && engine_iocp_status(code) != SLUICE_ETRUNCATED) {
        if (skip_error(r, code)) {
            engine_iocp_receive_from_start(r);
        } else {
            engine_iocp_fail(request, code, 0, 0);
        }
        return;
    }
    if (request->ret_from != NULL) {
        engine_iocp_from_sockaddr((struct sockaddr *)&r->address.socket_address, request->ret_from);
    }
    if (bytes > request->length || code != 0) {
        engine_request_finish(request, SLUICE_ETRUNCATED, 0, request->length, 0);
    } else {
        engine_request_finish(request, SLUICE_OK, 0, bytes, 0);
    }
}

/* A datagram goes out whole or not at all; which of the two, a failed packet does not say. */
static void on_send_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    DWORD code = engine_iocp_packet_code(op);
    (void)bytes;
    if (code == 0) {
        engine_request_finish(&r->request, SLUICE_OK, 0, r->request.length, 0);
    } else {
        engine_iocp_fail(&r->request, code, 0, r->request.length);
    }
}

void engine_iocp_send_to_start(iocp_request *r) {
    WSABUF buffers[ENGINE_GATHER_MAX]; /* copied by the call [docs: WSASendTo] */
    DWORD count = 0;
    int length = to_sockaddr(&r->request.address, &r->address.socket_address);
    if (r->request.length > (r->request.address.family == ENGINE_ADDRESS_IPV4
                                 ? DATAGRAM_MAX_IPV4
                                 : DATAGRAM_MAX_IPV6)) {
        engine_iocp_fail(&r->request, WSAEMSGSIZE, 0, 0);
        return;
    }
    for (; count < r->request.buffer_count; count++) {
        /* WSABUF has no const; a send does not write there. */
        buffers[count].buf = (char *)(uintptr_t)r->request.buffers[count].bytes;
        buffers[count].len = (ULONG)r->request.buffers[count].length;
    }
    if (count == 0) { /* an empty datagram */
        buffers[count].buf = NULL;
        buffers[count++].len = 0;
    }
    engine_iocp_op_begin(&r->op, on_send_packet);
    DWORD error = 0;
    if (WSASendTo(socket_of(engine_iocp_handle(r->request.handle)), buffers, count, NULL, 0,
                  (struct sockaddr *)&r->address.socket_address, length, &r->op.overlapped,
                  NULL) != 0) {
        error = last_error();
    }
    if (!engine_iocp_op_accepted(&r->op, error)) {
        engine_iocp_fail(&r->request, error, 0, 0);
    }
}
