/*
 * log.h - a log that never makes a worker wait.
 *
 * Any thread puts a fixed-size structured record into a lock-free ring; it never formats and never
 * writes. One log thread takes records out, formats them as one line each and writes them,
 * synchronously, to its sink. A full ring drops the record and counts the drop; the next line
 * written says how many were lost. Shutdown waits for the log thread at most SL_LOG_SHUTDOWN_NS,
 * then goes on without it (a console or a pipe at standard error may block for ever).
 *
 * Message and field names are static strings: only their addresses go into the ring.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/alloc.h"
#include "base/clock.h"

#define SL_LOG_FIELDS_MAX 6
#define SL_LOG_TEXT_BYTES 64 /* room for one short variable string per record, cut if longer */
#define SL_LOG_SHUTDOWN_NS SL_NS_PER_S

typedef enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARN, SL_LOG_INFO, SL_LOG_DEBUG } sl_log_level;

typedef struct sl_log_field {
    const char *name; /* static string */
    int64_t value;
} sl_log_field;

typedef struct sl_log sl_log;

typedef struct sl_log_options {
    sl_allocator *allocator;
    sl_clock *clock;
    uint32_t ring_records; /* a power of two; 0 = 1024 */
    sl_log_level level;    /* records above it are not recorded */
    /* Where lines go, called on the log thread only; returns false if the line could not be
     * written. NULL = standard error. */
    bool (*write)(void *context, const char *line, size_t length_bytes);
    void *write_context;
} sl_log_options;

typedef struct sl_log_counters {
    uint64_t recorded;
    uint64_t dropped;
    uint64_t written;
    uint64_t write_failed;
} sl_log_counters;

/* Starts the log thread. SLUICE_OK, ENOMEM, EOSLIMIT, EINVAL. */
int sl_log_create(const sl_log_options *options, sl_log **ret_log);

/* Writes what is in the ring, waiting at most SL_LOG_SHUTDOWN_NS. Returns true when the log thread
 * ended and everything was freed; false when it is stuck in its sink: then the log is left to the
 * process's end. NULL is allowed. No thread may record any more. */
bool sl_log_destroy(sl_log *log);

/* Records a line; never waits. `text` may be NULL and is copied (cut at SL_LOG_TEXT_BYTES - 1
 * bytes). At most SL_LOG_FIELDS_MAX fields. Any thread. A NULL log records nothing. */
void sl_log_record(sl_log *log, sl_log_level level, const char *message, const char *text,
                   const sl_log_field *fields, unsigned field_count);

void sl_log_counters_get(const sl_log *log, sl_log_counters *ret_counters);

#endif
