/*
 * drain.h - how a worker ends.
 */
#ifndef SLUICE_BROKER_DRAIN_H
#define SLUICE_BROKER_DRAIN_H

#include "broker/worker.h"

void drain_init(broker_worker *worker);

/* At the end of a wake: has it got further? false: the worker may go. */
bool drain_continue(broker_worker *worker);

/* This worker has ended, or given up with so much stuck. The last one tells the broker's owner. */
void drain_report(broker_worker *worker, uint64_t stuck_count);

#endif
