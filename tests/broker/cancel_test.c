/*
 * cancel_test.c - cancels that race with what arrives, between sessions of different workers: no
 * byte of a stream is lost, doubled or out of order, whatever was cancelled; and each connection
 * arrives exactly once. Each outcome has to occur. On the platform's own engine, and a share of it
 * on the simulator. `cancel_test RACES`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/broker/rig.h"

#define RACES       100000u
#define SIM_SHARE   20u /* the simulator gets so much less */
#define BATCH       32u
#define READ_BYTES  48u
#define FLOW_BYTES  (16u << 10) /* as much is under way at a time */
#define WRITE_BYTES 400u
#define CONNECTS    8u
#define BACKLOG     16u

typedef struct outcomes {
    unsigned races;
    unsigned whole;     /* OK: the cancel came too late */
    unsigned cancelled; /* nothing taken */
    unsigned partial;   /* a read of `all` that brings what it had */
} outcomes;

static uint8_t byte_at(uint64_t place) {
    return (uint8_t)(place * 131 + (place >> 7));
}

/* A listener of `far` and a connection to it from `near`. */
static void connect_two(raw_client *near, raw_client *far, uint64_t ret_ends[2]) {
    raw_reply reply;
    EXPECT(call_address(far, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &reply) == SLUICE_OK);
    uint64_t listener = reply.opened[0];
    EXPECT(call_address(near, SL_REQUEST_CONNECT, reply.local_address, &reply) == SLUICE_OK);
    ret_ends[0] = reply.opened[0];
    EXPECT(call_plain(far, SL_REQUEST_ACCEPT, listener, &reply) == SLUICE_OK);
    ret_ends[1] = reply.opened[0];
    EXPECT(call_close(far, listener) == SLUICE_OK);
}

/* Requests in one write, so that the broker meets them together. */
typedef struct batch {
    uint8_t bytes[2 * BATCH * 64];
    size_t length;
} batch;

static void add(batch *b, const sl_request *request) {
    size_t length;
    EXPECT(sl_request_encode(request, 0, b->bytes + b->length, sizeof(b->bytes) - b->length,
                             &length) == SLUICE_OK);
    b->length += length;
}

static void add_cancel(batch *b, uint64_t id) {
    sl_request request = {.kind = SL_REQUEST_CANCEL};
    request.as.cancel.target_id = id;
    add(b, &request);
}

/* ---- reads ---- */

typedef struct stream {
    test_rig *rig;
    raw_client *writer;
    raw_client *reader;
    uint64_t ends[2]; /* the writer's, the reader's */
    uint64_t written;
    uint64_t taken;
    uint64_t write_id; /* under way; 0 = none */
} stream;

static void write_on(stream *s, sl_random_seeded *random) {
    uint8_t bytes[WRITE_BYTES];
    if (s->write_id != 0 && client_has(s->writer, s->write_id)) {
        EXPECT(await_status(s->writer, s->write_id) == SLUICE_OK);
        s->write_id = 0;
    }
    if (s->write_id == 0 && s->written - s->taken < FLOW_BYTES) {
        uint32_t length = 1 + sl_random_seeded_below(random, WRITE_BYTES);
        for (uint32_t i = 0; i < length; i++) {
            bytes[i] = byte_at(s->written + i);
        }
        s->written += length;
        s->write_id = start_write(s->writer, s->ends[0], bytes, length, 0);
    }
}

static void take(stream *s, uint64_t id, outcomes *sum) {
    raw_reply reply;
    EXPECT(client_await(s->reader, id, &reply));
    EXPECT(reply.status == SLUICE_OK || reply.status == SLUICE_ECANCELED);
    EXPECT(reply.length == reply.done && (reply.status != SLUICE_OK || reply.done > 0));
    for (size_t i = 0; i < reply.length; i++) {
        EXPECT(reply.payload[i] == byte_at(s->taken + i));
    }
    s->taken += reply.done;
    EXPECT(s->taken <= s->written);
    sum->races++;
    sum->whole += reply.status == SLUICE_OK;
    sum->cancelled += reply.status == SLUICE_ECANCELED && reply.done == 0;
    sum->partial += reply.status == SLUICE_ECANCELED && reply.done > 0;
    reply_free(&reply);
}

/* Each read is followed by its cancel: at once, behind other reads, or a moment later. */
static void race_batch(stream *s, sl_random_seeded *random, outcomes *sum) {
    uint64_t ids[BATCH];
    batch b = {.length = 0};
    batch late = {.length = 0};
    for (unsigned i = 0; i < BATCH; i++) {
        sl_request read = {.id = client_id(s->reader), .kind = SL_REQUEST_READ};
        read.as.read.handle = s->ends[1];
        read.as.read.max_bytes = 1 + sl_random_seeded_below(random, READ_BYTES);
        read.as.read.all = sl_random_seeded_below(random, 2) == 0;
        ids[i] = read.id;
        add(&b, &read);
        if (sl_random_seeded_below(random, 2) == 0) {
            add_cancel(&b, read.id);
        } else {
            add_cancel(&late, read.id);
        }
    }
    write_on(s, random);
    client_send_bytes(s->reader, b.bytes, b.length);
    if (sl_random_seeded_below(random, 2) == 0) {
        write_on(s, random);
        rig_step(s->rig);
    }
    if (late.length > 0) {
        client_send_bytes(s->reader, late.bytes, late.length);
    }
    for (unsigned i = 0; i < BATCH; i++) {
        take(s, ids[i], sum);
    }
}

static void test_reads(const sim_options *sim, unsigned races, outcomes *sum) {
    test_rig rig;
    sl_random_seeded random;
    uint64_t done;
    rig_options options = {.sim = sim, .worker_count = 2};
    rig_open(&rig, &options);
    sl_random_seeded_init(&random, sim != NULL ? sim->seed : 1);
    stream s = {.rig = &rig, .writer = client_open(&rig), .reader = client_open(&rig)};
    connect_two(s.writer, s.reader, s.ends);
    for (unsigned first = sum->races; sum->races - first < races;) {
        race_batch(&s, &random, sum);
    }
    if (s.write_id != 0) {
        EXPECT(await_status(s.writer, s.write_id) == SLUICE_OK);
    }
    EXPECT(call_close(s.writer, s.ends[0]) == SLUICE_OK);
    while (s.taken < s.written) { /* what no read took is still there */
        raw_reply reply;
        uint64_t rest = start_read(s.reader, s.ends[1], WRITE_BYTES, false, 0);
        EXPECT(client_await(s.reader, rest, &reply) && reply.status == SLUICE_OK);
        for (size_t i = 0; i < reply.length; i++) {
            EXPECT(reply.payload[i] == byte_at(s.taken + i));
        }
        s.taken += reply.done;
        reply_free(&reply);
    }
    EXPECT(s.taken == s.written);
    EXPECT(call_read(s.reader, s.ends[1], 1, false, NULL, &done) == SLUICE_EEOF);
    client_close(s.writer);
    client_close(s.reader);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* ---- accepts ---- */

typedef struct crowd {
    test_rig *rig;
    raw_client *caller;
    raw_client *host;
    uint64_t listener;
    char address[SL_ADDRESS_BYTES + 1];
    uint64_t connects[CONNECTS]; /* ids under way; 0 = none */
    uint32_t connected;          /* so many have said their number */
    uint32_t heard;
    uint8_t *seen; /* by number */
    uint32_t seen_size;
} crowd;

/* A connection that has come about says its number, once. */
static void introduce(crowd *c, uint64_t handle) {
    uint32_t number = c->connected++;
    EXPECT(number < c->seen_size);
    EXPECT(call_write(c->caller, handle, &number, sizeof(number)) == SLUICE_OK);
}

static void call_on(crowd *c) {
    for (unsigned i = 0; i < CONNECTS; i++) {
        raw_reply reply;
        if (c->connects[i] != 0 && client_has(c->caller, c->connects[i])) {
            EXPECT(client_await(c->caller, c->connects[i], &reply));
            EXPECT(reply.status == SLUICE_OK);
            introduce(c, reply.opened[0]);
            EXPECT(call_close(c->caller, reply.opened[0]) == SLUICE_OK);
            c->connects[i] = 0;
        }
        if (c->connects[i] == 0 && c->connected + CONNECTS < c->seen_size) {
            sl_request connect = {.id = client_id(c->caller), .kind = SL_REQUEST_CONNECT};
            connect.as.connect.address = c->address;
            client_send(c->caller, &connect, NULL, 0);
            c->connects[i] = connect.id;
        }
    }
}

static void hear(crowd *c, uint64_t handle) {
    raw_reply reply;
    uint32_t number;
    uint64_t read = start_read(c->host, handle, sizeof(number), true, 0);
    /* It may have been accepted before its other side knows. */
    uint64_t since_ns = 0;
    while (!client_has(c->host, read)) {
        call_on(c);
        rig_wait(c->rig, &since_ns);
    }
    EXPECT(client_await(c->host, read, &reply) && reply.status == SLUICE_OK);
    memcpy(&number, reply.payload, sizeof(number));
    EXPECT(number < c->connected && c->seen[number] == 0);
    c->seen[number] = 1;
    c->heard++;
    reply_free(&reply);
    EXPECT(call_close(c->host, handle) == SLUICE_OK);
}

static void accept_batch(crowd *c, sl_random_seeded *random, outcomes *sum) {
    uint64_t ids[BATCH];
    batch b = {.length = 0};
    batch late = {.length = 0};
    for (unsigned i = 0; i < BATCH; i++) {
        sl_request accept = {.id = client_id(c->host), .kind = SL_REQUEST_ACCEPT};
        accept.as.accept.listener = c->listener;
        ids[i] = accept.id;
        add(&b, &accept);
        add_cancel(sl_random_seeded_below(random, 2) == 0 ? &b : &late, accept.id);
    }
    call_on(c);
    client_send_bytes(c->host, b.bytes, b.length);
    if (sl_random_seeded_below(random, 2) == 0) {
        rig_step(c->rig);
    }
    if (late.length > 0) {
        client_send_bytes(c->host, late.bytes, late.length);
    }
    for (unsigned i = 0; i < BATCH; i++) {
        raw_reply reply;
        EXPECT(client_await(c->host, ids[i], &reply));
        EXPECT(reply.status == SLUICE_OK || reply.status == SLUICE_ECANCELED);
        EXPECT(reply.opened_count == (reply.status == SLUICE_OK ? 1 : 0));
        sum->races++;
        sum->whole += reply.status == SLUICE_OK;
        sum->cancelled += reply.status == SLUICE_ECANCELED;
        if (reply.status == SLUICE_OK) {
            hear(c, reply.opened[0]);
        }
    }
}

static bool has_connects(const crowd *c) {
    for (unsigned i = 0; i < CONNECTS; i++) {
        if (c->connects[i] != 0) {
            return true;
        }
    }
    return false;
}

/* No more are made; each that was made arrives. */
static void collect_rest(crowd *c) {
    c->seen_size = c->connected + CONNECTS; /* stops call_on */
    while (has_connects(c) || c->heard < c->connected) {
        raw_reply reply;
        call_on(c);
        if (c->heard < c->connected || has_connects(c)) {
            EXPECT(call_plain(c->host, SL_REQUEST_ACCEPT, c->listener, &reply) == SLUICE_OK);
            hear(c, reply.opened[0]);
        }
    }
    uint64_t none = client_id(c->host);
    sl_request accept = {.id = none, .kind = SL_REQUEST_ACCEPT};
    accept.as.accept.listener = c->listener;
    accept.as.accept.timeout_ns = 20 * SL_NS_PER_MS;
    client_send(c->host, &accept, NULL, 0);
    EXPECT(await_status(c->host, none) == SLUICE_ETIMEDOUT);
}

static void test_accepts(const sim_options *sim, unsigned races, outcomes *sum) {
    test_rig rig;
    sl_random_seeded random;
    raw_reply reply;
    rig_options options = {.sim = sim, .worker_count = 2};
    rig_open(&rig, &options);
    sl_random_seeded_init(&random, sim != NULL ? sim->seed : 1);
    crowd c = {.rig = &rig, .caller = client_open(&rig), .host = client_open(&rig)};
    c.seen_size = races + CONNECTS;
    c.seen = calloc(1, c.seen_size);
    EXPECT(c.seen != NULL);
    rig_pipe_address(&rig, c.address, sizeof(c.address));
    sl_request listen = {.id = client_id(c.host), .kind = SL_REQUEST_LISTEN};
    listen.as.listen.address = c.address;
    listen.as.listen.backlog = BACKLOG;
    client_send(c.host, &listen, NULL, 0);
    EXPECT(client_await(c.host, listen.id, &reply) && reply.status == SLUICE_OK);
    c.listener = reply.opened[0];
    for (unsigned first = sum->races; sum->races - first < races;) {
        accept_batch(&c, &random, sum);
    }
    collect_rest(&c);
    free(c.seen);
    client_close(c.caller);
    client_close(c.host);
    rig_await_empty(&rig);
    rig_close(&rig);
}

static void tell(const char *what, const outcomes *sum) {
    printf("%s: %u races, %u were faster, %u cancelled, %u brought a part\n", what, sum->races,
           sum->whole, sum->cancelled, sum->partial);
    EXPECT(sum->whole > 0 && sum->cancelled > 0);
}

int main(int argc, char **argv) {
    unsigned races = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : RACES;
    outcomes sums[4];
    memset(sums, 0, sizeof(sums));
    for (uint64_t seed = 1; seed <= 5; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        test_reads(&sim, races / SIM_SHARE / 5, &sums[0]);
        test_accepts(&sim, races / SIM_SHARE / 5, &sums[1]);
    }
    test_reads(NULL, races, &sums[2]);
    test_accepts(NULL, races, &sums[3]);
    tell("reads, simulated", &sums[0]);
    tell("accepts, simulated", &sums[1]);
    tell("reads", &sums[2]);
    tell("accepts", &sums[3]);
    EXPECT(sums[0].partial > 0 && sums[2].partial > 0);
    puts("ok");
    return 0;
}
