/*
 * own_file_posix.c - see own_file.h.
 *
 * The way is gone name by name, each relative to the folder that was opened last, and no link is
 * followed by the kernel: what was looked at is what is used, whatever is renamed meanwhile.
 */
#include "base/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/nobody.h"

#define LINKS_MAX  40u /* symbolic links on the way: MAXSYMLINKS of Linux */
#define FILE_MODE  0640
#define FILE_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW)
#define PATH_FLAGS (O_PATH | O_NOFOLLOW | O_CLOEXEC)

static const char no_file[] = "this is no file";

typedef struct way {
    int folder;     /* where it is, O_PATH */
    unsigned links; /* followed so far */
    size_t at;      /* what is left begins at rest + at */
    char name[NAME_MAX + 1];
    char rest[PATH_MAX];
    const char *why;
} way;

static bool is_trusted_link(const struct stat *info) {
    return info->st_uid == 0 || (info->st_uid == geteuid() && info->st_uid != sl_nobody_find().uid);
}

static bool is_trusted_file(int fd, const struct stat *info) {
    return info->st_uid == 0 || sl_nobody_is_own_fd(fd, info);
}

/* Takes the folder. */
static void enter(way *w, int folder) {
    if (w->folder >= 0) {
        (void)close(w->folder);
    }
    w->folder = folder;
}

/* To where the text counts from: the root, or (`is_first`) the current folder. 0 or errno. */
static int begin(way *w, bool is_first) {
    const char *from = w->rest[0] == '/' ? "/" : is_first ? "." : NULL;
    if (from == NULL) {
        return 0; /* a link's text counts from the link's folder */
    }
    int folder = open(from, PATH_FLAGS | O_DIRECTORY);
    if (folder < 0) {
        return errno;
    }
    enter(w, folder);
    return 0;
}

/* The next name; "" at the end. */
static int next_name(way *w) {
    w->at += strspn(w->rest + w->at, "/");
    size_t length = strcspn(w->rest + w->at, "/");
    if (length > NAME_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(w->name, w->rest + w->at, length);
    w->name[length] = '\0';
    w->at += length;
    return length > 0 ? 0 : EISDIR; /* "/", or a name with a slash behind it */
}

/* A link's text takes the place of its name. */
static int follow(way *w, int link, const struct stat *info) {
    char text[PATH_MAX];
    size_t rest = strlen(w->rest + w->at) + 1;
    if (!is_trusted_link(info)) {
        w->why = "a symbolic link on the way belongs to somebody else";
        return ELOOP;
    }
    if (++w->links > LINKS_MAX) {
        return ELOOP;
    }
    ssize_t length = readlinkat(link, "", text, sizeof(text));
    if (length < 0) {
        return errno;
    }
    if ((size_t)length + rest > sizeof(text)) {
        return ENAMETOOLONG;
    }
    memcpy(text + length, w->rest + w->at, rest);
    memcpy(w->rest, text, (size_t)length + rest);
    w->at = 0;
    return begin(w, false);
}

/* A folder, or a link. */
static int step(way *w) {
    struct stat info;
    int fd = openat(w->folder, w->name, PATH_FLAGS);
    if (fd < 0) {
        return errno;
    }
    int error = fstat(fd, &info) != 0    ? errno
                : S_ISLNK(info.st_mode)  ? follow(w, fd, &info)
                : S_ISDIR(info.st_mode)  ? 0
                : w->rest[w->at] == '\0' ? EAGAIN /* a file now, a link a moment ago */
                                         : ENOTDIR;
    if (error == 0 && S_ISDIR(info.st_mode)) {
        enter(w, fd);
        return 0;
    }
    (void)close(fd);
    return error;
}

/* What open(2) says ENXIO of: a socket, a FIFO that nobody reads; else a device that is not there.
 */
static bool is_no_file(const way *w) {
    struct stat info;
    int fd = openat(w->folder, w->name, PATH_FLAGS);
    bool is_none =
        fd >= 0 && fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_none;
}

/* The last name is opened; where it is a link, a step further. 0 with *ret_fd -1: go on. */
static int open_last(way *w, int *ret_fd) {
    *ret_fd = openat(w->folder, w->name, FILE_FLAGS, FILE_MODE);
    if (*ret_fd >= 0) {
        return 0;
    }
    int error = errno;
    if (error == ENXIO && is_no_file(w)) {
        w->why = no_file;
    }
    return error == ELOOP ? step(w) : error; /* open(2): with O_NOFOLLOW */
}

static int check(way *w, int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return errno;
    }
    if (S_ISREG(info.st_mode)) {
        w->why = !is_trusted_file(fd, &info) ? "it belongs to somebody else"
                 : info.st_nlink > 1         ? "it has a second name (a hard link) somewhere else"
                                             : NULL;
    } else if (!S_ISCHR(info.st_mode)) {
        w->why = no_file;
    }
    return 0;
}

static int find(way *w, int *ret_fd) {
    *ret_fd = -1;
    int error = begin(w, true);
    while (error == 0 && *ret_fd < 0) {
        error = next_name(w);
        if (error == 0) {
            error = w->rest[w->at] == '\0' ? open_last(w, ret_fd) : step(w);
        }
    }
    return error == 0 ? check(w, *ret_fd) : error;
}

int sl_own_file_append(const char *path, uint32_t *ret_os_error, const char **ret_why) {
    way w = {.folder = -1};
    int fd = -1;
    size_t length = strlen(path);
    int error = length >= sizeof(w.rest) ? ENAMETOOLONG : length == 0 ? ENOENT : 0;
    if (error == 0) {
        memcpy(w.rest, path, length + 1);
        error = find(&w, &fd);
    }
    if (w.folder >= 0) {
        (void)close(w.folder);
    }
    if (fd >= 0 && (error != 0 || w.why != NULL)) {
        (void)close(fd);
        fd = -1;
    }
    *ret_os_error = (uint32_t)error;
    *ret_why = w.why;
    return fd;
}
