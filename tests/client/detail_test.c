/*
 * detail_test.c - sentences for people: what the broker says about a refusal or the end of a
 * session, and the library about a call it does not even send, reaches the application.
 *
 *     client_detail_test [PATH OF SLUICED]     with it, one more against the real broker
 */
#include <stdio.h>

#include "client/detail.h"
#include "client/launch.h"
#include "tests/client/rig.h"

#define PATIENCE_NS (1 * SL_NS_PER_S)

#define FAKE_TAKES_NO_LINK \
    "address: only an IPv6 address of one link has a network interface behind a %"

static const char *broker_path;

static void fill(sluice_result *result, uint32_t size) {
    memset(result, 0xaa, sizeof(*result));
    result->size = size;
}

static void test_refused(void **state) {
    rig *r = *state;
    sluice_result result = {.size = sizeof(result)};
    fake_set_mode(&r->fake, FAKE_REFUSE);
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), SLUICE_EINVAL);
    assert_string_equal(result.detail, FAKE_DETAIL);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    for (int i = 0; i < 4; i++) { /* the operation of the refused call is used again */
        fill(&result, sizeof(result));
        assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), SLUICE_OK);
        assert_string_equal(result.detail, "");
    }
}

/* A program that was built before there were details, and one that has less room for them. */
static void test_small_result(void **state) {
    rig *r = *state;
    sluice_result result;
    const uint32_t head = offsetof(sluice_result, detail);
    fake_set_mode(&r->fake, FAKE_REFUSE);
    fill(&result, head);
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), SLUICE_EINVAL);
    assert_int_equal(result.status, SLUICE_EINVAL);
    assert_int_equal((unsigned char)result.detail[0], 0xaa);
    fill(&result, head + 8);
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), SLUICE_EINVAL);
    assert_string_equal(result.detail, "Request");
    assert_int_equal((unsigned char)result.detail[8], 0xaa);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

static void test_refused_asynchronously(void **state) {
    rig *r = *state;
    rig_tally tally;
    memset(&tally, 0, sizeof(tally));
    fake_set_mode(&r->fake, FAKE_REFUSE);
    assert_int_equal(sluice_pair_start(r->session, RIG_LONG_NS, rig_count, &tally, NULL), 0);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_EINVAL);
    assert_string_equal(tally.last.detail, FAKE_DETAIL);
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

/* What the library finds wrong by itself. */
static void test_not_sent(void **state) {
    rig *r = *state;
    sluice_result result = {.size = sizeof(result)};
    assert_int_equal(sluice_connect(r->session, "tcp:localhost", RIG_LONG_NS, &result),
                     SLUICE_EINVAL);
    assert_string_equal(result.detail, "address: tcp:HOST:PORT has no port");
    assert_int_equal(fake_count(&r->fake, SL_REQUEST_CONNECT), 0);
}

static void test_goodbye(void **state) {
    rig *r = *state;
    sluice_handle ends[2];
    char byte;
    rig_tally tally;
    sluice_session_info info = {.size = sizeof(info)};
    sluice_result result = {.size = sizeof(result)};
    memset(&tally, 0, sizeof(tally));
    rig_pair(r, ends);
    assert_int_equal(sluice_session_get_info(r->session, &info), 0);
    assert_string_equal(info.detail, "");
    assert_int_equal(sluice_read_start(r->session, ends[0], &byte, 1, 0, SLUICE_NO_TIMEOUT,
                                       rig_count, &tally, NULL),
                     0);
    fake_set_mode(&r->fake, FAKE_GOODBYE);
    assert_int_equal(sluice_write(r->session, ends[1], "x", 1, RIG_LONG_NS, &result),
                     SLUICE_EBROKERLOST);
    assert_string_equal(result.detail, FAKE_LAST_WORDS);
    assert_true(rig_wait(&tally, 1));
    assert_string_equal(tally.last.detail, FAKE_LAST_WORDS);
    assert_int_equal(sluice_session_get_info(r->session, &info), 0);
    assert_int_equal(info.status, SLUICE_EBROKERLOST);
    assert_string_equal(info.detail, FAKE_LAST_WORDS);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    rig_pair(r, ends); /* a new connection: nothing is said about it */
    assert_int_equal(sluice_session_get_info(r->session, &info), 0);
    assert_int_equal(info.status, SLUICE_OK);
    assert_string_equal(info.detail, "");
}

static void test_violation(void **state) {
    rig *r = *state;
    sluice_result result = {.size = sizeof(result)};
    fake_set_mode(&r->fake, FAKE_GARBAGE);
    assert_int_equal(sluice_pair(r->session, RIG_LONG_NS, &result), SLUICE_EPROTOCOL);
    assert_non_null(strstr(result.detail, "frame control length"));
    fake_set_mode(&r->fake, FAKE_NORMAL);
}

static void expect_no_session(sluice_open_options *options, int32_t status, const char *detail) {
    sluice_session *session = NULL;
    char text[SLUICE_DETAIL_BYTES + 1];
    memset(text, 0xaa, sizeof(text));
    options->size = sizeof(*options);
    options->ret_detail = text;
    options->detail_size = SLUICE_DETAIL_BYTES;
    assert_int_equal(sluice_open(options, &session), status);
    assert_string_equal(text, detail);
    options->detail_size = 1;
    assert_int_equal(sluice_open(options, &session), status);
    assert_string_equal(text, "");
    options->ret_detail = NULL; /* whatever its size */
    assert_int_equal(sluice_open(options, &session), status);
}

static void test_not_opened(void **state) {
    rig *r = *state;
    sluice_open_options refused = {.mode = SLUICE_MODE_SERVICE, .endpoint = r->fake.endpoint};
    fake_set_mode(&r->fake, FAKE_BAD_VERSION);
    expect_no_session(&refused, SLUICE_EVERSION, FAKE_DETAIL);
    /* A broker that has no room is one: nobody is given a private one unasked. */
    fake_set_mode(&r->fake, FAKE_FULL);
    sluice_open_options full = {.mode = SLUICE_MODE_SERVICE, .endpoint = r->fake.endpoint};
    expect_no_session(&full, SLUICE_EQUOTA, FAKE_IS_FULL);
    full.mode = SLUICE_MODE_AUTO;
    expect_no_session(&full, SLUICE_EQUOTA, FAKE_IS_FULL);
    fake_set_mode(&r->fake, FAKE_NORMAL);
    sluice_open_options relative = {.mode = SLUICE_MODE_PRIVATE, .broker_path = "sluiced"};
    expect_no_session(&relative, SLUICE_EINVAL, "broker_path: not an absolute path");
    sluice_open_options empty = {.mode = SLUICE_MODE_SERVICE, .endpoint = ""};
    expect_no_session(&empty, SLUICE_EINVAL, "endpoint: is empty");
    sluice_open_options nameless = {.client_name = ""};
    expect_no_session(&nameless, SLUICE_EINVAL, "client_name: 1 to 64 bytes");
    sluice_open_options modeless = {.mode = 47};
    expect_no_session(&modeless, SLUICE_EINVAL,
                      "mode: not one of SLUICE_MODE_AUTO, _PRIVATE, _SERVICE");
    sluice_open_options gone = {.mode = SLUICE_MODE_PRIVATE, .broker_path = FAKE_NO_PROGRAM};
    expect_no_session(&gone, SLUICE_ENOBROKER, "there is no program at " FAKE_NO_PROGRAM);
    sluice_open_options folder = {.mode = SLUICE_MODE_PRIVATE, .broker_path = FAKE_FOLDER};
    expect_no_session(&folder, SLUICE_ENOBROKER,
                      "sluiced cannot be started: that is a folder: " FAKE_FOLDER);
}

/* How long it is, and how long it may be. */
static void test_long_paths(void **state) {
    (void)state;
    char path[3000 + 1];
    size_t begins = strlen(FAKE_FOLDER);
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    memcpy(path, FAKE_FOLDER, begins);
    sluice_open_options broker = {.mode = SLUICE_MODE_PRIVATE, .broker_path = path};
    expect_no_session(&broker, SLUICE_ENAMETOOLONG, "broker_path: 3000 bytes, at most 2047");
    sluice_open_options log = {.mode = SLUICE_MODE_PRIVATE, .private_log = path};
    expect_no_session(&log, SLUICE_ENAMETOOLONG, "private_log: 3000 bytes, at most 2047");
}

/* Whose server it is that is not trusted, so that a person can judge whether it should be. */
static void test_not_trusted(void **state) {
    rig *r = *state;
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_session_get_info(r->session, &info), 0);
    char wanted[sizeof(info.broker_user) + 64];
    (void)snprintf(wanted, sizeof(wanted),
                   "expected_user: the server's user is %s, not S-1-5-21-1-2-3-4",
                   info.broker_user);
    sluice_open_options strange = {.mode = SLUICE_MODE_SERVICE,
                                   .endpoint = r->fake.endpoint,
                                   .expected_user = "S-1-5-21-1-2-3-4"};
    expect_no_session(&strange, SLUICE_EUNTRUSTED, wanted);
    sluice_open_options nobody = {.mode = SLUICE_MODE_SERVICE, .expected_user = "nobody"};
    expect_no_session(&nobody, SLUICE_EINVAL, "expected_user: neither \"uid N\" nor a SID");
}

/* The sentence is the real broker's: the library leaves the name that it is given to it. */
static void test_real_broker(void **state) {
    (void)state;
    if (broker_path == NULL) {
        skip();
    }
    sluice_open_options options = {
        .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path, .client_name = "\xff"};
    expect_no_session(&options, SLUICE_EINVAL, "client_name: text that is not UTF-8");
}

/* What a real handle cannot do, and why a write after a half-close ends. */
static void test_real_handles(void **state) {
    (void)state;
    if (broker_path == NULL) {
        skip();
    }
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
    sluice_session *session = NULL;
    sluice_result pair = {.size = sizeof(pair)};
    sluice_result result = {.size = sizeof(result)};
    char byte;
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    assert_int_equal(sluice_pair(session, RIG_LONG_NS, &pair), SLUICE_OK);
    assert_int_equal(pair.can[0], SLUICE_CAN_READ);
    assert_int_equal(pair.can[1], SLUICE_CAN_WRITE | SLUICE_CAN_HALF_CLOSE);
    assert_int_equal(sluice_read(session, pair.handles[1], &byte, 1, 0, RIG_LONG_NS, &result),
                     SLUICE_ENOTSUP);
    assert_string_equal(result.detail, "handle: cannot be read");
    assert_string_equal(sluice_last_error()->detail, "handle: cannot be read");
    assert_int_equal(sluice_write(session, pair.handles[0], "x", 1, RIG_LONG_NS, &result),
                     SLUICE_ENOTSUP);
    assert_string_equal(result.detail, "handle: cannot be written");
    assert_int_equal(sluice_accept(session, pair.handles[0], RIG_LONG_NS, &result), SLUICE_ENOTSUP);
    assert_string_equal(result.detail, "handle: is no listener");
    assert_int_equal(sluice_half_close(session, pair.handles[0], RIG_LONG_NS, &result),
                     SLUICE_ENOTSUP);
    assert_string_equal(result.detail, "handle: cannot be half-closed, only closed");
    assert_int_equal(sluice_half_close(session, pair.handles[1], RIG_LONG_NS, NULL), SLUICE_OK);
    assert_int_equal(sluice_write(session, pair.handles[1], "x", 1, RIG_LONG_NS, &result),
                     SLUICE_EBROKENPIPE);
    assert_string_equal(result.detail, "handle: its writing was ended by a half-close");
    assert_int_equal(sluice_read(session, pair.handles[0], &byte, 1, 0, RIG_LONG_NS, &result),
                     SLUICE_EEOF);
    assert_int_equal(sluice_listen(session, "tcp:127.0.0.1:0", 70000, RIG_LONG_NS, &result),
                     SLUICE_EINVAL);
    assert_non_null(strstr(result.detail, "backlog: 70000 is out of range"));
    assert_ptr_equal(result.detail, strstr(result.detail, "backlog"));
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
}

static void expect_refused(sluice_session *session, const char *address, int32_t status,
                           const char *detail) {
    sluice_result result = {.size = sizeof(result)};
    assert_int_equal(sluice_connect(session, address, RIG_LONG_NS, &result), status);
    assert_string_equal(result.detail, detail);
}

/* Of pipes only what concerns pipes is said, of hosts only what concerns hosts. A pipe's name with
 * the system's prefix is the one without. */
static void test_real_addresses(void **state) {
    (void)state;
    if (broker_path == NULL) {
        skip();
    }
    static const char name[] = "sluice-detail-test";
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
    sluice_session *session = NULL;
    sluice_result listener = {.size = sizeof(listener)};
    sluice_result result = {.size = sizeof(result)};
    char address[64];
    char whole[64];
    (void)snprintf(address, sizeof(address), "pipe:%s%s-%u", FAKE_PIPES, name,
                   (unsigned)client_launch_own_id());
    (void)snprintf(whole, sizeof(whole), "pipe:%s%s-%u", FAKE_PIPES_WHOLE, name,
                   (unsigned)client_launch_own_id());
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    expect_refused(session, address, SLUICE_ENOTFOUND, "address: there is no pipe of that name");
    expect_refused(session, "tcp:127.0.0.1%lo:1", SLUICE_ENOTFOUND, FAKE_TAKES_NO_LINK);
    expect_refused(session, "tcp:[::1%lo]:1", SLUICE_ENOTFOUND, FAKE_TAKES_NO_LINK);
    expect_refused(session, "tcp:[fe80::1%no-such-link]:1", SLUICE_ENOTFOUND,
                   "address: there is no network interface of the name behind the %");
    assert_int_equal(sluice_listen(session, whole, 0, RIG_LONG_NS, &listener), SLUICE_OK);
    assert_int_equal(sluice_connect(session, address, RIG_LONG_NS, &result), SLUICE_OK);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
}

/* Which limit: the platform's own, and the library's before it. */
static void test_long_endpoint(void **state) {
    (void)state;
    char name[240 + 1];
    char longer[1000 + 1];
    memset(name, 'a', sizeof(name) - 1);
    memset(longer, 'a', sizeof(longer) - 1);
    name[0] = longer[0] = FAKE_NAME_BEGINS[0];
    name[sizeof(name) - 1] = longer[sizeof(longer) - 1] = '\0';
    sluice_open_options options = {.mode = SLUICE_MODE_SERVICE, .endpoint = name};
    expect_no_session(&options, SLUICE_ENAMETOOLONG, FAKE_240_IS_LONG);
    options.endpoint = longer;
    expect_no_session(&options, SLUICE_ENAMETOOLONG,
                      "endpoint: longer than any name of a pipe or socket");
}

/* Where nobody was found, and what can be done about it. */
static void test_nobody_there(void **state) {
    rig *r = *state;
    char nowhere[ENGINE_PIPE_NAME_BYTES];
    char wanted[SLUICE_DETAIL_BYTES];
    (void)snprintf(nowhere, sizeof(nowhere), "%.60s-nowhere", r->fake.endpoint);
    (void)snprintf(wanted, sizeof(wanted),
                   "no broker listens at %.80s: start sluiced, or use "
                   "a private broker",
                   nowhere);
    sluice_open_options options = {.mode = SLUICE_MODE_SERVICE, .endpoint = nowhere};
    expect_no_session(&options, SLUICE_ENOBROKER, wanted);
    assert_string_equal(sluice_last_error()->detail, wanted);
    assert_int_equal(sluice_last_error()->status, SLUICE_ENOBROKER);
}

/* The service does not come back. A call that looks for it says where, whether its own time is over
 * or the session's. */
static void test_lost_service(void **state) {
    fake_broker gone;
    char wanted[SLUICE_DETAIL_BYTES];
    sluice_session *session;
    sluice_session_info info = {.size = sizeof(info)};
    rig_tally tally;
    (void)state;
    memset(&tally, 0, sizeof(tally));
    fake_start(&gone);
    (void)snprintf(wanted, sizeof(wanted),
                   "no broker listens at %.80s: start sluiced, or use "
                   "a private broker",
                   gone.endpoint);
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = gone.endpoint,
                                   .open_timeout_ns = 3 * PATIENCE_NS};
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    fake_stop(&gone);
    do {
        assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    } while (info.status == SLUICE_OK);
    assert_int_equal(sluice_ping_start(session, PATIENCE_NS, rig_count, &tally, NULL), SLUICE_OK);
    assert_int_equal(sluice_ping(session, PATIENCE_NS, NULL), SLUICE_ETIMEDOUT);
    assert_string_equal(sluice_last_error()->detail, wanted);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_ETIMEDOUT);
    assert_string_equal(tally.last.detail, wanted);
    assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), SLUICE_ENOBROKER);
    assert_string_equal(sluice_last_error()->detail, wanted);
    assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    assert_string_equal(info.detail, wanted);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
}

static void expect_copy(const char *from, size_t size, const char *wanted) {
    char to[SLUICE_DETAIL_BYTES];
    memset(to, 0xaa, sizeof(to));
    client_detail_copy(to, size, from);
    assert_string_equal(to, wanted);
    assert_int_equal((unsigned char)to[size], 0xaa);
}

/* Cut between characters; nothing that a terminal would obey. */
static void test_copy(void **state) {
    (void)state;
    char byte = 'x';
    client_detail_copy(&byte, 0, "text");
    assert_int_equal(byte, 'x');
    expect_copy(NULL, 4, "");
    expect_copy("text", 1, "");
    expect_copy("text", 4, "tex");
    expect_copy("text", 5, "text");
    expect_copy("a\xc3\xbc", 4, "a\xc3\xbc");
    expect_copy("a\xc3\xbc", 3, "a");
    expect_copy("\xf0\x9f\x98\x80", 4, "");
    expect_copy("a\x1b[2J\n\x7f\tz", 20, "a?[2J???z");
    expect_copy("a\xc2\x9b"
                "b",
                20, "a?b");
    expect_copy("a\xc2\xa0"
                "b",
                20,
                "a\xc2\xa0"
                "b");
}

#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, rig_setup_patient, rig_teardown)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        WITH_SESSION(test_refused),          WITH_SESSION(test_small_result),
        WITH_SESSION(test_goodbye),          WITH_SESSION(test_refused_asynchronously),
        WITH_SESSION(test_not_sent),         WITH_SESSION(test_violation),
        WITH_SESSION(test_not_opened),       WITH_SESSION(test_not_trusted),
        WITH_SESSION(test_nobody_there),     cmocka_unit_test(test_long_endpoint),
        cmocka_unit_test(test_long_paths),   cmocka_unit_test(test_real_addresses),
        cmocka_unit_test(test_lost_service), cmocka_unit_test(test_real_handles),
        cmocka_unit_test(test_real_broker),  cmocka_unit_test(test_copy),
    };
    broker_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
