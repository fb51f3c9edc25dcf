/*
 * opener_pool.h - who gets an opener: pools with so many places, and in each the shares (engine.h)
 * whose jobs wait. The books of opener.c, under its lock; nobody else includes it.
 */
#ifndef SLUICE_ENGINE_OPENER_POOL_H
#define SLUICE_ENGINE_OPENER_POOL_H

#include "engine/opener.h"

enum { ENGINE_POOL_LOOKUPS, ENGINE_POOL_PATHS, ENGINE_POOL_DROPS, ENGINE_POOL_PAIRS };

typedef struct engine_opener_pool {
    uint32_t size;
    uint32_t running;
    sl_list turns; /* shares with a job that waits, whose turn is next first */
} engine_opener_pool;

typedef struct engine_opener_pools {
    engine_opener_pool pool[ENGINE_OPENER_POOLS];
    uint32_t given_up_max; /* of a share, in each pool */
    uint32_t waiting;      /* jobs in all queues */
} engine_opener_pools;

/* `size` places each for look-ups, for paths, and for giving paths up; one for pairs. */
void engine_opener_pools_init(engine_opener_pools *pools, uint32_t size, uint32_t given_up_max);

/* Puts a job into its share's queue, and takes it out again. */
void engine_opener_pools_add(engine_opener_pools *pools, engine_opener_job *job);
void engine_opener_pools_remove(engine_opener_pools *pools, engine_opener_job *job);
/* Takes the next job that may run out of its queue, or NULL. Its share waits behind the others. */
engine_opener_job *engine_opener_pools_pick(engine_opener_pools *pools);

/* A job takes a place of its pool, and gives it back. */
unsigned engine_opener_pool_of(const engine_opener_job *job);
void engine_opener_pools_enter(engine_opener_pools *pools, unsigned at, engine_share *share);
void engine_opener_pools_leave(engine_opener_pools *pools, unsigned at, engine_share *share);

/* A job was given up in the system, and its thread is back. */
void engine_opener_pools_count(unsigned at, engine_share *share);
void engine_opener_pools_discount(unsigned at, engine_share *share);

/* The share has as many of those in this pool as it may. */
bool engine_opener_pools_refuse(const engine_opener_pools *pools, unsigned at,
                                const engine_share *share);

#endif
