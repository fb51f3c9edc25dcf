/*
 * main.c - engine_bench: options, the measuring thread, the progress line, the exit code.
 *
 * Exit 0: measured (whether or not the aims were reached, unless --strict; a case that needs more
 * descriptors than the system grants is skipped and says so); 1: something could not be measured;
 * 2: wrong options.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/thread.h"
#include "bench.h"

const bench_case bench_cases[] = {
    {"pingpong", "64 bytes there and back on one connection", BENCH_PINGPONG, 1, 1.05},
    {"inflight64", "64 connections, one 64-byte ping-pong in flight on each", BENCH_PINGPONG,
     BENCH_FLIGHT_COUNT, 1.10},
    {"bulk64k", "64 KiB blocks one way on one connection (throughput)", BENCH_BULK, 1, 0},
    {"cancel-1", "cancel one pending read and submit it again; 1 other pending", BENCH_CANCEL, 2,
     1.10},
    {"cancel-1000", "the same with 1,000 others pending on handles of their own", BENCH_CANCEL,
     1001, 1.10},
    {"cancel-9000", "the same with 9,000 others", BENCH_CANCEL, 9001, 1.10},
};
const unsigned bench_case_count = SL_ARRAY_COUNT(bench_cases);

static const char help_text_1[] =
    "engine_bench - what the engine costs over a hand-written loop on the same system\n"
    "\n"
    "Both do the same work in turn in one run; the figure that counts is the ratio of their\n"
    "times, engine / raw (1.05 = the engine takes 5 % longer). Lower is better.\n"
    "\n"
    "  --backend NAME     epoll or iocp (default: this system's own)\n"
    "  --case NAME        one case of --list, or all (default)\n"
    "  --rounds N         interleaved rounds, medians are taken over them (default 9;\n"
    "                     fewer than 7 is for trying things out)\n"
    "  --seconds S        time per round and subject (default 0.5)\n"
    "  --iterations N     units per round and subject instead of --seconds\n"
    "  --topology T       one-cpu (default): both ends of each connection in the one measured\n"
    "                     loop, nothing sleeps: the most repeatable and the strictest.\n"
    "                     two-cpu: the far ends are an echo thread on the second processor\n"
    "  --pin CPU[,CPU]    processors of the measured thread and of the peer\n"
    "  --subject WHICH    raw, engine or both (default): one alone is for profilers\n";
static const char help_text_2[] =
    "  --raw-cancel HOW   turn (default) or note: what a readiness loop is charged for a cancel,\n"
    "                     see raw_epoll_posix.c\n"
    "  --json FILE        write every figure there\n"
    "  --strict           exit 1 when an aim is not reached\n"
    "  --list             the cases\n"
    "  --help             this text\n"
    "\n"
    "Examples\n"
    "  engine_bench                                 everything, about two minutes\n"
    "  engine_bench --case pingpong --rounds 21     one figure, more surely\n"
    "  engine_bench --case inflight64 --subject engine --iterations 1000000 --rounds 1\n"
    "                                               under perf or callgrind\n"
    "\n"
    "Where memory happens to lie differs from launch to launch and moves a ratio by up to 7 %:\n"
    "for a figure to rely on take several launches (tests/bench/launches.sh).\n"
    "On a machine that does other things believe the ratio's median and look at its min and\n"
    "max; the absolute figures are only as good as the quiet around them. docs/bench.md has\n"
    "the reached figures and what they mean.\n";

typedef struct bench_run {
    bench_options options;
    bool strict;
    bench_progress progress;
    bench_result *results;
    unsigned result_count;
    sl_event done;
} bench_run;

/* ---- options --------------------------------------------------------------------------------- */

static bool parse_number(const char *text, double lowest, double highest, double *ret_value) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= lowest && value <= highest)) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool parse_pin(bench_options *options, const char *text) {
    char *end = NULL;
    unsigned long first = strtoul(text, &end, 10);
    if (end == text || first > 1023) {
        return false;
    }
    options->cpus[0] = options->cpus[1] = (unsigned)first;
    if (*end == ',') {
        const char *rest = end + 1;
        unsigned long second = strtoul(rest, &end, 10);
        if (end == rest || second > 1023) {
            return false;
        }
        options->cpus[1] = (unsigned)second;
    }
    return *end == '\0';
}

/* One of two words. */
static bool parse_choice(const char *text, const char *yes, const char *no, bool *ret_value) {
    *ret_value = strcmp(text, yes) == 0;
    return *ret_value || strcmp(text, no) == 0;
}

static bool parse_subject(bench_options *options, const char *text) {
    options->run_raw = strcmp(text, "engine") != 0;
    options->run_engine = strcmp(text, "raw") != 0;
    return !options->run_raw || !options->run_engine || strcmp(text, "both") == 0;
}

static bool parse_option(bench_options *options, const char *name, const char *value) {
    double number = 0;
    if (strcmp(name, "--backend") == 0) {
        options->backend = engine_backend_find(value);
        return options->backend != NULL;
    }
    if (strcmp(name, "--case") == 0) {
        options->case_name = value;
        bool known = strcmp(value, "all") == 0;
        for (unsigned index = 0; index < bench_case_count; index++) {
            known = known || strcmp(value, bench_cases[index].name) == 0;
        }
        return known;
    }
    if (strcmp(name, "--rounds") == 0) {
        bool valid = parse_number(value, 1, BENCH_ROUNDS_MAX, &number);
        options->rounds = (unsigned)number;
        return valid;
    }
    if (strcmp(name, "--seconds") == 0) {
        return parse_number(value, 0.001, 3600, &options->seconds);
    }
    if (strcmp(name, "--iterations") == 0) {
        bool valid = parse_number(value, 1, 1e12, &number);
        options->iterations = (uint64_t)number;
        return valid;
    }
    if (strcmp(name, "--topology") == 0) {
        return parse_choice(value, "two-cpu", "one-cpu", &options->two_cpu);
    }
    if (strcmp(name, "--raw-cancel") == 0) {
        return parse_choice(value, "turn", "note", &options->raw_cancel_turn);
    }
    if (strcmp(name, "--json") == 0) {
        options->json_path = value;
        return true;
    }
    return strcmp(name, "--pin") == 0       ? parse_pin(options, value)
           : strcmp(name, "--subject") == 0 ? parse_subject(options, value)
                                            : false;
}

static void print_list(void) {
    for (unsigned index = 0; index < bench_case_count; index++) {
        const bench_case *what = &bench_cases[index];
        bench_print("%-13s %s", what->name, what->what);
        if (what->aim > 0) {
            bench_print("; aim <= %.2f x raw", what->aim);
        }
        bench_print("\n");
    }
}

/* -1: go on and measure; else the exit code. */
static int parse_options(bench_run *self, int count, char **arguments) {
    for (int index = 1; index < count; index++) {
        const char *name = arguments[index];
        if (strcmp(name, "--help") == 0) {
            bench_print("%s", help_text_1);
            bench_print("%s", help_text_2);
            return 0;
        }
        if (strcmp(name, "--list") == 0) {
            print_list();
            return 0;
        }
        if (strcmp(name, "--strict") == 0) {
            self->strict = true;
            continue;
        }
        if (index + 1 == count || !parse_option(&self->options, name, arguments[index + 1])) {
            bench_print_error("engine_bench: %s %s: no such option or value; --help lists them\n",
                              name, index + 1 == count ? "" : arguments[index + 1]);
            return 2;
        }
        index++;
    }
    return -1;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void measure_all(void *context) {
    bench_run *self = context;
    bench_os_enter_measuring_thread();
    (void)sl_thread_pin(self->options.cpus[0]);
    unsigned count = 0;
    for (unsigned index = 0; index < bench_case_count; index++) {
        const bench_case *what = &bench_cases[index];
        const char *wanted = self->options.case_name;
        if (strcmp(wanted, "all") == 0 || strcmp(wanted, what->name) == 0) {
            atomic_store(&self->progress.round, 0);
            atomic_store(&self->progress.case_index, index);
            bench_measure(&self->options, what, &self->progress, &self->results[count++]);
        }
    }
    self->result_count = count;
    sl_event_set(&self->done);
}

/* Waits for the measuring thread; where a person watches, with a line that says how far it is. */
static void wait_until_done(bench_run *self) {
    bool watched = bench_os_error_is_terminal();
    for (;;) {
        uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
        uint64_t until_ns = watched ? now_ns + 250 * SL_NS_PER_MS : SL_CLOCK_NEVER;
        if (sl_event_wait_until(&self->done, until_ns)) {
            break;
        }
        bench_print_error("\r%-13s round %u of %u   ",
                          bench_cases[atomic_load(&self->progress.case_index)].name,
                          (unsigned)atomic_load(&self->progress.round), self->options.rounds);
    }
    if (watched) {
        bench_print_error("\r%40s\r", "");
    }
}

static int verdict(const bench_run *self) {
    for (unsigned index = 0; index < self->result_count; index++) {
        const bench_result *result = &self->results[index];
        bool has_ratio = result->sides[0].measured && result->sides[1].measured;
        if (result->skipped != NULL && result->status != SLUICE_OK) {
            return 1;
        }
        if (self->strict && has_ratio && result->what->aim > 0 &&
            bench_ratio(result, false).median > result->what->aim) {
            return 1;
        }
    }
    return 0;
}

static int measure(bench_run *self) {
    self->results = calloc(bench_case_count, sizeof *self->results);
    SL_CHECK(self->results != NULL, "out of memory");
    sl_thread thread;
    if (sl_event_init(&self->done) != SLUICE_OK ||
        sl_thread_start(&thread, "bench", measure_all, self) != SLUICE_OK) {
        bench_print_error("engine_bench: no thread to be had\n");
        return 1;
    }
    wait_until_done(self);
    sl_thread_join(&thread);
    sl_event_deinit(&self->done);
    bench_print_table(&self->options, self->results, self->result_count);
    int code = verdict(self);
    if (self->options.json_path != NULL &&
        !bench_write_json(&self->options, self->results, self->result_count)) {
        bench_print_error("engine_bench: cannot write %s\n", self->options.json_path);
        code = 1;
    }
    free(self->results);
    return code;
}

int main(int count, char **arguments) {
    bench_run self = {
        .options = {.backend = engine_backend_find(NULL),
                    .case_name = "all",
                    .rounds = 9,
                    .seconds = 0.5,
                    .cpus = {bench_os_default_cpu(0), bench_os_default_cpu(1)},
                    .raw_cancel_turn = true,
                    .run_raw = true,
                    .run_engine = true},
    };
    int code = parse_options(&self, count, arguments);
    return code >= 0 ? code : measure(&self);
}
