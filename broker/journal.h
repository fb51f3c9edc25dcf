/*
 * journal.h - what a worker writes to the log, so that nobody can fill it.
 */
#ifndef SLUICE_BROKER_JOURNAL_H
#define SLUICE_BROKER_JOURNAL_H

#include "broker/worker.h"

void journal_init(broker_worker *worker);

/* What a client or a stranger can provoke is logged through here: so many lines of a kind about a
 * user, and the number of the others (log_gate.h). `whom` NULL = no user known. */
void journal_record(broker_worker *worker, const engine_identity *whom, sl_log_level level,
                    const char *message, const char *text, const sl_log_field *fields,
                    unsigned field_count);
/* ... which is told at the end, too. */
void journal_end(broker_worker *worker);

#endif
