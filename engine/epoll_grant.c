/*
 * epoll_grant.c - a client's listener is the client's user's, too, where its socket belongs to us.
 *
 * Only root makes a file as another user. Any other broker's listener is its own user's file, which
 * the client could not connect to, nor have us connect to (epoll_access.c). So the file gets a
 * POSIX ACL with an entry for the client's user.
 *
 * In a folder that others may change, the name may lead to another socket of ours by then: that of
 * another client, moved there. Nothing tells the file of a bound socket to who is not root
 * (SIOCUNIXFILE wants CAP_NET_ADMIN: net/unix/af_unix.c), but a connection does: we connect to what
 * the name leads to, by a descriptor of it, and that connection must come out of our own listener.
 * The ACL is set through the same descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "engine/epoll.h"

#define CALLS engine_epoll_calls

#define CALLERS_MAX 64u /* who came before us: only root and our own user can */
#define ENTRIES     5u
#define BYTES       (ACL_HEAD_BYTES + ENTRIES * ACL_ENTRY_BYTES)
#define READ_WRITE  6u

/* ---- is it ours? ----------------------------------------------------------------------------- */

typedef struct caller {
    struct sockaddr_un name;
    socklen_t length;
} caller;

/* A name that nobody else has: autobind, unix(7). */
static int name_caller(int fd, caller *ret_caller) {
    memset(ret_caller, 0, sizeof(*ret_caller));
    ret_caller->name.sun_family = AF_UNIX;
    ret_caller->length = sizeof(ret_caller->name);
    struct sockaddr *name = (struct sockaddr *)&ret_caller->name;
    return CALLS.bind(fd, name, sizeof(sa_family_t)) == 0 &&
                   CALLS.getsockname(fd, name, &ret_caller->length) == 0
               ? 0
               : errno;
}

/* Takes connections off the listener, whose place nobody has been told yet, until it is that one.
 * 0 or errno: ESTALE: it did not come here. */
static int await(int listener, const caller *awaited) {
    for (unsigned i = 0; i < CALLERS_MAX; i++) {
        struct sockaddr_un name;
        socklen_t length = sizeof(name);
        int fd = CALLS.accept4(listener, (struct sockaddr *)&name, &length,
                               SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return errno != EAGAIN && engine_epoll_is_shortage(errno) ? errno : ESTALE;
        }
        (void)CALLS.close(fd);
        if (length == awaited->length && memcmp(&name, &awaited->name, length) == 0) {
            return 0;
        }
    }
    return EBUSY;
}

static int call(int listener, int found) {
    struct sockaddr_storage there;
    socklen_t length;
    caller me;
    int fd = engine_epoll_unix_socket();
    if (fd < 0) {
        return errno;
    }
    int error = name_caller(fd, &me);
    if (error == 0) {
        (void)engine_epoll_fd_sockaddr(found, NULL, &there, &length);
        error = CALLS.connect(fd, (struct sockaddr *)&there, length) == 0 ? 0 : errno;
        error = error == 0 || engine_epoll_is_shortage(error) ? error : ESTALE;
    }
    if (error == 0) {
        error = await(listener, &me);
    }
    (void)CALLS.close(fd);
    return error;
}

/* ---- the ACL --------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *to, unsigned tag, unsigned permitted, uint32_t id) {
    to[0] = (uint8_t)tag;
    to[1] = 0;
    to[2] = (uint8_t)permitted;
    to[3] = 0;
    for (unsigned i = 0; i < 4; i++) {
        to[4 + i] = (uint8_t)(id >> (8 * i));
    }
    return to + ACL_ENTRY_BYTES;
}

/* It takes the place of one that the folder may have given to the file. 0 or errno. */
static int set_acl(int found, const engine_epoll_user *user, mode_t mode) {
    uint8_t acl[BYTES] = {ACL_VERSION};
    uint8_t *at = acl + ACL_HEAD_BYTES;
    struct sockaddr_storage path;
    socklen_t length;
    unsigned group = (unsigned)mode >> 3 & 7u;
    at = put(at, ACL_USER_OBJ, (unsigned)mode >> 6 & 7u, UINT32_MAX);
    at = put(at, ACL_USER, READ_WRITE, user->uid);
    at = put(at, ACL_GROUP_OBJ, group, UINT32_MAX);
    at = put(at, ACL_MASK, READ_WRITE | group, UINT32_MAX);
    (void)put(at, ACL_OTHER, (unsigned)mode & 7u, UINT32_MAX);
    (void)engine_epoll_fd_sockaddr(found, NULL, &path, &length);
    return CALLS.setxattr(((struct sockaddr_un *)&path)->sun_path, ACL_XATTR, acl, sizeof(acl),
                          0) == 0
               ? 0
               : errno;
}

static int grant(const engine_epoll_name *name, int found, const engine_epoll_user *user) {
    struct stat info;
    if (CALLS.fstat(found, &info) != 0) {
        return errno;
    }
    if (!S_ISSOCK(info.st_mode) || info.st_dev != name->device || info.st_ino != name->inode) {
        return ESTALE;
    }
    int error = call(name->fd, found);
    return error == 0 ? set_acl(found, user, name->mode) : error;
}

int engine_epoll_grant(const engine_epoll_name *name, const engine_epoll_user *user,
                       const char **ret_detail) {
    int found = CALLS.openat(name->folder, name->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (found < 0) {
        return errno;
    }
    int error = grant(name, found, user);
    (void)CALLS.close(found);
    if (error == EOPNOTSUPP) {
        *ret_detail = "the broker cannot let this user in: the folder's file system has no ACLs; "
                      "choose a folder on another one";
    } else if (error == ESTALE) {
        *ret_detail = "somebody put another file in the socket's place";
    }
    return error;
}
