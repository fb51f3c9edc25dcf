/*
 * tally.h - a count of what this process has. A child of fork has none of its parent's threads, and
 * so begins at 0, whichever of its threads comes first. Any thread; all zero is 0.
 */
#ifndef SLUICE_CLIENT_TALLY_H
#define SLUICE_CLIENT_TALLY_H

#include "base/atomic.h"

typedef struct client_tally {
    sl_atomic_u64 word; /* private */
} client_tally;

void client_tally_add(client_tally *tally);
void client_tally_remove(client_tally *tally);
uint32_t client_tally_get(const client_tally *tally);

#endif
