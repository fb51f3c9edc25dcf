/*
 * own_fds_posix.c - see own_fds.h. A table of atomic words, without a lock: a child of fork has
 * only the thread that forked, and another may have held the lock. Nothing here but atomics and
 * close(2), which is safe in such a child (signal-safety(7)).
 *
 * The child must not close a number that the program has got meanwhile. Linux copies the
 * descriptors first and the memory after that (copy_process: copy_files, copy_mm). So if the
 * child's number is of a descriptor that was opened after we had closed ours, then the removal,
 * before our close, is in the child's memory: close, open and the copying take the lock of the
 * process's descriptors one after the other (files_struct.file_lock), and what was stored before is
 * seen behind it. The other way round, the program may close a number while another of its threads
 * forks, and we get that number and add it before the memory is copied: then the child closes what
 * it has only because that close came a little late.
 */
#include "base/own_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/atomic.h"

static sl_atomic_u32 table[SL_OWN_FDS_MAX]; /* the descriptor + 1; 0 = free */

/* Nobody else puts a descriptor where one of ours is but at 0 to 2, and there with dup2: that one
 * is not close-on-exec, as ours are (docs/design.md). */
bool sl_own_fds_close_copied(int fd) {
    if (fd <= STDERR_FILENO) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || (flags & FD_CLOEXEC) == 0) {
            return false;
        }
    }
    (void)close(fd);
    return true;
}

int sl_own_fds_move(int fd, int lowest) {
    if (fd < 0) {
        return -1;
    }
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
    int error = errno;
    if (!sl_own_fds_close_copied(fd) && moved >= 0) {
        (void)close(moved);
        moved = -1;
        error = EMFILE;
    }
    errno = error;
    return moved;
}

int sl_own_fds_above_standard(int fd) {
    return fd > STDERR_FILENO ? fd : sl_own_fds_move(fd, STDERR_FILENO + 1);
}

static void replace(uint32_t old, uint32_t new) {
    for (unsigned i = 0; i < SL_OWN_FDS_MAX; i++) {
        uint32_t found = old;
        if (atomic_load_explicit(&table[i], memory_order_relaxed) == old &&
            atomic_compare_exchange_strong(&table[i], &found, new)) {
            return;
        }
    }
}

void sl_own_fds_add(int fd) {
    if (fd >= 0) {
        replace(0, (uint32_t)fd + 1);
    }
}

void sl_own_fds_remove(int fd) {
    if (fd >= 0) {
        replace((uint32_t)fd + 1, 0);
    }
}

void sl_own_fds_forget(void) {
    for (unsigned i = 0; i < SL_OWN_FDS_MAX; i++) {
        if (atomic_load_explicit(&table[i], memory_order_relaxed) != 0) {
            atomic_store_explicit(&table[i], 0, memory_order_relaxed);
        }
    }
}

/* Forgotten as well: a child of this child finds only what this one has added. */
void sl_own_fds_close(void) {
    int error = errno;
    for (unsigned i = 0; i < SL_OWN_FDS_MAX; i++) {
        uint32_t word = atomic_load_explicit(&table[i], memory_order_relaxed);
        if (word != 0) {
            atomic_store_explicit(&table[i], 0, memory_order_relaxed);
            (void)close((int)(word - 1));
        }
    }
    errno = error;
}
