/*
 * selftest.h - `sluice selftest`: what only a real Windows kernel can certify, tried there.
 *
 * selftest.c has the table of checks, the command and its report; selftest_win.c what looks at the
 * system's own objects (pipes, tokens, services), selftest_posix.c says that there is none of it.
 * The latter are the tool's raw side (docs/audit.md).
 */
#ifndef SLUICE_CLI_SELFTEST_H
#define SLUICE_CLI_SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cli/out.h"

#define SELFTEST_WHY_BYTES  200u
#define SELFTEST_PATH_BYTES 1024u
#define SELFTEST_WORDS_MAX  12u

typedef enum selftest_outcome {
    SELFTEST_PASSED,
    SELFTEST_FAILED,
    SELFTEST_SKIPPED,      /* it could not be tried here */
    SELFTEST_NOT_CERTIFIED /* it was tried, on a system whose answer says nothing about Windows */
} selftest_outcome;

typedef struct selftest_result {
    selftest_outcome outcome;
    char why[SELFTEST_WHY_BYTES];
} selftest_result;

/* What a check has to work with. */
typedef struct selftest_place {
    const char *endpoint;    /* of a private broker that runs; "" = there is none */
    const char *pipe;        /* as the system has it: on which that broker listens for us */
    const char *broker_path; /* --broker; NULL = beside the tool */
    const char *user;        /* whom that broker takes us for */
    const char *tests_path;  /* --tests; NULL = beside the tool, or as in a build */
    const char *scale;       /* of the conformance suite */
    const char *iterations;  /* of the hangtest's workers */
    bool is_verbose;         /* what a check's program says is shown */
} selftest_place;

/* What is asked of the system's own objects. */
typedef enum selftest_question {
    SELFTEST_NOTHING,
    SELFTEST_FIRST_INSTANCE,
    SELFTEST_OTHER_USER,
    SELFTEST_LOW_INTEGRITY,
    SELFTEST_NEW_INSTANCE,
    SELFTEST_REMOTE,
    SELFTEST_TOKEN,
    SELFTEST_ENDPOINT_ACCESS,
    SELFTEST_PIPE_ACCESS,
    SELFTEST_FILTERED,
    SELFTEST_SERVICE_ACCOUNT,
    SELFTEST_SERVICE_RESTART,
    SELFTEST_PRESHUTDOWN,
    SELFTEST_SERVICE_LOG,
    SELFTEST_SERVICE_PROGRAM
} selftest_question;

/* `sluice selftest SELFTEST_VISIT ENDPOINT PIPE`, for a check alone: has the broker connect to that
 * pipe. Its exit code; any other: it came to nothing. */
#define SELFTEST_VISIT "visit"
enum { SELFTEST_VISIT_OPENED = 20, SELFTEST_VISIT_REFUSED = 21 };

OUT_LIKE_PRINTF(3, 4)
void selftest_say(selftest_result *result, selftest_outcome outcome, const char *format, ...);

/* ---- selftest_win.c, selftest_posix.c ---- */

/* NULL on a real Windows; else what this is: "Wine", "Linux". */
const char *selftest_system(void);
/* What it has beside itself, or where a build puts it (`in_build`, relative to the tool's folder).
 * false = neither is there. `name` is without ".exe". */
bool selftest_find(const char *folder, const char *name, const char *in_build,
                   char ret_path[SELFTEST_PATH_BYTES]);
/* Runs a program without input, its output shown or not; its exit code, -1 = it could not be run,
 * or took longer than limit_s. `words` ends with NULL; none has a quote. */
int selftest_run(const char *path, const char *const *words, unsigned limit_s, bool is_shown);

void selftest_ask(selftest_question question, const selftest_place *place,
                  selftest_result *ret_result);

#endif
