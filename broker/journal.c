/*
 * journal.c - see journal.h.
 */
#include "broker/journal.h"

#define TELL_NS (60 * SL_NS_PER_S) /* so often it is logged how much was left out of the log */

static void on_due(broker_timer *timer) {
    broker_worker *worker = SL_CONTAINER_OF(timer, broker_worker, gate_timer);
    sl_log_gate_tell(&worker->gate, worker->now_ns);
}

void journal_init(broker_worker *worker) {
    worker->gate_timer.on_due = on_due;
    sl_log_gate_init(&worker->gate, worker->broker->options.log);
}

void journal_record(broker_worker *worker, const engine_identity *user, sl_log_level level,
                    const char *message, const char *text, const sl_log_field *fields,
                    unsigned field_count) {
    uint64_t key = user != NULL ? users_hash(user) : 0;
    sl_log_gate_record(&worker->gate, worker->now_ns, key, level, message, text, fields,
                       field_count);
    if (sl_log_gate_owes(&worker->gate) && !sl_heap_contains(&worker->gate_timer.node)) {
        deadline_set(worker, &worker->gate_timer, sl_clock_after_ns(worker->now_ns, TELL_NS));
    }
}

void journal_end(broker_worker *worker) {
    deadline_clear(worker, &worker->gate_timer);
    sl_log_gate_tell(&worker->gate, worker->now_ns);
}
