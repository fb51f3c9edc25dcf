/*
 * rig.c - see rig.h.
 */
#include "tests/client/rig.h"

#include "tests/client/returns.h"

#include <stdlib.h>

uint64_t rig_now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

static int32_t open_session(rig *r, uint32_t delivery, const char *expected_user) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .delivery = delivery, .endpoint = r->fake.endpoint,
                                   .client_name = "test", .open_timeout_ns = RIG_LONG_NS,
                                   .expected_user = expected_user};
    sl_alloc_failpoint_init(&r->memory, sl_allocator_system(), 0, false);
    client_tuning tuning = {.allocator = &r->memory.allocator,
                            .backend = engine_backend_find(NULL),
                            .call_grace_ns = RIG_GRACE_NS};
    r->session = NULL;
    return client_session_open(&options, &tuning, &r->session);
}

int32_t rig_open(rig *r, uint32_t delivery) {
    return open_session(r, delivery, NULL);
}

int32_t rig_open_expecting(rig *r, const char *expected_user) {
    return open_session(r, SLUICE_DELIVERY_THREAD, expected_user);
}

/* Freeing the session checks that its account is empty. */
void rig_close(rig *r) {
    assert_int_equal(sluice_session_close(r->session), SLUICE_OK);
    r->session = NULL;
}

static int set_up(void **state, uint32_t unresponsive_ms, uint32_t ping_interval_ms) {
    rig *r = calloc(1, sizeof(*r));
    returns_watch();
    fake_start(&r->fake);
    atomic_store(&r->fake.unresponsive_ms, unresponsive_ms);
    atomic_store(&r->fake.ping_interval_ms, ping_interval_ms);
    *state = r;
    return rig_open(r, SLUICE_DELIVERY_THREAD);
}

int rig_setup(void **state) {
    return set_up(state, 600, 100);
}

int rig_setup_patient(void **state) {
    const uint32_t long_ms = (uint32_t)(RIG_LONG_NS / SL_NS_PER_MS);
    return set_up(state, long_ms, long_ms / 2);
}

int rig_teardown(void **state) {
    rig *r = *state;
    rig_close(r);
    fake_stop(&r->fake);
    free(r);
    return 0;
}

void rig_pair(rig *r, sluice_handle ret_ends[2]) {
    sluice_result result = {.size = sizeof(result)};
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), SLUICE_OK);
    assert_int_equal(result.handle_count, 2);
    ret_ends[0] = result.handles[0];
    ret_ends[1] = result.handles[1];
}

void rig_count(void *user, sluice_operation *operation, const sluice_result *result) {
    rig_tally *tally = user;
    (void)operation;
    tally->last = *result;
    atomic_fetch_add(&tally->by_status[-result->status], 1);
    atomic_fetch_add(&tally->count, 1);
}

bool rig_wait(rig_tally *tally, uint32_t count) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (atomic_load(&tally->count) < count && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    return atomic_load(&tally->count) >= count;
}
