/*
 * report.c - the table and the JSON. Main thread only. See bench.h.
 *
 * A program without aims speaks to a user: the table, and what to expect in sentences.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"
#include "client/cli/bench/bench.h"
#include "client/cli/out.h"

/* A machine on which others work more than this is not quiet; its figures mislead. */
#define QUIET_BUSY   0.10 /* share of its processors' time, before or after the run */
#define QUIET_STOLEN 0.01 /* share that the hypervisor gave to others during the run */

#define COLUMNS 11u

const char *const bench_topology_words[] = {"one-processor", "two-processors", "any", NULL};

const char *bench_mode_word(bench_mode mode) {
    static const char *const words[] = {"inline", "thread", "poll", "sync"};
    return words[mode];
}

static const char *mode_of(const bench_case *what) {
    bool has_one = what->subject == &bench_broker || what->subject == &bench_sessions;
    return has_one ? bench_mode_word(what->mode) : "-";
}

static bool is_bulk(const bench_case *what) {
    return what->work == BENCH_BULK_OUT || what->work == BENCH_BULK_IN ||
           what->work == BENCH_LOOP_BULK;
}

static bool is_measured(const bench_result *result) {
    return result->status == SLUICE_OK && result->needs == 0;
}

static double aim_of(const bench_plan *plan, const bench_case *what) {
    return plan->program->aim != NULL ? plan->program->aim(what, plan->stage.topology) : 0;
}

bool bench_missed(const bench_plan *plan, const bench_result *result) {
    double aim = aim_of(plan, result->what);
    return aim > 0 && result->ratio.count > 0 && result->ratio.median > aim;
}

static bool is_quiet(const bench_plan *plan) {
    return plan->busy_before <= QUIET_BUSY && plan->busy_after <= QUIET_BUSY &&
           plan->stolen <= QUIET_STOLEN;
}

/* ---- cells --------------------------------------------------------------------------------- */

static const char *duration(double ns, char text[OUT_NUMBER_BYTES]) {
    return ns > 0 ? out_duration((uint64_t)ns, text) : "-";
}

/* Units or bytes a second. */
static const char *rate(const bench_case *what, const bench_side *side,
                        char text[OUT_NUMBER_BYTES]) {
    char number[OUT_NUMBER_BYTES];
    double per_s = side->unit_ns > 0 ? 1e9 / side->unit_ns : 0;
    if (is_bulk(what)) {
        per_s *= (double)what->bytes / 1048576;
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.20s MiB/s", out_number((uint64_t)per_s, number));
    } else {
        (void)snprintf(text, OUT_NUMBER_BYTES, "%.28s/s", out_number((uint64_t)per_s, number));
    }
    return text;
}

static void cpu_cell(out_table *table, const bench_side *side) {
    if (side->cpu_ns <= 0) {
        out_table_cell(table, "-");
    } else if (side->partner_cpu_ns <= 0) {
        out_table_cell(table, "%.1f", side->cpu_ns / 1e3);
    } else {
        out_table_cell(table, "%.1f+%.1f", side->cpu_ns / 1e3, side->partner_cpu_ns / 1e3);
    }
}

static void add_row(const bench_plan *plan, out_table *table, const bench_result *result) {
    const bench_case *what = result->what;
    const bench_side *subject = &result->sides[0], *model = &result->sides[1];
    char text[OUT_NUMBER_BYTES];
    out_table_cell(table, "%s", what->name);
    out_table_cell(table, "%s", mode_of(what));
    out_table_cell(table, "%s", rate(what, subject, text));
    out_table_cell(table, "%s", duration(subject->p50_ns, text));
    out_table_cell(table, "%s", duration(subject->p99_ns, text));
    out_table_cell(table, "%s", duration(subject->p999_ns, text));
    out_table_cell(table, "%s", what->model->name);
    out_table_cell(table, "%s", duration(model->unit_ns, text));
    out_table_cell(table, "%.2f (%.2f)", result->ratio.median, result->ratio.lower_quartile);
    cpu_cell(table, subject);
    cpu_cell(table, model);
    if (plan->program->aim != NULL) {
        double aim = aim_of(plan, what);
        char most[OUT_NUMBER_BYTES] = "";
        if (aim > 0) {
            (void)snprintf(most, sizeof(most), "%.2f%s", aim,
                           bench_missed(plan, result) ? " MISSED" : "");
        }
        out_table_cell(table, "%s", most);
    }
}

/* ---- for people ---------------------------------------------------------------------------- */

/* What could not be measured, in one line for each reason. */
static void add_missing(const bench_plan *plan, out_text *text) {
    for (unsigned needs = 2; needs <= 3; needs++) {
        bool is_first = true;
        for (unsigned i = 0; i < plan->row_count; i++) {
            const bench_result *result = &plan->results[i];
            if (result->needs == needs) {
                if (is_first) {
                    out_print(text, "\nNot measurable here, needs %u processors (%s):", needs,
                              plan->stage.topology == BENCH_ONE ? "--topology two-processors"
                                                                : "this machine has fewer");
                }
                out_print(text, " %s", result->what->name);
                is_first = false;
            }
        }
        out_print(text, "%s", is_first ? "" : "\n");
    }
    for (unsigned i = 0; i < plan->row_count; i++) {
        const bench_result *result = &plan->results[i];
        if (result->status != SLUICE_OK) {
            out_print(text, "\nNot measurable here: %s (%s): %s (%s)\n", result->what->name,
                      mode_of(result->what), sl_status_sentence(result->status),
                      sl_status_name(result->status));
        }
    }
}

/* The sentence with its {words} filled in. */
static void add_sentence(out_text *text, const bench_result *result) {
    char words[3][OUT_NUMBER_BYTES];
    static const char *const names[] = {"{ratio}", "{time}", "{rate}"};
    (void)snprintf(words[0], OUT_NUMBER_BYTES, "%.1f", result->ratio.median);
    (void)snprintf(words[1], OUT_NUMBER_BYTES, "%s", duration(result->sides[0].unit_ns, words[2]));
    (void)rate(result->what, &result->sides[0], words[2]);
    out_append(text, "  ", 2);
    for (const char *at = result->what->says; *at != '\0';) {
        size_t plain = strcspn(at, "{\n");
        out_append(text, at, plain);
        at += plain;
        for (unsigned i = 0; i < SL_ARRAY_COUNT(names); i++) {
            if (strncmp(at, names[i], strlen(names[i])) == 0) {
                out_print(text, "%s", words[i]);
                at += strlen(names[i]);
            }
        }
        if (*at == '\n') {
            out_print(text, "\n  ");
            at++;
        }
    }
    out_print(text, "\n");
}

static void add_memory(out_text *text, const bench_memory *memory) {
    static const char *const whats[] = {"An idle session", "An idle handle", "A read that waits"};
    char bytes[BENCH_OF][OUT_NUMBER_BYTES];
    if (memory->status != SLUICE_OK) {
        out_print(text, "\nMemory was not measurable: %s (%s)\n",
                  sl_status_sentence(memory->status), sl_status_name(memory->status));
        return;
    }
    out_print(text, "\n");
    for (unsigned per = 0; per < BENCH_PER; per++) {
        for (unsigned of = 0; of < BENCH_OF; of++) {
            double value = memory->bytes[per][of];
            if (value > 0) {
                (void)out_bytes((uint64_t)value, bytes[of]);
            } else { /* the system tells no so small differences */
                (void)snprintf(bytes[of], OUT_NUMBER_BYTES, "?");
            }
        }
        out_print(text, "%s takes %s in the broker (%s by its own books) and %s in the program.\n",
                  whats[per], bytes[BENCH_OF_BROKER], bytes[BENCH_OF_BOOKS],
                  bytes[BENCH_OF_CLIENT]);
    }
    out_print(text, "In memory means %s, without what the kernel keeps for a pipe or socket.\n",
              memory->kind);
}

static void add_heading(const bench_plan *plan, out_text *text) {
    char took[OUT_NUMBER_BYTES];
    out_print(text, "%s: %s%s%s", plan->program->name, plan->engine_name,
              plan->engine_name[0] != '\0' ? ", " : "", bench_topology_words[plan->stage.topology]);
    if (plan->stage.topology == BENCH_ONE) {
        out_print(text, " (%u)", plan->stage.home);
    } else if (plan->stage.topology == BENCH_TWO) {
        out_print(text, " (%u, %u)", plan->stage.home, plan->stage.away);
    }
    if (plan->fell_asleep) {
        out_print(text, " NOT KEPT AWAKE");
    }
    out_print(text, ", %llu rounds, took %s\n%s\n", (unsigned long long)plan->rounds,
              out_duration(plan->took_ns, took), plan->machine);
    if (plan->busy_before < 0) {
        out_print(text, "How busy it is with other things is not known here.\n\n");
        return;
    }
    out_print(text, "busy with other things: %.0f %% of its time before, %.0f %% after; ",
              plan->busy_before * 100, plan->busy_after * 100);
    if (plan->stolen >= 0) {
        out_print(text, "stolen by the hypervisor: %.1f %%\n", plan->stolen * 100);
    } else {
        out_print(text, "how much a hypervisor steals is not known here\n");
    }
    if (!is_quiet(plan)) {
        out_print(text,
                  "NOT QUIET (that is at most %.0f %% and %.0f %%): believe the lower "
                  "quartiles at best.\n",
                  QUIET_BUSY * 100, QUIET_STOLEN * 100);
    }
    out_print(text, "\n");
}

static void print_people(const bench_plan *plan, out_text *text) {
    static const char *const headings[] = {"case",   "delivery", ">rate",    ">p50",
                                           ">p99",   ">p99.9",   "model",    ">its time",
                                           ">ratio", ">CPU us",  ">model's", ">aim"};
    out_table table;
    bool has_aims = plan->program->aim != NULL;
    add_heading(plan, text);
    out_table_init(&table, headings, has_aims ? COLUMNS + 1 : COLUMNS);
    for (unsigned i = 0; i < plan->row_count; i++) {
        if (is_measured(&plan->results[i])) {
            add_row(plan, &table, &plan->results[i]);
        }
    }
    out_table_end(&table, text);
    add_missing(plan, text);
    if (plan->with_memory) {
        add_memory(text, &plan->memory);
    }
    out_print(text,
              "\nratio: the case's time by its model's in the same round, the median of the "
              "rounds (their\nlower quartile); CPU us: what an operation takes of the "
              "processors, the program+the other side.\n\"%s --list\" says what each case "
              "does.\n",
              plan->program->name);
    for (unsigned i = 0, told = 0; !has_aims && i < plan->row_count; i++) {
        if (is_measured(&plan->results[i]) && plan->results[i].what->says != NULL) {
            out_print(text, "%s", told++ == 0 ? "\nWhat to expect:\n" : "");
            add_sentence(text, &plan->results[i]);
        }
    }
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_spread(out_json *json, const char *name, const sl_spread *spread) {
    out_json_object(json, name);
    out_json_f64(json, "median", spread->median);
    out_json_f64(json, "lower_quartile", spread->lower_quartile);
    out_json_f64(json, "least", spread->least);
    out_json_f64(json, "most", spread->most);
    out_json_end_object(json);
}

static void json_side(out_json *json, const char *name, const bench_result *result,
                      unsigned which) {
    const bench_side *side = &result->sides[which];
    const bench_case *what = result->what;
    out_json_object(json, name);
    out_json_string(json, "way", which == 0 ? what->subject->name : what->model->name);
    out_json_f64(json, "unit_ns", side->unit_ns);
    out_json_f64(json, "p50_ns", side->p50_ns);
    out_json_f64(json, "p99_ns", side->p99_ns);
    out_json_f64(json, "p999_ns", side->p999_ns);
    out_json_f64(json, "cpu_ns", side->cpu_ns);
    out_json_f64(json, "partner_cpu_ns", side->partner_cpu_ns);
    out_json_f64(json, "calls", side->calls);
    out_json_end_object(json);
}

static void json_row(const bench_plan *plan, out_json *json, const bench_result *result) {
    double aim = aim_of(plan, result->what);
    out_json_object(json, NULL);
    out_json_string(json, "case", result->what->name);
    out_json_string(json, "delivery", mode_of(result->what));
    if (result->needs > 0) {
        out_json_u64(json, "needs_processors", result->needs);
    } else if (result->status != SLUICE_OK) {
        out_json_string(json, "not_measured", sl_status_name(result->status));
    } else {
        out_json_u64(json, "rounds", result->rounds);
        json_side(json, "subject", result, 0);
        json_side(json, "model", result, 1);
        json_spread(json, "ratio", &result->ratio);
        json_spread(json, "ratio_p99", &result->ratio_p99);
    }
    if (aim > 0) {
        out_json_f64(json, "aim", aim);
    }
    out_json_end_object(json);
}

static void json_memory(out_json *json, const bench_memory *memory) {
    static const char *const pers[] = {"session", "handle", "waiting_read"};
    static const char *const ofs[] = {"broker_bytes", "client_bytes", "broker_books_bytes"};
    out_json_object(json, "memory");
    out_json_string(json, "status", sl_status_name(memory->status));
    for (unsigned per = 0; per < BENCH_PER && memory->status == SLUICE_OK; per++) {
        out_json_object(json, pers[per]);
        for (unsigned of = 0; of < BENCH_OF; of++) {
            out_json_f64(json, ofs[of], memory->bytes[per][of]);
        }
        out_json_end_object(json);
    }
    out_json_end_object(json);
}

static void print_json(const bench_plan *plan, out_text *text) {
    out_json json;
    out_json_init(&json, text);
    out_json_object(&json, NULL);
    out_json_string(&json, "command", plan->program->name);
    out_json_string(&json, "engine", plan->engine_name);
    out_json_string(&json, "broker_version", plan->broker_version);
    out_json_bool(&json, "private_broker", plan->stage.is_private);
    out_json_string(&json, "topology", bench_topology_words[plan->stage.topology]);
    out_json_string(&json, "machine", plan->machine);
    out_json_array(&json, "processors"); /* of the program, the broker, a third process */
    out_json_u64(&json, NULL, plan->stage.home);
    out_json_u64(&json, NULL, plan->stage.away);
    out_json_u64(&json, NULL, plan->stage.third);
    out_json_end_array(&json);
    out_json_bool(&json, "quiet", is_quiet(plan));
    out_json_f64(&json, "busy_before", plan->busy_before);
    out_json_f64(&json, "busy_after", plan->busy_after);
    out_json_f64(&json, "stolen", plan->stolen);
    out_json_bool(&json, "kept_awake", !plan->fell_asleep);
    out_json_array(&json, "cases");
    for (unsigned i = 0; i < plan->row_count; i++) {
        json_row(plan, &json, &plan->results[i]);
    }
    out_json_end_array(&json);
    if (plan->with_memory) {
        json_memory(&json, &plan->memory);
    }
    out_json_end_object(&json);
}

bool bench_report(const bench_plan *plan) {
    out_text text = {0};
    if (plan->json) {
        print_json(plan, &text);
    } else {
        print_people(plan, &text);
    }
    return out_flush(&text, SL_SINK_OUTPUT);
}
