/*
 * memory.c - every allocation fails once, and from then on.
 *
 *     fault_memory SITES [ACT] [--verbose]
 *
 * Each act of each level runs again and again: its first allocation fails, its second, and so on
 * until a run has met no failure; then the same with all later ones failing, too, until the act's
 * end. What must hold is what must hold when a call fails (level_engine.c, level_client.c). Every
 * place that allocates must have been reached.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/fault/level.h"
#include "tests/fault/script.h"

#define ALLOCATIONS_MAX 5000u /* of an act: one that makes more is wrong */

#ifndef FAULT_LEVELS /* set by CMake where there are fewer */
/* The program first: it is forked, and behind it there are threads. */
#define FAULT_LEVELS &level_program, &level_engine, &level_client, &level_late
#endif
static const fault_level *const levels[] = {FAULT_LEVELS};

static bool is_verbose;
static char now_running[200];

static void on_abort(int number) {
    (void)number;
    fprintf(stderr, "fault: it was %s\n", now_running);
}

/* Returns how many allocations were made to fail in turn. */
static unsigned fail_all(const fault_level *level, unsigned act, bool from_then_on) {
    for (uint32_t n = 1;; n++) {
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
            return n - 1;
        }
    }
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

int main(int argc, char **argv) {
    unsigned once = 0;
    unsigned on = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: fault_memory SITES [ACT] [--verbose]\n");
        return 2;
    }
    is_verbose = strcmp(argv[argc - 1], "--verbose") == 0;
    const char *only = argc > 2 && argv[2][0] != '-' ? argv[2] : NULL;
    script_place();
    fault_load(argv[1]);
    fault_install();
    (void)signal(SIGABRT, on_abort);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(levels); i++) {
        for (unsigned act = 0; act < levels[i]->count_acts(); act++) {
            if (only == NULL || strcmp(levels[i]->act_name(act), only) == 0) {
                once += fail_all(levels[i], act, false);
                on += fail_all(levels[i], act, true);
            }
        }
    }
    printf("allocations failed: %u once, %u from then on\n", once, on);
    return only != NULL || judge() ? 0 : 1;
}
