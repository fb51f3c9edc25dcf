/*
 * endpoint_posix.c - a directory that belongs to this user and that nobody else can enter keeps
 * others out. /tmp is everybody's: what is found there is looked at with lstat and never mended.
 */
#include "client/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

int client_endpoint_private(const uint64_t random[2], char ret_endpoint[ENGINE_PIPE_NAME_BYTES],
                            uint32_t *ret_os_error) {
    char path[128];
    int status = directory(path, sizeof(path));
    if (status != SLUICE_OK) {
        return status;
    }
    struct stat info;
    if ((mkdir(path, 0700) != 0 && errno != EEXIST) || lstat(path, &info) != 0) {
        *ret_os_error = (uint32_t)errno;
        return SLUICE_EACCESS;
    }
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
        *ret_os_error = EPERM;
        return SLUICE_EACCESS;
    }
    (void)snprintf(ret_endpoint, ENGINE_PIPE_NAME_BYTES, "%s/%016llx%016llx", path,
                   (unsigned long long)random[0], (unsigned long long)random[1]);
    return SLUICE_OK;
}

/* The socket, and the lock beside it (engine/epoll_path.c). Nobody else has that name. */
void client_endpoint_forget(const char *endpoint) {
    char lock[ENGINE_PIPE_NAME_BYTES + sizeof(".lock")];
    int length = snprintf(lock, sizeof(lock), "%s.lock", endpoint);
    if (length > 0 && (size_t)length < sizeof(lock)) {
        (void)unlink(endpoint);
        (void)unlink(lock);
    }
}
