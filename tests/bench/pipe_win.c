/*
 * pipe_win.c - overlapped named pipes by hand; setting up only, nothing here is measured.
 */
#include "pipe_win.h"

#define NAME_CHARACTERS 256u
#define BUSY_TRIES      5000u

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

HANDLE bench_pipe_create(const char *name, HANDLE port, ULONG_PTR key) {
    wchar_t wide[NAME_CHARACTERS];
    if (!widen(name, wide)) {
        return INVALID_HANDLE_VALUE;
    }
    DWORD open_mode = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
    DWORD pipe_mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_REJECT_REMOTE_CLIENTS;
    HANDLE pipe = CreateNamedPipeW(wide, open_mode, pipe_mode, PIPE_UNLIMITED_INSTANCES,
                                   BENCH_PIPE_BUFFER_BYTES, BENCH_PIPE_BUFFER_BYTES, 0, NULL);
    return join_port(pipe, port, key);
}

HANDLE bench_pipe_open(const char *name, HANDLE port, ULONG_PTR key) {
    wchar_t wide[NAME_CHARACTERS];
    if (!widen(name, wide)) {
        return INVALID_HANDLE_VALUE;
    }
    HANDLE pipe = INVALID_HANDLE_VALUE;
    for (unsigned attempt = 0; attempt < BUSY_TRIES; attempt++) {
        pipe = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                           FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
                           NULL);
        if (pipe != INVALID_HANDLE_VALUE || GetLastError() != ERROR_PIPE_BUSY) {
            break;
        }
        Sleep(1);
    }
    return join_port(pipe, port, key);
}
