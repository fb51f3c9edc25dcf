/*
 * listing.h - what the broker says about its operations (Ops).
 */
#ifndef SLUICE_BROKER_LISTING_H
#define SLUICE_BROKER_LISTING_H

#include "broker/op.h"

/* Begins what has been asked for since the last time (broker_worker.asking): gathers a page of
 * operations, which may take a message to each other worker; then the operation ends, with the
 * whole frame of its reply as its data. */
void listing_begin_all(broker_worker *worker);

#endif
