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
 *
 * A killed process leaves its socket file as well, and that may go only if it is that very one:
 * another program may have put its own there since, and may just be between its bind and its
 * listen, so that nobody answers. So the lock file says which one it was: its number, and the time
 * of its making, since a number is given out again. (A socket file's time of last writing is that:
 * nobody writes to it. Modes, owners, ACLs and links change another of its times.) Its file system
 * is not said: it is the lock file's own, and may have another number at each mount (an overlay's,
 * a loop device's). What a stranger puts there has another time, unless it has the same number and
 * was made within the same tick of the file system's clock, some milliseconds: in which we would
 * have to be killed, too.
 *
 * A process that is killed after its bind and before it has written that leaves a socket that
 * nobody dares to remove; a person is told to. And one race is left that no call closes, for
 * unlink(2) takes a name: a stranger that removes our old socket and makes its own between our look
 * and our removal loses it. It would have to remove what is not its own, in those microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"
#include "engine/epoll.h"

#define CALLS    engine_epoll_calls
#define SUFFIX   ".lock"
#define ATTEMPTS 16u
/* O_NOATIME is for a file's owner: what shows our number in a user namespace is ours only then
 * (base/nobody.h). */
#define OLD_FLAGS  (O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_NOATIME)
#define TEXT_BYTES (sizeof(ENGINE_EPOLL_LOCK_TEXT) - 1)
/* Digits in full, so that a record is written over another one whole. */
#define RECORD "Its socket: number %016" PRIx64 ", made %016" PRIx64 ".%08x\n"

/* Room for a name with the suffix, a dot, a process's number, a hyphen and a count. */
#define LOCK_NAME_BYTES (ENGINE_EPOLL_PATH_BYTES + sizeof(SUFFIX) + 32)

static const char not_ours[] =
    "a file that is not Sluice's lies where the name's lock would be: its name and \".lock\"";

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

void engine_epoll_lock_describe(const struct stat *socket,
                                char ret_record[ENGINE_EPOLL_RECORD_BYTES]) {
    int length = snprintf(ret_record, ENGINE_EPOLL_RECORD_BYTES, RECORD, (uint64_t)socket->st_ino,
                          (uint64_t)socket->st_mtim.tv_sec, (unsigned)socket->st_mtim.tv_nsec);
    SL_CHECK(length == ENGINE_EPOLL_RECORD_BYTES - 1, "a record is always that long");
}

int engine_epoll_lock_record(const engine_epoll_lock *lock, const struct stat *socket) {
    char record[ENGINE_EPOLL_RECORD_BYTES];
    engine_epoll_lock_describe(socket, record);
    ssize_t length = CALLS.pwrite(lock->fd, record, sizeof(record) - 1, TEXT_BYTES);
    if (length != (ssize_t)sizeof(record) - 1) {
        return length < 0 ? errno : ENOSPC;
    }
    return 0;
}

/* Its text, alone or with a record. 0, or the errno; EADDRINUSE: it is not ours. */
static int check_text(int fd, char ret_left[ENGINE_EPOLL_RECORD_BYTES]) {
    char text[TEXT_BYTES + ENGINE_EPOLL_RECORD_BYTES]; /* a byte more than it may have */
    ssize_t length = CALLS.read(fd, text, sizeof(text));
    if (length < 0) {
        return errno;
    }
    bool has_record = (size_t)length == TEXT_BYTES + ENGINE_EPOLL_RECORD_BYTES - 1;
    if (((size_t)length != TEXT_BYTES && !has_record) ||
        memcmp(text, ENGINE_EPOLL_LOCK_TEXT, TEXT_BYTES) != 0) {
        return EADDRINUSE;
    }
    memcpy(ret_left, text + TEXT_BYTES, (size_t)length - TEXT_BYTES);
    ret_left[(size_t)length - TEXT_BYTES] = '\0';
    return 0;
}

/* An open lock file that had that identity a moment ago: is it ours, and free? */
static int hold(int fd, const struct stat *seen, char ret_left[ENGINE_EPOLL_RECORD_BYTES],
                const char **ret_detail) {
    struct stat held;
    if (CALLS.fstat(fd, &held) != 0) {
        return errno;
    }
    if (!is_same(seen, &held)) {
        return EAGAIN;
    }
    /* Whose it is comes first: what is not ours is not locked. A holder that writes its record in
     * between and is killed leaves us with one that is too old, and its socket alone. */
    int error = check_text(fd, ret_left);
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
static int take_old(int folder, const char *name, int *ret_fd,
                    char ret_left[ENGINE_EPOLL_RECORD_BYTES], const char **ret_detail) {
    struct stat named;
    if (CALLS.fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if (!S_ISREG(named.st_mode) || named.st_uid != geteuid()) {
        *ret_detail = not_ours;
        return EADDRINUSE;
    }
    int fd = CALLS.openat(folder, name, OLD_FLAGS, 0);
    if (fd < 0 && errno == EPERM) {
        *ret_detail = not_ours;
        return EADDRINUSE;
    }
    if (fd < 0) {
        return errno == ENOENT || errno == ELOOP ? EAGAIN : errno;
    }
    int error = hold(fd, &named, ret_left, ret_detail);
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
                           char ret_left[ENGINE_EPOLL_RECORD_BYTES], const char **ret_detail) {
    char path[LOCK_NAME_BYTES];
    lock_name(name, path);
    int error = EAGAIN;
    for (unsigned i = 0; i < ATTEMPTS && error == EAGAIN; i++) {
        error = take_old(folder, path, &lock->fd, ret_left, ret_detail);
        if (error == ENOENT) {
            ret_left[0] = '\0';
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
