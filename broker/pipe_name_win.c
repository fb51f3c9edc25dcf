/*
 * pipe_name_win.c - a pipe's name lives below \\.\pipe\ and is given without that.
 */
#include "broker/pipe_name.h"

#include <string.h>

int pipe_name_address(const char *name, engine_address *ret_address) {
    static const char prefix[] = "\\\\.\\pipe\\";
    char path[ENGINE_PIPE_NAME_BYTES];
    size_t length = strlen(name);
    if (length == 0) {
        return SLUICE_EINVAL;
    }
    if (sizeof(prefix) + length > sizeof(path)) {
        return SLUICE_ENAMETOOLONG;
    }
    memcpy(path, prefix, sizeof(prefix) - 1);
    memcpy(path + sizeof(prefix) - 1, name, length + 1);
    return engine_address_pipe(ret_address, path);
}
