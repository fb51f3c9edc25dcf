/*
 * pipe_win.c - overlapped named pipes by hand; setting up only, nothing here is measured.
 */
#include "pipe_win.h"

#include "base/clock.h"
#include "base/thread.h"

#define NAME_CHARACTERS 256u
#define BUSY_NS         (10 * SL_NS_PER_S)

static bool widen(const char *name, wchar_t *ret_name) {
    int length = MultiByteToWideChar(CP_UTF8, 0, name, -1, ret_name, (int)NAME_CHARACTERS);
    return length > 0;
}

static HANDLE join_port(HANDLE pipe, HANDLE port, ULONG_PTR key) {
    if (pipe == INVALID_HANDLE_VALUE || CreateIoCompletionPort(pipe, port, key, 0) != NULL) {
        return pipe;
    }
    (void)CloseHandle(pipe);
    return INVALID_HANDLE_VALUE;
}

HANDLE loops_pipe_create(const char *name, HANDLE port, ULONG_PTR key) {
    wchar_t wide[NAME_CHARACTERS];
    if (!widen(name, wide)) {
        return INVALID_HANDLE_VALUE;
    }
    DWORD open_mode = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
    DWORD pipe_mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_REJECT_REMOTE_CLIENTS;
    HANDLE pipe = CreateNamedPipeW(wide, open_mode, pipe_mode, PIPE_UNLIMITED_INSTANCES,
                                   LOOPS_PIPE_BUFFER_BYTES, LOOPS_PIPE_BUFFER_BYTES, 0, NULL);
    return join_port(pipe, port, key);
}

HANDLE loops_pipe_open(const char *name, HANDLE port, ULONG_PTR key) {
    wchar_t wide[NAME_CHARACTERS];
    if (!widen(name, wide)) {
        return INVALID_HANDLE_VALUE;
    }
    DWORD flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    uint64_t deadline_ns = sl_clock_now_ns(sl_clock_system()) + BUSY_NS;
    HANDLE pipe = INVALID_HANDLE_VALUE;
    for (;;) {
        pipe = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, flags, NULL);
        if (pipe != INVALID_HANDLE_VALUE || GetLastError() != ERROR_PIPE_BUSY ||
            sl_clock_now_ns(sl_clock_system()) > deadline_ns) {
            break;
        }
        sl_thread_yield(); /* the next instance is being made */
    }
    return join_port(pipe, port, key);
}
