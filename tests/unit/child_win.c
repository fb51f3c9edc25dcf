/* child_win.c - unit_child_run on Windows: our own program again, standard error through a pipe. */
#include "unit.h"

#include <windows.h>

#define PATIENCE_MS     60000u
#define PIPE_BYTES      4096u
#define COMMAND_CHARS   2048u
#define ABORT_EXIT_CODE 3u

bool unit_grants_slices(void) {
    return false;
}

static void build_command(WCHAR *command, const char *argument) {
    DWORD length = 1;
    command[0] = L'"';
    length += GetModuleFileNameW(NULL, command + 1, COMMAND_CHARS - 128);
    assert_true(length > 1 && length < COMMAND_CHARS - 128);
    command[length++] = L'"';
    command[length++] = L' ';
    while (*argument != '\0' && length < COMMAND_CHARS - 1) {
        command[length++] = (WCHAR)*argument++;
    }
    command[length] = 0;
}

static HANDLE start_child(const char *argument, HANDLE error_pipe) {
    static WCHAR command[COMMAND_CHARS];
    STARTUPINFOW startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION process;
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = error_pipe;
    build_command(command, argument);
    assert_true(CreateProcessW(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process));
    (void)CloseHandle(process.hThread);
    return process.hProcess;
}

static void read_errors(HANDLE pipe, unit_child *child) {
    char rest[512];
    for (;;) {
        size_t room = sizeof(child->errors) - 1 - child->length;
        DWORD got = 0;
        char *to = room > 0 ? child->errors + child->length : rest;
        DWORD want = (DWORD)(room > 0 ? room : sizeof(rest));
        if (!ReadFile(pipe, to, want, &got, NULL) || got == 0) {
            return;
        }
        child->length += room > 0 ? got : 0;
    }
}

static void await_end(HANDLE process, unit_child *child) {
    DWORD code = 0;
    if (WaitForSingleObject(process, PATIENCE_MS) == WAIT_OBJECT_0 &&
        GetExitCodeProcess(process, &code)) {
        child->exit_code = (int)code;
        child->has_aborted = code == ABORT_EXIT_CODE;
    } else {
        (void)TerminateProcess(process, 1);
        child->exit_code = -1;
    }
    (void)CloseHandle(process);
}

void unit_child_run(const char *argument, unit_child_mode mode, unit_child *ret_child) {
    SECURITY_ATTRIBUTES inheritable = {.nLength = sizeof(inheritable), .bInheritHandle = TRUE};
    HANDLE read_end;
    HANDLE write_end;
    *ret_child = (unit_child){0};
    assert_true(CreatePipe(&read_end, &write_end, &inheritable, PIPE_BYTES));
    assert_true(SetHandleInformation(read_end, HANDLE_FLAG_INHERIT, 0));
    HANDLE process = start_child(argument, write_end);
    (void)CloseHandle(write_end);
    if (mode == UNIT_CHILD_READ) {
        read_errors(read_end, ret_child);
    }
    await_end(process, ret_child);
    if (mode == UNIT_CHILD_LEAVE_PIPE_FULL) {
        read_errors(read_end, ret_child);
    }
    (void)CloseHandle(read_end);
}
