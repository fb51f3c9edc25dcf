/*
 * suite_limits.c - Sluice's own limits: requests and handles run out with EQUOTA, and come back;
 * what is left over keeps a worker and an engine from being destroyed.
 */
#include <string.h>

#include "tests/engine/rig.h"

#define MAX_REQUESTS 32
#define MAX_HANDLES  10
#define RESOLVES     300u

static void max_requests(void) {
    engine_options options = {.max_requests = MAX_REQUESTS};
    rig *r = rig_open_with(&options, SIM_PROFILE_GENTLE);
    engine_handle *ends[2];
    rig_stream(r, STREAM_PIPE, ends);
    for (unsigned round = 0; round < 3; round++) {
        engine_request_id ids[MAX_REQUESTS];
        engine_request_id id = 77;
        engine_buffer bytes = {.bytes = "x", .length = 1};
        uint8_t byte = 0;
        (void)rig_pump(r, 0); /* recycles what was delivered */
        for (unsigned i = 0; i < MAX_REQUESTS; i++) {
            ids[i] = rig_read(r, ends[0], &byte, 1);
        }
        EXPECT_STATUS(engine_read(ends[0], &byte, 1, NULL, &id), SLUICE_EQUOTA);
        EXPECT_STATUS(engine_write(ends[1], &bytes, 1, NULL, &id), SLUICE_EQUOTA);
        EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_EQUOTA);
        EXPECT_STATUS(
            engine_connect(r->worker, &r->addresses[STREAM_PIPE], SL_CLOCK_NEVER, NULL, NULL, &id),
            SLUICE_EQUOTA);
        EXPECT_STATUS(engine_accept(r->listeners[STREAM_PIPE], NULL, &id), SLUICE_EQUOTA);
        EXPECT_INT(id, 77);
        EXPECT_INT(rig_counters(r).requests, MAX_REQUESTS);
        engine_cancel(r->worker, ids[0]); /* never refused for want of anything */
        rig_await_status(r, ids[0], SLUICE_ECANCELED);
        (void)rig_pump(r, 0);
        ids[0] = rig_write(r, ends[1], "y", 1); /* one is free again */
        rig_await_status(r, ids[0], SLUICE_OK);
        rig_await_status(r, ids[1], SLUICE_OK);
        for (unsigned i = 2; i < MAX_REQUESTS; i++) {
            engine_cancel(r->worker, ids[i]);
            rig_await_status(r, ids[i], SLUICE_ECANCELED);
        }
    }
    rig_close_stream(r, ends);
    rig_close(r);
}

static void max_handles(void) {
    engine_options options = {.max_handles = MAX_HANDLES};
    rig *r = rig_open_with(&options, SIM_PROFILE_GENTLE);
    for (unsigned round = 0; round < 3; round++) {
        engine_handle *ends[MAX_HANDLES / 2][2];
        engine_handle *extra = NULL;
        engine_address address;
        engine_request_id id = 0;
        for (unsigned i = 0; i < MAX_HANDLES / 2; i++) {
            rig_stream(r, STREAM_PAIR, ends[i]);
        }
        EXPECT_INT(rig_counters(r).handles, MAX_HANDLES);
        engine_address_loopback(&address, 1);
        EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_EQUOTA);
        EXPECT_STATUS(engine_udp_open(r->worker, &address, &extra), SLUICE_EQUOTA);
        EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &extra), SLUICE_EQUOTA);
        EXPECT_STATUS(engine_connect(r->worker, &address, SL_CLOCK_NEVER, NULL, NULL, &id),
                      SLUICE_EQUOTA);
        rig_close_handle(r, ends[0][0]);
        (void)rig_pump(r, 0);
        EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_EQUOTA); /* it takes two */
        EXPECT_STATUS(engine_udp_open(r->worker, &address, &extra), SLUICE_OK);
        rig_close_handle(r, extra);
        rig_close_handle(r, ends[0][1]);
        for (unsigned i = 1; i < MAX_HANDLES / 2; i++) {
            rig_close_stream(r, ends[i]);
        }
        (void)rig_pump(r, 0);
        rig_expect_empty(r);
    }
    rig_close(r);
}

/* Handles are reserved at submit: an accept that waits counts, so that a connection finds its
 * place. */
static void accept_reserves(void) {
    engine_options options = {.max_handles = 4};
    rig *r = rig_open_with(&options, SIM_PROFILE_GENTLE);
    engine_handle *listener = rig_listener(r, STREAM_PIPE);
    engine_request_id ids[3];
    engine_request_id id = 0;
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_STATUS(engine_accept(listener, NULL, &ids[i]), SLUICE_OK);
    }
    EXPECT_INT(rig_counters(r).handles, 4);
    EXPECT_STATUS(engine_accept(listener, NULL, &id), SLUICE_EQUOTA);
    EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_EQUOTA);
    for (unsigned i = 0; i < 3; i++) {
        engine_cancel(r->worker, ids[i]);
        rig_await_status(r, ids[i], SLUICE_ECANCELED);
    }
    EXPECT_INT(rig_counters(r).handles, 1);
    rig_close(r);
}

/* So many at once wait for their turn; none is refused. */
static void many_lookups(void) {
    rig *r = rig_open();
    static engine_address addresses[RESOLVES];
    engine_request_id ids[RESOLVES];
    for (unsigned i = 0; i < RESOLVES; i++) {
        EXPECT_STATUS(
            engine_resolve(r->worker, "localhost", 1, &addresses[i], 1, NULL, NULL, &ids[i]),
            SLUICE_OK);
    }
    for (unsigned i = 0; i < RESOLVES; i++) {
        rig_await_status(r, ids[i], SLUICE_OK);
        EXPECT(addresses[i].family != ENGINE_ADDRESS_NONE && addresses[i].port == 1);
    }
    rig_close(r);
}

static void destroy_while_busy(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    uint8_t byte = 0;
    engine_message message = {.user = NULL};
    EXPECT_STATUS(engine_worker_destroy(NULL), SLUICE_OK);
    EXPECT_STATUS(engine_destroy(NULL, 0), SLUICE_OK);
    t_phase("a worker is left");
    EXPECT_STATUS(engine_destroy(r->engine, 0), SLUICE_EBUSY);
    t_phase("handles are left");
    rig_stream(r, STREAM_PIPE, ends);
    EXPECT_STATUS(engine_worker_destroy(r->worker), SLUICE_EBUSY);
    t_phase("a request is left");
    engine_request_id id = rig_read(r, ends[0], &byte, 1);
    EXPECT_STATUS(engine_worker_destroy(r->worker), SLUICE_EBUSY);
    t_phase("a completion is left");
    rig_send(r, ends[1], "x", 1);
    while (!rig_has(r, id)) {
        (void)rig_pump(r, rig_after_ns(r, T_AWAIT_NS));
    }
    rig_await_status(r, id, SLUICE_OK);
    EXPECT_STATUS(engine_close(ends[0], NULL), SLUICE_OK);
    EXPECT_STATUS(engine_close(ends[1], NULL), SLUICE_OK);
    EXPECT_STATUS(engine_worker_destroy(r->worker), SLUICE_EBUSY);
    (void)rig_await_closed(r, ends[0]);
    (void)rig_await_closed(r, ends[1]);
    engine_handle *listener = r->listeners[STREAM_PIPE];
    r->listeners[STREAM_PIPE] = NULL;
    rig_close_handle(r, listener);
    t_phase("a message is left");
    engine_post(r->worker, &message);
    EXPECT_STATUS(engine_worker_destroy(r->worker), SLUICE_EBUSY);
    EXPECT(rig_await_message(r).message == &message);
    rig_close(r);
}

static void backends_listed(void) {
    unsigned count = 0;
    const engine_backend *backend;
    while ((backend = engine_backend_at(count)) != NULL) {
        EXPECT(engine_backend_find(engine_backend_name(backend)) == backend);
        EXPECT(engine_backend_is_threaded(backend));
        count++;
    }
    EXPECT(count > 0 && engine_backend_find(NULL) == engine_backend_at(0));
    EXPECT(engine_backend_find("nonsense") == NULL);
    for (unsigned i = 0; i < ENGINE_KIND_COUNT; i++) {
        EXPECT(engine_kind_name((engine_kind)i) != NULL &&
               engine_kind_name((engine_kind)i)[0] != '\0');
    }
}

static const t_case cases[] = {
    {"max_requests", T_SMOKE, max_requests},
    {"max_handles", T_SMOKE, max_handles},
    {"accept_reserves", T_SMOKE, accept_reserves},
    {"many_lookups", 0, many_lookups},
    {"destroy_while_busy", T_SMOKE, destroy_while_busy},
    {"backends_listed", T_SMOKE, backends_listed},
};

const t_suite suite_limits = {"limits", cases, SL_ARRAY_COUNT(cases)};
