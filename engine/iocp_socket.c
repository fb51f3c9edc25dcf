/*
 * iocp_socket.c - sockets on the completion port: addresses, making them, connecting.
 *
 * Making a socket does not wait; a connect is ConnectEx. Its address and that of AcceptEx come from
 * WSAIoctl once per engine. The socket of a connect belongs to the request (r->socket) until it is
 * open. Accepting is in iocp_accept.c, datagrams in iocp_datagram.c, reading and writing streams in
 * iocp_stream.c.
 */
#include "engine/iocp.h"

#include <string.h>

static SOCKET socket_of(const iocp_handle *h) {
    return (SOCKET)h->os;
}

static DWORD last_error(void) {
    return (DWORD)WSAGetLastError();
}

/* ---- addresses ---- */

int engine_iocp_to_sockaddr(const engine_address *address, struct sockaddr_storage *ret_sockaddr) {
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

DWORD engine_iocp_bound_to(SOCKET socket, engine_address *ret_address) {
    struct sockaddr_storage storage;
    int length = (int)sizeof(storage);
    if (getsockname(socket, (struct sockaddr *)&storage, &length) != 0) {
        return last_error();
    }
    engine_iocp_from_sockaddr((struct sockaddr *)&storage, ret_address);
    return 0;
}

int engine_iocp_local_address(engine_handle *handle, engine_address *ret_address) {
    iocp_handle *h = engine_iocp_handle(handle);
    SOCKET socket;
    switch (h->type) {
    case IOCP_TCP_LISTENER: socket = engine_iocp_tcp_listener_socket(h); break;
    case IOCP_STREAM_SOCKET:
    case IOCP_UDP_SOCKET: socket = socket_of(h); break;
    default: return SLUICE_ENOTSUP;
    }
    engine_address address;
    if (engine_iocp_bound_to(socket, &address) != 0) {
        return SLUICE_EOS;
    }
    *ret_address = address;
    return SLUICE_OK;
}

/* ---- sockets ---- */

SOCKET engine_iocp_socket_create(int family, int type) {
    return WSASocketW(family, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static void drop_socket(iocp_request *r) {
    SL_CHECK(!r->op.in_kernel, "no socket is closed with an operation in the kernel");
    (void)closesocket(r->socket);
    r->socket = INVALID_SOCKET;
    if (r->file != NULL) {
        engine_iocp_leave(r->request.worker, r->file);
        r->file = NULL;
    }
}

static bool set_flag(SOCKET socket, int level, int option, BOOL value) {
    return setsockopt(socket, level, option, (const char *)&value, (int)sizeof(value)) == 0;
}

void engine_iocp_socket_opened(engine_handle *handle, iocp_type type, SOCKET socket,
                               iocp_file *file, unsigned capabilities) {
    iocp_handle *h = engine_iocp_handle(handle);
    h->type = type;
    h->os = (HANDLE)socket;
    h->file = file;
    h->was_reset = false;
    h->at_end = false;
    h->listener = NULL;
    engine_handle_opened(handle, capabilities, 1);
}

void engine_iocp_stream_opened(engine_handle *handle, SOCKET socket, iocp_file *file) {
    (void)set_flag(socket, IPPROTO_TCP, TCP_NODELAY, TRUE); /* refused: slower, not wrong */
    engine_iocp_socket_opened(handle, IOCP_STREAM_SOCKET, socket, file,
                              ENGINE_CAN_READ | ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE);
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
    SOCKET socket = engine_iocp_socket_create(AF_INET, SOCK_STREAM);
    if (socket == INVALID_SOCKET) {
        socket = engine_iocp_socket_create(AF_INET6, SOCK_STREAM);
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
    (void)closesocket(socket_of(h));
}

/* IPV6_V6ONLY is said either way: it is on by default [docs: IPPROTO_IPV6]. */
static DWORD bind_socket(SOCKET socket, const struct sockaddr_storage *storage, int length,
                         bool is_dual) {
    if (storage->ss_family == AF_INET6 &&
        !set_flag(socket, IPPROTO_IPV6, IPV6_V6ONLY, is_dual ? FALSE : TRUE)) {
        return last_error();
    }
    if (!set_flag(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, TRUE) ||
        bind(socket, (const struct sockaddr *)storage, length) != 0) {
        return last_error();
    }
    return 0;
}

int engine_iocp_socket_bound(engine_worker *worker, const engine_address *address, int type,
                             bool is_dual, SOCKET *ret_socket) {
    struct sockaddr_storage storage;
    int length = engine_iocp_to_sockaddr(address, &storage);
    if (length == 0) {
        return SLUICE_EINVAL;
    }
    DWORD error = 0;
    SOCKET socket = engine_iocp_socket_create(storage.ss_family, type);
    if (socket == INVALID_SOCKET) {
        error = last_error();
    } else {
        error = bind_socket(socket, &storage, length, is_dual);
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

/* ---- connecting ---- */

/* What engine.h allows a connect to say. WSAEADDRNOTAVAIL is about the address that is connected
 * to [docs: connect], or there is no IPv6 here. Local addresses are of the system's choice: one in
 * use means that it has no free port; else it says WSAENOBUFS [docs: KB 319502, KB 196271]. */
static void connect_failed(iocp_request *r, DWORD code) {
    int status = engine_iocp_status(code);
    if (status == SLUICE_EINVAL && engine_address_lacks_link(&r->request.address)) {
        r->request.detail = ENGINE_DETAIL_LINK;
    }
    if (status == SLUICE_EADDRINUSE) {
        r->request.detail = ENGINE_DETAIL_NO_PORT;
        engine_request_finish(&r->request, SLUICE_EOSLIMIT, code, 0, 0);
    } else if (status == SLUICE_EADDRNOTAVAIL || status == SLUICE_ENOTSUP) {
        engine_request_finish(&r->request, SLUICE_EUNREACHABLE, code, 0, 0);
    } else {
        engine_iocp_fail(&r->request, code, 0, 0);
    }
}

/* After it getsockname works [docs: SO_UPDATE_CONNECT_CONTEXT]. */
static DWORD finish_connect(iocp_request *r) {
    engine_address own;
    if (setsockopt(r->socket, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) != 0) {
        return last_error();
    }
    bool is_itself = engine_iocp_bound_to(r->socket, &own) == 0 &&
                     engine_is_connected_to_itself(&own, &r->request.address);
    return is_itself ? WSAECONNREFUSED : 0;
}

static void on_connect_packet(iocp_op *op, DWORD bytes) {
    iocp_request *r = engine_iocp_request_of_op(op);
    DWORD code = engine_iocp_packet_code(op);
    (void)bytes;
    if (code == 0) {
        code = finish_connect(r);
    }
    if (code != 0) {
        drop_socket(r);
        connect_failed(r, code);
        return;
    }
    engine_iocp_stream_opened(r->request.opening[0], r->socket, r->file);
    r->socket = INVALID_SOCKET;
    r->file = NULL;
    engine_request_finish(&r->request, SLUICE_OK, 0, 0, 0);
}

/* A socket bound to any address, which ConnectEx asks for [docs], and joined to the port. */
static DWORD prepare_connect(iocp_request *r, int length) {
    struct sockaddr_storage any;
    memset(&any, 0, sizeof(any));
    any.ss_family = r->socket_address.ss_family;
    r->file = NULL;
    r->socket = engine_iocp_socket_create(any.ss_family, SOCK_STREAM);
    if (r->socket == INVALID_SOCKET) {
        return last_error();
    }
    DWORD error = 0;
    if (bind(r->socket, (struct sockaddr *)&any, length) != 0) {
        error = last_error();
    } else {
        error = engine_iocp_join(r->request.worker, (HANDLE)r->socket, &r->file);
    }
    if (error != 0) {
        drop_socket(r);
    }
    return error;
}

void engine_iocp_tcp_connect_start(iocp_request *r) {
    iocp_engine *e = engine_iocp_engine(r->request.worker);
    int length = engine_iocp_to_sockaddr(&r->request.address, &r->socket_address);
    if (length == 0) {
        engine_request_finish(&r->request, SLUICE_EINVAL, 0, 0, 0);
        return;
    }
    DWORD error = prepare_connect(r, length);
    if (error != 0) {
        connect_failed(r, error);
        return;
    }
    engine_iocp_op_begin(&r->op, r->file, on_connect_packet);
    if (!e->connect_ex(r->socket, (struct sockaddr *)&r->socket_address, length, NULL, 0,
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
    if (h->type == IOCP_PIPE) {
        engine_iocp_pipe_half_close(r);
    } else if (shutdown(socket_of(h), SD_SEND) != 0) {
        engine_iocp_fail(&r->request, last_error(), 0, 0);
    } else {
        engine_request_finish(&r->request, SLUICE_OK, 0, 0, 0);
    }
}
