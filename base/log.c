/*
 * log.c - a log that never makes a worker wait.
 *
 * Any thread claims a cell of the ring with one compare-and-swap, copies its record in, publishes
 * it and sets an event, which takes no lock (thread.h). The log thread is the only one that takes
 * records, formats and writes. It copies a record out before it writes, so that a blocked sink
 * holds no cell; a recorder that was preempted in the middle of its copy holds up the log thread
 * and nobody else: its cell looks empty, and publishing it sets the event again. The ring is Dmitry
 * Vyukov's bounded queue: a cell's `turn` says whose turn it is: equal to the position, it is free
 * for that position; one more, it holds that position's record. Owner: whoever made it. Lifetime:
 * until sl_log_destroy; if the log thread is stuck in its sink then, it is given up, and the memory
 * stays for it to wake up in.
 */
#include "base/log.h"

#include <string.h>

#include "base/check.h"
#include "base/sink.h"
#include "base/status.h"
#include "base/text.h"
#include "base/thread.h"

#define RING_RECORDS_DEFAULT 1024u
#define RING_RECORDS_MAX     (1u << 20)
#define LINE_BYTES           1024
#define CACHE_LINE_BYTES     64

typedef struct log_record {
    uint64_t time_ns;
    uint64_t thread;
    const char *message;
    sl_log_level level;
    unsigned field_count;
    char text[SL_LOG_TEXT_BYTES]; /* empty = none */
    sl_log_field fields[SL_LOG_FIELDS_MAX];
} log_record;

typedef struct log_cell {
    sl_atomic_u64 turn;
    log_record record;
} log_cell;

enum log_phase { LOG_RUNNING, LOG_STOPPING, LOG_GIVEN_UP };

struct sl_log {
    sl_account account;
    sl_clock *clock;
    sl_log_level level;
    bool (*write)(void *context, const char *line, size_t length_bytes);
    void *write_context;
    log_cell *cells;
    uint32_t ring_records;
    bool has_ended; /* the log thread was joined */
    sl_thread thread;
    sl_event wake;
    sl_atomic_u32 phase;

    unsigned char pad_recorders[CACHE_LINE_BYTES];
    sl_atomic_u64 tail;    /* the next position to claim; so also: records put in so far */
    sl_atomic_u64 dropped; /* not put in: the ring was full */

    unsigned char pad_log_thread[CACHE_LINE_BYTES];
    uint64_t head;             /* the next position to take; the log thread's */
    uint64_t dropped_reported; /* the log thread's */
    sl_atomic_u64 written;
    sl_atomic_u64 write_failed;
    sl_atomic_u64 left_behind; /* put in, but the log thread was given up */
};

/* ---- recording: any thread ---- */

static log_cell *cell_at(const sl_log *log, uint64_t position) {
    return &log->cells[position & (log->ring_records - 1)];
}

static bool claim_cell(sl_log *log, uint64_t *ret_position) {
    uint_fast64_t position = atomic_load_explicit(&log->tail, memory_order_relaxed);
    for (;;) {
        uint64_t turn = atomic_load_explicit(&cell_at(log, position)->turn, memory_order_acquire);
        if (turn == position) {
            if (atomic_compare_exchange_weak_explicit(&log->tail, &position, position + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                *ret_position = position;
                return true;
            }
        } else if (turn < position) {
            return false; /* the record of one round ago is still in it: the ring is full */
        } else {
            position = atomic_load_explicit(&log->tail, memory_order_relaxed);
        }
    }
}

static void copy_text(char *to, const char *from) {
    size_t length = 0;
    while (length < SL_LOG_TEXT_BYTES - 1 && from[length] != '\0') {
        length++;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}

void sl_log_record(sl_log *log, sl_log_level level, const char *message, const char *text,
                   const sl_log_field *fields, unsigned field_count) {
    if (log == NULL || level > log->level) {
        return;
    }
    uint64_t position;
    if (!claim_cell(log, &position)) {
        atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
        return;
    }
    log_cell *cell = cell_at(log, position);
    log_record *record = &cell->record;
    record->time_ns = sl_clock_now_ns(log->clock);
    record->thread = sl_thread_system_id();
    record->message = message;
    record->level = level;
    copy_text(record->text, text != NULL ? text : "");
    record->field_count = field_count < SL_LOG_FIELDS_MAX ? field_count : SL_LOG_FIELDS_MAX;
    for (unsigned i = 0; i < record->field_count; i++) {
        record->fields[i] = fields[i];
    }
    atomic_store_explicit(&cell->turn, position + 1, memory_order_release);
    sl_event_set(&log->wake);
}

sl_log_level sl_log_level_of(const sl_log *log) {
    return log->level;
}

/* ---- writing: the log thread ---- */

static bool take_record(sl_log *log, log_record *ret_record) {
    log_cell *cell = cell_at(log, log->head);
    if (atomic_load_explicit(&cell->turn, memory_order_acquire) != log->head + 1) {
        return false;
    }
    *ret_record = cell->record;
    atomic_store_explicit(&cell->turn, log->head + log->ring_records, memory_order_release);
    log->head++;
    return true;
}

static const char *level_name(sl_log_level level) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return (size_t)level < SL_ARRAY_COUNT(names) ? names[level] : "?";
}

static void append_value(sl_text *line, const sl_log_field *field) {
    bool is_status = strcmp(field->name, "status") == 0 && field->value <= 0 &&
                     field->value > -SLUICE_STATUS_COUNT;
    if (is_status) {
        sl_text_append(line, sl_status_name((int)field->value));
    } else {
        sl_text_append_i64(line, field->value);
    }
}

static void format_record(sl_text *line, const log_record *record, uint64_t dropped) {
    sl_text_append_utc(line, record->time_ns);
    sl_text_append(line, " ");
    sl_text_append(line, level_name(record->level));
    sl_text_append(line, " thread=");
    sl_text_append_u64(line, record->thread);
    sl_text_append(line, " ");
    sl_text_append(line, record->message);
    if (record->text[0] != '\0') {
        sl_text_append(line, " text=\"");
        sl_text_append_escaped(line, record->text);
        sl_text_append(line, "\"");
    }
    for (unsigned i = 0; i < record->field_count; i++) {
        sl_text_append(line, " ");
        sl_text_append(line, record->fields[i].name);
        sl_text_append(line, "=");
        append_value(line, &record->fields[i]);
    }
    if (dropped != 0) {
        sl_text_append(line, " dropped=");
        sl_text_append_u64(line, dropped);
    }
    sl_text_end_line(line);
}

/* Writes one line, with the drops that no line has told yet; they count as told if it was written.
 */
static bool write_record(sl_log *log, const log_record *record) {
    char bytes[LINE_BYTES];
    sl_text line;
    uint64_t dropped = atomic_load_explicit(&log->dropped, memory_order_relaxed);
    sl_text_init(&line, bytes, sizeof(bytes));
    format_record(&line, record, dropped - log->dropped_reported);
    if (!log->write(log->write_context, bytes, line.length)) {
        return false;
    }
    log->dropped_reported = dropped;
    return true;
}

static bool is_given_up(sl_log *log) {
    return atomic_load_explicit(&log->phase, memory_order_acquire) == LOG_GIVEN_UP;
}

static void write_all(sl_log *log) {
    log_record record;
    while (!is_given_up(log) && take_record(log, &record)) {
        sl_atomic_u64 *counter = write_record(log, &record) ? &log->written : &log->write_failed;
        /* Whoever sees the result sees the record that it is of: sl_log_counters_get. */
        atomic_fetch_add_explicit(counter, 1, memory_order_release);
    }
}

static void write_closing_line(sl_log *log) {
    if (is_given_up(log) ||
        atomic_load_explicit(&log->dropped, memory_order_relaxed) == log->dropped_reported) {
        return;
    }
    log_record record = {.time_ns = sl_clock_now_ns(log->clock),
                         .thread = sl_thread_system_id(),
                         .message = "log closes",
                         .level = SL_LOG_WARN};
    (void)write_record(log, &record);
}

static void log_thread_main(void *context) {
    sl_log *log = context;
    bool is_last_round;
    do {
        /* Read before the ring is emptied: what was recorded before the stop is written. */
        is_last_round = atomic_load_explicit(&log->phase, memory_order_acquire) != LOG_RUNNING;
        write_all(log);
        if (!is_last_round) {
            (void)sl_event_wait_until(&log->wake, SL_CLOCK_NEVER);
        }
    } while (!is_last_round);
    write_closing_line(log);
}

/* ---- making and ending: the owner ---- */

static bool write_to_standard_error(void *context, const char *line, size_t length_bytes) {
    (void)context;
    return sl_sink_write(SL_SINK_ERROR, line, length_bytes);
}

static int make_ring(sl_log *log, uint32_t ring_records) {
    log->cells = sl_account_alloc(&log->account, ring_records * sizeof(*log->cells));
    if (log->cells == NULL) {
        return SLUICE_ENOMEM;
    }
    log->ring_records = ring_records;
    for (uint32_t i = 0; i < ring_records; i++) {
        atomic_init(&log->cells[i].turn, i);
    }
    return SLUICE_OK;
}

static void free_log(sl_log *log) {
    sl_allocator *allocator = log->account.source;
    sl_account_free(&log->account, log->cells, log->ring_records * sizeof(*log->cells));
    sl_account_deinit(&log->account);
    allocator->release(allocator, log, sizeof(*log));
}

static int start(sl_log *log, const sl_log_options *options, uint32_t ring_records) {
    log->clock = options->clock;
    log->level = options->level;
    log->write = options->write != NULL ? options->write : write_to_standard_error;
    log->write_context = options->write_context;
    atomic_init(&log->phase, LOG_RUNNING);
    int status = make_ring(log, ring_records);
    if (status != SLUICE_OK) {
        return status;
    }
    status = sl_event_init(&log->wake);
    if (status != SLUICE_OK) {
        return status;
    }
    status = sl_thread_start(&log->thread, "sluice-log", log_thread_main, log);
    if (status != SLUICE_OK) {
        sl_event_deinit(&log->wake);
    }
    return status;
}

int sl_log_create(const sl_log_options *options, sl_log **ret_log) {
    uint32_t records = options->ring_records != 0 ? options->ring_records : RING_RECORDS_DEFAULT;
    if (records < 2 || records > RING_RECORDS_MAX || (records & (records - 1)) != 0) {
        return SLUICE_EINVAL;
    }
    sl_log *log = options->allocator->acquire(options->allocator, sizeof(*log));
    if (log == NULL) {
        return SLUICE_ENOMEM;
    }
    sl_account_init(&log->account, options->allocator, "log", SIZE_MAX);
    int status = start(log, options, records);
    if (status != SLUICE_OK) {
        free_log(log);
        return status;
    }
    *ret_log = log;
    return SLUICE_OK;
}

bool sl_log_stop(sl_log *log) {
    if (log->has_ended) {
        return true;
    }
    uint32_t running = LOG_RUNNING;
    (void)atomic_compare_exchange_strong(&log->phase, &running, LOG_STOPPING);
    sl_event_set(&log->wake);
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    if (!sl_thread_join_until(&log->thread, sl_clock_after_ns(now_ns, SL_LOG_SHUTDOWN_NS))) {
        atomic_store(&log->phase, LOG_GIVEN_UP);
        return false;
    }
    log->has_ended = true;
    /* What a log thread that was given up left in the ring will never be written. */
    uint64_t left = atomic_load(&log->tail) - log->head;
    atomic_store(&log->left_behind, left);
    log->head += left;
    return true;
}

void sl_log_counters_get(const sl_log *log, sl_log_counters *ret_counters) {
    /* Results before causes, so that a reader in between never sees more results than records. */
    uint64_t written = atomic_load(&log->written);
    uint64_t write_failed = atomic_load(&log->write_failed);
    uint64_t left_behind = atomic_load(&log->left_behind);
    uint64_t dropped = atomic_load(&log->dropped);
    *ret_counters = (sl_log_counters){.recorded = atomic_load(&log->tail) + dropped,
                                      .dropped = dropped + left_behind,
                                      .written = written,
                                      .write_failed = write_failed};
}

bool sl_log_destroy(sl_log *log) {
    if (log == NULL) {
        return true;
    }
    if (!sl_log_stop(log)) {
        return false;
    }
    sl_event_deinit(&log->wake);
    free_log(log);
    return true;
}
