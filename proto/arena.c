/* arena.c - a bump allocator with a budget. */
#include "proto/arena.h"

#include "base/status.h"

#define ALIGNMENT 16u /* what malloc gives on the platforms we have */

int sl_arena_init(sl_arena *arena, sl_account *account, size_t size_bytes,
                  uint32_t allocation_limit) {
    *arena = (sl_arena){.account = account};
    unsigned char *memory = sl_account_alloc(account, size_bytes);
    if (memory == NULL) {
        return SLUICE_ENOMEM;
    }
    arena->memory = memory;
    arena->size_bytes = size_bytes;
    arena->allocation_limit = allocation_limit;
    return SLUICE_OK;
}

void sl_arena_deinit(sl_arena *arena) {
    if (arena->memory != NULL) {
        sl_account_free(arena->account, arena->memory, arena->size_bytes);
    }
    *arena = (sl_arena){0};
}

void sl_arena_reset(sl_arena *arena) {
    arena->used_bytes = 0;
    arena->allocation_count = 0;
    arena->is_exhausted = false;
}

void *sl_arena_alloc(sl_arena *arena, size_t size_bytes) {
    size_t free_bytes = arena->size_bytes - arena->used_bytes;
    if (size_bytes > free_bytes || arena->allocation_count >= arena->allocation_limit) {
        arena->is_exhausted = true;
        return NULL;
    }
    void *memory = arena->memory + arena->used_bytes;
    size_t rounded = (size_bytes + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
    arena->used_bytes += rounded < free_bytes ? rounded : free_bytes;
    arena->allocation_count++;
    if (arena->used_bytes > arena->peak_bytes) {
        arena->peak_bytes = arena->used_bytes;
    }
    return memory;
}
