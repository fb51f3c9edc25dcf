/*
 * epoll_path.c - what is done at a Unix path: an exclusive pipe name is taken, connected to, and
 * given up.
 *
 * Each call here names a file, so each may wait for its file system as long as that likes: an
 * opener's thread makes them, or the one that makes a broker's endpoint, never a worker's. A name
 * is its taker's, one thread at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "engine/epoll.h"

#define CALLS         engine_epoll_calls
#define LOCK_SUFFIX   ".lock"
#define LOCK_ATTEMPTS 16

/*
 * Who holds PATH.lock (flock) owns PATH. The kernel drops the lock with its holder, so a socket
 * file whose lock is free is stale. The lock file is removed with the name. That would be a race
 * (we open the file, its holder removes it and lets go, we lock a file without a name, and a
 * third makes a new one) but for the second look: a lock counts only if the path still leads to
 * the locked file; else all over again. And nobody removes a lock file without holding its lock.
 * A file with something in it is none of ours ("Cargo.lock", when somebody listens on "Cargo"): it
 * is left alone, and the name is taken.
 */
static int lock_once(const char *path, int *ret_fd, bool *ret_is_gone) {
    struct stat held;
    struct stat named;
    int fd = CALLS.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                        S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return errno == ELOOP || errno == EISDIR || errno == ENXIO ? EADDRINUSE : errno;
    }
    int error = 0;
    if (CALLS.fstat(fd, &held) != 0) {
        error = errno;
    } else if (!S_ISREG(held.st_mode) || held.st_size != 0) {
        error = EADDRINUSE;
    } else if (CALLS.flock(fd, LOCK_EX | LOCK_NB) != 0) {
        error = errno == EWOULDBLOCK ? EADDRINUSE : errno;
    } else {
        *ret_is_gone = CALLS.lstat(path, &named) != 0 || named.st_dev != held.st_dev ||
                       named.st_ino != held.st_ino;
        if (*ret_is_gone) {
            error = EAGAIN;
        }
    }
    if (error != 0) {
        (void)CALLS.close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static void lock_path(const engine_epoll_name *name, char ret_path[]) {
    size_t length = strlen(name->path);
    memcpy(ret_path, name->path, length);
    memcpy(ret_path + length, LOCK_SUFFIX, sizeof(LOCK_SUFFIX));
}

/* 0, EADDRINUSE (somebody has the name), or another errno. */
static int lock_name(engine_epoll_name *name) {
    char path[sizeof(name->path) + sizeof(LOCK_SUFFIX)];
    lock_path(name, path);
    int error = EADDRINUSE;
    bool is_gone = true;
    for (unsigned i = 0; i < LOCK_ATTEMPTS && is_gone; i++) {
        is_gone = false;
        error = lock_once(path, &name->lock_fd, &is_gone);
    }
    return is_gone ? EADDRINUSE : error;
}

static void unlock_name(engine_epoll_name *name) {
    char path[sizeof(name->path) + sizeof(LOCK_SUFFIX)];
    lock_path(name, path);
    (void)CALLS.unlink(path);
    (void)CALLS.close(name->lock_fd);
}

/* Is a server of some other kind, that knows nothing of our lock, alive behind this socket file? */
static bool is_answered(const struct sockaddr_storage *storage, socklen_t length) {
    int fd = CALLS.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return true; /* not known to be stale */
    }
    int error = CALLS.connect(fd, (const struct sockaddr *)storage, length) == 0 ? 0 : errno;
    (void)CALLS.close(fd);
    return error != ECONNREFUSED && error != ENOENT;
}

/* With the lock held: removes a socket file that its owner left behind. */
static int remove_stale(const engine_epoll_name *name, const struct sockaddr_storage *storage,
                        socklen_t length) {
    struct stat found;
    if (CALLS.lstat(name->path, &found) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (!S_ISSOCK(found.st_mode) || is_answered(storage, length)) {
        return EADDRINUSE;
    }
    return CALLS.unlink(name->path) == 0 || errno == ENOENT ? 0 : errno;
}

/*
 * Nobody can connect before listen(), so the file's mode is right before it matters. It is also
 * never too wide in between: bind() gives the file the socket's mode (fchmod) less the umask
 * (Linux unix_bind), and what the umask took is put back afterwards. The umask itself is the
 * whole process's and left alone.
 */
static int bind_name(engine_epoll_name *name, const struct sockaddr_storage *storage,
                     socklen_t length, mode_t mode, int backlog) {
    struct stat bound;
    if (CALLS.fchmod(name->fd, mode) != 0 ||
        CALLS.bind(name->fd, (const struct sockaddr *)storage, length) != 0) {
        return errno;
    }
    int error = 0;
    if (CALLS.lstat(name->path, &bound) != 0) {
        error = errno;
    } else {
        name->device = bound.st_dev;
        name->inode = bound.st_ino;
        bool is_narrowed = (bound.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO)) != mode;
        if ((is_narrowed && CALLS.chmod(name->path, mode) != 0) ||
            CALLS.listen(name->fd, backlog) != 0) {
            error = errno;
        }
    }
    if (error != 0) {
        (void)CALLS.unlink(name->path);
    }
    return error;
}

static int take_locked(engine_epoll_name *name, const struct sockaddr_storage *storage,
                       socklen_t length) {
    int error = remove_stale(name, storage, length);
    if (error != 0) {
        return error;
    }
    name->fd = engine_epoll_unix_socket();
    if (name->fd < 0) {
        return errno;
    }
    error = bind_name(name, storage, length, name->mode, (int)name->backlog);
    if (error != 0) {
        (void)CALLS.close(name->fd);
        name->fd = -1;
    }
    return error;
}

/* name->path, which fits, as the kernel takes it; an endpoint's with its mark. */
static void path_sockaddr(const engine_epoll_name *name, struct sockaddr_storage *ret_storage,
                          socklen_t *ret_length) {
    engine_address address = {.family = ENGINE_ADDRESS_PIPE};
    memcpy(address.pipe, name->path, sizeof(name->path));
    int status = engine_epoll_sockaddr(&address, ret_storage, ret_length);
    if (status == SLUICE_OK && name->is_endpoint) {
        status = engine_epoll_mark((struct sockaddr_un *)ret_storage, ret_length);
    }
    SL_CHECK(status == SLUICE_OK, "a name's path was looked at before");
}

int engine_epoll_name_take(engine_epoll_name *name, const engine_behalf *behalf, int *ret_error) {
    struct sockaddr_storage storage;
    socklen_t length;
    (void)behalf;
    path_sockaddr(name, &storage, &length);
    int error = lock_name(name);
    if (error == 0) {
        error = take_locked(name, &storage, length);
        if (error != 0) {
            unlock_name(name);
        }
    }
    *ret_error = error;
    if (error == 0) {
        return SLUICE_OK;
    }
    return error == EADDRINUSE ? SLUICE_ENAMETAKEN : engine_epoll_status(error);
}

int engine_epoll_name_connect(engine_epoll_name *name, const engine_behalf *behalf,
                              int *ret_error) {
    struct sockaddr_storage storage;
    socklen_t length;
    (void)behalf;
    path_sockaddr(name, &storage, &length);
    int error = 0;
    name->fd = engine_epoll_unix_socket();
    if (name->fd < 0 || CALLS.connect(name->fd, (const struct sockaddr *)&storage, length) != 0) {
        error = errno;
    }
    if (error != 0 && name->fd >= 0) {
        (void)CALLS.close(name->fd);
        name->fd = -1;
    }
    *ret_error = error;
    if (error == EAGAIN || error == EINTR) { /* the backlog is full: connect(2) */
        return SLUICE_EBUSY;
    }
    if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
        return SLUICE_EUNREACHABLE;
    }
    return error == 0 ? SLUICE_OK : engine_epoll_status(error);
}

void engine_epoll_name_drop(engine_epoll_name *name) {
    struct stat named;
    if (CALLS.lstat(name->path, &named) == 0 && named.st_dev == name->device &&
        named.st_ino == name->inode) {
        (void)CALLS.unlink(name->path); /* still ours, not what somebody put in its place */
    }
    if (name->fd >= 0) {
        (void)CALLS.close(name->fd);
        name->fd = -1;
    }
    unlock_name(name);
}
