/*
 * budget.c - see budget.h. The sum of what the shares hold and of what is free is the pool's size.
 */
#include "broker/stream/budget.h"

#include "base/check.h"

#define ONE_GRANT 8u /* of what is free: one part */

void budget_init(budget *pool, uint64_t size_bytes, uint64_t least_bytes) {
    SL_CHECK(least_bytes > 0, "a grant is not empty");
    pool->size_bytes = size_bytes;
    pool->free_bytes = size_bytes;
    pool->least_bytes = least_bytes;
    sl_list_init(&pool->waiting);
}

void budget_deinit(budget *pool) {
    SL_CHECK(pool->free_bytes == pool->size_bytes, "every grant is given back");
    SL_CHECK(sl_list_is_empty(&pool->waiting), "nobody waits for a pool that goes");
}

void budget_share_init(budget_share *share) {
    sl_list_init(&share->in_waiting);
    share->held_bytes = 0;
    share->wanted_bytes = 0;
}

void budget_hold(budget *pool, budget_share *share, uint64_t held_bytes) {
    uint64_t back = pool->free_bytes + share->held_bytes;
    SL_CHECK(held_bytes <= back, "no more is held than the pool has");
    pool->free_bytes = back - held_bytes;
    share->held_bytes = held_bytes;
    SL_CHECK(pool->free_bytes <= pool->size_bytes, "no more is given back than was taken");
}

void budget_want(budget *pool, budget_share *share, uint64_t wanted_bytes) {
    share->wanted_bytes = wanted_bytes;
    if (wanted_bytes == 0) {
        sl_list_remove(&share->in_waiting);
    } else if (!sl_list_is_linked(&share->in_waiting)) {
        sl_list_push_back(&pool->waiting, &share->in_waiting);
    }
}

budget_share *budget_serve(budget *pool, uint64_t *ret_bytes) {
    sl_list *node = sl_list_first(&pool->waiting);
    if (node == NULL) {
        return NULL;
    }
    budget_share *share = SL_LIST_ENTRY(node, budget_share, in_waiting);
    uint64_t part = pool->free_bytes / ONE_GRANT;
    uint64_t bytes = part > pool->least_bytes ? part : pool->least_bytes;
    bytes = bytes < share->wanted_bytes ? bytes : share->wanted_bytes;
    if (bytes > pool->free_bytes) {
        return NULL;
    }
    sl_list_remove(node); /* its holder puts it behind the others if it wants more */
    *ret_bytes = bytes;
    return share;
}
