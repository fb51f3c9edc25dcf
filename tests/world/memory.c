/*
 * memory.c - see memory.h.
 */
#include "tests/world/memory.h"

#include <string.h>

#include "base/check.h"
#include "tests/world/blocks.h"

#define SPOILT_MAX 4096u /* larger blocks are not kept: spoiling them costs too much */
#define SPOILT     0xdbu
#define FENCE      UINT64_C(0xfe4cefe4cefe4ce5)

struct world_block {
    sl_list link; /* in memory->blocks */
    size_t size;
    uint64_t fence; /* behind the bytes there is another */
};

static unsigned char *bytes_of(world_block *block) {
    return (unsigned char *)(block + 1);
}

static world_block *block_of(void *bytes) {
    return (world_block *)bytes - 1;
}

static void check_fences(world_block *block) {
    uint64_t behind;
    memcpy(&behind, bytes_of(block) + block->size, sizeof(behind));
    SL_CHECK(block->fence == FENCE && behind == FENCE, "nobody writes beside its memory");
}

/* Of a block of so many bytes, with what is before and behind them. */
static size_t whole(size_t size) {
    return sizeof(world_block) + size + sizeof(uint64_t);
}

static void *take(world_memory *memory, size_t size) {
    const uint64_t fence = FENCE;
    world_block *block = blocks_take(whole(size));
    sl_list_init(&block->link);
    sl_list_push_back(&memory->blocks, &block->link);
    block->size = size;
    block->fence = fence;
    memcpy(bytes_of(block) + size, &fence, sizeof(fence));
    memory->used_count++;
    return bytes_of(block);
}

static void let_go(world_block *block) {
    if (block == NULL) {
        return;
    }
    check_fences(block);
    SL_CHECK(block->size == 0 || (bytes_of(block)[0] == SPOILT &&
                                  memcmp(bytes_of(block), bytes_of(block) + 1,
                                         block->size - 1) == 0),
             "nobody writes to memory that was freed"); /* each byte is as the one before it */
    blocks_give(block, whole(block->size));
}

void memory_give(world_memory *memory, void *bytes) {
    world_block *block = block_of(bytes);
    check_fences(block);
    sl_list_remove(&block->link);
    memory->used_count--;
    if (block->size > SPOILT_MAX) {
        blocks_give(block, whole(block->size));
        return;
    }
    memset(bytes, SPOILT, block->size);
    world_block **place = &memory->kept[memory->next_kept++ % MEMORY_KEPT];
    let_go(*place);
    *place = block;
}

static void *on_acquire(sl_allocator *source, size_t size) {
    world_memory *memory = SL_CONTAINER_OF(source, world_memory, allocator);
    if (memory->fail_per_mille != 0) {
        memory->eligible_count++;
        if (sl_random_seeded_below(&memory->random, 1000) < memory->fail_per_mille) {
            memory->failed_count++;
            return NULL;
        }
    }
    return take(memory, size);
}

static void on_release(sl_allocator *source, void *bytes, size_t size) {
    SL_CHECK(block_of(bytes)->size == size, "who frees knows the size");
    memory_give(SL_CONTAINER_OF(source, world_memory, allocator), bytes);
}

void memory_init(world_memory *memory, uint64_t seed) {
    memset(memory, 0, sizeof(*memory));
    memory->allocator = (sl_allocator){on_acquire, on_release};
    sl_list_init(&memory->blocks);
    sl_random_seeded_init(&memory->random, seed);
}

void memory_end(world_memory *memory) {
    sl_list *node;
    while ((node = sl_list_pop_front(&memory->blocks)) != NULL) {
        world_block *block = SL_LIST_ENTRY(node, world_block, link);
        check_fences(block);
        blocks_give(block, whole(block->size));
    }
    for (unsigned i = 0; i < MEMORY_KEPT; i++) {
        let_go(memory->kept[i]);
        memory->kept[i] = NULL;
    }
    memory->used_count = 0;
}

void *memory_take(world_memory *memory, size_t size) {
    return take(memory, size);
}
