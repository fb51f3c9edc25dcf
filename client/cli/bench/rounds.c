/*
 * rounds.c - one row after the other: opens both sides, finds how many units make a slice, and lets
 * them take turns. See bench.h.
 */
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "client/cli/bench/far.h"
#include "client/cli/os.h"

#define SLICES       8u /* of a round, for each side */
#define CALIBRATE_NS (10 * SL_NS_PER_MS)
#define TRIALS       3u

typedef struct side {
    const bench_way *way;
    void *self;
    bool is_wanted;
    uint64_t units; /* of a slice */
    /* of the round at work */
    double slice_ns[SLICES]; /* of a unit, in each slice */
    unsigned slices;
    sl_histogram round_latency;
    /* of all */
    uint64_t all_units, cpu_ns, partner_cpu_ns, calls;
    sl_histogram latency;
    double unit_ns[SL_STATS_ROUNDS_MAX], p99_ns[SL_STATS_ROUNDS_MAX];
} side;

typedef struct row {
    const bench_plan *plan;
    const bench_case *what;
    bench_stage *stage;
    bool in_turn; /* the descriptors do not suffice for both: each is open in its slice only */
    side sides[BENCH_SIDES];
} row;

static uint64_t now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

static uint64_t partner_cpu_ns(const side *at) {
    bool has_one = at->way->partner != NULL;
    return has_one ? bench_machine_cpu_ns(at->way->partner(at->self)) : 0;
}

/* One slice; what it took goes to the round. */
static int run_slice(row *self, side *at, uint64_t units) {
    const bench_program *program = self->plan->program;
    uint64_t calls = program->calls != NULL ? program->calls() : 0;
    uint64_t cpu_ns = bench_machine_cpu_ns(os_process_id());
    uint64_t partner_ns = partner_cpu_ns(at);
    uint64_t began_ns = now_ns();
    int status = at->way->run(at->self, units, &at->round_latency);
    uint64_t took_ns = now_ns() - began_ns;
    at->cpu_ns += bench_machine_cpu_ns(os_process_id()) - cpu_ns;
    at->partner_cpu_ns += partner_cpu_ns(at) - partner_ns;
    at->calls += program->calls != NULL ? program->calls() - calls : 0;
    at->slice_ns[at->slices++] = (double)took_ns / (double)units;
    at->all_units += units;
    return status;
}

/* Ends a round that was not measured. */
static void forget(side *at) {
    memset(&at->round_latency, 0, sizeof(at->round_latency));
    at->slices = 0;
}

/* How long so many units take: the shortest of three trials, or the first that is shorter than
 * `least_ns`. On a busy machine the first may have waited for somebody else's work. */
static int try_units(row *self, side *at, uint64_t least_ns, uint64_t *ret_took_ns) {
    int status = SLUICE_OK;
    *ret_took_ns = UINT64_MAX;
    for (unsigned trial = 0; status == SLUICE_OK && trial < TRIALS && *ret_took_ns >= least_ns;
         trial++) {
        status = run_slice(self, at, at->units);
        uint64_t took_ns = (uint64_t)(at->slice_ns[0] * (double)at->units) + 1;
        *ret_took_ns = took_ns < *ret_took_ns ? took_ns : *ret_took_ns;
        forget(at);
    }
    return status;
}

/* How many units make a slice; also warms up caches and pools. */
static int calibrate(row *self, side *at) {
    uint64_t stretch = self->what->stretch > 0 ? self->what->stretch : 1;
    uint64_t slice_ns = self->plan->round_ns * stretch / SLICES;
    uint64_t least_ns = slice_ns < CALIBRATE_NS ? slice_ns : CALIBRATE_NS;
    uint64_t took_ns = 0;
    int status = SLUICE_OK;
    if (self->plan->units > 0) {
        at->units = self->plan->units;
        status = run_slice(self, at, at->units);
        forget(at);
        return status;
    }
    for (at->units = 1; status == SLUICE_OK; at->units *= 2) {
        status = try_units(self, at, least_ns, &took_ns);
        if (took_ns >= least_ns) {
            double units = (double)at->units * (double)slice_ns / (double)took_ns;
            at->units = units > 1 ? (uint64_t)units : 1;
            break;
        }
    }
    return status;
}

/* Is the figure the time of all units by their number, not the p50 of their latencies? */
static bool is_by_number(const bench_case *what) {
    return what->work == BENCH_PAIRS || what->work == BENCH_BULK_OUT ||
           what->work == BENCH_BULK_IN || what->work >= BENCH_LOOP_ECHO;
}

static int open_side(row *self, side *at) {
    bool is_due = at->is_wanted && at->self == NULL;
    return is_due ? at->way->open(self->stage, self->what, &at->self) : SLUICE_OK;
}

static void close_side(side *at) {
    if (at->self != NULL) {
        at->way->close(at->self);
        at->self = NULL;
    }
}

static int take_turn(row *self, side *at, uint64_t units) {
    int status = open_side(self, at);
    if (status == SLUICE_OK && at->is_wanted) {
        status = run_slice(self, at, units);
    }
    if (self->in_turn) {
        close_side(at);
    }
    return status;
}

static int run_round(row *self, unsigned round) {
    int status = SLUICE_OK;
    unsigned slices = self->in_turn ? 1 : SLICES;
    for (unsigned slice = 0; slice < slices; slice++) {
        for (unsigned turn = 0; turn < BENCH_SIDES && status == SLUICE_OK; turn++) {
            side *at = &self->sides[(turn + round + slice) % BENCH_SIDES];
            status = take_turn(self, at, at->units * SLICES / slices);
        }
    }
    for (unsigned i = 0; i < BENCH_SIDES && status == SLUICE_OK; i++) {
        side *at = &self->sides[i];
        if (!at->is_wanted) {
            continue;
        }
        at->p99_ns[round] = sl_histogram_quantile(&at->round_latency, 0.99);
        at->unit_ns[round] = is_by_number(self->what)
                                 ? sl_stats_quantile(at->slice_ns, at->slices, 0.5)
                                 : sl_histogram_quantile(&at->round_latency, 0.5);
        sl_histogram_merge(&at->latency, &at->round_latency);
        forget(at);
    }
    return status;
}

static void sum_up(row *self, bench_result *result) {
    side *sides = self->sides;
    result->ratio = sl_stats_ratio(sides[0].unit_ns, sides[1].unit_ns, result->rounds);
    result->ratio_p99 = sl_stats_ratio(sides[0].p99_ns, sides[1].p99_ns, result->rounds);
    for (unsigned i = 0; i < BENCH_SIDES; i++) {
        const side *at = &sides[i];
        bench_side *sum = &result->sides[i];
        double units = at->all_units > 0 ? (double)at->all_units : 1;
        sum->p50_ns = sl_histogram_quantile(&at->latency, 0.5);
        sum->p99_ns = sl_histogram_quantile(&at->latency, 0.99);
        sum->p999_ns = sl_histogram_quantile(&at->latency, 0.999);
        sum->cpu_ns = (double)at->cpu_ns / units;
        sum->partner_cpu_ns = (double)at->partner_cpu_ns / units;
        sum->calls = (double)at->calls / units;
        sum->unit_ns = sl_stats_quantile(sides[i].unit_ns, result->rounds, 0.5); /* sorts */
    }
}

/* Opens both, finds their units. */
static int prepare(row *self) {
    int status = SLUICE_OK;
    for (unsigned i = 0; i < BENCH_SIDES && status == SLUICE_OK; i++) {
        side *at = &self->sides[i];
        status = open_side(self, at);
        if (status == SLUICE_EOSLIMIT && i > 0 && !self->in_turn) {
            self->in_turn = true;
            close_side(at);
            close_side(&self->sides[0]);
            status = open_side(self, at);
        }
        if (status == SLUICE_OK && at->is_wanted) {
            status = calibrate(self, at);
            at->cpu_ns = at->partner_cpu_ns = at->calls = at->all_units = 0;
        }
        if (self->in_turn) {
            close_side(at);
        }
    }
    return status;
}

static void measure(row *self, bench_progress *progress, bench_result *result) {
    const char *only = self->plan->only;
    self->sides[0].is_wanted = only == NULL || strcmp(only, "subject") == 0;
    self->sides[1].is_wanted = only == NULL || strcmp(only, "model") == 0;
    int status = prepare(self);
    while (status == SLUICE_OK && result->rounds < self->plan->rounds) {
        atomic_store(&progress->round, result->rounds + 1);
        status = run_round(self, result->rounds++);
    }
    if (status == SLUICE_OK) {
        sum_up(self, result);
    }
    result->status = status;
    close_side(&self->sides[0]);
    close_side(&self->sides[1]);
}

/* How many processors the row needs in that topology. */
static unsigned processors_needed(const bench_case *what, bench_topology topology) {
    bool three = what->work == BENCH_BULK_OUT || what->work == BENCH_BULK_IN;
    if (topology == BENCH_TWO) {
        return three ? 3 : 2;
    }
    return what->spins ? 2 : 1;
}

/* The processes that keep two processors awake; false: they could not be started. */
static bool keep_awake(const bench_stage *stage, bench_far far[2]) {
    return stage->topology != BENCH_TWO || stage->processors < 2 ||
           (bench_far_start(stage, BENCH_ROLE_AWAKE, BENCH_HOME, NULL, &far[0]) == SLUICE_OK &&
            bench_far_start(stage, BENCH_ROLE_AWAKE, BENCH_AWAY, NULL, &far[1]) == SLUICE_OK);
}

void bench_measure(bench_plan *plan, bench_progress *progress) {
    static row at;
    bench_far awake[2] = {{0}, {0}};
    unsigned processors = plan->stage.topology == BENCH_ONE ? 1 : plan->stage.processors;
    plan->fell_asleep = !keep_awake(&plan->stage, awake);
    for (unsigned i = 0; i < plan->row_count; i++) {
        const bench_case *what = plan->rows[i];
        bench_result *result = &plan->results[i];
        unsigned needs = processors_needed(what, plan->stage.topology);
        atomic_store(&progress->round, 0);
        atomic_store(&progress->row, i);
        *result = (bench_result){.what = what};
        if (needs > processors) {
            result->needs = needs;
            continue;
        }
        memset(&at, 0, sizeof(at));
        at.plan = plan;
        at.what = what;
        at.stage = &plan->stage;
        at.sides[0].way = what->subject;
        at.sides[1].way = what->model;
        measure(&at, progress, result);
    }
    bench_far_stop(&awake[0]);
    bench_far_stop(&awake[1]);
}
