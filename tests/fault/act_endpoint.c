/*
 * act_endpoint.c - a pipe name for several workers: joined twice by this one.
 */
#include "tests/fault/act.h"

#define CROWD_MAX 160u

static bool join(script *s, engine_endpoint *endpoint, engine_handle **ret_listener) {
    *ret_listener = NULL;
    return script_check(s, "engine_endpoint_join",
                        engine_endpoint_join(endpoint, s->worker, ret_listener), S_OPEN);
}

static engine_endpoint *create(script *s, engine_address *ret_address) {
    engine_endpoint *endpoint = NULL;
    *ret_address = script_pipe_address();
    return script_check(s, "engine_endpoint_create",
                        engine_endpoint_create(s->engine, ret_address, NULL, &endpoint), S_OPEN)
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
