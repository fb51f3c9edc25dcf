/*
 * crowding_test.c - one user, or strangers, take what has a limit of the whole broker only: the
 * process's descriptors, the places where a refusal is told. The others still get theirs. On the
 * simulator, where a client may be anybody.
 */
#include <stdio.h>
#include <string.h>

#include "tests/broker/share.h"

#define DESCRIPTORS 600u
#define FEW         7u   /* pairs: fewer handles than DESCRIPTORS_FEW */
#define STRANGERS   200u /* more than there are places */
#define SHARE_TEXT  "this user's limit descriptors of "
#define EVERYBODY   "everybody" /* the simulator lets all connect */

typedef struct crowding {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
} crowding;

static void open_rig(crowding *t, uint64_t seed, rig_options options) {
    sim_options_gentle(&t->sim, seed);
    options.sim = &t->sim;
    options.limits = &t->limits;
    options.worker_count = WORKERS;
    options.access = EVERYBODY;
    rig_open(&t->rig, &options);
}

static void close_rig(crowding *t) {
    rig_await_empty(&t->rig);
    rig_close(&t->rig);
}

static raw_client *open_as(crowding *t, uint32_t user_id) {
    sim_engine_become(t->rig.engine, user_id, user_id);
    return client_open(&t->rig);
}

/* With words. */
static void expect_refused(crowding *t, uint32_t user_id, const char *detail) {
    sim_engine_become(t->rig.engine, user_id, user_id);
    raw_client *c = client_connect(&t->rig);
    EXPECT(client_await_end(c) == SLUICE_EQUOTA);
    EXPECT(strncmp(client_goodbye_detail(c), detail, strlen(detail)) == 0);
    client_close(c);
}

/* Opens what it can, a few handles in each of many sessions, so that none looks greedy, and then
 * sessions with nothing. Where a session is refused in its Hello, not these. Returns how many
 * sessions that were. */
static unsigned take_descriptors(crowding *t, raw_client *clients[DESCRIPTORS], bool listens,
                                 bool is_late) {
    unsigned count = 0;
    int status = SLUICE_OK;
    sim_engine_become(t->rig.engine, ALICE, ALICE);
    while (status == SLUICE_OK) {
        EXPECT(count < DESCRIPTORS / 4);
        raw_client *c = clients[count++] = client_open(&t->rig);
        for (unsigned i = 0; i < FEW && status == SLUICE_OK; i++) {
            uint64_t ends[2];
            raw_reply reply;
            status = listens ? call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &reply)
                             : call_pair(c, ends);
        }
    }
    EXPECT(status == SLUICE_EQUOTA);
    raw_client *more = NULL; /* NULL: refused */
    while (!is_late && (more = client_open_with(&t->rig, NULL)) != NULL) {
        EXPECT(count < DESCRIPTORS / 2);
        clients[count++] = more;
    }
    return count;
}

/* The process's descriptors have no limit of their own for a user, and each session alone has few:
 * Alice gets no more than half, and Bob half of what she leaves. Also where the system tells only
 * later whose a session is. */
static void test_descriptors(uint64_t seed, bool listens, bool is_late) {
    static raw_client *alice[DESCRIPTORS];
    crowding t;
    raw_reply reply;
    uint64_t ends[2];
    sl_limits_default(&t.limits);
    open_rig(&t, seed, (rig_options){.descriptors = DESCRIPTORS});
    sim_world_options(t.rig.world)->peer_busy_count = is_late;
    unsigned count = take_descriptors(&t, alice, listens, is_late);
    if (!is_late) { /* else it is told when it says Hello */
        expect_refused(&t, ALICE, SHARE_TEXT);
    }
    for (unsigned i = 0; i < 5; i++) {
        raw_client *bob = open_as(&t, BOB);
        for (unsigned j = 0; j < FEW; j++) {
            EXPECT(call_pair(bob, ends) == SLUICE_OK);
        }
        EXPECT(call_address(bob, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &reply) == SLUICE_OK);
        client_close(bob);
        rig_await_sessions(&t.rig, count);
    }
    for (unsigned i = 0; i < count; i++) {
        client_close(alice[i]);
    }
    rig_await_sessions(&t.rig, 0);
    raw_client *bob = open_as(&t, BOB); /* all was given back */
    for (unsigned i = 0; i < DESCRIPTORS / 8; i++) {
        EXPECT(call_pair(bob, ends) == SLUICE_OK);
    }
    client_close(bob);
    close_rig(&t);
}

/* Strangers who are refused and stay do not take the words away from a user who comes too late. */
static void test_words(uint64_t seed) {
    static raw_client *strangers[STRANGERS];
    crowding t;
    engine_identity allowed[2];
    engine_identity_uid(&allowed[0], ALICE);
    engine_identity_uid(&allowed[1], BOB);
    sl_limits_default(&t.limits);
    t.limits.user_sessions = 1;
    open_rig(&t, seed, (rig_options){.allow = allowed, .allow_count = 2});
    raw_client *alice = open_as(&t, ALICE);
    raw_client *bob = open_as(&t, BOB);
    for (unsigned i = 0; i < STRANGERS; i++) {
        sim_engine_become(t.rig.engine, BOB + 1 + i % 10, BOB + 1);
        strangers[i] = client_connect(&t.rig);
        client_stop_reading(strangers[i], true);
    }
    rig_run_for(&t.rig, 100 * SL_NS_PER_MS);
    for (unsigned i = 0; i < 10; i++) {
        expect_refused(&t, i % 2 == 0 ? ALICE : BOB,
                       "this user's limit user_sessions of 1 is reached");
    }
    for (unsigned i = 0; i < STRANGERS; i++) {
        client_close(strangers[i]);
    }
    client_close(alice);
    client_close(bob);
    close_rig(&t);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        test_descriptors(seed, false, false);
        test_descriptors(seed, true, false);
        test_descriptors(seed, false, true);
        test_words(seed);
    }
    puts("ok");
    return 0;
}
