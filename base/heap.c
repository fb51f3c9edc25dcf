/*
 * heap.c - deadlines in order: a binary heap of deadlines, each with the node it belongs to.
 *
 * Owner: one thread. The heap owns the array, never the nodes. Each node knows its place (1-based;
 * 0 = in no heap). Order is by deadline, then by a 64-bit sequence given at insertion: equal
 * deadlines come out first in, first out, which also makes a simulated run replay exactly.
 *
 * Most deadlines never come: what they guard ends before. So removing only clears the entry, and
 * the heap is put in order again when more than half of the entries are cleared (O(1) amortised),
 * or when a cleared one is on top and somebody asks. The array has room for twice the capacity, so
 * that an insert always finds a place.
 */
#include "base/heap.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

#define FIRST_CAPACITY 16u
#define CLEARED_MIN    16u /* so many are left lying in any case */
#define CLEARED_SHARE  8u  /* a share of the entries that is worth going through all of them */

static bool comes_before(const sl_heap_entry *a, const sl_heap_entry *b) {
    if (a->deadline_ns != b->deadline_ns) {
        return a->deadline_ns < b->deadline_ns;
    }
    return a->sequence < b->sequence;
}

static void put(sl_heap *heap, uint32_t position, sl_heap_entry entry) {
    heap->entries[position - 1] = entry;
    if (entry.node != NULL) {
        entry.node->position = position;
    }
}

/* Finds the entry's place at or above the hole at `position`. */
static void sift_up(sl_heap *heap, uint32_t position, sl_heap_entry entry) {
    while (position > 1) {
        const sl_heap_entry *parent = &heap->entries[position / 2 - 1];
        if (!comes_before(&entry, parent)) {
            break;
        }
        put(heap, position, *parent);
        position /= 2;
    }
    put(heap, position, entry);
}

/* Finds the entry's place at or below the hole at `position`. */
static void sift_down(sl_heap *heap, uint32_t position, sl_heap_entry entry) {
    const sl_heap_entry *entries = heap->entries;
    while (position <= heap->used / 2) {
        uint32_t child = position * 2;
        if (child < heap->used && comes_before(&entries[child], &entries[child - 1])) {
            child++;
        }
        if (!comes_before(&entries[child - 1], &entry)) {
            break;
        }
        put(heap, position, entries[child - 1]);
        position = child;
    }
    put(heap, position, entry);
}

/* The last entry, if there is one, is of a node. */
static void trim(sl_heap *heap) {
    while (heap->used > 0 && heap->entries[heap->used - 1].node == NULL) {
        heap->used--;
    }
}

/* Drops the cleared entries. */
static void compact(sl_heap *heap) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < heap->used; i++) {
        if (heap->entries[i].node != NULL) {
            put(heap, ++kept, heap->entries[i]);
        }
    }
    heap->used = kept;
    for (uint32_t position = kept / 2; position > 0; position--) {
        sift_down(heap, position, heap->entries[position - 1]);
    }
}

/* The first entry, if there is one, is of a node. Deadlines are mostly removed in their order, so
 * that cleared ones gather at the top: many are dropped at once, which costs less than one by
 * one. */
static void clear_top(sl_heap *heap) {
    while (heap->used > 0 && heap->entries[0].node == NULL) {
        if (heap->used - heap->count >= heap->used / CLEARED_SHARE) {
            compact(heap);
            return;
        }
        sl_heap_entry last = heap->entries[--heap->used];
        sift_down(heap, 1, last);
        trim(heap);
    }
}

void sl_heap_init(sl_heap *heap, sl_account *account, uint32_t limit) {
    *heap = (sl_heap){.account = account, .limit = limit};
}

static size_t bytes_of(uint32_t capacity) {
    return (size_t)capacity * 2 * sizeof(sl_heap_entry);
}

void sl_heap_deinit(sl_heap *heap) {
    SL_CHECK(heap->count == 0, "no deadline is pending when its heap goes");
    if (heap->entries != NULL) {
        sl_account_free(heap->account, heap->entries, bytes_of(heap->capacity));
    }
    *heap = (sl_heap){0};
}

static int set_capacity(sl_heap *heap, uint32_t capacity) {
    sl_heap_entry *entries = sl_account_alloc(heap->account, bytes_of(capacity));
    if (entries == NULL) {
        return SLUICE_ENOMEM;
    }
    for (uint32_t i = 0; i < heap->used; i++) {
        entries[i] = heap->entries[i];
    }
    sl_account_free(heap->account, heap->entries, bytes_of(heap->capacity));
    heap->entries = entries;
    heap->capacity = capacity;
    return SLUICE_OK;
}

int sl_heap_reserve(sl_heap *heap, uint32_t count) {
    if (count > heap->limit) {
        return SLUICE_EQUOTA;
    }
    if (count <= heap->capacity) {
        return SLUICE_OK;
    }
    /* At least twice as much: who reserves one by one does not copy everything each time. */
    uint32_t twice = heap->capacity > heap->limit / 2 ? heap->limit : heap->capacity * 2;
    return set_capacity(heap, count > twice ? count : twice);
}

void sl_heap_trim(sl_heap *heap, uint32_t count) {
    uint32_t wanted = count > heap->count ? count : heap->count;
    if (wanted < heap->capacity && wanted > 0) {
        compact(heap);
        (void)set_capacity(heap, wanted);
    }
}

/* Room for one more. */
static int grow(sl_heap *heap) {
    if (heap->count < heap->capacity) {
        return SLUICE_OK;
    }
    if (heap->count >= heap->limit) {
        return SLUICE_EQUOTA;
    }
    uint32_t capacity = heap->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : heap->capacity;
    if (capacity == heap->capacity) {
        capacity = capacity > heap->limit / 2 ? heap->limit : capacity * 2;
    }
    return set_capacity(heap, capacity < heap->limit ? capacity : heap->limit);
}

int sl_heap_insert(sl_heap *heap, sl_heap_node *node, uint64_t deadline_ns) {
    SL_CHECK(!sl_heap_contains(node), "a node is in one heap at most");
    int status = grow(heap);
    if (status != SLUICE_OK) {
        return status;
    }
    if (heap->used == heap->capacity * 2) {
        compact(heap);
    }
    node->deadline_ns = deadline_ns;
    heap->count++;
    heap->used++;
    sift_up(heap, heap->used, (sl_heap_entry){deadline_ns, heap->sequence++, node});
    return SLUICE_OK;
}

void sl_heap_remove(sl_heap *heap, sl_heap_node *node) {
    uint32_t position = node->position;
    if (position == 0) {
        return;
    }
    SL_CHECK(position <= heap->used && heap->entries[position - 1].node == node,
             "a node is removed from the heap it is in");
    heap->entries[position - 1].node = NULL;
    node->position = 0;
    heap->count--;
    trim(heap);
    if (heap->used - heap->count > heap->count + CLEARED_MIN) {
        compact(heap);
    }
}

sl_heap_node *sl_heap_first(sl_heap *heap) {
    clear_top(heap);
    return heap->used > 0 ? heap->entries[0].node : NULL;
}

uint64_t sl_heap_deadline_ns(sl_heap *heap) {
    sl_heap_node *first = sl_heap_first(heap);
    return first != NULL ? first->deadline_ns : SL_CLOCK_NEVER;
}

sl_heap_node *sl_heap_pop_due(sl_heap *heap, uint64_t now_ns) {
    sl_heap_node *first = sl_heap_first(heap);
    if (first == NULL || first->deadline_ns > now_ns) {
        return NULL;
    }
    sl_heap_remove(heap, first);
    return first;
}
