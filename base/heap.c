/*
 * heap.c - deadlines in order: a binary heap of pointers to nodes embedded in their owners.
 *
 * Owner: one thread. The heap owns the array of pointers, never the nodes. Each node knows its
 * place (1-based; 0 = in no heap), so that removing from the middle is O(log n) without a search.
 * Order is by deadline, then by a 64-bit sequence given at insertion: equal deadlines come out
 * first in, first out, which also makes a simulated run replay exactly.
 */
#include "base/heap.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

#define FIRST_CAPACITY 16u

static bool comes_before(const sl_heap_node *a, const sl_heap_node *b) {
    if (a->deadline_ns != b->deadline_ns) {
        return a->deadline_ns < b->deadline_ns;
    }
    return a->sequence < b->sequence;
}

static void put(sl_heap *heap, uint32_t position, sl_heap_node *node) {
    heap->nodes[position - 1] = node;
    node->position = position;
}

/* Finds the node's place at or above the hole at `position`. */
static void sift_up(sl_heap *heap, uint32_t position, sl_heap_node *node) {
    while (position > 1) {
        sl_heap_node *parent = heap->nodes[position / 2 - 1];
        if (!comes_before(node, parent)) {
            break;
        }
        put(heap, position, parent);
        position /= 2;
    }
    put(heap, position, node);
}

/* Finds the node's place at or below the hole at `position`. */
static void sift_down(sl_heap *heap, uint32_t position, sl_heap_node *node) {
    while (position <= heap->count / 2) {
        uint32_t child = position * 2;
        if (child < heap->count && comes_before(heap->nodes[child], heap->nodes[child - 1])) {
            child++;
        }
        if (!comes_before(heap->nodes[child - 1], node)) {
            break;
        }
        put(heap, position, heap->nodes[child - 1]);
        position = child;
    }
    put(heap, position, node);
}

void sl_heap_init(sl_heap *heap, sl_account *account, uint32_t limit) {
    *heap = (sl_heap){.account = account, .limit = limit};
}

void sl_heap_deinit(sl_heap *heap) {
    SL_CHECK(heap->count == 0, "no deadline is pending when its heap goes");
    if (heap->nodes != NULL) {
        sl_account_free(heap->account, heap->nodes, heap->capacity * sizeof(*heap->nodes));
    }
    *heap = (sl_heap){0};
}

static int set_capacity(sl_heap *heap, uint32_t capacity) {
    sl_heap_node **nodes = sl_account_alloc(heap->account, capacity * sizeof(*nodes));
    if (nodes == NULL) {
        return SLUICE_ENOMEM;
    }
    for (uint32_t i = 0; i < heap->count; i++) {
        nodes[i] = heap->nodes[i];
    }
    sl_account_free(heap->account, heap->nodes, heap->capacity * sizeof(*heap->nodes));
    heap->nodes = nodes;
    heap->capacity = capacity;
    return SLUICE_OK;
}

int sl_heap_reserve(sl_heap *heap, uint32_t count) {
    if (count > heap->limit) {
        return SLUICE_EQUOTA;
    }
    return count <= heap->capacity ? SLUICE_OK : set_capacity(heap, count);
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
    node->deadline_ns = deadline_ns;
    node->sequence = heap->sequence++;
    heap->count++;
    sift_up(heap, heap->count, node);
    return SLUICE_OK;
}

void sl_heap_remove(sl_heap *heap, sl_heap_node *node) {
    uint32_t position = node->position;
    if (position == 0) {
        return;
    }
    SL_CHECK(position <= heap->count && heap->nodes[position - 1] == node,
             "a node is removed from the heap it is in");
    sl_heap_node *last = heap->nodes[heap->count - 1];
    heap->count--;
    node->position = 0;
    if (last == node) {
        return;
    }
    /* The last node fills the hole and moves to its place, which may be above or below. */
    if (position > 1 && comes_before(last, heap->nodes[position / 2 - 1])) {
        sift_up(heap, position, last);
    } else {
        sift_down(heap, position, last);
    }
}

sl_heap_node *sl_heap_first(const sl_heap *heap) {
    return heap->count > 0 ? heap->nodes[0] : NULL;
}

uint64_t sl_heap_deadline_ns(const sl_heap *heap) {
    return heap->count > 0 ? heap->nodes[0]->deadline_ns : SL_CLOCK_NEVER;
}

sl_heap_node *sl_heap_pop_due(sl_heap *heap, uint64_t now_ns) {
    sl_heap_node *first = sl_heap_first(heap);
    if (first == NULL || first->deadline_ns > now_ns) {
        return NULL;
    }
    sl_heap_remove(heap, first);
    return first;
}
