/*
 * sim_bytes.c - what is in the simulated kernel's buffers: queues of bytes in chunks.
 *
 * The world owns the chunks. A queue takes chunks from the world's free list as it fills and gives
 * them back as it empties, so memory follows the bytes that are really buffered, not the capacity
 * of 9,000 idle pipes, and in steady state nothing is allocated.
 */
#include <string.h>

#include "tests/sim/sim_world.h"

static sim_chunk *chunk_take(sim_world *world) {
    sim_chunk *chunk = world->free_chunks;
    if (chunk != NULL) {
        world->free_chunks = chunk->next;
    } else {
        chunk = sl_account_alloc(&world->account, sizeof(*chunk));
        SL_CHECK(chunk != NULL, "the simulated kernel has memory");
    }
    chunk->next = NULL;
    chunk->begin = 0;
    chunk->end = 0;
    world->chunks_in_use++;
    return chunk;
}

static void chunk_give(sim_world *world, sim_chunk *chunk) {
    chunk->next = world->free_chunks;
    world->free_chunks = chunk;
    world->chunks_in_use--;
}

void sim_bytes_push(sim_world *world, sim_bytes *bytes, const void *from, size_t count) {
    const unsigned char *source = from;
    bytes->count += count;
    while (count > 0) {
        sim_chunk *tail = bytes->tail;
        if (tail == NULL || tail->end == SIM_CHUNK_BYTES) {
            tail = chunk_take(world);
            if (bytes->tail != NULL) {
                bytes->tail->next = tail;
            } else {
                bytes->head = tail;
            }
            bytes->tail = tail;
        }
        size_t room = SIM_CHUNK_BYTES - tail->end;
        size_t piece = count < room ? count : room;
        memcpy(tail->bytes + tail->end, source, piece);
        tail->end += (uint32_t)piece;
        source += piece;
        count -= piece;
    }
}

void sim_bytes_pop(sim_world *world, sim_bytes *bytes, void *to, size_t count) {
    SL_CHECK(count <= bytes->count, "no more is taken than there is");
    unsigned char *target = to;
    bytes->count -= count;
    while (count > 0) {
        sim_chunk *head = bytes->head;
        size_t there = head->end - head->begin;
        size_t piece = count < there ? count : there;
        if (target != NULL) {
            memcpy(target, head->bytes + head->begin, piece);
            target += piece;
        }
        head->begin += (uint32_t)piece;
        count -= piece;
        if (head->begin == head->end) {
            bytes->head = head->next;
            if (bytes->head == NULL) {
                bytes->tail = NULL;
            }
            chunk_give(world, head);
        }
    }
}

void sim_bytes_push_gather(sim_world *world, sim_bytes *bytes, const engine_request *request,
                           size_t offset, size_t count) {
    for (unsigned i = 0; i < request->buffer_count && count > 0; i++) {
        const engine_buffer *buffer = &request->buffers[i];
        if (offset >= buffer->length) {
            offset -= buffer->length;
            continue;
        }
        size_t there = buffer->length - offset;
        size_t piece = count < there ? count : there;
        sim_bytes_push(world, bytes, (const unsigned char *)buffer->bytes + offset, piece);
        count -= piece;
        offset = 0;
    }
    SL_CHECK(count == 0, "a write's buffers hold its length");
}

void sim_bytes_free_chunks(sim_world *world) {
    SL_CHECK(world->chunks_in_use == 0, "no bytes are left when the world ends");
    while (world->free_chunks != NULL) {
        sim_chunk *chunk = world->free_chunks;
        world->free_chunks = chunk->next;
        sl_account_free(&world->account, chunk, sizeof(*chunk));
    }
}
