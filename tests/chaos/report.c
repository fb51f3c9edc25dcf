/*
 * report.c - see chaos.h: the figures, for people and as JSON, and the verdict.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/out.h"
#include "tests/chaos/chaos.h"

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

#define RATIO_MIN 0.5
/* The throughput of a short run is printed: other programs on the machine disturb a cycle. */
#define CYCLES_JUDGED 5u
/* What a process may grow from its first quiet point to its last: its pools, and what the system's
 * allocator does with them. And in the long run: see quiet.c. */
#define GROWTH_MAX_BYTES  (16.0 * 1048576)
#define SLOPE_MAX_PER_MIN (256.0 * 1024)

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double chaos_ratio(const double *chaos_rate, const double *clean_rate, uint32_t count) {
    static double ratios[CHAOS_CYCLES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        ratios[i] = clean_rate[i] > 0 ? chaos_rate[i] / clean_rate[i] : 0;
    }
    qsort(ratios, count, sizeof(ratios[0]), compare_double);
    return (ratios[(count - 1) / 2] + ratios[count / 2]) / 2;
}

static double mean(const double *values, uint32_t count) {
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum / count;
}

static bool is_growing(const chaos_growth *growth) {
    return (double)growth->most_bytes > GROWTH_MAX_BYTES ||
           (growth->slopes > 0 && growth->most_per_minute > SLOPE_MAX_PER_MIN);
}

typedef struct figures {
    chaos_counts total;
    double calls_ratio, bytes_ratio;
    bool is_time_judged, is_memory_judged;
    bool is_slow, is_growing, is_idle;
} figures;

static figures judge(const chaos *c) {
    figures f = {.total = chaos_total(c),
                 .calls_ratio = chaos_ratio(c->chaos_rate, c->clean_rate, c->cycles),
                 .bytes_ratio = chaos_ratio(c->chaos_bytes, c->clean_bytes, c->cycles)};
    f.is_time_judged = !IS_SANITIZED && !process_is_wine() && c->cycles >= CYCLES_JUDGED;
    f.is_memory_judged = !IS_SANITIZED;
    f.is_slow = f.is_time_judged && (f.calls_ratio < RATIO_MIN || f.bytes_ratio < RATIO_MIN);
    f.is_growing = f.is_memory_judged &&
                   (is_growing(&c->broker_growth) || is_growing(&c->survivor_growth));
    /* A run in which nothing was read, or nobody killed, has shown nothing. */
    f.is_idle = f.total.streams == 0 || f.total.bytes == 0 || c->deeds[CHAOS_KILL_CLIENT] == 0 ||
                c->deeds[CHAOS_KILL_BROKER] == 0 || f.total.lost == 0;
    return f;
}

static void json_growth(out_json *json, const char *whose, const chaos_growth *growth) {
    out_json_object(json, whose);
    out_json_u64(json, "growth_bytes", growth->most_bytes);
    if (growth->slopes > 0) {
        out_json_f64(json, "growth_bytes_per_minute", growth->most_per_minute);
    }
    out_json_end_object(json);
}

static void print_json(const chaos *c, const figures *f, bool is_good) {
    out_text text = {0};
    out_json json;
    out_json_init(&json, &text);
    out_json_object(&json, NULL);
    out_json_u64(&json, "seconds", c->options.seconds);
    out_json_u64(&json, "seed", c->options.seed);
    out_json_u64(&json, "clients", c->options.clients);
    out_json_bool(&json, "passed", is_good);
    out_json_u64(&json, "calls", f->total.ended);
    out_json_u64(&json, "calls_ok", f->total.ok);
    out_json_u64(&json, "calls_lost", f->total.lost);
    out_json_u64(&json, "bytes_checked", f->total.bytes);
    out_json_u64(&json, "streams_compared", f->total.streams);
    out_json_u64(&json, "latest_us", f->total.latest_us);
    out_json_u64(&json, "hangs", c->hangs);
    out_json_u64(&json, "wrong", c->wrong);
    out_json_u64(&json, "leaks", c->leaks);
    out_json_u64(&json, "crashes", c->crashes);
    out_json_f64(&json, "calls_ratio", f->calls_ratio);
    out_json_f64(&json, "bytes_ratio", f->bytes_ratio);
    json_growth(&json, "broker", &c->broker_growth);
    json_growth(&json, "survivor", &c->survivor_growth);
    out_json_object(&json, "deeds");
#define X(name, option, standard_ms, word) \
    out_json_u64(&json, #name, c->deeds[CHAOS_##name]);
    CHAOS_DEED_TABLE(X)
#undef X
    for (uint32_t i = 0; i < PROXY_FAULTS; i++) {
        out_json_u64(&json, proxy_fault_word((proxy_fault)i),
                     atomic_load(&c->proxies[0].faults[i]) +
                         atomic_load(&c->proxies[1].faults[i]));
    }
    out_json_end_object(&json);
    out_json_end_object(&json);
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

static void add_row(out_table *table, const char *what, uint64_t value, const char *remark) {
    char number[OUT_NUMBER_BYTES];
    out_table_cell(table, "%s", what);
    out_table_cell(table, "%s", out_number(value, number));
    out_table_cell(table, "%s", remark);
}

static void add_deeds(const chaos *c, out_table *table) {
#define X(name, option, standard_ms, word) add_row(table, word, c->deeds[CHAOS_##name], "");
    CHAOS_DEED_TABLE(X)
#undef X
    add_row(table, "connections through the proxy",
            atomic_load(&c->proxies[0].connections) + atomic_load(&c->proxies[1].connections), "");
    for (uint32_t i = 0; i < PROXY_FAULTS; i++) {
        char what[OUT_CELL_BYTES];
        (void)snprintf(what, sizeof(what), "  its %s", proxy_fault_word((proxy_fault)i));
        add_row(table, what,
                atomic_load(&c->proxies[0].faults[i]) + atomic_load(&c->proxies[1].faults[i]), "");
    }
}

static void add_growth(out_table *table, const figures *f, const char *what,
                       const chaos_growth *growth) {
    char remark[OUT_CELL_BYTES] = "too short a life for a slope";
    if (growth->slopes > 0) {
        (void)snprintf(remark, sizeof(remark), "the slope of %" PRIu32 ": %.0f KiB a minute%s",
                       growth->slopes, growth->most_per_minute / 1024,
                       f->is_memory_judged ? "" : "; not judged");
    }
    add_row(table, what, growth->most_bytes / 1024, remark);
}

static void print_table(const chaos *c, const figures *f) {
    static const char *const headings[] = {"what", ">count", "remark"};
    out_text text = {0};
    out_table table;
    char remark[OUT_CELL_BYTES], number[OUT_NUMBER_BYTES];
    out_table_init(&table, headings, 3);
    add_deeds(c, &table);
    add_row(&table, "calls", f->total.ended, "");
    add_row(&table, "  done", f->total.ok, "");
    add_row(&table, "  ended by the loss of the broker", f->total.lost, "");
    add_row(&table, "streams compared at their end", f->total.streams, "");
    add_row(&table, "bytes checked", f->total.bytes, out_bytes(f->total.bytes, number));
    add_row(&table, "latest call behind its deadline, us", f->total.latest_us,
            "without the time in which its process did not run");
    (void)snprintf(remark, sizeof(remark), "clean %.0f a second, chaos %.0f%s",
                   mean(c->clean_rate, c->cycles), mean(c->chaos_rate, c->cycles),
                   f->is_time_judged ? "" : "; not judged");
    add_row(&table, "calls done under chaos, % of clean", (uint64_t)(f->calls_ratio * 100),
            remark);
    (void)snprintf(remark, sizeof(remark), "clean %.1f MiB a second, chaos %.1f",
                   mean(c->clean_bytes, c->cycles) / 1048576,
                   mean(c->chaos_bytes, c->cycles) / 1048576);
    add_row(&table, "bytes under chaos, % of clean", (uint64_t)(f->bytes_ratio * 100), remark);
    add_growth(&table, f, "a broker's memory grew at most, KiB", &c->broker_growth);
    add_growth(&table, f, "a survivor's memory grew at most, KiB", &c->survivor_growth);
    add_row(&table, "hangs", c->hangs, c->hangs == 0 ? "" : "MUST BE 0");
    add_row(&table, "wrong outcomes", c->wrong, c->wrong == 0 ? "" : "MUST BE 0");
    add_row(&table, "leaks", c->leaks, c->leaks == 0 ? "" : "MUST BE 0");
    add_row(&table, "crashes", c->crashes, c->crashes == 0 ? "" : "MUST BE 0");
    out_table_end(&table, &text);
    (void)out_flush(&text, SL_SINK_OUTPUT);
}

bool chaos_report(chaos *c) {
    figures f = judge(c);
    bool is_good = c->hangs == 0 && c->wrong == 0 && c->leaks == 0 && c->crashes == 0 &&
                   !f.is_slow && !f.is_growing && !f.is_idle;
    if (c->options.is_json) {
        print_json(c, &f, is_good);
    } else {
        print_table(c, &f);
        out_say("%u cycles of %" PRIu64 " s, seed %" PRIu64 ": %s%s%s%s\n", c->cycles,
                c->options.seconds / c->cycles, c->options.seed, is_good ? "passed" : "FAILED",
                f.is_slow ? "; too slow" : "", f.is_growing ? "; memory grows" : "",
                f.is_idle ? "; too little happened to show anything" : "");
    }
    return is_good;
}
