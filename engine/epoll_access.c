/*
 * epoll_access.c - may that user open this path? For a broker that opens on behalf of others.
 *
 * The kernel asks this of the broker's own rights only. So before a path is opened for another user
 * it is walked here, name by name, each opened relative to the last (O_PATH, no link followed by
 * the kernel), and at each the question is asked that the kernel would ask that user
 * (inode_permission: owner, POSIX ACL, group, others; path_resolution(7), acl(5)). What was found
 * is then used by its descriptor, through /proc/self/fd: whatever is renamed or replaced meanwhile,
 * the answer was about this very file or folder. That the broker itself may open it, the kernel
 * sees to as always.
 *
 * As the links are followed here, what the kernel does against links that lie in wait is done here,
 * too (fs.protected_symlinks, proc(5)), whatever this machine has it set to: a broker should not be
 * the one whom such a link deceives. Its other two (protected_fifos, protected_regular) are about
 * files that are opened to be made if need be. None is, for a client: a socket is bound, which
 * takes nothing that is there, and its lock file is made with O_EXCL (epoll_lock.c).
 *
 * What is not known here: security modules (SELinux, AppArmor), the ACLs of NFSv4, capabilities of
 * a process that is not root, what a user sees in another mount namespace or below another root:
 * paths are the broker's. A user in more groups than we asked for is in none: then "group" and
 * "others" must both permit.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"
#include "engine/epoll.h"

#define CALLS engine_epoll_calls

#define LINKS_MAX 40u /* symbolic links on the way: MAXSYMLINKS of Linux */
/* On the way, those of links included. Linux has no such limit; each costs us five system calls,
 * and 40 links of 4,096 bytes each come to 80,000 names. */
#define NAMES_MAX     256u
#define REST_BYTES    4096
#define ACL_BYTES_MAX 4096  /* an ACL that is longer permits nothing */
#define PORTS_OF_ROOT 1024u /* below: CAP_NET_BIND_SERVICE (capabilities(7)) */

/* ---- one file -------------------------------------------------------------------------------- */

static bool is_in_group(const engine_epoll_user *user, gid_t group) {
    bool is_in = user->gid == group && group != (gid_t)-1;
    for (unsigned i = 0; i < user->group_count && !is_in; i++) {
        is_in = user->groups[i] == group;
    }
    return is_in;
}

static unsigned read_u16(const uint8_t *at) {
    return (unsigned)at[0] | (unsigned)at[1] << 8;
}

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)read_u16(at) | (uint32_t)read_u16(at + 2) << 16;
}

/* Linux posix_acl_permission, for a user who is not the owner. */
static bool acl_permits(const engine_epoll_user *user, const struct stat *info, const uint8_t *acl,
                        size_t length, unsigned wanted) {
    unsigned mask = 7;
    unsigned named = 0; /* what the first entry for the user says, before the mask */
    unsigned other = 0;
    bool is_named = false;
    bool is_in_any = false;
    bool by_group = false; /* one of its groups permits all that is wanted */
    for (size_t at = ACL_HEAD_BYTES; at + ACL_ENTRY_BYTES <= length; at += ACL_ENTRY_BYTES) {
        unsigned tag = read_u16(acl + at);
        unsigned permitted = read_u16(acl + at + 2);
        uint32_t id = read_u32(acl + at + 4);
        bool is_group = tag == ACL_GROUP || tag == ACL_GROUP_OBJ;
        if (tag == ACL_USER && id == UINT32_MAX && user->uid == id) {
            return false; /* an entry for one of those without a number here: for this one? */
        }
        if (tag == ACL_USER && id == user->uid && !is_named) {
            is_named = true;
            named = permitted;
        } else if (is_group && is_in_group(user, tag == ACL_GROUP ? (gid_t)id : info->st_gid)) {
            is_in_any = true;
            by_group = by_group || (permitted & wanted) == wanted;
        } else if (tag == ACL_MASK) {
            mask = permitted;
        } else if (tag == ACL_OTHER) {
            other = permitted;
        }
    }
    if (is_named) {
        return (named & mask & wanted) == wanted;
    }
    if (is_in_any) {
        return by_group && (mask & wanted) == wanted;
    }
    return user->knows_groups && (other & wanted) == wanted;
}

static bool mode_permits(const engine_epoll_user *user, const struct stat *info, unsigned wanted) {
    unsigned group = (unsigned)info->st_mode >> 3;
    unsigned permitted = is_in_group(user, info->st_gid) ? group
                         : user->knows_groups            ? (unsigned)info->st_mode
                                                         : (unsigned)info->st_mode & group;
    return (permitted & wanted) == wanted;
}

static void descriptor_path(int fd, char ret_path[ENGINE_EPOLL_FD_PATH_BYTES]) {
    sl_text text;
    sl_text_init(&text, ret_path, ENGINE_EPOLL_FD_PATH_BYTES - 1);
    sl_text_append(&text, "/proc/self/fd/");
    sl_text_append_u64(&text, (uint64_t)fd);
    ret_path[text.length] = '\0';
}

/* 0 or errno: EACCES. `wanted` as in a mode: 4 read, 2 write, 1 search. */
static int check(const engine_epoll_user *user, int fd, const struct stat *info, unsigned wanted) {
    char path[ENGINE_EPOLL_FD_PATH_BYTES];
    uint8_t acl[ACL_BYTES_MAX];
    if (user->uid == 0) {
        return 0;
    }
    if (info->st_uid == user->uid) {
        return ((unsigned)info->st_mode >> 6 & wanted) == wanted ? 0 : EACCES;
    }
    if ((info->st_mode & S_IRWXG) == 0) { /* then Linux does not look for an ACL (fs/namei.c) */
        return mode_permits(user, info, wanted) ? 0 : EACCES;
    }
    descriptor_path(fd, path);
    ssize_t length = CALLS.getxattr(path, ACL_XATTR, acl, sizeof(acl));
    if (length < 0) {
        bool has_none = errno == ENODATA || errno == EOPNOTSUPP;
        return has_none && mode_permits(user, info, wanted) ? 0 : EACCES;
    }
    bool is_known = (size_t)length >= ACL_HEAD_BYTES && read_u32(acl) == ACL_VERSION;
    return is_known && acl_permits(user, info, acl, (size_t)length, wanted) ? 0 : EACCES;
}

/* ---- a path ---------------------------------------------------------------------------------- */

typedef struct walk {
    const engine_epoll_user *user;
    int folder;              /* where it is, O_PATH */
    unsigned links;          /* followed so far */
    unsigned names;          /* gone so far */
    char name[NAME_MAX + 1]; /* the next one */
    bool is_last;
    size_t at; /* what is left begins at rest + at */
    char rest[REST_BYTES];
} walk;

/* EPERM, where the kernel says EACCES: it is the broker's own user that may not. */
static int open_path(int folder, const char *name, int flags, int *ret_fd) {
    *ret_fd = CALLS.openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags, 0);
    return *ret_fd >= 0 ? 0 : errno == EACCES ? EPERM : errno;
}

static void enter(walk *w, int folder) {
    (void)CALLS.close(w->folder);
    w->folder = folder;
}

/* The next name, "" at the end. */
static int next_name(walk *w) {
    while (w->rest[w->at] == '/') {
        w->at++;
    }
    size_t length = strcspn(w->rest + w->at, "/");
    if (length > NAME_MAX || ++w->names > NAMES_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(w->name, w->rest + w->at, length);
    w->name[length] = '\0';
    w->at += length;
    w->is_last = w->rest[w->at] == '\0';
    return length > 0 ? 0 : EISDIR; /* "/", or a name with a slash behind it */
}

/* A link's text takes the place of its name. */
static int follow(walk *w, int link) {
    char text[REST_BYTES];
    if (++w->links > LINKS_MAX) {
        return ELOOP;
    }
    ssize_t length = CALLS.readlinkat(link, "", text, sizeof(text));
    size_t rest = strlen(w->rest + w->at) + 1;
    if (length < 0) {
        return errno;
    }
    if (length == 0 || (size_t)length + rest > sizeof(text)) {
        return length == 0 ? ENOENT : ENAMETOOLONG;
    }
    memcpy(text + length, w->rest + w->at, rest);
    memcpy(w->rest, text, (size_t)length + rest);
    w->at = 0;
    if (text[0] != '/') {
        return 0;
    }
    int root;
    int error = open_path(AT_FDCWD, "/", O_DIRECTORY, &root);
    if (error == 0) {
        enter(w, root);
    }
    return error;
}

/* Linux may_follow_link: in a folder like /tmp a link at a path's end is followed only for its own
 * owner, or if it is the folder's owner's. That is so for root, too. */
static int check_link(const walk *w, const struct stat *link) {
    struct stat folder;
    if (CALLS.fstat(w->folder, &folder) != 0) {
        return errno;
    }
    bool is_for_all = (folder.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH);
    bool is_folders = link->st_uid == folder.st_uid && link->st_uid != w->user->nobody;
    bool is_fine = !is_for_all || link->st_uid == w->user->uid || is_folders;
    return is_fine ? 0 : EACCES;
}

static int check_folder(const walk *w) {
    struct stat info;
    if (CALLS.fstat(w->folder, &info) != 0) {
        return errno;
    }
    return check(w->user, w->folder, &info, 1);
}

/* One name further. 0 with *ret_fd -1: go on; or the last one's descriptor. */
static int step(walk *w, bool stops_before_last, struct stat *ret_info, int *ret_fd) {
    int fd;
    *ret_fd = -1;
    int error = next_name(w);
    if (error == 0) {
        error = check_folder(w);
    }
    if (error != 0 || (w->is_last && stops_before_last)) {
        return error;
    }
    error = open_path(w->folder, w->name, 0, &fd);
    if (error != 0) {
        return error;
    }
    if (CALLS.fstat(fd, ret_info) != 0) {
        error = errno;
    } else if (S_ISLNK(ret_info->st_mode)) {
        error = w->is_last ? check_link(w, ret_info) : 0;
        error = error == 0 ? follow(w, fd) : error;
        w->is_last = false;
    } else if (w->is_last) {
        *ret_fd = fd;
        return 0;
    } else if (S_ISDIR(ret_info->st_mode)) {
        enter(w, fd);
        return 0;
    } else {
        error = ENOTDIR;
    }
    (void)CALLS.close(fd);
    return error;
}

/* Until the last name. */
static int walk_path(walk *w, const char *path, bool stops_before_last, struct stat *ret_info,
                     int *ret_fd) {
    size_t length = strlen(path);
    *ret_fd = -1;
    if (path[0] != '/' || length >= sizeof(w->rest)) {
        return path[0] != '/' ? ENOENT : ENAMETOOLONG;
    }
    memcpy(w->rest, path, length + 1);
    w->at = 0;
    w->links = 0;
    w->names = 0;
    w->is_last = false;
    int error = open_path(AT_FDCWD, "/", O_DIRECTORY, &w->folder);
    if (error != 0) {
        return error;
    }
    while (error == 0 && !w->is_last) {
        error = step(w, stops_before_last, ret_info, ret_fd);
    }
    return error;
}

int engine_epoll_find_socket(const engine_epoll_user *user, const char *path, int *ret_fd) {
    walk w = {.user = user, .folder = -1};
    struct stat info;
    int fd;
    int error = walk_path(&w, path, false, &info, &fd);
    if (error == 0) {
        error = check(user, fd, &info, 2);
    }
    if (error == 0 && !S_ISSOCK(info.st_mode)) {
        error = ECONNREFUSED; /* connect(2) */
    }
    if (error != 0 && fd >= 0) {
        (void)CALLS.close(fd);
    }
    if (w.folder >= 0) {
        (void)CALLS.close(w.folder);
    }
    if (error == 0) {
        *ret_fd = fd;
    }
    return error;
}

int engine_epoll_find_folder(const engine_epoll_user *user, const char *path,
                             char ret_name[NAME_MAX + 1], int *ret_folder) {
    walk w = {.user = user, .folder = -1};
    struct stat info;
    int fd;
    int error = walk_path(&w, path, true, &info, &fd);
    if (error == 0 && (strcmp(w.name, ".") == 0 || strcmp(w.name, "..") == 0)) {
        error = EISDIR;
    }
    if (error == 0 && CALLS.fstat(w.folder, &info) != 0) {
        error = errno;
    }
    if (error == 0) {
        error = check(user, w.folder, &info, 3);
    }
    if (error != 0) {
        if (w.folder >= 0) {
            (void)CALLS.close(w.folder);
        }
        return error;
    }
    memcpy(ret_name, w.name, sizeof(w.name));
    *ret_folder = w.folder;
    return 0;
}

int engine_epoll_without_proc(int error) {
    struct stat info;
    bool may_be_that = error == ENOENT || error == EACCES;
    return may_be_that && CALLS.fstatat(AT_FDCWD, "/proc/self/fd", &info, 0) != 0 ? ENOSYS : error;
}

int engine_epoll_fd_sockaddr(int fd, const char *name, struct sockaddr_storage *ret_storage,
                             socklen_t *ret_length) {
    struct sockaddr_un *un = (struct sockaddr_un *)ret_storage;
    memset(ret_storage, 0, sizeof(*ret_storage));
    un->sun_family = AF_UNIX;
    descriptor_path(fd, un->sun_path);
    size_t length = strlen(un->sun_path);
    if (name != NULL) {
        size_t more = strlen(name);
        if (length + 1 + more >= sizeof(un->sun_path)) {
            return SLUICE_ENAMETOOLONG;
        }
        un->sun_path[length] = '/';
        memcpy(un->sun_path + length + 1, name, more + 1);
        length += 1 + more;
    }
    *ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return SLUICE_OK;
}

/* `user` NULL: as ourselves. */
static int bind_as(const engine_epoll_user *user, int fd, const struct sockaddr_storage *storage,
                   socklen_t length) {
    if (user != NULL) {
        (void)setfsgid(user->gid);
        (void)setfsuid(user->uid);
    }
    int error = CALLS.bind(fd, (const struct sockaddr *)storage, length) == 0 ? 0 : errno;
    if (user != NULL) {
        (void)setfsuid(0);
        (void)setfsgid(getegid());
        SL_CHECK(setfsuid((uid_t)-1) == 0, "a thread that took a user's part goes back to its own");
    }
    return error;
}

/*
 * Root makes the file as the user (setfsuid(2) is of the calling thread), so that it belongs to it
 * from the first: a chown afterwards could meet another file, which the folder's owner has put in
 * its place. The kernel then asks that user's rights, but not its further groups: where these alone
 * permit, the file is ours.
 */
int engine_epoll_bind_for(const engine_epoll_user *user, int fd,
                          const struct sockaddr_storage *storage, socklen_t length) {
    bool may_act = user != NULL && geteuid() == 0;
    int error = may_act ? bind_as(user, fd, storage, length) : EACCES;
    return error == EACCES ? bind_as(NULL, fd, storage, length) : error;
}

/*
 * A server below 1,024 is taken for the machine's own, since only root could start it. Where we are
 * not root the kernel decides: a capability that a broker's own user was given is meant for its
 * clients. A system that opens some of those ports to all (ip_unprivileged_port_start, ip(7)) is
 * not asked: there is no need of a broker that is root.
 */
bool engine_epoll_lends_port(const engine_behalf *behalf, uint16_t port) {
    const engine_epoll_user *user = (const engine_epoll_user *)behalf->rights;
    return user != NULL && user->uid != 0 && geteuid() == 0 && port != 0 && port < PORTS_OF_ROOT;
}
