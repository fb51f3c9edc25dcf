/*
 * failpoint_win.c - see failpoint_os.h.
 *
 * A service has the service manager's environment and no other. So where the variable is not set,
 * the file PROGRAM.failpoints beside the program (C:\...\sluiced_failpoints.exe.failpoints) is read
 * instead.
 */
#include "base/failpoint_os.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <wchar.h>

#define TEXT_BYTES 4096
#define PATH_CHARS 1024
#define KILLED     9u

static char text[TEXT_BYTES];

static const char *read_file(void) {
    static const WCHAR suffix[] = L".failpoints";
    WCHAR path[PATH_CHARS];
    DWORD length = GetModuleFileNameW(NULL, path, PATH_CHARS);
    if (length == 0 || length + SL_ARRAY_COUNT(suffix) > PATH_CHARS) {
        return NULL;
    }
    (void)wcscpy(path + length, suffix);
    HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return NULL;
    }
    DWORD count = 0;
    BOOL is_read = ReadFile(file, text, TEXT_BYTES - 1, &count, NULL);
    (void)CloseHandle(file);
    text[is_read ? count : 0] = '\0';
    return text;
}

const char *sl_failpoint_os_text(void) {
    DWORD length = GetEnvironmentVariableA("SLUICE_FAILPOINTS", text, TEXT_BYTES);
    SL_CHECK(length < TEXT_BYTES, "SLUICE_FAILPOINTS is not longer than there is room for");
    return length > 0 ? text : read_file();
}

void sl_failpoint_os_kill(void) {
    sl_failpoint_os_exit(KILLED);
}

void sl_failpoint_os_exit(int code) {
    for (;;) {
        (void)TerminateProcess(GetCurrentProcess(), (UINT)code);
    }
}
