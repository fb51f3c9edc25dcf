/*
 * direct_win.c - hangtest inside this process: the disease, as it was in Go (golang/go#64482).
 *
 * Synchronous anonymous pipes, read and written by blocked threads, cancelled with CancelIoEx from
 * another thread, then closed by whoever is last inside. On a real Windows the CancelIoEx, or the
 * blocked call, may never return: the watchdog then names the thread and its age. (Wine cancels at
 * once and shows nothing.) Scenario mixed is the kernel dump's other case: a thread issues an
 * overlapped receive on a socket and then blocks in a synchronous read of a pipe; the cancel of the
 * socket's receive waits for that thread.
 *
 * It breaks every rule of this project on purpose, and is kept out of the audit's judgement.
 */
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
/* After winsock2.h. */
#include <windows.h>

#include <string.h>

#include "client/cli/direct.h"

#define CHECK_BYTES 64

typedef struct win_worker {
    direct_worker shared;
    SOCKET socket, peer; /* mixed */
    OVERLAPPED receive;
    WSAEVENT received;
    char buffer[CHECK_BYTES];
    bool is_pending;
    int receive_status; /* when it is not pending */
} win_worker;

static HANDLE handle_of(uint64_t number) {
    return (HANDLE)(uintptr_t)number;
}

static int status_of(DWORD error, bool reading) {
    switch (error) {
    case ERROR_OPERATION_ABORTED: return SLUICE_ECANCELED;
    case ERROR_BROKEN_PIPE:
    case ERROR_PIPE_NOT_CONNECTED:
    case ERROR_NO_DATA: return reading ? SLUICE_EEOF : SLUICE_EBROKENPIPE;
    default: return SLUICE_EOS;
    }
}

int direct_system_read(uint64_t handle, void *buffer, uint32_t bytes, uint64_t *ret_done) {
    DWORD count = 0;
    int status = ReadFile(handle_of(handle), buffer, bytes, &count, NULL)
                     ? SLUICE_OK
                     : status_of(GetLastError(), true);
    *ret_done = count;
    return status;
}

int direct_system_write(uint64_t handle, const void *data, uint32_t bytes, uint64_t *ret_done) {
    DWORD count = 0;
    int status = WriteFile(handle_of(handle), data, bytes, &count, NULL)
                     ? SLUICE_OK
                     : status_of(GetLastError(), false);
    *ret_done = count;
    return status;
}

int direct_system_pipe(uint64_t ret_handles[2]) {
    HANDLE reader, writer;
    if (!CreatePipe(&reader, &writer, NULL, 0)) {
        return SLUICE_EOS;
    }
    ret_handles[0] = (uint64_t)(uintptr_t)reader;
    ret_handles[1] = (uint64_t)(uintptr_t)writer;
    return SLUICE_OK;
}

/* Here it hangs. (It can also come before the call that it should cancel. In the race the writer
 * then wakes the reader; in mixed, where nobody writes, the close of the writer's end does.) */
void direct_system_cancel(uint64_t handle) {
    (void)CancelIoEx(handle_of(handle), NULL);
}

void direct_system_close(uint64_t handle) {
    (void)CloseHandle(handle_of(handle));
}

/* ---- mixed --------------------------------------------------------------------------------- */

static int receive_start(hang_lane *reader) {
    win_worker *state = reader->worker->io_state;
    WSABUF buffer = {.len = CHECK_BYTES, .buf = state->buffer};
    DWORD flags = 0;
    memset(&state->receive, 0, sizeof(state->receive));
    (void)WSAResetEvent(state->received);
    state->receive.hEvent = state->received;
    int result = WSARecv(state->socket, &buffer, 1, NULL, &flags, &state->receive, NULL);
    state->is_pending = result == 0 || WSAGetLastError() == WSA_IO_PENDING;
    state->receive_status = state->is_pending ? SLUICE_OK : SLUICE_EOS;
    return state->receive_status;
}

/* Here it hangs on a real Windows: the thread that issued the receive sits in ReadFile. */
static int receive_cancel(hang_lane *closer) {
    win_worker *state = closer->worker->io_state;
    if (state->is_pending) {
        (void)CancelIoEx((HANDLE)state->socket, &state->receive);
    }
    return state->receive_status;
}

static int receive_wait(hang_lane *closer) {
    win_worker *state = closer->worker->io_state;
    DWORD count = 0;
    DWORD flags = 0;
    if (!state->is_pending) {
        return state->receive_status;
    }
    if (WSAGetOverlappedResult(state->socket, &state->receive, &count, TRUE, &flags)) {
        return SLUICE_OK;
    }
    return status_of((DWORD)WSAGetLastError(), true);
}

static int socket_check(hang_worker *worker) {
    win_worker *state = worker->io_state;
    char sent[CHECK_BYTES], came[CHECK_BYTES];
    memset(sent, 'x', sizeof(sent));
    if (send(state->peer, sent, CHECK_BYTES, 0) != CHECK_BYTES) {
        return SLUICE_EOS;
    }
    for (int at = 0; at < CHECK_BYTES;) {
        int count = recv(state->socket, came + at, CHECK_BYTES - at, 0);
        if (count <= 0) {
            return SLUICE_ERESET;
        }
        at += count;
    }
    return memcmp(sent, came, CHECK_BYTES) == 0 ? SLUICE_OK : SLUICE_EPROTOCOL;
}

static int make_socket(win_worker *state) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    int size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SOCKET listener = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    state->socket = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    state->received = WSACreateEvent();
    bool ok = listener != INVALID_SOCKET && state->socket != INVALID_SOCKET &&
              bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
              connect(state->socket, (struct sockaddr *)&address, size) == 0;
    if (ok) {
        state->peer = accept(listener, NULL, NULL);
    }
    (void)closesocket(listener);
    return ok && state->peer != INVALID_SOCKET ? SLUICE_OK : SLUICE_EOS;
}

static int open_worker(hang_test *test, hang_worker *worker) {
    WSADATA data;
    if (direct_open_state(worker, sizeof(win_worker)) != SLUICE_OK) {
        return SLUICE_ENOMEM;
    }
    win_worker *state = worker->io_state;
    state->socket = INVALID_SOCKET;
    state->peer = INVALID_SOCKET;
    if (!test->is_mixed) {
        return SLUICE_OK;
    }
    return WSAStartup(MAKEWORD(2, 2), &data) == 0 ? make_socket(state) : SLUICE_EOS;
}

static void close_worker(hang_worker *worker) {
    win_worker *state = worker->io_state;
    if (state == NULL) {
        return;
    }
    if (state->socket != INVALID_SOCKET) {
        (void)closesocket(state->socket);
    }
    if (state->peer != INVALID_SOCKET) {
        (void)closesocket(state->peer);
    }
    if (state->received != NULL) {
        (void)WSACloseEvent(state->received);
    }
    direct_close_state(worker, sizeof(*state));
}

const hang_io hang_io_direct = {
    .name = "direct",
    .open_worker = open_worker,
    .close_worker = close_worker,
    .pair = direct_pair,
    .read = direct_read,
    .write = direct_write,
    .close = direct_close,
    .forget = direct_forget,
    .receive_start = receive_start,
    .receive_cancel = receive_cancel,
    .receive_wait = receive_wait,
    .socket_check = socket_check,
};
