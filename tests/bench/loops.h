/*
 * loops.h - what the engine and the hand-written loops of this folder share: ways of
 * client/cli/bench/bench.h with both ends of every connection in one loop on one thread.
 *
 * A unit is one ping-pong (64 bytes there and back), one 64 KiB block, or one cancel with its
 * completion and the read submitted again. Nothing ever sleeps, so that neither the scheduler nor a
 * hypervisor is in the figure: what remains is system calls and the loop's own work, twice. That is
 * the strictest comparison, because nothing dilutes the engine's share.
 */
#ifndef SLUICE_BENCH_LOOPS_H
#define SLUICE_BENCH_LOOPS_H

#include "base/clock.h"
#include "base/status.h"
#include "client/cli/bench/bench.h"

#define LOOPS_RECEIVE_BYTES 4096u /* room of a ping-pong's read: a short read says "drained" */
#define LOOPS_BLOCK_BYTES   65536u
#define LOOPS_BULK_WRITES   4u   /* blocks that the writer keeps outstanding */
#define LOOPS_SAMPLE_EVERY  8u   /* one latency in so many is timed: reading the clock costs, too */
#define LOOPS_EVENTS        128u /* room for events or completions per wait, both subjects */

extern const bench_way loops_raw;    /* raw_epoll_posix.c, raw_iocp_win.c */
extern const bench_way loops_engine; /* subject_engine.c */

/*
 * `count` buffers of `size` bytes (a multiple of 64), written to once, the first at the beginning
 * of a page, each next one 64 bytes further into its own, so that they do not share cache sets.
 * Both subjects get theirs here: on Zen 3 a 64 KiB receive into a buffer that begins 16 bytes into
 * a page, as malloc hands out large ones, takes 19 us instead of 11, and the ratio would measure
 * the allocator.
 */
typedef struct loops_buffers {
    void *base; /* to free */
    unsigned char *first;
    size_t stride;
} loops_buffers;

void loops_buffers_init(loops_buffers *self, size_t count, size_t size);
void loops_buffers_deinit(loops_buffers *self);

static inline unsigned char *loops_buffer(const loops_buffers *self, size_t index) {
    return self->first + index * self->stride;
}

/* The victim of the next cancel: both subjects draw the same sequence. */
static inline unsigned loops_draw(uint64_t *state, unsigned bound) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(((*state >> 33) * bound) >> 31);
}

/* ---- loops_posix.c, loops_win.c ---- */

/* A name for a pipe that no other process uses. */
void loops_pipe_name(char *ret_name, size_t size, const char *purpose);
/* As many descriptors as 9,000 pending reads of both subjects take, if they can be had. */
void loops_prepare(void);
/* I/O calls of this process so far; 0 = not counted. */
uint64_t loops_calls(void);
void loops_enter(void); /* on the measuring thread */

#endif
