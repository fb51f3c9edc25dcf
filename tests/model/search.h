/*
 * search.h - an exhaustive search over a small world that is one piece of memory.
 *
 * The world offers moves; each is tried in each state that is met (choices.h says which, and which
 * states are new). A move may ask choices_next() how it ends. Unlike a program that is run again
 * from its beginning for each path, the world is put back by copying it: pointers inside it stay
 * right, since it always lies in the same place.
 *
 * Thread: one.
 */
#ifndef SLUICE_TESTS_MODEL_SEARCH_H
#define SLUICE_TESTS_MODEL_SEARCH_H

#include <stddef.h>

#include "tests/model/choices.h"

typedef struct search {
    void *world;
    size_t world_bytes;
    void (*begin)(void *world);
    /* How many moves there are. ret_forced: how many of these happen by themselves, sooner or
     * later; without any, the world is at rest. */
    unsigned (*count_moves)(void *world, unsigned *ret_forced);
    void (*move)(void *world, unsigned index, choices *c);
    /* Ends the program (SL_CHECK) if something is wrong. */
    void (*check)(void *world, bool is_at_rest);
    uint64_t (*fingerprint)(const void *world);
    /* what was done */
    choices choices;
    uint64_t paths;
    uint64_t moves;
    uint64_t rests;
    unsigned deepest;
} search;

/* Every state that can be reached. */
void search_all(search *s);
/* Mixes a piece of memory into a fingerprint: a number of words, all of which are set. */
void search_mix(uint64_t *fingerprint, const void *bytes, size_t count);

/* One path, as choices_text() has told it: prints nothing itself, `move` may. */
void search_path(search *s);

#endif
