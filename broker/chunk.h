/*
 * chunk.h - counted buffers from a per-worker pool: receive buffers, payloads, output.
 *
 * Bytes are not copied from one owner to the next: a handle's received bytes are referred to by the
 * reply that sends them. A chunk goes back to its pool with its last reference. There are four
 * sizes to each power of 2, from 256 bytes to 1 MiB, so that a chunk is at most a quarter longer
 * than what was asked for (CHUNK_BYTES_MIN and more), and payload credit tells what memory it may
 * cost. A pool keeps a bounded number of free ones, so steady traffic costs no heap. Contents are
 * not cleared between uses: whoever has a chunk knows which of its bytes count. One thread, its
 * worker's.
 */
#ifndef SLUICE_BROKER_CHUNK_H
#define SLUICE_BROKER_CHUNK_H

#include "base/alloc.h"

#define CHUNK_CLASSES   49u
#define CHUNK_BYTES_MIN 256u
#define CHUNK_BYTES_MAX (1024u * 1024)

typedef struct chunk_pool chunk_pool;

struct broker_session;

typedef struct broker_chunk {
    struct broker_chunk *next_free;
    chunk_pool *pool;
    struct broker_session *payer; /* pays for it while it is in use (charge.h); NULL = nobody */
    uint32_t class_index;
    uint32_t references;
    uint32_t size; /* at least what was asked for */
    bool is_spare;       /* charged with its payer's handles */
    uint8_t padding[11]; /* structures are put into the bytes, too */
    uint8_t bytes[];
} broker_chunk;

struct chunk_pool {
    sl_account *account;
    broker_chunk *free[CHUNK_CLASSES];
    uint32_t free_bytes; /* of all sizes */
    uint32_t victim;     /* the size of which a free one goes next, when there are too many */
    uint32_t in_use;
};

void chunk_pool_init(chunk_pool *pool, sl_account *account);
void chunk_pool_deinit(chunk_pool *pool); /* checks that none is in use */
void chunk_pool_trim(chunk_pool *pool);   /* gives back the free ones */

/* A chunk with one reference, of at least size_bytes <= CHUNK_BYTES_MAX; NULL when out of memory.
 */
broker_chunk *chunk_take(chunk_pool *pool, size_t size_bytes);
/* What that takes in all. */
size_t chunk_cost(size_t size_bytes);
broker_chunk *chunk_share(broker_chunk *chunk);
void chunk_drop(broker_chunk *chunk); /* NULL is allowed */

#endif
