/*
 * wrong_pipe_win.c - wrong programs: pipes made or opened without care, forbidden calls.
 */
#include "cases_win.h"

#include <mswsock.h>
#include <stdio.h>

static void no_security(void) {
    CloseHandle(pipe_create(PIPE_REJECT_REMOTE_CLIENTS, false));
}

static void remote(void) {
    CloseHandle(pipe_create(0, true));
}

static void nowait(void) {
    CloseHandle(pipe_create(PIPE_REJECT_REMOTE_CLIENTS | PIPE_NOWAIT, true));
}

static void no_sqos(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    CloseHandle(pipe_connect(FILE_FLAG_OVERLAPPED));
    CloseHandle(server);
}

/* With SQOS, but letting the server act as its client. */
static void sqos_impersonation(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    CloseHandle(
        pipe_connect(FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IMPERSONATION));
    CloseHandle(server);
}

static void peek(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    DWORD available = 0;
    PeekNamedPipe(server, NULL, 0, NULL, &available, NULL);
    CloseHandle(server);
}

static void disconnect(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    DisconnectNamedPipe(server);
    CloseHandle(server);
}

static void wait_named_pipe(void) {
    WaitNamedPipeW(L"\\\\.\\pipe\\sluice-audit-absent", 1);
}

static void skip_on_success(void) {
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    SetFileCompletionNotificationModes(server, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS);
    CloseHandle(server);
}

/* The name is looked up at run time, so that no import tells of it. */
static void by_name(void) {
    typedef BOOL(WINAPI * flush_fn)(HANDLE);
    HANDLE server = pipe_create(PIPE_REJECT_REMOTE_CLIENTS, true);
    flush_fn flush =
        (flush_fn)(void *)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "FlushFileBuffers");
    must(flush != NULL, "find FlushFileBuffers");
    flush(server);
    CloseHandle(server);
}

/* An extension function that would go past the audit. */
static void extension(void) {
    SOCKET socket_value = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    must(socket_value != INVALID_SOCKET, "make a socket");
    GUID guid = WSAID_DISCONNECTEX;
    LPFN_DISCONNECTEX pointer = NULL;
    DWORD size = 0;
    WSAIoctl(socket_value, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof guid, &pointer,
             sizeof pointer, &size, NULL, NULL);
    closesocket(socket_value);
}

const audit_case pipe_cases[] = {
    {"pipe-no-security", no_security, "pipe-no-security"},
    {"pipe-remote", remote, "pipe-remote"},
    {"pipe-nowait", nowait, "pipe-nowait"},
    {"pipe-no-sqos", no_sqos, "pipe-no-sqos"},
    {"pipe-sqos-impersonation", sqos_impersonation, "pipe-no-sqos"},
    {"forbidden-peek", peek, "forbidden-call"},
    {"forbidden-disconnect", disconnect, "forbidden-call"},
    {"forbidden-wait", wait_named_pipe, "forbidden-call"},
    {"forbidden-skip", skip_on_success, "forbidden-call"},
    {"forbidden-by-name", by_name, "forbidden-call"},
    {"forbidden-extension", extension, "forbidden-call"},
    {NULL, NULL, NULL},
};
