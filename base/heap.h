/*
 * heap.h - deadlines in order: a binary heap of nodes that are embedded in their owners.
 *
 * Insert is O(log n), and O(1) for a deadline later than those that are there; remove is O(1)
 * amortised. To change a deadline, remove and insert. No insert allocates while the count stays
 * within what sl_heap_reserve made room for.
 * Equal deadlines come out in order of insertion. One thread.
 */
#ifndef SLUICE_BASE_HEAP_H
#define SLUICE_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct sl_heap_node {
    uint64_t deadline_ns;
    uint32_t position; /* private: 1-based place in the heap; 0 = not in it */
} sl_heap_node;

/* Private. */
typedef struct sl_heap_entry {
    uint64_t deadline_ns;
    uint64_t sequence;  /* order of insertion */
    sl_heap_node *node; /* NULL: removed since */
} sl_heap_entry;

typedef struct sl_heap {
    sl_account *account;
    sl_heap_entry *entries;
    uint32_t used;     /* entries, also those whose node was removed */
    uint32_t count;    /* nodes */
    uint32_t capacity; /* nodes that there is room for now */
    uint32_t limit;    /* never more than this */
    uint64_t sequence;
} sl_heap;

/* Acquires no memory yet. */
void sl_heap_init(sl_heap *heap, sl_account *account, uint32_t limit);
void sl_heap_deinit(sl_heap *heap); /* checks that it is empty */

static inline bool sl_heap_contains(const sl_heap_node *node) {
    return node->position != 0;
}

/* Makes room for `count` nodes in all, so that inserts up to there cannot fail.
 * SLUICE_OK, SLUICE_EQUOTA (count is above the limit), SLUICE_ENOMEM. */
int sl_heap_reserve(sl_heap *heap, uint32_t count);

/* Gives back room for more than `count` nodes, and those that are in it. Without memory for the
 * smaller room it keeps the larger one. */
void sl_heap_trim(sl_heap *heap, uint32_t count);

/* SLUICE_OK; SLUICE_EQUOTA at the limit; SLUICE_ENOMEM. The node must not be in a heap. */
int sl_heap_insert(sl_heap *heap, sl_heap_node *node, uint64_t deadline_ns);

/* Does nothing when the node is in no heap. */
void sl_heap_remove(sl_heap *heap, sl_heap_node *node);

/* The node with the earliest deadline, still in the heap, or NULL. */
sl_heap_node *sl_heap_first(sl_heap *heap);

/* The earliest deadline or SL_CLOCK_NEVER. */
uint64_t sl_heap_deadline_ns(sl_heap *heap);

/* Removes and returns the first node whose deadline is at or before now_ns, or NULL. */
sl_heap_node *sl_heap_pop_due(sl_heap *heap, uint64_t now_ns);

#endif
