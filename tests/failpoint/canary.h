/*
 * canary.h - how late does this machine wake a thread that only waits?
 *
 * A call's deadline and grace are the library's promise on a machine that runs its threads. Where
 * other programs take the processors away, a thread of ours that does nothing but wait for a few
 * milliseconds again and again is late as well, and by so much more a call may be.
 */
#ifndef SLUICE_TESTS_FAILPOINT_CANARY_H
#define SLUICE_TESTS_FAILPOINT_CANARY_H

#include <stdint.h>

/* Starts the thread; it ends with the process. */
void canary_start(void);
/* What it suffers counts from now on. */
void canary_reset(void);
/* How late a call may be that takes a few threads, one behind the other. */
uint64_t canary_allowance_ns(void);

#endif
