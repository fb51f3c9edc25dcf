/*
 * stand_in.h - what differs by platform for a program that stands in for the broker.
 * stand_in_posix.c, stand_in_win.c.
 */
#ifndef SLUICE_TESTS_CLIENT_STAND_IN_H
#define SLUICE_TESTS_CLIENT_STAND_IN_H

#include <stddef.h>
#include <stdint.h>

#define STAND_IN_ROLE "SLUICE_LAUNCH_TEST_ROLE"

/* In the environment, for the processes that are started from then on. */
void stand_in_set_role(const char *role);
/* This process's folder, by its path. */
void stand_in_folder(char *ret_path, size_t size);
/* A file of this process's own. */
void stand_in_log_path(char *ret_path, size_t size);
/* Opened to append to, as sluice_open_options.private_log_handle. */
uint64_t stand_in_open_log(const char *path);
void stand_in_close_log(uint64_t log);
/* The folder that a broker has: a part of its path's text. */
extern const char *const stand_in_root;

#endif
