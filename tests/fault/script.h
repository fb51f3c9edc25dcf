/*
 * script.h - what runs while a call or an allocation fails: acts, each of which opens, uses and
 * closes something of its own.
 *
 * An act that meets a failure ends early and says so; it has then checked that every status was
 * one that the header lists for that call, that each accepted request ended exactly once, and that
 * the bytes were true. The same act once more, with nothing failing, must then succeed.
 */
#ifndef SLUICE_TESTS_FAULT_SCRIPT_H
#define SLUICE_TESTS_FAULT_SCRIPT_H

#include "engine/engine.h"
#include "tests/fault/fault.h"

#define SCRIPT_WAIT_NS   (60 * SL_NS_PER_S) /* for anything that must come */
#define SCRIPT_INBOX_MAX 1024u

typedef struct script {
    sl_allocator *allocator; /* NULL = the system's */
    engine *engine;
    engine_worker *worker;
    bool has_failed; /* since the act began: a status other than the one of a good day */
    uint64_t accepted; /* requests that a completion must come for, and those that came */
    uint64_t ended;
    unsigned inbox_count;
    engine_completion inbox[SCRIPT_INBOX_MAX];
} script;

typedef struct script_act {
    const char *name;
    void (*run)(script *s);
} script_act;

/* The acts of the engine alone. The first opens engine and worker, the last closes them. */
extern const script_act engine_acts[];
extern const unsigned engine_act_count;

/* ---- what acts are made of ------------------------------------------------------------------- */

/* What engine.h lists for a call, as bits of 1 << -status. */
#define S(status)  (UINT64_C(1) << -(SLUICE_##status))
#define S_REFUSALS (S(ECLOSED) | S(EINVAL) | S(ENOTSUP) | S(EQUOTA) | S(ENOMEM))
#define S_OPEN \
    (S(EINVAL) | S(ENOTSUP) | S(EQUOTA) | S(ENOMEM) | S(EADDRINUSE) | S(EADDRNOTAVAIL) | \
     S(ENAMETAKEN) | S(ENAMETOOLONG) | S(EACCESS) | S(ENOTFOUND) | S(EOSLIMIT) | S(EOS))

/* SLUICE_OK or among `legal`; else it ends the program. */
void script_expect_legal(const char *what, int status, uint64_t legal);
/* Notes a status: it must be SLUICE_OK or among `legal`. Returns whether it is OK. */
bool script_check(script *s, const char *what, int status, uint64_t legal);
/* The same where another status is the good one. */
bool script_check_is(script *s, const char *what, int status, int good, uint64_t legal);

/* The result of a call that submits: true = a completion will come. */
bool script_submitted(script *s, const char *what, int status);
/* Waits for it. The status is checked against engine.h's list of its kind. */
engine_completion script_await(script *s, engine_request_id id);
bool script_await_is(script *s, engine_request_id id, int good);
/* Has it come? And with which status? */
bool script_has(script *s, engine_request_id id);
int script_status(script *s, engine_request_id id);
void script_close(script *s, engine_handle *handle); /* NULL is allowed */
/* Something happens, or `pause_ns` passes. */
void script_pump(script *s, uint64_t pause_ns);
uint64_t script_now_ns(void);

/* Makes a place for the tests' names; a fresh one in there. */
void script_place(void);
engine_address script_pipe_address(void);

/* An engine is there, whose calls may have to be bent (stubs_*.c). */
void script_engine_opened(engine *e);

/* What a platform's acts need beside the engine's own calls (act_posix.c, act_win.c). */
void script_leave_stale_name(const engine_address *address);
void script_take_rights(bool takes);
unsigned script_count_handles(void);
/* How many names are left over; they are removed. */
unsigned script_count_names(void);

#endif
