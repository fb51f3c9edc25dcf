/*
 * hang_report.c - what hangtest found, as a table or as JSON. See hang.h.
 *
 * Thread: the main thread, when the lanes have ended or are known to be stuck.
 */
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/hang.h"
#include "client/cli/out.h"

#define POOLS_BYTES (256u * 1024) /* by how much the broker's pools may grow by chance */

typedef struct totals {
    uint64_t iterations, operations, cut_short;
    uint64_t outcomes[HANG_KINDS][SLUICE_STATUS_COUNT];
    uint64_t unexpected, lost, over_1s, over_30s, slowest_ns, corrupt;
    uint64_t bytes_read, bytes_written, bytes_in_doubt;
    uint64_t started, completions, doubled, missing;
    uint64_t left_handles, left_operations, left_memory, left_zombies, violations;
    uint32_t slowest_kind;
    int code; /* the tool's exit code */
} totals;

static const char *const kind_words[] = {
#define X(name, word) word,
    HANG_KIND_TABLE(X)
#undef X
};

static void add_lane(totals *sum, hang_lane *lane) {
    for (unsigned kind = 0; kind < HANG_KINDS; kind++) {
        for (unsigned status = 0; status < SLUICE_STATUS_COUNT; status++) {
            uint64_t count = atomic_load(&lane->outcomes[kind][status]);
            sum->outcomes[kind][status] += count;
            sum->operations += count;
            if (status == -SLUICE_ECLOSED || status == -SLUICE_ECANCELED) {
                sum->cut_short += count;
            }
        }
    }
    sum->unexpected += atomic_load(&lane->unexpected);
    sum->lost += atomic_load(&lane->lost);
    sum->over_1s += atomic_load(&lane->over_1s);
    sum->over_30s += atomic_load(&lane->over_30s);
    sum->started += atomic_load(&lane->started);
    sum->completions += atomic_load(&lane->completions);
    sum->doubled += atomic_load(&lane->doubled);
    sum->bytes_in_doubt += atomic_load(&lane->bytes_in_doubt);
    if (atomic_load(&lane->slowest_ns) > sum->slowest_ns) {
        sum->slowest_ns = atomic_load(&lane->slowest_ns);
        sum->slowest_kind = atomic_load(&lane->slowest_kind);
    }
}

/* A call that is still out when the test ends counts by its age, like one that has come back. */
static void add_stuck(totals *sum, hang_lane *lane) {
    uint64_t since_ns = atomic_load(&lane->since_ns);
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    uint64_t age_ns = since_ns == 0 || now_ns < since_ns ? 0 : now_ns - since_ns;
    sum->over_1s += age_ns > SL_NS_PER_S;
    sum->over_30s += age_ns > 30 * SL_NS_PER_S;
    if (age_ns > sum->slowest_ns) {
        sum->slowest_ns = age_ns;
        sum->slowest_kind = atomic_load(&lane->kind);
    }
}

static uint64_t grown(uint64_t before, uint64_t after) {
    return after > before ? after - before : 0;
}

/* The broker's pools keep the room of their busiest moment, which a later moment may exceed by
 * chance, a chunk at a time (seen: 130 KB in a broker just started, under Wine; 0 after a few
 * runs). What is lost in each iteration is a leak: from 20,000 iterations on, one of 16 bytes
 * each is found. A short run finds only a large one. */
static bool leaks(const totals *sum) {
    return sum->left_memory >= sum->iterations && sum->left_memory > POOLS_BYTES;
}

static bool is_lost(const hang_test *test) {
    return atomic_load((sl_atomic_bool *)&test->is_lost);
}

/* Of a run that was cut short they need not be known. */
static bool books_are_right(const hang_test *test, const totals *sum) {
    if (test->io != &hang_io_broker) {
        return true;
    }
    if (!test->before.known || !test->after.known) {
        return is_lost(test) || (test->is_interrupted && !test->before.known);
    }
    return sum->left_handles == 0 && sum->left_operations == 0 && sum->left_zombies == 0 &&
           sum->violations == 0 && !leaks(sum);
}

static int exit_code(const hang_test *test, const totals *sum) {
    bool is_clean = books_are_right(test, sum) && test->stuck_count == 0 && sum->over_30s == 0 &&
                    sum->doubled == 0 && sum->missing == 0 && sum->corrupt == 0 &&
                    sum->unexpected == 0;
    bool is_whole = atomic_load((sl_atomic_u32 *)&test->failed) == 0 &&
                    sum->iterations == test->options.workers * test->options.iterations;
    return !is_clean              ? CLI_EXIT_FOUND
           : is_lost(test)        ? CLI_EXIT_NOBROKER
           : test->is_interrupted ? CLI_EXIT_INTERRUPTED
           : is_whole             ? CLI_EXIT_OK
                                  : CLI_EXIT_FOUND;
}

static void add_up(const hang_test *test, totals *sum) {
    memset(sum, 0, sizeof(*sum));
    for (unsigned i = 0; i < test->worker_count; i++) {
        hang_worker *worker = &test->workers[i];
        hang_lane *lanes[] = {&worker->closer, &worker->writer, &worker->reader};
        for (unsigned role = 0; role < 3; role++) {
            add_lane(sum, lanes[role]);
            if (test->stuck_count > 0) {
                add_stuck(sum, lanes[role]);
            }
        }
        sum->bytes_written += atomic_load(&worker->writer.bytes);
        sum->bytes_read += atomic_load(&worker->reader.bytes);
        sum->iterations += atomic_load(&worker->iterations);
        sum->corrupt += atomic_load(&worker->corrupt);
    }
    sum->missing = grown(sum->completions, sum->started);
    if (sum->bytes_read > sum->bytes_written + sum->bytes_in_doubt) {
        sum->corrupt++; /* more came out than went in */
    }
    if (test->after.known) {
        sum->left_handles = grown(test->before.handles, test->after.handles);
        sum->left_operations = grown(test->before.operations, test->after.operations);
        sum->left_memory = grown(test->before.memory_bytes, test->after.memory_bytes);
        sum->left_zombies = grown(test->before.zombies, test->after.zombies);
        sum->violations = grown(test->before.violations, test->after.violations);
    }
    sum->code = exit_code(test, sum);
}

/* ---- for people ---------------------------------------------------------------------------- */

static void print_outcomes(out_text *text, const totals *sum) {
    static const char *const headings[] = {"call", ">times", "how it ended"};
    out_table table;
    out_table_init(&table, headings, 3);
    for (unsigned kind = 0; kind < HANG_KINDS; kind++) {
        for (unsigned status = 0; status < SLUICE_STATUS_COUNT; status++) {
            char number[OUT_NUMBER_BYTES];
            if (sum->outcomes[kind][status] > 0) {
                out_table_cell(&table, "%s", kind_words[kind]);
                out_table_cell(&table, "%s", out_number(sum->outcomes[kind][status], number));
                out_table_cell(&table, "%s", sl_status_name(-(int)status));
            }
        }
    }
    out_table_end(&table, text);
}

static void line(out_text *text, const char *label, uint64_t value, const char *note) {
    char number[OUT_NUMBER_BYTES];
    out_print(text, "%-34s %14s%s\n", label, out_number(value, number), note);
}

static void print_counts(out_text *text, const hang_test *test, const totals *sum) {
    char time[OUT_NUMBER_BYTES];
    line(text, "iterations", sum->iterations, "");
    line(text, "operations", sum->operations, "");
    line(text, "  cut short by close or cancel", sum->cut_short, "");
    line(text, "  over 1 s", sum->over_1s, "");
    line(text, "  over 30 s (must be 0)", sum->over_30s, "");
    line(text, "stuck at the end (must be 0)", test->stuck_count, "");
    if (is_lost(test)) {
        line(text, "  cut short by the broker's loss", sum->lost, "");
    }
    line(text, "unexplained outcomes (must be 0)", sum->unexpected, "");
    line(text, "wrong bytes (must be 0)", sum->corrupt, "");
    if (test->io == &hang_io_broker) {
        line(text, "completions counted", sum->completions, "");
        line(text, "  doubled (must be 0)", sum->doubled, "");
        line(text, "  missing (must be 0)", sum->missing, "");
    }
    if (test->io == &hang_io_broker && !test->after.known) {
        out_print(text, "left in the broker: NOT KNOWN, %s\n",
                  is_lost(test)          ? "it was lost"
                  : test->is_interrupted ? "the test was interrupted"
                                         : "it no longer answers");
    } else if (test->io == &hang_io_broker) {
        line(text, "left in the broker: handles", sum->left_handles, "");
        line(text, "  operations", sum->left_operations, "");
        line(text, "  zombies", sum->left_zombies, "");
        line(text, "  memory", sum->left_memory,
             leaks(sum)             ? " bytes: A LEAK"
             : sum->left_memory > 0 ? " bytes (pools)"
                                    : " bytes");
        line(text, "protocol violations", sum->violations, "");
    }
    out_print(text, "%-34s %14s (a %s)\n", "slowest operation", out_duration(sum->slowest_ns, time),
              kind_words[sum->slowest_kind]);
    out_print(text, "%-34s %14s\n", "time", out_duration(test->end_ns - test->begin_ns, time));
}

static void print_people(out_text *text, const hang_test *test, const totals *sum) {
    char iterations[OUT_NUMBER_BYTES];
    out_print(text, "hangtest: scenario %s, via %s, %u workers x %s iterations\n\n",
              test->options.scenario, test->options.via, (unsigned)test->options.workers,
              out_number(test->options.iterations, iterations));
    print_outcomes(text, sum);
    out_print(text, "\n");
    print_counts(text, test, sum);
    if (atomic_load((sl_atomic_u32 *)&test->failed) > 0) {
        out_print(text, "%u workers gave up: no pipe: %s\n",
                  atomic_load((sl_atomic_u32 *)&test->failed),
                  sl_status_sentence(test->failed_status));
    }
    out_print(text, "\n%s%s%s\n",
              is_lost(test) ? "BROKER LOST: it ended before the test did.\n" : "",
              test->is_interrupted ? "INTERRUPTED: these are the figures until then.\n" : "",
              sum->code == CLI_EXIT_OK      ? "PASSED: no hang, nothing lost, nothing left."
              : sum->code == CLI_EXIT_FOUND ? "FAILED: see the lines that must be 0."
                                            : "Nothing was wrong until then.");
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_outcomes(out_json *json, const totals *sum) {
    out_json_object(json, "outcomes");
    for (unsigned kind = 0; kind < HANG_KINDS; kind++) {
        out_json_object(json, kind_words[kind]);
        for (unsigned status = 0; status < SLUICE_STATUS_COUNT; status++) {
            if (sum->outcomes[kind][status] > 0) {
                out_json_u64(json, sl_status_name(-(int)status), sum->outcomes[kind][status]);
            }
        }
        out_json_end_object(json);
    }
    out_json_end_object(json);
}

static void json_left(out_json *json, const hang_test *test, const totals *sum) {
    if (!test->after.known) {
        out_json_null(json, "left_in_broker");
        return;
    }
    out_json_object(json, "left_in_broker");
    out_json_u64(json, "handles", sum->left_handles);
    out_json_u64(json, "operations", sum->left_operations);
    out_json_u64(json, "zombies", sum->left_zombies);
    out_json_u64(json, "memory_bytes", sum->left_memory);
    out_json_end_object(json);
    out_json_u64(json, "broker_cancels", grown(test->before.cancels, test->after.cancels));
    out_json_u64(json, "protocol_violations", sum->violations);
}

static void print_json(out_text *text, const hang_test *test, const totals *sum) {
    out_json json;
    out_json_init(&json, text);
    out_json_object(&json, NULL);
    out_json_string(&json, "command", "hangtest");
    out_json_string(&json, "scenario", test->options.scenario);
    out_json_string(&json, "via", test->options.via);
    out_json_string(&json, "calls", test->io->has_asynchronous ? test->options.calls : "sync");
    out_json_u64(&json, "workers", test->options.workers);
    out_json_u64(&json, "iterations_per_worker", test->options.iterations);
    out_json_u64(&json, "iterations", sum->iterations);
    out_json_u64(&json, "operations", sum->operations);
    out_json_u64(&json, "cut_short", sum->cut_short);
    json_outcomes(&json, sum);
    out_json_u64(&json, "over_1s", sum->over_1s);
    out_json_u64(&json, "over_30s", sum->over_30s);
    out_json_u64(&json, "hangs",
                 sum->over_30s > test->stuck_count ? sum->over_30s : test->stuck_count);
    out_json_u64(&json, "unexplained_outcomes", sum->unexpected);
    out_json_bool(&json, "broker_lost", is_lost(test));
    out_json_bool(&json, "interrupted", test->is_interrupted);
    out_json_u64(&json, "workers_given_up", atomic_load((sl_atomic_u32 *)&test->failed));
    out_json_u64(&json, "wrong_bytes", sum->corrupt);
    out_json_u64(&json, "bytes_written", sum->bytes_written);
    out_json_u64(&json, "bytes_in_doubt", sum->bytes_in_doubt);
    out_json_u64(&json, "bytes_read", sum->bytes_read);
    out_json_u64(&json, "completions", sum->completions);
    out_json_u64(&json, "doubled", sum->doubled);
    out_json_u64(&json, "missing", sum->missing);
    json_left(&json, test, sum);
    out_json_u64(&json, "slowest_ns", sum->slowest_ns);
    out_json_string(&json, "slowest_call", kind_words[sum->slowest_kind]);
    out_json_u64(&json, "time_ns", test->end_ns - test->begin_ns);
    out_json_bool(&json, "passed", sum->code == CLI_EXIT_OK);
    out_json_end_object(&json);
}

int hang_report(const hang_test *test) {
    totals sum;
    out_text text = {0};
    add_up(test, &sum);
    if (test->options.json) {
        print_json(&text, test, &sum);
    } else {
        print_people(&text, test, &sum);
    }
    bool is_written = out_flush(&text, SL_SINK_OUTPUT);
    return !is_written && sum.code == CLI_EXIT_OK ? CLI_EXIT_FOUND : sum.code;
}
