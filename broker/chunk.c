/*
 * chunk.c - a pool of counted buffers.
 *
 * What is free is kept up to KEEP_BYTES, then one of another size is given back to the system for
 * it, in turn: traffic that changes finds its sizes, and never more is kept.
 */
#include "broker/chunk.h"

#include "base/check.h"
#include "broker/charge.h"
#include "broker/session.h"

#define KEEP_BYTES (4u * 1024 * 1024)
#define STEPS      4u /* sizes to a power of 2 */

static uint32_t class_size(uint32_t class_index) {
    return (CHUNK_BYTES_MIN / STEPS * (STEPS + class_index % STEPS)) << (class_index / STEPS);
}

/* The smallest that holds so many bytes. */
static uint32_t class_of(size_t size_bytes) {
    uint32_t class_index = 0;
    while (class_size(class_index + STEPS) <= size_bytes) {
        class_index += STEPS;
    }
    while (class_size(class_index) < size_bytes) {
        class_index++;
    }
    return class_index;
}

_Static_assert(offsetof(broker_chunk, bytes) % 16 == 0, "aligned for whatever is put there");
_Static_assert(CHUNK_BYTES_MIN << ((CHUNK_CLASSES - 1) / STEPS) == CHUNK_BYTES_MAX &&
                   (CHUNK_CLASSES - 1) % STEPS == 0,
               "the last size");

void chunk_pool_init(chunk_pool *pool, sl_account *account) {
    *pool = (chunk_pool){.account = account};
}

void chunk_pool_deinit(chunk_pool *pool) {
    SL_CHECK(pool->in_use == 0, "all buffers came back before their pool goes");
    chunk_pool_trim(pool);
}

/* Gives a free one of that size back to the system. */
static void give_back(chunk_pool *pool, uint32_t class_index) {
    broker_chunk *chunk = pool->free[class_index];
    pool->free[class_index] = chunk->next_free;
    pool->free_bytes -= chunk->size;
    sl_account_free(pool->account, chunk, sizeof(*chunk) + chunk->size);
}

void chunk_pool_trim(chunk_pool *pool) {
    for (uint32_t i = 0; i < CHUNK_CLASSES; i++) {
        while (pool->free[i] != NULL) {
            give_back(pool, i);
        }
    }
}

/* NULL: no memory. */
static broker_chunk *take(chunk_pool *pool, uint32_t class_index) {
    broker_chunk *taken = pool->free[class_index];
    if (taken != NULL) {
        pool->free[class_index] = taken->next_free;
        pool->free_bytes -= taken->size;
    } else {
        uint32_t size = class_size(class_index);
        taken = sl_account_alloc(pool->account, sizeof(*taken) + size);
        if (taken == NULL) {
            return NULL;
        }
        taken->pool = pool;
        taken->class_index = class_index;
        taken->size = size;
    }
    taken->next_free = NULL;
    taken->references = 1;
    taken->is_spare = false;
    pool->in_use++;
    return taken;
}

int chunk_take(broker_session *session, size_t size_bytes, broker_chunk **ret_chunk,
               sl_reason *ret_reason) {
    SL_CHECK(size_bytes <= CHUNK_BYTES_MAX, "a buffer has a limit");
    uint32_t class_index = class_of(size_bytes);
    broker_charge charge = {NULL, 0};
    if (!charge_take(&charge, session, sizeof(broker_chunk) + class_size(class_index))) {
        return charge_refused(session, ret_reason);
    }
    broker_chunk *taken = take(&session->worker->chunks, class_index);
    if (taken == NULL) {
        charge_end(&charge);
        return SLUICE_ENOMEM;
    }
    taken->charge = charge;
    *ret_chunk = taken;
    return SLUICE_OK;
}

int chunk_take_spare(broker_session *session, broker_chunk **ret_chunk) {
    broker_charge charge = {NULL, 0};
    if (!charge_take_spare(&charge, session)) {
        return SLUICE_EBUSY;
    }
    broker_chunk *taken = take(&session->worker->chunks, class_of(CHARGE_SPARE_BYTES));
    if (taken == NULL) {
        charge_give_spare(&charge);
        return SLUICE_ENOMEM;
    }
    taken->charge = charge;
    taken->is_spare = true;
    *ret_chunk = taken;
    return SLUICE_OK;
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
    if (chunk->is_spare) {
        charge_give_spare(&chunk->charge);
    } else {
        charge_end(&chunk->charge);
    }
    chunk_pool *pool = chunk->pool;
    pool->in_use--;
    chunk->next_free = pool->free[chunk->class_index];
    pool->free[chunk->class_index] = chunk;
    pool->free_bytes += chunk->size;
    while (pool->free_bytes > KEEP_BYTES) {
        pool->victim = (pool->victim + 1) % CHUNK_CLASSES;
        if (pool->free[pool->victim] != NULL) {
            give_back(pool, pool->victim);
        }
    }
}
