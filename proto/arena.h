/*
 * arena.h - memory for one message at a time: allocated once, handed out in order, taken back all
 * at once.
 *
 * Decoding a peer's bytes costs no heap and can cost no more than the arena has: `size_bytes` and
 * `allocation_limit` are its budget. One thread.
 */
#ifndef SLUICE_PROTO_ARENA_H
#define SLUICE_PROTO_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct sl_arena {
    sl_account *account;
    unsigned char *memory;
    size_t size_bytes;
    size_t used_bytes;
    size_t peak_bytes; /* the most since init */
    uint32_t allocation_limit;
    uint32_t allocation_count; /* since the last reset */
    bool is_exhausted;         /* something was refused since the last reset */
} sl_arena;

/* SLUICE_OK, SLUICE_ENOMEM. */
int sl_arena_init(sl_arena *arena, sl_account *account, size_t size_bytes,
                  uint32_t allocation_limit);
void sl_arena_deinit(sl_arena *arena); /* harmless on a zeroed structure */

/* Takes everything back. */
void sl_arena_reset(sl_arena *arena);

/* Memory aligned for any type, contents undefined, valid until the reset; NULL when over budget. */
void *sl_arena_alloc(sl_arena *arena, size_t size_bytes);

#endif
