/*
 * pipe_name_posix.c - a pipe's name is the path of a Unix socket.
 */
#include "broker/pipe_name.h"

int pipe_name_address(const char *name, engine_address *ret_address) {
    return engine_address_pipe(ret_address, name);
}
