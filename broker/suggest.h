/*
 * suggest.h - which name was meant by one that there is not: the nearest of those there are.
 */
#ifndef SLUICE_BROKER_SUGGEST_H
#define SLUICE_BROKER_SUGGEST_H

#include <stddef.h>

typedef struct suggestion {
    const char *word; /* what was written, of so many bytes */
    size_t length;
    const char *best; /* NULL: none is nearest */
    unsigned distance;
} suggestion;

void suggest_init(suggestion *ret_suggestion, const char *word, size_t length);

/* Is this one nearer than those before? A letter too many, too few, or another one counts one; '-'
 * and '_' are the same. At most two, and less than half of the word. `candidate` is kept. */
void suggest_consider(suggestion *nearest, const char *candidate);

#endif
