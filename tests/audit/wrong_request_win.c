/*
 * wrong_request_win.c - wrong programs: requests, their OVERLAPPEDs, packets, cancels, closes.
 *
 * Each runs on one worker thread; those about two threads are in wrong_thread_win.c.
 */
#include "cases_win.h"

#include <mswsock.h>
#include <winternl.h>

NTSYSAPI NTSTATUS NTAPI NtSetIoCompletion(HANDLE port, ULONG_PTR key, ULONG_PTR value,
                                          NTSTATUS status, SIZE_T information);

typedef struct request_rig {
    HANDLE port;
    pipe_ends ends;
    OVERLAPPED overlapped;
} request_rig;

static void rig_open(request_rig *ret_rig) {
    *ret_rig = (request_rig){0};
    ret_rig->port = port_create();
    pipe_open(ret_rig->port, &ret_rig->ends);
}

static void rig_close(request_rig *rig) {
    pipe_close(&rig->ends);
    CloseHandle(rig->port);
}

/* Ends a pending read of the server's end in the right way. */
static void finish_read(request_rig *rig) {
    CancelIoEx(rig->ends.server, &rig->overlapped);
    must(port_wait(rig->port) == &rig->overlapped, "get the read's packet");
}

static void event_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    rig.overlapped.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    read_begin(rig.ends.server, &rig.overlapped);
    finish_read(&rig);
    CloseHandle(rig.overlapped.hEvent);
    rig_close(&rig);
}

static void event(void) {
    on_thread(event_worker, NULL);
}

static void reused_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    read_begin(rig.ends.server, &rig.overlapped);
    read_begin(rig.ends.server, &rig.overlapped);
    finish_read(&rig);
    must(port_wait(rig.port) == &rig.overlapped, "get the second packet");
    rig_close(&rig);
}

static void reused(void) {
    on_thread(reused_worker, NULL);
}

static void cancel_all_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    read_begin(rig.ends.server, &rig.overlapped);
    CancelIoEx(rig.ends.server, NULL);
    must(port_wait(rig.port) == &rig.overlapped, "get the read's packet");
    rig_close(&rig);
}

static void cancel_all(void) {
    on_thread(cancel_all_worker, NULL);
}

/* A cancel after the packet was dequeued: by then the OVERLAPPED may serve another request. */
static void cancel_stale_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    read_begin(rig.ends.server, &rig.overlapped);
    finish_read(&rig);
    CancelIoEx(rig.ends.server, &rig.overlapped);
    rig_close(&rig);
}

static void cancel_stale(void) {
    on_thread(cancel_stale_worker, NULL);
}

static void close_outstanding_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    read_begin(rig.ends.server, &rig.overlapped);
    CloseHandle(rig.ends.server);
    must(port_wait(rig.port) == &rig.overlapped, "get the read's packet");
    CloseHandle(rig.ends.client);
    CloseHandle(rig.port);
}

static void close_outstanding(void) {
    on_thread(close_outstanding_worker, NULL);
}

/* The packet is there, but nobody has dequeued it: still outstanding. */
static void close_before_packet_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    read_begin(rig.ends.server, &rig.overlapped);
    CancelIoEx(rig.ends.server, &rig.overlapped);
    CloseHandle(rig.ends.server);
    must(port_wait(rig.port) == &rig.overlapped, "get the read's packet");
    CloseHandle(rig.ends.client);
    CloseHandle(rig.port);
}

static void close_before_packet(void) {
    on_thread(close_before_packet_worker, NULL);
}

/* AcceptEx uses two sockets: the one that is to become the connection may not be closed either. */
static void close_accepted_worker(void *context) {
    (void)context;
    HANDLE port = port_create();
    SOCKET listener = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    SOCKET accepted = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
             listen(listener, 1) == 0,
         "listen");
    must(CreateIoCompletionPort((HANDLE)listener, port, 1, 0) != NULL, "associate");
    GUID guid = WSAID_ACCEPTEX;
    LPFN_ACCEPTEX accept_ex = NULL;
    DWORD size = 0;
    must(WSAIoctl(listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof guid, &accept_ex,
                  sizeof accept_ex, &size, NULL, NULL) == 0,
         "find AcceptEx");
    static char addresses[2 * (sizeof(struct sockaddr_in) + 16)];
    OVERLAPPED overlapped = {0};
    must(!accept_ex(listener, accepted, addresses, 0, sizeof addresses / 2, sizeof addresses / 2,
                    &size, &overlapped) &&
             WSAGetLastError() == WSA_IO_PENDING,
         "leave an accept pending");
    closesocket(accepted);
    CancelIoEx((HANDLE)listener, &overlapped);
    must(port_wait(port) == &overlapped, "get the accept's packet");
    closesocket(listener);
    CloseHandle(port);
}

static void close_accepted(void) {
    on_thread(close_accepted_worker, NULL);
}

static void close_invalid(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    CloseHandle(server);
    CloseHandle(server);
}

static void close_wrong(void) {
    SOCKET socket_value = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    must(socket_value != INVALID_SOCKET, "make a socket");
    CloseHandle((HANDLE)socket_value);
}

/* A second packet for one request, made behind the audit's back. */
static void packet_twice_worker(void *context) {
    (void)context;
    request_rig rig;
    rig_open(&rig);
    read_begin(rig.ends.server, &rig.overlapped);
    finish_read(&rig);
    must(NtSetIoCompletion(rig.port, 1, (ULONG_PTR)&rig.overlapped, 0, 0) == 0, "post");
    must(port_wait(rig.port) == &rig.overlapped, "get the second packet");
    rig_close(&rig);
}

static void packet_twice(void) {
    on_thread(packet_twice_worker, NULL);
}

/* On no port nobody would ever dequeue a packet. */
static void no_port_worker(void *context) {
    (void)context;
    HANDLE port = port_create();
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    OVERLAPPED overlapped = {0};
    must(!ConnectNamedPipe(server, &overlapped) && GetLastError() == ERROR_IO_PENDING,
         "leave a connect pending");
    must(CreateIoCompletionPort(server, port, 1, 0) != NULL, "associate");
    CancelIoEx(server, &overlapped);
    /* Whether a packet comes for a request issued before the association is nobody's promise. */
    must(NtSetIoCompletion(port, 1, (ULONG_PTR)&overlapped, 0, 0) == 0, "post");
    port_wait(port);
    CloseHandle(server);
    CloseHandle(port);
}

static void no_port(void) {
    on_thread(no_port_worker, NULL);
}

static void sync_on_overlapped_thread(void *context) {
    DWORD count = 0;
    (void)WriteFile(*(HANDLE *)context, "x", 1, &count, NULL);
}

static void sync_on_overlapped(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    on_thread(sync_on_overlapped_thread, &server);
    CloseHandle(server);
}

const audit_case request_cases[] = {
    {"event", event, "event"},
    {"overlapped-reused", reused, "overlapped-reused"},
    {"cancel-all", cancel_all, "cancel-all"},
    {"cancel-stale", cancel_stale, "cancel-stale"},
    {"close-outstanding", close_outstanding, "close-outstanding"},
    {"close-before-packet", close_before_packet, "close-outstanding"},
    {"close-accepted", close_accepted, "close-outstanding"},
    {"close-invalid", close_invalid, "close-invalid"},
    {"close-wrong", close_wrong, "close-wrong"},
    {"packet-twice", packet_twice, "packet-twice"},
    {"issue-no-port", no_port, "issue-no-port"},
    {"sync-on-overlapped", sync_on_overlapped, "sync-on-overlapped"},
    {NULL, NULL, NULL},
};
