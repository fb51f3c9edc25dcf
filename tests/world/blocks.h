/*
 * blocks.h - where the memory of simulated processes comes from (memory.c): it is needed and given
 * back a million times an hour.
 *
 * blocks_fast.c keeps small blocks by size, and has large ones (tables and buffers of which a life
 * uses little) in a region of address space that the system clears as a whole between lives.
 * blocks_plain.c is the C library's heap: on Windows, and where a sanitizer watches every block.
 * Thread: one.
 */
#ifndef SLUICE_TESTS_WORLD_BLOCKS_H
#define SLUICE_TESTS_WORLD_BLOCKS_H

#include <stddef.h>

void *blocks_take(size_t size); /* zeroed; aborts when there is none */
void blocks_give(void *block, size_t size); /* the size that it was taken with */

/* Between lives: all large blocks have been given back. */
void blocks_clear(void);

#endif
