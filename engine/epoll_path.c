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
#include <unistd.h>

#include "base/own_fds.h"
#include "engine/epoll.h"

#define CALLS engine_epoll_calls

/* Does somebody listen behind this socket file? */
static bool is_answered(const struct sockaddr_storage *storage, socklen_t length) {
    int fd = CALLS.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return true; /* not known to be stale */
    }
    int error = CALLS.connect(fd, (const struct sockaddr *)storage, length) == 0 ? 0 : errno;
    (void)CALLS.close(fd);
    return error != ECONNREFUSED && error != ENOENT;
}

static const char is_folder[] = "there is a folder of that name, not a pipe";

/* What a status does not say about a path that is no pipe: that nobody listens there, or that
 * somebody does, would be half of the truth. */
static const char *what_it_is(const struct stat *found) {
    mode_t mode = found->st_mode;
    return S_ISSOCK(mode)   ? NULL
           : S_ISDIR(mode)  ? is_folder
           : S_ISFIFO(mode) ? "there is a FIFO of that name, not a pipe"
           : S_ISREG(mode)  ? "there is a file of that name, not a pipe"
           : S_ISLNK(mode)  ? "there is a symbolic link of that name, not a pipe"
                            : "there is a device of that name, not a pipe";
}

/*
 * With the lock held: removes a socket file that one of us left behind, the very one that the lock
 * file tells of (`left`, epoll_lock.c). Any other is some other program's, and if nobody answers
 * there, that program may just be between its bind and its listen.
 */
static int remove_stale(const engine_epoll_name *name, const engine_epoll_user *user,
                        const char *left, const struct sockaddr_storage *storage, socklen_t length,
                        const char **ret_detail) {
    char record[ENGINE_EPOLL_RECORD_BYTES];
    struct stat found;
    if (CALLS.fstatat(name->folder, name->path, &found, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (!S_ISSOCK(found.st_mode)) {
        *ret_detail = what_it_is(&found);
        return EADDRINUSE;
    }
    engine_epoll_lock_describe(&found, record);
    bool is_ours = found.st_uid == geteuid() || (user != NULL && found.st_uid == user->uid);
    if (!is_ours || strcmp(record, left) != 0) {
        *ret_detail = "a socket that is not known to be Sluice's lies there, and is left alone: "
                      "remove it if its program is gone";
        return EADDRINUSE;
    }
    if (is_answered(storage, length)) {
        return EADDRINUSE;
    }
    return CALLS.unlinkat(name->folder, name->path, 0) == 0 || errno == ENOENT ? 0 : errno;
}

/*
 * Nobody can connect before listen(), so the file's mode is right before it matters. It is also
 * never too wide in between: bind() gives the file the socket's mode (fchmod) less the umask
 * (Linux unix_bind), and what the umask took is put back afterwards. The umask itself is the
 * whole process's and left alone.
 */
static int bind_name(engine_epoll_name *name, const engine_epoll_user *user,
                     const struct sockaddr_storage *storage, socklen_t length, mode_t mode,
                     int backlog, const char **ret_detail) {
    struct stat bound;
    int error = CALLS.fchmod(name->fd, mode) == 0
                    ? engine_epoll_bind_for(user, name->fd, storage, length)
                    : errno;
    if (error != 0) {
        return error;
    }
    if (CALLS.fstatat(name->folder, name->path, &bound, AT_SYMLINK_NOFOLLOW) != 0) {
        error = errno;
    } else {
        name->device = bound.st_dev;
        name->inode = bound.st_ino;
        error = engine_epoll_lock_record(&name->lock, &bound);
        /* In another user's folder the name may lead elsewhere by now: there it stays narrow. */
        bool is_narrowed = user == NULL && (bound.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO)) != mode;
        if (error == 0 &&
            ((is_narrowed && CALLS.fchmodat(name->folder, name->path, mode, 0) != 0) ||
             CALLS.listen(name->fd, backlog) != 0)) {
            error = errno;
        }
        if (error == 0 && user != NULL && user->uid != 0 && bound.st_uid != user->uid) {
            error = engine_epoll_grant(name, user, ret_detail);
        }
    }
    if (error == ESTALE && user != NULL) {
        return EACCES; /* what took its place is not ours to remove */
    }
    if (error != 0) {
        (void)CALLS.unlinkat(name->folder, name->path, 0);
    }
    return error;
}

static int take_locked(engine_epoll_name *name, const engine_epoll_user *user, const char *left,
                       const struct sockaddr_storage *storage, socklen_t length,
                       const char **ret_detail) {
    int error = remove_stale(name, user, left, storage, length, ret_detail);
    if (error != 0) {
        return error;
    }
    name->fd = engine_epoll_unix_socket();
    if (name->fd < 0) {
        return errno;
    }
    error = bind_name(name, user, storage, length, name->mode, (int)name->backlog, ret_detail);
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

/* Of a walk for another user (epoll_access.c). */
static const char long_way[] =
    "a name on the way is too long, or there are more than 256 of them, those of links included";

static const engine_epoll_user *user_of(const engine_behalf *behalf) {
    return (const engine_epoll_user *)behalf->rights;
}

/* For another user: the folder that it may make files in; the path counts from there. */
static int find_folder(engine_epoll_name *name, const engine_epoll_user *user,
                       struct sockaddr_storage *ret_storage, socklen_t *ret_length) {
    char last[NAME_MAX + 1];
    int folder;
    int error = engine_epoll_find_folder(user, name->path, last, &folder);
    if (error != 0) {
        return error;
    }
    if (engine_epoll_fd_sockaddr(folder, last, ret_storage, ret_length) != SLUICE_OK) {
        (void)CALLS.close(folder);
        return ENAMETOOLONG;
    }
    memcpy(name->path, last, strlen(last) + 1); /* it is the end of what was there */
    name->folder = folder;
    return 0;
}

static void leave_folder(engine_epoll_name *name) {
    if (name->folder != AT_FDCWD) {
        (void)CALLS.close(name->folder);
        name->folder = AT_FDCWD;
    }
}

/* ENOENT: is it the folder, or a name in it? What a user may not see is not told to it. */
static bool is_folder_there(const engine_epoll_name *name, const engine_epoll_user *user) {
    char folder[ENGINE_PIPE_NAME_BYTES];
    char last[NAME_MAX + 1];
    struct stat info;
    int found;
    if (user != NULL) {
        int error = engine_epoll_find_folder(user, name->path, last, &found);
        if (error == 0) {
            (void)CALLS.close(found);
        }
        return error != ENOENT;
    }
    const char *slash = strrchr(name->path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - name->path) + 1;
    memcpy(folder, name->path, length);
    folder[length] = '\0';
    return CALLS.fstatat(AT_FDCWD, folder, &info, 0) == 0;
}

/* What the status does not say. */
static const char *explain(int error) {
    switch (error) {
    case EACCES:
    case EPERM: return "the broker's user has no right to that, or to a folder on the way";
    case EFBIG:
        return "the limit of a file's size (ulimit -f) has no room for the name's lock file";
    case EISDIR: return is_folder;
    case ELOOP: return "there are too many links on the way";
    case ENOSYS: return "the broker has no /proc, and opens no paths for other users without it";
    case ENOTDIR: return "a part of the path that should be a folder is none";
    case EPROTOTYPE: return "the socket of that name is no stream: it takes datagrams or packets";
    case EROFS: return "the folder's file system is read-only";
    default: return NULL;
    }
}

int engine_epoll_name_take(engine_epoll_name *name, const engine_behalf *behalf,
                           const char **ret_detail, int *ret_error) {
    struct sockaddr_storage storage;
    socklen_t length;
    const engine_epoll_user *user = user_of(behalf);
    char left[ENGINE_EPOLL_RECORD_BYTES];
    int error = 0;
    name->folder = AT_FDCWD;
    if (user == NULL) {
        path_sockaddr(name, &storage, &length);
    } else if (user->uid == (uid_t)-1) {
        error = EACCES;
        *ret_detail = "this client's user has no number in the broker's user namespace, so no "
                      "socket can be its own";
    } else {
        error = engine_epoll_without_proc(find_folder(name, user, &storage, &length));
        *ret_detail = error == EACCES         ? ENGINE_DETAIL_RIGHTS
                      : error == ENAMETOOLONG ? long_way
                                              : NULL;
    }
    if (error == 0) {
        error = engine_epoll_lock_take(&name->lock, name->folder, name->path, left, ret_detail);
    }
    if (error == 0) {
        error = take_locked(name, user, left, &storage, length, ret_detail);
        if (error != 0) {
            engine_epoll_lock_drop(&name->lock, name->folder, name->path);
        }
    }
    *ret_error = error;
    if (error == 0) {
        return SLUICE_OK;
    }
    /* /proc: files are found there, and none can be made. */
    bool is_there = name->folder != AT_FDCWD;
    leave_folder(name);
    error = user != NULL ? engine_epoll_without_proc(error) : error;
    if (*ret_detail == NULL && error == ENOENT) {
        is_there = is_there || (user == NULL && is_folder_there(name, NULL));
        *ret_detail = is_there ? "nothing can be made in the folder that it would be in"
                               : "the folder that it would be in does not exist";
    } else if (*ret_detail == NULL) {
        *ret_detail = explain(error);
    }
    return error == EADDRINUSE || error == EISDIR ? SLUICE_ENAMETAKEN : engine_epoll_status(error);
}

/* What to connect to: for another user the socket that it may connect to, held by *ret_found. */
static int find_socket(const engine_epoll_name *name, const engine_epoll_user *user,
                       struct sockaddr_storage *ret_storage, socklen_t *ret_length,
                       int *ret_found) {
    *ret_found = -1;
    if (user == NULL) {
        path_sockaddr(name, ret_storage, ret_length);
        return 0;
    }
    int error = engine_epoll_find_socket(user, name->path, ret_found);
    if (error == 0) {
        (void)engine_epoll_fd_sockaddr(*ret_found, NULL, ret_storage, ret_length);
    }
    return error;
}

void engine_epoll_name_disconnect(engine_epoll_name *name) {
    if (name->may_fork) {
        sl_own_fds_remove(name->fd);
    }
    (void)CALLS.close(name->fd);
    name->fd = -1;
}

int engine_epoll_name_connect(engine_epoll_name *name, const engine_behalf *behalf,
                              const char **ret_detail, int *ret_error) {
    struct sockaddr_storage storage;
    socklen_t length;
    int found;
    int error = find_socket(name, user_of(behalf), &storage, &length, &found);
    if (error != 0) {
        error = engine_epoll_without_proc(error);
        *ret_detail = error == EACCES         ? ENGINE_DETAIL_RIGHTS
                      : error == ECONNREFUSED ? "what has that name is not a pipe"
                      : error == ENAMETOOLONG ? long_way
                                              : NULL;
    }
    if (error == 0) {
        name->fd = engine_epoll_unix_socket();
        if (name->may_fork) {
            sl_own_fds_add(name->fd);
        }
        bool is_connected = name->fd >= 0 &&
                            CALLS.connect(name->fd, (const struct sockaddr *)&storage, length) == 0;
        error = is_connected ? 0 : errno;
        struct stat there; /* it is refused what is no socket, too: unix(7) */
        if (error == ECONNREFUSED && found < 0 &&
            CALLS.fstatat(AT_FDCWD, name->path, &there, 0) == 0) {
            *ret_detail = what_it_is(&there);
        }
    }
    if (found >= 0) {
        (void)CALLS.close(found);
    }
    if (error != 0 && name->fd >= 0) {
        engine_epoll_name_disconnect(name);
    }
    *ret_error = error;
    error = found >= 0 ? engine_epoll_without_proc(error) : error;
    if (*ret_detail == NULL && error == ENOENT) {
        *ret_detail = is_folder_there(name, user_of(behalf)) ? ENGINE_DETAIL_NO_PIPE
                                                             : "a folder on the way does not exist";
    } else if (*ret_detail == NULL) {
        *ret_detail = explain(error);
    }
    if (error == EISDIR) {
        return SLUICE_EREFUSED; /* as connect(2) says of a folder */
    }
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
    if (CALLS.fstatat(name->folder, name->path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        named.st_dev == name->device && named.st_ino == name->inode) {
        /* Still ours, not what somebody put in its place. */
        (void)CALLS.unlinkat(name->folder, name->path, 0);
    }
    if (name->fd >= 0) {
        (void)CALLS.close(name->fd);
        name->fd = -1;
    }
    engine_epoll_lock_drop(&name->lock, name->folder, name->path);
    leave_folder(name);
}
