/*
 * right_win.c - right programs: they keep every rule, do each kind of I/O, and see it recorded.
 */
#include "cases_win.h"

#include <mswsock.h>
#include <stdio.h>
#include <string.h>
#include <ws2tcpip.h>

#include "sluice_audit.h"

typedef struct sockets {
    HANDLE port;
    SOCKET listener;
    SOCKET accepted;
    SOCKET client;
    struct sockaddr_in address;
    OVERLAPPED overlapped[2];
} sockets;

/* Two requests are in flight: their packets come in any order. */
static void wait_both(const sockets *s) {
    const OVERLAPPED *first = port_wait(s->port);
    const OVERLAPPED *second = port_wait(s->port);
    must(first != second, "get two packets");
}

static SOCKET make_socket(HANDLE port, int type, struct sockaddr_in *ret_address) {
    SOCKET result = WSASocketW(AF_INET, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    must(result != INVALID_SOCKET, "make a socket");
    *ret_address = (struct sockaddr_in){.sin_family = AF_INET};
    ret_address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int size = sizeof *ret_address;
    must(bind(result, (struct sockaddr *)ret_address, size) == 0, "bind");
    must(getsockname(result, (struct sockaddr *)ret_address, &size) == 0, "name a socket");
    must(port == NULL || CreateIoCompletionPort((HANDLE)result, port, 1, 0) != NULL, "associate");
    return result;
}

static void *extension(SOCKET socket_value, GUID guid) {
    void *pointer = NULL;
    DWORD size = 0;
    must(WSAIoctl(socket_value, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof guid, &pointer,
                  sizeof pointer, &size, NULL, NULL) == 0,
         "find an extension function");
    return pointer;
}

static void connect_tcp(sockets *s) {
    struct sockaddr_in unused;
    s->listener = make_socket(s->port, SOCK_STREAM, &s->address);
    must(listen(s->listener, 4) == 0, "listen");
    s->client = make_socket(s->port, SOCK_STREAM, &unused);
    s->accepted = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    LPFN_ACCEPTEX accept_ex = (LPFN_ACCEPTEX)extension(s->listener, (GUID)WSAID_ACCEPTEX);
    LPFN_CONNECTEX connect_ex = (LPFN_CONNECTEX)extension(s->client, (GUID)WSAID_CONNECTEX);
    static char addresses[2 * (sizeof(struct sockaddr_in) + 16)];
    DWORD size = 0;
    must(accept_ex(s->listener, s->accepted, addresses, 0, sizeof addresses / 2,
                   sizeof addresses / 2, &size, &s->overlapped[0]) ||
             WSAGetLastError() == WSA_IO_PENDING,
         "accept");
    must(connect_ex(s->client, (struct sockaddr *)&s->address, sizeof s->address, NULL, 0, &size,
                    &s->overlapped[1]) ||
             WSAGetLastError() == WSA_IO_PENDING,
         "connect");
    wait_both(s);
    must(CreateIoCompletionPort((HANDLE)s->accepted, s->port, 1, 0) != NULL, "associate");
    must(setsockopt(s->accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&s->listener,
                    sizeof s->listener) == 0,
         "update the accepted socket");
}

static void tcp_worker(void *context) {
    (void)context;
    sockets s = {.port = port_create()};
    connect_tcp(&s);
    char byte = 0;
    WSABUF in = {1, &byte};
    WSABUF out = {1, (char[]){'x'}};
    DWORD flags = 0;
    s.overlapped[0] = s.overlapped[1] = (OVERLAPPED){0};
    must(WSARecv(s.accepted, &in, 1, NULL, &flags, &s.overlapped[0], NULL) == 0 ||
             WSAGetLastError() == WSA_IO_PENDING,
         "receive");
    must(WSASend(s.client, &out, 1, NULL, 0, &s.overlapped[1], NULL) == 0 ||
             WSAGetLastError() == WSA_IO_PENDING,
         "send");
    wait_both(&s);
    must(byte == 'x', "get the byte");
    closesocket(s.client);
    closesocket(s.accepted);
    closesocket(s.listener);
    CloseHandle(s.port);
}

static void udp_worker(void *context) {
    (void)context;
    sockets s = {.port = port_create()};
    SOCKET udp = make_socket(s.port, SOCK_DGRAM, &s.address);
    char byte = 0;
    WSABUF in = {1, &byte};
    WSABUF out = {1, (char[]){'x'}};
    DWORD flags = 0;
    struct sockaddr_in from;
    int from_size = sizeof from;
    must(WSARecvFrom(udp, &in, 1, NULL, &flags, (struct sockaddr *)&from, &from_size,
                     &s.overlapped[0], NULL) == 0 ||
             WSAGetLastError() == WSA_IO_PENDING,
         "receive");
    must(WSASendTo(udp, &out, 1, NULL, 0, (struct sockaddr *)&s.address, sizeof s.address,
                   &s.overlapped[1], NULL) == 0 ||
             WSAGetLastError() == WSA_IO_PENDING,
         "send");
    wait_both(&s);
    must(byte == 'x', "get the byte");
    closesocket(udp);
    CloseHandle(s.port);
}

static void open_client(void *context) {
    *(HANDLE *)context =
        pipe_connect(FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION);
}

/* A pipe's whole life: pending connect, client by an opener, write, read, cancelled read, close. */
static void pipe_worker(void *context) {
    (void)context;
    HANDLE port = port_create();
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    must(CreateIoCompletionPort(server, port, 1, 0) != NULL, "associate");
    OVERLAPPED overlapped = {0};
    must(!ConnectNamedPipe(server, &overlapped) && GetLastError() == ERROR_IO_PENDING,
         "leave a connect pending");
    HANDLE client = NULL;
    on_thread(open_client, &client);
    must(port_wait(port) == &overlapped, "get the connect's packet");
    must(CreateIoCompletionPort(client, port, 2, 0) != NULL, "associate");

    OVERLAPPED second = {0};
    overlapped = (OVERLAPPED){0};
    char byte = 0;
    must(WriteFile(client, "x", 1, NULL, &overlapped) || GetLastError() == ERROR_IO_PENDING,
         "write");
    must(ReadFile(server, &byte, 1, NULL, &second) || GetLastError() == ERROR_IO_PENDING, "read");
    port_wait(port);
    port_wait(port);
    must(byte == 'x', "get the byte");

    second = (OVERLAPPED){0};
    read_begin(server, &second);
    must(CancelIoEx(server, &second), "cancel");
    CancelIoEx(server, &second); /* twice is allowed, until the packet is out */
    must(port_wait(port) == &second, "get the read's packet");
    CloseHandle(client);
    CloseHandle(server);
    CloseHandle(port);
}

static void lookup_opener(void *context) {
    (void)context;
    struct addrinfo *found = NULL;
    if (getaddrinfo("127.0.0.1", "80", NULL, &found) == 0) {
        freeaddrinfo(found);
    }
}

/* A log thread: synchronous writes only. */
static void log_thread(void *context) {
    (void)context;
    puts("a line of the log");
    DWORD count = 0;
    (void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "", 0, &count, NULL);
}

static void expect_calls(const char *function, uint64_t count) {
    printf("%-28s %llu\n", function, (unsigned long long)sluice_audit_calls(function));
    must(sluice_audit_calls(function) == count, "see the calls counted");
}

static void right(void) {
    on_thread(pipe_worker, NULL);
    on_thread(tcp_worker, NULL);
    on_thread(udp_worker, NULL);
    on_thread(lookup_opener, NULL);
    on_thread(log_thread, NULL);
    expect_calls("ConnectNamedPipe", 1);
    expect_calls("ReadFile", 2);
    expect_calls("WriteFile", 2); /* one overlapped, one of the log */
    expect_calls("CancelIoEx", 2);
    expect_calls("CreateFileW", 1);
    expect_calls("AcceptEx", 1);
    expect_calls("ConnectEx", 1);
    expect_calls("WSARecv", 1);
    expect_calls("WSASend", 1);
    expect_calls("WSARecvFrom", 1);
    expect_calls("WSASendTo", 1);
    expect_calls("closesocket", 4);
    expect_calls("getaddrinfo", 1);
    must(sluice_audit_calls("puts") > 0, "see the runtime's output counted");
    must(sluice_audit_outstanding() == 0, "see nothing outstanding");
    must(sluice_audit_violations() == 0, "see no violation");
    must(sluice_audit_violations_of("both-kinds") == 0, "see no violation");
}

/* A thread that runs somebody else's I/O may do what it likes with its own handles. */
static void exempt_worker(void *context) {
    (void)context;
    sluice_audit_exempt_thread(true);
    pipe_worker(NULL);
    puts("an exempt thread prints");
    CloseHandle(pipe_create(0, false));
}

static void exempt(void) {
    on_thread(exempt_worker, NULL);
    must(sluice_audit_violations() == 0, "be exempt");
}

const audit_case right_cases[] = {
    {"right", right, NULL},
    {"exempt", exempt, NULL},
    {NULL, NULL, NULL},
};
