/*
 * shrink.c - see shrink.h.
 */
#include "tests/world/shrink.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/os.h"

#define SAID_BYTES  512u
#define NAME_BYTES  32u
#define NO_MEMORY   "NO_MEMORY"

/* ---- plans as text --------------------------------------------------------------------------- */

static bool is_left_out(const world_plan *plan, uint32_t ordinal) {
    return (plan->left_out[ordinal / 8] >> ordinal % 8 & 1) != 0;
}

static void leave_out(world_plan *plan, uint32_t ordinal) {
    plan->left_out[ordinal / 8] |= (uint8_t)(1u << ordinal % 8);
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static void append(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

static void append_names(const world_plan *plan, char *text, size_t size) {
    const char *before = " --without ";
    for (unsigned i = 0; i < ACT_COUNT; i++) {
        if ((plan->acts_off >> i & 1) != 0) {
            append(text, size, "%s%s", before, world_act_name((world_act)i));
            before = ",";
        }
    }
    for (unsigned i = 0; i <= WORLD_NO_MEMORY; i++) {
        if ((plan->faults_off >> i & 1) != 0) {
            append(text, size, "%s%s", before,
                   i == WORLD_NO_MEMORY ? NO_MEMORY : sim_fault_name((sim_fault)i));
            before = ",";
        }
    }
}

const char *world_plan_text(const world_plan *plan, char *text, size_t size) {
    (void)snprintf(text, size, "--seed %llu", (unsigned long long)plan->seed);
    if (plan->steps != WORLD_STEPS) {
        append(text, size, " --steps %u", plan->steps);
    }
    append_names(plan, text, size);
    const char *before = " --leave-out ";
    uint32_t count = plan->steps * WORLD_STEP_ACTS;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = i;
        while (i < count && is_left_out(plan, i)) {
            i++;
        }
        if (i > first) {
            append(text, size, "%s%u-%u", before, first, i - 1);
            before = ",";
        }
    }
    return text;
}

static bool take_name(world_plan *plan, const char *name) {
    for (unsigned i = 0; i < ACT_COUNT; i++) {
        if (strcmp(name, world_act_name((world_act)i)) == 0) {
            plan->acts_off |= 1u << i;
            return true;
        }
    }
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (strcmp(name, sim_fault_name((sim_fault)i)) == 0) {
            plan->faults_off |= UINT64_C(1) << i;
            return true;
        }
    }
    plan->faults_off |= UINT64_C(1) << WORLD_NO_MEMORY;
    return strcmp(name, NO_MEMORY) == 0;
}

static bool take_range(world_plan *plan, const char *range) {
    unsigned first;
    unsigned last;
    if (sscanf(range, "%u-%u", &first, &last) != 2 || first > last ||
        last >= WORLD_ORDINALS_MAX) {
        return false;
    }
    for (uint32_t i = first; i <= last; i++) {
        leave_out(plan, i);
    }
    return true;
}

bool world_plan_option(world_plan *plan, const char *name, const char *value) {
    bool is_names = strcmp(name, "--without") == 0;
    if (!is_names && strcmp(name, "--leave-out") != 0) {
        return false;
    }
    while (*value != '\0') {
        char item[NAME_BYTES];
        size_t length = strcspn(value, ",");
        if (length >= sizeof(item)) {
            return false;
        }
        memcpy(item, value, length);
        item[length] = '\0';
        if (is_names ? !take_name(plan, item) : !take_range(plan, item)) {
            return false;
        }
        value += length + (value[length] == ',');
    }
    return true;
}

/* ---- shorter --------------------------------------------------------------------------------- */

typedef struct shrinker {
    const char *program;
    world_plan best;
    char said[SAID_BYTES]; /* how it fails */
    unsigned tries;
} shrinker;

/* Where and why, without which life it was. */
static void try_plan(const char *program, const world_plan *plan, char *said, size_t size) {
    char command[WORLD_COMMAND_BYTES];
    os_try(program, world_plan_text(plan, command, sizeof(command)), said, size);
    said[strcspn(said, "\n")] = '\0';
}

static bool still_fails(shrinker *s, const world_plan *plan) {
    char said[SAID_BYTES];
    s->tries++;
    try_plan(s->program, plan, said, sizeof(said));
    if (strcmp(said, s->said) != 0) {
        return false;
    }
    s->best = *plan;
    return true;
}

static void shorten_steps(shrinker *s) {
    uint32_t low = 0; /* passes, or fails otherwise */
    while (s->best.steps - low > 1) {
        world_plan plan = s->best;
        plan.steps = low + (s->best.steps - low) / 2;
        if (!still_fails(s, &plan)) {
            low = plan.steps;
        }
    }
}

static void drop_kinds(shrinker *s) {
    for (unsigned i = 0; i <= WORLD_NO_MEMORY; i++) {
        world_plan plan = s->best;
        plan.faults_off |= UINT64_C(1) << i;
        (void)still_fails(s, &plan);
    }
    for (unsigned i = 0; i < ACT_COUNT; i++) {
        world_plan plan = s->best;
        plan.acts_off |= 1u << i;
        (void)still_fails(s, &plan);
    }
}

static void drop_actions(shrinker *s) {
    for (uint32_t size = s->best.steps * WORLD_STEP_ACTS; size > 0; size /= 2) {
        uint32_t count = s->best.steps * WORLD_STEP_ACTS;
        for (uint32_t first = 0; first < count; first += size) {
            world_plan plan = s->best;
            bool is_new = false;
            for (uint32_t i = first; i < first + size && i < count; i++) {
                is_new = is_new || !is_left_out(&plan, i);
                leave_out(&plan, i);
            }
            if (is_new) {
                (void)still_fails(s, &plan);
            }
        }
    }
}

int world_shrink(const char *program, const world_plan *plan) {
    shrinker s = {.program = program, .best = *plan};
    char command[WORLD_COMMAND_BYTES];
    try_plan(program, plan, s.said, sizeof(s.said));
    if (s.said[0] == '\0') {
        printf("seed %llu does not fail\n", (unsigned long long)plan->seed);
        return 0;
    }
    printf("fails: %s\n", s.said);
    shorten_steps(&s);
    drop_kinds(&s);
    drop_actions(&s);
    shorten_steps(&s);
    printf("after %u tries:\n  world_test %s --trace\n", s.tries,
           world_plan_text(&s.best, command, sizeof(command)));
    append(command, sizeof(command), " --trace");
    (void)fflush(stdout);
    os_try(program, command, s.said, 0);
    return 1;
}
