/*
 * slots.c - a table of fixed capacity whose entries are named by {index, generation}.
 *
 * Owner: one thread. The table owns its entries' memory: chunks of a power of two of entries, got
 * as the table fills, kept until deinit, so that an entry's address never changes. The first is
 * small, each of the next as large as all before it, up to CHUNK_BYTES: most tables (a session's
 * handles) never hold more than a few entries, and reusing few keeps them in the processor's cache.
 * Chunks consist of pages of the first one's size, so that an entry is found by a shift. In front
 * of each entry stands a header with its index, its generation and its link in the free list.
 * An id is valid while the entry is in use and the generations agree: releasing adds one to the
 * generation (31 bits; 0 is skipped, so that no id is 0), hence a stale id matches again only after
 * 2^31 - 1 further uses of the same entry. The free list is FIFO to put that off as far as
 * possible.
 */
#include "base/slots.h"

#include "base/check.h"
#include "base/status.h"

#define CAPACITY_MAX      0x7fffffffu
#define GENERATION_MAX    0x7fffffffu
#define ENTRY_ALIGN       ((size_t)16) /* what malloc gives on the 64-bit systems we build for */
#define ENTRY_SIZE_MAX    ((size_t)1 << 24)
#define CHUNK_BYTES       ((size_t)64 * 1024) /* aimed at; an entry may be larger */
#define CHUNK_ENTRIES_MAX 1024u
#define FIRST_BYTES       ((size_t)4 * 1024)
#define FIRST_ENTRIES_MIN 16u /* ... but so many: each is reused as seldom as that */
#define PAGES_FIRST       8u

_Static_assert(sizeof(sl_slot_header) % 16 == 0, "the entry after its header stays aligned");

static sl_slot_header *header_of(const void *entry) {
    return (sl_slot_header *)((uintptr_t)entry - sizeof(sl_slot_header));
}

static void *entry_of(sl_slot_header *header) {
    return (char *)header + sizeof(sl_slot_header);
}

static sl_slot_header *header_at(const sl_slots *slots, uint32_t index) {
    char *page = slots->pages[index >> slots->page_shift];
    uint32_t place = index & (slots->page_entries - 1);
    return (sl_slot_header *)(void *)(page + place * slots->stride);
}

/* Of the chunk that begins there. The last one ends with the table. */
static uint32_t entries_in_chunk(const sl_slots *slots, uint32_t first_index) {
    uint32_t count = first_index < slots->page_entries ? slots->page_entries : first_index;
    uint32_t rest = slots->capacity - first_index;
    count = count < slots->chunk_entries ? count : slots->chunk_entries;
    return rest < count ? rest : count;
}

static void free_list_append(sl_slots *slots, sl_slot_header *header) {
    header->next_free = 0;
    if (slots->free_tail != 0) {
        header_at(slots, slots->free_tail - 1)->next_free = header->index + 1;
    } else {
        slots->free_head = header->index + 1;
    }
    slots->free_tail = header->index + 1;
}

static uint32_t pages_of(const sl_slots *slots, uint32_t entries) {
    return (entries + slots->page_entries - 1) >> slots->page_shift;
}

/* Makes room in pages[]. */
static int reserve_pages(sl_slots *slots, uint32_t count) {
    if (count <= slots->page_room) {
        return SLUICE_OK;
    }
    uint32_t room = slots->page_room == 0 ? PAGES_FIRST : slots->page_room * 2;
    room = room < count ? count : room;
    void **pages = sl_account_alloc(slots->account, room * sizeof(*pages));
    if (pages == NULL) {
        return SLUICE_ENOMEM;
    }
    for (uint32_t i = 0; i < slots->page_room; i++) {
        pages[i] = slots->pages[i];
    }
    sl_account_free(slots->account, slots->pages, slots->page_room * sizeof(*pages));
    slots->pages = pages;
    slots->page_room = room;
    return SLUICE_OK;
}

static int add_chunk(sl_slots *slots) {
    uint32_t first = slots->prepared;
    uint32_t count = entries_in_chunk(slots, first);
    int status = reserve_pages(slots, pages_of(slots, first + count));
    if (status != SLUICE_OK) {
        return status;
    }
    char *chunk = sl_account_alloc(slots->account, count * slots->stride);
    if (chunk == NULL) {
        return SLUICE_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i += slots->page_entries) {
        slots->pages[(first + i) >> slots->page_shift] = chunk + i * slots->stride;
    }
    slots->prepared += count;
    for (uint32_t i = 0; i < count; i++) {
        sl_slot_header *header = header_at(slots, first + i);
        header->index = first + i;
        header->generation = 1;
        free_list_append(slots, header);
    }
    return SLUICE_OK;
}

/* The largest power of two of entries that takes at most so many bytes; at least one. */
static uint32_t entries_for(size_t stride, size_t bytes, uint32_t most) {
    uint32_t entries = 1;
    while (entries < most && entries * 2 * stride <= bytes) {
        entries *= 2;
    }
    return entries;
}

int sl_slots_init(sl_slots *slots, sl_account *account, uint32_t capacity, size_t entry_size) {
    if (capacity == 0 || capacity > CAPACITY_MAX || entry_size > ENTRY_SIZE_MAX) {
        return SLUICE_EINVAL;
    }
    size_t padded_size = (entry_size + ENTRY_ALIGN - 1) & ~(ENTRY_ALIGN - 1);
    size_t stride = sizeof(sl_slot_header) + padded_size;
    uint32_t chunk_entries = entries_for(stride, CHUNK_BYTES, CHUNK_ENTRIES_MAX);
    uint32_t page_entries = entries_for(stride, FIRST_BYTES, chunk_entries);
    if (page_entries < FIRST_ENTRIES_MIN) {
        page_entries = chunk_entries < FIRST_ENTRIES_MIN ? chunk_entries : FIRST_ENTRIES_MIN;
    }
    *slots = (sl_slots){
        .account = account,
        .entry_size = entry_size,
        .stride = stride,
        .capacity = capacity,
        .chunk_entries = chunk_entries,
        .page_entries = page_entries,
    };
    while (UINT32_C(1) << slots->page_shift < page_entries) {
        slots->page_shift++;
    }
    return SLUICE_OK;
}

void sl_slots_trim(sl_slots *slots) {
    if (slots->used > 0) {
        return;
    }
    for (uint32_t first = 0; first < slots->prepared;) {
        uint32_t count = entries_in_chunk(slots, first);
        sl_account_free(slots->account, slots->pages[first >> slots->page_shift],
                        count * slots->stride);
        first += count;
    }
    sl_account_free(slots->account, slots->pages, slots->page_room * sizeof(*slots->pages));
    slots->pages = NULL;
    slots->page_room = 0;
    slots->prepared = 0;
    slots->free_head = slots->free_tail = 0;
}

void sl_slots_deinit(sl_slots *slots) {
    if (slots->account == NULL) {
        return;
    }
    SL_CHECK(slots->used == 0, "no entry is in use when its table goes");
    sl_slots_trim(slots);
    *slots = (sl_slots){0};
}

int sl_slots_reserve(sl_slots *slots, uint32_t entries) {
    uint32_t wanted = entries < slots->capacity ? entries : slots->capacity;
    while (slots->prepared < wanted) {
        int status = add_chunk(slots);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    return SLUICE_OK;
}

int sl_slots_take(sl_slots *slots, void **ret_entry, sl_slot_id *ret_id) {
    if (slots->free_head == 0) {
        if (slots->prepared == slots->capacity) {
            return SLUICE_EQUOTA;
        }
        int status = add_chunk(slots);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    sl_slot_header *header = header_at(slots, slots->free_head - 1);
    slots->free_head = header->next_free;
    if (slots->free_head == 0) {
        slots->free_tail = 0;
    }
    SL_CHECK(header->in_use == 0, "a free entry is not in use");
    header->next_free = 0;
    header->in_use = 1;
    slots->used++;
    *ret_entry = entry_of(header);
    *ret_id = sl_slots_id_of(slots, *ret_entry);
    return SLUICE_OK;
}

void sl_slots_release(sl_slots *slots, void *entry) {
    sl_slot_header *header = header_of(entry);
    SL_CHECK(header->index < slots->prepared && header_at(slots, header->index) == header,
             "an entry is released to its own table");
    SL_CHECK(header->in_use == 1, "an entry is released once");
    header->in_use = 0;
    header->generation = header->generation == GENERATION_MAX ? 1 : header->generation + 1;
    slots->used--;
    free_list_append(slots, header);
}

void *sl_slots_find(const sl_slots *slots, sl_slot_id id) {
    uint32_t index = (uint32_t)(id & UINT32_MAX);
    uint32_t generation = (uint32_t)(id >> 32);
    if (index >= slots->prepared) {
        return NULL;
    }
    sl_slot_header *header = header_at(slots, index);
    if (header->in_use == 0 || header->generation != generation) {
        return NULL;
    }
    return entry_of(header);
}

sl_slot_id sl_slots_id_of(const sl_slots *slots, const void *entry) {
    const sl_slot_header *header = header_of(entry);
    (void)slots;
    SL_CHECK(header->in_use == 1, "only an entry in use has an id");
    return (sl_slot_id)header->generation << 32 | header->index;
}

void *sl_slots_next(const sl_slots *slots, uint32_t *cursor) {
    while (*cursor < slots->prepared) {
        sl_slot_header *header = header_at(slots, (*cursor)++);
        if (header->in_use != 0) {
            return entry_of(header);
        }
    }
    return NULL;
}
