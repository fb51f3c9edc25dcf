/*
 * streams.h - the searches over the state machines of streams, one direction a file of scenarios.
 */
#ifndef SLUICE_TESTS_MODEL_STREAMS_H
#define SLUICE_TESTS_MODEL_STREAMS_H

#include "tests/model/search.h"

/* Which runs take a scenario. Each takes those of the sizes before it. */
typedef enum streams_size { STREAMS_SMALL, STREAMS_CI, STREAMS_FULL } streams_size;

typedef struct streams_direction {
    const char *name;
    unsigned count; /* of scenarios */
    /* Makes it the present one; its name. */
    const char *(*select)(unsigned index, search *s, streams_size *ret_size);
    void (*be_loud)(void);
} streams_direction;

extern const streams_direction streams_writes; /* writes_scenarios.c */
extern const streams_direction streams_reads;  /* reads_scenarios.c */

/* ---- the planted bugs (streams_bugs.txt): only the program streams_bugs has any ---- */

/* 0 = there is none of that name. */
int streams_bug_number(const char *name);
/* Runs the search with each bug; prints which scenario found it. The exit code: 0 = each was. */
int streams_find_bugs(const char *program);

#endif
