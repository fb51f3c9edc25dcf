/*
 * config_test.c - the configuration and the command line of sluiced, without a process: what is
 * good is taken over, and every bad line and word is named, with its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "broker/options.h"

static void test_good_file(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbf# a comment\r\n"
                               "\r\n"
                               "endpoint = some name \r\n"
                               "workers=3\n"
                               "\tlog_level = debug\n"
                               "log_file = C:\\some place\\a.log\n"
                               "allow = first group\n"
                               "allow = second\n"
                               "close_grace = 1500ms\n"
                               "drain_grace_ns = 2 min\n"
                               "receive_buffer_bytes = 128KiB\n"
                               "unresponsive = 10s\n"
                               "idle_buffer = 0\n"
                               "handles = 100"; /* no newline at the end */
    sluiced_config config;
    config_error error = {""};
    config_init(&config);
    assert_int_equal(config_parse(&config, "f", text, sizeof(text) - 1, &error), SLUICE_OK);
    assert_string_equal(config.endpoint, "some name");
    assert_int_equal(config.worker_count, 3);
    assert_int_equal(config.log_level, SL_LOG_DEBUG);
    assert_string_equal(config.log_file, "C:\\some place\\a.log");
    assert_int_equal(config.allow_count, 2);
    assert_string_equal(config.allow[0], "first group");
    assert_string_equal(config.allow[1], "second");
    assert_int_equal(config.limits.close_grace_ns, 1500 * SL_MSEC);
    assert_int_equal(config.limits.drain_grace_ns, 120 * SL_SEC);
    assert_int_equal(config.limits.receive_buffer_bytes, 128 * SL_KIB);
    assert_int_equal(config.limits.idle_buffer_bytes, 0);
    assert_int_equal(config.limits.handles, 100);
    assert_int_equal(config.limits.sessions, 4096);
    assert_int_equal(config_check(&config, &error), SLUICE_OK);
}

static void test_bad_lines(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *where;
        const char *what;
    } rows[] = {
        {"workers", "a.conf:1: ", "want: name = value"},
        {"\n\n= 3", "a.conf:3: ", "want: name = value"},
        {"# x\nworkers =", "a.conf:2: ", "workers: the value is missing"},
        {"colour = red", "a.conf:1: ", "there is no setting \"colour\""},
        {"workers = 65", "a.conf:1: ", "workers: 65 is out of range: 1 to 64"},
        {"workers = two", "a.conf:1: ", "\"two\" is not a whole number"},
        {"workers = -1", "a.conf:1: ", "\"-1\" is not a whole number"},
        {"workers = 1\nworkers = 2", "a.conf:2: ", "workers: set already in line 1"},
        {"close_grace = 1s\nclose_grace_ns = 2s", "a.conf:2: ", "set already in line 1"},
        {"close_grace = 5", "a.conf:1: ", "\"5\" is not a time with its unit"},
        {"close_grace = 5 seconds", "a.conf:1: ", "is not a time with its unit"},
        {"close_grace = 1.5s", "a.conf:1: ", "is not a time with its unit"},
        {"close_grace = 11min", "a.conf:1: ", "11min is out of range: 0 to 10 min"},
        {"close_grace = 99999999999h", "a.conf:1: ", "a number that fits 64 bits"},
        {"handles = 99999999999999999999999", "a.conf:1: ", "a number that fits 64 bits"},
        {"handles = 4KiB", "a.conf:1: ", "\"4KiB\" is not a whole number"},
        {"payload_bytes = 64KB", "a.conf:1: ", "\"64KB\" is not bytes, or a size with KiB"},
        {"payload_bytes = 1B", "a.conf:1: ", "1B is out of range: 64 KiB to 1 MiB"},
        {"log_level = loud", "a.conf:1: ", "\"loud\" is not a log level: error, warn"},
        {"engine = steam", "a.conf:1: ", "\"steam\" is not an engine of this program; it has: "},
        {"workers = 1\nend\x01point = a", "a.conf:2: ", "a control character"},
    };
    for (size_t i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        sluiced_config config;
        config_error error = {""};
        config_init(&config);
        int status = config_parse(&config, "a.conf", rows[i].text, strlen(rows[i].text), &error);
        print_message("%s\n", error.text);
        assert_int_equal(status, SLUICE_EINVAL);
        assert_ptr_equal(strstr(error.text, rows[i].where), error.text);
        assert_non_null(strstr(error.text, rows[i].what));
        assert_null(strchr(error.text, '\n'));
    }
}

static void test_long_lines(void **state) {
    (void)state;
    static char text[4096];
    memset(text, 'x', sizeof(text));
    sluiced_config config;
    config_error error = {""};
    config_init(&config);
    assert_int_equal(config_parse(&config, "f", text, sizeof(text), &error), SLUICE_EINVAL);
    assert_string_equal(error.text, "f:1: the line is longer than 1,023 bytes");

    memcpy(text, "endpoint=", 9);
    assert_int_equal(config_parse(&config, "f", text, 800, &error), SLUICE_EINVAL);
    assert_non_null(strstr(error.text, "f:1: endpoint: longer than 767 bytes"));

    int status = SLUICE_OK;
    for (unsigned i = 0; i <= CONFIG_ALLOW_MAX && status == SLUICE_OK; i++) {
        assert_int_equal(config.allow_count, i);
        status = config_set(&config, "allow", "somebody", &error);
    }
    assert_int_equal(status, SLUICE_EINVAL);
    assert_non_null(strstr(error.text, "allow: more than 16 users and groups"));
}

static void test_between_settings(void **state) {
    (void)state;
    sluiced_config config;
    config_error error = {""};
    config_init(&config);
    assert_int_equal(config_set(&config, "ping_interval", "4s", &error), SLUICE_OK);
    assert_int_equal(config_check(&config, &error), SLUICE_EINVAL);
    assert_non_null(strstr(error.text, "unresponsive_ns: must be at least twice"));
}

/* Words separated by '|'. */
static int parse(const char *words, sluiced_options *ret_options, config_error *ret_error) {
    static char text[1024];
    static char *argv[64];
    (void)snprintf(text, sizeof(text), "%s", words);
    int argc = 0;
    for (char *word = text; word != NULL; argc++) {
        argv[argc] = word;
        word = strchr(word, '|');
        if (word != NULL) {
            *word++ = '\0';
        }
    }
    return options_parse(argc, argv, ret_options, ret_error);
}

static void test_good_options(void **state) {
    (void)state;
    sluiced_options options;
    sluiced_config config;
    config_error error = {""};
    config_init(&config);
    assert_int_equal(parse("sluiced|run|--endpoint|e|--workers=2|--limit|handles=17|--limit="
                           "close_grace=2s|--config|c|--private-for|77",
                           &options, &error),
                     SLUICE_OK);
    assert_int_equal(options.command, OPTIONS_RUN);
    assert_string_equal(options.config_path, "c");
    assert_string_equal(options.private_for, "77");
    assert_int_equal(options_apply(&options, &config, &error), SLUICE_OK);
    assert_string_equal(config.endpoint, "e");
    assert_int_equal(config.worker_count, 2);
    assert_int_equal(config.limits.handles, 17);
    assert_int_equal(config.limits.close_grace_ns, 2 * SL_SEC);

    assert_int_equal(parse("sluiced|service|install|--allow|A B|--name|n", &options, &error),
                     SLUICE_OK);
    assert_int_equal(options.command, OPTIONS_SERVICE_INSTALL);
    assert_string_equal(options.service_name, "n");
    assert_int_equal(parse("sluiced|run|--help", &options, &error), SLUICE_OK);
    assert_int_equal(options.command, OPTIONS_HELP);
}

static void test_bad_options(void **state) {
    (void)state;
    static const struct {
        const char *words;
        const char *what;
    } rows[] = {
        {"sluiced", "a command is missing"},
        {"sluiced|walk", "want run, service, --version or --help, not walk"},
        {"sluiced|--workers|3", "want run, service, --version or --help, not --workers"},
        {"sluiced|run|--colour|red", "unknown option --colour"},
        {"sluiced|run|fast", "unexpected word fast"},
        {"sluiced|run|--workers", "a value is missing after --workers"},
        {"sluiced|run|--workers=", "an empty value for --workers"},
        {"sluiced|run|--config|a|--config|b", "given twice: --config"},
        {"sluiced|run|--limit|handles", "--limit wants NAME=VALUE, not handles"},
        {"sluiced|run|--limit|wishes=3", "--limit: there is no limit wishes"},
        {"sluiced|run|--name|x", "this command has no option --name"},
        {"sluiced|service", "service wants install"},
        {"sluiced|service|dance", "wants install, uninstall, start, stop or status, not dance"},
        {"sluiced|service|install", "service install wants --allow"},
        {"sluiced|service|start|--workers|1", "this command has no option --workers"},
        {"sluiced|service|start|--name|a\"b", "--name wants 1 to 64 letters"},
    };
    for (size_t i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        sluiced_options options;
        config_error error = {""};
        assert_int_equal(parse(rows[i].words, &options, &error), SLUICE_EINVAL);
        print_message("%s\n", error.text);
        assert_non_null(strstr(error.text, rows[i].what));
    }
    sluiced_options options;
    sluiced_config config;
    config_error error = {""};
    config_init(&config);
    assert_int_equal(parse("sluiced|run|--limit|handles=1", &options, &error), SLUICE_OK);
    assert_int_equal(options_apply(&options, &config, &error), SLUICE_EINVAL);
    assert_string_equal(error.text, "--limit: handles: 1 is out of range: 16 to 65,536");
}

static void test_help(void **state) {
    (void)state;
    static char help[16384];
    options_help(help, sizeof(help));
    assert_true(strlen(help) < sizeof(help) - 1000);
    for (size_t i = 0; sl_limit_at(i) != NULL; i++) {
        assert_non_null(strstr(help, sl_limit_at(i)->name));
    }
    assert_non_null(strstr(help, "from / on, of at most 106 bytes"));
    for (const char *line = help; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        assert_true(length <= 100);
        line += length + 1;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),    cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_long_lines),   cmocka_unit_test(test_between_settings),
        cmocka_unit_test(test_good_options), cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
