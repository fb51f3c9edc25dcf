/*
 * iocp_name.c - what a pipe's name means: the same pipe as to every other program.
 *
 * Others open \\.\pipe\NAME, and Windows makes it plain first: a / is a \, a part "." is nothing,
 * dots and blanks at the end go [docs: Path Normalization]. So do we, by the system's own function,
 * which looks at the text only. What comes out is opened by the prefix \\?\pipe\, which Windows
 * takes as it is: nothing can make it a path to somewhere else any more. Endpoints of brokers are
 * names of another kind (engine_address_endpoint).
 */
#include "engine/iocp.h"

#include <string.h>
#include <wchar.h>

#define PREFIX L"\\\\.\\pipe\\"

static const size_t prefix_length = SL_ARRAY_COUNT(PREFIX) - 1;

/* Is there a part ".."? With one a name can lead out of the pipes; nobody means that. */
static bool has_parent(const WCHAR *name) {
    while (*name != 0) {
        size_t length = wcscspn(name, L"/\\");
        if (length == 2 && name[0] == L'.' && name[1] == L'.') {
            return true;
        }
        name += length;
        name += *name != 0;
    }
    return false;
}

/* Of the characters beyond ASCII Unicode makes only U+0131 and U+017F a capital of ASCII
 * (UnicodeData.txt). The system's table is its own: all that look like Latin letters may be. */
static bool may_be_latin(WCHAR c) {
    return (c >= 0x80 && c < 0x250) || (c >= 0x1e00 && c < 0x1f00) || (c >= 0x2100 && c < 0x2150) ||
           (c >= 0x2c60 && c < 0x2c80) || (c >= 0xa720 && c < 0xa800) ||
           (c >= 0xab30 && c < 0xab70) || (c >= 0xff00 && c < 0xff60);
}

/*
 * Does a pipe's name begin as those of endpoints? The system compares names without regard to case,
 * by a table of its own; so what may be a letter is taken for any. The rest of the name says
 * nothing: whatever begins so is kept for endpoints.
 */
static bool is_reserved(const WCHAR *name) {
    static const char mark[] = "sluice.broker";
    while (*name == L'\\' || *name == L'/') {
        name++;
    }
    for (size_t i = 0; i < sizeof(mark) - 1; i++) {
        WCHAR c = name[i] >= L'A' && name[i] <= L'Z' ? (WCHAR)(name[i] - L'A' + L'a') : name[i];
        if (c != (WCHAR)mark[i] && !may_be_latin(c)) { /* its end, too */
            return false;
        }
    }
    return true;
}

/* The name as other programs would have it made plain: behind the prefix in ret_plain, which has
 * `size` units. A status. */
static int make_plain(const char *text, WCHAR *ret_plain, DWORD size) {
    WCHAR given[ENGINE_PIPE_NAME_BYTES]; /* a unit takes a byte at least */
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, given,
                            (int)SL_ARRAY_COUNT(given)) <= 0) {
        return SLUICE_EINVAL;
    }
    if (_wcsnicmp(given, PREFIX, prefix_length) != 0 || has_parent(given + prefix_length)) {
        return SLUICE_EINVAL;
    }
    DWORD length = GetFullPathNameW(given, size, ret_plain, NULL);
    if (length == 0) {
        int status = engine_iocp_status(GetLastError());
        return status == SLUICE_EOSLIMIT ? status : SLUICE_EINVAL;
    }
    /* Remote pipes are refused: connecting to one would show our credentials to a server of the
     * caller's choice. */
    bool is_pipe =
        length > prefix_length && length < size && _wcsnicmp(ret_plain, PREFIX, prefix_length) == 0;
    return is_pipe ? SLUICE_OK : SLUICE_EINVAL;
}

int engine_iocp_pipe_path(const engine_address *pipe, WCHAR ret_path[IOCP_PATH_CHARS]) {
    static const WCHAR marked[] = L"\\\\?\\pipe\\sluice.broker\\";
    WCHAR plain[ENGINE_PIPE_NAME_BYTES];
    int status = make_plain(pipe->pipe, plain, (DWORD)SL_ARRAY_COUNT(plain));
    if (status != SLUICE_OK) {
        return status;
    }
    const WCHAR *name = plain + prefix_length;
    if (!pipe->is_endpoint && is_reserved(name)) {
        return SLUICE_EACCESS;
    }
    size_t at = pipe->is_endpoint ? SL_ARRAY_COUNT(marked) - 1 : prefix_length;
    size_t length = wcslen(name);
    if (at + length >= IOCP_PATH_CHARS) {
        return SLUICE_ENAMETOOLONG;
    }
    wmemcpy(ret_path, marked, at);
    wmemcpy(ret_path + at, name, length + 1);
    return SLUICE_OK;
}
