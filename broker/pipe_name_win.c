/*
 * pipe_name_win.c - a pipe's name lives below \\.\pipe\ and is given with or without that.
 */
#include "broker/pipe_name.h"

#include <string.h>
#include <windows.h>

#include "proto/address.h"

/* The name again, behind `prefix`. */
static int with_prefix(const char *name, engine_address *ret_address) {
    static const char prefix[] = "\\\\.\\pipe\\";
    char path[ENGINE_PIPE_NAME_BYTES];
    size_t length = strlen(name);
    if (sizeof(prefix) + length > sizeof(path)) {
        return SLUICE_ENAMETOOLONG;
    }
    memcpy(path, prefix, sizeof(prefix) - 1);
    memcpy(path + sizeof(prefix) - 1, name, length + 1);
    return engine_address_pipe(ret_address, path);
}

int pipe_name_address(const char *given, engine_address *ret_address, sl_reason *ret_reason) {
    const char *name;
    int status = sl_address_windows_pipe(given, "address", &name, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    int units = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, NULL, 0) - 1;
    if (units < 0) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address", "the name is not UTF-8");
    }
    if (units > ENGINE_PIPE_CHARS_MAX) {
        return sl_reason_range(ret_reason, SLUICE_ENAMETOOLONG,
                               "address: characters (UTF-16) of a pipe's name on Windows",
                               (uint64_t)units, 1, ENGINE_PIPE_CHARS_MAX);
    }
    return with_prefix(name, ret_address);
}
