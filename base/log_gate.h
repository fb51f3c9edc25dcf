/*
 * log_gate.h - a limit of rate for log records: what a stranger can provoke must not fill the disk.
 *
 * Each kind of record (its message) and key (a user, say) has a bucket. It lets SL_LOG_GATE_BURST
 * records through at once, then one every SL_LOG_GATE_PAUSE_NS, and counts the others exactly. When
 * it opens again, or at sl_log_gate_tell, a record of the same message and level gives the count,
 * in the fields left_out and seconds. The number of buckets is fixed. Kinds and keys that find none
 * free share one bucket; its record says "other records".
 *
 * One thread, no lock, no allocation; the time is the caller's.
 */
#ifndef SLUICE_BASE_LOG_GATE_H
#define SLUICE_BASE_LOG_GATE_H

#include "base/log.h"

#define SL_LOG_GATE_BURST    20u
#define SL_LOG_GATE_PAUSE_NS (10 * SL_NS_PER_S)
#define SL_LOG_GATE_BUCKETS  32u

typedef struct sl_log_bucket {
    const char *message; /* NULL: never used; static, as in every record */
    uint64_t key;
    uint64_t since_ns; /* when it was last open: a place less for every pause since then */
    uint64_t left_out;
    uint64_t left_out_ns; /* since when */
    uint32_t taken;
    sl_log_level level;
    char text[SL_LOG_TEXT_BYTES]; /* of the last that was left out */
} sl_log_bucket;

typedef struct sl_log_gate {
    sl_log *log;
    sl_log_bucket buckets[SL_LOG_GATE_BUCKETS];
    sl_log_bucket common;
} sl_log_gate;

/* log NULL = no log. */
void sl_log_gate_init(sl_log_gate *gate, sl_log *log);

/* As sl_log_record, or it is counted. Whoever wants to see debug records wants to see all. */
void sl_log_gate_record(sl_log_gate *gate, uint64_t now_ns, uint64_t key, sl_log_level level,
                        const char *message, const char *text, const sl_log_field *fields,
                        unsigned field_count);

/* Is there something to tell? Then call sl_log_gate_tell within a minute or so, and at the end. */
bool sl_log_gate_owes(const sl_log_gate *gate);
void sl_log_gate_tell(sl_log_gate *gate, uint64_t now_ns);

#endif
