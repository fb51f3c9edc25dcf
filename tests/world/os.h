/*
 * os.h - the little that needs an operating system: os_posix.c, os_win.c.
 */
#ifndef SLUICE_TESTS_WORLD_OS_H
#define SLUICE_TESTS_WORLD_OS_H

#include <stddef.h>

/* Large blocks come from the system as they are needed, not zeroed beforehand: a life allocates
 * tables of which it uses little. */
void os_prepare_memory(void);

/* Runs `program` with these options and returns what it complains of ("" = it passed); size 0:
 * shows all that it says instead. Bounded in time. */
void os_try(const char *program, const char *options, char *said, size_t size);

#endif
