/*
 * orphan.h - handles that no session has: a connection that came too late, what opened after its
 * operation was given up.
 */
#ifndef SLUICE_BROKER_ORPHAN_H
#define SLUICE_BROKER_ORPHAN_H

#include "broker/worker.h"

void orphan_init(broker_worker *worker);
/* Nobody waits for its end but the engine. */
void orphan_close(broker_worker *worker, engine_handle *handle);

#endif
