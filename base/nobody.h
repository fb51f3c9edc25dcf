/*
 * nobody.h - the number of those who have none here (Linux). nobody_posix.c.
 *
 * In a user namespace (a container, a sandbox) the kernel shows every user from outside of it as
 * the same one: 65534, which most systems call "nobody" (user_namespaces(7), "Unmapped user and
 * group IDs"). Two that show it may be two users; and where our own user is shown as that, one that
 * shows it need not be ours. So the number names nobody there, and nothing follows from it.
 *
 * What is ours in spite of that the kernel tells in another way: only an owner may open a file with
 * O_NOATIME (open(2)).
 */
#ifndef SLUICE_BASE_NOBODY_H
#define SLUICE_BASE_NOBODY_H

#include <stdbool.h>
#include <stdint.h>

#define SL_NOBODY_NONE UINT32_MAX /* no user's and no group's number (chown(2)) */

typedef struct sl_nobody {
    uint32_t uid;
    uint32_t gid;
} sl_nobody;

struct stat;

/* SL_NOBODY_NONE twice where every user has a number: in the first user namespace. What cannot be
 * told is taken for another one. A process with several threads stays in its namespace
 * (unshare(2)), so the answer may be kept. Reads /proc, which does not wait. */
sl_nobody sl_nobody_find(void);

/* Is the file `path`, relative to `folder`, of which lstat told `info`, this user's own? May wait
 * for the file system. */
bool sl_nobody_is_own(int folder, const char *path, const struct stat *info);

/* The same of what is open, and not by O_PATH alone. Reads of it leave no time behind then. */
bool sl_nobody_is_own_fd(int fd, const struct stat *info);

#endif
