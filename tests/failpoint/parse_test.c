/*
 * parse_test.c - the grammar of failpoints: what it takes, what it refuses and in which column; and
 * what the points of this process do then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/failpoint_parse.h"
#include "base/thread.h"

static failpoint_plan plans[SL_FAILPOINT_COUNT];
static char error[SL_FAILPOINT_ERROR_BYTES];

static const failpoint_plan *plan_of(const char *text, sl_failpoint point) {
    if (!failpoint_parse(text, plans, error)) {
        print_error("%s: %s\n", text, error);
        fail();
    }
    return &plans[point];
}

static void terms_are_read(void **state) {
    (void)state;
    const failpoint_plan *p = plan_of(
        " engine.submit = 25%3*return(EQUOTA) -> 10*delay(250)->pause -> kill ; broker.end=off;",
        SL_FAILPOINT_engine_submit);
    assert_true(p->is_named);
    assert_int_equal(p->term_count, 4);
    assert_int_equal(p->terms[0].kind, FAILPOINT_RETURN);
    assert_int_equal(p->terms[0].percent, 25);
    assert_int_equal(p->terms[0].count, 3);
    assert_int_equal(p->terms[0].status, SLUICE_EQUOTA);
    assert_int_equal(p->terms[1].kind, FAILPOINT_DELAY);
    assert_int_equal(p->terms[1].percent, 100);
    assert_int_equal(p->terms[1].count, 10);
    assert_int_equal(p->terms[1].delay_ms, 250);
    assert_int_equal(p->terms[2].kind, FAILPOINT_PAUSE);
    assert_int_equal(p->terms[2].count, FAILPOINT_ALWAYS);
    assert_int_equal(p->terms[3].kind, FAILPOINT_KILL);
    assert_true(plans[SL_FAILPOINT_broker_end].is_named);
    assert_int_equal(plans[SL_FAILPOINT_broker_end].terms[0].kind, FAILPOINT_OFF);
    assert_false(plans[SL_FAILPOINT_broker_reply].is_named);
}

static void nothing_is_nothing(void **state) {
    static const char *const texts[] = {"", " ", ";", " ;; \n"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        (void)plan_of(texts[i], SL_FAILPOINT_engine_submit);
        for (int p = 0; p < SL_FAILPOINT_COUNT; p++) {
            assert_false(plans[p].is_named);
        }
    }
}

static void all_names_all(void **state) {
    (void)state;
    (void)plan_of("all=1%delay(2);engine.submit=off", SL_FAILPOINT_engine_submit);
    for (int p = 0; p < SL_FAILPOINT_COUNT; p++) {
        assert_true(plans[p].is_named);
        bool is_off = p == SL_FAILPOINT_engine_submit; /* the later entry counts */
        assert_int_equal(plans[p].terms[0].kind, is_off ? FAILPOINT_OFF : FAILPOINT_DELAY);
    }
}

static void every_name_is_known(void **state) {
    char text[64];
    (void)state;
    for (int p = 0; p < SL_FAILPOINT_COUNT; p++) {
        const char *name = sl_failpoint_name((sl_failpoint)p);
        assert_true(strlen(name) + 6 < sizeof(text));
        memcpy(text, name, strlen(name) + 1);
        memcpy(text + strlen(name), "=kill", 6);
        assert_true(plan_of(text, (sl_failpoint)p)->is_named);
    }
}

typedef struct wrong {
    const char *text;
    const char *error;
} wrong;

#define NO_ACTION "want: off, return(STATUS), delay(MILLISECONDS), pause or kill"
#define NO_STATUS "no such status; return(ENAME), as in base/status.h, but not OK"
#define NO_END    "want: -> and a further action, or ; and a further point"

static const wrong wrongs[] = {
    {"engine.submit", "column 14: want: NAME=ACTION"},
    {"=kill", "column 1: no such point"},
    {"engine=kill", "column 1: no such point"},
    {"engine.submitt=kill", "column 1: no such point"},
    {"engine.submit=off; ENGINE.SUBMIT=off", "column 20: no such point"},
    {"engine.submit=", "column 15: " NO_ACTION},
    {"engine.submit=Kill", "column 15: " NO_ACTION},
    {"engine.submit=kill->", "column 21: " NO_ACTION},
    {"engine.submit=return", "column 15: " NO_ACTION},
    {"engine.submit=return()", "column 22: " NO_STATUS},
    {"engine.submit=return(OK)", "column 22: " NO_STATUS},
    {"engine.submit=return(EQUOTAS)", "column 22: " NO_STATUS},
    {"engine.submit=return(EQUOTA", "column 28: want: )"},
    {"engine.submit=delay(0)", "column 21: a delay is 1 to 600000 milliseconds"},
    {"engine.submit=delay(600001)", "column 21: a delay is 1 to 600000 milliseconds"},
    {"engine.submit=delay()", "column 21: a delay is 1 to 600000 milliseconds"},
    {"engine.submit=delay(5", "column 22: want: )"},
    {"engine.submit=101%kill", "column 15: a percentage is 0 to 100"},
    {"engine.submit=0*kill", "column 15: a count is 1 to 1000000000"},
    {"engine.submit=99999999999999999999*kill", "column 15: a count is 1 to 1000000000"},
    {"engine.submit=3*50%kill", "column 17: " NO_ACTION},
    {"engine.submit=3kill", "column 15: " NO_ACTION},
    {"engine.submit=kill engine.submit=off", "column 20: " NO_END},
    {"engine.submit=off->off->off->off->off", "column 35: no more than 4 actions of a point"},
    {"broker.reply=return(EOS)",
     "column 1: this point takes no return: nothing is refused there"},
    {"broker.reply=off->return(EOS)",
     "column 1: this point takes no return: nothing is refused there"},
    {"all=return(EOS)", "column 1: not all points take a return"},
};

static void wrong_text_is_told(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        assert_false(failpoint_parse(wrongs[i].text, plans, error));
        assert_string_equal(error, wrongs[i].error);
    }
}

/* ---- what points do ---- */

static void set(const char *text) {
    if (!sl_failpoint_configure(text, error)) {
        print_error("%s: %s\n", text, error);
        fail();
    }
}

static void counts_are_used_up(void **state) {
    (void)state;
    set("engine.submit=2*return(EQUOTA)->1*off->return(ENOMEM)");
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_EQUOTA);
    assert_int_equal(SL_FAILPOINT(engine, listen), SLUICE_OK);
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_EQUOTA);
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_OK);
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_ENOMEM);
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_ENOMEM);
    set("engine.submit=off");
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_OK);
}

/* A text that is wrong at its end changes nothing at its beginning. */
static void wrong_text_changes_nothing(void **state) {
    (void)state;
    set("engine.submit=return(EQUOTA)");
    assert_false(sl_failpoint_configure("engine.submit=off;engine.listen=no", error));
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_EQUOTA);
    set("all=off");
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_OK);
}

static void percentages_strike_as_often(void **state) {
    unsigned struck = 0;
    (void)state;
    set("engine.submit=0%return(EOS)->25%return(EQUOTA)");
    for (int i = 0; i < 10000; i++) {
        int status = SL_FAILPOINT(engine, submit);
        assert_true(status == SLUICE_OK || status == SLUICE_EQUOTA);
        struck += status != SLUICE_OK;
    }
    assert_in_range(struck, 2200, 2800);
    set("all=off");
}

static void a_delay_takes_its_time(void **state) {
    (void)state;
    set("engine.submit=1*delay(20)");
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_OK);
    assert_true(sl_clock_now_ns(sl_clock_system()) - start_ns >= 20 * SL_NS_PER_MS);
    set("all=off");
}

typedef struct waiter {
    sl_atomic_u32 step;
    sl_event over;
} waiter;

static void run_waiter(void *context) {
    waiter *w = context;
    atomic_store(&w->step, 1);
    SL_FAILPOINT_PASS(engine, complete);
    atomic_store(&w->step, 2);
    sl_event_set(&w->over);
}

/* A waiter goes on when its point is set to anything, and is not disturbed by other points. */
static void a_pause_lasts_until_it_is_let_go(void **state) {
    waiter w = {.step = 0};
    sl_thread thread;
    (void)state;
    assert_int_equal(sl_event_init(&w.over), SLUICE_OK);
    set("engine.complete=pause");
    assert_int_equal(sl_thread_start(&thread, "waiter", run_waiter, &w), SLUICE_OK);
    while (atomic_load(&w.step) == 0) {
        sl_thread_yield();
    }
    set("engine.submit=return(EOS)");
    uint64_t soon_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), 20 * SL_NS_PER_MS);
    assert_false(sl_event_wait_until(&w.over, soon_ns));
    set("all=off");
    sl_thread_join(&thread);
    assert_int_equal(atomic_load(&w.step), 2);
    sl_event_deinit(&w.over);
}

static void an_exempt_thread_passes(void **state) {
    (void)state;
    set("engine.submit=return(EQUOTA);engine.complete=pause");
    sl_failpoint_exempt_this_thread();
    assert_int_equal(SL_FAILPOINT(engine, submit), SLUICE_OK);
    SL_FAILPOINT_PASS(engine, complete);
    set("all=off");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_read),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(all_names_all),
        cmocka_unit_test(every_name_is_known),
        cmocka_unit_test(wrong_text_is_told),
        cmocka_unit_test(counts_are_used_up),
        cmocka_unit_test(wrong_text_changes_nothing),
        cmocka_unit_test(percentages_strike_as_often),
        cmocka_unit_test(a_delay_takes_its_time),
        cmocka_unit_test(a_pause_lasts_until_it_is_let_go),
        cmocka_unit_test(an_exempt_thread_passes), /* for ever: last */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
