/*
 * stand_in.h - what differs by platform for a program that stands in for the broker.
 * stand_in_posix.c, stand_in_win.c.
 */
#ifndef SLUICE_TESTS_CLIENT_STAND_IN_H
#define SLUICE_TESTS_CLIENT_STAND_IN_H

#include <stdbool.h>
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
/* ... not to be written to. */
uint64_t stand_in_open_to_read(const char *path);
/* Does this system refuse a copy of it that could be written to? */
bool stand_in_tells_rights(uint64_t log);
void stand_in_close_log(uint64_t log);

/* What is told of a file that the system refuses. */
typedef struct stand_in_refusal {
    int32_t status;
    uint32_t os_error;
    const char *words;
} stand_in_refusal;

/* Of a log in a folder that is not there; of a log that is a folder. */
extern const stand_in_refusal stand_in_refusals[2];
/* Of a program that is none. */
extern const stand_in_refusal stand_in_no_start;
/* The folder that a broker has: a part of its path's text. */
extern const char *const stand_in_root;
/* What is told of a broker's exit code, if it is 1. */
extern const char *const stand_in_exit_words;

#endif
