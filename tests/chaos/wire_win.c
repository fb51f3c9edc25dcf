/*
 * wire_win.c - see wire.h. Overlapped, with an event for each direction: a synchronous pipe handle
 * would let a read wait for a write.
 */
#include "tests/chaos/wire.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#include "engine/engine.h"
#include "tests/integration/process.h"

#define NAME_CHARS   300
#define BUFFER_BYTES 65536u

static HANDLE as_handle(uint64_t value) {
    return (HANDLE)(uintptr_t)value;
}

static uint64_t as_number(HANDLE handle) {
    return (uint64_t)(uintptr_t)handle;
}

static uint64_t make_event(void) {
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    EXPECT(event != NULL);
    return as_number(event);
}

void wire_stop_init(wire_stop *stop) {
    stop->os_event = make_event();
}

void wire_stop_deinit(wire_stop *stop) {
    (void)CloseHandle(as_handle(stop->os_event));
}

void wire_stop_set(wire_stop *stop) {
    EXPECT(SetEvent(as_handle(stop->os_event)));
}

bool wire_stop_wait(wire_stop *stop, uint64_t time_ns) {
    return WaitForSingleObject(as_handle(stop->os_event), (DWORD)(time_ns / SL_NS_PER_MS)) ==
           WAIT_OBJECT_0;
}

/* The end of a request that was started. The bytes; on an error or stop false. */
static bool await(uint64_t os_handle, OVERLAPPED *request, BOOL is_done, wire_stop *stop,
                  DWORD *ret_count) {
    HANDLE handles[] = {request->hEvent, as_handle(stop->os_event)};
    if (!is_done && GetLastError() != ERROR_IO_PENDING) {
        return false;
    }
    if (WaitForMultipleObjects(2, handles, FALSE, INFINITE) != WAIT_OBJECT_0) {
        (void)CancelIoEx(as_handle(os_handle), request);
        (void)GetOverlappedResult(as_handle(os_handle), request, ret_count, TRUE);
        return false;
    }
    return GetOverlappedResult(as_handle(os_handle), request, ret_count, FALSE);
}

static void as_path(const char *name, wchar_t path[NAME_CHARS]) {
    EXPECT(swprintf(path, NAME_CHARS, L"%hs%hs", ENGINE_ENDPOINT_PREFIX_WIN, name) > 0);
}

/* A client of ours trusts a pipe that is its own user's; what an administrator makes is otherwise
 * the administrators'. */
static void own(SECURITY_DESCRIPTOR *ret_descriptor, TOKEN_USER *user, DWORD size) {
    HANDLE token;
    EXPECT(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token));
    EXPECT(GetTokenInformation(token, TokenUser, user, size, &size));
    (void)CloseHandle(token);
    EXPECT(InitializeSecurityDescriptor(ret_descriptor, SECURITY_DESCRIPTOR_REVISION) &&
           SetSecurityDescriptorOwner(ret_descriptor, user->User.Sid, FALSE));
}

static uint64_t make_instance(const char *name) {
    wchar_t path[NAME_CHARS];
    SECURITY_DESCRIPTOR descriptor;
    union {
        TOKEN_USER user;
        uint8_t bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    } user;
    SECURITY_ATTRIBUTES access = {.nLength = sizeof(access), .lpSecurityDescriptor = &descriptor};
    own(&descriptor, &user.user, sizeof(user));
    as_path(name, path);
    HANDLE pipe = CreateNamedPipeW(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                                   PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS,
                                   PIPE_UNLIMITED_INSTANCES, BUFFER_BYTES, BUFFER_BYTES, 0,
                                   &access);
    EXPECT(pipe != INVALID_HANDLE_VALUE);
    return as_number(pipe);
}

void wire_listen(wire_listener *listener, const char *name) {
    (void)snprintf(listener->name, sizeof(listener->name), "%s", name);
    listener->os_event = make_event();
    listener->os_handle = make_instance(name);
}

void wire_unlisten(wire_listener *listener) {
    (void)CloseHandle(as_handle(listener->os_handle));
    (void)CloseHandle(as_handle(listener->os_event));
}

bool wire_accept(wire_listener *listener, wire_stop *stop, wire *ret_wire) {
    OVERLAPPED request = {.hEvent = as_handle(listener->os_event)};
    DWORD count;
    (void)ResetEvent(request.hEvent);
    BOOL is_done = ConnectNamedPipe(as_handle(listener->os_handle), &request);
    bool is_connected = (!is_done && GetLastError() == ERROR_PIPE_CONNECTED) ||
                        await(listener->os_handle, &request, is_done, stop, &count);
    if (wire_stop_wait(stop, 0)) {
        return false;
    }
    uint64_t pipe = listener->os_handle;
    listener->os_handle = make_instance(listener->name);
    if (!is_connected) { /* the client was gone again: the next one */
        (void)CloseHandle(as_handle(pipe));
        return wire_accept(listener, stop, ret_wire);
    }
    *ret_wire = (wire){.os_handle = pipe, .os_events = {make_event(), make_event()}};
    return true;
}

bool wire_connect(const char *name, wire *ret_wire) {
    wchar_t path[NAME_CHARS];
    as_path(name, path);
    HANDLE pipe = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                              FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT |
                                  SECURITY_IDENTIFICATION,
                              NULL);
    if (pipe == INVALID_HANDLE_VALUE) {
        return false;
    }
    *ret_wire = (wire){.os_handle = as_number(pipe), .os_events = {make_event(), make_event()}};
    return true;
}

size_t wire_read(wire *w, wire_stop *stop, uint8_t *bytes, size_t size) {
    OVERLAPPED request = {.hEvent = as_handle(w->os_events[0])};
    DWORD count = 0;
    (void)ResetEvent(request.hEvent);
    BOOL is_done = ReadFile(as_handle(w->os_handle), bytes, (DWORD)size, NULL, &request);
    return await(w->os_handle, &request, is_done, stop, &count) ? count : 0;
}

bool wire_write(wire *w, wire_stop *stop, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        OVERLAPPED request = {.hEvent = as_handle(w->os_events[1])};
        DWORD count = 0;
        (void)ResetEvent(request.hEvent);
        BOOL is_done = WriteFile(as_handle(w->os_handle), bytes, (DWORD)length, NULL, &request);
        if (!await(w->os_handle, &request, is_done, stop, &count) || count == 0) {
            return false;
        }
        bytes += count;
        length -= count;
    }
    return true;
}

bool wire_half_close(wire *w) {
    (void)w;
    return false; /* Windows pipes have none */
}

void wire_close(wire *w) {
    (void)CloseHandle(as_handle(w->os_handle));
    (void)CloseHandle(as_handle(w->os_events[0]));
    (void)CloseHandle(as_handle(w->os_events[1]));
}
