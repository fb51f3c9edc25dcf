/*
 * suite_eof.c - how streams end: the end of the file after the data, half-close in both ways, a
 * reading end that is gone, a reset.
 */
#include <string.h>

#include "tests/engine/rig.h"

#define LANE 11

/* The end comes after all the data, and stays. */
static void eof_after_data(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t byte = 0;
        rig_stream(r, (stream_kind)kind, ends);
        rig_send(r, ends[1], pattern_at(LANE, 0), 30000);
        rig_close_handle(r, ends[1]);
        EXPECT_INT(rig_receive_pattern_to_end(r, ends[0], LANE, 0), 30000);
        for (int i = 0; i < 3; i++) {
            EXPECT_INT(rig_await_status(r, rig_read(r, ends[0], &byte, 1), SLUICE_EEOF), 0);
        }
        engine_completion ready = rig_await(r, rig_read(r, ends[0], NULL, 0));
        EXPECT(ready.status == SLUICE_EEOF || ready.status == SLUICE_OK); /* it would not wait */
        EXPECT_INT(ready.bytes, 0);
        rig_close_handle(r, ends[0]);
    }
    rig_close(r);
}

/* Reads that wait when the end comes. */
static void eof_of_pending_reads(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t bytes[20];
        engine_request_id ids[20];
        rig_stream(r, (stream_kind)kind, ends);
        for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
            ids[i] = rig_read(r, ends[0], &bytes[i], 1);
        }
        rig_close_handle(r, ends[1]);
        for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
            EXPECT_INT(rig_await_status(r, ids[i], SLUICE_EEOF), 0);
        }
        rig_close_handle(r, ends[0]);
    }
    rig_close(r);
}

static void half_close_stream(rig *r, engine_handle *a, engine_handle *b) {
    engine_request_id close_a = 0;
    engine_request_id close_b = 0;
    uint8_t buffer[16];
    size_t large =
        300000 + PATTERN_BLOCK; /* more than the kernel holds: the half-close waits for it */
    engine_request_id write = rig_write(r, a, pattern_at(LANE, 0), PATTERN_BLOCK);
    engine_request_id rest =
        rig_write(r, a, pattern_at(LANE, PATTERN_BLOCK), large - PATTERN_BLOCK);
    EXPECT_STATUS(engine_half_close(a, r, &close_a), SLUICE_OK);
    engine_request_id late = rig_write(r, a, "late", 4);
    EXPECT_INT(rig_receive_pattern_to_end(r, b, LANE, 0), large);
    EXPECT_INT(rig_await_status(r, write, SLUICE_OK), PATTERN_BLOCK);
    EXPECT_INT(rig_await_status(r, rest, SLUICE_OK), large - PATTERN_BLOCK);
    EXPECT_INT(rig_await_status(r, close_a, SLUICE_OK), 0);
    engine_completion refused = rig_await(r, late);
    EXPECT_STATUS(refused.status, SLUICE_EBROKENPIPE);
    EXPECT_INT(refused.bytes + refused.in_doubt, 0);
    /* the other direction still works */
    rig_send(r, b, "back", 4);
    rig_receive(r, a, buffer, 4);
    EXPECT(memcmp(buffer, "back", 4) == 0);
    EXPECT_STATUS(engine_half_close(b, r, &close_b), SLUICE_OK);
    rig_await_status(r, close_b, SLUICE_OK);
    rig_await_status(r, rig_read(r, a, buffer, 1), SLUICE_EEOF);
    rig_await_status(r, rig_write(r, b, "late", 4), SLUICE_EBROKENPIPE);
}

/* Of a pair, which has one direction; the end of its writing end is no close: it has one still. */
static void half_close_pair(rig *r) {
    engine_handle *ends[2];
    engine_request_id ids[2];
    size_t large = 300000;
    rig_stream(r, STREAM_PAIR, ends);
    engine_request_id write = rig_write(r, ends[1], pattern_at(LANE, 0), PATTERN_BLOCK);
    engine_request_id rest = rig_write(r, ends[1], pattern_at(LANE, PATTERN_BLOCK), large);
    EXPECT_STATUS(engine_half_close(ends[1], r, &ids[0]), SLUICE_OK);
    engine_request_id late = rig_write(r, ends[1], "late", 4);
    EXPECT_STATUS(engine_half_close(ends[1], r, &ids[1]), SLUICE_OK);
    EXPECT_INT(rig_receive_pattern_to_end(r, ends[0], LANE, 0), large + PATTERN_BLOCK);
    EXPECT_INT(rig_await_status(r, write, SLUICE_OK), PATTERN_BLOCK);
    EXPECT_INT(rig_await_status(r, rest, SLUICE_OK), large);
    EXPECT_INT(rig_await_status(r, ids[0], SLUICE_OK), 0);
    engine_completion refused = rig_await(r, late);
    EXPECT_STATUS(refused.status, SLUICE_EBROKENPIPE);
    EXPECT_INT(refused.bytes + refused.in_doubt, 0);
    EXPECT_INT(rig_await_status(r, ids[1], SLUICE_OK), 0);
    rig_await_status(r, rig_write(r, ends[1], "late", 4), SLUICE_EBROKENPIPE);
    rig_close_stream(r, ends);
    rig_stream(r, STREAM_PAIR, ends); /* with nothing before, and with its reader waiting */
    uint8_t byte;
    engine_request_id read = rig_read(r, ends[0], &byte, 1);
    EXPECT_STATUS(engine_half_close(ends[0], NULL, NULL), SLUICE_ENOTSUP);
    EXPECT_STATUS(engine_half_close(ends[1], r, &ids[0]), SLUICE_OK);
    rig_await_status(r, ids[0], SLUICE_OK);
    rig_await_status(r, read, SLUICE_EEOF);
    rig_close_stream(r, ends);
}

/* Each end half-closes, after its writes; what is written later fails; where there is no half-close
 * it is refused, and the stream goes on. */
static void half_close(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        if (kind == STREAM_PAIR) {
            half_close_pair(r);
            continue;
        }
        rig_stream(r, (stream_kind)kind, ends);
        if ((engine_handle_capabilities(ends[1]) & ENGINE_CAN_HALF_CLOSE) != 0) {
            half_close_stream(r, ends[1], ends[0]);
            rig_close_stream(r, ends);
            rig_stream(r, (stream_kind)kind, ends);
            half_close_stream(r, ends[0], ends[1]);
        } else {
            EXPECT(kind != STREAM_TCP);
            EXPECT_STATUS(engine_half_close(ends[1], NULL, NULL), SLUICE_ENOTSUP);
            rig_send(r, ends[1], "goes on", 7);
            uint8_t buffer[7];
            rig_receive(r, ends[0], buffer, 7);
            EXPECT(memcmp(buffer, "goes on", 7) == 0);
            t_note("  no half-close: %s", stream_names[kind]);
        }
        rig_close_stream(r, ends);
    }
    rig_close(r);
}

/* The reading end is gone: writes fail, the process lives (SIGPIPE), the counts are true. */
static void write_to_closed(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        engine_completion completion = {.status = SLUICE_OK};
        rig_stream(r, (stream_kind)kind, ends);
        rig_close_handle(r, ends[0]);
        /* TCP learns of it from the answer to what it sent: some writes may still succeed. */
        for (unsigned i = 0; i < 10000 && completion.status == SLUICE_OK; i++) {
            completion = rig_await(r, rig_write(r, ends[1], "nobody", 6));
        }
        EXPECT(completion.status == SLUICE_EBROKENPIPE || completion.status == SLUICE_ERESET);
        EXPECT(kind == STREAM_TCP || completion.status == SLUICE_EBROKENPIPE);
        EXPECT(completion.bytes + completion.in_doubt <= 6);
        completion = rig_await(r, rig_write(r, ends[1], "again", 5));
        EXPECT(completion.status == SLUICE_EBROKENPIPE || completion.status == SLUICE_ERESET);
        rig_close_handle(r, ends[1]);
    }
    rig_close(r);
}

/* A write that waits in a full pipe whose reader goes away. */
static void pending_write_to_closed(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        rig_stream(r, (stream_kind)kind, ends);
        engine_request_id id = rig_fill(r, ends[1], LANE);
        rig_close_handle(r, ends[0]);
        engine_completion completion = rig_await(r, id);
        EXPECT(completion.status == SLUICE_EBROKENPIPE || completion.status == SLUICE_ERESET);
        EXPECT(completion.bytes + completion.in_doubt <= RIG_FILL_BYTES);
        rig_close_handle(r, ends[1]);
    }
    rig_close(r);
}

typedef struct reset_scene {
    os_reset_client client;
    sl_event go;
    t_thread thread;
    engine_handle *accepted;
} reset_scene;

/* A client of plain blocking calls, on a thread of its own, that will reset its connection. */
static void reset_scene_open(rig *r, reset_scene *scene, unsigned send_bytes) {
    memset(scene, 0, sizeof(*scene));
    engine_handle *listener = rig_listener(r, STREAM_TCP);
    EXPECT_STATUS(sl_event_init(&scene->go), SLUICE_OK);
    scene->client.port = r->addresses[STREAM_TCP].port;
    scene->client.send_bytes = send_bytes;
    scene->client.go = &scene->go;
    t_thread_start(&scene->thread, os_run_reset_client, &scene->client);
    scene->accepted = rig_accept(r, listener);
}

static void reset_scene_reset(reset_scene *scene) {
    sl_event_set(&scene->go);
    t_thread_join(&scene->thread);
    sl_event_deinit(&scene->go);
    EXPECT(scene->client.ok);
}

static void tcp_reset(void) {
    rig *r = rig_open();
    reset_scene scene;
    uint8_t bytes[2048];
    if (t_is_sim()) {
        rig_close(r);
        T_SKIP("a real socket resets; the simulator's resets are in the races");
    }
    t_phase("a read that waits");
    reset_scene_open(r, &scene, 0);
    engine_request_id id = rig_read(r, scene.accepted, bytes, sizeof(bytes));
    rig_expect_quiet(r);
    reset_scene_reset(&scene);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_ERESET);
    EXPECT(completion.os_error != 0);
    EXPECT_INT(completion.bytes, 0);
    completion = rig_await(r, rig_write(r, scene.accepted, "x", 1));
    EXPECT(completion.status == SLUICE_ERESET || completion.status == SLUICE_EBROKENPIPE);
    rig_close_handle(r, scene.accepted);
    t_phase("a write that waits");
    reset_scene_open(r, &scene, 0);
    id = rig_fill(r, scene.accepted, LANE);
    reset_scene_reset(&scene);
    completion = rig_await(r, id);
    EXPECT(completion.status == SLUICE_ERESET || completion.status == SLUICE_EBROKENPIPE);
    EXPECT(completion.bytes + completion.in_doubt <= RIG_FILL_BYTES);
    rig_close_handle(r, scene.accepted);
    t_phase("bytes that were not read");
    reset_scene_open(r, &scene, 1000);
    rig_await_status(r, rig_read(r, scene.accepted, NULL, 0), SLUICE_OK);
    reset_scene_reset(&scene);
    completion = rig_await(r, rig_read(r, scene.accepted, bytes, sizeof(bytes)));
    EXPECT(completion.status == SLUICE_OK || completion.status == SLUICE_ERESET);
    rig_close_handle(r, scene.accepted);
    rig_close(r);
}

static const t_case cases[] = {
    {"eof_after_data", T_SMOKE, eof_after_data},
    {"eof_of_pending_reads", T_SMOKE, eof_of_pending_reads},
    {"half_close", T_SMOKE, half_close},
    {"write_to_closed", T_SMOKE, write_to_closed},
    {"pending_write_to_closed", 0, pending_write_to_closed},
    {"tcp_reset", T_SMOKE, tcp_reset},
};

const t_suite suite_eof = {"eof", cases, SL_ARRAY_COUNT(cases)};
