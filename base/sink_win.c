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

/* One call's share: pipes and consoles have refused very large single writes. */
#define WRITE_BYTES_MAX 65536u

bool sl_sink_write(sl_sink sink, const char *bytes, size_t count) {
    HANDLE handle = GetStdHandle(sink == SL_SINK_OUTPUT ? STD_OUTPUT_HANDLE : STD_ERROR_HANDLE);
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
