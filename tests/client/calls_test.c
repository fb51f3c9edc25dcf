/*
 * calls_test.c - the synchronous calls: what they return, when, and what is never lost.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/client/rig.h"

static void test_words(void **state) {
    (void)state;
    assert_string_equal(sluice_status_name(SLUICE_EFORKED), "EFORKED");
    assert_string_equal(sluice_status_name(-999), "UNKNOWN");
    assert_true(strlen(sluice_status_sentence(SLUICE_ETORN)) > 10);
    assert_string_equal(sluice_version(), "0.1.0");
}

static void test_stream(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char text[16];
    sluice_result result = {.size = sizeof(result)};
    rig_pair(r, ends);
    assert_int_equal(sluice_write(r->session, ends[1], "hello", 5, RIG_LONG_NS, &result), 0);
    assert_int_equal(result.done, 5);
    assert_int_equal(sluice_read(r->session, ends[0], text, 3, 0, RIG_LONG_NS, &result), 0);
    assert_int_equal(result.done, 3);
    assert_memory_equal(text, "hel", 3);
    assert_int_equal(sluice_close(r->session, ends[1], RIG_LONG_NS, NULL), 0);
    assert_int_equal(sluice_write(r->session, ends[1], "x", 1, RIG_LONG_NS, &result),
                     SLUICE_EBADHANDLE);
    assert_int_equal(sluice_read(r->session, ends[0], text, 16, SLUICE_READ_ALL, RIG_LONG_NS,
                                 &result),
                     SLUICE_EEOF);
    assert_int_equal(result.done, 2);
    assert_int_equal(sluice_read(r->session, ends[0], text, 16, 0, RIG_LONG_NS, &result),
                     SLUICE_EEOF);
    assert_int_equal(sluice_close(r->session, ends[0], RIG_LONG_NS, NULL), 0);
    assert_int_equal(sluice_close(r->session, ends[0], RIG_LONG_NS, NULL), SLUICE_EBADHANDLE);
    assert_int_equal(sluice_read(r->session, 12345, text, 1, 0, RIG_LONG_NS, NULL),
                     SLUICE_EBADHANDLE);
}

static void test_large(void **state) {
    rig *r = *state;
    const uint32_t size = 1024 * 1024;
    uint8_t *out = malloc(size + 1);
    uint8_t *in = malloc(size);
    sluice_handle ends[2];
    sluice_result result = {.size = sizeof(result)};
    rig_pair(r, ends);
    for (uint32_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(i * 31 + i / 251);
    }
    for (int round = 0; round < 3; round++) {
        atomic_store(&r->fake.trickle, round == 2 ? 777 : 0);
        assert_int_equal(sluice_write(r->session, ends[1], out, size, RIG_LONG_NS, &result), 0);
        assert_int_equal(result.done, size);
        memset(in, 0, size);
        assert_int_equal(sluice_read(r->session, ends[0], in, size, SLUICE_READ_ALL, RIG_LONG_NS,
                                     &result),
                         0);
        assert_int_equal(result.done, size);
        assert_memory_equal(in, out, size);
    }
    assert_int_equal(sluice_write(r->session, ends[1], out, size + 1, RIG_LONG_NS, &result),
                     SLUICE_ETOOLARGE);
    free(out);
    free(in);
}

static void test_arguments(void **state) {
    rig *r = *state;
    sluice_result result = {.size = sizeof(result)};
    sluice_result small = {.size = 4};
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, NULL), SLUICE_EINVAL);
    assert_int_equal(sluice_ping(r->session, RIG_LONG_NS, &small), SLUICE_EINVAL);
    assert_int_equal(sluice_ping(NULL, RIG_LONG_NS, NULL), SLUICE_EINVAL);
    assert_int_equal(sluice_ping(r->session, 0, NULL), SLUICE_ETIMEDOUT);
    assert_int_equal(sluice_connect(r->session, "nonsense", RIG_LONG_NS, &result), SLUICE_EINVAL);
    assert_int_equal(sluice_connect(r->session, NULL, RIG_LONG_NS, &result), SLUICE_EINVAL);
    assert_int_equal(sluice_read(r->session, 1, NULL, 5, 0, RIG_LONG_NS, &result), SLUICE_EINVAL);
    assert_int_equal(sluice_half_close(r->session, 0, RIG_LONG_NS, &result), SLUICE_EBADHANDLE);
    small.size = 8; /* what an older caller knows */
    assert_int_equal(sluice_ping(r->session, RIG_LONG_NS, &small), 0);
    assert_int_equal(small.size, 8);
}

static void test_looking(void **state) {
    rig *r = *state;
    sluice_broker_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_broker_status(r->session, RIG_LONG_NS, &info), 0);
    assert_int_equal(info.workers, 3);
    assert_string_equal(info.broker_version, "fake");
    sluice_ops_row rows[8];
    uint32_t count;
    uint64_t cursor;
    assert_int_equal(sluice_ops(r->session, NULL, RIG_LONG_NS, rows, 8, &count, &cursor), 0);
    assert_int_equal(count, 2);
    assert_int_equal(cursor, 9);
    assert_string_equal(rows[1].kind_name, "write");
    assert_string_equal(rows[1].client_name, "two");
    sluice_session_info session = {.size = sizeof(session)};
    assert_int_equal(sluice_session_get_info(r->session, &session), 0);
    assert_int_equal(session.mode, SLUICE_MODE_SERVICE);
    assert_int_equal(session.connection_count, 1);
    assert_string_equal(session.engine_name, "fake");
    assert_string_equal(session.endpoint, r->fake.endpoint);
    sluice_result result = {.size = sizeof(result)};
    char address[544];
    assert_int_equal(sluice_listen(r->session, "tcp:127.0.0.1:0", 0, RIG_LONG_NS, &result), 0);
    assert_int_equal(result.can[0], SLUICE_CAN_ACCEPT);
    assert_int_equal(sluice_local_address(r->session, result.handles[0], address, 544), 0);
    assert_string_equal(address, "tcp:127.0.0.1:4711");
    assert_int_equal(sluice_local_address(r->session, result.handles[0], address, 5),
                     SLUICE_EINVAL);
}

/* A broker that says nothing: the deadline and the grace, not longer. */
static void test_deadline_when_silent(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char byte;
    rig_pair(r, ends);
    fake_set_mode(&r->fake, FAKE_SILENT);
    uint64_t start_ns = rig_now_ns();
    assert_int_equal(sluice_read(r->session, ends[0], &byte, 1, 0, 100 * SL_NS_PER_MS, NULL),
                     SLUICE_ETIMEDOUT);
    uint64_t took_ns = rig_now_ns() - start_ns;
    assert_true(took_ns >= 100 * SL_NS_PER_MS);
    assert_true(took_ns < 100 * SL_NS_PER_MS + RIG_GRACE_NS + RIG_SLACK_NS);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

/* ... and without a deadline, until it is given up. */
static void test_unresponsive(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char byte;
    sluice_result result = {.size = sizeof(result)};
    rig_pair(r, ends);
    fake_set_mode(&r->fake, FAKE_SILENT);
    uint64_t start_ns = rig_now_ns();
    assert_int_equal(sluice_read(r->session, ends[0], &byte, 1, 0, SLUICE_NO_TIMEOUT, NULL),
                     SLUICE_EUNRESPONSIVE);
    assert_non_null(strstr(sluice_last_error()->detail,
                           "the broker owed an answer, and was silent for 600 ms: "));
    uint64_t took_ns = rig_now_ns() - start_ns;
    assert_true(took_ns >= 550 * SL_NS_PER_MS && took_ns < 600 * SL_NS_PER_MS + RIG_SLACK_NS);
    assert_true(fake_count(&r->fake, SL_REQUEST_PING) == 1);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    assert_int_equal(sluice_read(r->session, ends[0], &byte, 1, 0, RIG_LONG_NS, NULL),
                     SLUICE_ESTALE);
    char wanted[SLUICE_DETAIL_BYTES];
    (void)snprintf(wanted, sizeof(wanted),
                   "handle: %llu is of a connection that is lost; open it again",
                   (unsigned long long)ends[0]);
    assert_string_equal(sluice_last_error()->detail, wanted);
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), 0);
}

/* A quiet broker that answers pings is no silent one. */
static void test_patience(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char byte;
    rig_pair(r, ends);
    /* One read waits long enough for four pings, unless the machine is loaded. */
    for (int i = 0; i < 10 && fake_count(&r->fake, SL_REQUEST_PING) < 3; i++) {
        assert_int_equal(sluice_read(r->session, ends[0], &byte, 1, 0, 900 * SL_NS_PER_MS, NULL),
                         SLUICE_ETIMEDOUT);
    }
    assert_true(fake_count(&r->fake, SL_REQUEST_PING) >= 3);
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_session_get_info(r->session, &info), 0);
    assert_int_equal(info.connection_count, 1);
}

/* The answer comes after the call has given up: its bytes are the next read's, in order. */
static void test_late_data(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char text[16];
    sluice_result result = {.size = sizeof(result)};
    rig_pair(r, ends);
    assert_int_equal(sluice_write(r->session, ends[1], "abcdefghij", 10, RIG_LONG_NS, NULL), 0);
    fake_set_mode(&r->fake, FAKE_HOLD);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sluice_read(r->session, ends[0], text, 3, 0, 10 * SL_NS_PER_MS, &result),
                         SLUICE_ETIMEDOUT);
        assert_int_equal(result.done, 0);
    }
    fake_set_mode(&r->fake, FAKE_NORMAL);
    assert_int_equal(sluice_read(r->session, ends[0], text, 10, SLUICE_READ_ALL, RIG_LONG_NS,
                                 &result),
                     0);
    assert_memory_equal(text, "abcdefghij", 10);
    assert_int_equal(sluice_write(r->session, ends[1], "kl", 2, RIG_LONG_NS, NULL), 0);
    assert_int_equal(sluice_read(r->session, ends[0], text, 10, 0, RIG_LONG_NS, &result), 0);
    assert_int_equal(result.done, 2);
}

/* What is opened too late is closed. */
static void test_late_handles(void **state) {
    rig *r = *state;
    sluice_result result = {.size = sizeof(result)};
    fake_set_mode(&r->fake, FAKE_HOLD);
    assert_int_equal(sluice_pair(r->session, 10 * SL_NS_PER_MS, &result), SLUICE_ETIMEDOUT);
    assert_int_equal(atomic_load(&r->fake.open_handles), 2);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (atomic_load(&r->fake.open_handles) != 0 && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    assert_int_equal(atomic_load(&r->fake.open_handles), 0);
}

static void test_write_in_doubt(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    sluice_result result = {.size = sizeof(result)};
    rig_pair(r, ends);
    fake_set_mode(&r->fake, FAKE_HOLD);
    assert_int_equal(sluice_write(r->session, ends[1], "abc", 3, 10 * SL_NS_PER_MS, &result),
                     SLUICE_ETIMEDOUT);
    assert_int_equal(result.done, 0);
    assert_int_equal(result.in_doubt, 3);
    /* A close is not waited for longer than asked, and goes on. */
    assert_int_equal(sluice_close(r->session, ends[1], 10 * SL_NS_PER_MS, NULL),
                     SLUICE_ETIMEDOUT);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    assert_int_equal(sluice_close(r->session, ends[0], RIG_LONG_NS, NULL), 0);
    assert_int_equal(atomic_load(&r->fake.open_handles), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name)    cmocka_unit_test_setup_teardown(name, rig_setup_patient, rig_teardown)
#define SILENCE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
        TEST(test_words),      TEST(test_stream),          TEST(test_large),
        TEST(test_arguments),  TEST(test_looking),         TEST(test_deadline_when_silent),
        TEST(test_late_data),  SILENCE(test_unresponsive), SILENCE(test_patience),
        TEST(test_late_handles), TEST(test_write_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
