/*
 * sink.h - the only synchronous writes in Sluice: standard error and standard output.
 *
 * Called by the log thread, by the emergency path of a failed check (the process is about to die),
 * and by the main thread of tools and tests. Never by a worker, opener or acceptor. sink_posix.c,
 * sink_win.c.
 */
#ifndef SLUICE_BASE_SINK_H
#define SLUICE_BASE_SINK_H

#include <stdbool.h>
#include <stddef.h>

typedef enum sl_sink { SL_SINK_OUTPUT, SL_SINK_ERROR } sl_sink;

/* Writes all of it, retrying after short writes; false if the sink refused. May block for ever. */
bool sl_sink_write(sl_sink sink, const char *bytes, size_t count);

#endif
