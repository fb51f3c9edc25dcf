/*
 * main.c - many lives; one again; one made short. See world.h.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/world/bugs.h"
#include "tests/world/shrink.h"
#include "tests/world/world.h"

static const char usage[] =
    "Usage: world_test [--seeds N] [--first SEED] [--coverage] [--json]\n"
    "       world_test --seed SEED [--trace] [--steps N] [--without NAME,...]\n"
    "                  [--leave-out N-M,...]\n"
    "       world_test --shrink SEED\n"
    "       world_bugs --bugs | --bug NAME ...\n"
    "Simulated lives of a broker, its clients and their peers, one for each seed.\n"
    "  --seeds N       so many lives (default 1,000), from seed 1 or --first\n"
    "  --coverage      fail unless each fault and each outcome occurs in 1 % of the places where\n"
    "                  it can; needs some thousand lives\n"
    "  --seed SEED     this life only; --trace tells it line by line\n"
    "  --steps N       ... acts in its first N steps only\n"
    "  --without A,B   ... without these faults (RESET, NO_MEMORY, ...) or acts (CANCEL, ...)\n"
    "  --leave-out L   ... without the actions of these numbers\n"
    "  --shrink SEED   makes a failing life as short as it can, and tells it\n"
    "  --bugs          with each planted bug: which seed of 1,000 finds it, and how (the program\n"
    "                  world_bugs only)\n"
    "  --bug NAME      with this one\n"
    "A failing life prints the command that repeats it. Exit code 0: nothing is wrong.\n";

int world_planted; /* the bug that is switched on (bugs.txt); 0 = none */

static world_life life;
static world_census census;
static world_plan plan;

/* The sanitizers end a process by abort, too, so that the seed is told. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "abort_on_error=1:detect_leaks=1";
}

static void on_abort(int number) {
    (void)signal(number, SIG_DFL);
    char command[WORLD_COMMAND_BYTES];
    (void)world_plan_text(&plan, command, sizeof(command));
    fprintf(stderr, "\nseed %llu failed. To repeat it, and to make it short:\n",
            (unsigned long long)plan.seed);
    fprintf(stderr, "  world_test %s --trace\n", command);
    fprintf(stderr, "  world_test --shrink %llu\n", (unsigned long long)plan.seed);
}

static int refuse(const char *what, const char *which) {
    fprintf(stderr, "world_test: %s \"%s\"\n%s", what, which, usage);
    return 2;
}

static int live_many(uint64_t first, uint64_t count, bool has_coverage, bool is_json) {
    clock_t started = clock();
    for (uint64_t i = 0; i < count; i++) {
        plan.seed = first + i;
        world_live(&life, &plan, &census, false);
        if (!is_json && count >= 10000 && (i + 1) % (count / 10) == 0) {
            printf("%llu of %llu lives, %llu operations\n", (unsigned long long)(i + 1),
                   (unsigned long long)count, (unsigned long long)census.calls);
            (void)fflush(stdout);
        }
    }
    double seconds = (double)(clock() - started) / CLOCKS_PER_SEC;
    if (is_json) {
        census_print_json(&census, seconds);
    } else {
        census_print(&census);
        printf("%llu lives, %llu operations, %.1f CPU-seconds: %.1f million operations per "
               "CPU-minute\n%llu bytes found right, %llu streams read to their end, %llu writes in "
               "doubt, %llu processes\nkilled in the middle of a step, %llu brokers that gave up; "
               "hash %016llx\n",
               (unsigned long long)census.lives, (unsigned long long)census.calls, seconds,
               (double)census.calls * 60 / seconds / 1e6, (unsigned long long)census.bytes,
               (unsigned long long)census.streams_whole, (unsigned long long)census.in_doubt,
               (unsigned long long)census.died_inside, (unsigned long long)census.stuck_ends,
               (unsigned long long)census.hash);
    }
    return has_coverage && census_check(&census) != 0 ? 1 : 0;
}

typedef struct options {
    uint64_t count;
    uint64_t first;
    bool is_one;
    bool is_traced;
    bool has_coverage;
    bool is_json;
    bool is_shrunk;
    bool is_bugs;
} options;

/* 0; 1: an option that takes nothing; 2: it took `value`; -1: said what is wrong. */
static int take_option(options *o, const char *name, const char *value) {
    if (strcmp(name, "--trace") == 0) {
        o->is_traced = true;
    } else if (strcmp(name, "--coverage") == 0) {
        o->has_coverage = true;
    } else if (strcmp(name, "--bugs") == 0) {
        o->is_bugs = true;
    } else if (strcmp(name, "--json") == 0) {
        o->is_json = true;
    } else if (value == NULL) {
        (void)refuse("unknown, or wants a value:", name);
        return -1;
    } else {
        char *end;
        uint64_t number = strtoull(value, &end, 10);
        bool is_number = *value != '\0' && *end == '\0';
        if (strcmp(name, "--seeds") == 0 && is_number) {
            o->count = number;
        } else if (strcmp(name, "--first") == 0 && is_number) {
            o->first = number;
        } else if ((strcmp(name, "--seed") == 0 || strcmp(name, "--shrink") == 0) && is_number) {
            o->is_one = true;
            o->is_shrunk = strcmp(name, "--shrink") == 0;
            plan.seed = number;
        } else if (strcmp(name, "--steps") == 0 && is_number && number <= WORLD_STEPS_MAX) {
            plan.steps = (uint32_t)number;
        } else if (strcmp(name, "--bug") == 0 && world_bug_number(value) != 0) {
            world_planted = world_bug_number(value);
        } else if (!world_plan_option(&plan, name, value)) {
            (void)refuse("cannot take", value);
            return -1;
        }
        return 2;
    }
    return 1;
}

int main(int argc, char **argv) {
    options o = {.count = 1000, .first = 1};
    plan.steps = WORLD_STEPS;
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--help") == 0) {
            printf("%s", usage);
            return 0;
        }
        int taken = take_option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (taken < 0) {
            return 2;
        }
        i += taken;
    }
    if (o.is_bugs) {
        return world_find_bugs(argv[0], o.count);
    }
    if (o.is_shrunk) {
        return world_shrink(argv[0], &plan);
    }
    (void)signal(SIGABRT, on_abort);
    (void)signal(SIGSEGV, on_abort);
    if (o.is_one) {
        setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
        world_live(&life, &plan, &census, o.is_traced);
        printf("seed %llu: %llu operations, hash %016llx\n", (unsigned long long)plan.seed,
               (unsigned long long)census.calls, (unsigned long long)census.hash);
        return 0;
    }
    return live_many(o.first, o.count, o.has_coverage, o.is_json);
}
