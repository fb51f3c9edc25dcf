/*
 * outside_posix.h - looks at a process from outside.
 */
#ifndef SLUICE_TESTS_CLIENT_OUTSIDE_POSIX_H
#define SLUICE_TESTS_CLIENT_OUTSIDE_POSIX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* It has ended; somebody may have yet to collect it (nobody of ours does). */
bool outside_has_ended(uint64_t process);
/* The same, waiting for it; false: it has not. */
bool outside_is_gone(uint64_t process);

/* Kills a child of ours, if there is one, and collects it; then there is none (0). */
void outside_end(pid_t *child);

/* Removes a folder with all that is in it, as far as it can be. */
void outside_remove(const char *folder);

/* How many processes run that program. */
unsigned outside_count(const char *program);
/* Waits until there are so many. */
bool outside_await_count(const char *program, unsigned count);

#endif
