/*
 * own_dir.h - the folder of this user's own broker (Linux): where sluiced has its default endpoint,
 * and where the library looks for it. own_dir_posix.c.
 *
 *     $XDG_RUNTIME_DIR/sluice    if XDG_RUNTIME_DIR is this user's, or not there
 *     /tmp/sluice-UID            else
 *
 * The environment is whoever's who started the program. So it is not asked at all where the program
 * has other rights than its caller (set-user-ID: secure_getenv(3)), and it is believed only if it
 * names a directory, not a link, that belongs to the effective user and that nobody else may write
 * to: after `su` it names another user's. /tmp is everybody's: what is found there is looked at,
 * and never mended.
 */
#ifndef SLUICE_BASE_OWN_DIR_H
#define SLUICE_BASE_OWN_DIR_H

#include <stdbool.h>

/* A socket's path has 108 bytes with its NUL (unix(7)), and "//broker" is still to come. */
#define SL_OWN_DIR_BYTES     100
#define SL_OWN_DIR_WHY_BYTES 180

/* SLUICE_OK: it is this user's alone; or, unless `makes`, it is not there. EUNTRUSTED: it is not,
 * and ret_why says which folder, what is wrong with it, and what to do. ENAMETOOLONG; EOS: it
 * cannot be made or looked at; ret_why. May wait for the file system. */
int sl_own_dir(bool makes, char ret_path[SL_OWN_DIR_BYTES], char ret_why[SL_OWN_DIR_WHY_BYTES]);

#endif
