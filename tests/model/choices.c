/*
 * choices.c - paths of answers, and the set of states that were met: see choices.h. The set is a
 * table with open addressing that doubles when it is half full.
 */
#include "tests/model/choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define SEEN_FIRST 4096u
#define BOUND_MAX  255u

static void make_table(choices *c, uint64_t size) {
    c->seen = calloc(size, sizeof(*c->seen));
    SL_CHECK(c->seen != NULL, "a test has memory for the states it met");
    c->seen_size = size;
    c->seen_count = 0;
}

void choices_init(choices *c) {
    memset(c, 0, sizeof(*c));
    make_table(c, SEEN_FIRST);
}

void choices_deinit(choices *c) {
    free(c->seen);
    c->seen = NULL;
}

void choices_reset(choices *c) {
    c->length = 0;
    c->at = 0;
    c->seen_count = 0;
    c->merged_count = 0;
    memset(c->seen, 0, c->seen_size * sizeof(*c->seen));
}

unsigned choices_next(choices *c, unsigned bound) {
    SL_CHECK(bound > 0 && bound <= BOUND_MAX, "a choice is one of a few");
    if (bound == 1) {
        return 0;
    }
    if (c->at == c->length) {
        SL_CHECK(c->length < CHOICES_MAX, "a path is finite");
        c->answer[c->length] = 0;
        c->bound[c->length++] = (uint8_t)bound;
    }
    SL_CHECK(c->answer[c->at] < bound, "a path was made for this program");
    SL_CHECK(c->bound[c->at] == 0 || c->bound[c->at] == bound, "the program is deterministic");
    c->bound[c->at] = (uint8_t)bound;
    return c->answer[c->at++];
}

bool choices_is_replay(const choices *c) {
    return c->at < c->length;
}

/* true: it was not there. */
static bool insert(choices *c, uint64_t fingerprint) {
    uint64_t at = fingerprint & (c->seen_size - 1);
    while (c->seen[at] != 0) {
        if (c->seen[at] == fingerprint) {
            return false;
        }
        at = (at + 1) & (c->seen_size - 1);
    }
    c->seen[at] = fingerprint;
    c->seen_count++;
    return true;
}

static void grow(choices *c) {
    uint64_t *old = c->seen;
    uint64_t old_size = c->seen_size;
    make_table(c, old_size * 2);
    for (uint64_t i = 0; i < old_size; i++) {
        if (old[i] != 0) {
            (void)insert(c, old[i]);
        }
    }
    free(old);
}

bool choices_is_new(choices *c, uint64_t fingerprint) {
    SL_CHECK(!choices_is_replay(c), "what lies on the path was met by the path before");
    if (c->seen_count >= c->seen_size / 2) {
        grow(c);
    }
    bool is_new = insert(c, fingerprint != 0 ? fingerprint : 1);
    c->merged_count += !is_new;
    return is_new;
}

bool choices_advance(choices *c) {
    c->at = 0;
    while (c->length > 0 && c->answer[c->length - 1] + 1u >= c->bound[c->length - 1]) {
        c->length--;
    }
    if (c->length == 0) {
        return false;
    }
    c->answer[c->length - 1]++;
    return true;
}

void choices_text(const choices *c, char *text, unsigned size) {
    unsigned used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < c->at && used + 5 < size; i++) {
        used +=
            (unsigned)snprintf(text + used, size - used, "%s%u", i > 0 ? "." : "", c->answer[i]);
    }
}

bool choices_parse(choices *c, const char *text) {
    choices_reset(c);
    while (*text != '\0' && c->length < CHOICES_MAX) {
        char *end;
        unsigned long answer = strtoul(text, &end, 10);
        if (end == text || answer >= BOUND_MAX || (*end != '\0' && *end != '.')) {
            return false;
        }
        c->answer[c->length] = (uint8_t)answer;
        c->bound[c->length++] = 0;
        text = *end == '.' ? end + 1 : end;
    }
    return *text == '\0';
}
