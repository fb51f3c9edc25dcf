/*
 * suite_child.c - scenes in which the process must die: each runs alone in a child process
 * (suite_errors.c: wrong_thread_aborts). A scene that comes to its end survived, and says so by
 * exit code.
 *
 * A worker is made by a thread that waits; the scene's own thread then uses it.
 */
#include <string.h>

#include "tests/engine/rig.h"

typedef struct scene {
    rig *r;
    engine_handle *ends[2];
    engine_handle *listener;
    sl_event ready;
    t_thread thread;
} scene;

static void run_owner(void *context) {
    scene *s = context;
    s->r = rig_open();
    rig_stream(s->r, STREAM_TCP, s->ends);
    /* A fresh one: on Windows a listener that was accepted from has accepts in the kernel, and an
     * audited process must not end with any. */
    rig_close_handle(s->r, s->r->listeners[STREAM_TCP]);
    s->r->listeners[STREAM_TCP] = NULL;
    s->listener = rig_listener(s->r, STREAM_TCP);
    sl_event_set(&s->ready);
    sl_event never;
    EXPECT_STATUS(sl_event_init(&never), SLUICE_OK);
    (void)sl_event_wait_until(&never, SL_CLOCK_NEVER);
}

/* Its worker belongs to another thread, which is alive and idle. */
static scene *foreign(void) {
    static scene s;
    EXPECT_STATUS(sl_event_init(&s.ready), SLUICE_OK);
    t_thread_start(&s.thread, run_owner, &s);
    EXPECT(sl_event_wait_until(&s.ready, sl_clock_now_ns(sl_clock_system()) + T_AWAIT_NS));
    return &s;
}

static void die_poll(void) {
    engine_completion completion;
    (void)engine_poll(foreign()->r->worker, &completion, 1, 0);
}

static void die_read(void) {
    uint8_t byte;
    (void)engine_read(foreign()->ends[0], &byte, 1, NULL, NULL);
}

static void die_write(void) {
    engine_buffer bytes = {.bytes = "x", .length = 1};
    (void)engine_write(foreign()->ends[0], &bytes, 1, NULL, NULL);
}

static void die_half_close(void) {
    (void)engine_half_close(foreign()->ends[0], NULL, NULL);
}

static void die_accept(void) {
    (void)engine_accept(foreign()->listener, NULL, NULL);
}

static void die_cancel(void) {
    engine_cancel(foreign()->r->worker, 1);
}

static void die_close(void) {
    (void)engine_close(foreign()->ends[0], NULL);
}

static void die_listen(void) {
    engine_address address;
    engine_address_loopback(&address, 0);
    (void)engine_listen(foreign()->r->worker, &address, 1, NULL, NULL, NULL, NULL);
}

static void die_udp_open(void) {
    engine_address address;
    engine_handle *handle;
    engine_address_loopback(&address, 0);
    (void)engine_udp_open(foreign()->r->worker, &address, &handle);
}

static void die_connect(void) {
    engine_address address;
    engine_address_loopback(&address, 1);
    (void)engine_connect(foreign()->r->worker, &address, SL_CLOCK_NEVER, NULL, NULL, NULL);
}

static void die_pair(void) {
    (void)engine_pair(foreign()->r->worker, NULL, NULL, NULL);
}

static void die_resolve(void) {
    static engine_address address;
    (void)engine_resolve(foreign()->r->worker, "localhost", 1, &address, 1, NULL, NULL, NULL);
}

static void die_join(void) {
    scene *s = foreign();
    engine_address name = t_endpoint_address();
    engine_endpoint *endpoint = NULL;
    engine_handle *listener;
    EXPECT_STATUS(engine_endpoint_create(s->r->engine, &name, NULL, &endpoint, NULL), SLUICE_OK);
    (void)engine_endpoint_join(endpoint, s->r->worker, &listener);
}

static void die_worker_destroy(void) {
    (void)engine_worker_destroy(foreign()->r->worker);
}

static void die_peer_identity(void) {
    engine_peer peer;
    (void)engine_peer_identity(foreign()->ends[0], &peer);
}

static const t_case cases[] = {
    {"die_poll", T_CHILD, die_poll},         {"die_read", T_CHILD, die_read},
    {"die_write", T_CHILD, die_write},       {"die_half_close", T_CHILD, die_half_close},
    {"die_accept", T_CHILD, die_accept},     {"die_cancel", T_CHILD, die_cancel},
    {"die_close", T_CHILD, die_close},       {"die_listen", T_CHILD, die_listen},
    {"die_udp_open", T_CHILD, die_udp_open}, {"die_connect", T_CHILD, die_connect},
    {"die_pair", T_CHILD, die_pair},         {"die_resolve", T_CHILD, die_resolve},
    {"die_join", T_CHILD, die_join},         {"die_worker_destroy", T_CHILD, die_worker_destroy},
    {"die_peer_identity", T_CHILD, die_peer_identity},
};

const t_suite suite_child = {"child", cases, SL_ARRAY_COUNT(cases)};
