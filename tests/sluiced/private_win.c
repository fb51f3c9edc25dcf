/*
 * private_win.c - a private broker on Windows is gone within 2 s when its client is killed.
 *
 *   private_win SLUICED [handle]    the client is named by its id, or by an inherited handle
 *   private_win                     the client: waits to be killed
 *
 * No job is made here: what ends the broker is its own wait (control_watch_win.c).
 */
#include <stdio.h>
#include <string.h>
#include <windows.h>

#include <shellapi.h>

#define PATIENCE_MS 30000
#define GONE_MS     2000

static int fail(const char *what) {
    (void)fprintf(stderr, "private: %s (Windows error %lu)\n", what, (unsigned long)GetLastError());
    return 1;
}

static HANDLE start(WCHAR *command, HANDLE errors, DWORD *ret_id) {
    STARTUPINFOW startup = {.cb = sizeof(startup)};
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdError = errors;
    startup.hStdOutput = errors;
    PROCESS_INFORMATION process;
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) {
        return NULL;
    }
    (void)CloseHandle(process.hThread);
    *ret_id = process.dwProcessId;
    return process.hProcess;
}

/* Reads the broker's log up to "listening"; its end comes with the broker's. */
static int until_listening(HANDLE log) {
    static char text[16384];
    DWORD used = 0;
    while (strstr(text, "listening") == NULL) {
        DWORD count = 0;
        if (used + 1 == sizeof(text) ||
            !ReadFile(log, text + used, (DWORD)sizeof(text) - 1 - used, &count, NULL) ||
            count == 0) {
            (void)fprintf(stderr, "%s\n", text);
            return fail("the log ended without: listening");
        }
        used += count;
    }
    return 0;
}

static int run(const WCHAR *sluiced, BOOL is_by_handle) {
    static WCHAR self[1024];
    static WCHAR command[4096];
    DWORD id;
    DWORD client_id;
    (void)GetModuleFileNameW(NULL, self, 1024);
    (void)swprintf(command, 4096, L"\"%ls\"", self);
    HANDLE client = start(command, NULL, &client_id);
    if (client == NULL) {
        return fail("cannot start the client");
    }
    (void)SetHandleInformation(client, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);

    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof(inherit), .bInheritHandle = TRUE};
    HANDLE log = NULL;
    HANDLE log_end = NULL;
    (void)CreatePipe(&log, &log_end, &inherit, 0);
    (void)SetHandleInformation(log, HANDLE_FLAG_INHERIT, 0);
    (void)swprintf(command, 4096,
                   L"\"%ls\" run --endpoint private-test-%lu --workers 1 --private-for %ls%lu",
                   sluiced, (unsigned long)GetCurrentProcessId(), is_by_handle ? L"handle:" : L"",
                   is_by_handle ? (unsigned long)(ULONG_PTR)client : (unsigned long)client_id);
    HANDLE broker = start(command, log_end, &id);
    (void)CloseHandle(log_end);
    int result = broker == NULL ? fail("cannot start sluiced") : until_listening(log);
    (void)TerminateProcess(client, 1);
    if (broker == NULL) {
        return result;
    }
    DWORD code = 99;
    if (result == 0 && WaitForSingleObject(broker, GONE_MS) != WAIT_OBJECT_0) {
        result = fail("the broker outlives its client");
    }
    (void)TerminateProcess(broker, 99);
    (void)WaitForSingleObject(broker, PATIENCE_MS);
    if (result == 0 && (!GetExitCodeProcess(broker, &code) || code != 0)) {
        (void)fprintf(stderr, "exit code %lu\n", (unsigned long)code);
        result = 1;
    }
    return result;
}

int main(void) {
    int count = 0;
    LPWSTR *words = CommandLineToArgvW(GetCommandLineW(), &count);
    if (words == NULL || count < 2) {
        (void)WaitForSingleObject(GetCurrentProcess(), 10 * PATIENCE_MS);
        return 0;
    }
    return run(words[1], count > 2);
}
