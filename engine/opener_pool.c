/*
 * opener_pool.c - who gets an opener: see opener_pool.h, and engine_share in engine.h.
 *
 * Users take turns: a share that has been served goes to the end of the line, however many jobs it
 * has. It is passed over while it has half of the places that the others leave it, so whoever comes
 * alone finds the other half free, the next one half of that, and the last place goes to anybody.
 */
#include "engine/opener_pool.h"

void engine_share_init(engine_share *share) {
    atomic_init(&share->given_up, 0);
    for (unsigned i = 0; i < ENGINE_OPENER_POOLS; i++) {
        sl_list_init(&share->waiting[i]);
        sl_list_init(&share->in_turn[i]);
        share->running[i] = 0;
        share->away[i] = 0;
    }
}

uint32_t engine_share_given_up(const engine_share *share) {
    return atomic_load_explicit(&share->given_up, memory_order_relaxed);
}

void engine_opener_pools_init(engine_opener_pools *pools, uint32_t size, uint32_t given_up_max) {
    pools->given_up_max = given_up_max;
    pools->waiting = 0;
    for (unsigned at = 0; at < ENGINE_OPENER_POOLS; at++) {
        pools->pool[at].size = at == ENGINE_POOL_PAIRS ? 1 : size;
        pools->pool[at].running = 0;
        sl_list_init(&pools->pool[at].turns);
    }
}

unsigned engine_opener_pool_of(const engine_opener_job *job) {
    switch (job->kind) {
    case ENGINE_OPENER_RESOLVE: return ENGINE_POOL_LOOKUPS;
    case ENGINE_OPENER_PAIR: return ENGINE_POOL_PAIRS;
    case ENGINE_OPENER_DROP: return ENGINE_POOL_DROPS;
    default: return ENGINE_POOL_PATHS;
    }
}

void engine_opener_pools_add(engine_opener_pools *pools, engine_opener_job *job) {
    unsigned at = engine_opener_pool_of(job);
    engine_share *share = job->behalf.share;
    pools->waiting++;
    sl_list_push_back(&share->waiting[at], &job->link);
    if (!sl_list_is_linked(&share->in_turn[at])) {
        sl_list_push_back(&pools->pool[at].turns, &share->in_turn[at]);
    }
}

void engine_opener_pools_remove(engine_opener_pools *pools, engine_opener_job *job) {
    unsigned at = engine_opener_pool_of(job);
    engine_share *share = job->behalf.share;
    sl_list_remove(&job->link);
    pools->waiting--;
    if (sl_list_is_empty(&share->waiting[at])) {
        sl_list_remove(&share->in_turn[at]);
    }
}

static engine_opener_job *first_of(const engine_share *share, unsigned at) {
    return SL_LIST_ENTRY(share->waiting[at].next, engine_opener_job, link);
}

/* May its first job run? So that a share never has more than its limit of a pool's jobs that were
 * given up, those that run are counted as if they would be. What must be done is done all the same.
 */
static bool may_run(const engine_opener_pools *pools, unsigned at, const engine_share *share) {
    const engine_opener_pool *pool = &pools->pool[at];
    uint32_t free_count = pool->size - pool->running;
    uint32_t half = (free_count + share->running[at] + 1) / 2;
    uint32_t at_risk = share->away[at] + share->running[at];
    return free_count > 0 && share->running[at] < half &&
           (at_risk < pools->given_up_max || first_of(share, at)->kind == ENGINE_OPENER_DROP);
}

static engine_opener_job *pick_from(engine_opener_pools *pools, unsigned at) {
    sl_list *turns = &pools->pool[at].turns;
    for (sl_list *node = turns->next; node != turns; node = node->next) {
        engine_share *share = SL_CONTAINER_OF(node, engine_share, in_turn[at]);
        if (may_run(pools, at, share)) {
            engine_opener_job *job = first_of(share, at);
            sl_list_remove(node);
            sl_list_push_back(turns, node);
            engine_opener_pools_remove(pools, job);
            return job;
        }
    }
    return NULL;
}

engine_opener_job *engine_opener_pools_pick(engine_opener_pools *pools) {
    engine_opener_job *job = NULL;
    for (unsigned at = 0; at < ENGINE_OPENER_POOLS && job == NULL; at++) {
        job = pick_from(pools, at);
    }
    return job;
}

void engine_opener_pools_enter(engine_opener_pools *pools, unsigned at, engine_share *share) {
    pools->pool[at].running++;
    share->running[at]++;
}

void engine_opener_pools_leave(engine_opener_pools *pools, unsigned at, engine_share *share) {
    SL_CHECK(pools->pool[at].running > 0 && share->running[at] > 0, "a place is given back once");
    pools->pool[at].running--;
    share->running[at]--;
}

void engine_opener_pools_count(unsigned at, engine_share *share) {
    share->away[at]++;
    atomic_fetch_add_explicit(&share->given_up, 1, memory_order_relaxed);
}

void engine_opener_pools_discount(unsigned at, engine_share *share) {
    SL_CHECK(share->away[at] > 0, "what was given up comes back once");
    share->away[at]--;
    atomic_fetch_sub_explicit(&share->given_up, 1, memory_order_relaxed);
}

bool engine_opener_pools_refuse(const engine_opener_pools *pools, unsigned at,
                                const engine_share *share) {
    return share->away[at] >= pools->given_up_max;
}
