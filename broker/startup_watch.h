/*
 * startup_watch.h - start-up ends in time, also where the system does not answer: a file system
 * that hangs, a directory of users that is away.
 *
 * Main asks the system in calls that have no limit of their own. A thread beside it looks at how
 * long each takes, and ends the process when one takes too long: with a line that names what was
 * asked about, and SLUICED_EXIT_FAILED, since it may well go away. One watch a process.
 */
#ifndef SLUICE_BROKER_STARTUP_WATCH_H
#define SLUICE_BROKER_STARTUP_WATCH_H

#include "base/clock.h"

/* A file system that works answers within milliseconds; a disk that has to spin up, or a network
 * file system whose server restarts, within seconds. */
#define STARTUP_WATCH_FILE_NS (10 * SL_NS_PER_S)
/* For the allow list's names: a directory service that does not answer has limits of its own, up to
 * 30 s a look-up. */
#define STARTUP_WATCH_NAMES_NS (60 * SL_NS_PER_S)

/* Main thread, all of these. Where no thread is to be had nothing is watched. */
void startup_watch_begin(void);

/* From here on the system is asked about `what`, and `name` of it ("" = it has none), for at most
 * `limit_ns`. Both texts live until the watch is at something else, or over. No-op unless it has
 * begun. */
void startup_watch_at(const char *what, const char *name, uint64_t limit_ns);

/* Nothing is asked just now. */
void startup_watch_pause(void);

/* Nothing is asked any more. No-op unless it has begun. */
void startup_watch_end(void);

#endif
