/*
 * role.c - what a far process does, see far.h; the bare partners of models.c.
 *
 * Blocking calls, one thread, no more system calls than the work needs: that is what makes them
 * models.
 */
#include <string.h>

#include "client/cli/bench/far.h"

static _Alignas(4096) char buffer[BENCH_BUFFER_BYTES];

static void echo(bench_stream *stream) {
    while (bench_stream_read(stream, buffer, BENCH_BYTES) &&
           bench_stream_write(stream, buffer, BENCH_BYTES)) {
    }
}

static void relay(bench_stream *stream, bench_stream *next) {
    while (bench_stream_read(stream, buffer, BENCH_BYTES) &&
           bench_stream_write(next, buffer, BENCH_BYTES) &&
           bench_stream_read(next, buffer, BENCH_BYTES) &&
           bench_stream_write(stream, buffer, BENCH_BYTES)) {
    }
}

/* Takes so many bytes, and passes them on if there is somebody. */
static bool move(bench_stream *from, bench_stream *to, uint64_t count) {
    while (count > 0) {
        size_t room = count < sizeof(buffer) ? (size_t)count : sizeof(buffer);
        size_t got = bench_stream_read_some(from, buffer, room);
        if (got == 0 || (to != NULL && !bench_stream_write(to, buffer, got))) {
            return false;
        }
        count -= got;
    }
    return true;
}

static bool give(bench_stream *stream, const bench_header *header) {
    for (uint64_t left = header->count; left > 0;) {
        uint64_t piece = header->block < sizeof(buffer) ? header->block : sizeof(buffer);
        piece = piece < left ? piece : left;
        if (!bench_stream_write(stream, buffer, (size_t)piece)) {
            return false;
        }
        left -= piece;
    }
    return true;
}

static void bulk(bench_stream *stream) {
    bench_header header;
    bool ok = true;
    while (ok && bench_stream_read(stream, &header, sizeof(header))) {
        ok = header.is_in ? give(stream, &header)
                          : move(stream, NULL, header.count) && bench_stream_write(stream, "", 1);
    }
}

static void copy(bench_stream *stream, bench_stream *next) {
    bench_header header;
    bool ok = true;
    while (ok && bench_stream_read(stream, &header, sizeof(header)) &&
           bench_stream_write(next, &header, sizeof(header))) {
        ok = header.is_in ? move(next, stream, header.count)
                          : move(stream, next, header.count) && move(next, stream, 1);
    }
}

/* Blocks lie in the arena, each announced by a message with its place, which goes back when the
 * block has been written. */
static void shared(bench_stream *stream, bench_stream *next, const bench_region *region) {
    bench_header header;
    uint64_t place;
    bool ok = true;
    while (ok && bench_stream_read(stream, &header, sizeof(header)) &&
           bench_stream_write(next, &header, sizeof(header))) {
        for (uint64_t left = header.count; ok && left > 0; left -= header.block) {
            ok = bench_stream_read(stream, &place, sizeof(place)) &&
                 place <= BENCH_ARENA_BYTES - header.block &&
                 bench_stream_write(next, region->arena + place, header.block) &&
                 bench_stream_write(stream, &place, sizeof(place));
        }
        ok = ok && move(next, stream, 1);
    }
}

static void ring(bench_stream *stream, bench_region *region) {
    while (bench_stream_read(stream, buffer, 1)) { /* a slice begins */
        unsigned seen = atomic_load(&region->pong);
        while (atomic_load_explicit(&region->stop, memory_order_relaxed) == 0) {
            if (atomic_load_explicit(&region->ping, memory_order_acquire) != seen) {
                memcpy(region->back, region->there, BENCH_BYTES);
                atomic_store_explicit(&region->pong, ++seen, memory_order_release);
            }
        }
        if (!bench_stream_write(stream, "", 1)) {
            return;
        }
    }
}

void bench_role_play(bench_role role, bench_stream *stream, const char *next_name,
                     bench_region *region) {
    bench_stream next = {0};
    memset(buffer, 'x', sizeof(buffer));
    if (next_name != NULL && !bench_stream_connect(next_name, &next)) {
        return;
    }
    switch (role) {
    case BENCH_ROLE_ECHO: echo(stream); break;
    case BENCH_ROLE_BULK: bulk(stream); break;
    case BENCH_ROLE_RELAY: relay(stream, &next); break;
    case BENCH_ROLE_COPY: copy(stream, &next); break;
    case BENCH_ROLE_RING: ring(stream, region); break;
    case BENCH_ROLE_SHARED: shared(stream, &next, region); break;
    case BENCH_ROLE_AWAKE:
    case BENCH_ROLE_END:
    default: break;
    }
    bench_stream_close(&next);
}
