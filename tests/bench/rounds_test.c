/* rounds_test.c - the harness with ways that say themselves how long they took: who takes turns
 * with whom, what comes out of it, and what is left open when something fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "client/cli/bench/bench.h"

#define ROUNDS 5u
#define TURNS  1024u

/* What a fake way is to do, and what was done with it. */
typedef struct fake {
    uint64_t latency; /* of a unit */
    int run_status;
    unsigned opened, closed;
    uint64_t units;
} fake;

static fake fakes[2]; /* the subject and the model */
static unsigned open_now, open_most, open_limit;
static char turns[TURNS]; /* who was at work: 's' and 'm' */
static unsigned turn_count;

static int open_fake(unsigned which, void **ret_self) {
    if (open_now == open_limit) {
        return SLUICE_EOSLIMIT;
    }
    fakes[which].opened++;
    open_now++;
    open_most = open_now > open_most ? open_now : open_most;
    *ret_self = &fakes[which];
    return SLUICE_OK;
}

static int open_subject(bench_stage *stage, const bench_case *what, void **ret_self) {
    (void)stage;
    (void)what;
    return open_fake(0, ret_self);
}

static int open_model(bench_stage *stage, const bench_case *what, void **ret_self) {
    (void)stage;
    (void)what;
    return open_fake(1, ret_self);
}

static int run_fake(void *context, uint64_t units, sl_histogram *latency) {
    fake *self = context;
    if (turn_count < TURNS) {
        turns[turn_count++] = self == &fakes[0] ? 's' : 'm';
    }
    for (uint64_t i = 0; i < units; i++) {
        sl_histogram_add(latency, self->latency);
    }
    self->units += units;
    return self->run_status;
}

static void close_fake(void *context) {
    ((fake *)context)->closed++;
    open_now--;
}

static const bench_way subject = {"subject", open_subject, run_fake, close_fake, NULL};
static const bench_way model = {"model", open_model, run_fake, close_fake, NULL};
static const bench_program program = {.name = "rounds_test"};

static bench_plan plan;

static int begin(void **state) {
    (void)state;
    memset(fakes, 0, sizeof(fakes));
    fakes[0].latency = 100;
    fakes[1].latency = 50;
    open_now = open_most = turn_count = 0;
    open_limit = 2;
    memset(&plan, 0, sizeof(plan));
    plan.program = &program;
    plan.row_count = 1;
    plan.rounds = ROUNDS;
    plan.units = 3;
    plan.stage.processors = 2;
    return 0;
}

static const bench_result *measure(const bench_case *what) {
    static bench_progress progress;
    plan.rows[0] = what;
    bench_measure(&plan, &progress);
    assert_int_equal(open_now, 0);
    assert_int_equal(fakes[0].opened, fakes[0].closed);
    assert_int_equal(fakes[1].opened, fakes[1].closed);
    return &plan.results[0];
}

static const bench_case messages = {
    .name = "messages", .subject = &subject, .model = &model, .work = BENCH_ECHO};

static void the_ratio_is_subject_by_model(void **state) {
    (void)state;
    const bench_result *result = measure(&messages);
    assert_int_equal(result->status, SLUICE_OK);
    assert_int_equal(result->rounds, ROUNDS);
    assert_int_equal(result->ratio.count, ROUNDS);
    assert_true(result->ratio.median == 2 && result->ratio.lower_quartile == 2);
    assert_true(result->ratio_p99.median == 2);
    assert_true(result->sides[0].unit_ns == 100 && result->sides[1].p999_ns == 50);
}

/* Each has eight slices a round, and one before to warm up; they alternate, and so does who begins,
 * so that nobody has two slices with something of the other's between in one order only. */
static void they_take_turns(void **state) {
    (void)state;
    (void)measure(&messages);
    assert_int_equal(turn_count, 2 + ROUNDS * 16);
    assert_int_equal(fakes[0].units, 3 * (1 + ROUNDS * 8));
    assert_int_equal(fakes[1].units, fakes[0].units);
    assert_memory_equal(turns, "sm", 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const char *wanted = round % 2 == 0 ? "smmssmmssmmssmms" : "mssmmssmmssmmssm";
        assert_memory_equal(turns + 2 + round * 16, wanted, 16);
    }
}

static void units_fill_the_time(void **state) {
    (void)state;
    plan.units = 0;
    plan.round_ns = 8000000;
    const bench_result *result = measure(&messages);
    assert_true(result->ratio.median == 2);
    assert_true(fakes[0].units > 100 * ROUNDS); /* a unit takes some nanoseconds */
}

/* The descriptors suffice for one at a time: each is opened for its slice; both are measured. */
static void they_are_opened_in_turn(void **state) {
    (void)state;
    open_limit = 1;
    const bench_result *result = measure(&messages);
    assert_int_equal(result->status, SLUICE_OK);
    assert_true(result->ratio.count == ROUNDS && result->ratio.median == 2);
    assert_int_equal(open_most, 1);
    assert_int_equal(fakes[0].units, 3 * (1 + ROUNDS * 8));
    open_limit = 0;
    (void)begin(NULL);
    open_limit = 0;
    assert_int_equal(measure(&messages)->status, SLUICE_EOSLIMIT);
}

static void a_failure_is_told(void **state) {
    (void)state;
    fakes[1].run_status = SLUICE_ERESET;
    const bench_result *result = measure(&messages);
    assert_int_equal(result->status, SLUICE_ERESET);
    assert_int_equal(result->ratio.count, 0);
}

static void one_alone(void **state) {
    (void)state;
    plan.only = "subject";
    const bench_result *result = measure(&messages);
    assert_int_equal(result->status, SLUICE_OK);
    assert_int_equal(fakes[1].opened, 0);
    assert_int_equal(result->ratio.count, 0);
    assert_true(result->sides[0].unit_ns == 100);
}

/* What needs more processors than there are is not even opened. */
static void processors_that_are_not_there(void **state) {
    (void)state;
    static const struct {
        bench_work work;
        bool spins;
        bench_topology topology;
        unsigned processors, needs;
    } rows[] = {
        {BENCH_ECHO, false, BENCH_ONE, 1, 0},    {BENCH_ECHO, true, BENCH_ONE, 2, 2},
        {BENCH_ECHO, true, BENCH_ANY, 1, 2},     {BENCH_ECHO, true, BENCH_ANY, 2, 0},
        {BENCH_ECHO, false, BENCH_TWO, 1, 2},    {BENCH_BULK_OUT, false, BENCH_TWO, 2, 3},
        {BENCH_BULK_IN, false, BENCH_TWO, 1, 3}, {BENCH_BULK_OUT, false, BENCH_ONE, 1, 0},
        {BENCH_BULK_IN, false, BENCH_ANY, 2, 0},
    };
    for (unsigned i = 0; i < SL_ARRAY_COUNT(rows); i++) {
        bench_case what = messages;
        (void)begin(NULL);
        what.work = rows[i].work;
        what.spins = rows[i].spins;
        plan.stage.topology = rows[i].topology;
        plan.stage.processors = rows[i].processors;
        const bench_result *result = measure(&what);
        assert_int_equal(result->needs, rows[i].needs);
        assert_int_equal(fakes[0].opened, rows[i].needs == 0 ? 1 : 0);
    }
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[2], "--far") == 0) { /* what keeps a processor awake */
        return bench_main(&program, argc - 2, argv + 2);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_ratio_is_subject_by_model, begin),
        cmocka_unit_test_setup(they_take_turns, begin),
        cmocka_unit_test_setup(units_fill_the_time, begin),
        cmocka_unit_test_setup(they_are_opened_in_turn, begin),
        cmocka_unit_test_setup(a_failure_is_told, begin),
        cmocka_unit_test_setup(one_alone, begin),
        cmocka_unit_test_setup(processors_that_are_not_there, begin),
    };
    return cmocka_run_group_tests_name("rounds", tests, NULL, NULL);
}
