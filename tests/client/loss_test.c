/*
 * loss_test.c - the broker dies, talks nonsense, or is not there.
 */
#include "tests/client/rig.h"

#include <stdio.h>
#include <stdlib.h>

#define THREADS 16
#define CALLS   63

typedef struct victim {
    rig *rig;
    sluice_handle ends[2];
    uint32_t outcomes[64];
    uint64_t slowest_ns;
} victim;

static void run_victim(void *context) {
    victim *v = context;
    char byte;
    for (int i = 0; i < CALLS; i++) {
        uint64_t start_ns = rig_now_ns();
        int32_t status = i % 2 == 0
                             ? sluice_read(v->rig->session, v->ends[0], &byte, 1, 0,
                                           RIG_LONG_NS, NULL)
                             : sluice_write(v->rig->session, v->ends[1], "x", 1, RIG_LONG_NS, NULL);
        uint64_t took_ns = rig_now_ns() - start_ns;
        v->slowest_ns = took_ns > v->slowest_ns ? took_ns : v->slowest_ns;
        v->outcomes[-status]++;
    }
}

/* 1,008 calls from 16 threads; the broker goes in the middle. */
static void lose_in_the_middle(rig *r, bool is_silent, int expected) {
    static victim victims[THREADS];
    sl_thread threads[THREADS];
    uint64_t reads_before = fake_count(&r->fake, SL_REQUEST_READ);
    memset(victims, 0, sizeof(victims));
    for (int i = 0; i < THREADS; i++) {
        victims[i].rig = r;
        rig_pair(r, victims[i].ends);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(sl_thread_start(&threads[i], "victim", run_victim, &victims[i]), 0);
    }
    /* Until each thread's first call is with the broker: one that the library had not sent yet
     * would find its handle stale instead of its call lost. */
    while (fake_count(&r->fake, SL_REQUEST_READ) < reads_before + THREADS) {
        sl_thread_yield();
    }
    uint64_t start_ns = rig_now_ns();
    if (is_silent) {
        fake_set_mode(&r->fake, FAKE_SILENT);
    } else {
        fake_kill(&r->fake);
    }
    uint32_t lost = 0;
    uint32_t stale = 0;
    for (int i = 0; i < THREADS; i++) {
        sl_thread_join(&threads[i]);
        lost += victims[i].outcomes[-expected];
        stale += victims[i].outcomes[-SLUICE_ESTALE];
    }
    assert_true(rig_now_ns() - start_ns < 600 * SL_NS_PER_MS + 2 * RIG_SLACK_NS);
    assert_int_equal(lost, THREADS);
    assert_int_equal(lost + stale, THREADS * CALLS);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    rig_pair(r, victims[0].ends); /* connects again */
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_session_get_info(r->session, &info), 0);
    assert_int_equal(info.connection_count, 2);
    assert_int_equal(info.status, SLUICE_OK);
}

static void test_killed(void **state) {
    lose_in_the_middle(*state, false, SLUICE_EBROKERLOST);
}

static void test_suspended(void **state) {
    lose_in_the_middle(*state, true, SLUICE_EUNRESPONSIVE);
}

/* What has been sent of a write is in doubt, the rest is not. */
static void test_in_doubt(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    rig_tally tally;
    static char bytes[300000];
    memset(&tally, 0, sizeof(tally));
    rig_pair(r, ends);
    fake_set_mode(&r->fake, FAKE_SILENT);
    assert_int_equal(sluice_write_start(r->session, ends[1], bytes, sizeof(bytes),
                                        SLUICE_NO_TIMEOUT, rig_count, &tally, NULL),
                     0);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_EUNRESPONSIVE);
    assert_int_equal(tally.last.done, 0);
    assert_true(tally.last.in_doubt <= sizeof(bytes) && tally.last.in_doubt > 0);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

static void test_nonsense(void **state) {
    rig *r = *state;
    const fake_mode modes[] = {FAKE_GARBAGE, FAKE_WRONG_ID};
    for (size_t i = 0; i < 2; i++) {
        sluice_handle ends[2];
        rig_pair(r, ends);
        fake_set_mode(&r->fake, modes[i]);
        assert_int_equal(sluice_write(r->session, ends[1], "x", 1, RIG_LONG_NS, NULL),
                         SLUICE_EPROTOCOL);
        fake_set_mode(&r->fake, FAKE_NORMAL);
    }
    sluice_handle ends[2];
    char byte;
    rig_pair(r, ends);
    assert_int_equal(sluice_write(r->session, ends[1], "abc", 3, RIG_LONG_NS, NULL), 0);
    fake_set_mode(&r->fake, FAKE_TOO_MUCH);
    assert_int_equal(sluice_read(r->session, ends[0], &byte, 1, 0, RIG_LONG_NS, NULL),
                     SLUICE_EPROTOCOL);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

/* Goodbye is the end, although the connection stays open: its close may be stuck in the broker. */
static void test_goodbye(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char byte;
    rig_tally tally;
    memset(&tally, 0, sizeof(tally));
    rig_pair(r, ends);
    assert_int_equal(sluice_read_start(r->session, ends[0], &byte, 1, 0, SLUICE_NO_TIMEOUT,
                                       rig_count, &tally, NULL),
                     0);
    fake_set_mode(&r->fake, FAKE_GOODBYE);
    uint64_t start_ns = rig_now_ns();
    assert_int_equal(sluice_write(r->session, ends[1], "x", 1, RIG_LONG_NS, NULL),
                     SLUICE_EBROKERLOST);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_EBROKERLOST);
    assert_true(rig_now_ns() - start_ns < RIG_SLACK_NS); /* nobody waited for an end of file */
    fake_set_mode(&r->fake, FAKE_NORMAL);
    rig_pair(r, ends); /* connects again, and has closed the old connection itself */
    while (atomic_load(&r->fake.connection_count) != 1) {
        assert_true(rig_now_ns() - start_ns < RIG_LONG_NS);
        sl_thread_yield();
    }
}

static void test_trickle(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    atomic_store(&r->fake.trickle, 1);
    for (int i = 0; i < 50; i++) {
        rig_pair(r, ends);
    }
    atomic_store(&r->fake.trickle, 0);
}

static void test_open_fails(void **state) {
    rig *r = *state;
    sluice_session *session = (sluice_session *)(void *)r;
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = r->fake.endpoint, .open_timeout_ns = RIG_LONG_NS};
    fake_set_mode(&r->fake, FAKE_BAD_VERSION);
    assert_int_equal(sluice_open(&options, &session), SLUICE_EVERSION);
    assert_null(session);
    fake_set_mode(&r->fake, FAKE_GARBAGE);
    assert_int_equal(sluice_open(&options, &session), SLUICE_EPROTOCOL);
    fake_set_mode(&r->fake, FAKE_MUTE_HELLO);
    options.open_timeout_ns = SL_NS_PER_S;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EUNRESPONSIVE);
    options.open_timeout_ns = SLUICE_NO_TIMEOUT; /* nor does that mean for ever */
    assert_int_equal(sluice_open(&options, &session), SLUICE_EUNRESPONSIVE);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    options.open_timeout_ns = RIG_LONG_NS;
    char nowhere[300];
    (void)snprintf(nowhere, sizeof(nowhere), "%.200s-nowhere", r->fake.endpoint);
    options.endpoint = nowhere;
    assert_int_equal(sluice_open(&options, &session), SLUICE_ENOBROKER);
    options.mode = SLUICE_MODE_AUTO; /* neither a service nor a sluiced beside this test */
    assert_int_equal(sluice_open(&options, &session), SLUICE_ENOBROKER);
    options.mode = 7;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    options.mode = SLUICE_MODE_PRIVATE;
    options.broker_path = "sluiced";
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_int_equal(sluice_open(NULL, NULL), SLUICE_EINVAL);
}

/* Memory that runs out at any point is an error, not the end. */
static void test_memory(void **state) {
    rig *r = *state;
    for (uint64_t at = 1; at < 40; at++) {
        sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                       .endpoint = r->fake.endpoint};
        sl_alloc_failpoint memory;
        sl_alloc_failpoint_init(&memory, sl_allocator_system(), at, false);
        client_tuning tuning = {.allocator = &memory.allocator,
                                .backend = engine_backend_find(NULL)};
        sluice_session *session = NULL;
        int32_t status = client_session_open(&options, &tuning, &session);
        assert_true(status == SLUICE_OK || status == SLUICE_ENOMEM);
        if (session != NULL) {
            sluice_result result = {.size = sizeof(result)};
            status = sluice_pair(session, RIG_LONG_NS, &result);
            assert_true(status == SLUICE_OK || status == SLUICE_ENOMEM);
        }
        assert_int_equal(sluice_session_close(session), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name)    cmocka_unit_test_setup_teardown(name, rig_setup_patient, rig_teardown)
#define SILENCE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        TEST(test_killed),  SILENCE(test_suspended), SILENCE(test_in_doubt), TEST(test_nonsense),
        TEST(test_trickle), TEST(test_open_fails),   TEST(test_memory),      TEST(test_goodbye),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
