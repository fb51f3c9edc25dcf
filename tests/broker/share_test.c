/*
 * share_test.c - what the sessions of one user may have together, and those of everybody: memory,
 * sessions, handles. Who has all of it is told which limit it met, and goes on with what it has;
 * the others do not notice. On the simulator, where a client may be anybody; what needs only one
 * user also on the platform's own engine; and the books themselves, with threads.
 */
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "broker/book.h"
#include "tests/broker/share.h"

#define SLACK (3u * MIB) /* what workers keep for the next ones: tables, free buffers */
#define BURST 100u       /* more than the reserve of a session */

static void fill_all(raw_client *c, const char *limit) {
    uint64_t ends[2];
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(share_fill(c, ends, limit) > 0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A crowd, of one user or of a user each, holds all that it may. Returns the bytes. */
static uint64_t fill_crowd(share_rig *s, bool is_one_user, raw_client *ret_crowd[CROWD],
                           uint64_t ret_ends[CROWD][2]) {
    const unsigned alone = is_one_user ? CROWD : MEMORY / USER_MEMORY - 1;
    uint64_t held = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        ret_crowd[i] = share_client(s, is_one_user ? ALICE : ALICE + i);
        EXPECT(call_pair(ret_crowd[i], ret_ends[i]) == SLUICE_OK);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        held += share_fill(ret_crowd[i], ret_ends[i], i < alone ? USER_LIMIT : ALL_LIMIT);
    }
    return held;
}

/* Alice's sessions hold all that she may have. Bob does not notice; and hers all live. */
static void test_user_memory(uint64_t seed) {
    share_rig s;
    raw_client *alice[CROWD];
    uint64_t ends[CROWD][2];
    share_open(&s, seed);
    uint64_t before = rig_counters(&s.rig).memory_bytes;
    uint64_t held = fill_crowd(&s, true, alice, ends);
    EXPECT(held > USER_MEMORY / 2 && held < USER_MEMORY + CROWD * 2 * PART); /* and the pipes' */
    EXPECT(rig_counters(&s.rig).memory_bytes <= before + USER_MEMORY + SLACK);
    raw_client *bob = share_client(&s, BOB);
    share_use(bob);
    for (unsigned i = 0; i < CROWD; i++) {
        expect_quota_of(alice[i], SL_REQUEST_PAIR, USER_LIMIT);
        share_expect_alive(alice[i]);
    }
    sim_engine_become(s.rig.engine, ALICE, ALICE); /* one session more is a refusal, with words */
    raw_client *late = client_connect(&s.rig);
    EXPECT(client_await_end(late) == SLUICE_EQUOTA);
    EXPECT(strcmp(client_goodbye_detail(late), USER_LIMIT) == 0);
    client_close(late);
    EXPECT(call_close(alice[0], ends[0][1]) == SLUICE_OK);
    EXPECT(call_close(alice[0], ends[0][0]) == SLUICE_OK);
    share_use(alice[1]); /* what one gives back is another's */
    share_use(bob);
    for (unsigned i = 0; i < CROWD; i++) {
        client_close(alice[i]);
    }
    client_close(bob);
    share_close(&s);
}

/* At the limit: a frame larger than the input buffer is refused as it comes, what is behind it is
 * found, and a write that was accepted before gets its later bytes the same way. */
static void test_frames(uint64_t seed) {
    share_rig s;
    uint64_t ends[2];
    uint64_t other[2];
    uint64_t done;
    share_open(&s, seed);
    raw_client *c = share_client(&s, ALICE);
    raw_client *greedy = share_client(&s, ALICE);
    EXPECT(call_pair(c, other) == SLUICE_OK && call_pair(greedy, ends) == SLUICE_OK);
    sl_request begun = {.id = client_id(c), .kind = SL_REQUEST_WRITE};
    begun.as.write.handle = other[1];
    begun.as.write.length_bytes = 1 + PART;
    client_send(c, &begun, share_pattern, 1);
    uint64_t read = start_read(c, other[0], 1, false, 0);
    EXPECT(await_status(c, read) == SLUICE_OK);
    (void)share_fill(greedy, ends, USER_LIMIT);
    uint64_t refused = start_write(c, other[1], share_pattern, PART, 0);
    uint64_t whole = start_write(c, other[1], share_pattern, MIB, 0); /* in many frames */
    sl_request more = {.id = begun.id, .kind = SL_REQUEST_WRITE_DATA};
    client_send(c, &more, share_pattern + 1, PART);
    expect_quota(c, refused, USER_LIMIT);
    expect_quota(c, whole, USER_LIMIT);
    /* All of it at once needs memory, which an input buffer that shrank may have given back. */
    int status = call_read(c, other[0], PART, true, share_pattern + 1, &done);
    EXPECT(status == SLUICE_EQUOTA || status == SLUICE_OK);
    uint32_t begin = 1 + (uint32_t)done;
    for (uint32_t at = begin; at < 1 + PART; at += (uint32_t)done) { /* some at a time can be had */
        uint32_t most = 1 + PART - at < 192 ? 1 + PART - at : 192;
        EXPECT(call_read(c, other[0], most, false, share_pattern + at, &done) == SLUICE_OK &&
               done > 0);
    }
    EXPECT(await_status(c, begun.id) == SLUICE_OK);
    client_close(greedy);
    rig_await_sessions(&s.rig, 1);
    share_use(c);
    client_close(c);
    share_close(&s);
}

/* More requests at once than a session has answers in reserve, and they are not taken: all are
 * answered in the end, a Close and a Cancel among them. */
static void test_burst(uint64_t seed) {
    share_rig s;
    uint64_t ends[2];
    uint64_t other[2];
    uint64_t ids[BURST];
    share_open(&s, seed);
    raw_client *c = share_client(&s, ALICE);
    EXPECT(call_pair(c, ends) == SLUICE_OK && call_pair(c, other) == SLUICE_OK);
    uint64_t waiting = start_read(c, other[0], 1, false, 0);
    (void)share_fill(c, ends, USER_LIMIT);
    EXPECT(!client_has(c, waiting));
    client_stop_reading(c, true);
    for (unsigned i = 0; i < BURST; i++) {
        ids[i] = start_read(c, ends[0], 16, false, 0);
    }
    send_cancel(c, waiting);
    uint64_t closed[2] = {start_close(c, ends[0]), start_close(c, ends[1])};
    rig_run_for(&s.rig, SL_NS_PER_S);
    client_stop_reading(c, false);
    unsigned refused = 0;
    for (unsigned i = 0; i < BURST; i++) { /* one that finds room frees some */
        raw_reply reply;
        EXPECT(client_await(c, ids[i], &reply));
        EXPECT(reply.status == SLUICE_EQUOTA || reply.status == SLUICE_OK);
        EXPECT(reply.status != SLUICE_EQUOTA || strcmp(reply.detail, USER_LIMIT) == 0);
        refused += reply.status == SLUICE_EQUOTA;
        reply_free(&reply);
    }
    EXPECT(refused > BURST / 2);
    EXPECT(await_status(c, waiting) == SLUICE_ECANCELED);
    EXPECT(await_status(c, closed[0]) == SLUICE_OK && await_status(c, closed[1]) == SLUICE_OK);
    share_use(c);
    client_close(c);
    share_close(&s);
}

/* Many users together have what the broker may hold. */
static void test_broker_memory(uint64_t seed) {
    share_rig s;
    raw_client *crowd[CROWD];
    uint64_t ends[CROWD][2];
    share_open(&s, seed);
    uint64_t before = rig_counters(&s.rig).memory_bytes;
    uint64_t held = fill_crowd(&s, false, crowd, ends);
    EXPECT(held > MEMORY / 2 && held < MEMORY + CROWD * 2 * PART);
    EXPECT(rig_counters(&s.rig).memory_bytes <= before + MEMORY + WORKERS * SLACK);
    client_close(crowd[0]);
    rig_await_sessions(&s.rig, CROWD - 1);
    raw_client *bob = share_client(&s, BOB + CROWD);
    share_use(bob);
    client_close(bob);
    for (unsigned i = 1; i < CROWD; i++) {
        share_expect_alive(crowd[i]);
        client_close(crowd[i]);
    }
    share_close(&s);
}

/* ---- sessions and handles -------------------------------------------------------------------- */

static void expect_refused(test_rig *rig, const char *detail) {
    raw_client *c = client_connect(rig);
    EXPECT(client_await_end(c) == SLUICE_EQUOTA);
    EXPECT(strcmp(client_goodbye_detail(c), detail) == 0);
    client_close(c);
}

static void test_user_sessions(uint64_t seed) {
    share_rig s;
    raw_client *alice[CROWD + 1];
    uint64_t ends[2];
    share_open(&s, seed);
    for (unsigned i = 0; i <= CROWD; i++) {
        alice[i] = share_client(&s, ALICE);
    }
    for (unsigned i = 0; i < 100; i++) { /* as often as one likes */
        expect_refused(&s.rig, "this user's limit user_sessions of 7 is reached");
    }
    raw_client *bob = share_client(&s, BOB);
    for (unsigned i = 0; i < 32; i++) { /* 64 handles, whoever of hers has them */
        EXPECT(call_pair(alice[i % CROWD], ends) == SLUICE_OK);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        expect_quota_of(alice[i], SL_REQUEST_PAIR,
                        "this user's limit user_handles of 64 is reached");
    }
    EXPECT(call_pair(bob, ends) == SLUICE_OK);
    client_close(alice[0]);
    rig_await_sessions(&s.rig, CROWD + 1);
    EXPECT(call_pair(alice[1], ends) == SLUICE_OK);
    alice[0] = share_client(&s, ALICE);
    for (unsigned i = 0; i <= CROWD; i++) {
        client_close(alice[i]);
    }
    client_close(bob);
    share_close(&s);
}

/* Where the system tells only later who it is, the one too many is refused in its Hello. */
static void test_late_identity(uint64_t seed) {
    share_rig s;
    raw_client *alice[CROWD + 1];
    raw_reply reply;
    share_open(&s, seed);
    for (unsigned i = 0; i <= CROWD; i++) {
        sim_world_options(s.rig.world)->peer_busy_count = 1;
        alice[i] = share_client(&s, ALICE);
    }
    for (unsigned i = 0; i < 20; i++) {
        sim_world_options(s.rig.world)->peer_busy_count = 1;
        raw_client *late = client_connect(&s.rig);
        sl_request hello = {.id = client_id(late), .kind = SL_REQUEST_HELLO};
        hello.as.hello.version_min = 1;
        hello.as.hello.version_max = 1;
        hello.as.hello.client_name = "late";
        client_send(late, &hello, NULL, 0);
        expect_quota(late, hello.id, "this user's limit user_sessions of 7 is reached");
        client_close(late);
        rig_await_sessions(&s.rig, CROWD + 1);
    }
    fill_all(alice[0], USER_LIMIT); /* what was taken before it was known is Alice's now */
    sim_world_options(s.rig.world)->peer_busy_count = 1;
    raw_client *bob = share_client(&s, BOB);
    share_use(bob);
    EXPECT(call_plain(bob, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
    EXPECT(strcmp(reply.user, "uid 2002") == 0);
    client_close(bob);
    for (unsigned i = 0; i <= CROWD; i++) {
        client_close(alice[i]);
    }
    share_close(&s);
}

/* Connections of which nobody has said whose they are keep nobody out. */
static void test_unknown(uint64_t seed) {
    share_rig s;
    raw_client *silent[20];
    share_open(&s, seed);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(silent); i++) {
        sim_engine_become(s.rig.engine, ALICE, ALICE);
        sim_world_options(s.rig.world)->peer_busy_count = 1;
        silent[i] = client_connect(&s.rig);
        sim_world_options(s.rig.world)->peer_busy_count = 1;
        raw_client *bob = share_client(&s, BOB);
        share_use(bob);
        client_close(bob);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(silent); i++) {
        client_close(silent[i]);
    }
    share_close(&s);
}

/* All of the broker's: also more at once than there are places to say so in. */
static void test_sessions(const sim_options *sim) {
    test_rig rig;
    sl_limits limits;
    raw_client *clients[4];
    raw_client *late[100];
    raw_reply reply;
    sl_limits_default(&limits);
    limits.sessions = 4;
    limits.user_sessions = 1; /* means nothing: only one user may connect */
    rig_options options = {.sim = sim, .limits = &limits};
    rig_open(&rig, &options);
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = client_open(&rig);
    }
    expect_refused(&rig, "the broker's limit sessions of 4 is reached");
    for (unsigned i = 0; i < SL_ARRAY_COUNT(late); i++) {
        late[i] = client_connect(&rig);
    }
    unsigned told = 0;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(late); i++) {
        int status = client_await_end(late[i]);
        EXPECT(status == SLUICE_EQUOTA || status == 0);
        told += status == SLUICE_EQUOTA;
    }
    EXPECT(told > 0);
    EXPECT(call_plain(clients[3], SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(late); i++) {
        client_close(late[i]);
    }
    client_close(clients[0]);
    rig_await_sessions(&rig, 3);
    clients[0] = client_open(&rig);
    for (unsigned i = 0; i < 4; i++) {
        client_close(clients[i]);
    }
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* ---- the books ------------------------------------------------------------------------------- */

#define TAKERS 4u
#define TURNS  100000u

typedef struct taker {
    broker_book *book;
    sl_atomic_u64 *most;
    uint32_t amount;
    uint32_t taken;
    uint32_t refused;
    sl_thread thread;
} taker;

static void take_and_give(void *context) {
    taker *t = context;
    for (uint32_t i = 0; i < TURNS; i++) {
        if (book_take(t->book, t->amount)) {
            t->taken++;
            uint64_t used = book_used(t->book);
            if (used > atomic_load(t->most)) {
                atomic_store(t->most, used);
            }
            book_give(t->book, t->amount);
        } else {
            t->refused++;
        }
    }
}

/* Never above the limit, and nothing left at the end. */
static void test_book(void) {
    broker_book book;
    sl_atomic_u64 most;
    taker takers[TAKERS];
    book_init(&book, 9);
    atomic_init(&most, 0);
    EXPECT(book_take(&book, 9) && !book_take(&book, 1) && book_take(&book, 0));
    book_give(&book, 9);
    EXPECT(!book_take(&book, 10) && !book_take(&book, UINT64_MAX));
    for (uint32_t i = 0; i < TAKERS; i++) {
        takers[i] = (taker){.book = &book, .most = &most, .amount = 2 + i};
        EXPECT(sl_thread_start(&takers[i].thread, "taker", take_and_give, &takers[i]) == SLUICE_OK);
    }
    for (uint32_t i = 0; i < TAKERS; i++) {
        sl_thread_join(&takers[i].thread);
        EXPECT(takers[i].taken + takers[i].refused == TURNS);
    }
    EXPECT(atomic_load(&most) <= 9);
    book_check_empty(&book);
}

int main(void) {
    share_fill_pattern();
    test_book();
    for (uint64_t seed = 1; seed <= 6; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        test_user_memory(seed);
        test_frames(seed);
        test_burst(seed);
        test_broker_memory(seed);
        test_user_sessions(seed);
        test_late_identity(seed);
        test_unknown(seed);
        test_sessions(&sim);
    }
    test_sessions(NULL);
    puts("ok");
    return 0;
}
