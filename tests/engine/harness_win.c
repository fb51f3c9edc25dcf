/*
 * harness_win.c - what the conformance suite needs from Windows itself. See harness.h.
 */
#include <windows.h>
#include <winsock2.h>

#include "tests/engine/harness.h"

#include <limits.h>
#include <stdio.h>
#include <wchar.h>

#include "base/status.h"
#include "base/wine_win.h"

#define OS_COMMAND_CHARS 1024
#define WINE_START_TRIES 3
#define OS_ABORT_CODE    3 /* base/process.h */

void os_start(void) {
    WSADATA data;
    (void)WSAStartup(MAKEWORD(2, 2), &data);
    (void)SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
}

void os_stop(void) {
    (void)WSACleanup();
}

void os_before_test(void) {
    (void)SetUnhandledExceptionFilter(NULL); /* cmocka's jumps: wrong on another thread */
}

void os_after_test(void) {
}

SL_NORETURN void os_exit_now(int code) {
    (void)TerminateProcess(GetCurrentProcess(), (UINT)code); /* parked threads may hold any lock */
    for (;;) {
    }
}

unsigned os_process_id(void) {
    return GetCurrentProcessId();
}

bool os_is_wine(void) {
    return sl_wine_is_here();
}

const char *os_name(void) {
    return os_is_wine() ? "wine" : "windows";
}

void os_pipe_name(char ret_name[ENGINE_PIPE_NAME_BYTES], unsigned number, unsigned extra) {
    int length = snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "\\\\.\\pipe\\sluice-test-%u-%u",
                          os_process_id(), number);
    for (unsigned i = 0; i < extra && (unsigned)length + 1 < ENGINE_PIPE_NAME_BYTES; i++) {
        ret_name[length++] = 'x';
    }
    ret_name[length] = '\0';
}

void os_pipe_name_nowhere(char ret_name[ENGINE_PIPE_NAME_BYTES]) {
    ret_name[0] = '\0'; /* pipe names have no directories */
}

void os_pipe_name_forbidden(char ret_name[ENGINE_PIPE_NAME_BYTES]) {
    ret_name[0] = '\0'; /* everybody may create pipes of any free name */
}

bool os_leave_stale_pipe(const char *name) {
    (void)name;
    return false;
}

bool os_put_lock(const char *name, const char *text) {
    (void)name;
    (void)text;
    return false; /* names have no lock files */
}

bool os_take_lock(const char *name, const char *text) {
    (void)name;
    (void)text;
    return false;
}

bool os_bind_foreign(const char *name, intptr_t *ret_server) {
    (void)name;
    (void)ret_server;
    return false; /* a pipe that is there is listened on */
}

bool os_move_foreign(const char *from, const char *to) {
    (void)from;
    (void)to;
    return false;
}

bool os_listen_foreign(intptr_t server) {
    (void)server;
    return false;
}

bool os_close_foreign(const char *name, intptr_t server, bool removes) {
    (void)name;
    (void)server;
    (void)removes;
    return false;
}

unsigned os_open_handles(void) {
    DWORD count = 0;
    (void)GetProcessHandleCount(GetCurrentProcess(), &count);
    return count;
}

bool os_lower_handle_limit(unsigned more) {
    (void)more;
    return false;
}

unsigned os_handle_limit(void) {
    return UINT_MAX;
}

void os_run_reset_client(void *reset_client) {
    os_reset_client *client = reset_client;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    static const char bytes[1024];
    SOCKET handle = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    client->ok = handle != INVALID_SOCKET &&
                 connect(handle, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (client->ok && client->send_bytes > 0) {
        int wanted = (int)client->send_bytes;
        client->ok = send(handle, bytes, wanted, 0) == wanted;
    }
    (void)sl_event_wait_until(client->go, sl_clock_now_ns(sl_clock_system()) + T_AWAIT_NS);
    if (handle != INVALID_SOCKET) {
        (void)setsockopt(handle, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof(linger));
        (void)closesocket(handle);
    }
}

/* "program" argument argument ...; the arguments are ours and need no quotes. */
static bool make_command(wchar_t command[OS_COMMAND_CHARS], const char *const *arguments) {
    wchar_t program[MAX_PATH];
    DWORD length = GetModuleFileNameW(NULL, program, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) {
        return false;
    }
    int at = swprintf(command, OS_COMMAND_CHARS, L"\"%ls\"", program);
    for (unsigned i = 0; at > 0 && arguments[i] != NULL; i++) {
        int more = swprintf(command + at, (size_t)(OS_COMMAND_CHARS - at), L" %hs", arguments[i]);
        if (more < 0) {
            return false;
        }
        at += more;
    }
    return at > 0;
}

bool os_run_child(const char *const *arguments, uint64_t limit_ns, os_end *ret_end, int *ret_code) {
    wchar_t command[OS_COMMAND_CHARS];
    STARTUPINFOW startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION child;
    DWORD code = 0;
    if (!make_command(command, arguments)) {
        return false;
    }
    /* Wine's own start of a process fails now and then (once in some thousand, 2026-11-21); the
     * child has not run then. */
    for (unsigned tries = os_is_wine() ? WINE_START_TRIES : 1;
         !CreateProcessW(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child);) {
        t_note("  no child process: error %lu", GetLastError());
        if (--tries == 0) {
            return false;
        }
    }
    if (WaitForSingleObject(child.hProcess, (DWORD)(limit_ns / SL_NS_PER_MS)) != WAIT_OBJECT_0) {
        (void)TerminateProcess(child.hProcess, 1);
        *ret_end = OS_END_HUNG;
    } else {
        (void)GetExitCodeProcess(child.hProcess, &code);
        *ret_end = code == OS_ABORT_CODE ? OS_END_ABORTED
                   : code >= 0xC0000000u ? OS_END_CRASHED
                                         : OS_END_EXITED;
    }
    *ret_code = (int)code;
    (void)CloseHandle(child.hThread);
    (void)CloseHandle(child.hProcess);
    return true;
}

void os_forge_mark(char name[ENGINE_PIPE_NAME_BYTES], unsigned which) {
    static const char *const marks[OS_FORGED_NAMES] = {
        "sluice.broker\\", "SLUICE.Broker\\", "\\sluice.broker\\",
        "slu\xc4\xb1\x63\x65.broker\\"}; /* "ce", which are hexadecimal digits, too */
    const size_t prefix = strlen("\\\\.\\pipe\\");
    char given[ENGINE_PIPE_NAME_BYTES];
    memcpy(given, name, sizeof(given));
    (void)snprintf(name + prefix, ENGINE_PIPE_NAME_BYTES - prefix, "%s%.100s", marks[which],
                   given + prefix);
}
