/*
 * bench.c - the command `sluice bench`: the cases, and their rounds. See bench.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"
#include "client/cli/args.h"
#include "client/cli/bench.h"
#include "client/cli/commands.h"
#include "client/cli/os.h"
#include "client/cli/out.h"
#include "client/cli/session.h"

#define TRIAL_UNITS 200u

const bench_case bench_cases[] = {
    {"null", "a call that does nothing", BENCH_PING, BENCH_INLINE, BENCH_BASE_RAW, 0, false, 1.15},
    {"null", "", BENCH_PING, BENCH_THREAD, BENCH_BASE_RAW, 0, false, 0},
    {"null", "", BENCH_PING, BENCH_POLL, BENCH_BASE_RAW, 0, false, 0},
    {"null", "", BENCH_PING, BENCH_SYNC, BENCH_BASE_RAW, 0, false, 0},
    {"write", "64 bytes into a pipe", BENCH_WRITE, BENCH_INLINE, BENCH_BASE_RAW, 0, false, 1.25},
    {"write", "", BENCH_WRITE, BENCH_SYNC, BENCH_BASE_RAW, 0, false, 0},
    {"read", "64 bytes that are there", BENCH_READ, BENCH_INLINE, BENCH_BASE_RAW, 0, false, 1.25},
    {"read", "", BENCH_READ, BENCH_SYNC, BENCH_BASE_RAW, 0, false, 0},
    {"echo", "write to an echo process and read its answer; raw: the same, directly", BENCH_ECHO,
     BENCH_INLINE, BENCH_BASE_RAW, 0, false, 2.9},
    {"echo", "", BENCH_ECHO, BENCH_SYNC, BENCH_BASE_RAW, 0, false, 0},
    {"relay", "for comparison, no Sluice: the echo through a bare relay process", BENCH_RELAY,
     BENCH_SYNC, BENCH_BASE_RAW, 0, false, 0},
    {"in-flight-64", "write and read of a pipe, 64 pipes at a time; mean", BENCH_FLIGHT_WORK,
     BENCH_INLINE, BENCH_BASE_CALLS, 0, false, 2.0},
    {"paced-1000", "a null call each millisecond", BENCH_PACED, BENCH_SYNC, BENCH_BASE_PACED, 0,
     false, 0},
    {"read-1-open", "read, nothing else open", BENCH_READ, BENCH_INLINE, BENCH_BASE_RAW, 0, false,
     1.25},
    {"read-1000-open", "read, 1,000 other handles open", BENCH_READ, BENCH_INLINE, BENCH_BASE_RAW,
     500, false, 0},
    {"read-9000-open", "read, 9,000 other handles open", BENCH_READ, BENCH_INLINE, BENCH_BASE_RAW,
     4500, false, 0},
    {"cancel", "a read pending in the broker: from its cancel to its end", BENCH_CANCEL,
     BENCH_INLINE, BENCH_BASE_NULL, 0, false, 1.2},
    {"cancel-1000", "... with 1,000 other reads pending", BENCH_CANCEL, BENCH_INLINE,
     BENCH_BASE_NULL, 1000, true, 0},
    {"cancel-9000", "... with 9,000 other reads pending", BENCH_CANCEL, BENCH_INLINE,
     BENCH_BASE_NULL, 9000, true, 0},
};
const unsigned bench_case_count = SL_ARRAY_COUNT(bench_cases);

typedef struct bench_plan {
    bench_setting setting;
    session_choice choice;
    uint64_t rounds, round_ns;
    const char *only;
    bool list, attach, no_pin;
    bench_peer *peer;
    sluice_session *holder; /* keeps the private broker alive */
    char endpoint[768];
    bench_tally tally; /* of the slice at work */
    uint64_t *kept[2]; /* latencies of all rounds: broker, base */
    uint64_t kept_count[2];
} bench_plan;

static uint64_t now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

/* ---- one slice ----------------------------------------------------------------------------- */

/* Units of a blocking baseline, timed one by one. */
static bool run_raw(bench_plan *plan, bool (*unit)(bench_peer *), uint64_t units, bool is_paced) {
    bench_tally *tally = &plan->tally;
    uint64_t began_ns = now_ns();
    uint64_t next_ns = began_ns;
    sl_event pause;
    if (sl_event_init(&pause) != SLUICE_OK) {
        return false;
    }
    bool ok = true;
    for (tally->count = 0; tally->count < units && ok; tally->count++) {
        if (is_paced) {
            next_ns += SL_NS_PER_MS;
            (void)sl_event_wait_until(&pause, next_ns);
        }
        uint64_t start_ns = now_ns();
        ok = unit(plan->peer);
        if (tally->count < tally->room) {
            tally->samples_ns[tally->count] = now_ns() - start_ns;
        }
    }
    sl_event_deinit(&pause);
    tally->units = units;
    tally->elapsed_ns = now_ns() - began_ns;
    return ok;
}

static int run_subject(bench_plan *plan, bench_subject *subject, uint64_t units) {
    bench_work work = subject->what->work;
    if (work == BENCH_RELAY) {
        return run_raw(plan, bench_peer_relay, units, false) ? SLUICE_OK : SLUICE_EOS;
    }
    return bench_subject_run(subject, work, units, &plan->tally);
}

static int run_base(bench_plan *plan, bench_subject *subject, uint64_t units) {
    bool ok;
    switch (subject->what->base) {
    case BENCH_BASE_NULL: return bench_subject_run(subject, BENCH_PING, units, &plan->tally);
    case BENCH_BASE_CALLS: ok = run_raw(plan, bench_peer_calls, units, false); break;
    case BENCH_BASE_PACED: ok = run_raw(plan, bench_peer_ping, units, true); break;
    case BENCH_BASE_RAW:
    default: ok = run_raw(plan, bench_peer_ping, units, false); break;
    }
    return ok ? SLUICE_OK : SLUICE_EOS;
}

/* The figure of a slice, in ns a unit; keeps the latencies. */
static double take_slice(bench_plan *plan, const bench_case *what, unsigned side) {
    bench_tally *tally = &plan->tally;
    uint64_t count = tally->count < tally->room ? tally->count : tally->room;
    uint64_t room = BENCH_SAMPLES - plan->kept_count[side];
    uint64_t keep = count < room ? count : room;
    memcpy(plan->kept[side] + plan->kept_count[side], tally->samples_ns, keep * sizeof(uint64_t));
    plan->kept_count[side] += keep;
    if (what->work == BENCH_FLIGHT_WORK) {
        return (double)tally->elapsed_ns / (double)tally->units;
    }
    return bench_quantile(tally->samples_ns, count, 0.5);
}

/* ---- one case ------------------------------------------------------------------------------ */

static uint64_t units_for(const bench_plan *plan, const bench_case *what) {
    if (what->work == BENCH_PACED) {
        return plan->round_ns / SL_NS_PER_MS + 1;
    }
    uint64_t each_ns = plan->tally.elapsed_ns / TRIAL_UNITS + 1;
    uint64_t units = plan->round_ns / each_ns + 1;
    return units < BENCH_SAMPLES / 8 ? units : BENCH_SAMPLES / 8;
}

static void sum_up(bench_plan *plan, bench_result *result, double *ratios, double *means[2]) {
    bench_side *sides[] = {&result->broker, &result->base};
    double least, most;
    for (unsigned side = 0; side < 2; side++) {
        uint64_t *values = plan->kept[side];
        uint64_t count = plan->kept_count[side];
        sides[side]->p50_ns = bench_quantile(values, count, 0.5);
        sides[side]->p99_ns = bench_quantile(values, count, 0.99);
        sides[side]->p999_ns = bench_quantile(values, count, 0.999);
        bench_spread(means[side], result->rounds, &sides[side]->mean_ns, &least, &most);
        if (result->what->work == BENCH_FLIGHT_WORK) { /* latencies of 64 at a time mislead */
            sides[side]->p50_ns = sides[side]->mean_ns;
        }
    }
    bench_spread(ratios, result->rounds, &result->ratio_median, &result->ratio_least,
                 &result->ratio_most);
}

static int run_rounds(bench_plan *plan, bench_subject *subject, bench_result *result) {
    static double ratios[BENCH_ROUNDS_MAX], means[2][BENCH_ROUNDS_MAX];
    double *both_means[] = {means[0], means[1]};
    bool is_paced = subject->what->work == BENCH_PACED;
    int status = run_subject(plan, subject, is_paced ? 1 : TRIAL_UNITS);
    result->units = units_for(plan, subject->what);
    plan->kept_count[0] = plan->kept_count[1] = 0;
    for (result->rounds = 0; status == SLUICE_OK && result->rounds < plan->rounds;
         result->rounds++) {
        double figures[2] = {0, 0};
        for (unsigned turn = 0; turn < 2 && status == SLUICE_OK; turn++) {
            unsigned side = (turn + result->rounds) % 2; /* each goes first in every other round */
            status = side == 0 ? run_subject(plan, subject, result->units)
                               : run_base(plan, subject, result->units);
            if (status == SLUICE_OK) {
                figures[side] = take_slice(plan, subject->what, side);
                means[side][result->rounds] =
                    (double)plan->tally.elapsed_ns / (double)plan->tally.units;
            }
        }
        ratios[result->rounds] = figures[1] > 0 ? figures[0] / figures[1] : 0;
    }
    if (status == SLUICE_OK) {
        sum_up(plan, result, ratios, both_means);
    }
    return status;
}

static void run_case(bench_plan *plan, const bench_case *what, bench_result *result) {
    bench_subject subject;
    *result = (bench_result){.what = what};
    int status = bench_subject_open(&subject, what, plan->endpoint, bench_peer_address(plan->peer));
    if (status == SLUICE_OK) {
        status = run_rounds(plan, &subject, result);
    }
    bench_subject_close(&subject);
    result->skipped = status;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static args_verdict parse(bench_plan *plan, int count, char **argv) {
    const args_option table[] = {
        {"case", "NAME", ARGS_TEXT, &plan->only, 0, 0, NULL, "only the case of that name"},
        {"list", NULL, ARGS_FLAG, &plan->list, 0, 0, NULL, "say what there is, and run nothing"},
        {"rounds", "N", ARGS_COUNT, &plan->rounds, 1, BENCH_ROUNDS_MAX, NULL,
         "rounds of each case (default: 9; less than 7 is no measurement)"},
        {"round", "TIME", ARGS_DURATION, &plan->round_ns, SL_NS_PER_MS, 10 * SL_NS_PER_S, NULL,
         "how long a case runs in a round (default: 100ms)"},
        {"attach", NULL, ARGS_FLAG, &plan->attach, 0, 0, NULL,
         "use the broker that runs at the endpoint instead of a private\none; it is not pinned"},
        {"endpoint", "NAME", ARGS_TEXT, &plan->choice.endpoint, 0, 0, NULL,
         "--attach: where it listens"},
        {"broker", "PATH", ARGS_TEXT, &plan->choice.broker_path, 0, 0, NULL,
         "the sluiced to start (default: the one beside this program)"},
        {"no-pin", NULL, ARGS_FLAG, &plan->no_pin, 0, 0, NULL, "let the system choose processors"},
        {"json", NULL, ARGS_FLAG, &plan->setting.json, 0, 0, NULL, "the figures as JSON"},
    };
    static const args_rule rules[] = {
        {"list", ARGS_EXCLUDES, NULL},
        {"endpoint", ARGS_NEEDS, "attach"},
        {"broker", ARGS_EXCLUDES, "attach"},
        {"no-pin", ARGS_EXCLUDES, "attach"},
    };
    const args_command command = {
        "sluice bench",
        "[OPTION...]",
        "Measures what a call through the broker costs, against the bare system in the same run:\n"
        "a blocking ping-pong of 64 bytes with an echo process. Broker, tool and echo process\n"
        "share one processor, so that a figure is work and not a wake-up; rounds of the two\n"
        "sides alternate, and the ratio of each round is what counts. Close other programs.\n"
        "\n"
        "delivery: where the callback of an asynchronous call runs (inline is the fastest), or\n"
        "sync for calls that wait.\n",
        table,
        SL_ARRAY_COUNT(table),
        rules,
        SL_ARRAY_COUNT(rules)};
    return args_parse(&command, count, argv);
}

static void show_list(void) {
    out_text text = {0};
    for (unsigned i = 0; i < bench_case_count; i++) {
        if (bench_cases[i].what[0] != '\0') {
            out_print(&text, "%-16s %s\n", bench_cases[i].name, bench_cases[i].what);
        }
    }
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

static bool is_chosen(const bench_plan *plan, const bench_case *what) {
    return plan->only == NULL || strcmp(plan->only, what->name) == 0;
}

static int run_all(bench_plan *plan) {
    static bench_result results[BENCH_CASES_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < bench_case_count; i++) {
        if (is_chosen(plan, &bench_cases[i])) {
            if (os_is_terminal() && !plan->setting.json) {
                out_progress("%-20s %2u of %u ", bench_cases[i].name, i + 1, bench_case_count);
            }
            run_case(plan, &bench_cases[i], &results[count++]);
        }
    }
    if (os_is_terminal() && !plan->setting.json) {
        out_progress_end();
    }
    if (count == 0) {
        out_complain("sluice bench: no case \"%s\" (see: sluice bench --list)\n", plan->only);
        return CLI_EXIT_USAGE;
    }
    bool failed = !bench_report(&plan->setting, results, count);
    for (unsigned i = 0; i < count; i++) {
        int why = results[i].skipped;
        failed = failed || (why != SLUICE_OK && why != SLUICE_EOSLIMIT && why != SLUICE_EQUOTA);
    }
    return failed ? CLI_EXIT_FOUND : CLI_EXIT_OK;
}

static int open_broker(bench_plan *plan) {
    int status = session_open("bench", &plan->choice, &plan->holder);
    if (status != SLUICE_OK) {
        return status;
    }
    sluice_session_info info = {.size = sizeof(info)};
    (void)sluice_session_get_info(plan->holder, &info);
    (void)snprintf(plan->endpoint, sizeof(plan->endpoint), "%s", info.endpoint);
    (void)snprintf(plan->setting.engine_name, sizeof(plan->setting.engine_name), "%s",
                   info.engine_name);
    (void)snprintf(plan->setting.broker_version, sizeof(plan->setting.broker_version), "%s",
                   info.broker_version);
    return SLUICE_OK;
}

/* What it takes: pin first, so that the processes that are started inherit it; the echo process
 * before any thread; then the broker. */
static int prepare(bench_plan *plan) {
    sl_allocator *heap = sl_allocator_system();
    size_t bytes = BENCH_SAMPLES * sizeof(uint64_t);
    plan->setting.processor = os_processor(0);
    plan->setting.pinned =
        !plan->no_pin && !plan->attach && bench_peer_pin(plan->setting.processor);
    plan->tally.samples_ns = heap->acquire(heap, bytes);
    plan->tally.room = BENCH_SAMPLES;
    plan->kept[0] = heap->acquire(heap, bytes);
    plan->kept[1] = heap->acquire(heap, bytes);
    if (plan->tally.samples_ns == NULL || plan->kept[0] == NULL || plan->kept[1] == NULL) {
        out_complain("sluice bench: out of memory\n");
        return SLUICE_ENOMEM;
    }
    int status = bench_peer_start(&plan->peer);
    if (status != SLUICE_OK) {
        out_complain("sluice bench: cannot start the echo process: %s\n",
                     sl_status_sentence(status));
        return status;
    }
    return open_broker(plan);
}

static void clean_up(bench_plan *plan) {
    sl_allocator *heap = sl_allocator_system();
    uint64_t *buffers[] = {plan->tally.samples_ns, plan->kept[0], plan->kept[1]};
    (void)sluice_session_close(plan->holder);
    bench_peer_stop(plan->peer);
    for (unsigned i = 0; i < 3; i++) {
        if (buffers[i] != NULL) {
            heap->release(heap, buffers[i], BENCH_SAMPLES * sizeof(uint64_t));
        }
    }
}

int command_bench(int count, char **argv) {
    static bench_plan plan;
    plan = (bench_plan){.rounds = 9, .round_ns = 100 * SL_NS_PER_MS};
    plan.choice.client_name = "sluice bench";
    if (count == 2 && strcmp(argv[0], "--serve") == 0) {
        return bench_peer_serve(argv[1]); /* we are the echo process */
    }
    args_verdict verdict = parse(&plan, count, argv);
    if (verdict != ARGS_RUN) {
        return verdict == ARGS_SHOWN ? CLI_EXIT_OK : CLI_EXIT_USAGE;
    }
    if (plan.list) {
        show_list();
        return CLI_EXIT_OK;
    }
    plan.choice.is_private = !plan.attach;
    plan.setting.is_private = !plan.attach;
    plan.setting.rounds = (unsigned)plan.rounds;
    int code = prepare(&plan) == SLUICE_OK ? run_all(&plan) : CLI_EXIT_NOBROKER;
    clean_up(&plan);
    return code;
}
