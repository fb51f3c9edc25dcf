/*
 * blocks_fast.c - see blocks.h.
 *
 * Small blocks are rounded up to their class and kept by class; they are cleared when they are
 * taken. Large ones follow each other in the region and are not used again before the next life:
 * then the system takes its pages back, and gives fresh ones where they are touched. When the
 * region is full, the C library has more.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/world/blocks.h"
#include "tests/world/os.h"

#define STEP_BYTES   64u /* between the classes up to FINE_MAX; then they double */
#define FINE_MAX     4096u
#define FINE_CLASSES (FINE_MAX / STEP_BYTES)
#define SMALL_MAX    32768u
#define CLASSES      (FINE_CLASSES + 3) /* 8, 16, 32 KiB */
#define REGION_BYTES ((size_t)256 * 1024 * 1024)

typedef struct free_block {
    struct free_block *next;
} free_block;

static free_block *kept[CLASSES];
static char *region;
static size_t region_used;
static size_t large_count;

_Static_assert(FINE_MAX << (CLASSES - FINE_CLASSES) == SMALL_MAX, "the last class");

static unsigned class_of(size_t size) {
    if (size <= FINE_MAX) {
        return size == 0 ? 0 : (unsigned)((size - 1) / STEP_BYTES);
    }
    unsigned class_index = FINE_CLASSES;
    while ((size_t)FINE_MAX << (class_index - FINE_CLASSES + 1) < size) {
        class_index++;
    }
    return class_index;
}

static size_t class_size(unsigned class_index) {
    return class_index < FINE_CLASSES ? (class_index + 1) * (size_t)STEP_BYTES
                                      : (size_t)FINE_MAX << (class_index - FINE_CLASSES + 1);
}

static void *take_small(size_t size) {
    unsigned class_index = class_of(size);
    free_block *block = kept[class_index];
    if (block != NULL) {
        kept[class_index] = block->next;
    } else {
        block = malloc(class_size(class_index));
        SL_CHECK(block != NULL, "the simulation has memory");
    }
    return block;
}

static bool is_in_region(const char *block) {
    return region != NULL && block >= region && block < region + REGION_BYTES;
}

static void *take_large(size_t size) {
    size_t rounded = (size + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
    if (region == NULL) {
        region = os_region_create(REGION_BYTES);
    }
    large_count++;
    if (rounded <= REGION_BYTES - region_used) {
        region_used += rounded;
        return region + region_used - rounded;
    }
    void *block = calloc(1, size);
    SL_CHECK(block != NULL, "the simulation has memory");
    return block;
}

void *blocks_take(size_t size) {
    return size > SMALL_MAX ? take_large(size) : memset(take_small(size), 0, size);
}

void blocks_give(void *block, size_t size) {
    if (size > SMALL_MAX) {
        large_count--;
        if (!is_in_region(block)) {
            free(block);
        }
        return;
    }
    free_block *small = block;
    unsigned class_index = class_of(size);
    small->next = kept[class_index];
    kept[class_index] = small;
}

void blocks_clear(void) {
    SL_CHECK(large_count == 0, "no memory outlives a life");
    if (region_used != 0) {
        os_region_clear(region, region_used);
        region_used = 0;
    }
}
