/*
 * slots.h - a table of fixed capacity whose entries are named by {index, generation}.
 *
 * The table owns the memory of its entries: each entry is entry_size bytes, lives at a stable
 * address, and memory is acquired in chunks as the table fills and kept until deinit, so taking and
 * releasing an entry never allocates in steady state (see sl_slots_reserve). A table of which
 * little is used costs little, whatever its capacity. An id is 64 bits, never 0; releasing an entry
 * retires its id, and a stale or invented id finds nothing. Free entries are reused in FIFO order,
 * so that a generation (31 bits, per entry) takes as long as possible to come round. One thread.
 */
#ifndef SLUICE_BASE_SLOTS_H
#define SLUICE_BASE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

typedef uint64_t sl_slot_id; /* generation << 32 | index; 0 = none */

/* Private: stands in front of each entry, padded so that the entry is aligned for any type. */
typedef struct sl_slot_header {
    uint32_t index;
    uint32_t generation; /* 1 to 2^31 - 1, then 1 again */
    uint32_t next_free;  /* index + 1; 0 = none */
    uint32_t in_use;
} sl_slot_header;

typedef struct sl_slots {
    sl_account *account;
    size_t entry_size; /* as asked for */
    size_t stride;     /* entry_size plus the header, aligned */
    uint32_t capacity;
    uint32_t chunk_entries; /* of the largest chunks: a power of two */
    uint32_t page_entries;  /* of the first chunk, 2 to the page_shift: divides every other's */
    uint32_t page_shift;
    uint32_t prepared; /* entries that have memory */
    uint32_t used;
    uint32_t free_head; /* index + 1; 0 = none */
    uint32_t free_tail;
    uint32_t page_room; /* length of pages[] */
    void **pages;       /* where each page_entries entries are; grows with the table */
} sl_slots;

/* Acquires nothing yet. SLUICE_OK; SLUICE_EINVAL for a capacity of 0 or above 2^31 - 1, or an entry
 * size that makes no sense. */
int sl_slots_init(sl_slots *slots, sl_account *account, uint32_t capacity, size_t entry_size);

/* Frees the memory; checks that no entry is in use. Harmless on a zeroed structure. */
void sl_slots_deinit(sl_slots *slots);

/* Acquires memory for at least `entries` entries beforehand. SLUICE_OK or SLUICE_ENOMEM. */
int sl_slots_reserve(sl_slots *slots, uint32_t entries);

/* Gives back the entries' memory, if none is in use; otherwise does nothing. Generations begin
 * anew: only for a table whose old ids nobody keeps. */
void sl_slots_trim(sl_slots *slots);

/* Takes an entry; its contents are what they were when it was released (zero the first time).
 * SLUICE_OK, SLUICE_EQUOTA (capacity reached), SLUICE_ENOMEM. */
int sl_slots_take(sl_slots *slots, void **ret_entry, sl_slot_id *ret_id);

/* Retires the entry's id and frees the entry for reuse. Checks that it is in use. */
void sl_slots_release(sl_slots *slots, void *entry);

/* The entry with that id, or NULL when there is none (stale, never given out, nonsense). */
void *sl_slots_find(const sl_slots *slots, sl_slot_id id);

/* The id of an entry in use. */
sl_slot_id sl_slots_id_of(const sl_slots *slots, const void *entry);

/* Iteration over entries in use, by index: start with *cursor = 0; NULL at the end. Entries may be
 * released while iterating. */
void *sl_slots_next(const sl_slots *slots, uint32_t *cursor);

#endif
