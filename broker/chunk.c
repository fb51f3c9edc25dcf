/*
 * chunk.c - a pool of counted buffers.
 *
 * What is free is kept up to KEEP_BYTES per size, then given back to the system.
 */
#include "broker/chunk.h"

#include "base/check.h"

#define KEEP_BYTES (1024u * 1024)

static uint32_t class_size(uint32_t class_index) {
    return CHUNK_BYTES_MIN << (2 * class_index);
}

_Static_assert(CHUNK_BYTES_MIN << (2 * (CHUNK_CLASSES - 1)) == CHUNK_BYTES_MAX, "the last class");

void chunk_pool_init(chunk_pool *pool, sl_account *account) {
    *pool = (chunk_pool){.account = account};
}

void chunk_pool_deinit(chunk_pool *pool) {
    SL_CHECK(pool->in_use == 0, "all buffers came back before their pool goes");
    chunk_pool_trim(pool);
}

void chunk_pool_trim(chunk_pool *pool) {
    for (uint32_t i = 0; i < CHUNK_CLASSES; i++) {
        while (pool->free[i] != NULL) {
            broker_chunk *chunk = pool->free[i];
            pool->free[i] = chunk->next_free;
            pool->free_count[i]--;
            sl_account_free(pool->account, chunk, sizeof(*chunk) + chunk->size);
        }
    }
}

broker_chunk *chunk_take(chunk_pool *pool, size_t size_bytes) {
    SL_CHECK(size_bytes <= CHUNK_BYTES_MAX, "a buffer has a limit");
    uint32_t class_index = 0;
    while (class_size(class_index) < size_bytes) {
        class_index++;
    }
    broker_chunk *taken = pool->free[class_index];
    if (taken != NULL) {
        pool->free[class_index] = taken->next_free;
        pool->free_count[class_index]--;
    } else {
        taken = sl_account_alloc(pool->account, sizeof(*taken) + class_size(class_index));
        if (taken == NULL) {
            return NULL;
        }
        taken->pool = pool;
        taken->class_index = class_index;
        taken->size = class_size(class_index);
    }
    taken->next_free = NULL;
    taken->references = 1;
    pool->in_use++;
    return taken;
}

broker_chunk *chunk_share(broker_chunk *chunk) {
    SL_CHECK(chunk->references > 0 && chunk->references < UINT32_MAX, "a buffer in use is shared");
    chunk->references++;
    return chunk;
}

void chunk_drop(broker_chunk *chunk) {
    if (chunk == NULL) {
        return;
    }
    SL_CHECK(chunk->references > 0, "a reference is dropped once");
    if (--chunk->references > 0) {
        return;
    }
    chunk_pool *pool = chunk->pool;
    uint32_t i = chunk->class_index;
    pool->in_use--;
    if ((pool->free_count[i] + 1) * (uint64_t)chunk->size > KEEP_BYTES) {
        sl_account_free(pool->account, chunk, sizeof(*chunk) + chunk->size);
        return;
    }
    chunk->next_free = pool->free[i];
    pool->free[i] = chunk;
    pool->free_count[i]++;
}
