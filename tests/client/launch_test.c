/*
 * launch_test.c - what a private broker is started with, and how long one that does not serve is
 * waited for. This program stands in for the broker, too: the library starts it as such.
 *
 *     client_launch_test PATH-OF-SLUICED PATH-OF-ITSELF
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/client/rig.h"
#include "tests/client/stand_in.h"

#define TIMEOUT_NS (SL_NS_PER_S / 2)
#define PATH_BYTES 512
#define LOG_BYTES  16384

static const char *broker_path;
static const char *own_path;
static char log_path[PATH_BYTES];

/* ---- in place of the broker ------------------------------------------------------------------ */

static int stand_in(const char *role) {
    if (strcmp(role, "words") == 0) {
        char folder[PATH_BYTES];
        stand_in_folder(folder, sizeof(folder));
        (void)fprintf(stderr, "last words in<%s>\n", folder);
        return 1;
    }
    for (;;) { /* silent, until it is killed */
        sl_event never;
        (void)sl_event_init(&never);
        (void)sl_event_wait_until(&never, SL_CLOCK_NEVER);
    }
}

/* ---- the log --------------------------------------------------------------------------------- */

static const char *read_log(void) {
    static char text[LOG_BYTES];
    FILE *file = fopen(log_path, "r");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    if (file != NULL) {
        (void)fclose(file);
    }
    return text;
}

/* It is written by a process that goes its own way. */
static bool log_will_have(const char *text) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (strstr(read_log(), text) == NULL && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    return strstr(read_log(), text) != NULL;
}

static sluice_open_options with_log(const char *path) {
    (void)remove(log_path);
    return (sluice_open_options){.size = sizeof(sluice_open_options),
                                 .mode = SLUICE_MODE_PRIVATE,
                                 .broker_path = path,
                                 .private_log = log_path};
}

static void test_log_goes_where_the_program_says(void **state) {
    sluice_open_options options = with_log(broker_path);
    sluice_session *session = NULL;
    (void)state;
    options.private_log_level = SLUICE_LOG_INFO;
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    assert_true(log_will_have("listening"));
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    options = with_log(broker_path); /* only warnings and errors: an ordinary life has none */
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), SLUICE_OK);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    assert_string_equal(read_log(), "");
}

/* A handle is copied: the program may close its own. The broker that comes after one that was lost
 * has it, too. */
static void test_log_by_handle(void **state) {
    sluice_open_options options = with_log(own_path);
    sluice_session *session = NULL;
    (void)state;
    stand_in_set_role("words");
    options.private_log = NULL;
    options.private_log_handle = stand_in_open_log(log_path);
    assert_int_equal(sluice_open(&options, &session), SLUICE_ENOBROKER);
    assert_true(log_will_have("last words"));
    stand_in_close_log(options.private_log_handle);
    (void)remove(log_path);
    options.broker_path = broker_path;
    options.private_log_level = SLUICE_LOG_INFO;
    options.private_log_handle = stand_in_open_log(log_path);
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    stand_in_close_log(options.private_log_handle);
    assert_true(log_will_have("listening"));
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
}

/* `sluice ops --endpoint` does this. */
static void test_looking_inside(void **state) {
    sluice_open_options options = with_log(broker_path);
    sluice_session *session = NULL;
    sluice_session *visitor = NULL;
    sluice_session_info info = {.size = sizeof(info)};
    sluice_broker_info broker = {.size = sizeof(broker)};
    (void)state;
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    sluice_open_options visit = {
        .size = sizeof(visit), .mode = SLUICE_MODE_SERVICE, .endpoint = info.endpoint};
    assert_int_equal(sluice_open(&visit, &visitor), SLUICE_OK);
    assert_int_equal(sluice_broker_status(visitor, RIG_LONG_NS, &broker), SLUICE_OK);
    assert_int_equal(broker.process_id, info.broker_process_id);
    assert_int_equal(broker.sessions, 2);
    assert_int_equal(sluice_session_close(visitor), SLUICE_OK);
    assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), SLUICE_OK);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
}

/* Its last words are there, too; and it was not in the program's folder. */
static void test_last_words(void **state) {
    sluice_open_options options = with_log(own_path);
    sluice_session *session = NULL;
    char why[SLUICE_DETAIL_BYTES] = "";
    (void)state;
    options.ret_detail = why;
    options.detail_size = sizeof(why);
    stand_in_set_role("words");
    assert_int_equal(sluice_open(&options, &session), SLUICE_ENOBROKER);
    char wanted[2 * PATH_BYTES];
    (void)snprintf(wanted, sizeof(wanted),
                   "the private broker ended before it was reached%s; its log says why, if it is a "
                   "sluiced: %.500s",
                   stand_in_exit_words, own_path);
    assert_true(strlen(why) > 110 && strlen(why) <= strlen(wanted));
    wanted[strlen(why)] = '\0'; /* a long path is cut */
    assert_string_equal(why, wanted);
    assert_true(log_will_have("last words"));
    assert_true(log_will_have(stand_in_root));
}

static void test_log_options(void **state) {
    sluice_session *session = NULL;
    char why[SLUICE_DETAIL_BYTES] = "";
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = broker_path,
                                   .ret_detail = why,
                                   .detail_size = sizeof(why),
                                   .private_log = "relative"};
    (void)state;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_string_equal(why, "private_log: not an absolute path");
    options.private_log = log_path;
    options.private_log_handle = 1;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_non_null(strstr(why, "one of them"));
    options.private_log = NULL;
    options.private_log_handle = 123456;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_string_equal(why, "private_log_handle: is not open");
    options.private_log_handle = 0;
    options.private_log_level = SLUICE_LOG_DEBUG + 1;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_string_equal(why, "private_log_level: not one of SLUICE_LOG_DEFAULT, _ERROR, _WARNING, "
                             "_INFO, _DEBUG");
}

static void test_log_that_is_only_read(void **state) {
    sluice_session *session = NULL;
    sluice_open_options options = with_log(broker_path);
    (void)state;
    options.private_log = NULL;
    stand_in_close_log(stand_in_open_log(log_path));
    options.private_log_handle = stand_in_open_to_read(log_path);
    if (!stand_in_tells_rights(options.private_log_handle)) {
        stand_in_close_log(options.private_log_handle);
        skip(); /* Wine: whoever may write the file gets a copy that can */
    }
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_string_equal(sluice_last_error()->detail, "private_log_handle: cannot be written to");
    options.mode = SLUICE_MODE_AUTO;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    stand_in_close_log(options.private_log_handle);
}

/* Which path, and why not, as the system says. */
static void test_log_cannot_be_opened(void **state) {
    char path[PATH_BYTES + 32];
    char wanted[SLUICE_DETAIL_BYTES];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s-no-folder/log", log_path);
    for (unsigned i = 0; i < 2; i++) {
        sluice_session *session = NULL;
        const stand_in_refusal *refusal = &stand_in_refusals[i];
        sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE,
                                       .broker_path = broker_path, .private_log = path};
        assert_int_equal(sluice_open(&options, &session), refusal->status);
        (void)snprintf(wanted, sizeof(wanted), "private_log cannot be opened: %s: %.100s",
                       refusal->words, path);
        assert_string_equal(sluice_last_error()->detail, wanted);
        assert_int_equal(sluice_last_error()->os_error, refusal->os_error);
        stand_in_folder(path, sizeof(path));
    }
}

/* The same of a program that the system does not start: a text. */
static void test_no_program(void **state) {
    char wanted[SLUICE_DETAIL_BYTES];
    sluice_session *session = NULL;
    sluice_open_options options = with_log(log_path);
    (void)state;
    options.private_log = NULL;
    FILE *file = fopen(log_path, "w");
    assert_non_null(file);
    assert_true(fputs("no program\n", file) >= 0 && fclose(file) == 0);
    (void)snprintf(wanted, sizeof(wanted), "sluiced cannot be started: %s: %.100s",
                   stand_in_no_start.words, log_path);
    assert_int_equal(sluice_open(&options, &session), stand_in_no_start.status);
    assert_string_equal(sluice_last_error()->detail, wanted);
    assert_int_equal(sluice_last_error()->os_error, stand_in_no_start.os_error);
    (void)remove(log_path);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* One that is alive and does not listen. */
static void test_silent(void **state) {
    sluice_open_options options = with_log(own_path);
    sluice_session *session = NULL;
    char why[SLUICE_DETAIL_BYTES] = "";
    (void)state;
    options.ret_detail = why;
    options.detail_size = sizeof(why);
    options.open_timeout_ns = TIMEOUT_NS;
    stand_in_set_role("silent");
    uint64_t began_ns = rig_now_ns();
    int32_t status = sluice_open(&options, &session);
    uint64_t took_ns = rig_now_ns() - began_ns;
    assert_int_equal(status, SLUICE_ENOBROKER);
    assert_string_equal(why, "the private broker was started, but does not listen");
    assert_true(took_ns >= TIMEOUT_NS);
    assert_true(took_ns < TIMEOUT_NS + SL_NS_PER_S + SL_NS_PER_S / 4);
}

int main(int argc, char **argv) {
    const char *role = getenv(STAND_IN_ROLE);
    if (role != NULL && argc > 1 && strcmp(argv[1], "run") == 0) {
        return stand_in(role);
    }
    broker_path = argc > 1 ? argv[1] : NULL;
    own_path = argc > 2 ? argv[2] : NULL;
    stand_in_log_path(log_path, sizeof(log_path));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_goes_where_the_program_says),
        cmocka_unit_test(test_log_by_handle),
        cmocka_unit_test(test_looking_inside),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_log_options),
        cmocka_unit_test(test_log_that_is_only_read),
        cmocka_unit_test(test_log_cannot_be_opened),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_silent),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)remove(log_path);
    return failed;
}
