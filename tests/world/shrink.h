/*
 * shrink.h - plans as text, and a failing life made short.
 */
#ifndef SLUICE_TESTS_WORLD_SHRINK_H
#define SLUICE_TESTS_WORLD_SHRINK_H

#include "tests/world/world.h"

#define WORLD_COMMAND_BYTES 16384u

/* The options that repeat a life; returns `text`. */
const char *world_plan_text(const world_plan *plan, char *text, size_t size);
/* --without and --leave-out. false: cannot be read. */
bool world_plan_option(world_plan *plan, const char *name, const char *value);

/*
 * Makes the life short: fewer steps, then without kinds of faults and acts, then without actions,
 * halves and quarters of what is left first; kept is what still fails at the same check. Prints the
 * command and the shortened life's trace. Returns the program's exit code: 0 = the life does not
 * fail at all.
 */
int world_shrink(const char *program, const world_plan *plan);

#endif
