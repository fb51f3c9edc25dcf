/*
 * sink_win.c - see sink.h. The only file of the Windows build that writes synchronously.
 *
 * The standard handles belong to whoever started us and may be a file, a console or a synchronous
 * pipe; a service has none (then nothing is written, and the caller learns it). Never on a thread
 * that issues overlapped I/O: a thread inside a synchronous WriteFile cannot run the cancel APC
 * that somebody else's CancelIoEx waits for (golang/go#64482).
 */
#include "base/sink.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "base/check.h"

#define PATH_CHARS 1024

static HANDLE file_handle = INVALID_HANDLE_VALUE;

/* A process is started with any three numbers as its standard handles (STARTUPINFO), also with
 * some that are no handles of its own. The system gives such a number out later on: then it is a
 * client's pipe. No handle at all (a service, a GUI program) is fine: sl_sink_write knows. */
bool sl_sink_prepare(uint32_t *ret_os_error) {
    static const DWORD streams[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    (void)ret_os_error;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(streams); i++) {
        HANDLE handle = GetStdHandle(streams[i]);
        DWORD flags;
        if (handle != NULL && handle != INVALID_HANDLE_VALUE &&
            !GetHandleInformation(handle, &flags)) {
            (void)SetStdHandle(streams[i], NULL);
        }
    }
    return true;
}

/* Appending only: with FILE_APPEND_DATA and no other right to write, the system puts each write at
 * the end, also when another process writes, too [docs: File Access Rights Constants]. */
bool sl_sink_open_file(const char *path, uint32_t *ret_os_error, const char **ret_why) {
    WCHAR wide[PATH_CHARS];
    *ret_why = NULL;
    *ret_os_error = ERROR_PATH_NOT_FOUND;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_CHARS) <= 0) {
        return false;
    }
    /* Were it a pipe, its server must not become us; were it a link, it is not followed. */
    HANDLE file = CreateFileW(
        wide, FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
        FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_ALWAYS,
        FILE_FLAG_OPEN_REPARSE_POINT | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    *ret_os_error = file == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    if (file == INVALID_HANDLE_VALUE) {
        return false;
    }
    BY_HANDLE_FILE_INFORMATION info;
    if (!GetFileInformationByHandle(file, &info)) { /* fails for what is no file */
        *ret_os_error = GetLastError();
    } else if ((info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0) {
        *ret_why = "it is a link, and leads elsewhere";
    } else if (info.nNumberOfLinks > 1) {
        *ret_why = "it has a second name (a hard link) somewhere else";
    }
    if (*ret_os_error != 0 || *ret_why != NULL) {
        (void)CloseHandle(file);
        return false;
    }
    file_handle = file;
    return true;
}

static HANDLE find_handle(sl_sink sink) {
    switch (sink) {
    case SL_SINK_OUTPUT: return GetStdHandle(STD_OUTPUT_HANDLE);
    case SL_SINK_ERROR: return GetStdHandle(STD_ERROR_HANDLE);
    default: return file_handle;
    }
}

/* One call's share: pipes and consoles have refused very large single writes. */
#define WRITE_BYTES_MAX 65536u

bool sl_sink_write(sl_sink sink, const char *bytes, size_t count) {
    HANDLE handle = find_handle(sink);
    if (handle == NULL || handle == INVALID_HANDLE_VALUE) {
        return false;
    }
    while (count > 0) {
        DWORD share = count < WRITE_BYTES_MAX ? (DWORD)count : WRITE_BYTES_MAX;
        DWORD written = 0;
        if (!WriteFile(handle, bytes, share, &written, NULL) || written == 0) {
            return false;
        }
        bytes += written;
        count -= written;
    }
    return true;
}
