/*
 * bounds_test.c - the memory that a session can make the broker hold, on the simulator: a client
 * that takes no replies and chooses its sizes to cost as much as possible. docs/design.md states
 * the bound ("What a session can hold"); here it is measured. And how much of a session with many
 * operations ends in one wake.
 */
#include <stdio.h>

#include "tests/broker/rig.h"

#define CREDIT     (1u << 20)
#define OPERATIONS 8192u
#define MANY       8000u
#define ENDS_MOST  1024u /* in one wake */
#define PAIRS      250u
#define PAGES      512u
#define CLOSES     64u /* pairs */
#define FILL       300000u /* more than a connection of the simulator takes */
#define UNEVEN     16385u  /* a byte more than a power of 2 */
#define SMALL      300u    /* too many to be copied into the operation */
#define IDLE       4096u   /* idle_buffer_bytes: what fills it makes the next one a large one */
#define RECEIVE    65536u
#define READS      30u
#define MIB        (1u << 20)
/* Of the documented bound: payloads, a quarter more for their sizes; a thousand operations and
 * their tables, a KiB each; pages of operations; the connection's own buffers, and tables. */
#define PAYLOAD_MOST (CREDIT + CREDIT / 4)
#define OPS_MOST     (1024u * 1024)
#define PAGES_MOST   (SL_OPS_PENDING_MAX * 48u * 1024)
#define OTHER_MOST   (512u << 10)

#define BESIDES     3u /* Hello, a Ping, a Close */
#define BURST       3000u
#define FRAMES_MOST 128u /* in one wake */
#define CROWD       40u
#define QUIET       10u          /* requests of each */
#define QUIET_MOST  (64u << 10)  /* of a quiet session: mostly its table of handles */
#define POOL_MOST   (4u << 20)   /* what a worker keeps for the next one */

static uint8_t bytes[MIB];

typedef struct bounds_rig {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
    raw_client *c;
    uint64_t before;
} bounds_rig;

static void open_rig(bounds_rig *b, uint64_t seed, uint64_t receive_bytes) {
    sim_options_gentle(&b->sim, seed);
    sl_limits_default(&b->limits);
    b->limits.credit_bytes = CREDIT;
    b->limits.credit_operations = OPERATIONS;
    b->limits.receive_buffer_bytes = receive_bytes;
    rig_options options = {.sim = &b->sim, .limits = &b->limits};
    rig_open(&b->rig, &options);
    b->c = client_open(&b->rig);
}

/* From now on the client takes nothing, and its connection is full. */
static void fill_up(bounds_rig *b, const uint64_t ends[2]) {
    client_stop_reading(b->c, true);
    (void)start_read(b->c, ends[0], FILL, true, 0);
    (void)start_write(b->c, ends[1], bytes, FILL, 0);
    rig_run_for(&b->rig, SL_NS_PER_S / 2);
}

static uint64_t held(const bounds_rig *b) {
    uint64_t now = rig_counters(&b->rig).memory_bytes;
    return now > b->before ? now - b->before : 0;
}

/* Takes the replies; then the session must be as good as new. */
static void finish(bounds_rig *b, const char *what, uint64_t most) {
    uint64_t ends[2];
    uint64_t done;
    uint64_t bytes_held = held(b);
    printf("%-8s %8u bytes held, at most %u\n", what, (unsigned)bytes_held, (unsigned)most);
    EXPECT(bytes_held <= most);
    client_stop_reading(b->c, false);
    EXPECT(call_pair(b->c, ends) == SLUICE_OK && call_write(b->c, ends[1], "ok", 2) == SLUICE_OK);
    EXPECT(call_read(b->c, ends[0], 2, true, "ok", &done) == SLUICE_OK && done == 2);
    client_close(b->c);
    rig_await_empty(&b->rig);
    rig_close(&b->rig);
}

/* Writes that nobody reads, and reads that wait for their last byte, of a bad size. */
static void test_payloads(uint64_t seed) {
    bounds_rig b;
    uint64_t to[2];
    uint64_t from[READS][2];
    open_rig(&b, seed, IDLE); /* standing receives are another row of the table */
    EXPECT(call_pair(b.c, to) == SLUICE_OK);
    for (unsigned i = 0; i < READS; i++) {
        EXPECT(call_pair(b.c, from[i]) == SLUICE_OK);
    }
    b.before = rig_counters(&b.rig).memory_bytes;
    for (unsigned i = 0; i < READS; i++) {
        (void)start_read(b.c, from[i][0], UNEVEN, true, 0);
        EXPECT(call_write(b.c, from[i][1], bytes, UNEVEN - 1) == SLUICE_OK);
    }
    for (uint32_t used = 0; used + UNEVEN <= CREDIT - READS * UNEVEN; used += UNEVEN) {
        (void)start_write(b.c, to[1], bytes, UNEVEN, 0);
    }
    rig_run_for(&b.rig, SL_NS_PER_S);
    EXPECT(held(&b) > CREDIT / 2);
    finish(&b, "payloads", PAYLOAD_MOST + OTHER_MOST);
}

/* Small replies out of large buffers, and none is taken. */
static void test_replies(uint64_t seed) {
    static uint64_t ends[PAIRS][2];
    uint64_t main_ends[2];
    uint64_t done;
    bounds_rig b;
    open_rig(&b, seed, RECEIVE);
    EXPECT(call_pair(b.c, main_ends) == SLUICE_OK);
    for (unsigned i = 0; i < PAIRS; i++) {
        EXPECT(call_pair(b.c, ends[i]) == SLUICE_OK);
        uint64_t read = start_read(b.c, ends[i][0], IDLE, true, 0);
        rig_run_for(&b.rig, SL_NS_PER_S / 100); /* armed, and then filled to its end */
        EXPECT(call_write(b.c, ends[i][1], bytes, IDLE) == SLUICE_OK);
        EXPECT(await_status(b.c, read) == SLUICE_OK);
    }
    EXPECT(call_write(b.c, ends[0][1], "x", 1) == SLUICE_OK);
    EXPECT(call_read(b.c, ends[0][0], 1, true, "x", &done) == SLUICE_OK && done == 1);
    b.before = rig_counters(&b.rig).memory_bytes;
    fill_up(&b, main_ends);
    for (unsigned i = 0; i < PAIRS; i++) {
        (void)start_read(b.c, ends[i][0], SMALL, true, 0);
        (void)start_write(b.c, ends[i][1], bytes, SMALL, 0);
    }
    rig_run_for(&b.rig, SL_NS_PER_S);
    finish(&b, "replies", PAYLOAD_MOST + CREDIT + OPS_MOST + OTHER_MOST);
}

/* Pages of operations that nobody takes: a limited number, the others are refused. */
static void test_pages(uint64_t seed) {
    bounds_rig b;
    uint64_t ends[2];
    uint64_t ids[PAGES];
    open_rig(&b, seed, RECEIVE);
    EXPECT(call_pair(b.c, ends) == SLUICE_OK);
    b.before = rig_counters(&b.rig).memory_bytes;
    fill_up(&b, ends);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        sl_request ops = {.id = client_id(b.c), .kind = SL_REQUEST_OPS};
        ids[i] = ops.id;
        client_send(b.c, &ops, NULL, 0);
    }
    rig_run_for(&b.rig, SL_NS_PER_S);
    uint64_t bytes_held = held(&b);
    client_stop_reading(b.c, false);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        if (i < SL_OPS_PENDING_MAX) {
            EXPECT(await_status(b.c, ids[i]) == SLUICE_OK);
        } else {
            expect_quota(b.c, ids[i], "the session's limit ops_pending of 16 is reached");
        }
    }
    EXPECT(bytes_held <= PAYLOAD_MOST + OPS_MOST + PAGES_MOST + OTHER_MOST);
    finish(&b, "pages", PAYLOAD_MOST + OPS_MOST + PAGES_MOST + OTHER_MOST);
}

/* A client may close everything at once and take the answers later: a Close of each handle has its
 * place. Who asks for more without taking anything has not. */
static void test_closes(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    sl_session_limits wishes = {.credit_operations = 16};
    uint64_t ends[CLOSES][2];
    uint64_t other[2];
    uint64_t ids[2 * CLOSES];
    sim_options_gentle(&sim, seed);
    rig_options options = {.sim = &sim};
    rig_open(&rig, &options);
    raw_client *c = client_open_with(&rig, &wishes);
    EXPECT(c != NULL);
    for (unsigned i = 0; i < CLOSES; i++) {
        EXPECT(call_pair(c, ends[i]) == SLUICE_OK);
    }
    client_stop_reading(c, true);
    (void)start_read(c, ends[0][0], FILL, true, 0);
    (void)start_write(c, ends[0][1], bytes, FILL, 0);
    rig_run_for(&rig, SL_NS_PER_S / 2);
    for (unsigned i = 0; i < 2 * CLOSES; i++) {
        ids[i] = start_close(c, ends[i / 2][i % 2]);
        rig_run_for(&rig, SL_NS_PER_MS);
    }
    rig_run_for(&rig, SL_NS_PER_S);
    EXPECT(rig_counters(&rig).handles == 0 && rig_counters(&rig).protocol_violations == 0);
    client_stop_reading(c, false);
    for (unsigned i = 0; i < 2 * CLOSES; i++) {
        EXPECT(await_status(c, ids[i]) == SLUICE_OK);
    }
    EXPECT(call_pair(c, other) == SLUICE_OK);
    client_stop_reading(c, true);
    (void)start_read(c, other[0], FILL, true, 0);
    (void)start_write(c, other[1], bytes, FILL, 0);
    for (unsigned i = 0; i < 2 * CLOSES; i++) { /* closed already: a refusal each */
        (void)start_close(c, ends[0][0]);
        rig_run_for(&rig, SL_NS_PER_MS);
    }
    EXPECT(rig_counters(&rig).protocol_violations == 1);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* Answers that take no credit: as many may wait as there are credits, Hello, a Ping and a Close;
 * one more, and the client breaks the protocol. That one is an operation that never began, also
 * when it is a write. */
static void test_refusals(uint64_t seed, bool by_write) {
    bounds_rig b;
    uint64_t ends[2];
    open_rig(&b, seed, RECEIVE);
    EXPECT(call_pair(b.c, ends) == SLUICE_OK);
    fill_up(&b, ends);
    for (unsigned i = 0; i <= OPERATIONS + BESIDES; i++) {
        EXPECT(rig_counters(&b.rig).protocol_violations == 0);
        sl_request ping = {.id = client_id(b.c), .kind = SL_REQUEST_PING};
        if (by_write && i == OPERATIONS + BESIDES) {
            ping.kind = SL_REQUEST_WRITE; /* of more than a write may have: refused */
            ping.as.write.handle = ends[1];
            ping.as.write.length_bytes = UINT32_MAX;
        }
        client_send(b.c, &ping, NULL, 0);
        if (i + 1 >= OPERATIONS + BESIDES) { /* look, each time */
            rig_run_for(&b.rig, SL_NS_PER_S);
        }
    }
    EXPECT(rig_counters(&b.rig).protocol_violations == 1);
    client_close(b.c);
    rig_await_empty(&b.rig);
    rig_close(&b.rig);
}

/* The end of a session with many operations is no pause for others: a wake ends a few of them. */
static void test_end(uint64_t seed) {
    bounds_rig b;
    uint64_t ends[2][2];
    open_rig(&b, seed, RECEIVE);
    raw_client *c = client_open(&b.rig);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(call_pair(c, ends[i]) == SLUICE_OK);
    }
    for (unsigned i = 0; i < MANY; i++) {
        (void)start_read(c, ends[i % 2][0], 1, true, i % 3 == 0 ? 60 * SL_NS_PER_S : 0);
    }
    uint64_t since = 0;
    while (rig_counters(&b.rig).operations < MANY) {
        rig_wait(&b.rig, &since);
    }
    client_hang_up(c);
    uint64_t left = MANY;
    since = 0;
    while (left > 0) {
        rig_wait(&b.rig, &since);
        uint64_t now = rig_counters(&b.rig).operations;
        EXPECT(left - now <= ENDS_MOST);
        left = now;
    }
    client_close(c);
    client_close(b.c);
    rig_await_empty(&b.rig);
    rig_close(&b.rig);
}

/* Nor are many frames at once: a wake acts on a share of them. */
static void test_burst(uint64_t seed) {
    static uint8_t burst[BURST * SL_REQUEST_BYTES_MAX];
    bounds_rig b;
    size_t length = 0;
    open_rig(&b, seed, RECEIVE);
    for (unsigned i = 0; i < BURST; i++) {
        size_t header;
        sl_request ping = {.id = client_id(b.c), .kind = SL_REQUEST_PING};
        EXPECT(sl_request_encode(&ping, 0, burst + length, SL_REQUEST_BYTES_MAX, &header) ==
               SLUICE_OK);
        length += header;
    }
    uint64_t ended = rig_counters(&b.rig).operations_finished;
    uint64_t last = ended + BURST;
    uint64_t since = 0;
    client_send_bytes(b.c, burst, length);
    while (ended < last) {
        rig_wait(&b.rig, &since);
        uint64_t now = rig_counters(&b.rig).operations_finished;
        EXPECT(now - ended <= FRAMES_MOST);
        ended = now;
    }
    client_close(b.c);
    rig_await_empty(&b.rig);
    rig_close(&b.rig);
}

/* Connections that were busy cost little when they are not any more. */
static void test_quiet(uint64_t seed) {
    bounds_rig b;
    raw_client *crowd[CROWD];
    raw_reply reply;
    uint64_t ends[CROWD][2];
    uint64_t writes[CROWD];
    uint64_t done;
    open_rig(&b, seed, RECEIVE);
    b.before = rig_counters(&b.rig).memory_bytes;
    for (unsigned i = 0; i < CROWD; i++) { /* all at the same time */
        crowd[i] = client_open(&b.rig);
        EXPECT(call_pair(crowd[i], ends[i]) == SLUICE_OK);
        writes[i] = start_write(crowd[i], ends[i][1], bytes, CREDIT / 2, 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        EXPECT(call_read(crowd[i], ends[i][0], CREDIT / 2, true, bytes, &done) == SLUICE_OK);
        EXPECT(await_status(crowd[i], writes[i]) == SLUICE_OK);
    }
    for (unsigned i = 0; i < CROWD * QUIET; i++) {
        EXPECT(call_plain(crowd[i % CROWD], SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    }
    EXPECT(held(&b) <= CROWD * QUIET_MOST + POOL_MOST);
    for (unsigned i = 0; i < CROWD; i++) {
        client_close(crowd[i]);
    }
    client_close(b.c);
    rig_await_empty(&b.rig);
    rig_close(&b.rig);
}

int main(void) {
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 + (i >> 9));
    }
    for (uint64_t seed = 1; seed <= 4; seed++) {
        test_payloads(seed);
        test_replies(seed);
        test_pages(seed);
        test_closes(seed);
        test_refusals(seed, false);
        test_refusals(seed, true);
        test_end(seed);
        test_burst(seed);
        test_quiet(seed);
    }
    puts("ok");
    return 0;
}
