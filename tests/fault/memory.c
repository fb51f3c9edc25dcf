/*
 * memory.c - every allocation fails once, and from then on.
 *
 *     fault_memory SITES [ACT] [--brief] [--verbose]
 *
 * Each act of each level runs again and again: its first allocation fails, its second, and so on
 * until a run has met no failure; then the same with all later ones failing, too, until the act's
 * end. What must hold is what must hold when a call fails (level_engine.c, level_client.c). Every
 * place that allocates must have been reached. --brief, where a run takes long: from an act's
 * BRIEF_ALL-th allocation on every BRIEF_STEP-th, then the first at each place that has not failed
 * so far; and a private broker, whose client allocates what that of another does, for those only.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/fault/level.h"
#include "tests/fault/script.h"

#define ALLOCATIONS_MAX 5000u /* of an act: one that makes more is wrong */
#define BRIEF_ALL       8u
#define BRIEF_STEP      16u

#ifndef FAULT_LEVELS /* set by CMake where there are fewer */
/* The program first: it is forked, and behind it there are threads. */
#define FAULT_LEVELS &level_program, &level_engine, &level_client, &level_late
#endif
static const fault_level *const levels[] = {FAULT_LEVELS};

static bool is_verbose;
static bool is_brief;
static char now_running[200];

static void on_abort(int number) {
    (void)number;
    fprintf(stderr, "fault: it was %s\n", now_running);
}

static bool is_wanted(const char *act, const char *only) {
    return only != NULL ? strcmp(act, only) == 0
                        : !is_brief || strcmp(act, "private broker") != 0;
}

/* Returns how many allocations were made to fail in turn. */
static unsigned fail_all(const fault_level *level, unsigned act, bool from_then_on) {
    unsigned count = 0;
    for (uint32_t n = 1;; n += is_brief && n >= BRIEF_ALL ? BRIEF_STEP : 1) {
        const fault_plan plan = {.site = NULL, .error = &fault_calls[0]->errors[0], .hit = n,
                                 .from_then_on = from_then_on};
        EXPECT(n < ALLOCATIONS_MAX);
        (void)snprintf(now_running, sizeof(now_running), "%s: %s; allocation %u fails%s",
                       level->name, level->act_name(act), (unsigned)n,
                       from_then_on ? ", and all behind it" : "");
        if (is_verbose) {
            printf("%s\n", now_running);
            (void)fflush(stdout);
        }
        if (level->run(act, &plan, 1) == 0) {
            return count;
        }
        count++;
    }
}

/* What the steps have passed over. Returns how many allocations failed. */
static unsigned fail_rest(const fault_level *level, const char *only) {
    unsigned count = 0;
    for (unsigned i = 0; i < fault_site_count(); i++) {
        fault_site *site = fault_site_at(i);
        const fault_plan plan = {.site = site, .error = &fault_calls[0]->errors[0], .hit = 1};
        for (unsigned act = 0; act < level->count_acts(); act++) {
            bool is_meant = only == NULL || strcmp(level->act_name(act), only) == 0;
            if (atomic_load(&site->failures) == 0 && is_meant) {
                (void)snprintf(now_running, sizeof(now_running), "%s: %s; %s fails", level->name,
                               level->act_name(act), site->name);
                count += level->run(act, &plan, 1);
            }
        }
    }
    return count;
}

static bool judge(void) {
    unsigned reached = 0;
    bool is_good = true;
    for (unsigned i = 0; i < fault_site_count(); i++) {
        const fault_site *site = fault_site_at(i);
        if (atomic_load(&site->failures) > 0) {
            reached++;
        } else {
            printf("did not fail: %s (line %u)\n", site->name, site->line);
            is_good = false;
        }
    }
    printf("%u of %u places that allocate were reached, and failed\n", reached,
           fault_site_count());
    return is_good;
}

static int usage(void) {
    fprintf(stderr, "usage: fault_memory SITES [ACT] [--brief] [--verbose]\n");
    return 2;
}

int main(int argc, char **argv) {
    unsigned once = 0;
    unsigned on = 0;
    const char *only = NULL;
    if (argc < 2) {
        return usage();
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            is_verbose = true;
        } else if (strcmp(argv[i], "--brief") == 0) {
            is_brief = true;
        } else if (i == 2 && argv[i][0] != '-') {
            only = argv[i];
        } else {
            return usage();
        }
    }
    script_place();
    fault_load(argv[1]);
    fault_install();
    (void)signal(SIGABRT, on_abort);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(levels); i++) {
        for (unsigned act = 0; act < levels[i]->count_acts(); act++) {
            if (is_wanted(levels[i]->act_name(act), only)) {
                once += fail_all(levels[i], act, false);
                on += fail_all(levels[i], act, true);
            }
        }
        once += is_brief ? fail_rest(levels[i], only) : 0;
    }
    printf("allocations failed: %u once, %u from then on\n", once, on);
    return only != NULL || judge() ? 0 : 1;
}
