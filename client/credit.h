/*
 * credit.h - the client's own books: how many calls, and how many bytes, may be in flight.
 *
 * Taken on the caller's thread before an operation is posted, given back on the I/O thread when
 * the wire has forgotten it. Lock-free unless somebody waits. The broker keeps the same books from
 * the same frames, so that a client that keeps its own is never refused.
 */
#ifndef SLUICE_CLIENT_CREDIT_H
#define SLUICE_CLIENT_CREDIT_H

#include "base/thread.h"
#include "proto/limits.h"

typedef struct client_credit {
    sl_atomic_u64 used; /* operations and bytes in one word: a take is one compare-and-swap */
    sl_atomic_u64 operations_max;
    sl_atomic_u64 bytes_max;
    sl_atomic_u32 waiter_count;
    sl_mutex lock;
    sl_cond changed;
} client_credit;

void client_credit_init(client_credit *credit);
void client_credit_deinit(client_credit *credit);

/* What a connection grants. Any thread. */
void client_credit_set(client_credit *credit, uint64_t operations_max, uint64_t bytes_max);

/* One operation and its bytes, now. SLUICE_OK; EQUOTA: nothing is taken, and the reason, which may
 * be NULL, says which of the two was too little. */
int client_credit_take(client_credit *credit, uint64_t bytes, sl_reason *ret_reason);
/* The same, but waits for it until deadline_ns on the system's clock. */
int client_credit_wait(client_credit *credit, uint64_t bytes, uint64_t deadline_ns,
                       sl_reason *ret_reason);
void client_credit_give(client_credit *credit, uint64_t bytes);

#endif
