/*
 * counters.h - what all workers have counted.
 */
#ifndef SLUICE_BROKER_COUNTERS_H
#define SLUICE_BROKER_COUNTERS_H

#include "broker/broker.h"

/* broker_counters_get (broker.h), for those below it: any thread. */
void counters_sum(const broker *broker, broker_counters *ret_counters);

#endif
