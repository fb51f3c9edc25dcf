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

#include "base/alloc.h"
#include "client/cli/hang.h"

#define CLOSING     UINT32_C(0x80000000)
#define CHECK_BYTES 64

typedef struct direct_end {
    HANDLE handle;
    sl_atomic_u32 users; /* CLOSING | the calls inside, and one for being open */
} direct_end;

typedef struct direct_worker {
    direct_end ends[2];
    SOCKET socket, peer; /* mixed */
    OVERLAPPED receive;
    WSAEVENT received;
    char buffer[CHECK_BYTES];
    bool is_pending;
    int receive_status; /* when it is not pending */
} direct_worker;

static bool enter(direct_end *end) {
    uint32_t users = atomic_load(&end->users);
    while ((users & CLOSING) == 0) {
        if (atomic_compare_exchange_weak(&end->users, &users, users + 1)) {
            return true;
        }
    }
    return false;
}

static void leave(direct_end *end) {
    if (((atomic_fetch_sub(&end->users, 1) - 1) & ~CLOSING) == 0) {
        (void)CloseHandle(end->handle);
    }
}

static direct_end *end_at(uint64_t number) {
    return (direct_end *)(uintptr_t)number;
}

static int status_of(DWORD error, bool reading) {
    switch (error) {
    case ERROR_OPERATION_ABORTED:
        return SLUICE_ECANCELED;
    case ERROR_BROKEN_PIPE:
    case ERROR_PIPE_NOT_CONNECTED:
    case ERROR_NO_DATA:
        return reading ? SLUICE_EEOF : SLUICE_EBROKENPIPE;
    default:
        return SLUICE_EOS;
    }
}

static int direct_read(hang_lane *lane, uint64_t number, void *buffer, uint32_t bytes,
                       uint64_t *ret_done) {
    direct_end *end = end_at(number);
    DWORD count = 0;
    (void)lane;
    if (!enter(end)) {
        return SLUICE_ECLOSED;
    }
    int status = ReadFile(end->handle, buffer, bytes, &count, NULL)
                     ? SLUICE_OK
                     : status_of(GetLastError(), true);
    leave(end);
    *ret_done = count;
    return status;
}

static int direct_write(hang_lane *lane, uint64_t number, const void *data, uint32_t bytes,
                        uint64_t *ret_done) {
    direct_end *end = end_at(number);
    DWORD count = 0;
    (void)lane;
    if (!enter(end)) {
        return SLUICE_ECLOSED;
    }
    int status = WriteFile(end->handle, data, bytes, &count, NULL)
                     ? SLUICE_OK
                     : status_of(GetLastError(), false);
    leave(end);
    *ret_done = count;
    return status;
}

static int direct_pair(hang_lane *lane, hang_ends *ret_ends) {
    direct_worker *state = lane->worker->io_state;
    if (!CreatePipe(&state->ends[0].handle, &state->ends[1].handle, NULL, 0)) {
        return SLUICE_EOS;
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&state->ends[i].users, 1);
    }
    ret_ends->reader = (uint64_t)(uintptr_t)&state->ends[0];
    ret_ends->writer = (uint64_t)(uintptr_t)&state->ends[1];
    return SLUICE_OK;
}

/* What Go's Close did: mark, cancel, and let the last one close. The cancel can hang. (It can also
 * come before the call that it should cancel. In the race the writer then wakes the reader; in
 * mixed, where nobody writes, the close of the writer's end does.) */
static int direct_close(hang_lane *lane, uint64_t number) {
    direct_end *end = end_at(number);
    (void)lane;
    atomic_fetch_or(&end->users, CLOSING);
    (void)CancelIoEx(end->handle, NULL);
    leave(end);
    return SLUICE_OK;
}

static void direct_forget(hang_worker *worker) {
    (void)worker;
}

/* ---- mixed --------------------------------------------------------------------------------- */

static int direct_receive_start(hang_lane *reader) {
    direct_worker *state = reader->worker->io_state;
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
static int direct_receive_cancel(hang_lane *closer) {
    direct_worker *state = closer->worker->io_state;
    if (state->is_pending) {
        (void)CancelIoEx((HANDLE)state->socket, &state->receive);
    }
    return state->receive_status;
}

static int direct_receive_wait(hang_lane *closer) {
    direct_worker *state = closer->worker->io_state;
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

static int direct_socket_check(hang_worker *worker) {
    direct_worker *state = worker->io_state;
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

static int make_socket(direct_worker *state) {
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

static int direct_open_worker(hang_test *test, hang_worker *worker) {
    WSADATA data;
    direct_worker *state =
        sl_allocator_system()->acquire(sl_allocator_system(), sizeof(direct_worker));
    if (state == NULL) {
        return SLUICE_ENOMEM;
    }
    worker->io_state = state;
    state->socket = INVALID_SOCKET;
    state->peer = INVALID_SOCKET;
    if (!test->is_mixed) {
        return SLUICE_OK;
    }
    return WSAStartup(MAKEWORD(2, 2), &data) == 0 ? make_socket(state) : SLUICE_EOS;
}

static void direct_close_worker(hang_worker *worker) {
    direct_worker *state = worker->io_state;
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
    sl_allocator_system()->release(sl_allocator_system(), state, sizeof(*state));
    worker->io_state = NULL;
}

const hang_io hang_io_direct = {
    .name = "direct",
    .open_worker = direct_open_worker,
    .close_worker = direct_close_worker,
    .pair = direct_pair,
    .read = direct_read,
    .write = direct_write,
    .close = direct_close,
    .forget = direct_forget,
    .receive_start = direct_receive_start,
    .receive_cancel = direct_receive_cancel,
    .receive_wait = direct_receive_wait,
    .socket_check = direct_socket_check,
};
