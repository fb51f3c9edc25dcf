/*
 * bench_report.c - quantiles, the table and the JSON of `sluice bench`. See bench.h.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/status.h"
#include "client/cli/bench.h"
#include "client/cli/out.h"

static int by_value(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

double bench_quantile(uint64_t *values, uint64_t count, double share) {
    if (count == 0) {
        return 0;
    }
    qsort(values, (size_t)count, sizeof(*values), by_value);
    uint64_t index = (uint64_t)(share * (double)count);
    return (double)values[index < count ? index : count - 1];
}

void bench_spread(double *values, unsigned count, double *ret_median, double *ret_least,
                  double *ret_most) {
    *ret_median = *ret_least = *ret_most = 0;
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = i; j > 0 && values[j] < values[j - 1]; j--) {
            double swap = values[j];
            values[j] = values[j - 1];
            values[j - 1] = swap;
        }
    }
    if (count > 0) {
        *ret_median = values[count / 2];
        *ret_least = values[0];
        *ret_most = values[count - 1];
    }
}

static const char *mode_word(bench_mode mode) {
    static const char *const words[] = {"inline", "thread", "poll", "sync"};
    return words[mode];
}

static const char *base_word(bench_base base) {
    static const char *const words[] = {"raw", "syscalls", "null", "raw paced"};
    return words[base];
}

static const char *verdict_word(const bench_result *result) {
    return result->what->aim <= 0                      ? ""
           : result->ratio_median <= result->what->aim ? "reached"
                                                       : "MISSED";
}

static void add_row(out_table *table, const bench_result *result) {
    char time[OUT_NUMBER_BYTES];
    out_table_cell(table, "%s", result->what->name);
    out_table_cell(table, "%s", mode_word(result->what->mode));
    if (result->skipped != SLUICE_OK) {
        out_table_cell(table, "skipped");
        for (unsigned i = 0; i < 5; i++) {
            out_table_cell(table, "-");
        }
        out_table_cell(table, "%s", sl_status_name(result->skipped));
        return;
    }
    const double values[] = {result->broker.p50_ns, result->broker.p99_ns, result->broker.p999_ns};
    for (unsigned i = 0; i < 3; i++) {
        out_table_cell(table, "%s", out_duration((uint64_t)values[i], time));
    }
    out_table_cell(table, "%s %s", base_word(result->what->base),
                   out_duration((uint64_t)result->base.p50_ns, time));
    out_table_cell(table, "%.2f (%.2f to %.2f)", result->ratio_median, result->ratio_least,
                   result->ratio_most);
    if (result->what->aim > 0) {
        out_table_cell(table, "%.2f", result->what->aim);
    } else {
        out_table_cell(table, "-");
    }
    out_table_cell(table, "%s", verdict_word(result));
}

static void print_people(const bench_setting *setting, out_text *text, const bench_result *results,
                         unsigned count) {
    static const char *const headings[] = {"case",     "delivery",       ">p50", ">p99", ">p99.9",
                                           "baseline", "ratio (spread)", ">aim", ""};
    out_table table;
    out_print(text, "sluice bench: engine %s, %u rounds, %s", setting->engine_name, setting->rounds,
              setting->pinned ? "all on processor " : "not pinned");
    if (setting->pinned) {
        out_print(text, "%u", setting->processor);
    }
    out_print(text, "\n\n");
    out_table_init(&table, headings, 9);
    for (unsigned i = 0; i < count; i++) {
        add_row(&table, &results[i]);
    }
    out_table_end(&table, text);
    out_print(text, "\nTimes are per unit; ratio = the broker's by the baseline's in the same "
                    "round, the median\nof the rounds; aim = the most that it should be "
                    "(docs/bench.md).\n\"sluice bench --list\" says what each case does.\n");
    if (!setting->pinned) {
        out_print(text, "Not pinned: figures include the wake-up of other processors.\n");
    }
}

static void json_side(out_json *json, const char *name, const bench_side *side) {
    out_json_object(json, name);
    out_json_f64(json, "p50_ns", side->p50_ns);
    out_json_f64(json, "p99_ns", side->p99_ns);
    out_json_f64(json, "p999_ns", side->p999_ns);
    out_json_f64(json, "mean_ns", side->mean_ns);
    out_json_end_object(json);
}

static void json_row(out_json *json, const bench_result *result) {
    out_json_object(json, NULL);
    out_json_string(json, "case", result->what->name);
    out_json_string(json, "delivery", mode_word(result->what->mode));
    out_json_string(json, "baseline", base_word(result->what->base));
    if (result->skipped != SLUICE_OK) {
        out_json_string(json, "skipped", sl_status_name(result->skipped));
    } else {
        out_json_u64(json, "units_per_round", result->units);
        json_side(json, "broker", &result->broker);
        json_side(json, "base", &result->base);
        out_json_f64(json, "ratio", result->ratio_median);
        out_json_f64(json, "ratio_least", result->ratio_least);
        out_json_f64(json, "ratio_most", result->ratio_most);
        if (result->what->aim > 0) {
            out_json_f64(json, "aim", result->what->aim);
            out_json_bool(json, "reached", result->ratio_median <= result->what->aim);
        } else {
            out_json_null(json, "aim");
        }
    }
    out_json_end_object(json);
}

bool bench_report(const bench_setting *setting, const bench_result *results, unsigned count) {
    out_text text = {0};
    if (!setting->json) {
        print_people(setting, &text, results, count);
        return out_flush(&text, SL_SINK_OUTPUT);
    }
    out_json json;
    out_json_init(&json, &text);
    out_json_object(&json, NULL);
    out_json_string(&json, "command", "bench");
    out_json_string(&json, "engine", setting->engine_name);
    out_json_string(&json, "broker_version", setting->broker_version);
    out_json_bool(&json, "private_broker", setting->is_private);
    out_json_bool(&json, "pinned", setting->pinned);
    out_json_u64(&json, "processor", setting->processor);
    out_json_u64(&json, "rounds", setting->rounds);
    out_json_array(&json, "cases");
    for (unsigned i = 0; i < count; i++) {
        json_row(&json, &results[i]);
    }
    out_json_end_array(&json);
    out_json_end_object(&json);
    return out_flush(&text, SL_SINK_OUTPUT);
}
