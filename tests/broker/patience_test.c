/*
 * patience_test.c - how long the broker waits for a client, on the simulator's clock: for its
 * Hello, and for it to take its replies. A client that does not costs a bounded amount of memory,
 * and is ended only after the configured time without any progress.
 */
#include <stdio.h>
#include <string.h>

#include "tests/broker/rig.h"

#define HELLO_NS       (200 * SL_NS_PER_MS)
#define NO_PROGRESS_NS (2 * SL_NS_PER_S)
#define LINGER_NS      SL_NS_PER_S /* for a Goodbye to get out (session.c) */
#define SLACK_NS       (20 * SL_NS_PER_MS)
#define CREDIT_BYTES   (2u << 20)
#define LARGE          400000u
#define PIECE          32768u
#define TRICKLES       20u
#define STOPS_MOST     1000u
#define PIECES         32u /* together more than any pipe of the simulator takes */
/* A buffer may be up to four times as long as what is in it (chunk.h); and the tables. */
#define MEMORY_MOST (4 * CREDIT_BYTES + (256u << 10))

static uint8_t pattern[PIECE];

static void open_rig(test_rig *rig, uint64_t seed, sim_options *sim, sl_limits *limits) {
    sim_options_gentle(sim, seed);
    sl_limits_default(limits);
    limits->hello_timeout_ns = HELLO_NS;
    limits->no_progress_ns = NO_PROGRESS_NS;
    limits->credit_bytes = CREDIT_BYTES;
    rig_options options = {.sim = sim, .limits = limits};
    rig_open(rig, &options);
}

static void test_hello(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    open_rig(&rig, seed, &sim, &limits);
    raw_client *greeted = client_open(&rig);
    raw_client *silent = client_connect(&rig);
    raw_client *slow = client_connect(&rig);
    uint64_t since = rig.manual.now_ns;
    raw_reply reply;
    /* A byte now and then is no Hello. */
    static const uint8_t header[8] = {19};
    for (unsigned i = 0; i < 8; i++) {
        client_send_bytes(slow, &header[i], 1);
        rig_run_for(&rig, HELLO_NS / 10);
        EXPECT(!client_is_over(slow) && !client_is_over(silent));
    }
    EXPECT(client_await_end(silent) == SLUICE_ETIMEDOUT);
    EXPECT(client_await_end(slow) == SLUICE_ETIMEDOUT);
    uint64_t took = rig.manual.now_ns - since;
    EXPECT(took + SLACK_NS >= HELLO_NS && took <= HELLO_NS + SLACK_NS);
    rig_run_for(&rig, 5 * HELLO_NS);
    EXPECT(call_plain(greeted, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    client_close(silent);
    client_close(slow);
    client_close(greeted);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* Reads that are answered with more than the connection takes. */
static uint64_t offer(test_rig *rig, raw_client *c, const uint64_t ends[2]) {
    uint64_t first = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        uint64_t id = start_read(c, ends[0], PIECE, true, 0);
        first = first != 0 ? first : id;
    }
    for (unsigned i = 0; i < PIECES; i++) { /* its replies are not read either */
        (void)start_write(c, ends[1], pattern, PIECE / 4, 0);
        (void)start_write(c, ends[1], pattern + PIECE / 4, PIECE - PIECE / 4, 0);
    }
    rig_run_for(rig, SL_NS_PER_S / 2);
    return first;
}

/* A client with a pair, that has stopped reading before its replies came. */
static raw_client *open_deaf(test_rig *rig, uint64_t ret_ends[2], uint64_t *ret_first) {
    raw_client *c = client_open(rig);
    EXPECT(call_pair(c, ret_ends) == SLUICE_OK);
    client_stop_reading(c, true);
    *ret_first = offer(rig, c, ret_ends);
    return c;
}

static void expect_all(raw_client *c, uint64_t first) {
    for (unsigned i = 0; i < PIECES; i++) {
        raw_reply reply;
        EXPECT(client_await(c, first + i, &reply) && reply.status == SLUICE_OK);
        EXPECT(reply.done == PIECE && memcmp(reply.payload, pattern, PIECE) == 0);
        reply_free(&reply);
    }
}

static void test_replies(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    uint64_t ends[2];
    uint64_t own[2];
    uint64_t done;
    raw_reply reply;
    open_rig(&rig, seed, &sim, &limits);
    raw_client *bystander = client_open(&rig);
    raw_client *c = client_open(&rig);
    EXPECT(call_pair(bystander, own) == SLUICE_OK);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t before = rig_counters(&rig).memory_bytes;
    /* Nothing to take for long is not "takes nothing". */
    rig_run_for(&rig, 3 * NO_PROGRESS_NS);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    /* As in a debugger: it stops, and goes on in time. */
    client_stop_reading(c, true);
    uint64_t first = offer(&rig, c, ends);
    EXPECT(rig_counters(&rig).memory_bytes <= before + MEMORY_MOST);
    rig_run_for(&rig, NO_PROGRESS_NS - SL_NS_PER_S / 2 - 2 * SLACK_NS);
    EXPECT(!client_has(c, first + PIECES - 1) && !client_is_over(c));
    client_stop_reading(c, false);
    expect_all(c, first);
    /* It stops for good. */
    client_stop_reading(c, true);
    uint64_t since = rig.manual.now_ns;
    (void)offer(&rig, c, ends);
    EXPECT(call_write(bystander, own[1], "fine", 4) == SLUICE_OK);
    EXPECT(call_read(bystander, own[0], 4, true, "fine", &done) == SLUICE_OK);
    uint64_t waited = 0;
    while (rig_counters(&rig).sessions == 2) {
        EXPECT(rig_counters(&rig).memory_bytes <= before + MEMORY_MOST);
        rig_wait(&rig, &waited);
    }
    uint64_t took = rig.manual.now_ns - since;
    EXPECT(took >= NO_PROGRESS_NS && took <= NO_PROGRESS_NS + SL_NS_PER_S / 2);
    EXPECT(rig_counters(&rig).handles == 2);
    client_close(c);
    client_close(bystander);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* One that takes a little now and then makes progress, however long the whole lasts. */
static void test_slow(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    uint64_t ends[2];
    uint64_t first;
    open_rig(&rig, seed, &sim, &limits);
    raw_client *c = open_deaf(&rig, ends, &first);
    unsigned stops = 0;
    while (!client_has(c, first + PIECES - 1)) {
        EXPECT(!client_is_over(c) && stops < STOPS_MOST);
        client_stop_reading(c, false);
        rig_step(&rig);
        client_stop_reading(c, true);
        rig_run_for(&rig, NO_PROGRESS_NS / 2);
        stops++;
    }
    EXPECT(stops > 4);
    client_stop_reading(c, false);
    expect_all(c, first);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* So does one that takes a large reply byte by byte, although the write that carries it lasts far
 * longer than the limit; until it takes no more. */
static void test_trickle(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    uint64_t ends[2];
    uint64_t first;
    open_rig(&rig, seed, &sim, &limits);
    raw_client *c = open_deaf(&rig, ends, &first);
    for (unsigned i = 0; i < TRICKLES; i++) {
        client_take(c, 1 + i % 100);
        rig_run_for(&rig, NO_PROGRESS_NS * 3 / 4);
        EXPECT(!client_is_over(c));
    }
    if (seed % 2 == 0) {
        client_stop_reading(c, false);
        expect_all(c, first);
    } else {
        uint64_t since = rig.manual.now_ns;
        rig_await_sessions(&rig, 0);
        uint64_t took = rig.manual.now_ns - since;
        EXPECT(took >= NO_PROGRESS_NS / 4 && took <= NO_PROGRESS_NS / 2);
    }
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* Large replies go out in turn, fragment by fragment: none waits for the whole of another. */
static void test_turns(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    uint64_t ends[2][2];
    uint64_t reads[2];
    uint64_t waited = 0;
    static uint8_t large[LARGE];
    open_rig(&rig, seed, &sim, &limits);
    raw_client *c = client_open(&rig);
    EXPECT(call_pair(c, ends[0]) == SLUICE_OK && call_pair(c, ends[1]) == SLUICE_OK);
    client_stop_reading(c, true);
    for (unsigned i = 0; i < 2; i++) {
        reads[i] = start_read(c, ends[i][0], LARGE, true, 0);
        (void)start_write(c, ends[i][1], large, LARGE, 0);
    }
    rig_run_for(&rig, SL_NS_PER_S);
    client_stop_reading(c, false);
    while (!client_has(c, reads[0]) && !client_has(c, reads[1])) {
        rig_wait(&rig, &waited);
    }
    EXPECT(client_received(c, reads[0]) >= LARGE / 2 && client_received(c, reads[1]) >= LARGE / 2);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* One that breaks the protocol is told so after all that it is owed, but not waited for when it
 * takes nothing. */
static void test_linger(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    uint64_t ends[2];
    uint64_t first;
    open_rig(&rig, seed, &sim, &limits);
    raw_client *c = open_deaf(&rig, ends, &first);
    static const uint8_t garbage[8] = {0xff, 0xff, 0xff, 0xff};
    uint64_t since = rig.manual.now_ns;
    client_send_bytes(c, garbage, sizeof(garbage));
    if (seed % 2 == 0) {
        rig_run_for(&rig, LINGER_NS / 2);
        client_stop_reading(c, false);
        expect_all(c, first);
        EXPECT(client_await_end(c) == SLUICE_EPROTOCOL);
        client_close(c);
        rig_await_empty(&rig);
        rig_close(&rig);
        return;
    }
    rig_await_sessions(&rig, 0);
    uint64_t took = rig.manual.now_ns - since;
    EXPECT(took >= LINGER_NS && took <= LINGER_NS + SLACK_NS);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(void) {
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (uint8_t)(i * 31 + (i >> 8));
    }
    for (uint64_t seed = 1; seed <= 10; seed++) {
        test_hello(seed);
        test_replies(seed);
        test_slow(seed);
        test_trickle(seed);
        test_turns(seed);
        test_linger(seed);
    }
    puts("ok");
    return 0;
}
