/*
 * os.h - the little that needs an operating system: os_posix.c, os_win.c.
 */
#ifndef SLUICE_TESTS_WORLD_OS_H
#define SLUICE_TESTS_WORLD_OS_H

#include <stddef.h>

/* Address space whose pages appear, zeroed, when they are touched; aborts when there is none. Only
 * where blocks_fast.c is (blocks.h). */
void *os_region_create(size_t size);
/* Its first bytes are zero again. */
void os_region_clear(void *region, size_t size);

/* Runs `program` with these options and returns what it complains of ("" = it passed); size 0:
 * shows all that it says instead. Bounded in time. */
void os_try(const char *program, const char *options, char *said, size_t size);

#endif
