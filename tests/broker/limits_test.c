/*
 * limits_test.c - other limits than the defaults, on the simulator and on the platform's own
 * engine: each is met exactly, answered EQUOTA beyond, and usable again after; small buffers lose
 * nothing.
 */
#include <stdio.h>
#include <string.h>

#include "tests/broker/rig.h"

#define HASTY        100u /* more than OPERATIONS */
#define OPERATIONS   16u
#define PAYLOAD      65536u
#define CREDIT_BYTES (1u << 20)
#define HANDLES      16u
#define SESSIONS     4u
#define STREAM       (1u << 20)
#define DESCRIPTORS  256u
#define CLIENTS_KEPT 24u /* that connect, two descriptors each, and still open a pair */
#define PAIRS_LEAST  60u /* what is left for the greedy one beside them */

static uint8_t pattern[STREAM];

static void small_limits(sl_limits *ret_limits) {
    sl_limits_default(ret_limits);
    ret_limits->control_bytes = 4096;
    ret_limits->fragment_bytes = 4096;
    ret_limits->payload_bytes = PAYLOAD;
    ret_limits->stream_chunk_bytes = 4096;
    ret_limits->receive_buffer_bytes = 4096;
    ret_limits->idle_buffer_bytes = 0;
    ret_limits->credit_operations = OPERATIONS;
    ret_limits->credit_bytes = CREDIT_BYTES;
    ret_limits->handles = HANDLES;
    ret_limits->sessions = SESSIONS;
}

static void test_operations(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t ids[OPERATIONS];
    uint64_t done;
    raw_reply reply;
    EXPECT(client_limits(c)->credit_operations == OPERATIONS);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        ids[i] = start_read(c, ends[0], 1, false, 0);
    }
    for (unsigned i = 0; i < 3; i++) { /* a refusal takes nothing */
        uint64_t refused = start_read(c, ends[0], 1, false, 0);
        expect_quota(c, refused, "the session's limit credit_operations of 16 is reached");
        EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_EQUOTA);
        EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK); /* takes no credit */
    }
    send_cancel(c, ids[3]);
    EXPECT(await_status(c, ids[3]) == SLUICE_ECANCELED);
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_OK);
    EXPECT(await_status(c, ids[0]) == SLUICE_OK);
    EXPECT(call_close(c, ends[0]) == SLUICE_OK);
    for (unsigned i = 1; i < OPERATIONS; i++) {
        EXPECT(i == 3 || await_status(c, ids[i]) == SLUICE_ECLOSED);
    }
    EXPECT(call_pair(c, ends) == SLUICE_OK && call_write(c, ends[1], "again", 5) == SLUICE_OK);
    EXPECT(call_read(c, ends[0], 5, true, "again", &done) == SLUICE_OK && done == 5);
    client_close(c);
}

/* Where there are more operations than bytes. */
static void test_bytes(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t ids[CREDIT_BYTES / PAYLOAD];
    const unsigned count = CREDIT_BYTES / PAYLOAD;
    EXPECT(client_limits(c)->credit_operations > count + 2);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(await_status(c, start_read(c, ends[0], PAYLOAD + 1, false, 0)) == SLUICE_EINVAL);
    for (unsigned i = 0; i < count; i++) {
        ids[i] = start_read(c, ends[0], i == 0 ? PAYLOAD - 1 : PAYLOAD, false, 0);
    }
    expect_quota(c, start_read(c, ends[0], 2, false, 0),
                 "the session's limit credit_bytes of 1 MiB is reached");
    uint64_t last = start_read(c, ends[0], 1, false, 0); /* the whole credit, exactly */
    EXPECT(await_status(c, start_read(c, ends[0], 1, false, 0)) == SLUICE_EQUOTA);
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_EQUOTA);
    uint64_t probe = start_read(c, ends[0], 0, false, 0); /* no bytes, no credit */
    send_cancel(c, ids[1]);
    EXPECT(await_status(c, ids[1]) == SLUICE_ECANCELED);
    EXPECT(call_write(c, ends[1], pattern, PAYLOAD) == SLUICE_OK);
    EXPECT(await_status(c, ids[0]) == SLUICE_OK);
    EXPECT(call_close(c, ends[0]) == SLUICE_OK);
    ids[0] = last;
    ids[1] = probe;
    for (unsigned i = 0; i < count; i++) { /* the bytes came in pieces, for some of them */
        int status = await_status(c, ids[i]);
        EXPECT(status == SLUICE_OK || status == SLUICE_ECLOSED);
    }
    client_close(c);
}

/* A client's own wishes hold for its session, within the table and the broker's limits. */
static void test_wishes(test_rig *rig) {
    sl_session_limits wishes = {.credit_operations = 20, .handles = 1, .credit_bytes = 1};
    raw_client *c = client_open_with(rig, &wishes);
    uint64_t ends[2];
    uint64_t ids[20];
    EXPECT(c != NULL && client_limits(c)->credit_operations == 20);
    EXPECT(client_limits(c)->handles == HANDLES && client_limits(c)->credit_bytes == CREDIT_BYTES);
    EXPECT(client_limits(c)->payload_bytes == PAYLOAD && client_limits(c)->fragment_bytes == 4096);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    for (unsigned i = 0; i < 20; i++) {
        ids[i] = start_read(c, ends[0], 1, false, 0);
    }
    expect_quota(c, start_write(c, ends[1], "x", 1, 0),
                 "the session's limit credit_operations of 20 is reached"); /* its own */
    EXPECT(call_close(c, ends[1]) == SLUICE_OK);
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(await_status(c, ids[i]) == SLUICE_EEOF);
    }
    client_close(c);
}

static void test_handles(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[HANDLES / 2][2];
    uint64_t other[2];
    raw_reply reply;
    for (unsigned i = 0; i < HANDLES / 2; i++) {
        EXPECT(call_pair(c, ends[i]) == SLUICE_OK);
    }
    expect_quota_of(c, SL_REQUEST_PAIR, "the session's limit handles of 16 is reached");
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &reply) == SLUICE_EQUOTA);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, "tcp:127.0.0.1:9", &reply) == SLUICE_EQUOTA);
    EXPECT(call_close(c, ends[0][0]) == SLUICE_OK);
    EXPECT(call_pair(c, other) == SLUICE_EQUOTA); /* two are needed */
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &reply) == SLUICE_OK);
    uint64_t listener = reply.opened[0];
    EXPECT(call_plain(c, SL_REQUEST_ACCEPT, listener, &reply) == SLUICE_EQUOTA);
    EXPECT(call_close(c, listener) == SLUICE_OK && call_close(c, ends[0][1]) == SLUICE_OK);
    EXPECT(call_pair(c, other) == SLUICE_OK);
    EXPECT(call_pair(c, ends[0]) == SLUICE_EQUOTA);
    client_close(c);
}

/* Opens that time out, more of them than the session has credit: each gives back what it held, at
 * once, whatever its look-up still does. */
static void test_hasty_opens(test_rig *rig) {
    raw_client *c = client_open(rig);
    raw_reply reply;
    uint64_t since = 0;
    for (unsigned i = 0; i < HASTY; i++) {
        sl_request listen = {.id = client_id(c), .kind = SL_REQUEST_LISTEN};
        listen.as.listen.address = "tcp:localhost:0";
        listen.as.listen.timeout_ns = 1;
        client_send(c, &listen, NULL, 0);
        EXPECT(client_await(c, listen.id, &reply));
        if (reply.status == SLUICE_OK) { /* it was faster */
            EXPECT(call_close(c, reply.opened[0]) == SLUICE_OK);
        } else if (reply.status == SLUICE_EQUOTA) { /* so many look-ups are still being made */
            EXPECT(strcmp(reply.detail, "this user's limit opens_given_up of 8 is reached") == 0);
            while (rig_counters(rig).opens_given_up != 0) {
                rig_wait(rig, &since);
            }
        } else {
            EXPECT(reply.status == SLUICE_ETIMEDOUT);
        }
        EXPECT(rig_counters(rig).zombies == 0);
    }
    since = 0;
    while (rig_counters(rig).opens_given_up != 0) {
        rig_wait(rig, &since);
    }
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:localhost:0", &reply) == SLUICE_OK);
    EXPECT(call_close(c, reply.opened[0]) == SLUICE_OK);
    client_close(c);
}

static void test_sessions(test_rig *rig) {
    raw_client *clients[SESSIONS];
    raw_reply reply;
    rig_await_empty(rig);
    for (unsigned i = 0; i < SESSIONS; i++) {
        clients[i] = client_open(rig);
    }
    EXPECT(client_open_with(rig, NULL) == NULL);
    EXPECT(call_plain(clients[0], SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    client_close(clients[1]);
    rig_await_sessions(rig, SESSIONS - 1);
    clients[1] = client_open_with(rig, NULL);
    EXPECT(clients[1] != NULL);
    for (unsigned i = 0; i < SESSIONS; i++) {
        client_close(clients[i]);
    }
}

/* Few descriptors: a session that takes all it can get leaves enough for new connections, and for
 * what these need; listeners count for more. */
static void test_descriptors(test_rig *rig) {
    raw_client *greedy = client_open(rig);
    raw_client *others[CLIENTS_KEPT];
    raw_reply reply;
    uint64_t ends[DESCRIPTORS][2];
    uint32_t count = 0;
    int status;
    while ((status = call_pair(greedy, ends[count])) == SLUICE_OK) {
        count++;
        EXPECT(count < DESCRIPTORS / 2);
    }
    EXPECT(status == SLUICE_EQUOTA && count >= PAIRS_LEAST);
    for (uint32_t i = 0; i < CLIENTS_KEPT; i++) {
        others[i] = client_open(rig);
    }
    expect_quota_of(greedy, SL_REQUEST_PAIR, "the broker's limit descriptors of 256 is reached");
    EXPECT(call_pair(others[0], ends[count]) == SLUICE_OK);
    EXPECT(call_close(others[0], ends[count][0]) == SLUICE_OK);
    EXPECT(call_close(others[0], ends[count][1]) == SLUICE_OK);
    EXPECT(call_pair(greedy, ends[count]) == SLUICE_EQUOTA);
    for (uint32_t i = 0; i < CLIENTS_KEPT; i++) {
        EXPECT(call_plain(others[i], SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
        client_close(others[i]);
    }
    rig_await_sessions(rig, 1);
    EXPECT(call_close(greedy, ends[0][0]) == SLUICE_OK);
    EXPECT(call_close(greedy, ends[0][1]) == SLUICE_OK);
    EXPECT(call_pair(greedy, ends[0]) == SLUICE_OK); /* as many as were given back */
    EXPECT(call_pair(greedy, ends[count]) == SLUICE_EQUOTA);
    client_close(greedy);
    rig_await_empty(rig);
    greedy = client_open(rig);
    for (uint32_t i = 0; i < count; i++) { /* all were */
        EXPECT(call_pair(greedy, ends[i]) == SLUICE_OK);
    }
    EXPECT(call_pair(greedy, ends[count]) == SLUICE_EQUOTA);
    client_close(greedy);
}

/* Through the smallest buffers, in pieces of all sizes. */
static void test_stream(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint32_t in = 0;
    uint32_t out = 0;
    uint32_t size = 1;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    while (in < STREAM) {
        size = size * 5 % (PAYLOAD - 1) + 1;
        uint32_t count = STREAM - in < size ? STREAM - in : size;
        uint64_t write = start_write(c, ends[1], pattern + in, count, 0);
        in += count;
        while (out < in) {
            raw_reply reply;
            bool all = size % 2 == 0;
            uint64_t read = start_read(c, ends[0], in - out, all, 0);
            EXPECT(client_await(c, read, &reply) && reply.status == SLUICE_OK);
            EXPECT(reply.done > 0 && (!all || reply.done == in - out));
            EXPECT(memcmp(reply.payload, pattern + out, reply.done) == 0);
            out += (uint32_t)reply.done;
            reply_free(&reply);
        }
        EXPECT(await_status(c, write) == SLUICE_OK);
    }
    client_close(c);
}

static void run_all(const sim_options *sim) {
    test_rig rig;
    sl_limits limits;
    rig_options options = {.sim = sim, .worker_count = 2, .limits = &limits};
    small_limits(&limits);
    rig_open(&rig, &options);
    test_operations(&rig);
    test_handles(&rig);
    test_hasty_opens(&rig);
    test_sessions(&rig);
    test_stream(&rig);
    rig_await_empty(&rig);
    rig_close(&rig);
    limits.credit_operations = 64;
    limits.idle_buffer_bytes = 4096;
    rig_open(&rig, &options);
    test_bytes(&rig);
    test_wishes(&rig);
    test_stream(&rig);
    rig_await_empty(&rig);
    rig_close(&rig);
    sl_limits_default(&limits);
    options.descriptors = DESCRIPTORS;
    rig_open(&rig, &options);
    test_descriptors(&rig);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(void) {
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (uint8_t)(i * 31 + (i >> 9));
    }
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        run_all(&sim);
    }
    run_all(NULL);
    puts("ok");
    return 0;
}
