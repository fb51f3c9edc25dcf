/*
 * own_dir_posix.c - see own_dir.h.
 */
#include "base/own_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nobody.h"
#include "base/status.h"

static int fail(char ret_why[SL_OWN_DIR_WHY_BYTES], const char *path, int error) {
    (void)snprintf(ret_why, SL_OWN_DIR_WHY_BYTES,
                   "%s: %.50s; give XDG_RUNTIME_DIR or --endpoint", path, strerror(error));
    return SLUICE_EOS;
}

/* $XDG_RUNTIME_DIR, or NULL: there is none that this user may believe. What is not there is
 * nobody's yet. SLUICE_OK, EOS. */
static int find_runtime_dir(const char **ret_path, char ret_why[SL_OWN_DIR_WHY_BYTES]) {
    const char *path = secure_getenv("XDG_RUNTIME_DIR");
    struct stat info;
    *ret_path = NULL;
    if (path == NULL || path[0] != '/') {
        return SLUICE_OK;
    }
    if (lstat(path, &info) != 0) {
        bool is_absent = errno == ENOENT || errno == ENAMETOOLONG;
        *ret_path = is_absent ? path : NULL;
        return is_absent ? SLUICE_OK : fail(ret_why, "XDG_RUNTIME_DIR", errno);
    }
    if (S_ISDIR(info.st_mode) && sl_nobody_is_own(AT_FDCWD, path, &info) &&
        (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) {
        *ret_path = path;
    }
    return SLUICE_OK;
}

/* The name only. */
static int find(char ret_path[SL_OWN_DIR_BYTES], char ret_why[SL_OWN_DIR_WHY_BYTES]) {
    const char *runtime;
    int status = find_runtime_dir(&runtime, ret_why);
    if (status != SLUICE_OK) {
        return status;
    }
    if (runtime == NULL) {
        (void)snprintf(ret_path, SL_OWN_DIR_BYTES, "/tmp/sluice-%lu", (unsigned long)geteuid());
        return SLUICE_OK;
    }
    int length = snprintf(ret_path, SL_OWN_DIR_BYTES, "%s/sluice", runtime);
    if (length < 0 || length >= SL_OWN_DIR_BYTES) {
        (void)snprintf(ret_why, SL_OWN_DIR_WHY_BYTES,
                       "XDG_RUNTIME_DIR is too long for an endpoint in it: name the endpoint");
        return SLUICE_ENAMETOOLONG;
    }
    return SLUICE_OK;
}

int sl_own_dir(bool makes, char ret_path[SL_OWN_DIR_BYTES], char ret_why[SL_OWN_DIR_WHY_BYTES]) {
    struct stat info;
    int status = find(ret_path, ret_why);
    if (status != SLUICE_OK) {
        return status;
    }
    if (makes && mkdir(ret_path, 0700) != 0 && errno != EEXIST) {
        return fail(ret_why, ret_path, errno);
    }
    if (lstat(ret_path, &info) != 0) {
        return errno == ENOENT && !makes ? SLUICE_OK : fail(ret_why, ret_path, errno);
    }
    if (!S_ISDIR(info.st_mode)) {
        (void)snprintf(ret_why, SL_OWN_DIR_WHY_BYTES,
                       "%s is no directory: remove it, or name the endpoint", ret_path);
    } else if (!sl_nobody_is_own(AT_FDCWD, ret_path, &info)) {
        (void)snprintf(ret_why, SL_OWN_DIR_WHY_BYTES,
                       "%s belongs to uid %lu: remove it, or name the endpoint", ret_path,
                       (unsigned long)info.st_uid);
    } else if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)snprintf(ret_why, SL_OWN_DIR_WHY_BYTES,
                       "others can enter %s: chmod it to 0700, or name the endpoint", ret_path);
    } else {
        return SLUICE_OK;
    }
    return SLUICE_EUNTRUSTED;
}
