/*
 * measure.c - one case: opens both subjects, finds how many units make a round, and lets them
 * take turns.
 *
 * A round is cut into slices; raw and engine alternate slice by slice and who begins alternates
 * round by round, so that slow drifts (other load, clock speed) cancel out of the round's ratio.
 * Where the descriptors do not suffice for both subjects at once (cancel with 9,000 pending needs
 * 18,000 each), each is opened and closed within every round and a round is one slice.
 */
#include <string.h>

#include "base/check.h"
#include "base/thread.h"
#include "bench.h"
#include "peer.h"

#define SLICES       16u
#define CALIBRATE_NS (30 * SL_NS_PER_MS)

typedef struct measurement {
    const bench_options *options;
    bench_setup setup;
    const bench_subject *subjects[BENCH_SUBJECT_COUNT];
    void *opened[BENCH_SUBJECT_COUNT];
    bool reopen;
    uint64_t calls[BENCH_SUBJECT_COUNT];
    uint64_t units_done[BENCH_SUBJECT_COUNT];
    bench_result *result;
    char peer_name[64];
    char own_name[64];
} measurement;

static void run_slice(measurement *self, unsigned subject, unsigned round, uint64_t units) {
    bench_side *side = &self->result->sides[subject];
    uint64_t calls = bench_os_calls();
    uint64_t cpu_ns = bench_os_thread_cpu_ns();
    uint64_t wall_ns = sl_clock_now_ns(sl_clock_system());
    self->subjects[subject]->run(self->opened[subject], units, &side->latency);
    side->wall_ns[round] += (double)(sl_clock_now_ns(sl_clock_system()) - wall_ns);
    side->cpu_ns[round] += (double)(bench_os_thread_cpu_ns() - cpu_ns);
    self->calls[subject] += bench_os_calls() - calls;
    self->units_done[subject] += units;
}

static int open_subject(measurement *self, unsigned subject) {
    if (self->opened[subject] != NULL) {
        return SLUICE_OK;
    }
    return self->subjects[subject]->open(&self->setup, &self->opened[subject]);
}

static void close_subject(measurement *self, unsigned subject) {
    if (self->opened[subject] != NULL) {
        self->subjects[subject]->close(self->opened[subject]);
        self->opened[subject] = NULL;
    }
}

/* How many units of the first subject take options->seconds; also warms up caches and pools. */
static int calibrate(measurement *self, uint64_t *ret_units) {
    unsigned subject = self->options->run_raw ? 0 : 1;
    int status = open_subject(self, subject);
    if (status != SLUICE_OK || self->options->iterations != 0) {
        *ret_units = self->options->iterations;
        return status;
    }
    histogram ignored = {0};
    uint64_t units = 64;
    uint64_t spent_ns = 0;
    for (;;) {
        uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
        self->subjects[subject]->run(self->opened[subject], units, &ignored);
        spent_ns = sl_clock_now_ns(sl_clock_system()) - start_ns;
        if (spent_ns >= CALIBRATE_NS) {
            break;
        }
        units *= 2;
    }
    double per_unit_ns = (double)spent_ns / (double)units;
    uint64_t wanted = (uint64_t)(self->options->seconds * 1e9 / per_unit_ns);
    *ret_units = wanted < SLICES ? SLICES : wanted;
    return SLUICE_OK;
}

static int run_round(measurement *self, unsigned round, uint64_t units) {
    bool wanted[BENCH_SUBJECT_COUNT] = {self->options->run_raw, self->options->run_engine};
    unsigned slices = self->reopen || units < SLICES ? 1 : SLICES;
    for (unsigned slice = 0; slice < slices; slice++) {
        uint64_t share = units / slices + (slice < units % slices);
        for (unsigned turn = 0; turn < BENCH_SUBJECT_COUNT; turn++) {
            unsigned subject = (turn + round + slice) % BENCH_SUBJECT_COUNT;
            if (!wanted[subject]) {
                continue;
            }
            int status = open_subject(self, subject);
            if (status != SLUICE_OK) {
                return status;
            }
            run_slice(self, subject, round, share);
            if (self->reopen) {
                close_subject(self, subject);
            }
        }
    }
    for (unsigned subject = 0; subject < BENCH_SUBJECT_COUNT; subject++) {
        bench_side *side = &self->result->sides[subject];
        side->measured = wanted[subject];
        side->wall_ns[round] /= (double)units;
        side->cpu_ns[round] /= (double)units;
    }
    return SLUICE_OK;
}

/* Descriptors: both ends of every connection, for each subject that is open, and some to spare. */
static bool plan_descriptors(measurement *self, const bench_case *what) {
    unsigned ends = what->connections * 2;
    self->reopen = !bench_os_want_descriptors(ends * 2 + 64);
    return !self->reopen || bench_os_want_descriptors(ends + 64);
}

static int measure_rounds(measurement *self, bench_progress *progress) {
    uint64_t units = 0;
    int status = calibrate(self, &units);
    if (self->reopen) {
        close_subject(self, 0);
        close_subject(self, 1);
    }
    self->result->units_per_round = units;
    for (unsigned round = 0; round < self->options->rounds && status == SLUICE_OK; round++) {
        atomic_store(&progress->round, round + 1);
        status = run_round(self, round, units);
        self->result->rounds = round + 1;
    }
    return status;
}

void bench_measure(const bench_options *options, const bench_case *what, bench_progress *progress,
                   bench_result *ret_result) {
    measurement self = {
        .options = options,
        .subjects = {&bench_raw, &bench_engine},
        .result = ret_result,
        .setup = {.what = what,
                  .backend = options->backend,
                  .two_cpu = options->two_cpu,
                  .raw_cancel_turn = options->raw_cancel_turn},
    };
    ret_result->what = what;
    bench_os_pipe_name(self.peer_name, sizeof self.peer_name, "peer");
    bench_os_pipe_name(self.own_name, sizeof self.own_name, "own");
    self.setup.peer_name = self.peer_name;
    self.setup.own_name = self.own_name;
    if (!plan_descriptors(&self, what)) {
        ret_result->skipped = "the descriptor limit is too low (ulimit -n)";
        return;
    }
    peer *echo = NULL;
    int status = SLUICE_OK;
    if (options->two_cpu && what->kind != BENCH_CANCEL) {
        status = peer_start(self.peer_name, what->connections * 2, what->kind == BENCH_BULK,
                            options->cpus[1], &echo);
    }
    if (status == SLUICE_OK) {
        status = measure_rounds(&self, progress);
    }
    for (unsigned subject = 0; subject < BENCH_SUBJECT_COUNT; subject++) {
        close_subject(&self, subject);
        if (self.units_done[subject] != 0) {
            ret_result->sides[subject].calls_per_unit =
                (double)self.calls[subject] / (double)self.units_done[subject];
        }
    }
    peer_stop(echo);
    if (status != SLUICE_OK) {
        ret_result->skipped = "a subject could not open its connections";
        ret_result->status = status;
    }
}
