/*
 * models.c - the bare ways: the same work without Sluice, by what the system itself offers.
 *
 *  ping-pong  64 bytes to another process and back, blocking calls on a socket or pipe
 *  relay      the same through a process between the two: what any broker has to do at least
 *  ring       the same through shared memory, with a partner that spins
 *  copy       blocks through a process that only copies, to or from a third
 *  shared     blocks laid into memory shared with that process, announced by a small message
 *  calls      one write and one read of a pipe's two ends: two system calls, no other process
 *  connect    a new connection to a process that listens, and one message there and back
 *  process    a process is started and ends
 */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "client/cli/bench/far.h"

#define PACE_NS         SL_NS_PER_MS
#define RING_SAMPLE     32u /* turns of the ring: reading the clock takes a good part of one */
#define RING_PATIENCE   (1u << 24)
#define BLOCK_BYTES_MAX (1u << 20)
#define WINDOW          8u

typedef struct model {
    const bench_stage *stage;
    const bench_case *what;
    bench_far partner, beyond;
    bench_stream stream;
    bench_stream pipe[2];
    sl_event pause; /* PACED */
    bool has_pause;
    char *block;
    char message[BENCH_BYTES];
} model;

static uint64_t now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

static void model_close(void *context) {
    model *self = context;
    if (self == NULL) {
        return;
    }
    bench_stream_close(&self->stream);
    bench_stream_close(&self->pipe[0]);
    bench_stream_close(&self->pipe[1]);
    bench_far_stop(&self->partner);
    bench_far_stop(&self->beyond);
    if (self->has_pause) {
        sl_event_deinit(&self->pause);
    }
    sl_allocator *heap = sl_allocator_system();
    if (self->block != NULL) {
        heap->release(heap, self->block, BLOCK_BYTES_MAX);
    }
    heap->release(heap, self, sizeof(*self));
}

static uint64_t model_partner(const void *context) {
    return ((const model *)context)->partner.process_id;
}

static int model_create(bench_stage *stage, const bench_case *what, model **ret_self) {
    sl_allocator *heap = sl_allocator_system();
    model *self = heap->acquire(heap, sizeof(*self));
    if (self == NULL) {
        return SLUICE_ENOMEM;
    }
    self->stage = stage;
    self->what = what;
    memset(self->message, 'x', sizeof(self->message));
    self->has_pause = sl_event_init(&self->pause) == SLUICE_OK;
    self->block = heap->acquire(heap, BLOCK_BYTES_MAX);
    if (self->block != NULL) {
        memset(self->block, 'x', BLOCK_BYTES_MAX);
    }
    *ret_self = self;
    return self->has_pause && self->block != NULL ? SLUICE_OK : SLUICE_ENOMEM;
}

/* A partner with that role, and with `beyond` another process behind it. */
static int model_open(bench_stage *stage, const bench_case *what, bench_role role,
                      const bench_role *beyond, void **ret_self) {
    model *self = NULL;
    int status = model_create(stage, what, &self);
    *ret_self = self;
    if (status == SLUICE_OK && beyond != NULL) {
        bench_place place = *beyond == BENCH_ROLE_BULK ? BENCH_THIRD : BENCH_HOME;
        status = bench_far_start(stage, *beyond, place, NULL, &self->beyond);
    }
    if (status == SLUICE_OK) {
        status = bench_far_start(stage, role, BENCH_AWAY, beyond != NULL ? self->beyond.name : NULL,
                                 &self->partner);
    }
    if (status == SLUICE_OK && !bench_stream_connect(self->partner.name, &self->stream)) {
        status = SLUICE_EOS;
    }
    return status;
}

/* ---- messages ------------------------------------------------------------------------------ */

static bool exchange(model *self) {
    return bench_stream_write(&self->stream, self->message, BENCH_BYTES) &&
           bench_stream_read(&self->stream, self->message, BENCH_BYTES);
}

static int run_messages(void *context, uint64_t units, sl_histogram *latency) {
    model *self = context;
    bool is_paced = self->what->work == BENCH_PACED;
    uint64_t next_ns = now_ns();
    bool ok = true;
    for (uint64_t i = 0; i < units && ok; i++) {
        if (is_paced) {
            next_ns += PACE_NS;
            (void)sl_event_wait_until(&self->pause, next_ns);
        }
        uint64_t began_ns = now_ns();
        ok = exchange(self);
        sl_histogram_add(latency, now_ns() - began_ns);
    }
    return ok ? SLUICE_OK : SLUICE_EOS;
}

static int ping_pong_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    return model_open(stage, what, BENCH_ROLE_ECHO, NULL, ret_self);
}

static int relay_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    static const bench_role beyond = BENCH_ROLE_ECHO;
    return model_open(stage, what, BENCH_ROLE_RELAY, &beyond, ret_self);
}

const bench_way bench_ping_pong = {"ping-pong", ping_pong_open, run_messages, model_close,
                                   model_partner};
const bench_way bench_relay = {"relay", relay_open, run_messages, model_close, model_partner};

/* ---- the ring ------------------------------------------------------------------------------ */

static int ring_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    return model_open(stage, what, BENCH_ROLE_RING, NULL, ret_self);
}

static bool ring_turn(model *self) {
    bench_region *region = self->partner.region;
    unsigned sent = atomic_load_explicit(&region->ping, memory_order_relaxed) + 1;
    memcpy(region->there, self->message, BENCH_BYTES);
    atomic_store_explicit(&region->ping, sent, memory_order_release);
    for (unsigned spins = 0; atomic_load_explicit(&region->pong, memory_order_acquire) != sent;
         spins++) {
        if (spins == RING_PATIENCE) {
            spins = 0;
            if (!bench_far_lives(&self->partner)) {
                return false;
            }
        }
    }
    memcpy(self->message, region->back, BENCH_BYTES);
    return true;
}

static int ring_run(void *context, uint64_t units, sl_histogram *latency) {
    model *self = context;
    bench_region *region = self->partner.region;
    atomic_store(&region->stop, 0);
    bool ok = bench_stream_write(&self->stream, "", 1);
    for (uint64_t left = units; left > 0 && ok;) {
        uint64_t turns = left < RING_SAMPLE ? left : RING_SAMPLE;
        uint64_t began_ns = now_ns();
        for (uint64_t i = 0; i < turns && ok; i++) {
            ok = ring_turn(self);
        }
        sl_histogram_add(latency, (now_ns() - began_ns) / turns);
        left -= turns;
    }
    atomic_store(&region->stop, 1);
    return ok && bench_stream_read(&self->stream, self->message, 1) ? SLUICE_OK : SLUICE_EOS;
}

const bench_way bench_ring = {"ring", ring_open, ring_run, model_close, model_partner};

/* ---- bulk ---------------------------------------------------------------------------------- */

static int copy_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    static const bench_role beyond = BENCH_ROLE_BULK;
    return model_open(stage, what, BENCH_ROLE_COPY, &beyond, ret_self);
}

static bool send_header(model *self, uint64_t units, bool is_in) {
    bench_header header = {units * self->what->bytes, is_in, self->what->bytes};
    return bench_stream_write(&self->stream, &header, sizeof(header));
}

static int copy_run(void *context, uint64_t units, sl_histogram *latency) {
    model *self = context;
    bool is_in = self->what->work == BENCH_BULK_IN;
    bool ok = send_header(self, units, is_in);
    for (uint64_t i = 0; i < units && ok; i++) {
        uint64_t began_ns = now_ns();
        ok = is_in ? bench_stream_read(&self->stream, self->block, self->what->bytes)
                   : bench_stream_write(&self->stream, self->block, self->what->bytes);
        sl_histogram_add(latency, now_ns() - began_ns);
    }
    ok = ok && (is_in || bench_stream_read(&self->stream, self->message, 1));
    return ok ? SLUICE_OK : SLUICE_EOS;
}

const bench_way bench_copy = {"copy", copy_open, copy_run, model_close, model_partner};

static int shared_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    static const bench_role beyond = BENCH_ROLE_BULK;
    return model_open(stage, what, BENCH_ROLE_SHARED, &beyond, ret_self);
}

static int shared_run(void *context, uint64_t units, sl_histogram *latency) {
    model *self = context;
    uint64_t bytes = self->what->bytes;
    uint64_t window = BENCH_ARENA_BYTES / bytes < WINDOW ? BENCH_ARENA_BYTES / bytes : WINDOW;
    uint64_t place;
    bool ok = send_header(self, units, false);
    for (uint64_t i = 0; i < units + window && ok; i++) {
        uint64_t began_ns = now_ns();
        if (i >= window && i - window < units) { /* the place is free when its message is back */
            ok = bench_stream_read(&self->stream, &place, sizeof(place));
        }
        if (i < units && ok) {
            place = i % window * bytes;
            memcpy(self->partner.region->arena + place, self->block, bytes);
            ok = bench_stream_write(&self->stream, &place, sizeof(place));
            sl_histogram_add(latency, now_ns() - began_ns);
        }
    }
    return ok && bench_stream_read(&self->stream, self->message, 1) ? SLUICE_OK : SLUICE_EOS;
}

const bench_way bench_shared = {"shared", shared_open, shared_run, model_close, model_partner};

/* ---- without a partner --------------------------------------------------------------------- */

static int calls_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    model *self = NULL;
    int status = model_create(stage, what, &self);
    *ret_self = self;
    return status == SLUICE_OK && !bench_stream_pipe(self->pipe) ? SLUICE_EOSLIMIT : status;
}

static int calls_run(void *context, uint64_t units, sl_histogram *latency) {
    model *self = context;
    bool ok = true;
    (void)latency;
    for (uint64_t i = 0; i < units && ok; i++) {
        ok = bench_stream_write(&self->pipe[1], self->message, BENCH_BYTES) &&
             bench_stream_read(&self->pipe[0], self->message, BENCH_BYTES);
    }
    return ok ? SLUICE_OK : SLUICE_EOS;
}

const bench_way bench_calls = {"two calls", calls_open, calls_run, model_close, NULL};

/* ---- what opens something ------------------------------------------------------------------ */

/* The far process serves one connection after another. */
static int connect_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    int status = ping_pong_open(stage, what, ret_self);
    if (status == SLUICE_OK) {
        model *self = *ret_self;
        bench_stream_close(&self->stream);
    }
    return status;
}

static int process_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    model *self = NULL;
    int status = model_create(stage, what, &self);
    *ret_self = self;
    return status;
}

static int opening_run(void *context, uint64_t units, sl_histogram *latency) {
    model *self = context;
    bool ok = true;
    for (uint64_t i = 0; i < units && ok; i++) {
        uint64_t began_ns = now_ns();
        if (self->what->work == BENCH_OPEN_OWN) {
            ok = bench_far_process();
        } else {
            ok = bench_stream_connect(self->partner.name, &self->stream) && exchange(self);
        }
        uint64_t took_ns = now_ns() - began_ns;
        bench_stream_close(&self->stream);
        sl_histogram_add(latency, took_ns);
    }
    return ok ? SLUICE_OK : SLUICE_EOS;
}

const bench_way bench_connect = {"connect", connect_open, opening_run, model_close, model_partner};
const bench_way bench_process = {"process", process_open, opening_run, model_close, NULL};
