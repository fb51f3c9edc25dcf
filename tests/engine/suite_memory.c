/*
 * suite_memory.c - memory: buffers that nobody touches after their completion, no allocation per
 * request in the steady state (R10), and allocations that fail, one after another, through a
 * whole scenario.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/rig.h"

#define LATE_READS  64
#define LATE_BYTES  4096
#define LATE_ROUNDS 10
#define WARM_UP     100
#define SCENE_PAIRS 24
#define SCENE_READS 80

/* ---- late writes ----------------------------------------------------------------------------- */

/* Reads are cancelled while bytes arrive. From its completion on, a buffer is its owner's: it is
 * poisoned anew, and must stay so whatever happens to the stream. */
static void late_writes(void) {
    rig *r = rig_open();
    uint8_t(*buffers)[LATE_BYTES] = calloc(LATE_READS, LATE_BYTES);
    EXPECT(buffers != NULL);
    for (unsigned round = 0; round < LATE_ROUNDS; round++) {
        for (int kind = 0; kind < STREAM_KINDS; kind++) {
            engine_handle *ends[2];
            engine_request_id ids[LATE_READS];
            uint64_t received = 0;
            t_phase(stream_names[kind]);
            rig_stream(r, (stream_kind)kind, ends);
            for (unsigned i = 0; i < LATE_READS; i++) {
                poison(buffers[i], LATE_BYTES, POISON_BEFORE);
                ids[i] = rig_read(r, ends[0], buffers[i], LATE_BYTES);
            }
            (void)rig_pump(r, 0);
            engine_request_id write = rig_write(r, ends[1], pattern_at(9, 0), 20000);
            for (unsigned i = 0; i < LATE_READS; i++) {
                engine_cancel(r->worker, ids[i]);
            }
            for (unsigned i = 0; i < LATE_READS; i++) {
                engine_completion completion = rig_await(r, ids[i]);
                EXPECT(completion.status == SLUICE_OK || completion.status == SLUICE_ECANCELED);
                pattern_expect(buffers[i], completion.bytes, 9, received);
                EXPECT(is_poisoned(buffers[i] + completion.bytes, LATE_BYTES - completion.bytes,
                                   POISON_BEFORE));
                received += completion.bytes;
                poison(buffers[i], LATE_BYTES, POISON_AFTER);
            }
            rig_receive_pattern(r, ends[0], 9, received, 20000 - received);
            rig_await_status(r, write, SLUICE_OK);
            rig_send(r, ends[1], pattern_at(9, 0), LATE_BYTES); /* left unread */
            (void)rig_pump(r, rig_after_ns(r, SL_NS_PER_MS));
            rig_close_stream(r, ends);
            for (unsigned i = 0; i < LATE_READS; i++) {
                EXPECT(is_poisoned(buffers[i], LATE_BYTES, POISON_AFTER));
            }
        }
    }
    free(buffers);
    rig_close(r);
}

/* ---- the steady state ------------------------------------------------------------------------ */

typedef struct steady {
    rig *r;
    engine_handle *pipe[2];
    engine_handle *tcp[2];
    engine_handle *udp;
    engine_address udp_address;
} steady;

static void steady_streams(steady *s) {
    rig *r = s->r;
    uint8_t bytes[512];
    engine_handle **streams[2] = {s->pipe, s->tcp};
    for (unsigned i = 0; i < 2; i++) {
        engine_request_id early = rig_read(r, streams[i][0], bytes, sizeof(bytes));
        rig_send(r, streams[i][1], pattern_at(1, 0), sizeof(bytes));
        size_t first = rig_await_status(r, early, SLUICE_OK);
        if (first < sizeof(bytes)) {
            rig_receive(r, streams[i][0], bytes, sizeof(bytes) - first);
        }
        engine_request_id zero = rig_read(r, streams[i][0], NULL, 0);
        engine_request_id queued = rig_read(r, streams[i][0], bytes, 1);
        (void)rig_pump(r, 0);
        engine_cancel(r->worker, queued);
        engine_cancel(r->worker, zero);
        rig_await_status(r, queued, SLUICE_ECANCELED);
        rig_await_status(r, zero, SLUICE_ECANCELED);
    }
}

static void steady_udp(steady *s) {
    rig *r = s->r;
    uint8_t bytes[16];
    engine_address from;
    engine_request_id receive = 0;
    engine_request_id send = 0;
    engine_buffer buffer = {.bytes = "datagram", .length = 8};
    EXPECT_STATUS(engine_receive_from(s->udp, bytes, sizeof(bytes), &from, NULL, &receive),
                  SLUICE_OK);
    EXPECT_STATUS(engine_send_to(s->udp, &buffer, 1, &s->udp_address, NULL, &send), SLUICE_OK);
    rig_await_status(r, send, SLUICE_OK);
    rig_await_status(r, receive, SLUICE_OK);
}

/* Every kind of request, once. */
static void steady_cycle(steady *s, bool with_openings) {
    rig *r = s->r;
    engine_message message = {.user = NULL};
    steady_streams(s);
    steady_udp(s);
    engine_post(r->worker, &message);
    (void)rig_await_message(r);
    if (!with_openings) {
        return;
    }
    engine_handle *ends[2];
    engine_request_id id = 0;
    engine_address address;
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        rig_stream(r, (stream_kind)kind, ends);
        if ((engine_handle_capabilities(ends[1]) & ENGINE_CAN_HALF_CLOSE) != 0) {
            EXPECT_STATUS(engine_half_close(ends[1], NULL, &id), SLUICE_OK);
            rig_await_status(r, id, SLUICE_OK);
        }
        rig_close_stream(r, ends);
    }
    EXPECT_STATUS(engine_resolve(r->worker, "localhost", 1, &address, 1, NULL, NULL, &id),
                  SLUICE_OK);
    rig_await_status(r, id, SLUICE_OK);
}

static void steady_state(void) {
    steady s = {.r = rig_open()};
    rig_stream(s.r, STREAM_PIPE, s.pipe);
    rig_stream(s.r, STREAM_TCP, s.tcp);
    engine_address_loopback(&s.udp_address, 0);
    EXPECT_STATUS(engine_udp_open(s.r->worker, &s.udp_address, &s.udp), SLUICE_OK);
    EXPECT_STATUS(engine_handle_local_address(s.udp, &s.udp_address), SLUICE_OK);
    t_phase("warm up");
    for (unsigned i = 0; i < WARM_UP; i++) {
        steady_cycle(&s, true);
    }
    t_phase("steady state");
    uint64_t allocations = t_allocations();
    uint64_t counted = rig_counters(s.r).allocated_count;
    size_t memory = rig_counters(s.r).memory_bytes;
    unsigned cycles = t_scale(T_COUNT_STEADY);
    uint64_t requests = rig_counters(s.r).submitted_count;
    for (unsigned i = 0; i < cycles; i++) {
        steady_cycle(&s, i % 8 == 0);
    }
    EXPECT_INT(t_allocations() - allocations, 0);
    EXPECT_INT(rig_counters(s.r).allocated_count - counted, 0);
    EXPECT_INT(rig_counters(s.r).memory_bytes, memory);
    t_note("  %llu requests of every kind, 0 allocations; the worker holds %zu bytes",
           (unsigned long long)(rig_counters(s.r).submitted_count - requests), memory);
    rig_close_stream(s.r, s.pipe);
    rig_close_stream(s.r, s.tcp);
    rig_close_handle(s.r, s.udp);
    rig_close(s.r);
}

/* ---- allocations that fail ------------------------------------------------------------------- */

typedef struct scene {
    rig *r;
    engine_handle *open[4 * SCENE_PAIRS];
    unsigned open_count;
    unsigned pending;
    unsigned refusals;
    bool is_listening; /* about to */
    uint8_t bytes[SCENE_READS];
    engine_address found;
} scene;

/* A submit: accepted, or refused for want of memory; nothing else. */
static void scene_submitted(scene *s, int status) {
    if (status == SLUICE_OK) {
        s->pending++;
    } else {
        EXPECT_STATUS(status, SLUICE_ENOMEM);
        s->refusals++;
    }
}

static void scene_listening(scene *s, const engine_completion *completion) {
    engine_handle **listener = completion->user;
    s->is_listening = false;
    if (completion->status == SLUICE_OK) {
        *listener = completion->opened[0];
    } else {
        EXPECT_STATUS(completion->status, SLUICE_ENOMEM);
    }
}

static void scene_poll(scene *s, uint64_t deadline_ns) {
    engine_completion batch[RIG_BATCH];
    unsigned count = rig_poll(s->r, batch, RIG_BATCH, deadline_ns);
    EXPECT(s->pending >= count);
    s->pending -= count;
    for (unsigned i = 0; i < count; i++) {
        s->refusals += batch[i].status == SLUICE_ENOMEM; /* for an opener */
        if (batch[i].kind == ENGINE_LISTEN) {
            scene_listening(s, &batch[i]);
            continue;
        }
        for (unsigned j = 0; j < 2 && batch[i].status == SLUICE_OK; j++) {
            if (batch[i].opened[j] != NULL) {
                EXPECT(s->open_count < SL_ARRAY_COUNT(s->open));
                s->open[s->open_count++] = batch[i].opened[j];
            }
        }
    }
}

static void scene_listen(scene *s, stream_kind kind) {
    rig *r = s->r;
    if (kind == STREAM_PIPE) {
        r->addresses[kind] = t_pipe_address();
    } else {
        engine_address_loopback(&r->addresses[kind], 0);
    }
    int status =
        engine_listen(r->worker, &r->addresses[kind], 1, NULL, NULL, &r->listeners[kind], NULL);
    s->is_listening = status == SLUICE_OK;
    scene_submitted(s, status);
    while (s->is_listening) {
        scene_poll(s, rig_after_ns(r, T_AWAIT_NS));
    }
    if (r->listeners[kind] == NULL) {
        return;
    }
    if (kind == STREAM_TCP) {
        EXPECT_STATUS(engine_handle_local_address(r->listeners[kind], &r->addresses[kind]),
                      SLUICE_OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        scene_submitted(s, engine_accept(r->listeners[kind], NULL, NULL));
        scene_submitted(
            s, engine_connect(r->worker, &r->addresses[kind], SL_CLOCK_NEVER, NULL, NULL, NULL));
    }
}

static void scene_use(scene *s) {
    engine_buffer bytes = {.bytes = "abc", .length = 3};
    for (unsigned i = 0; i < s->open_count; i++) {
        unsigned can = engine_handle_capabilities(s->open[i]);
        if ((can & ENGINE_CAN_WRITE) != 0) {
            scene_submitted(s, engine_write(s->open[i], &bytes, 1, NULL, NULL));
        }
        if ((can & ENGINE_CAN_READ) != 0) {
            scene_submitted(s, engine_read(s->open[i], s->bytes, 1, NULL, NULL));
        }
    }
    for (unsigned i = 0; i < SCENE_READS && s->open_count > 0; i++) {
        if ((engine_handle_capabilities(s->open[0]) & ENGINE_CAN_READ) != 0) {
            scene_submitted(s, engine_read(s->open[0], &s->bytes[i], 1, NULL, NULL));
        }
    }
}

static void scene_endpoint(scene *s) {
    engine_address name = t_endpoint_address();
    engine_endpoint *endpoint = NULL;
    engine_handle *listener = NULL;
    int status = engine_endpoint_create(s->r->engine, &name, NULL, &endpoint, NULL);
    if (status == SLUICE_OK) {
        status = engine_endpoint_join(endpoint, s->r->worker, &listener);
    }
    if (status != SLUICE_OK) {
        EXPECT_STATUS(status, SLUICE_ENOMEM);
        s->refusals++;
    } else {
        EXPECT_STATUS(engine_close(listener, NULL), SLUICE_OK); /* never refused */
        s->pending++;
        while (s->pending > 0) {
            scene_poll(s, rig_after_ns(s->r, T_AWAIT_NS));
        }
    }
    EXPECT_STATUS(engine_endpoint_destroy(endpoint), SLUICE_OK);
}

/* Opens, uses and closes a bit of everything; whatever is refused is left out. Accepts and
 * connects that lost their partner are ended by the close of the listener, and by cancel. */
static unsigned run_scene(scene *s) {
    rig *r = rig_prepare(SIM_PROFILE_GENTLE);
    engine_address any;
    engine_handle *udp = NULL;
    memset(s, 0, sizeof(*s));
    s->r = r;
    int status = rig_start(r, NULL);
    if (status != SLUICE_OK) {
        EXPECT_STATUS(status, SLUICE_ENOMEM);
        free(r);
        return 1;
    }
    scene_endpoint(s);
    scene_listen(s, STREAM_PIPE);
    scene_listen(s, STREAM_TCP);
    engine_address_loopback(&any, 0);
    status = engine_udp_open(r->worker, &any, &udp);
    EXPECT(status == SLUICE_OK || status == SLUICE_ENOMEM);
    s->refusals += status != SLUICE_OK;
    for (unsigned i = 0; i < SCENE_PAIRS; i++) {
        scene_submitted(s, engine_pair(r->worker, NULL, NULL, NULL));
    }
    scene_submitted(s, engine_resolve(r->worker, "localhost", 1, &s->found, 1, NULL, NULL, NULL));
    uint64_t until_ns = rig_after_ns(r, t_is_sim() ? SL_NS_PER_S : 5 * SL_NS_PER_MS);
    while (s->pending > 0 && rig_now_ns(r) < until_ns) {
        scene_poll(s, until_ns);
    }
    scene_use(s);
    for (int kind = STREAM_PIPE; kind < STREAM_KINDS; kind++) {
        if (r->listeners[kind] != NULL) {
            EXPECT_STATUS(engine_close(r->listeners[kind], NULL), SLUICE_OK);
            r->listeners[kind] = NULL;
            s->pending++;
        }
    }
    if (udp != NULL) {
        EXPECT_STATUS(engine_close(udp, NULL), SLUICE_OK);
        s->pending++;
    }
    unsigned closed = 0;
    while (s->pending > 0 || closed < s->open_count) {
        for (; closed < s->open_count; closed++) {
            EXPECT_STATUS(engine_close(s->open[closed], NULL), SLUICE_OK);
            s->pending++;
        }
        if (s->pending > 0) {
            scene_poll(s, rig_after_ns(r, T_AWAIT_NS));
        }
    }
    rig_close(r);
    return s->refusals;
}

static void fail_each(bool from_then_on) {
    scene *s = malloc(sizeof(*s));
    unsigned refusals = 0;
    uint64_t nth = 0;
    uint64_t failed;
    int64_t live_before = t_allocator_live_bytes();
    EXPECT(s != NULL);
    do {
        nth++;
        t_allocator_fail(nth, from_then_on);
        refusals += run_scene(s);
        failed = t_allocator_failed();
        t_allocator_fail(0, false);
        EXPECT_INT(t_allocator_live_bytes(), live_before);
    } while (failed > 0 && nth < t_scale(T_COUNT_FAIL_AT));
    t_note("  %llu allocations failed in turn (%s), %u calls refused, nothing leaked",
           (unsigned long long)(nth - (failed == 0)), from_then_on ? "and all after them" : "once",
           refusals);
    EXPECT(nth > 3 && refusals > 0);
    free(s);
}

static void fail_once(void) {
    fail_each(false);
}

static void fail_from_then_on(void) {
    fail_each(true);
}

static const t_case cases[] = {
    {"late_writes", T_SMOKE, late_writes},
    {"steady_state", 0, steady_state},
    {"fail_once", 0, fail_once},
    {"fail_from_then_on", 0, fail_from_then_on},
};

const t_suite suite_memory = {"memory", cases, SL_ARRAY_COUNT(cases)};
