/*
 * memory.h - the memory of one simulated process: every block is known, so that it can be freed as
 * a whole when the process is killed; and it can run short.
 *
 * Blocks are fenced. What is freed is spoilt and kept for a while: whoever writes to it afterwards
 * is found out when it leaves (small blocks only; the address sanitizer sees the rest at once).
 * Thread: one.
 */
#ifndef SLUICE_TESTS_WORLD_MEMORY_H
#define SLUICE_TESTS_WORLD_MEMORY_H

#include "base/alloc.h"
#include "base/list.h"
#include "base/random.h"

#define MEMORY_KEPT 32u /* blocks that are free and watched */

typedef struct world_block world_block;

typedef struct world_memory {
    sl_allocator allocator; /* hand it to accounts */
    sl_list blocks;
    world_block *kept[MEMORY_KEPT];
    unsigned next_kept;
    size_t used_count;
    sl_random_seeded random;
    uint16_t fail_per_mille;
    uint64_t eligible_count; /* allocations asked for while some may fail */
    uint64_t failed_count;
} world_memory;

void memory_init(world_memory *memory, uint64_t seed);
/* Checks the fences of what is free, and frees everything. */
void memory_end(world_memory *memory);

void *memory_take(world_memory *memory, size_t size); /* never NULL: the tests' own */
void memory_give(world_memory *memory, void *bytes);

#endif
