/*
 * suggest.c - see suggest.h. Levenshtein's distance, a row at a time.
 */
#include "broker/suggest.h"

#include <string.h>

#define WORD_MAX     64u /* a longer word is nothing misspelt */
#define DISTANCE_MAX 2u

void suggest_init(suggestion *ret_suggestion, const char *word, size_t length) {
    *ret_suggestion = (suggestion){.word = word, .length = length, .distance = DISTANCE_MAX + 1};
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

static char folded(char c) {
    return c == '-' ? '_' : c;
}

static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    unsigned row[WORD_MAX + 1]; /* of the first i letters of a, to the first j of b */
    for (size_t j = 0; j <= b_length; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            unsigned changed = diagonal + (folded(a[i - 1]) != folded(b[j - 1]) ? 1 : 0);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

void suggest_consider(suggestion *nearest, const char *candidate) {
    size_t length = strlen(candidate);
    if (nearest->length > WORD_MAX || length > WORD_MAX) {
        return;
    }
    unsigned edits = distance(nearest->word, nearest->length, candidate, length);
    if (edits < nearest->distance && 2 * edits < nearest->length) {
        nearest->best = candidate;
        nearest->distance = edits;
    }
}
