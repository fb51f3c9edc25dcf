/*
 * act_endpoint.c - a pipe name for several workers: joined twice by this one; and joined without
 * memory.
 */
#include "tests/fault/act.h"

#include <string.h>

#define CROWD_MAX 160u

static bool join(script *s, engine_endpoint *endpoint, engine_handle **ret_listener) {
    *ret_listener = NULL;
    return script_check(s, "engine_endpoint_join",
                        engine_endpoint_join(endpoint, s->worker, ret_listener), S_OPEN);
}

static engine_endpoint *create(script *s, engine_address *ret_address) {
    engine_endpoint *endpoint = NULL;
    *ret_address = script_pipe_address();
    ret_address->is_endpoint = true;
    return script_check(s, "engine_endpoint_create",
                        engine_endpoint_create(s->engine, ret_address, NULL, &endpoint, NULL),
                        S_OPEN)
               ? endpoint
               : NULL;
}

static void destroy(engine_endpoint *endpoint) {
    EXPECT(engine_endpoint_destroy(endpoint) == SLUICE_OK);
}

void act_endpoint(script *s) {
    engine_address address;
    engine_handle *listener;
    engine_handle *ends[2];
    engine_endpoint *endpoint = create(s, &address);
    if (endpoint == NULL) {
        return;
    }
    destroy(endpoint); /* that nobody has joined */
    endpoint = create(s, &address);
    if (endpoint == NULL) {
        return;
    }
    if (join(s, endpoint, &listener)) {
        for (unsigned i = 0; i < 2; i++) {
            (void)act_meet(s, listener, &address, true, ends);
            script_close(s, ends[0]);
            script_close(s, ends[1]);
        }
        act_close_listener(s, listener);
    }
    destroy(endpoint);
}

/* Lets the connections arrive wherever they can. */
static void settle(script *s, const engine_request_id ids[], unsigned count) {
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    unsigned come = 0;
    while (come < count) {
        EXPECT(script_now_ns() < end_ns);
        script_pump(s, SL_NS_PER_MS);
        come = 0;
        for (unsigned i = 0; i < count; i++) {
            come += ids[i] == 0 || script_has(s, ids[i]);
        }
    }
}

/*
 * More connections than the listeners hold, and nobody who accepts. The first listener leaves: what
 * it has goes to the other, which has no room for all. Then that leaves, too.
 */
void act_crowded_endpoint(script *s) {
    engine_address address;
    engine_handle *listeners[2] = {NULL, NULL};
    engine_request_id ids[CROWD_MAX];
    engine_handle *near[CROWD_MAX];
    engine_endpoint *endpoint = create(s, &address);
    if (endpoint == NULL) {
        return;
    }
    bool is_joined = join(s, endpoint, &listeners[0]) && join(s, endpoint, &listeners[1]);
    unsigned count = is_joined ? act_crowd : 0;
    for (unsigned i = 0; i < count; i++) {
        ids[i] = act_connect(s, &address);
    }
    settle(s, ids, count);
    for (unsigned i = 0; i < count; i++) {
        engine_completion done = {.status = SLUICE_EINVAL};
        if (ids[i] != 0) {
            done = script_await(s, ids[i]);
        }
        near[i] = done.status == SLUICE_OK ? done.opened[0] : NULL;
        s->has_failed = s->has_failed || near[i] == NULL;
    }
    for (unsigned i = 0; i < 2; i++) {
        script_close(s, listeners[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        script_close(s, near[i]);
    }
    destroy(endpoint);
}

/* Joins, with or without the next allocation, and leaves. Returns the status of the join. */
static int visit(script *s, engine_endpoint *endpoint, sl_alloc_failpoint *memory,
                 bool has_memory) {
    engine_handle *listener = NULL;
    memory->fail_at = has_memory ? 0 : atomic_load(&memory->acquire_count) + 1;
    int status = engine_endpoint_join(endpoint, s->worker, &listener);
    script_expect_legal("engine_endpoint_join", status, S_OPEN);
    memory->fail_at = 0;
    if (status == SLUICE_OK) {
        act_close_listener(s, listener);
    }
    return status;
}

/* A join finds no memory for its listener, when all else is there: it gives back the name that it
 * had taken for it, and the next one takes it again. */
void act_poor_endpoint(script *s) {
    static script poor; /* an engine of its own, whose memory can fail */
    sl_alloc_failpoint memory;
    engine_address address;
    sl_alloc_failpoint_init(&memory, sl_allocator_system(), 0, false);
    memset(&poor, 0, sizeof(poor));
    poor.allocator = &memory.allocator;
    engine_acts[0].run(&poor);
    engine_endpoint *endpoint = poor.engine != NULL ? create(&poor, &address) : NULL;
    if (endpoint != NULL) {
        bool is_good = visit(&poor, endpoint, &memory, true) == SLUICE_OK;
        int status = visit(&poor, endpoint, &memory, false);
        EXPECT(atomic_load(&memory.failed_count) == 0 || status == SLUICE_ENOMEM);
        is_good = visit(&poor, endpoint, &memory, true) == SLUICE_OK && is_good;
        poor.has_failed = poor.has_failed || !is_good;
        destroy(endpoint);
    }
    if (poor.engine != NULL) {
        engine_acts[engine_act_count - 1].run(&poor);
    }
    s->has_failed = s->has_failed || poor.has_failed;
}
