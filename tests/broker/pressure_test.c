/*
 * pressure_test.c - sessions of a user who has all the memory that it may have: data goes on
 * flowing through the handles that are open, in small pieces, nothing is lost, nobody is stuck for
 * ever, and when there is memory again everything is as before. On the simulator.
 */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tests/broker/share.h"

#define STREAM     200000u
#define READS      800u
#define READ_BYTES 1000u

/* Data goes on flowing through handles that are open, in small pieces. */
static void test_flow(uint64_t seed) {
    share_rig s;
    uint64_t ends[2];
    uint64_t flow[2];
    share_open(&s, seed);
    raw_client *greedy = share_client(&s, ALICE);
    raw_client *c = share_client(&s, ALICE);
    EXPECT(call_pair(greedy, ends) == SLUICE_OK && call_pair(c, flow) == SLUICE_OK);
    uint64_t write = start_write(c, flow[1], share_pattern, STREAM, 0);
    rig_run_for(&s.rig, SL_NS_PER_S);
    (void)share_fill(greedy, ends, USER_LIMIT);
    (void)share_fill(c, flow, USER_LIMIT); /* what its own batches leave */
    raw_reply reply;
    for (uint32_t at = 0; at < STREAM; at += (uint32_t)reply.done) {
        uint64_t id = start_read(c, flow[0], PART, false, 0);
        EXPECT(client_await(c, id, &reply));
        if (reply.status == SLUICE_EQUOTA) { /* not even the operation */
            reply.done = 0;
            EXPECT(call_close(greedy, ends[0]) == SLUICE_OK);
            continue;
        }
        EXPECT(reply.status == SLUICE_OK && reply.done > 0);
        uint32_t count = (uint32_t)reply.done < STREAM - at ? (uint32_t)reply.done : STREAM - at;
        EXPECT(memcmp(reply.payload, share_pattern + at, count) == 0);
        reply_free(&reply);
    }
    EXPECT(await_status(c, write) == SLUICE_OK);
    client_close(greedy);
    client_close(c);
    share_close(&s);
}

/* A handle whose smallest buffer is in a reply that has not gone out waits for it, and goes on when
 * the client reads: no byte is lost, and the reads end in their order. */
static void test_starving(uint64_t seed) {
    share_rig s;
    char address[SL_ADDRESS_BYTES];
    raw_reply reply;
    uint64_t ends[2];
    uint64_t reads[READS];
    uint64_t accept;
    share_open(&s, seed);
    raw_client *bob = share_client(&s, BOB);
    raw_client *greedy = share_client(&s, ALICE);
    raw_client *c = share_client(&s, ALICE);
    rig_pipe_address(&s.rig, address, sizeof(address));
    EXPECT(call_address(bob, SL_REQUEST_LISTEN, address, &reply) == SLUICE_OK);
    sl_request request = {.id = client_id(bob), .kind = SL_REQUEST_ACCEPT};
    request.as.accept.listener = reply.opened[0];
    accept = request.id;
    client_send(bob, &request, NULL, 0);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, address, &reply) == SLUICE_OK);
    uint64_t near_end = reply.opened[0];
    EXPECT(client_await(bob, accept, &reply) && reply.status == SLUICE_OK);
    uint64_t far_end = reply.opened[0];
    for (unsigned i = 0; i < READS; i++) {
        reads[i] = start_read(c, near_end, READ_BYTES, false, 0);
    }
    EXPECT(call_pair(greedy, ends) == SLUICE_OK);
    (void)share_fill(greedy, ends, USER_LIMIT);
    client_stop_reading(c, true);
    uint64_t write = start_write(bob, far_end, share_pattern, READS * READ_BYTES, 0);
    rig_run_for(&s.rig, SL_NS_PER_S);
    EXPECT(!client_has(bob, write));
    client_stop_reading(c, false);
    uint64_t took = 0;
    for (unsigned i = 0; i < READS && took < READS * READ_BYTES; i++) {
        EXPECT(client_await(c, reads[i], &reply) && reply.status == SLUICE_OK && reply.done > 0);
        EXPECT(memcmp(reply.payload, share_pattern + took, reply.done) == 0);
        took += reply.done;
        reply_free(&reply);
    }
    EXPECT(took > READS * READ_BYTES / 2);
    share_expect_alive(c);
    client_close(c);
    client_close(greedy);
    client_close(bob);
    share_close(&s);
}

/* ---- at the limit, by chance ----------------------------------------------------------------- */

#define PIPES  6u
#define PUSHED 3u /* sessions */
#define STEPS  600u
#define LONGER 70000u /* than a frame, and than an input buffer that is small */

typedef struct push_pipe {
    uint64_t ends[2];
    uint64_t write; /* under way; 0 = none */
    uint64_t read;
    uint32_t length; /* of the write */
    uint64_t
        wrote; /* bytes that are sure to arrive: the stream is the share_pattern, again and again */
    uint64_t took;
} push_pipe;

typedef struct push {
    raw_client *client;
    push_pipe pipes[PIPES];
} push;

static void look_at_write(push *p, push_pipe *pipe) {
    raw_reply reply;
    if (pipe->write != 0 && client_has(p->client, pipe->write)) {
        EXPECT(client_await(p->client, pipe->write, &reply));
        EXPECT(reply.status == SLUICE_OK || reply.status == SLUICE_EQUOTA);
        EXPECT(reply.status == SLUICE_OK || strcmp(reply.detail, USER_LIMIT) == 0);
        pipe->wrote += reply.status == SLUICE_OK ? pipe->length : 0;
        pipe->write = 0;
    }
}

static void look_at_read(push *p, push_pipe *pipe) {
    raw_reply reply;
    if (pipe->read != 0 && client_has(p->client, pipe->read)) {
        EXPECT(client_await(p->client, pipe->read, &reply));
        EXPECT(reply.status == SLUICE_OK || reply.status == SLUICE_EQUOTA ||
               reply.status == SLUICE_ECANCELED);
        EXPECT(reply.length == reply.done);
        for (uint64_t i = 0; i < reply.done; i++) {
            EXPECT(reply.payload[i] == share_pattern[(pipe->took + i) % sizeof(share_pattern)]);
        }
        pipe->took += reply.done;
        pipe->read = 0;
        reply_free(&reply);
    }
}

static void start_some_write(push *p, push_pipe *pipe, uint32_t length) {
    static uint8_t bytes[LONGER];
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = share_pattern[(pipe->wrote + i) % sizeof(share_pattern)];
    }
    pipe->length = length;
    pipe->write = start_write(p->client, pipe->ends[1], bytes, length, 0);
}

static void act(push *p, sl_random_seeded *random) {
    push_pipe *pipe = &p->pipes[sl_random_seeded_below(random, PIPES)];
    look_at_write(p, pipe);
    look_at_read(p, pipe);
    switch (sl_random_seeded_below(random, 8)) {
    case 0:
    case 1:
    case 2:
        if (pipe->write == 0) {
            start_some_write(
                p, pipe,
                1 + sl_random_seeded_below(random,
                                           sl_random_seeded_below(random, 3) == 0 ? LONGER : 400));
        }
        break;
    case 3:
    case 4:
    case 5:
        if (pipe->read == 0) {
            bool is_all = sl_random_seeded_below(random, 4) == 0;
            pipe->read = start_read(p->client, pipe->ends[0],
                                    1 + sl_random_seeded_below(random, LONGER), is_all, 0);
        }
        break;
    case 6:
        if (pipe->read != 0) {
            send_cancel(p->client, pipe->read);
        }
        break;
    default: client_stop_reading(p->client, sl_random_seeded_below(random, 2) == 0); break;
    }
}

/* Whatever waits can go on, now that there is memory: all bytes come, in order, nothing else. */
static void finish_all(test_rig *rig, push *p) {
    uint64_t since_ns = 0;
    client_stop_reading(p->client, false);
    for (unsigned i = 0; i < PIPES; i++) {
        push_pipe *pipe = &p->pipes[i];
        while (pipe->write != 0 || pipe->took < pipe->wrote) {
            if (pipe->read != 0) { /* it may want more than there is */
                send_cancel(p->client, pipe->read);
            } else {
                pipe->read = start_read(p->client, pipe->ends[0], LONGER, false, 0);
            }
            rig_wait(rig, &since_ns);
            look_at_read(p, pipe);
            look_at_write(p, pipe);
        }
        EXPECT(pipe->took == pipe->wrote);
        if (pipe->read != 0) {
            EXPECT(call_close(p->client, pipe->ends[0]) == SLUICE_OK);
            EXPECT(await_status(p->client, pipe->read) != SLUICE_EBROKERLOST);
        }
    }
    share_expect_alive(p->client);
    share_use(p->client);
}

static void test_pressure(uint64_t seed) {
    static push all[PUSHED];
    share_rig s;
    sl_random_seeded random;
    raw_reply reply;
    uint64_t ends[2];
    share_open(&s, seed);
    sl_random_seeded_init(&random, seed);
    raw_client *greedy = share_client(&s, ALICE);
    for (unsigned i = 0; i < PUSHED; i++) {
        memset(&all[i], 0, sizeof(all[i]));
        all[i].client = share_client(&s, ALICE);
        for (unsigned k = 0; k < PIPES; k++) {
            EXPECT(call_pair(all[i].client, all[i].pipes[k].ends) == SLUICE_OK);
        }
    }
    for (unsigned round = 0; round < 4; round++) {
        EXPECT(call_pair(greedy, ends) == SLUICE_OK);
        (void)share_fill(greedy, ends, USER_LIMIT);
        for (unsigned i = 0; i < STEPS; i++) {
            act(&all[sl_random_seeded_below(&random, PUSHED)], &random);
            if (sl_random_seeded_below(&random, 3) == 0) {
                rig_run_for(&s.rig, sl_random_seeded_below(&random, 3 * SL_NS_PER_MS));
            }
        }
        EXPECT(call_plain(greedy, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
        EXPECT(call_close(greedy, ends[1]) == SLUICE_OK);
        EXPECT(call_close(greedy, ends[0]) == SLUICE_OK);
    }
    EXPECT(rig_counters(&s.rig).protocol_violations == 0);
    for (unsigned i = 0; i < PUSHED; i++) {
        finish_all(&s.rig, &all[i]);
        client_close(all[i].client);
    }
    client_close(greedy);
    share_close(&s);
}

int main(void) {
    share_fill_pattern();
    for (uint64_t seed = 1; seed <= 6; seed++) {
        test_flow(seed);
        test_starving(seed);
        test_pressure(seed);
    }
    puts("ok");
    return 0;
}
