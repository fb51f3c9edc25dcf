/*
 * trust_posix.c - on Linux: root, and the owner of the endpoint's directory if nobody else could
 * have put the endpoint there.
 *
 * A service under a user of its own has its socket in a directory that root made for it
 * (/run/sluice). So its owner is trusted when the directory and all above it belong to it, to root
 * or to us, and no group and nobody else may write to any of them. In /tmp that never holds:
 * anybody can make a directory there before the service does. Nor does it hold by way of a symbolic
 * link: in /tmp anybody could have made the link, to a directory of its own that is safe in itself.
 * Nor of the default endpoint, which is this user's: another user's folder has no business there.
 * Nor in a user namespace where the owner has no number: then it may be anybody (base/nobody.h).
 */
#include "client/trust.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nobody.h"

/* The directory that a path's last name is in. It must be written as the system writes it:
 * absolute, without links, "." and "..". */
static bool find_directory(const char *endpoint, char ret_path[ENGINE_PIPE_NAME_BYTES]) {
    char real[PATH_MAX];
    const char *slash = strrchr(endpoint, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - endpoint);
    length = slash == endpoint ? 1 : length;
    if (length == 0 || length >= ENGINE_PIPE_NAME_BYTES) {
        return false;
    }
    memcpy(ret_path, endpoint, length);
    ret_path[length] = '\0';
    return realpath(ret_path, real) != NULL && strcmp(real, ret_path) == 0;
}

static bool is_safe(const char *path, uid_t owner, uid_t nobody) {
    struct stat info;
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode) &&
           (info.st_mode & (S_IWGRP | S_IWOTH)) == 0 && info.st_uid != nobody &&
           (info.st_uid == 0 || info.st_uid == owner || info.st_uid == geteuid());
}

/* path is absolute; it is cut short on the way up. */
static bool is_safe_up_to_root(char *path, uid_t owner) {
    uid_t nobody = sl_nobody_find().uid;
    bool safe = is_safe(path, owner, nobody);
    while (safe && path[1] != '\0') {
        char *slash = strrchr(path, '/');
        *(slash == path ? slash + 1 : slash) = '\0';
        safe = is_safe(path, owner, nobody);
    }
    return safe;
}

void client_trust_platform(client_trust *trust, const char *endpoint) {
    char path[ENGINE_PIPE_NAME_BYTES];
    struct stat info;
    /* A set-group-ID program, or one with capabilities: what it has, its user has not. */
    trust->doubts_own = getauxval(AT_SECURE) != 0 && getuid() == geteuid();
    engine_identity_uid(&trust->users[trust->user_count++], 0);
    if (endpoint != NULL && find_directory(endpoint, path) && lstat(path, &info) == 0 &&
        is_safe_up_to_root(path, info.st_uid)) {
        engine_identity_uid(&trust->users[trust->user_count++], info.st_uid);
    }
}
