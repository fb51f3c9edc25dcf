/*
 * meter.h - what the system knows of a thread of ours. meter_posix.c, meter_win.c.
 */
#ifndef SLUICE_TESTS_CHAOS_METER_H
#define SLUICE_TESTS_CHAOS_METER_H

#include <stdint.h>

/* How long the library's I/O thread has been ready to run and had no processor, since it began; 0 =
 * the system does not say. One thread at a time. */
uint64_t meter_io_thread_wait_ns(void);

#endif
