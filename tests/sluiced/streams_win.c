/*
 * streams_win.c - sluiced without standard handles, and with numbers for them that are no handles.
 *
 *   streams_win SLUICED SLUICE
 *   streams_win                 the client of the private broker: waits to be killed
 *
 * Windows gives out the lowest number that is free: one of those that are tried is a pipe or a port
 * of the broker's as soon as it serves. What it says must not go there. (Wine hands on no such
 * number: what becomes of one is tests/unit/test_sink_win.c's.)
 */
#include <stdbool.h>
#include <stdio.h>
#include <windows.h>

#include <shellapi.h>

#define PATIENCE_MS 60000
#define VISITS      3
#define FIRST       0x60u
#define LAST        0x90u
#define STEP        0x8u

static int fail(const char *what) {
    (void)fprintf(stderr, "streams: %s (Windows error %lu)\n", what, (unsigned long)GetLastError());
    return 1;
}

static HANDLE start(WCHAR *command, HANDLE stream, DWORD *ret_id) {
    STARTUPINFOW startup = {.cb = sizeof(startup), .dwFlags = STARTF_USESTDHANDLES};
    startup.hStdInput = startup.hStdOutput = startup.hStdError = stream;
    PROCESS_INFORMATION process;
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, DETACHED_PROCESS, NULL, NULL, &startup,
                        &process)) {
        return NULL;
    }
    (void)CloseHandle(process.hThread);
    *ret_id = process.dwProcessId;
    return process.hProcess;
}

/* The exit code of a program; 99 if it does not end. */
static DWORD run(WCHAR *command, HANDLE stream) {
    DWORD id;
    DWORD code = 99;
    HANDLE process = start(command, stream, &id);
    if (process == NULL) {
        return code;
    }
    if (WaitForSingleObject(process, PATIENCE_MS) != WAIT_OBJECT_0 ||
        !GetExitCodeProcess(process, &code)) {
        (void)TerminateProcess(process, 99);
        code = 99;
    }
    (void)CloseHandle(process);
    return code;
}

/* Until a client is greeted; then each that comes must be. `stream` is the clients'. */
static int visit_with(HANDLE stream, HANDLE broker, const WCHAR *sluice, const WCHAR *endpoint) {
    static WCHAR command[4096];
    ULONGLONG end_ms = GetTickCount64() + PATIENCE_MS;
    for (int greeted = 0; greeted < VISITS;) {
        (void)swprintf(command, 4096, L"\"%ls\" status --endpoint %ls", sluice, endpoint);
        ULONGLONG since_ms = GetTickCount64();
        DWORD code = run(command, stream);
        bool has_ended = WaitForSingleObject(broker, 0) == WAIT_OBJECT_0;
        if (code == 0) {
            greeted++;
        } else if (greeted > 0 || has_ended || GetTickCount64() > end_ms) {
            (void)fprintf(stderr,
                          "sluice status: exit code %lu after %lu ms; %d greeted before; the "
                          "broker %s\n",
                          (unsigned long)code, (unsigned long)(GetTickCount64() - since_ms),
                          greeted, has_ended ? "has ended" : "runs");
            return fail("somebody is not greeted");
        }
    }
    /* Nobody gets what it would say. */
    DWORD code = run(command, NULL);
    return code == 1 ? 0 : fail("a client without standard output does not end with 1");
}

/* The broker has been started: it does not inherit this stream. */
static int visit(HANDLE broker, const WCHAR *sluice, const WCHAR *endpoint) {
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
    HANDLE nowhere = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited, OPEN_EXISTING, 0,
                                 NULL);
    if (nowhere == INVALID_HANDLE_VALUE) {
        return fail("cannot open NUL");
    }
    int result = visit_with(nowhere, broker, sluice, endpoint);
    (void)CloseHandle(nowhere);
    return result;
}

static int try_with(HANDLE stream, const WCHAR *sluiced, const WCHAR *sluice) {
    static WCHAR self[1024];
    static WCHAR command[4096];
    WCHAR endpoint[64];
    DWORD id;
    DWORD client_id;
    DWORD code = 99;
    (void)GetModuleFileNameW(NULL, self, 1024);
    (void)swprintf(command, 4096, L"\"%ls\"", self);
    HANDLE client = start(command, NULL, &client_id);
    if (client == NULL) {
        return fail("cannot start the client");
    }
    (void)swprintf(endpoint, 64, L"streams-test-%lu", (unsigned long)GetCurrentProcessId());
    (void)swprintf(command, 4096,
                   L"\"%ls\" run --endpoint %ls --workers 1 --log-level debug --private-for %lu",
                   sluiced, endpoint, (unsigned long)client_id);
    HANDLE broker = start(command, stream, &id);
    int result = broker == NULL ? fail("cannot start sluiced") : visit(broker, sluice, endpoint);
    (void)TerminateProcess(client, 1);
    (void)CloseHandle(client);
    if (broker == NULL) {
        return result;
    }
    if (WaitForSingleObject(broker, PATIENCE_MS) != WAIT_OBJECT_0 ||
        !GetExitCodeProcess(broker, &code) || code != 0) {
        (void)fprintf(stderr, "exit code %lu\n", (unsigned long)code);
        result = 1;
    }
    (void)TerminateProcess(broker, 99);
    (void)CloseHandle(broker);
    return result;
}

int main(void) {
    int count = 0;
    LPWSTR *words = CommandLineToArgvW(GetCommandLineW(), &count);
    if (words == NULL || count < 3) {
        (void)WaitForSingleObject(GetCurrentProcess(), 10 * PATIENCE_MS);
        return 0;
    }
    int failures = try_with(NULL, words[1], words[2]) +
                   try_with(INVALID_HANDLE_VALUE, words[1], words[2]);
    for (unsigned number = FIRST; number <= LAST; number += STEP) {
        if (try_with((HANDLE)(ULONG_PTR)number, words[1], words[2]) != 0) {
            (void)fprintf(stderr, "with %#x for each standard handle\n", number);
            failures++;
        }
    }
    return failures != 0;
}
