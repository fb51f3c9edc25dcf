/*
 * returns.h - what each function of sluice.h can return, and a check of what it does return.
 *
 * The table is in returns.c; docs/errors.md shows it, and the comments of sluice.h name the same
 * statuses (both compared by the test client_returns_docs). The test client_returns provokes every
 * row; other tests, whatever they are about, end at a status that is in no row, and at a failure
 * that says nothing.
 */
#ifndef SLUICE_TESTS_CLIENT_RETURNS_H
#define SLUICE_TESTS_CLIENT_RETURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/error.h"

/* Rows that several calls have in common; a call is in some of these sets. */
typedef enum returns_set {
    RETURNS_BEGUN,  /* makes an operation */
    RETURNS_SYNC,   /* waits for it */
    RETURNS_START,  /* does not */
    RETURNS_WIRE,   /* asks the broker */
    RETURNS_END,    /* has a twin that may be cancelled */
    RETURNS_CREDIT, /* takes credit */
    RETURNS_WORK,   /* is refused by a broker that stops */
    RETURNS_HANDLE, /* is about a handle */
    RETURNS_OPENS,  /* makes a connection if there is none */
    RETURNS_OWN,    /* of one call */
    RETURNS_SET_COUNT
} returns_set;

typedef struct returns_row {
    returns_set set;
    client_call call; /* of RETURNS_OWN */
    int status;
    const char *when;
    /* NULL, or why the test cannot provoke it everywhere: then tests/fault does. */
    const char *exception;
} returns_row;

typedef struct returns_call {
    const char *name; /* "sluice_read" */
    unsigned sets;    /* bits */
} returns_call;

extern const returns_row returns_rows[];
extern const unsigned returns_row_count;
/* By client_call. */
extern const returns_call returns_calls[CLIENT_CALL_COUNT];
/* In words, by returns_set: "Calls that ask the broker". */
extern const char *const returns_sets[RETURNS_SET_COUNT];

bool returns_has(client_call call, const returns_row *row);
/* SLUICE_OK is always one. */
bool returns_is_legal(client_call call, int status);

/* From now on each failure of this process's calls is looked at: one that is in no row, or has no
 * detail, ends the process. */
void returns_watch(void);
/* Has it been returned since? */
bool returns_was_seen(client_call call, int status);

#endif
