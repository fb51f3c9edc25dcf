/*
 * endpoint_posix.c - the endpoint that is named, or the one in this user's own folder
 * (base/own_dir.h), which keeps others out.
 */
#include "client/endpoint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own_dir.h"

int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES],
                            sl_reason *ret_reason) {
    if (given != NULL) {
        size_t length = strlen(given);
        if (length == 0) {
            return sl_reason_set(ret_reason, SLUICE_EINVAL, "endpoint", "is empty");
        }
        if (length > ENGINE_PIPE_PATH_MAX) {
            return sl_reason_too_long(ret_reason, SLUICE_ENAMETOOLONG,
                                      "endpoint: a socket's path on Linux", length,
                                      ENGINE_PIPE_PATH_MAX);
        }
        if (given[0] != '/') { /* a program that changes its folder would reach another one later */
            return sl_reason_set(ret_reason, SLUICE_EINVAL, "endpoint",
                                 "on Linux it is a path that begins with /");
        }
        memcpy(ret_endpoint, given, length + 1);
        return SLUICE_OK;
    }
    char path[SL_OWN_DIR_BYTES];
    char why[SL_OWN_DIR_WHY_BYTES];
    int status = sl_own_dir(false, path, why);
    if (status != SLUICE_OK) {
        status = status == SLUICE_ENAMETOOLONG ? status : SLUICE_EUNTRUSTED;
        return sl_reason_set(ret_reason, status, "endpoint", why);
    }
    (void)snprintf(ret_endpoint, ENGINE_PIPE_NAME_BYTES, "%s/broker", path);
    return SLUICE_OK;
}

void client_endpoint_reach(const char *endpoint) {
    (void)access(endpoint, F_OK); /* whether there is something is not asked here */
}
