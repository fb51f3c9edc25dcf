/*
 * place.h - what the cases share: brokers as processes, sessions with them, roles (this program
 * again, as another client), counted callbacks.
 */
#ifndef SLUICE_TESTS_INTEGRATION_PLACE_H
#define SLUICE_TESTS_INTEGRATION_PLACE_H

#include "client/include/sluice/sluice.h"
#include "tests/integration/process.h"

/* No call here takes that long. */
#define PLACE_LONG_NS  (30 * SL_NS_PER_S)
#define PLACE_GRACE_NS SL_NS_PER_S /* call_grace_ns */
#define PLACE_ENDPOINT_BYTES 256
#define PLACE_STATUSES 64
#define PLACE_EXIT_SKIPPED 77 /* CMakeLists.txt */

typedef struct place {
    const char *sluiced; /* absolute path */
    bool is_long;        /* the issue's own sizes */
    process broker;
    char endpoint[PLACE_ENDPOINT_BYTES];
    const char *private_for; /* the process that the next broker ends with; NULL = none */
} place;

uint64_t place_now_ns(void);
/* Lets time pass: for what has to last. Not for waiting until something has happened. */
void place_let_pass(uint64_t time_ns);

/* Starts the broker with so many workers (0 = its default) and these limits ("name=value", ends
 * with NULL; NULL = none), until it listens. */
void place_start_broker(place *at, unsigned workers, const char *const *limits);
/* The same, without waiting: it may end before it listens. */
void place_launch_broker(place *at, unsigned workers, const char *const *limits);
/* Asks it to stop; its exit code must be 0. Where it cannot be asked, ends it. */
void place_stop_broker(place *at);

/* This program as `name` of roles.c, with words that end with NULL. */
void place_start_role(process *p, const char *name, const char *const *words);

sluice_session *place_open(const char *endpoint, const char *name);
uint64_t place_connections(sluice_session *session);
sluice_broker_info place_status(sluice_session *session);

/* Asks the broker until `is_so` holds of its counters; fails the test if that takes too long. */
void place_await(sluice_session *session, bool (*is_so)(const sluice_broker_info *info));

/* Counts callbacks by status. */
typedef struct place_tally {
    sl_atomic_u32 by_status[PLACE_STATUSES]; /* [-status] */
    sl_atomic_u32 count;
    uint32_t expected; /* callbacks until `ended` is set */
    sl_event ended;
} place_tally;

void place_tally_init(place_tally *tally, uint32_t expected);
void place_tally_deinit(place_tally *tally);
void place_count(void *user, sluice_operation *operation, const sluice_result *result);
bool place_tally_wait(place_tally *tally, uint64_t timeout_ns);
uint32_t place_tally_get(const place_tally *tally, int32_t status);

/* Opens `count` pairs and starts a read without deadline on each; they are with the broker when
 * this returns. */
void place_start_reads(sluice_session *session, uint32_t count, place_tally *tally);

/* Ends this process as a test that cannot run here. Nothing may be left open. */
_Noreturn void place_skip(const char *why);

/* ---- the cases, case_*.c: each returns, or ends this process ---- */

typedef struct place_case {
    const char *name;
    void (*run)(place *at);
    uint32_t limit_s; /* a case that takes longer has failed; ten times that with --long */
} place_case;

/* `PROGRAM CASE SLUICED [--long]` runs one of `cases`, `PROGRAM role NAME ...` place_run_role. The
 * exit code. */
int place_main(const place_case *cases, size_t case_count, int count, char **words);

void case_client_killed(place *at);
void case_client_stopped(place *at);
void case_broker_killed(place *at);
void case_broker_stopped(place *at);
void case_private(place *at);
void case_drain(place *at);
void case_drain_now(place *at);
void case_drain_newcomers(place *at);
void case_hostile(place *at);
void case_listeners(place *at);
void case_flood(place *at);
void case_deadlines(place *at);
void case_slow_reader(place *at);
void case_exhaustion(place *at);
void case_hung_path(place *at);
void case_hung_endpoint(place *at);
void case_hung_start(place *at);
void case_silent_names(place *at);
void case_hungry(place *at);

/* roles.c of each program: the exit code. */
int place_run_role(int count, char **words);

#endif
