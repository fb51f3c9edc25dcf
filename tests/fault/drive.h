/*
 * drive.h - makes every call of a level fail, one at a time, and counts what was reached.
 */
#ifndef SLUICE_TESTS_FAULT_DRIVE_H
#define SLUICE_TESTS_FAULT_DRIVE_H

#include "tests/fault/fault.h"

/* What runs while something fails, act by act. */
typedef struct fault_level {
    const char *name;
    const char *const *claims; /* files whose sites it must reach: prefixes, NULL at the end */
    unsigned hits;             /* of each site that fail: the first, the second, ... */
    unsigned (*count_acts)(void);
    const char *(*act_name)(unsigned act);
    /* Is a site this act reaches to fail in it? NULL = all are. */
    bool (*is_wanted)(unsigned act, const fault_site *site);
    /* Runs an act with these plans, then again without; aborts where something is not as
     * documented. Returns how many of the plans struck. fault_site.hits are the act's own. */
    unsigned (*run)(unsigned act, const fault_plan *plans, unsigned count);
} fault_level;

/* An error that a site cannot meet, or a site that cannot be reached, and why. */
typedef struct fault_exception {
    const char *site;
    /* NULL = the site is not reached; "*" = it meets no error of its call; "?" = nor is it reached
     * every time. */
    const char *error;
    const char *reason;
} fault_exception;

extern const fault_exception fault_exceptions[];
extern const unsigned fault_exception_count;

typedef struct drive_options {
    unsigned hits;         /* 0 = the level's */
    unsigned part, parts;  /* runs every parts-th job only; then nothing is said of what is left */
    const char *only_site; /* NULL = all */
    bool only_claims;      /* the sites that it must reach, and no other */
    bool is_verbose;
} drive_options;

/* false: something was not reached, not failed, or excepted for nothing. */
bool drive_level(const fault_level *level, const drive_options *options);

#endif
