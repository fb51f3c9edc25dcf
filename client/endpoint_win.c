/*
 * endpoint_win.c - names below \\.\pipe\. Who may connect is the pipe's DACL, set by the broker.
 */
#include "client/endpoint.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>
#include <string.h>

#include "proto/address.h"

static const char prefix[] = "\\\\.\\pipe\\";

int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES],
                            sl_reason *ret_reason) {
    /* A broker's names have a prefix of their own. */
    const int most =
        ENGINE_PIPE_CHARS_MAX - (int)(sizeof(ENGINE_ENDPOINT_PREFIX_WIN) - sizeof(prefix));
    const char *name = given == NULL ? "sluice" : given;
    const char *own;
    if (name[0] == '\0') {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "endpoint", "is empty");
    }
    int status = sl_address_windows_pipe(name, "endpoint", &own, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    int units = MultiByteToWideChar(CP_UTF8, 0, own, -1, NULL, 0) - 1; /* Windows counts these */
    int length = snprintf(ret_endpoint, ENGINE_PIPE_NAME_BYTES, "%s%s", prefix, own);
    if (units > most || length < 0 || length >= ENGINE_PIPE_NAME_BYTES) {
        return sl_reason_range(ret_reason, SLUICE_ENAMETOOLONG,
                               "endpoint: UTF-16 characters of a broker's name on Windows",
                               (uint64_t)units, 1, (uint64_t)most);
    }
    return SLUICE_OK;
}

void client_endpoint_reach(const char *endpoint) {
    (void)endpoint; /* pipe names have no file system; an opener opens them */
}
