/*
 * act_client.h - what the client library does while something fails.
 */
#ifndef SLUICE_TESTS_FAULT_ACT_CLIENT_H
#define SLUICE_TESTS_FAULT_ACT_CLIENT_H

#include "client/include/sluice/sluice.h"
#include "tests/fault/act.h"

typedef struct client_act {
    const char *endpoint;    /* of the broker in this process */
    sluice_session *session; /* opened before anything fails, for acts that use one */
    bool has_failed;
    const char *failed_at; /* the first time, if it was a call's status; NULL = something else */
    int failed_with;
    sl_atomic_u32 callbacks;
    int status; /* of the last */
} client_act;

typedef struct client_act_row {
    const char *name;
    bool uses_session;
    void (*run)(client_act *a);
} client_act_row;

extern const client_act_row client_acts[];
extern const unsigned client_act_count;

bool act_client_open(client_act *a, uint32_t mode, uint32_t delivery, sluice_session **ret);
void act_client_close(client_act *a, sluice_session *session);
/* A client that wants to be served, once: with a pair, and bytes through it. */
bool act_client_is_served(const char *endpoint);

/* ---- by platform ---- */

/* "pipe:" and a fresh name; where private brokers' endpoints go. */
void script_client_pipe(char *ret_address, size_t size);
void script_client_place(void);
/* One that was killed has left its place behind. */
void script_private_begin(void);
extern const char *const act_log_path; /* takes what it is given, and exists */
void script_wait_for_waitable(sluice_session *session, uint64_t limit_ns);
/* Children that nobody has collected; so long it waits for one that is about to end. */
unsigned script_collect_children(uint64_t limit_ns);

#endif
