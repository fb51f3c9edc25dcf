/*
 * report.c - from rounds to a table for people and JSON for programs. Main thread only.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sink.h"
#include "bench.h"

#define LINE_BYTES 4096

BENCH_LIKE_PRINTF(2, 0)
static void print_to(sl_sink sink, const char *format, va_list arguments) {
    char line[LINE_BYTES];
    int length = vsnprintf(line, sizeof line, format, arguments);
    if (length > 0) {
        size_t count = (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
        (void)sl_sink_write(sink, line, count);
    }
}

void bench_print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_to(SL_SINK_OUTPUT, format, arguments);
    va_end(arguments);
}

void bench_print_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_to(SL_SINK_ERROR, format, arguments);
    va_end(arguments);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static int compare(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

bench_spread bench_spread_of(const double *values, unsigned count) {
    double sorted[BENCH_ROUNDS_MAX];
    if (count == 0) {
        return (bench_spread){0, 0, 0};
    }
    for (unsigned index = 0; index < count; index++) {
        sorted[index] = values[index];
    }
    qsort(sorted, count, sizeof sorted[0], compare);
    double median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    return (bench_spread){sorted[0], median, sorted[count - 1]};
}

bench_spread bench_ratio(const bench_result *result, bool cpu) {
    double ratios[BENCH_ROUNDS_MAX];
    unsigned count = 0;
    for (unsigned round = 0; round < result->rounds; round++) {
        const bench_side *sides = result->sides;
        double raw = cpu ? sides[0].cpu_ns[round] : sides[0].wall_ns[round];
        double measured = cpu ? sides[1].cpu_ns[round] : sides[1].wall_ns[round];
        if (raw > 0 && measured > 0) {
            ratios[count++] = measured / raw;
        }
    }
    return bench_spread_of(ratios, count);
}

static double quantile_us(const bench_side *side, double share) {
    return (double)histogram_quantile_ns(&side->latency, share) / 1e3;
}

static double mib_per_s(double ns_per_block) {
    return ns_per_block > 0 ? (double)BENCH_BLOCK_BYTES / 1048576.0 / (ns_per_block / 1e9) : 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_side(const bench_result *result, unsigned subject) {
    const bench_side *side = &result->sides[subject];
    double unit_ns = bench_spread_of(side->wall_ns, result->rounds).median;
    char rate[64];
    if (result->what->kind == BENCH_BULK) {
        (void)snprintf(rate, sizeof rate, "%.0f MiB/s", mib_per_s(unit_ns));
    } else {
        (void)snprintf(rate, sizeof rate, "p50 %.2f  p99 %.2f  p99.9 %.2f us",
                       quantile_us(side, 0.5), quantile_us(side, 0.99), quantile_us(side, 0.999));
    }
    bench_print("%-13s %-7s %11.0f  %s", subject == 0 ? result->what->name : "",
                subject == 0 ? "raw" : "engine", unit_ns, rate);
    if (side->calls_per_unit > 0) {
        bench_print("  %.2f calls/unit", side->calls_per_unit);
    }
    bench_print("\n");
}

static void print_verdict(const bench_result *result) {
    bench_spread wall = bench_ratio(result, false);
    bench_spread cpu = bench_ratio(result, true);
    bench_print("%-13s ratio   %.3f (min %.3f, max %.3f)", "", wall.median, wall.min, wall.max);
    if (cpu.median > 0) {
        bench_print("  CPU time %.3f", cpu.median);
    }
    if (result->what->aim > 0) {
        bench_print("  aim <= %.2f: %s", result->what->aim,
                    wall.median <= result->what->aim ? "reached" : "NOT REACHED");
    }
    bench_print("\n");
}

void bench_print_table(const bench_options *options, const bench_result *results, unsigned count) {
    bench_print("engine_bench: backend %s against its raw loop, topology %s, measured on CPU %u",
                engine_backend_name(options->backend), options->two_cpu ? "two-cpu" : "one-cpu",
                options->cpus[0]);
    if (options->two_cpu) {
        bench_print(", peer on CPU %u", options->cpus[1]);
    }
    bench_print("\n%u interleaved rounds; medians; %s\n\n", options->rounds, bench_os_calls_note());
    bench_print("%-13s %-7s %11s  %s\n", "case", "subject", "ns per unit", "latency or rate");
    for (unsigned index = 0; index < count; index++) {
        const bench_result *result = &results[index];
        if (result->skipped != NULL) {
            bench_print("%-13s skipped: %s", result->what->name, result->skipped);
            if (result->status != SLUICE_OK) {
                bench_print(" (%s)", sl_status_name(result->status));
            }
            bench_print("\n");
            continue;
        }
        for (unsigned subject = 0; subject < BENCH_SUBJECT_COUNT; subject++) {
            if (result->sides[subject].measured) {
                print_side(result, subject);
            }
        }
        if (result->sides[0].measured && result->sides[1].measured) {
            print_verdict(result);
        }
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_rounds(FILE *file, const char *name, const double *values, unsigned count) {
    (void)fprintf(file, ", \"%s\": [", name);
    for (unsigned index = 0; index < count; index++) {
        (void)fprintf(file, "%s%.3f", index == 0 ? "" : ", ", values[index]);
    }
    (void)fprintf(file, "]");
}

static void json_side(FILE *file, const bench_result *result, unsigned subject) {
    const bench_side *side = &result->sides[subject];
    bench_spread wall = bench_spread_of(side->wall_ns, result->rounds);
    (void)fprintf(file, ",\n     \"%s\": {\"median_ns_per_unit\": %.3f", subject ? "engine" : "raw",
                  wall.median);
    (void)fprintf(file, ", \"p50_ns\": %llu, \"p99_ns\": %llu, \"p99_9_ns\": %llu",
                  (unsigned long long)histogram_quantile_ns(&side->latency, 0.5),
                  (unsigned long long)histogram_quantile_ns(&side->latency, 0.99),
                  (unsigned long long)histogram_quantile_ns(&side->latency, 0.999));
    (void)fprintf(file, ", \"latency_samples\": %llu, \"calls_per_unit\": %.3f",
                  (unsigned long long)side->latency.sample_count, side->calls_per_unit);
    if (result->what->kind == BENCH_BULK) {
        (void)fprintf(file, ", \"mib_per_s\": %.1f", mib_per_s(wall.median));
    }
    json_rounds(file, "wall_ns_per_unit", side->wall_ns, result->rounds);
    json_rounds(file, "cpu_ns_per_unit", side->cpu_ns, result->rounds);
    (void)fprintf(file, "}");
}

static void json_case(FILE *file, const bench_result *result) {
    (void)fprintf(file, "    {\"case\": \"%s\", \"connections\": %u, \"aim\": ", result->what->name,
                  result->what->connections);
    if (result->what->aim > 0) {
        (void)fprintf(file, "%.2f", result->what->aim);
    } else {
        (void)fprintf(file, "null");
    }
    if (result->skipped != NULL) {
        (void)fprintf(file, ", \"skipped\": \"%s\", \"status\": \"%s\"}", result->skipped,
                      sl_status_name(result->status));
        return;
    }
    (void)fprintf(file, ", \"rounds\": %u, \"units_per_round\": %llu", result->rounds,
                  (unsigned long long)result->units_per_round);
    bool both = result->sides[0].measured && result->sides[1].measured;
    for (unsigned kind = 0; kind < 2 && both; kind++) {
        bench_spread ratio = bench_ratio(result, kind == 1);
        (void)fprintf(file, ", \"%s\": {\"min\": %.4f, \"median\": %.4f, \"max\": %.4f}",
                      kind == 0 ? "ratio" : "cpu_ratio", ratio.min, ratio.median, ratio.max);
    }
    for (unsigned subject = 0; subject < BENCH_SUBJECT_COUNT; subject++) {
        if (result->sides[subject].measured) {
            json_side(file, result, subject);
        }
    }
    (void)fprintf(file, "}");
}

bool bench_write_json(const bench_options *options, const bench_result *results, unsigned count) {
    FILE *file = fopen(options->json_path, "w");
    if (file == NULL) {
        return false;
    }
    (void)fprintf(file, "{\n  \"benchmark\": \"engine_bench\",\n  \"backend\": \"%s\",\n",
                  engine_backend_name(options->backend));
    (void)fprintf(file, "  \"topology\": \"%s\",\n  \"cpus\": [%u, %u],\n",
                  options->two_cpu ? "two-cpu" : "one-cpu", options->cpus[0], options->cpus[1]);
    (void)fprintf(file, "  \"raw_cancel\": \"%s\",\n  \"calls\": \"%s\",\n  \"cases\": [\n",
                  options->raw_cancel_turn ? "turn" : "note", bench_os_calls_note());
    for (unsigned index = 0; index < count; index++) {
        json_case(file, &results[index]);
        (void)fprintf(file, "%s\n", index + 1 < count ? "," : "");
    }
    (void)fprintf(file, "  ]\n}\n");
    bool failed = ferror(file) != 0;
    return fclose(file) == 0 && !failed;
}
