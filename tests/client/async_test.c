/*
 * async_test.c - the asynchronous calls: exactly one callback, where and when it should run.
 */
#include "tests/client/rig.h"

#include <stdlib.h>

static int setup_poll(void **state) {
    rig *r = calloc(1, sizeof(*r));
    fake_start(&r->fake);
    *state = r;
    return rig_open(r, SLUICE_DELIVERY_POLL);
}

static int setup_inline(void **state) {
    rig *r = calloc(1, sizeof(*r));
    fake_start(&r->fake);
    *state = r;
    return rig_open(r, SLUICE_DELIVERY_INLINE);
}

typedef struct worker {
    rig *rig;
    rig_tally tally;
    uint32_t started;
    uint32_t refused;
} worker;

/* Writes and reads on a pipe of its own, as fast as credit allows. */
static void run_worker(void *context) {
    worker *w = context;
    sluice_handle ends[2];
    static char in[4][500];
    rig_pair(w->rig, ends);
    for (int i = 0; i < 500; i++) {
        sluice_operation *operation = NULL;
        int32_t status = sluice_write_start(w->rig->session, ends[1], "x", 1, RIG_LONG_NS,
                                            rig_count, &w->tally, NULL);
        w->started += status == SLUICE_OK ? 1 : 0;
        w->refused += status == SLUICE_EQUOTA ? 1 : 0;
        status = sluice_read_start(w->rig->session, ends[0], &in[ends[0] % 4][i], 1, 0,
                                   RIG_LONG_NS, rig_count, &w->tally, &operation);
        w->started += status == SLUICE_OK ? 1 : 0;
        w->refused += status == SLUICE_EQUOTA ? 1 : 0;
        if (i % 3 == 0 && operation != NULL) {
            (void)sluice_cancel(operation);
        }
        sluice_release(operation);
        if (status == SLUICE_EQUOTA) {
            (void)sluice_ping(w->rig->session, RIG_LONG_NS, NULL);
        }
    }
    /* Reads may wait for bytes whose writes were refused: end them. */
    (void)sluice_close(w->rig->session, ends[1], RIG_LONG_NS, NULL);
}

static void run_workers(rig *r, bool dispatch) {
    static worker workers[4];
    sl_thread threads[4];
    memset(workers, 0, sizeof(workers));
    for (int i = 0; i < 4; i++) {
        workers[i].rig = r;
        assert_int_equal(sl_thread_start(&threads[i], "worker", run_worker, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        sl_thread_join(&threads[i]);
    }
    for (int i = 0; i < 4; i++) {
        uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
        while (atomic_load(&workers[i].tally.count) < workers[i].started &&
               rig_now_ns() < deadline_ns) {
            if (dispatch) {
                assert_int_equal(sluice_dispatch(r->session, 0, NULL), 0);
            }
            sl_thread_yield();
        }
        assert_int_equal(workers[i].started + workers[i].refused, 1000);
        assert_int_equal(atomic_load(&workers[i].tally.count), workers[i].started);
        assert_true(workers[i].started > 50);
    }
}

static void test_exactly_one(void **state) {
    run_workers(*state, false);
}

static void test_exactly_one_poll(void **state) {
    run_workers(*state, true);
}

/* ---- what a callback may do ------------------------------------------------------------------ */

typedef struct inside {
    rig *rig;
    sluice_handle ends[2];
    int32_t sync_status;
    int32_t close_status;
    int32_t start_status;
    int32_t dispatch_status;
    bool had_operation;
    rig_tally next;
    sl_atomic_bool is_done;
} inside;

static void on_inside(void *user, sluice_operation *operation, const sluice_result *result) {
    inside *i = user;
    (void)result;
    i->had_operation = operation != NULL;
    i->sync_status = sluice_ping(i->rig->session, RIG_LONG_NS, NULL);
    i->close_status = sluice_session_close(i->rig->session);
    i->dispatch_status = sluice_dispatch(i->rig->session, 0, NULL);
    i->start_status = sluice_ping_start(i->rig->session, RIG_LONG_NS, rig_count, &i->next, NULL);
    sluice_release(operation);
    atomic_store(&i->is_done, true);
}

static void run_inside(rig *r, inside *i, bool dispatch) {
    sluice_operation *operation;
    memset(i, 0, sizeof(*i));
    i->rig = r;
    assert_int_equal(sluice_ping_start(r->session, RIG_LONG_NS, on_inside, i, &operation), 0);
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while ((!atomic_load(&i->is_done) || atomic_load(&i->next.count) == 0) &&
           rig_now_ns() < deadline_ns) {
        if (dispatch) {
            (void)sluice_dispatch(r->session, 0, NULL);
        }
        sl_thread_yield();
    }
    assert_true(i->had_operation);
    assert_int_equal(i->close_status, SLUICE_EDEADLK);
    assert_int_equal(i->start_status, SLUICE_OK);
    assert_int_equal(atomic_load(&i->next.count), 1);
}

static void test_inside_thread(void **state) {
    inside i;
    run_inside(*state, &i, false);
    assert_int_equal(i.sync_status, SLUICE_OK);
    assert_int_equal(i.dispatch_status, SLUICE_ENOTSUP);
}

static void test_inside_poll(void **state) {
    inside i;
    run_inside(*state, &i, true);
    assert_int_equal(i.sync_status, SLUICE_OK);
    assert_int_equal(i.dispatch_status, SLUICE_EDEADLK);
}

static void test_inside_inline(void **state) {
    inside i;
    run_inside(*state, &i, false);
    assert_int_equal(i.sync_status, SLUICE_EDEADLK);
}

/* ---- poll ------------------------------------------------------------------------------------ */

static void test_poll(void **state) {
    rig *r = *state;
    rig_tally tally;
    uint64_t waitable = 0;
    uint32_t count = 99;
    memset(&tally, 0, sizeof(tally));
    assert_int_equal(sluice_waitable(r->session, &waitable), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(sluice_ping_start(r->session, RIG_LONG_NS, rig_count, &tally, NULL), 0);
    }
    assert_int_equal(sluice_ping(r->session, RIG_LONG_NS, NULL), 0); /* the sixth: all are back */
    assert_int_equal(atomic_load(&tally.count), 0);
    assert_int_equal(sluice_dispatch(r->session, 2, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(atomic_load(&tally.count), 2);
    assert_int_equal(sluice_dispatch(r->session, 0, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(sluice_dispatch(r->session, 0, &count), 0);
    assert_int_equal(count, 0);
    /* What nobody dispatches is told when the session closes. */
    assert_int_equal(sluice_ping_start(r->session, RIG_LONG_NS, rig_count, &tally, NULL), 0);
    rig_close(r);
    assert_int_equal(atomic_load(&tally.count), 6);
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_POLL), 0);
}

/* ---- cancel, release, credit ----------------------------------------------------------------- */

static void test_cancel(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char text[8];
    rig_tally tally;
    sluice_operation *operation;
    sluice_result result = {.size = sizeof(result)};
    memset(&tally, 0, sizeof(tally));
    rig_pair(r, ends);
    assert_int_equal(sluice_read_start(r->session, ends[0], text, 8, 0, SLUICE_NO_TIMEOUT,
                                       rig_count, &tally, &operation),
                     0);
    assert_int_equal(sluice_cancel(operation), 0);
    assert_int_equal(sluice_cancel(operation), 0);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_ECANCELED);
    assert_int_equal(sluice_cancel(operation), 0);
    sluice_release(operation);
    assert_int_equal(sluice_write(r->session, ends[1], "kept", 4, RIG_LONG_NS, NULL), 0);
    assert_int_equal(sluice_read(r->session, ends[0], text, 8, 0, RIG_LONG_NS, &result), 0);
    assert_int_equal(result.done, 4);
}

/* Released before it ends: the callback comes all the same; and after the session's end. */
static void test_release(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char text[8];
    rig_tally tally;
    sluice_operation *operations[2];
    memset(&tally, 0, sizeof(tally));
    rig_pair(r, ends);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sluice_read_start(r->session, ends[0], text, 8, 0, SLUICE_NO_TIMEOUT,
                                           rig_count, &tally, &operations[i]),
                         0);
    }
    sluice_release(operations[0]);
    rig_close(r);
    assert_int_equal(atomic_load(&tally.count), 2);
    assert_int_equal(tally.last.status, SLUICE_ECANCELED);
    assert_int_equal(sluice_cancel(operations[1]), 0);
    sluice_release(operations[1]);
    sluice_release(NULL);
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_THREAD), 0);
}

static void test_credit(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    static char bytes[64];
    rig_tally tally;
    sluice_operation *operations[16];
    memset(&tally, 0, sizeof(tally));
    rig_close(r);
    atomic_store(&r->fake.credit_operations, 16);
    assert_int_equal(rig_open(r, SLUICE_DELIVERY_THREAD), 0);
    rig_pair(r, ends);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(sluice_read_start(r->session, ends[0], &bytes[i], 1, 0,
                                           SLUICE_NO_TIMEOUT, rig_count, &tally, &operations[i]),
                         0);
    }
    assert_int_equal(sluice_read_start(r->session, ends[0], &bytes[16], 1, 0, SLUICE_NO_TIMEOUT,
                                       rig_count, &tally, NULL),
                     SLUICE_EQUOTA);
    assert_int_equal(sluice_write(r->session, ends[1], "x", 1, 50 * SL_NS_PER_MS, NULL),
                     SLUICE_EQUOTA);
    assert_int_equal(sluice_ping(r->session, RIG_LONG_NS, NULL), 0); /* takes none */
    assert_int_equal(sluice_cancel(operations[3]), 0);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(sluice_write(r->session, ends[1], "xy", 2, RIG_LONG_NS, NULL), 0);
    assert_true(rig_wait(&tally, 3));
    assert_int_equal(sluice_close(r->session, ends[1], RIG_LONG_NS, NULL), 0);
    assert_true(rig_wait(&tally, 16));
    assert_int_equal(atomic_load(&tally.by_status[-SLUICE_EEOF]), 13);
    for (int i = 0; i < 16; i++) {
        sluice_release(operations[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
        TEST(test_exactly_one, rig_setup_patient),     TEST(test_exactly_one, setup_inline),
        TEST(test_exactly_one_poll, setup_poll), TEST(test_inside_thread, rig_setup_patient),
        TEST(test_inside_poll, setup_poll),    TEST(test_inside_inline, setup_inline),
        TEST(test_poll, setup_poll),           TEST(test_cancel, rig_setup_patient),
        TEST(test_release, rig_setup_patient),         TEST(test_credit, rig_setup_patient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
