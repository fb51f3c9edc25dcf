/*
 * epoll_lock.c - PATH.lock: who holds it owns the pipe's name PATH.
 *
 * Held means flock, which the kernel drops with its holder. A lock file is ours if it belongs to
 * our user and has our text in it, and it has that text from the moment it has its name: it is
 * written and locked under a temporary name, then linked. So a process that is killed in between
 * leaves a file of another name, which is in nobody's way, and an empty lock file is some other
 * program's. What is not ours is never opened for good, locked or removed: the name is taken.
 *
 * The lock file is removed with the name. That would be a race (we open the file, its holder
 * removes it and lets go, we lock a file without a name, and a third makes a new one) but for the
 * second look: a lock counts only if the name still leads to the locked file; else all over again.
 * And nobody removes a lock file without holding its lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/text.h"
#include "engine/epoll.h"

#define CALLS      engine_epoll_calls
#define SUFFIX     ".lock"
#define ATTEMPTS   16u
#define TEXT_BYTES (sizeof(ENGINE_EPOLL_LOCK_TEXT) - 1)

/* Room for a name with the suffix, a dot, a process's number, a hyphen and a count. */
#define LOCK_NAME_BYTES (ENGINE_EPOLL_PATH_BYTES + sizeof(SUFFIX) + 32)

static const char not_ours[] =
    "a file that is not Sluice's lies where the name's lock would be: its name and \".lock\"";

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* 0, or the errno; EADDRINUSE: it is not ours. */
static int check_text(int fd) {
    char text[TEXT_BYTES + 1];
    ssize_t length = CALLS.read(fd, text, sizeof(text));
    if (length < 0) {
        return errno;
    }
    bool is_ours = length == (ssize_t)TEXT_BYTES && memcmp(text, ENGINE_EPOLL_LOCK_TEXT,
                                                           TEXT_BYTES) == 0;
    return is_ours ? 0 : EADDRINUSE;
}

/* An open lock file that had that identity a moment ago: is it ours, and free? */
static int hold(int fd, const struct stat *seen, const char **ret_detail) {
    struct stat held;
    if (CALLS.fstat(fd, &held) != 0) {
        return errno;
    }
    if (!is_same(seen, &held)) {
        return EAGAIN;
    }
    int error = check_text(fd);
    if (error != 0) {
        *ret_detail = error == EADDRINUSE ? not_ours : NULL;
        return error;
    }
    if (CALLS.flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? EADDRINUSE : errno;
    }
    return 0;
}

/* Takes a lock file that is there. 0; ENOENT: there is none; EAGAIN: once more; EADDRINUSE. */
static int take_old(int folder, const char *name, int *ret_fd, const char **ret_detail) {
    struct stat named;
    if (CALLS.fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if (!S_ISREG(named.st_mode) || named.st_uid != geteuid()) {
        *ret_detail = not_ours;
        return EADDRINUSE;
    }
    int fd = CALLS.openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        return errno == ENOENT || errno == ELOOP ? EAGAIN : errno;
    }
    int error = hold(fd, &named, ret_detail);
    if (error == 0) {
        struct stat again;
        bool is_there = CALLS.fstatat(folder, name, &again, AT_SYMLINK_NOFOLLOW) == 0;
        error = is_there && is_same(&named, &again) ? 0 : EAGAIN;
    }
    if (error != 0) {
        (void)CALLS.close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static int fill(int fd) {
    ssize_t length = CALLS.write(fd, ENGINE_EPOLL_LOCK_TEXT, TEXT_BYTES);
    if (length != (ssize_t)TEXT_BYTES) {
        return length < 0 ? errno : ENOSPC;
    }
    return CALLS.flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

/* Makes a lock file, locked. 0; EAGAIN: somebody else has just made one. */
static int make_new(int folder, const char *name, unsigned attempt, int *ret_fd) {
    char temporary[LOCK_NAME_BYTES];
    sl_text text;
    sl_text_init(&text, temporary, sizeof(temporary) - 1);
    sl_text_append(&text, name);
    sl_text_append(&text, ".");
    sl_text_append_u64(&text, (uint64_t)getpid());
    sl_text_append(&text, "-");
    sl_text_append_u64(&text, attempt);
    temporary[text.length] = '\0';
    int fd = CALLS.openat(folder, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                          S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return errno == EEXIST ? EAGAIN : errno; /* of a process that was killed */
    }
    int error = fill(fd);
    if (error == 0 && CALLS.linkat(folder, temporary, folder, name, 0) != 0) {
        error = errno == EEXIST ? EAGAIN : errno;
    }
    (void)CALLS.unlinkat(folder, temporary, 0);
    if (error != 0) {
        (void)CALLS.close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static void lock_name(const char *name, char ret_name[LOCK_NAME_BYTES]) {
    size_t length = strlen(name);
    memcpy(ret_name, name, length);
    memcpy(ret_name + length, SUFFIX, sizeof(SUFFIX));
}

int engine_epoll_lock_take(engine_epoll_lock *lock, int folder, const char *name,
                           const char **ret_detail) {
    char path[LOCK_NAME_BYTES];
    lock_name(name, path);
    int error = EAGAIN;
    for (unsigned i = 0; i < ATTEMPTS && error == EAGAIN; i++) {
        error = take_old(folder, path, &lock->fd, ret_detail);
        lock->was_left = error == 0;
        if (error == ENOENT) {
            error = make_new(folder, path, i, &lock->fd);
        }
    }
    return error == EAGAIN ? EADDRINUSE : error;
}

void engine_epoll_lock_drop(engine_epoll_lock *lock, int folder, const char *name) {
    char path[LOCK_NAME_BYTES];
    struct stat held;
    struct stat named;
    lock_name(name, path);
    if (CALLS.fstat(lock->fd, &held) == 0 &&
        CALLS.fstatat(folder, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && is_same(&held, &named)) {
        (void)CALLS.unlinkat(folder, path, 0);
    }
    (void)CALLS.close(lock->fd);
    lock->fd = -1;
}
