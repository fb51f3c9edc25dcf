/*
 * tables.h - a worker's tables and pools: sessions, operations, timers, buffers.
 *
 * They are shared by all its sessions, so that steady traffic costs no heap, and keep what their
 * busiest moment needed until the last session has gone.
 */
#ifndef SLUICE_BROKER_TABLES_H
#define SLUICE_BROKER_TABLES_H

#include "broker/worker.h"

/* SLUICE_OK, ENOMEM. Also after a failure: tables_deinit. */
int tables_init(broker_worker *worker);
void tables_deinit(broker_worker *worker);

/* If its last session has gone: gives back what the pools kept, to the byte. */
void tables_trim(broker_worker *worker);

#endif
