/*
 * nobody_posix.c - see nobody.h.
 */
#include "base/nobody.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_NAMESPACE 0xEFFFFFFDu /* PROC_USER_INIT_INO: linux/proc_ns.h */
#define USUAL           65534u      /* DEFAULT_OVERFLOWUID, -GID: linux/highuid.h */
#define DIGITS_MAX      10

static bool is_first_namespace(void) {
    struct stat info;
    return fstatat(AT_FDCWD, "/proc/self/ns/user", &info, 0) == 0 && info.st_ino == FIRST_NAMESPACE;
}

/* A setting of the whole machine's, which root may have changed. */
static uint32_t read_setting(const char *path) {
    char text[DIGITS_MAX + 1];
    uint32_t number = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    ssize_t at = 0;
    while (at < length && at < DIGITS_MAX && text[at] >= '0' && text[at] <= '9') {
        number = number * 10 + (uint32_t)(text[at++] - '0');
    }
    return at > 0 ? number : USUAL;
}

sl_nobody sl_nobody_find(void) {
    if (is_first_namespace()) {
        return (sl_nobody){SL_NOBODY_NONE, SL_NOBODY_NONE};
    }
    return (sl_nobody){read_setting("/proc/sys/kernel/overflowuid"),
                       read_setting("/proc/sys/kernel/overflowgid")};
}

bool sl_nobody_is_own(int folder, const char *path, const struct stat *info) {
    struct stat found;
    if (info->st_uid != geteuid()) {
        return false;
    }
    if (info->st_uid != sl_nobody_find().uid) {
        return true;
    }
    int fd =
        openat(folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOATIME);
    if (fd < 0) {
        return false;
    }
    bool is_own =
        fstat(fd, &found) == 0 && found.st_dev == info->st_dev && found.st_ino == info->st_ino;
    (void)close(fd);
    return is_own;
}

bool sl_nobody_is_own_fd(int fd, const struct stat *info) {
    if (info->st_uid != geteuid()) {
        return false;
    }
    if (info->st_uid != sl_nobody_find().uid) {
        return true;
    }
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NOATIME) == 0;
}
