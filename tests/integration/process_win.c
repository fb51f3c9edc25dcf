/*
 * process_win.c - see process.h. A child is suspended as a whole by NtSuspendProcess, as a debugger
 * does it; each child has a process group of its own, so that Ctrl-Break reaches it alone.
 */
#include "tests/integration/process.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>
#include <psapi.h>

#include "base/wine_win.h"
#include "engine/engine.h"

#define LINE_CHARS 8192
#define KILLED     9u /* exit code */

typedef LONG(NTAPI *process_call)(HANDLE process);

static HANDLE as_handle(uint64_t value) {
    return (HANDLE)(uintptr_t)value;
}

static uint64_t as_number(HANDLE handle) {
    return (uint64_t)(uintptr_t)handle;
}

/* No word of ours has a quote in it or ends with a backslash. */
static void join(const char *const *words, wchar_t line[LINE_CHARS]) {
    static char text[LINE_CHARS];
    size_t length = 0;
    for (int i = 0; words[i] != NULL; i++) {
        int added = snprintf(text + length, sizeof(text) - length, "%s\"%s\"", i == 0 ? "" : " ",
                             words[i]);
        EXPECT(added > 0 && length + (size_t)added < sizeof(text));
        length += (size_t)added;
    }
    EXPECT(MultiByteToWideChar(CP_UTF8, 0, text, -1, line, LINE_CHARS) != 0);
}

static void make_pipe(HANDLE *ret_read, HANDLE *ret_write, bool is_read_inherited) {
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof(inherit), .bInheritHandle = TRUE};
    EXPECT(CreatePipe(ret_read, ret_write, &inherit, 0));
    EXPECT(SetHandleInformation(is_read_inherited ? *ret_write : *ret_read, HANDLE_FLAG_INHERIT,
                                0));
}

void process_os_start(process *p, const char *const *words) {
    static wchar_t line[LINE_CHARS];
    HANDLE input[2];
    HANDLE output[2];
    PROCESS_INFORMATION made;
    STARTUPINFOW startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES};
    make_pipe(&input[0], &input[1], true);
    make_pipe(&output[0], &output[1], false);
    startup.hStdInput = input[0];
    startup.hStdOutput = output[1];
    startup.hStdError = output[1];
    join(words, line);
    EXPECT(CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_NEW_PROCESS_GROUP, NULL, NULL,
                          &startup, &made));
    (void)CloseHandle(made.hThread);
    (void)CloseHandle(input[0]);
    (void)CloseHandle(output[1]);
    p->id = made.dwProcessId;
    p->os_process = as_number(made.hProcess);
    p->os_input = as_number(input[1]);
    p->os_output = as_number(output[0]);
    p->has_input = true;
}

size_t process_os_read(process *p, char *bytes, size_t size) {
    DWORD count = 0;
    BOOL is_read = ReadFile(as_handle(p->os_output), bytes, (DWORD)size, &count, NULL);
    return is_read ? count : 0;
}

bool process_os_wait(process *p, uint64_t timeout_ns) {
    DWORD code = 0;
    if (WaitForSingleObject(as_handle(p->os_process), (DWORD)(timeout_ns / SL_NS_PER_MS)) !=
            WAIT_OBJECT_0 ||
        !GetExitCodeProcess(as_handle(p->os_process), &code)) {
        return false;
    }
    p->exit_code = (int)code;
    return true;
}

void process_os_write(process *p, const char *text, size_t length) {
    DWORD count = 0;
    (void)WriteFile(as_handle(p->os_input), text, (DWORD)length, &count, NULL);
}

void process_os_close_input(process *p) {
    (void)CloseHandle(as_handle(p->os_input));
}

void process_os_close(process *p) {
    (void)CloseHandle(as_handle(p->os_output));
    (void)CloseHandle(as_handle(p->os_process));
}

void process_os_kill(uint64_t os_process) {
    (void)TerminateProcess(as_handle(os_process), KILLED);
}

void process_kill(process *p) {
    process_os_kill(p->os_process);
}

static void call_nt(const process *p, const char *name) {
    union {
        FARPROC any;
        process_call call;
    } as = {GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name)};
    HANDLE it = as_handle(p->os_process);
    EXPECT(as.any != NULL &&
           (as.call(it) == 0 || WaitForSingleObject(it, 0) == WAIT_OBJECT_0));
}

void process_suspend(process *p) {
    call_nt(p, "NtSuspendProcess");
}

void process_resume(process *p) {
    call_nt(p, "NtResumeProcess");
}

/* Not on Wine: 8 knows no such event for a process group, 10 makes SIGQUIT of it, which ends a
 * thread of the process and not the process [probe, Wine 10.0; wine: server/console.c]. */
bool process_interrupt(process *p) {
    return !sl_wine_is_here() && GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, (DWORD)p->id);
}

uint64_t process_open(uint64_t id) {
    return as_number(OpenProcess(SYNCHRONIZE, FALSE, (DWORD)id));
}

bool process_is_gone(uint64_t opened, uint64_t timeout_ns) {
    DWORD result = WaitForSingleObject(as_handle(opened), (DWORD)(timeout_ns / SL_NS_PER_MS));
    (void)CloseHandle(as_handle(opened));
    return result == WAIT_OBJECT_0;
}

uint64_t process_open_count_of(uint64_t id) {
    DWORD count = 0;
    HANDLE it = OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, (DWORD)id);
    if (it == NULL) {
        return 0;
    }
    BOOL is_known = GetProcessHandleCount(it, &count);
    (void)CloseHandle(it);
    return is_known ? count : 0;
}

uint64_t process_memory_bytes(uint64_t id) {
    PROCESS_MEMORY_COUNTERS counters = {.cb = sizeof(counters)};
    HANDLE it = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, (DWORD)id);
    if (it == NULL) {
        return 0;
    }
    BOOL is_known = K32GetProcessMemoryInfo(it, &counters, sizeof(counters));
    (void)CloseHandle(it);
    return is_known ? counters.WorkingSetSize : 0;
}

const char *process_shell(void) {
    return "";
}

uint64_t process_own_id(void) {
    return GetCurrentProcessId();
}

void process_own_path(char *ret_path, size_t size) {
    static wchar_t path[LINE_CHARS];
    DWORD length = GetModuleFileNameW(NULL, path, LINE_CHARS);
    EXPECT(length > 0 && length < LINE_CHARS);
    EXPECT(WideCharToMultiByte(CP_UTF8, 0, path, -1, ret_path, (int)size, NULL, NULL) != 0);
}

void process_endpoint(char *ret_name, size_t size, unsigned number) {
    (void)snprintf(ret_name, size, "sluice-integration-%lu-%u", GetCurrentProcessId(), number);
}

static uint64_t open_pipe(const char *prefix, const char *text) {
    static wchar_t name[LINE_CHARS];
    (void)swprintf(name, LINE_CHARS, L"%hs%hs", prefix, text);
    HANDLE pipe = INVALID_HANDLE_VALUE;
    while (pipe == INVALID_HANDLE_VALUE) {
        pipe = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                           SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
        /* Busy: the broker makes the next instance when it has seen the last connection. */
        EXPECT(pipe != INVALID_HANDLE_VALUE || GetLastError() == ERROR_PIPE_BUSY);
    }
    return as_number(pipe);
}

uint64_t process_raw_open(const char *endpoint) {
    return open_pipe(ENGINE_ENDPOINT_PREFIX_WIN, endpoint);
}

uint64_t process_raw_open_pipe(const char *name) {
    return open_pipe("\\\\.\\pipe\\", name);
}

bool process_raw_send(uint64_t raw, const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        DWORD count = 0;
        if (!WriteFile(as_handle(raw), at, (DWORD)length, &count, NULL) || count == 0) {
            return false;
        }
        at += count;
        length -= count;
    }
    return true;
}

size_t process_raw_receive(uint64_t raw, void *bytes, size_t size) {
    DWORD count = 0; /* the watchdog bounds this wait */
    BOOL is_read = ReadFile(as_handle(raw), bytes, (DWORD)size, &count, NULL);
    return is_read ? count : 0;
}

void process_raw_close(uint64_t raw) {
    (void)CloseHandle(as_handle(raw));
}

bool process_is_wine(void) {
    return sl_wine_is_here();
}

void process_set_environment(const char *name, const char *value) {
    EXPECT(SetEnvironmentVariableA(name, value) || value == NULL);
}
