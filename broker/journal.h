/*
 * journal.h - what a worker writes to the log, so that nobody can fill it.
 */
#ifndef SLUICE_BROKER_JOURNAL_H
#define SLUICE_BROKER_JOURNAL_H

#include "broker/worker.h"

void journal_init(broker_worker *worker);

/* What a client or a stranger can provoke is logged through here: so many lines of a kind about a
 * user, and the number of the others (log_gate.h). user: NULL if none is known. */
void journal_record(broker_worker *worker, const engine_identity *user, sl_log_level level,
                    const char *message, const char *text, const sl_log_field *fields,
                    unsigned field_count);
/* At the end of the worker: logs the number of those that were left out. */
void journal_end(broker_worker *worker);

#endif
