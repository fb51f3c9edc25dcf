/*
 * iocp_datagram.c - UDP on the completion port.
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
    iocp_file *file;
    if (w->overflow == NULL) {
        w->overflow = engine_worker_alloc(worker, IOCP_DATAGRAM_MAX_BYTES);
        if (w->overflow == NULL) {
            return SLUICE_ENOMEM;
        }
    }
    int status = engine_iocp_socket_bound(worker, address, SOCK_DGRAM, false, &socket);
    if (status != SLUICE_OK) {
        return status;
    }
    DWORD error = engine_iocp_join(worker, (HANDLE)socket, &file);
    if (error != 0) {
        (void)closesocket(socket);
        return engine_iocp_join_failed(worker, error);
    }
    ignore_send_errors(socket);
    engine_iocp_socket_opened(handle, IOCP_UDP_SOCKET, socket, file, ENGINE_CAN_DATAGRAM);
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
    r->address_length = (int)sizeof(r->socket_address);
    engine_iocp_op_begin(&r->op, engine_iocp_handle(r->request.handle)->file, on_receive_packet);
    if (WSARecvFrom(socket_of(engine_iocp_handle(r->request.handle)), buffers + first, 2 - first,
                    NULL, &r->flags, (struct sockaddr *)&r->socket_address,
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
        engine_iocp_from_sockaddr((struct sockaddr *)&r->socket_address, request->ret_from);
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
    int length = engine_iocp_to_sockaddr(&r->request.address, &r->socket_address);
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
    engine_iocp_op_begin(&r->op, engine_iocp_handle(r->request.handle)->file, on_send_packet);
    DWORD error = 0;
    if (WSASendTo(socket_of(engine_iocp_handle(r->request.handle)), buffers, count, NULL, 0,
                  (struct sockaddr *)&r->socket_address, length, &r->op.overlapped,
                  NULL) != 0) {
        error = last_error();
    }
    if (!engine_iocp_op_accepted(&r->op, error)) {
        engine_iocp_fail(&r->request, error, 0, 0);
    }
}
