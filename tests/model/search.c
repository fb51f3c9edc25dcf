/*
 * search.c - see search.h. The worlds along the present path are kept; the next path goes on from
 * the last of them that it shares.
 */
#include "tests/model/search.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define DEPTH_MAX 1024u

typedef struct trail {
    char *worlds;
    unsigned at[DEPTH_MAX]; /* answers given before */
    unsigned depth;
} trail;

static void keep(trail *t, const search *s) {
    SL_CHECK(t->depth < DEPTH_MAX, "a path is finite");
    memcpy(t->worlds + t->depth * s->world_bytes, s->world, s->world_bytes);
    t->at[t->depth++] = s->choices.at;
}

/* The last world in which the answer that is new now was not yet given. */
static void put_back(trail *t, search *s) {
    while (t->depth > 1 && t->at[t->depth - 1] > s->choices.length - 1) {
        t->depth--;
    }
    t->depth--;
    memcpy(s->world, t->worlds + t->depth * s->world_bytes, s->world_bytes);
    s->choices.at = t->at[t->depth];
}

static void follow(trail *t, search *s) {
    for (;;) {
        unsigned forced = 0;
        bool is_known = choices_is_replay(&s->choices);
        if (!is_known && !choices_is_new(&s->choices, s->fingerprint(s->world))) {
            return;
        }
        unsigned count = s->count_moves(s->world, &forced);
        if (!is_known) {
            s->check(s->world, forced == 0);
            s->rests += forced == 0;
        }
        if (count == 0) {
            return;
        }
        keep(t, s);
        s->move(s->world, choices_next(&s->choices, count), &s->choices);
        s->moves++;
        s->deepest = t->depth > s->deepest ? t->depth : s->deepest;
    }
}

static void start(trail *t, search *s) {
    t->worlds = malloc(DEPTH_MAX * s->world_bytes);
    SL_CHECK(t->worlds != NULL, "a test has memory for its path");
    t->depth = 0;
    s->begin(s->world);
}

void search_all(search *s) {
    static trail t;
    choices_reset(&s->choices);
    start(&t, s);
    for (;;) {
        follow(&t, s);
        s->paths++;
        if (!choices_advance(&s->choices)) {
            break;
        }
        put_back(&t, s);
    }
    free(t.worlds);
}

void search_path(search *s) {
    unsigned forced = 0;
    s->begin(s->world);
    for (;;) {
        unsigned count = s->count_moves(s->world, &forced);
        s->check(s->world, forced == 0);
        if (count == 0 || (count > 1 && !choices_is_replay(&s->choices))) {
            return;
        }
        s->move(s->world, choices_next(&s->choices, count), &s->choices);
    }
}

void search_mix(uint64_t *fingerprint, const void *bytes, size_t count) {
    uint64_t word;
    SL_CHECK(count % sizeof(word) == 0, "a world is made of words");
    for (size_t i = 0; i < count; i += sizeof(word)) {
        memcpy(&word, (const char *)bytes + i, sizeof(word));
        if (word != 0) {
            choices_mix(fingerprint, word ^ (uint64_t)i << 48);
        }
    }
}
