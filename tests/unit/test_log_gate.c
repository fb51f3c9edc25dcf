/*
 * test_log_gate.c - what is left out of the log is counted, exactly: one kind about one user, many
 * users, more of them than there are buckets; and a bucket opens again.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/log_gate.h"
#include "base/status.h"

#define FLOOD 200000u
#define TEXT  (1u << 20)

/* Static: outlives a log thread that is still in it when an assertion fails. */
static char text[TEXT];
static size_t text_length;

static bool on_line(void *context, const char *line, size_t length) {
    (void)context;
    if (length >= TEXT - text_length) {
        return false;
    }
    memcpy(text + text_length, line, length);
    text_length += length;
    text[text_length] = '\0';
    return true;
}

static sl_log *open_log(sl_log_level level) {
    sl_log *log = NULL;
    sl_log_options options = {.allocator = sl_allocator_system(),
                              .clock = sl_clock_utc(),
                              .ring_records = 1u << 15,
                              .level = level,
                              .write = on_line};
    text_length = 0;
    text[0] = '\0';
    assert_int_equal(sl_log_create(&options, &log), SLUICE_OK);
    return log;
}

static void close_log(sl_log *log) {
    sl_log_counters counters;
    assert_true(sl_log_stop(log));
    sl_log_counters_get(log, &counters);
    assert_true(counters.dropped == 0 && counters.write_failed == 0);
    assert_true(sl_log_destroy(log));
}

/* Records that the lines with this in them tell of; and how many lines these are. */
static uint64_t count(const char *what, unsigned *ret_lines) {
    uint64_t records = 0;
    *ret_lines = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL;) {
        const char *end = strchr(at, '\n');
        const char *left_out = strstr(at, " left_out=");
        assert_non_null(end);
        records += left_out != NULL && left_out < end ? strtoull(left_out + 10, NULL, 10) : 1;
        (*ret_lines)++;
        at = end;
    }
    return records;
}

static void test_a_flood(void **state) {
    static sl_log_gate gate;
    unsigned lines;
    (void)state;
    sl_log *log = open_log(SL_LOG_INFO);
    sl_log_gate_init(&gate, log);
    for (uint64_t i = 0; i < FLOOD; i++) { /* 20 us each: 4 s, as it was measured */
        sl_log_gate_record(&gate, SL_NS_PER_S + i * 20000, 7, SL_LOG_WARN, "client refused",
                           "uid 2003", NULL, 0);
    }
    assert_true(sl_log_gate_owes(&gate));
    sl_log_gate_tell(&gate, 5 * SL_NS_PER_S);
    assert_false(sl_log_gate_owes(&gate));
    close_log(log);
    assert_int_equal(count(" warn ", &lines), FLOOD);
    assert_int_equal(lines, SL_LOG_GATE_BURST + 1);
    assert_non_null(strstr(text, "client refused text=\"uid 2003\" left_out=199980 seconds=3\n"));
}

/* One more line for each pause, and before it what was left out until then. */
static void test_it_opens_again(void **state) {
    static sl_log_gate gate;
    sl_log_field field = {"n", 0};
    unsigned lines;
    (void)state;
    sl_log *log = open_log(SL_LOG_INFO);
    sl_log_gate_init(&gate, log);
    for (uint64_t s = 0; s < 100; s++) {
        field.value = (int64_t)s;
        sl_log_gate_record(&gate, s * SL_NS_PER_S, 1, SL_LOG_INFO, "again", "a", &field, 1);
    }
    /* Another user has a rate of its own, another kind too. */
    sl_log_gate_record(&gate, 100 * SL_NS_PER_S, 2, SL_LOG_INFO, "again", "b", NULL, 0);
    sl_log_gate_record(&gate, 100 * SL_NS_PER_S, 1, SL_LOG_INFO, "other", "a", NULL, 0);
    sl_log_gate_tell(&gate, 100 * SL_NS_PER_S);
    close_log(log);
    assert_int_equal(count("again text=\"a\"", &lines), 100);
    assert_int_equal(lines, 20 + 9 + 8); /* the burst, one in 10 s, and what was left out */
    assert_non_null(strstr(text, "again text=\"a\" left_out=8 seconds=8\n"));
    assert_non_null(strstr(text, "again text=\"b\"\n"));
    assert_non_null(strstr(text, "other text=\"a\"\n"));
}

/* More users than buckets: the late ones share one; nothing is lost, and no bucket is taken away
 * from somebody who is being counted. Much later all are free again. */
static void test_many_users(void **state) {
    static sl_log_gate gate;
    unsigned lines;
    unsigned others;
    (void)state;
    sl_log *log = open_log(SL_LOG_INFO);
    sl_log_gate_init(&gate, log);
    for (unsigned turn = 0; turn < 40; turn++) {
        for (uint64_t user = 0; user < 200; user++) {
            sl_log_gate_record(&gate, 0, user, SL_LOG_WARN, "refused", "somebody", NULL, 0);
        }
    }
    sl_log_gate_tell(&gate, 0);
    uint64_t late_ns = 1000 * SL_NS_PER_S;
    for (uint64_t user = 1000; user < 1000 + SL_LOG_GATE_BUCKETS; user++) {
        sl_log_gate_record(&gate, late_ns, user, SL_LOG_WARN, "refused", "late", NULL, 0);
    }
    assert_false(sl_log_gate_owes(&gate));
    close_log(log);
    uint64_t shared = count("other records", &others);
    assert_int_equal(others, 1);
    assert_int_equal(count("refused", &lines) + shared, 40 * 200 + SL_LOG_GATE_BUCKETS);
    assert_int_equal(lines, SL_LOG_GATE_BUCKETS * (SL_LOG_GATE_BURST + 2) + SL_LOG_GATE_BURST);
}

/* What is not recorded is not counted either; and debug records are all there. */
static void test_levels(void **state) {
    static sl_log_gate gate;
    unsigned lines;
    (void)state;
    sl_log *log = open_log(SL_LOG_WARN);
    sl_log_gate_init(&gate, log);
    for (unsigned i = 0; i < 100; i++) {
        sl_log_gate_record(&gate, 0, 1, SL_LOG_INFO, "ended", NULL, NULL, 0);
        sl_log_gate_record(&gate, 0, 1, SL_LOG_DEBUG, "ended", NULL, NULL, 0);
    }
    assert_false(sl_log_gate_owes(&gate));
    close_log(log);
    assert_int_equal(text_length, 0);
    log = open_log(SL_LOG_DEBUG);
    sl_log_gate_init(&gate, log);
    for (unsigned i = 0; i < 100; i++) {
        sl_log_gate_record(&gate, 0, 1, SL_LOG_DEBUG, "ended", NULL, NULL, 0);
    }
    close_log(log);
    assert_int_equal(count("ended", &lines), 100);
    assert_int_equal(lines, 100);
    sl_log_gate_init(&gate, NULL);
    sl_log_gate_record(&gate, 0, 1, SL_LOG_WARN, "nowhere", NULL, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood),
        cmocka_unit_test(test_it_opens_again),
        cmocka_unit_test(test_many_users),
        cmocka_unit_test(test_levels),
    };
    return cmocka_run_group_tests_name("log_gate", tests, NULL, NULL);
}
