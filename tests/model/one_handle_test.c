/*
 * one_handle_test.c - every interleaving of up to 3 operations with up to 6 events on one handle,
 * completely, within the bounds that it prints.
 *
 *   one_handle_test [ci|small|tiny|full]       which table of bounds; ci without a word
 *   one_handle_test bounds BOUNDS              one line of such a table, "3,6,0,1,0,0"
 *   one_handle_test merging BOUNDS             is merging states sound there?
 *   one_handle_test ... N OF                   the N-th of so many parts, from 0
 *   one_handle_test repeat BOUNDS NAMES PATH   one path, told step by step (a failing run says how)
 *
 * At every leaf, and from every state that was met before, everything is let end and checked: each
 * operation has ended once, done <= received <= done + in_doubt, no byte and no connection is lost
 * by what was cancelled, nothing is left, the books are at 0 (one_handle_end.c). Merging states is
 * checked, too: without it, small bounds reach the same last states and ends of operations.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/model/one_handle.h"

#define PATH_BYTES (CHOICES_MAX * 4u)
#define NAME_BYTES 64u
#define STREAM_OPS 4u /* kinds of operations on a stream: those before MODEL_OP_ACCEPT */

/* What is tried together: every tuple of so many operations, with so many events. */
typedef struct bounds {
    unsigned op_count;
    unsigned events_max;
    unsigned late_max;
    unsigned errors_max;
    bool has_bursts;
    bool is_inline; /* the kernel also ends requests and cancels inside the call, or tells late */
} bounds;

static const bounds tiny_table[] = {{1, 2, 1, 1, false, true}, {2, 1, 0, 1, false, false}};
static const bounds small_table[] = {
    {1, 3, 1, 1, true, true}, {2, 2, 0, 1, false, false}, {3, 1, 0, 1, false, false}};
static const bounds ci_table[] = {
    {1, 4, 1, 1, true, true}, {2, 3, 0, 1, false, false}, {3, 2, 0, 1, false, false}};
static const bounds full_table[] = {{1, 6, MODEL_NO_LIMIT, 2, true, true},
                                    {2, 4, 1, 1, true, false},
                                    {2, 6, 0, 1, true, false},
                                    {3, 6, 0, 1, false, false}};

static model m;
static const bounds *running;

static void name_of(const model_scenario *scenario, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < scenario->op_count; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? "+" : "",
                                 model_op_name(scenario->ops[i]));
    }
}

static void bounds_text(const bounds *b, char *text, size_t size) {
    (void)snprintf(text, size, "%u,%u,%u,%u,%d,%d", b->op_count, b->events_max, b->late_max,
                   b->errors_max, b->has_bursts, b->is_inline);
}

/* A check has failed: says how to see it again. */
static void on_abort(int signal_number) {
    char path[PATH_BYTES];
    char name[NAME_BYTES];
    char text[NAME_BYTES];
    (void)signal(signal_number, SIG_DFL);
    name_of(m.scenario, name, sizeof(name));
    bounds_text(running, text, sizeof(text));
    choices_text(&m.choices, path, sizeof(path));
    fprintf(stderr, "repeat: one_handle_test repeat %s %s \"%s\"\n", text, name, path);
    fflush(stderr);
}

static void set_bounds(model_scenario *scenario, const bounds *b) {
    static const sim_fault faults[] = {SIM_PARTIAL_READ,  SIM_PARTIAL_WRITE, SIM_CANCEL_ERROR,
                                       SIM_WRITE_TORN,    SIM_OS_READ,       SIM_OS_WRITE,
                                       SIM_OS_HALF_CLOSE, SIM_OS_ACCEPT};
    static const sim_fault inside[] = {SIM_INLINE, SIM_LATE, SIM_CANCEL_INLINE};
    static const uint8_t each[MODEL_EVENT_KINDS] = {
        [MODEL_CANCEL] = 1,      [MODEL_TIME] = 2,  [MODEL_DATA_COMES] = 1, [MODEL_PEER_TAKES] = 1,
        [MODEL_PEER_CLOSES] = 1, [MODEL_CLOSE] = 1, [MODEL_DISCONNECT] = 1,
    };
    memcpy(scenario->each_max, each, sizeof(each));
    if (scenario->ops[0] == MODEL_OP_ACCEPT) {
        scenario->each_max[MODEL_DATA_COMES] = MODEL_PEERS_MAX;
    }
    scenario->events_max = b->events_max;
    scenario->late_max = b->late_max;
    scenario->errors_max = b->errors_max;
    scenario->has_bursts = b->has_bursts;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(faults); i++) {
        scenario->per_mille[faults[i]] = 1; /* asked for: sim_options.choose */
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(inside) && b->is_inline; i++) {
        scenario->per_mille[inside[i]] = 1;
    }
}

/* ---- the search ---- */

typedef struct found {
    uint64_t runs;
    uint64_t leaves;
    uint64_t states;
} found;

/* Every path of a scenario. last_states: where they end, or NULL. */
static found explore(const model_scenario *scenario, bool merges, choices *last_states) {
    found f = {0};
    m.scenario = scenario;
    choices_reset(&m.choices);
    do {
        bool is_whole = model_run(&m, merges);
        f.leaves += is_whole;
        f.runs++;
        if (is_whole && last_states != NULL) {
            (void)choices_is_new(last_states, m.last_state);
        }
    } while (choices_advance(&m.choices));
    f.states = m.choices.seen_count;
    return f;
}

/* The index-th tuple of so many operations; false: there are no more. */
static bool tuple_at(unsigned index, const bounds *b, model_scenario *scenario) {
    unsigned count = 1;
    for (unsigned i = 0; i < b->op_count; i++) {
        count *= STREAM_OPS;
    }
    memset(scenario, 0, sizeof(*scenario));
    scenario->op_count = b->op_count;
    for (unsigned i = 0, rest = index; i < b->op_count; i++, rest /= STREAM_OPS) {
        scenario->ops[i] = index < count ? (model_op_kind)(rest % STREAM_OPS) : MODEL_OP_ACCEPT;
    }
    set_bounds(scenario, b);
    return index <= count;
}

static double seconds_since(uint64_t start_ns) {
    return (double)(sl_clock_now_ns(sl_clock_system()) - start_ns) / (double)SL_NS_PER_S;
}

static void explore_bounds(const bounds *b, unsigned part, unsigned parts) {
    model_scenario scenario;
    found sum = {0};
    unsigned tuples = 0;
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    running = b;
    for (unsigned i = 0; tuple_at(i, b, &scenario); i++) {
        char name[NAME_BYTES];
        if (i % parts != part) {
            continue;
        }
        found f = explore(&scenario, true, NULL);
        tuples++;
        sum.runs += f.runs;
        sum.leaves += f.leaves;
        sum.states += f.states;
        if (parts > 1) {
            name_of(&scenario, name, sizeof(name));
            printf("  %-28s %10llu paths %10llu states\n", name, (unsigned long long)f.runs,
                   (unsigned long long)f.states);
            fflush(stdout);
        }
    }
    char late[16] = "any number";
    if (b->late_max < MODEL_NO_LIMIT) {
        (void)snprintf(late, sizeof(late), "%u", b->late_max);
    }
    printf("%u operations x %u events, %s joining a wake, %u errors%s%s: %u tuples, %llu paths "
           "(%llu to an end of their own), %llu states, %.1f s, complete\n",
           b->op_count, b->events_max, late, b->errors_max, b->has_bursts ? ", bursts" : "",
           b->is_inline ? ", inline and late ends" : "", tuples, (unsigned long long)sum.runs,
           (unsigned long long)sum.leaves, (unsigned long long)sum.states, seconds_since(start_ns));
    fflush(stdout);
}

typedef enum merging {
    APART,  /* no states are */
    EXACT,  /* those that differ in nothing, not even in what has been said */
    REDUCED /* those that differ in nothing that matters: what the search does */
} merging;

/* Adds where the paths end (up to what does not matter), and with what operations ended. */
static uint64_t gather(const model_scenario *scenario, merging how, choices *last_states,
                       choices *outcomes) {
    choices_reset(last_states);
    choices_reset(outcomes);
    m.is_exact = how == EXACT;
    m.outcomes = outcomes;
    uint64_t runs = explore(scenario, how != APART, last_states).runs;
    m.is_exact = false;
    m.outcomes = NULL;
    return runs;
}

static void expect_same(const choices *a, choices *b) {
    EXPECT(a->seen_count == b->seen_count);
    for (uint64_t k = 0; k < a->seen_size; k++) {
        EXPECT(a->seen[k] == 0 || !choices_is_new(b, a->seen[k]));
    }
}

/* With less merging, or none, the same last states and the same ends of operations are reached. */
static void check_merging(const bounds *b, merging how, unsigned part, unsigned parts) {
    model_scenario scenario;
    choices sets[4];
    uint64_t paths = 0;
    uint64_t more = 0;
    uint64_t outcomes = 0;
    running = b;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(sets); i++) {
        choices_init(&sets[i]);
    }
    for (unsigned i = 0; tuple_at(i, b, &scenario); i++) {
        if (i % parts != part) {
            continue;
        }
        paths += gather(&scenario, REDUCED, &sets[0], &sets[1]);
        more += gather(&scenario, how, &sets[2], &sets[3]);
        expect_same(&sets[0], &sets[2]);
        expect_same(&sets[1], &sets[3]);
        outcomes += sets[1].seen_count;
    }
    printf("merging, %u operations x %u events: %llu paths reach the same last states and %llu "
           "ends of operations as %llu %s\n",
           b->op_count, b->events_max, (unsigned long long)paths, (unsigned long long)outcomes,
           (unsigned long long)more, how == APART ? "without it" : "that merge less");
    fflush(stdout);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(sets); i++) {
        choices_deinit(&sets[i]);
    }
}

static void tell_ends(void) {
    for (unsigned kind = 0; kind < MODEL_OP_KINDS; kind++) {
        printf("%-10s", model_op_name((model_op_kind)kind));
        for (unsigned status = 0; status < MODEL_STATUSES; status++) {
            if (m.ends[kind][status] > 0) {
                printf(" %s %llu", sl_status_name(-(int)status),
                       (unsigned long long)m.ends[kind][status]);
            }
        }
        puts("");
    }
}

/* ---- one path ---- */

static bool parse_name(const char *text, model_scenario *scenario) {
    char name[NAME_BYTES];
    bounds any = {.op_count = 1};
    for (any.op_count = 1; any.op_count <= MODEL_OPS_MAX; any.op_count++) {
        for (unsigned i = 0; tuple_at(i, &any, scenario); i++) {
            name_of(scenario, name, sizeof(name));
            if (strcmp(name, text) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool parse_bounds(const char *text, bounds *b) {
    int bursts;
    int inside;
    if (sscanf(text, "%u,%u,%u,%u,%d,%d", &b->op_count, &b->events_max, &b->late_max,
               &b->errors_max, &bursts, &inside) != 6) {
        return false;
    }
    b->has_bursts = bursts != 0;
    b->is_inline = inside != 0;
    return b->op_count > 0 && b->op_count <= MODEL_OPS_MAX;
}

static int repeat(char **words) {
    static bounds b;
    static model_scenario scenario;
    if (!parse_bounds(words[0], &b) || !parse_name(words[1], &scenario) ||
        !choices_parse(&m.choices, words[2])) {
        fputs("not a path that this test has printed\n", stderr);
        return 2;
    }
    set_bounds(&scenario, &b);
    running = &b;
    m.scenario = &scenario;
    m.is_loud = true;
    (void)model_run(&m, false);
    puts("ok");
    return 0;
}

/* ---- all of them ---- */

typedef struct size {
    const char *name;
    const bounds *table;
    unsigned count;
    bool checks_merging;
} size;

static const size sizes[] = {{"ci", ci_table, SL_ARRAY_COUNT(ci_table), true},
                             {"small", small_table, SL_ARRAY_COUNT(small_table), true},
                             {"tiny", tiny_table, SL_ARRAY_COUNT(tiny_table), false},
                             {"full", full_table, SL_ARRAY_COUNT(full_table), false}};

static void run_size(const size *chosen, unsigned part, unsigned parts) {
    static const bounds one = {1, 2, 1, 1, false, true};
    static const bounds two = {2, 2, 0, 1, false, false};
    if (chosen->checks_merging) {
        check_merging(&one, APART, part, parts);
        check_merging(&two, EXACT, part, parts);
    }
    for (unsigned i = 0; i < chosen->count; i++) {
        explore_bounds(&chosen->table[i], part, parts);
    }
}

static bool run(int argc, char **argv) {
    static bounds b;
    const char *word = argc > 1 ? argv[1] : "ci";
    bool has_bounds = argc > 2 && parse_bounds(argv[2], &b);
    int rest = has_bounds ? 3 : 2;
    unsigned part = argc > rest + 1 ? (unsigned)strtoul(argv[rest], NULL, 10) : 0;
    unsigned parts = argc > rest + 1 ? (unsigned)strtoul(argv[rest + 1], NULL, 10) : 1;
    if (part >= parts) {
        return false;
    }
    if (has_bounds && strcmp(word, "bounds") == 0) {
        explore_bounds(&b, part, parts);
        return true;
    }
    if (has_bounds && strcmp(word, "merging") == 0) {
        check_merging(&b, EXACT, part, parts);
        return true;
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(sizes) && !has_bounds; i++) {
        if (strcmp(word, sizes[i].name) == 0) {
            run_size(&sizes[i], part, parts);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv) {
    (void)signal(SIGABRT, on_abort);
    model_open(&m);
    if (argc == 5 && strcmp(argv[1], "repeat") == 0) {
        return repeat(argv + 2);
    }
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    if (!run(argc, argv)) {
        fputs("ci, small, tiny or full, or bounds or merging with a line, then N OF; or repeat\n",
              stderr);
        return 2;
    }
    tell_ends();
    model_close(&m);
    printf("%llu actions, %.1f s\n", (unsigned long long)m.steps, seconds_since(start_ns));
    return 0;
}
