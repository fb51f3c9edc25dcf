/*
 * failpoint_parse.h - the grammar of failpoints, as plain structures. See failpoint.h.
 *
 *   text   = entry { ";" entry }        an entry may be empty; blanks around ; and = do not matter
 *   entry  = ( NAME | "all" ) "=" term { "->" term }
 *   term   = [ PERCENT "%" ] [ COUNT "*" ] action
 *   action = "off" | "return(" STATUS ")" | "delay(" MILLISECONDS ")" | "pause" | "kill"
 *
 * The first term whose count is not used up, and whose percentage strikes, acts; as in fail-rs.
 */
#ifndef SLUICE_BASE_FAILPOINT_PARSE_H
#define SLUICE_BASE_FAILPOINT_PARSE_H

#include <stdint.h>

#include "base/failpoint.h"

#define FAILPOINT_TERMS_MAX    4
#define FAILPOINT_ALWAYS       UINT32_MAX
#define FAILPOINT_COUNT_MAX    1000000000u
#define FAILPOINT_DELAY_MAX_MS 600000u

typedef enum failpoint_kind {
    FAILPOINT_OFF,
    FAILPOINT_RETURN,
    FAILPOINT_DELAY,
    FAILPOINT_PAUSE,
    FAILPOINT_KILL
} failpoint_kind;

typedef struct failpoint_term {
    failpoint_kind kind;
    uint32_t percent;
    uint32_t count; /* times that are left; FAILPOINT_ALWAYS */
    uint32_t delay_ms;
    int status;
} failpoint_term;

typedef struct failpoint_plan {
    bool is_named; /* by the text */
    unsigned term_count;
    failpoint_term terms[FAILPOINT_TERMS_MAX];
} failpoint_plan;

/* false: the error says what is wrong, and where: "column 8: no such point". */
bool failpoint_parse(const char *text, failpoint_plan ret_plans[SL_FAILPOINT_COUNT],
                     char ret_error[SL_FAILPOINT_ERROR_BYTES]);

#endif
