/*
 * pipe_name_posix.c - a pipe's name is the path of a Unix socket.
 */
#include "broker/pipe_name.h"

#include <string.h>

int pipe_name_address(const char *name, engine_address *ret_address, sl_reason *ret_reason) {
    size_t length = strlen(name);
    if (length > ENGINE_PIPE_PATH_MAX) {
        return sl_reason_too_long(ret_reason, SLUICE_ENAMETOOLONG,
                                  "address: a pipe's path on Linux", length, ENGINE_PIPE_PATH_MAX);
    }
    if (name[0] != '/') { /* it would count from the broker's folder, which is nobody's business */
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address",
                             "a pipe's name on Linux is a path that begins with /");
    }
    return engine_address_pipe(ret_address, name);
}
