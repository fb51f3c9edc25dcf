/*
 * bugs.h - the planted bugs (bugs.txt). Only the program world_bugs has any.
 */
#ifndef SLUICE_TESTS_WORLD_BUGS_H
#define SLUICE_TESTS_WORLD_BUGS_H

#include <stdint.h>

/* 0 = there is none of that name. */
int world_bug_number(const char *name);

/* Runs up to `lives` lives with each bug and prints which found it. The program's exit code: 0 =
 * each was found. */
int world_find_bugs(const char *program, uint64_t lives);

#endif
