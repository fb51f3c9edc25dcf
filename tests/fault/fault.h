/*
 * fault.h - every call to the operating system fails once.
 *
 * The program is linked so that the calls of our objects to the system lead through stubs
 * (stubs_posix.c, stubs_win.c), each with a slot of the table in calls_posix.h or calls_win.h. A
 * stub asks fault_enter, which looks up where the call came from: the places ("sites") are read
 * from a list that sites.awk makes from the program's own machine code. What is not one of ours
 * (the tests, libuv) goes through untouched.
 *
 * A plan says which site fails, at which of its calls, and how. Plans are made and judged by one
 * thread while nothing of ours runs; calls come from any thread.
 */
#ifndef SLUICE_TESTS_FAULT_FAULT_H
#define SLUICE_TESTS_FAULT_FAULT_H

#include "base/atomic.h"
#include "base/check.h"

#define EXPECT(condition) SL_CHECK(condition, "a test of what fails")

#define FAULT_SITES_MAX     512u
#define FAULT_ADDRESSES_MAX 2048u
#define FAULT_ARGS          6u
#define FAULT_PLANS_MAX     2u

/* ---- calls ----------------------------------------------------------------------------------- */

/* How a call tells that it failed. */
typedef enum fault_how {
    FAULT_ERRNO,    /* returns -1, errno or the last error says why */
    FAULT_CODE,     /* returns the error */
    FAULT_NULL,     /* returns NULL, or FALSE; errno or the last error says why */
    FAULT_DONE,     /* as ERRNO, but it has done its work all the same: close(2) */
    FAULT_DONE_NULL /* as NULL, likewise: CloseHandle */
} fault_how;

#define FAULT_SHORT INT32_MIN /* no error: transfers less than it could */

typedef struct fault_error {
    const char *name;
    int32_t value;
} fault_error;

typedef struct fault_call {
    void (*real)(void); /* first: the stubs jump through it */
    const char *name;
    fault_how how;
    const fault_error *errors; /* what it may plausibly say */
    unsigned error_count;
} fault_call;

/* The table's rows, and where a site's call goes by name ("read", "calls+0x98"). */
extern fault_call *const fault_calls[];
extern const unsigned fault_call_count;
const fault_call *fault_call_find(const char *name);

/* Fails a call in the way of its row: true with what the caller gets, false = let it through with
 * these arguments, which it may have changed. By platform. */
bool fault_apply(const fault_call *call, const fault_error *error, uintptr_t args[],
                 intptr_t *ret_value);
/* Is it one that cannot fail, told by its arguments? Then it is not counted. */
bool fault_is_exempt(const fault_call *call, const uintptr_t args[]);
/* Before anything runs: slots that lead somewhere, the engine's call table. */
void fault_install(void);

/* Memory of zeroes, which children that are forked share. Stays. By platform (act_*.c). */
void *fault_share(size_t size);

/* From the stubs. true: *args[FAULT_ARGS] is what the call returns. */
bool fault_enter(fault_call *call, const void *where, uintptr_t args[]);

/* ---- sites ----------------------------------------------------------------------------------- */

typedef struct fault_site {
    char name[160]; /* file:function:call, and #2 for the second of them */
    unsigned line;
    const fault_call *call;
    sl_atomic_u32 hits;     /* between the last fault_begin and fault_end */
    sl_atomic_u32 all_hits; /* since the start of the program */
    sl_atomic_u32 failures; /* of them */
} fault_site;

/* Reads the list; ends the program with a word when it cannot. */
void fault_load(const char *path);
/* The list's path. */
const char *fault_loaded(void);
unsigned fault_site_count(void);
fault_site *fault_site_at(unsigned index);

/* ---- plans ----------------------------------------------------------------------------------- */

typedef struct fault_plan {
    fault_site *site; /* NULL = whichever it is, all calls counted together */
    const fault_error *error;
    uint32_t hit;      /* 1 = its first call */
    bool from_then_on; /* and all that come behind */
} fault_plan;

/* Hits count from here; count 0 = nothing fails. */
void fault_begin(const fault_plan *plans, unsigned count);
/* How many of them have struck so far. */
unsigned fault_struck(void);
void fault_end(void);

/* What a process counted since fault_begin, for the one that started it and shares no memory. */
typedef struct fault_counts {
    uint32_t struck;
    uint32_t hits[FAULT_SITES_MAX];
    uint32_t failures[FAULT_SITES_MAX];
} fault_counts;

void fault_counts_get(fault_counts *ret_counts);
void fault_counts_take(const fault_counts *counts);

#endif
