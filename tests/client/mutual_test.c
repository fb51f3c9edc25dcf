/*
 * mutual_test.c - what two sessions' callbacks do to each other: they close their own session, the
 * other, each other; and wait in calls on each other.
 */
#include <stdlib.h>

#include "tests/client/rig.h"

/* What counts its blocks: when it has none, the session is gone. */
typedef struct counted {
    sl_allocator allocator;
    sl_atomic_u32 blocks;
} counted;

static void *acquire(sl_allocator *allocator, size_t size) {
    counted *c = SL_CONTAINER_OF(allocator, counted, allocator);
    void *block = sl_allocator_system()->acquire(sl_allocator_system(), size);
    atomic_fetch_add(&c->blocks, block != NULL);
    return block;
}

static void release(sl_allocator *allocator, void *block, size_t size) {
    counted *c = SL_CONTAINER_OF(allocator, counted, allocator);
    sl_allocator_system()->release(sl_allocator_system(), block, size);
    atomic_fetch_sub(&c->blocks, block != NULL);
}

typedef struct side {
    sluice_session *session;
    struct side *other;
    sl_atomic_u32 is_inside; /* its callback runs */
    sl_atomic_u32 is_back;   /* ... and the close in it has returned */
    int32_t status;
    uint64_t took_ns;
} side;

static fake_broker fake;
static counted memory;
static side sides[2];

static int set_up(void **state) {
    (void)state;
    memset(sides, 0, sizeof(sides));
    memset(&memory, 0, sizeof(memory));
    memory.allocator = (sl_allocator){.acquire = acquire, .release = release};
    memset(&fake, 0, sizeof(fake));
    fake_start(&fake);
    atomic_store(&fake.unresponsive_ms, (uint32_t)(RIG_LONG_NS / SL_NS_PER_MS));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fake_stop(&fake);
    return 0;
}

static void open_sides(uint32_t delivery) {
    for (unsigned i = 0; i < 2; i++) {
        sluice_open_options options = {.size = sizeof(options),
                                       .mode = SLUICE_MODE_SERVICE,
                                       .delivery = delivery,
                                       .endpoint = fake.endpoint};
        client_tuning tuning = {.allocator = &memory.allocator,
                                .backend = engine_backend_find(NULL)};
        assert_int_equal(client_session_open(&options, &tuning, &sides[i].session), SLUICE_OK);
        sides[i].other = &sides[1 - i];
    }
}

static void await(sl_atomic_u32 *value, uint32_t wanted) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (atomic_load(value) != wanted && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    assert_int_equal(atomic_load(value), wanted);
}

static void close_other(side *s) {
    uint64_t began_ns = rig_now_ns();
    s->status = sluice_session_close(s->other->session);
    s->took_ns = rig_now_ns() - began_ns;
    atomic_store(&s->is_back, 1);
}

/* Both are in their callbacks before either closes: neither can wait for the other. */
static void on_done_close_other(void *user, sluice_operation *operation,
                                const sluice_result *result) {
    side *s = user;
    (void)operation;
    (void)result;
    atomic_store(&s->is_inside, 1);
    await(&s->other->is_inside, 1);
    close_other(s);
}

static void test_each_other(void **state) {
    static const uint32_t deliveries[] = {SLUICE_DELIVERY_THREAD, SLUICE_DELIVERY_INLINE};
    for (unsigned d = 0; d < SL_ARRAY_COUNT(deliveries); d++) {
        (void)set_up(state);
        open_sides(deliveries[d]);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(sluice_ping_start(sides[i].session, RIG_LONG_NS, on_done_close_other,
                                               &sides[i], NULL),
                             SLUICE_OK);
        }
        for (unsigned i = 0; i < 2; i++) {
            await(&sides[i].is_back, 1);
            assert_int_equal(sides[i].status, SLUICE_OK);
            assert_true(sides[i].took_ns < RIG_SLACK_NS);
        }
        await(&memory.blocks, 0); /* both are gone */
        await(&fake.connection_count, 0);
        (void)tear_down(state);
    }
}

/* ---- calls on each other --------------------------------------------------------------------- */

static void on_done_call_other(void *user, sluice_operation *operation,
                               const sluice_result *result) {
    side *s = user;
    (void)operation;
    (void)result;
    atomic_store(&s->is_inside, 1);
    await(&s->other->is_inside, 1);
    uint64_t began_ns = rig_now_ns();
    s->status = sluice_ping(s->other->session, RIG_LONG_NS, NULL);
    s->took_ns = rig_now_ns() - began_ns;
    atomic_store(&s->is_back, 1);
}

/* Two I/O threads would wait for each other for ever; two callback threads may. */
static void test_call_each_other(void **state) {
    static const uint32_t deliveries[] = {SLUICE_DELIVERY_THREAD, SLUICE_DELIVERY_INLINE};
    static const int32_t wanted[] = {SLUICE_OK, SLUICE_EDEADLK};
    for (unsigned d = 0; d < SL_ARRAY_COUNT(deliveries); d++) {
        (void)set_up(state);
        open_sides(deliveries[d]);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(sluice_ping_start(sides[i].session, RIG_LONG_NS, on_done_call_other,
                                               &sides[i], NULL),
                             SLUICE_OK);
        }
        for (unsigned i = 0; i < 2; i++) {
            await(&sides[i].is_back, 1);
            assert_int_equal(sides[i].status, wanted[d]);
            assert_true(wanted[d] == SLUICE_OK || sides[i].took_ns < RIG_SLACK_NS);
        }
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(sluice_ping(sides[i].session, RIG_LONG_NS, NULL), SLUICE_OK);
            assert_int_equal(sluice_session_close(sides[i].session), SLUICE_OK);
        }
        (void)tear_down(state);
    }
}

static void on_done_close_self(void *user, sluice_operation *operation,
                               const sluice_result *result) {
    side *s = user;
    (void)operation;
    (void)result;
    s->status = sluice_session_close(s->session);
    atomic_store(&s->is_back, 1);
}

/* In its own callback nothing happens; also where that is inside another's (POLL within POLL). */
static void on_done_dispatch_other(void *user, sluice_operation *operation,
                                   const sluice_result *result) {
    side *s = user;
    uint32_t count = 0;
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    (void)operation;
    (void)result;
    while (count == 0 && rig_now_ns() < deadline_ns) {
        assert_int_equal(sluice_dispatch(s->other->session, 0, &count), SLUICE_OK);
    }
}

static void on_done_close_outer(void *user, sluice_operation *operation,
                                const sluice_result *result) {
    (void)operation;
    (void)result;
    close_other(user);
}

static void test_own(void **state) {
    (void)state;
    open_sides(SLUICE_DELIVERY_THREAD);
    assert_int_equal(
        sluice_ping_start(sides[0].session, RIG_LONG_NS, on_done_close_self, &sides[0], NULL),
        SLUICE_OK);
    await(&sides[0].is_back, 1);
    assert_int_equal(sides[0].status, SLUICE_EDEADLK);
    assert_int_equal(sluice_ping(sides[0].session, RIG_LONG_NS, NULL), SLUICE_OK);
    assert_int_equal(sluice_session_close(sides[0].session), SLUICE_OK);
    assert_int_equal(sluice_session_close(sides[1].session), SLUICE_OK);
    assert_int_equal(atomic_load(&memory.blocks), 0);
}

static void test_own_around_another(void **state) {
    uint32_t count = 0;
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    (void)state;
    open_sides(SLUICE_DELIVERY_POLL);
    assert_int_equal(
        sluice_ping_start(sides[0].session, RIG_LONG_NS, on_done_dispatch_other, &sides[0], NULL),
        SLUICE_OK);
    assert_int_equal(
        sluice_ping_start(sides[1].session, RIG_LONG_NS, on_done_close_outer, &sides[1], NULL),
        SLUICE_OK);
    while (count == 0 && rig_now_ns() < deadline_ns) {
        assert_int_equal(sluice_dispatch(sides[0].session, 0, &count), SLUICE_OK);
    }
    assert_int_equal(atomic_load(&sides[1].is_back), 1);
    assert_int_equal(sides[1].status, SLUICE_EDEADLK);
    assert_int_equal(sluice_session_close(sides[0].session), SLUICE_OK);
    assert_int_equal(sluice_session_close(sides[1].session), SLUICE_OK);
    assert_int_equal(atomic_load(&memory.blocks), 0);
}

/* Another thread is in the middle of a dispatch: it would have its session freed under it. */
static void on_done_linger(void *user, sluice_operation *operation, const sluice_result *result) {
    side *s = user;
    (void)operation;
    (void)result;
    atomic_store(&s->is_inside, 1);
    await(&s->is_back, 1);
}

static void dispatch_once(void *context) {
    side *s = context;
    uint32_t count = 0;
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (count == 0 && rig_now_ns() < deadline_ns) {
        assert_int_equal(sluice_dispatch(s->session, 0, &count), SLUICE_OK);
    }
}

static void test_dispatching(void **state) {
    sl_thread thread;
    (void)state;
    open_sides(SLUICE_DELIVERY_POLL);
    assert_int_equal(
        sluice_ping_start(sides[0].session, RIG_LONG_NS, on_done_linger, &sides[0], NULL),
        SLUICE_OK);
    assert_int_equal(sl_thread_start(&thread, "dispatch", dispatch_once, &sides[0]), SLUICE_OK);
    await(&sides[0].is_inside, 1);
    assert_int_equal(sluice_session_close(sides[0].session), SLUICE_EBUSY);
    assert_int_equal(sluice_ping(sides[0].session, RIG_LONG_NS, NULL), SLUICE_OK);
    atomic_store(&sides[0].is_back, 1);
    sl_thread_join(&thread);
    assert_int_equal(sluice_session_close(sides[0].session), SLUICE_OK);
    assert_int_equal(sluice_session_close(sides[1].session), SLUICE_OK);
    assert_int_equal(atomic_load(&memory.blocks), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_other),
        cmocka_unit_test(test_call_each_other),
        cmocka_unit_test_setup_teardown(test_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_around_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dispatching, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
