/*
 * fork.h - is this process the fork of the one that opened the session? fork_posix.c, fork_win.c.
 */
#ifndef SLUICE_CLIENT_FORK_H
#define SLUICE_CLIENT_FORK_H

#include <stdbool.h>
#include <stdint.h>

/* Before the first session, any thread, any number of times. */
void client_fork_watch(void);

/* Another number in a child of fork, for good. */
uint64_t client_fork_generation(void);

#endif
