/*
 * own_file.h - a file to append to that nobody else has laid there (Linux). own_file_posix.c.
 *
 * A path may lead through folders in which others can write; one of them lays a symbolic link
 * there, and what is appended goes to a file of ours that they may not touch. So no link is
 * followed that belongs to somebody else than root and this user, anywhere on the way; and what is
 * found is root's or this user's, and has no second name.
 */
#ifndef SLUICE_BASE_OWN_FILE_H
#define SLUICE_BASE_OWN_FILE_H

#include <stdint.h>

/* Opens a regular file, which is made if need be (mode 0640), or a character device. Returns the
 * descriptor, close-on-exec and non-blocking (a FIFO is no reason to hang); or -1 and the system's
 * error, with a sentence where there are reasons of our own or the error says little, else NULL. */
int sl_own_file_append(const char *path, uint32_t *ret_os_error, const char **ret_why);

#endif
