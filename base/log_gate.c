/*
 * log_gate.c - see log_gate.h.
 */
#include "base/log_gate.h"

#include <string.h>

void sl_log_gate_init(sl_log_gate *gate, sl_log *log) {
    memset(gate, 0, sizeof(*gate));
    gate->log = log;
}

/* What it may let through by now. */
static void refill(sl_log_bucket *bucket, uint64_t now_ns) {
    uint64_t pauses =
        now_ns > bucket->since_ns ? (now_ns - bucket->since_ns) / SL_LOG_GATE_PAUSE_NS : 0;
    if (pauses >= bucket->taken) {
        bucket->taken = 0;
        bucket->since_ns = now_ns;
    } else {
        bucket->taken -= (uint32_t)pauses;
        bucket->since_ns += pauses * SL_LOG_GATE_PAUSE_NS;
    }
}

static void tell(sl_log *log, sl_log_bucket *bucket, uint64_t now_ns) {
    uint64_t for_ns = now_ns > bucket->left_out_ns ? now_ns - bucket->left_out_ns : 0;
    sl_log_field fields[] = {{"left_out", (int64_t)bucket->left_out},
                             {"seconds", (int64_t)(for_ns / SL_NS_PER_S)}};
    if (bucket->left_out > 0) {
        sl_log_record(log, bucket->level, bucket->message, bucket->text, fields, 2);
        bucket->left_out = 0;
    }
}

/* Nothing is remembered of one that is full again and owes nothing. */
static bool is_free(sl_log_bucket *bucket, uint64_t now_ns) {
    if (bucket->message != NULL) {
        refill(bucket, now_ns);
    }
    return bucket->message == NULL || (bucket->taken == 0 && bucket->left_out == 0);
}

static sl_log_bucket *find(sl_log_gate *gate, uint64_t now_ns, uint64_t key, const char *message) {
    sl_log_bucket *unused = NULL;
    for (unsigned i = 0; i < SL_LOG_GATE_BUCKETS; i++) {
        sl_log_bucket *bucket = &gate->buckets[i];
        if (bucket->message == message && bucket->key == key) {
            refill(bucket, now_ns);
            return bucket;
        }
        if (unused == NULL && is_free(bucket, now_ns)) {
            unused = bucket;
        }
    }
    if (unused != NULL) {
        *unused = (sl_log_bucket){.message = message, .key = key, .since_ns = now_ns};
        return unused;
    }
    refill(&gate->common, now_ns);
    return &gate->common;
}

static void leave_out(sl_log_bucket *bucket, uint64_t now_ns, sl_log_level level, const char *text,
                      bool is_common) {
    if (bucket->left_out == 0) {
        bucket->left_out_ns = now_ns;
        bucket->level = level;
    }
    bucket->left_out++;
    if (is_common) {
        bucket->message = "other records";
    } else {
        (void)strncpy(bucket->text, text != NULL ? text : "", SL_LOG_TEXT_BYTES - 1);
    }
}

void sl_log_gate_record(sl_log_gate *gate, uint64_t now_ns, uint64_t key, sl_log_level level,
                        const char *message, const char *text, const sl_log_field *fields,
                        unsigned field_count) {
    if (gate->log == NULL || level > sl_log_level_of(gate->log) || level == SL_LOG_DEBUG) {
        sl_log_record(gate->log, level, message, text, fields, field_count);
        return;
    }
    sl_log_bucket *bucket = find(gate, now_ns, key, message);
    if (bucket->taken >= SL_LOG_GATE_BURST) {
        leave_out(bucket, now_ns, level, text, bucket == &gate->common);
        return;
    }
    tell(gate->log, bucket, now_ns);
    bucket->taken++;
    sl_log_record(gate->log, level, message, text, fields, field_count);
}

bool sl_log_gate_owes(const sl_log_gate *gate) {
    bool owes = gate->common.left_out > 0;
    for (unsigned i = 0; i < SL_LOG_GATE_BUCKETS; i++) {
        owes = owes || gate->buckets[i].left_out > 0;
    }
    return owes;
}

void sl_log_gate_tell(sl_log_gate *gate, uint64_t now_ns) {
    for (unsigned i = 0; i < SL_LOG_GATE_BUCKETS; i++) {
        tell(gate->log, &gate->buckets[i], now_ns);
    }
    tell(gate->log, &gate->common, now_ns);
}
