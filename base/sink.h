/*
 * sink.h - the only synchronous writes in Sluice: standard error, standard output, the log file.
 *
 * Called by the log thread, by the emergency path of a failed check (the process is about to die),
 * and by the main thread of tools and tests. Never by a worker, opener or acceptor. sink_posix.c,
 * sink_win.c.
 */
#ifndef SLUICE_BASE_SINK_H
#define SLUICE_BASE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sl_sink { SL_SINK_OUTPUT, SL_SINK_ERROR, SL_SINK_FILE } sl_sink;

/* A standard stream that is closed would become the next thing that is opened, and our words would
 * go into a client's connection. Once, as the first thing in main: such a stream then is one whose
 * end has come, and that cannot be written to. false, and the system's error: it cannot be had;
 * nothing must be opened then. */
bool sl_sink_prepare(uint32_t *ret_os_error);

/* Opens the process's log file, once, by the main thread before there are others; it stays open to
 * the process's end. A file that is there is appended to; one that somebody else may have laid
 * there is refused: a link, or a file with a second name (Linux: base/own_file.h). false, and the
 * system's error: no such directory, no permission; or a sentence in *ret_why, which is NULL if
 * the error says it. */
bool sl_sink_open_file(const char *path, uint32_t *ret_os_error, const char **ret_why);

/* Writes all of it, retrying after short writes; false if the sink refused, or no file was opened.
 * May block for ever. */
bool sl_sink_write(sl_sink sink, const char *bytes, size_t count);

#endif
