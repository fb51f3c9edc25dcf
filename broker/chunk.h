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
#include "broker/types.h"

#define CHUNK_CLASSES   49u
#define CHUNK_BYTES_MIN 256u
#define CHUNK_BYTES_MAX (1024u * 1024)

typedef struct chunk_pool chunk_pool;

struct broker_chunk {
    broker_chunk *next_free;
    chunk_pool *pool;
    broker_charge charge; /* while it is in use */
    uint32_t class_index;
    uint32_t references;
    uint32_t size;      /* at least what was asked for */
    bool is_spare;      /* one that its payer's handles have paid for */
    uint8_t padding[3]; /* structures are put into the bytes, too */
    uint8_t bytes[];
};

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

/* A chunk of its worker's pool with one reference, of at least size_bytes <= CHUNK_BYTES_MAX,
 * charged to the session as long as it is referred to. SLUICE_OK; EQUOTA with its reason (which may
 * be NULL); ENOMEM. */
int chunk_take(broker_session *session, size_t size_bytes, broker_chunk **ret_chunk,
               sl_reason *ret_reason);
/* One of CHARGE_SPARE_BYTES that the session's handles have paid for. SLUICE_OK; EBUSY: all are in
 * use; ENOMEM. */
int chunk_take_spare(broker_session *session, broker_chunk **ret_chunk);
broker_chunk *chunk_share(broker_chunk *chunk);
void chunk_drop(broker_chunk *chunk); /* NULL is allowed */

#endif
