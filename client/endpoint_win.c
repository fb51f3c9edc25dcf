/*
 * endpoint_win.c - names below \\.\pipe\. Who may connect is the pipe's DACL, set by the broker.
 */
#include "client/endpoint.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "\\\\.\\pipe\\";

int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES],
                            sl_reason *ret_reason) {
    const char *name = given == NULL ? "sluice" : given;
    (void)sl_reason_set(ret_reason, SLUICE_EINVAL, "endpoint", "no name of a pipe");
    if (name[0] == '\0') {
        return SLUICE_EINVAL;
    }
    bool is_whole = _strnicmp(name, prefix, sizeof(prefix) - 1) == 0;
    int length =
        snprintf(ret_endpoint, ENGINE_PIPE_NAME_BYTES, "%s%s", is_whole ? "" : prefix, name);
    return length < 0 || length >= ENGINE_PIPE_NAME_BYTES ? SLUICE_ENAMETOOLONG : SLUICE_OK;
}

void client_endpoint_reach(const char *endpoint) {
    (void)endpoint; /* pipe names have no file system; an opener opens them */
}
