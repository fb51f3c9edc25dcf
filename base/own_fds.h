/*
 * own_fds.h - descriptors that are this process's alone: a child of its fork closes its copies
 * (Linux). own_fds_posix.c.
 *
 * Close-on-exec is not enough. A program forks a child that goes on without exec, and then becomes
 * another program by exec itself: its copy of a connection goes, its process lives on, and the
 * child's copy would keep the session, a private broker, or the lock of its folder.
 *
 *     fd = socket(...);  sl_own_fds_add(fd);  ...  sl_own_fds_remove(fd);  close(fd);
 *
 * A fork between making and adding, or between removing and closing, leaves the child its copy.
 * Where that matters the closer calls shutdown(2), which is for all copies.
 */
#ifndef SLUICE_BASE_OWN_FDS_H
#define SLUICE_BASE_OWN_FDS_H

#include <stdbool.h>

/* Six for each of 256 sessions: the connection, the one before it that is being closed, and of a
 * private broker the life line, the folder, the pidfd and the log; seven more for a moment while it
 * is started. A fork looks at all of them: 8 KiB. */
#define SL_OWN_FDS_MAX 2048u

/* Any thread; right where a descriptor was made that stays, close-on-exec. A program may have
 * closed 0 to 2, and nothing of ours may stay there: what the program writes to its standard error
 * would end up in it, and who opens /dev/null in their place would take it away. Returns the
 * descriptor if it is above, else a close-on-exec copy that is, and the original is closed. -1:
 * errno says why; EMFILE also where another thread of the program has put its own there meanwhile
 * (dup2), which is left alone. Also for -1, with errno as it was. */
int sl_own_fds_above_standard(int fd);
/* Likewise, one that was made close-on-exec; the copy is `lowest` or above in any case. */
int sl_own_fds_move(int fd, int lowest);
/* Closes one that was made close-on-exec, and has been copied. false: it is the program's by now,
 * and left alone; the copy may be of that. */
bool sl_own_fds_close_copied(int fd);

/* Any thread. Harmless for -1. One that finds no room stays with children as well. */
void sl_own_fds_add(int fd);

/* Any thread; before the descriptor is closed. Harmless for one that was not added. */
void sl_own_fds_remove(int fd);

/* In the child, by the handler that fork runs there: closes them all, and forgets them. */
void sl_own_fds_close(void);

/* In a child that notices late that it is one (_Fork(), clone(2)): its copies stay open until it
 * ends, for the numbers may be others by now. */
void sl_own_fds_forget(void);

#endif
