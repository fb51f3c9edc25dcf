/*
 * pipes_test.c - the pages of pipes that the system gives to the broker's user are shared out to
 * its clients' users: whoever opens all the pairs it can leaves half of them to the others.
 */
#include <stdio.h>
#include <string.h>

#include "broker/pipes.h"
#include "tests/broker/rig.h"

#define PAGES 1024u
#define ALICE 2001u
#define BOB   2002u
/* Half of what the others leave: half of that in large pipes, the rest in small ones. */
#define LARGE(share) ((share) / 2 / PIPES_PAGES)
#define SMALL(share) ((share) - LARGE(share) * PIPES_PAGES)
#define PAIRS(share) (LARGE(share) + SMALL(share))
#define ALICES       (PAGES / 2)
#define BOBS         (PAGES / 4)

static uint64_t ends[PAGES][2];

static raw_client *open_as(test_rig *rig, uint32_t user_id) {
    sim_engine_become(rig->engine, user_id, user_id);
    return client_open(rig);
}

static unsigned open_all(raw_client *c, uint64_t pairs[PAGES][2], const char *detail) {
    unsigned count = 0;
    while (count < PAGES && call_pair(c, pairs[count]) == SLUICE_OK) {
        count++;
    }
    expect_quota_of(c, SL_REQUEST_PAIR, detail);
    return count;
}

static void test_shares(uint64_t seed) {
    static uint64_t bobs[PAGES][2];
    test_rig rig;
    sim_options sim;
    uint64_t pair[2];
    sim_options_gentle(&sim, seed);
    rig_options options = {.sim = &sim, .access = "0666", .pipe_pages = PAGES, .worker_count = 2};
    rig_open(&rig, &options);
    raw_client *alice = open_as(&rig, ALICE);
    raw_client *again = open_as(&rig, ALICE);
    raw_client *bob = open_as(&rig, BOB);
    EXPECT(open_all(alice, ends, "this user's limit pipe_pages of 512 is reached") ==
           PAIRS(ALICES));
    expect_quota_of(again, SL_REQUEST_PAIR, "this user's limit pipe_pages of 512 is reached");
    EXPECT(open_all(bob, bobs, "this user's limit pipe_pages of 256 is reached") == PAIRS(BOBS));
    EXPECT(call_close(bob, bobs[0][1]) == SLUICE_OK); /* the other end keeps the pipe */
    EXPECT(call_pair(bob, pair) == SLUICE_EQUOTA);
    EXPECT(call_close(bob, bobs[0][0]) == SLUICE_OK);
    EXPECT(call_pair(bob, pair) == SLUICE_OK);
    client_close(alice);
    rig_await_sessions(&rig, 2);
    /* Bob has 256 - 16 + 1. */
    EXPECT(open_all(again, ends, "this user's limit pipe_pages of 391 is reached") > 0);
    client_close(again);
    client_close(bob);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* Where only one user may connect there is nobody to leave them to. */
static void test_alone(void) {
    test_rig rig;
    sim_options sim;
    uint64_t pair[2];
    sim_options_gentle(&sim, 1);
    rig_options options = {.sim = &sim, .pipe_pages = PIPES_PAGES};
    rig_open(&rig, &options);
    raw_client *c = client_open(&rig);
    for (unsigned i = 0; i < PIPES_PAGES; i++) {
        EXPECT(call_pair(c, pair) == SLUICE_OK);
    }
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(void) {
    test_shares(1);
    test_shares(2);
    test_alone();
    puts("ok");
    return 0;
}
