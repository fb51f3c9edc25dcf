/*
 * test_log.c - the log: what a line looks like, exact counts of drops, a sink that blocks, no lost
 * wake-ups, order per recorder.
 */
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"

#define RECORDERS   4u
#define RECORDS     20000u
#define WAKE_ROUNDS 5000u
#define STOP_ROUNDS 2000u
#define BURST       10000u
#define MARGIN_NS   (2 * SL_NS_PER_S) /* beyond the promised second: a loaded machine */

/* A sink of ours: keeps the text, tells when it was entered, blocks or refuses when asked to.
 * Static in each test: it outlives a log thread that is still in it when an assertion fails. */
typedef struct sink {
    char *text;
    size_t size;
    size_t length;
    uint64_t calls;
    bool must_block;
    bool must_refuse;
    sl_event entered;
    sl_event release;
} sink;

static bool write_to_sink(void *context, const char *line, size_t length_bytes) {
    sink *s = context;
    s->calls++;
    bool must_block = s->must_block; /* it may be changed once we have said that we are in */
    bool must_refuse = s->must_refuse;
    sl_event_set(&s->entered);
    if (must_block) {
        (void)sl_event_wait_until(&s->release, SL_CLOCK_NEVER);
    }
    if (must_refuse) {
        return false;
    }
    if (length_bytes <= s->size - s->length) {
        memcpy(s->text + s->length, line, length_bytes);
        s->length += length_bytes;
    }
    return true;
}

static void sink_init(sink *s, size_t size) {
    *s = (sink){.text = calloc(1, size + 1), .size = size};
    assert_non_null(s->text);
    assert_int_equal(sl_event_init(&s->entered), SLUICE_OK);
    assert_int_equal(sl_event_init(&s->release), SLUICE_OK);
}

static void sink_deinit(sink *s) {
    sl_event_deinit(&s->entered);
    sl_event_deinit(&s->release);
    free(s->text);
}

static bool sink_await_call(sink *s) {
    return sl_event_wait_until(&s->entered, unit_deadline_ns(UNIT_PATIENCE_NS));
}

static sl_log *make_log(sink *s, sl_clock *clock, uint32_t ring_records) {
    sl_log *log = NULL;
    sl_log_options options = {.allocator = sl_allocator_system(),
                              .clock = clock,
                              .ring_records = ring_records,
                              .level = SL_LOG_INFO,
                              .write = write_to_sink,
                              .write_context = s};
    assert_int_equal(sl_log_create(&options, &log), SLUICE_OK);
    return log;
}

static sl_log_counters stop(sl_log *log) {
    sl_log_counters counters;
    assert_true(sl_log_stop(log));
    sl_log_counters_get(log, &counters);
    assert_int_equal(counters.recorded,
                     counters.dropped + counters.written + counters.write_failed);
    return counters;
}

/* ---- lines ---- */

static void test_what_a_line_looks_like(void **state) {
    sl_clock_manual clock;
    static sink s;
    char expected[1024];
    char long_text[100];
    const sl_log_field fields[8] = {{"a", 1}, {"b", -2}, {"c", INT64_MIN}, {"d", INT64_MAX},
                                    {"e", 5}, {"f", 6},  {"never", 7},     {"never", 8}};
    /* A status by its name; what is none of the table's as the number it is. */
    const sl_log_field statuses[5] = {{"status", SLUICE_EEOF},
                                      {"status", SLUICE_OK},
                                      {"status", SLUICE_ESYNCHANDLE},
                                      {"status", -SLUICE_STATUS_COUNT},
                                      {"status", 1}};
    (void)state;
    sl_clock_manual_init(&clock, 12 * SL_NS_PER_S + 345);
    sink_init(&s, 4096);
    sl_log *log = make_log(&s, &clock.clock, 0);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    sl_log_record(log, SL_LOG_WARN, "client refused", "quo\"ta\nforged line", fields, 2);
    sl_log_record(log, SL_LOG_ERROR, "plain", NULL, NULL, 0);
    sl_log_record(log, SL_LOG_INFO, "cut", long_text, fields, 8);
    sl_log_record(log, SL_LOG_INFO, "ended", NULL, statuses, 5);
    sl_log_record(log, SL_LOG_DEBUG, "not recorded", NULL, NULL, 0);
    sl_log_record(NULL, SL_LOG_ERROR, "not recorded", NULL, NULL, 0);
    sl_log_counters counters = stop(log);
    assert_int_equal(counters.recorded, 4);
    assert_int_equal(counters.written, 4);
    (void)snprintf(expected, sizeof(expected),
                   "1970-01-01T00:00:12.000Z warn thread=%" PRIu64
                   " client refused text=\"quo\\x22ta\\x0aforged line\" a=1 b=-2\n"
                   "1970-01-01T00:00:12.000Z error thread=%" PRIu64 " plain\n"
                   "1970-01-01T00:00:12.000Z info thread=%" PRIu64
                   " cut text=\"%.63s\" a=1 b=-2 c=-9223372036854775808 d=9223372036854775807"
                   " e=5 f=6\n"
                   "1970-01-01T00:00:12.000Z info thread=%" PRIu64
                   " ended status=EEOF status=OK status=ESYNCHANDLE status=-38 status=1\n",
                   sl_thread_system_id(), sl_thread_system_id(), sl_thread_system_id(), long_text,
                   sl_thread_system_id());
    assert_string_equal(s.text, expected);
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

static void test_an_endless_message_is_cut(void **state) {
    static sink s;
    static char message[5000];
    (void)state;
    memset(message, 'm', sizeof(message) - 1);
    sink_init(&s, 8192);
    sl_log *log = make_log(&s, sl_clock_system(), 2);
    sl_log_record(log, SL_LOG_ERROR, message, NULL, NULL, 0);
    (void)stop(log);
    assert_true(s.length > 900 && s.length <= 1024);
    assert_string_equal(s.text + s.length - 4, "...\n");
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

static void test_bad_options(void **state) {
    static const uint32_t rings[] = {1, 3, 1023, (1u << 20) + 1, 1u << 21};
    sl_log_options options = {.allocator = sl_allocator_system(), .clock = sl_clock_system()};
    sl_log *log = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
        options.ring_records = rings[i];
        assert_int_equal(sl_log_create(&options, &log), SLUICE_EINVAL);
        assert_null(log);
    }
    assert_true(sl_log_destroy(NULL));
}

static bool create_with_failure(uint64_t fail_at, bool from_then_on) {
    unit_memory memory;
    static sink s;
    sl_log *log = NULL;
    unit_memory_init(&memory, fail_at, from_then_on);
    sink_init(&s, 256);
    sl_log_options options = {.allocator = &memory.failpoint.allocator,
                              .clock = sl_clock_system(),
                              .ring_records = 4,
                              .level = SL_LOG_INFO,
                              .write = write_to_sink,
                              .write_context = &s};
    int status = sl_log_create(&options, &log);
    assert_true(status == SLUICE_OK || status == SLUICE_ENOMEM);
    assert_int_equal(status == SLUICE_OK, log != NULL);
    sl_log_record(log, SL_LOG_INFO, "made", NULL, NULL, 0);
    assert_true(sl_log_destroy(log));
    assert_int_equal(s.calls, status == SLUICE_OK);
    sink_deinit(&s);
    unit_memory_deinit(&memory);
    return status == SLUICE_OK;
}

static void test_every_allocation_may_fail(void **state) {
    uint64_t once = 1;
    uint64_t from_then_on = 1;
    (void)state;
    while (!create_with_failure(once, false)) {
        once++;
    }
    while (!create_with_failure(from_then_on, true)) {
        from_then_on++;
    }
    assert_true(once == 3 && from_then_on == 3);
}

/* ---- drops ---- */

static void test_a_full_ring_drops_and_counts(void **state) {
    static sink s;
    sl_log_counters counters;
    (void)state;
    sink_init(&s, 65536);
    s.must_block = true;
    sl_log *log = make_log(&s, sl_clock_system(), 8);
    sl_log_record(log, SL_LOG_INFO, "blocks", NULL, NULL, 0);
    assert_true(sink_await_call(&s));
    s.must_block = false;
    for (unsigned i = 0; i < 8 + 5; i++) { /* never waits: the sink is blocked all the while */
        sl_log_record(log, SL_LOG_INFO, "while blocked", NULL, NULL, 0);
    }
    sl_log_counters_get(log, &counters);
    assert_int_equal(counters.recorded, 14);
    assert_int_equal(counters.dropped, 5);
    sl_event_set(&s.release);
    counters = stop(log);
    assert_int_equal(counters.recorded, 14);
    assert_int_equal(counters.dropped, 5);
    assert_int_equal(counters.written, 9);
    assert_int_equal(s.calls, 9); /* told with the next line: no closing line is needed */
    char *told = strstr(s.text, "while blocked dropped=5\n");
    assert_non_null(told);
    assert_null(strstr(told + strlen("while blocked dropped="), "dropped="));
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

static void test_a_sink_that_refuses(void **state) {
    static sink s;
    (void)state;
    sink_init(&s, 65536);
    s.must_block = true;
    s.must_refuse = true;
    sl_log *log = make_log(&s, sl_clock_system(), 4);
    sl_log_record(log, SL_LOG_INFO, "refused", NULL, NULL, 0);
    assert_true(sink_await_call(&s));
    for (unsigned i = 0; i < 4 + 3; i++) {
        sl_log_record(log, SL_LOG_INFO, "ring", NULL, NULL, 0);
    }
    for (unsigned i = 0; i < 4; i++) { /* the first line and three of the ring's are refused */
        sl_event_set(&s.release);
        assert_true(sink_await_call(&s));
    }
    s.must_refuse = false; /* the fifth call has read it already: it is refused too */
    s.must_block = false;
    sl_event_set(&s.release);
    sl_log_counters counters = stop(log);
    assert_int_equal(counters.write_failed, 5);
    assert_int_equal(counters.written, 0);
    assert_int_equal(counters.dropped, 3);
    /* No line has told the drops so far, and there is no next line: the closing line tells. */
    assert_non_null(strstr(s.text, "log closes dropped=3\n"));
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

/* ---- many recorders ---- */

typedef struct recorder {
    sl_log *log;
    int64_t number;
} recorder;

static void run_recorder(void *context) {
    recorder *self = context;
    for (unsigned i = 0; i < RECORDS; i++) {
        const sl_log_field fields[2] = {{"recorder", self->number}, {"n", i}};
        sl_log_record(self->log, SL_LOG_INFO, "many", NULL, fields, 2);
        if (i % 32 == 0) { /* else one recorder after the other fills the ring in its time slice */
            sl_thread_yield();
        }
    }
}

/* Reads " name=NUMBER" from one line. */
static bool parse_field(const char *line, const char *name, uint64_t *ret_value) {
    const char *found = strstr(line, name);
    if (found == NULL) {
        return false;
    }
    *ret_value = strtoull(found + strlen(name), NULL, 10);
    return true;
}

static void test_order_and_counts_with_many_recorders(void **state) {
    static sink s;
    sl_thread threads[RECORDERS];
    recorder recorders[RECORDERS];
    uint64_t next[RECORDERS] = {0};
    uint64_t lines = 0;
    uint64_t dropped_told = 0;
    (void)state;
    sink_init(&s, (size_t)RECORDERS * RECORDS * 128);
    sl_log *log = make_log(&s, sl_clock_system(), 1024);
    for (unsigned i = 0; i < RECORDERS; i++) {
        recorders[i] = (recorder){log, i};
        unit_thread_start(&threads[i], run_recorder, &recorders[i]);
    }
    for (unsigned i = 0; i < RECORDERS; i++) {
        sl_thread_join(&threads[i]);
    }
    sl_log_counters counters = stop(log);
    assert_int_equal(counters.recorded, RECORDERS * RECORDS);
    assert_int_equal(counters.write_failed, 0);
    for (char *line = s.text; *line != '\0';) {
        char *end = memchr(line, '\n', s.length - (size_t)(line - s.text));
        uint64_t who = 0;
        uint64_t n = 0;
        uint64_t dropped = 0;
        assert_non_null(end);
        *end = '\0';
        if (parse_field(line, " recorder=", &who)) {
            assert_true(who < RECORDERS && parse_field(line, " n=", &n));
            assert_true(n >= next[who] && n < RECORDS); /* in order, gaps are drops */
            next[who] = n + 1;
            lines++;
        }
        dropped_told += parse_field(line, " dropped=", &dropped) ? dropped : 0;
        line = end + 1;
    }
    assert_int_equal(counters.written, lines);
    assert_int_equal(counters.dropped, dropped_told);
    print_message("log: %" PRIu64 " written, %" PRIu64 " dropped and told\n", lines, dropped_told);
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

/* Each record must wake the log thread by itself. */
static void test_no_wake_up_is_lost(void **state) {
    static sink s;
    uint64_t cost_ns = 0;
    (void)state;
    sink_init(&s, 16);
    sl_log *log = make_log(&s, sl_clock_system(), 2);
    for (unsigned i = 0; i < WAKE_ROUNDS; i++) {
        uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
        sl_log_record(log, SL_LOG_INFO, "wake", NULL, NULL, 0);
        cost_ns += sl_clock_now_ns(sl_clock_system()) - start_ns;
        assert_true(sink_await_call(&s));
    }
    sl_log_counters counters = stop(log);
    assert_int_equal(counters.dropped, 0);
    assert_int_equal(counters.written, WAKE_ROUNDS);
    print_message("log: %" PRIu64 " ns a record (log thread mostly asleep)\n",
                  cost_ns / WAKE_ROUNDS);
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

/* Recorded before the stop = written, wherever the log thread happens to be. */
static void test_stopping_loses_nothing(void **state) {
    static sink s;
    (void)state;
    sink_init(&s, 16);
    for (unsigned i = 0; i < STOP_ROUNDS; i++) {
        sl_log *log = make_log(&s, sl_clock_system(), 4);
        if (i % 2 == 0) { /* let the log thread find the ring empty first, or come to it late */
            sl_thread_yield();
        }
        sl_log_record(log, SL_LOG_INFO, "one", NULL, NULL, 0);
        sl_log_record(log, SL_LOG_INFO, "two", NULL, NULL, 0);
        assert_int_equal(stop(log).written, 2);
        assert_true(sl_log_destroy(log));
    }
    sink_deinit(&s);
}

static void test_cost_of_a_record(void **state) {
    static sink s;
    const sl_log_field fields[3] = {{"a", 1}, {"b", 2}, {"c", 3}};
    (void)state;
    sink_init(&s, 16);
    s.must_block = true;
    sl_log *log = make_log(&s, sl_clock_system(), 1u << 14);
    sl_log_record(log, SL_LOG_INFO, "blocks", NULL, NULL, 0);
    assert_true(sink_await_call(&s));
    s.must_block = false;
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    for (unsigned i = 0; i < BURST; i++) {
        sl_log_record(log, SL_LOG_INFO, "cost", "some text", fields, 3);
    }
    uint64_t end_ns = sl_clock_now_ns(sl_clock_system());
    sl_event_set(&s.release);
    assert_int_equal(stop(log).dropped, 0);
    print_message("log: %" PRIu64 " ns a record (log thread busy)\n", (end_ns - start_ns) / BURST);
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

/* ---- shutdown ---- */

static void test_shutdown_does_not_wait_for_a_blocked_sink(void **state) {
    static sink s;
    sl_log_counters counters;
    (void)state;
    sink_init(&s, 4096);
    s.must_block = true;
    sl_log *log = make_log(&s, sl_clock_system(), 16);
    for (unsigned i = 0; i < 4; i++) {
        sl_log_record(log, SL_LOG_INFO, "blocked", NULL, NULL, 0);
    }
    assert_true(sink_await_call(&s));
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    assert_false(sl_log_destroy(log));
    uint64_t waited_ns = sl_clock_now_ns(sl_clock_system()) - start_ns;
    assert_true(waited_ns >= SL_LOG_SHUTDOWN_NS && waited_ns < SL_LOG_SHUTDOWN_NS + MARGIN_NS);
    print_message("log: shutdown waited %" PRIu64 " ms\n", waited_ns / SL_NS_PER_MS);
    /* The sink comes back after all: that line is finished, no other is begun. */
    sl_event_set(&s.release);
    while (!sl_log_stop(log)) {
        assert_true(sl_clock_now_ns(sl_clock_system()) - start_ns < UNIT_PATIENCE_NS);
    }
    sl_log_counters_get(log, &counters);
    assert_int_equal(counters.recorded, 4);
    assert_int_equal(counters.written, 1);
    assert_int_equal(counters.dropped, 3);
    assert_int_equal(s.calls, 1);
    assert_true(sl_log_destroy(log));
    sink_deinit(&s);
}

/* The real thing: standard error is a pipe that nobody reads. */
static void test_a_process_ends_while_standard_error_blocks(void **state) {
    unit_child child;
    (void)state;
    unit_child_run("full-pipe", UNIT_CHILD_LEAVE_PIPE_FULL, &child);
    assert_false(child.has_aborted);
    assert_int_equal(child.exit_code, 0);
    assert_non_null(strstr(child.errors, " info thread="));
}

static void test_standard_error_is_the_default_sink(void **state) {
    unit_child child;
    (void)state;
    unit_child_run("default-sink", UNIT_CHILD_READ, &child);
    assert_int_equal(child.exit_code, 0);
    assert_non_null(strstr(child.errors, " to standard error answer=42\n"));
}

static int run_as_child(const char *what) {
    static sl_log *log; /* static: what is left to the process's end is not leaked */
    bool is_full = strcmp(what, "full-pipe") == 0;
    const sl_log_field fields[1] = {{"answer", 42}};
    sl_log_options options = {.allocator = sl_allocator_system(),
                              .clock = sl_clock_system(),
                              .ring_records = 4096,
                              .level = SL_LOG_INFO};
    if (sl_log_create(&options, &log) != SLUICE_OK) {
        return 10;
    }
    for (unsigned i = 0; i < (is_full ? 4000u : 1u); i++) {
        sl_log_record(log, SL_LOG_INFO, "to standard error", NULL, fields, 1);
    }
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    bool has_ended = sl_log_destroy(log);
    uint64_t waited_ns = sl_clock_now_ns(sl_clock_system()) - start_ns;
    if (has_ended == is_full) {
        return 11;
    }
    return waited_ns < SL_LOG_SHUTDOWN_NS + MARGIN_NS ? 0 : 12;
}

int main(int argument_count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_line_looks_like),
        cmocka_unit_test(test_an_endless_message_is_cut),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_a_full_ring_drops_and_counts),
        cmocka_unit_test(test_a_sink_that_refuses),
        cmocka_unit_test(test_order_and_counts_with_many_recorders),
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_stopping_loses_nothing),
        cmocka_unit_test(test_cost_of_a_record),
        cmocka_unit_test(test_shutdown_does_not_wait_for_a_blocked_sink),
        cmocka_unit_test(test_a_process_ends_while_standard_error_blocks),
        cmocka_unit_test(test_standard_error_is_the_default_sink),
    };
    if (argument_count > 1) {
        return run_as_child(arguments[1]);
    }
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
