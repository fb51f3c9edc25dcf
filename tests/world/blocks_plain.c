/*
 * blocks_plain.c - see blocks.h: every block is the C library's.
 */
#include "tests/world/blocks.h"

#include <stdlib.h>

#include "base/check.h"

void *blocks_take(size_t size) {
    void *block = calloc(1, size);
    SL_CHECK(block != NULL, "the simulation has memory");
    return block;
}

void blocks_give(void *block, size_t size) {
    (void)size;
    free(block);
}

void blocks_clear(void) {
}
