/*
 * endpoint_posix.c - see endpoint.h.
 */
#include "client/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int directory(char *ret_path, size_t size) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length;
    if (runtime != NULL && runtime[0] == '/') {
        length = snprintf(ret_path, size, "%s/sluice", runtime);
    } else {
        length = snprintf(ret_path, size, "/tmp/sluice-%lu", (unsigned long)geteuid());
    }
    return length < 0 || (size_t)length >= size ? SLUICE_ENAMETOOLONG : SLUICE_OK;
}

int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES]) {
    if (given != NULL) {
        size_t length = strlen(given);
        if (length == 0 || length >= ENGINE_PIPE_NAME_BYTES) {
            return length == 0 ? SLUICE_EINVAL : SLUICE_ENAMETOOLONG;
        }
        memcpy(ret_endpoint, given, length + 1);
        return SLUICE_OK;
    }
    int status = directory(ret_endpoint, ENGINE_PIPE_NAME_BYTES - sizeof("/broker"));
    if (status == SLUICE_OK) {
        memcpy(ret_endpoint + strlen(ret_endpoint), "/broker", sizeof("/broker"));
    }
    return status;
}

void client_endpoint_reach(const char *endpoint) {
    (void)access(endpoint, F_OK); /* whether there is something is not asked here */
}
