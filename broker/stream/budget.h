/*
 * budget.h - the bytes that a session's handles may be granted above their floor, and who waits for
 * some: the writing rules' pool.
 *
 * A share is a handle's part: what it holds, and its place in the list of those that wait. The list
 * is served round robin. One grant is at most an eighth of what is free, so that many can have
 * some; and not less than least_bytes, so that a pool that is nearly empty is not given out byte by
 * byte. Thread: the session's worker.
 */
#ifndef SLUICE_BROKER_STREAM_BUDGET_H
#define SLUICE_BROKER_STREAM_BUDGET_H

#include "base/list.h"

#include <stdint.h>

typedef struct budget {
    uint64_t size_bytes;
    uint64_t free_bytes;
    uint64_t least_bytes;
    sl_list waiting; /* shares */
} budget;

typedef struct budget_share {
    sl_list in_waiting;
    uint64_t held_bytes;
    uint64_t wanted_bytes; /* more than it holds; 0 = it does not wait */
} budget_share;

void budget_init(budget *pool, uint64_t size_bytes, uint64_t least_bytes);
/* Everything was given back. */
void budget_deinit(budget *pool);

void budget_share_init(budget_share *share);
/* The share holds less, or what it was granted. */
void budget_hold(budget *pool, budget_share *share, uint64_t held_bytes);
/* The share waits for so many bytes; 0 = it waits no more. */
void budget_want(budget *pool, budget_share *share, uint64_t wanted_bytes);

/* The next one that is served, and how much it may have (its holder says what it holds then:
 * budget_hold); NULL: nobody waits, or too little is free. */
budget_share *budget_serve(budget *pool, uint64_t *ret_bytes);

#endif
