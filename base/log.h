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
 *
 * A line: the time (UTC), level, recording thread, message, then text="..." (escaped, text.h: a
 * line stays one line whatever the text holds), the fields, and dropped=N when records were lost:
 *
 *   2026-11-27T21:15:48.123Z warn thread=77 client refused text="uid 7" worker=3 dropped=2
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/alloc.h"
#include "base/clock.h"

#define SL_LOG_FIELDS_MAX  6
#define SL_LOG_TEXT_BYTES  64 /* room for one short variable string per record, cut if longer */
#define SL_LOG_SHUTDOWN_NS SL_NS_PER_S

typedef enum sl_log_level { SL_LOG_ERROR, SL_LOG_WARN, SL_LOG_INFO, SL_LOG_DEBUG } sl_log_level;

/* A field with the name "status" is one (status.h), and shown by its name. */
typedef struct sl_log_field {
    const char *name; /* static string */
    int64_t value;
} sl_log_field;

typedef struct sl_log sl_log;

typedef struct sl_log_options {
    sl_allocator *allocator;
    sl_clock *clock; /* nanoseconds since the beginning of 1970, UTC: sl_clock_utc */
    uint32_t ring_records; /* a power of two; 0 = 1024 */
    sl_log_level level;    /* records above it are not recorded */
    /* Where lines go, called on the log thread only; returns false if the line could not be
     * written. NULL = standard error. */
    bool (*write)(void *context, const char *line, size_t length_bytes);
    void *write_context;
} sl_log_options;

/* After sl_log_stop has returned true: recorded = dropped + written + write_failed. Before that,
 * what is still in the ring makes the difference. */
typedef struct sl_log_counters {
    uint64_t recorded;     /* records offered at an enabled level, dropped ones included */
    uint64_t dropped;      /* the ring was full, or the log thread was given up */
    uint64_t written;      /* lines that the sink took (the closing line about drops not counted) */
    uint64_t write_failed; /* lines that the sink refused */
} sl_log_counters;

/* Starts the log thread. SLUICE_OK, SLUICE_ENOMEM, SLUICE_EOSLIMIT, or SLUICE_EINVAL for
 * a ring that is no power of two or above 2^20 records. */
int sl_log_create(const sl_log_options *options, sl_log **ret_log);

/* What is recorded; the others cost nothing. */
sl_log_level sl_log_level_of(const sl_log *log);

/* Ends the log thread after it has written what is in the ring, waiting for it at most
 * SL_LOG_SHUTDOWN_NS. Returns true when the thread has ended: the counters are final and may still
 * be read. Returns false when it is stuck in its sink: it is given up, and ends without another
 * line should it ever come back; write_context must live until then. May be called again. No thread
 * may record any more. */
bool sl_log_stop(sl_log *log);

/* sl_log_stop, and frees everything if that returned true; if it returned false, the log is left to
 * the process's end (or to another call of sl_log_destroy). NULL is allowed. */
bool sl_log_destroy(sl_log *log);

/* Records a line; never waits. `text` may be NULL and is copied (cut at SL_LOG_TEXT_BYTES - 1
 * bytes). At most SL_LOG_FIELDS_MAX fields. Any thread. A NULL log records nothing. */
void sl_log_record(sl_log *log, sl_log_level level, const char *message, const char *text,
                   const sl_log_field *fields, unsigned field_count);

void sl_log_counters_get(const sl_log *log, sl_log_counters *ret_counters);

#endif
