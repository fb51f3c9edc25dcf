/*
 * stream_test.c - handles that are read as streams: what a StreamRead and a StreamCancel bring,
 * the end, what is a violation; and a flow of reads, tries and cancels of the library's own state
 * machine (client/stream/readers.h) against the broker, in which no byte is lost or doubled. On the
 * simulator and on the platform's own engine. `stream_test ROUNDS`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "client/stream/readers.h"
#include "tests/broker/rig.h"

#define ROUNDS 20000u

/* What came of a handle. */
typedef struct arrival {
    uint64_t handle;
    uint64_t count; /* Data */
    uint64_t bytes;
    unsigned stopped;
    unsigned empty; /* with nothing at all: an answer to notify */
    int status;
    uint8_t first[64];
} arrival;

static void on_data(void *user, uint64_t handle, const sl_stream_data *data,
                    const uint8_t *bytes) {
    arrival *a = user;
    EXPECT(handle == a->handle && data->at == a->bytes);
    EXPECT(a->status == SLUICE_OK || (data->length == 0 && data->status == SLUICE_OK));
    for (uint32_t i = 0; i < data->length && data->at + i < sizeof(a->first); i++) {
        a->first[data->at + i] = bytes[i];
    }
    a->count++;
    a->bytes += data->length;
    a->stopped += data->stopped;
    a->empty += data->length == 0 && data->status == SLUICE_OK && !data->stopped;
    a->status = data->status != SLUICE_OK ? data->status : a->status;
}

static void send_read(raw_client *client, uint64_t handle, uint64_t up_to, uint64_t taken,
                      bool notify) {
    sl_request request = {.kind = SL_REQUEST_STREAM_READ};
    request.as.stream_read.handle = handle;
    request.as.stream_read.read = (sl_stream_read){up_to, taken, notify};
    client_send(client, &request, NULL, 0);
}

static void send_stop(raw_client *client, uint64_t handle) {
    sl_request request = {.kind = SL_REQUEST_STREAM_CANCEL};
    request.as.stream_cancel.handle = handle;
    request.as.stream_cancel.direction = SL_STREAM_READING;
    client_send(client, &request, NULL, 0);
}

static void open_pair(raw_client *client, bool read_ahead, uint64_t ret_ends[2]) {
    sl_request request = {.id = client_id(client), .kind = SL_REQUEST_PAIR};
    raw_reply reply;
    request.as.pair.read_ahead = read_ahead;
    client_send(client, &request, NULL, 0);
    EXPECT(client_await(client, request.id, &reply) && reply.status == SLUICE_OK);
    ret_ends[0] = reply.opened[0];
    ret_ends[1] = reply.opened[1];
    reply_free(&reply);
}

/* A session that reads one pair. */
typedef struct bench {
    test_rig rig;
    raw_client *client;
    uint64_t ends[2];
    arrival got;
} bench;

static void set_up(bench *b, const sim_options *sim, bool read_ahead) {
    memset(b, 0, sizeof(*b));
    rig_open(&b->rig, &(rig_options){.sim = sim});
    b->client = client_open(&b->rig);
    client_on_data(b->client, on_data, &b->got);
    open_pair(b->client, read_ahead, b->ends);
    b->got.handle = b->ends[0];
}

static void tear_down(bench *b) {
    client_close(b->client);
    rig_await_empty(&b->rig);
    rig_close(&b->rig);
}

/* Whatever the broker had to say when this was sent has come. */
static void settle(bench *b) {
    for (unsigned i = 0; i < 8; i++) {
        raw_reply reply;
        EXPECT(call_plain(b->client, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    }
}

static void await_bytes(bench *b, uint64_t bytes) {
    uint64_t since_ns = 0;
    while (b->got.bytes < bytes) {
        rig_wait(&b->rig, &since_ns);
    }
    EXPECT(b->got.bytes == bytes);
}

static void await_stopped(bench *b, unsigned stopped) {
    uint64_t since_ns = 0;
    while (b->got.stopped < stopped) {
        rig_wait(&b->rig, &since_ns);
    }
    EXPECT(b->got.stopped == stopped);
}

static void await_end(bench *b, int status) {
    uint64_t since_ns = 0;
    while (b->got.status == SLUICE_OK) {
        rig_wait(&b->rig, &since_ns);
    }
    EXPECT(b->got.status == status);
}

/* ---- each rule ---- */

/* Without read-ahead: nothing unasked, no more than was asked, and a receive ends the grant. */
static void test_asked(const sim_options *sim) {
    bench b;
    set_up(&b, sim, false);
    EXPECT(call_write(b.client, b.ends[1], "abcdef", 6) == SLUICE_OK);
    settle(&b);
    EXPECT(b.got.count == 0);
    send_read(b.client, b.ends[0], 4, 0, false);
    await_bytes(&b, 4);
    EXPECT(memcmp(b.got.first, "abcd", 4) == 0);
    send_read(b.client, b.ends[0], 100, 4, false);
    await_bytes(&b, 6);
    EXPECT(call_write(b.client, b.ends[1], "gh", 2) == SLUICE_OK);
    settle(&b);
    EXPECT(b.got.bytes == 6);
    send_read(b.client, b.ends[0], 7, 6, false); /* less than the last one said */
    await_bytes(&b, 7);
    tear_down(&b);
}

/* With it: 4 KiB without a word, then what is granted; the end needs no grant. */
static void test_ahead(const sim_options *sim) {
    static uint8_t bytes[6000];
    bench b;
    set_up(&b, sim, true);
    EXPECT(call_write(b.client, b.ends[1], bytes, sizeof(bytes)) == SLUICE_OK);
    await_bytes(&b, 4096);
    settle(&b);
    EXPECT(b.got.bytes == 4096);
    send_read(b.client, b.ends[0], 70000, 4096, false);
    await_bytes(&b, 6000);
    EXPECT(call_close(b.client, b.ends[1]) == SLUICE_OK);
    await_end(&b, SLUICE_EEOF);
    send_read(b.client, b.ends[0], 80000, 6000, false); /* crossed the end */
    send_stop(b.client, b.ends[0]);
    await_stopped(&b, 1);
    tear_down(&b);
}

static void test_stop(const sim_options *sim) {
    bench b;
    set_up(&b, sim, false);
    /* A try: nothing is there. */
    send_read(b.client, b.ends[0], 8, 0, false);
    send_stop(b.client, b.ends[0]);
    await_stopped(&b, 1);
    EXPECT(b.got.bytes == 0);
    EXPECT(call_write(b.client, b.ends[1], "abc", 3) == SLUICE_OK);
    settle(&b);
    EXPECT(b.got.bytes == 0);
    /* A try: something is. */
    send_read(b.client, b.ends[0], 2, 0, false);
    send_stop(b.client, b.ends[0]);
    await_stopped(&b, 2);
    /* The simulated system may end a request by its cancel although bytes are there. */
    EXPECT(b.got.bytes == 2 || (sim != NULL && b.got.bytes == 0));
    /* A stop alone. */
    uint64_t had = b.got.bytes;
    send_stop(b.client, b.ends[0]);
    await_stopped(&b, 3);
    EXPECT(b.got.bytes == had);
    send_read(b.client, b.ends[0], 3, had, false);
    await_bytes(&b, 3);
    tear_down(&b);
}

static void test_notify(const sim_options *sim) {
    bench b;
    set_up(&b, sim, false);
    send_read(b.client, b.ends[0], 0, 0, true);
    settle(&b);
    EXPECT(b.got.count == 0);
    EXPECT(call_write(b.client, b.ends[1], "x", 1) == SLUICE_OK);
    uint64_t since_ns = 0;
    while (b.got.empty == 0) {
        rig_wait(&b.rig, &since_ns);
    }
    EXPECT(b.got.empty == 1 && b.got.bytes == 0);
    send_read(b.client, b.ends[0], 5, 0, false);
    await_bytes(&b, 1);
    tear_down(&b);
}

/* A handle is read in one way, and what no rule allows ends the session. */
static void test_violations(const sim_options *sim) {
    enum { UNKNOWN, WRITING, TOO_FAR, NOT_SENT, SHRINKS, TWICE, BY_REQUESTS, NO_STREAM, CASES };
    static const char *const words[CASES] = {
        "Request.stream_read.handle: not one that this session has open (12345)",
        "Request.stream_read.handle: cannot be read",
        "Read.up_to: is too far beyond taken (1048577)",
        "Read.taken: goes back, or beyond what was sent (1)",
        "Read.up_to: shrinks (4095)",
        "Cancel: the one before is not answered (0)",
        "stream_read: the handle is read by requests",
        "stream_cancel: nothing is read as a stream",
    };
    for (unsigned i = 0; i < CASES; i++) {
        bench b;
        set_up(&b, sim, i == SHRINKS);
        uint64_t id = 0;
        switch (i) {
        case UNKNOWN: send_read(b.client, 12345, 1, 0, false); break;
        case WRITING: send_read(b.client, b.ends[1], 1, 0, false); break;
        case TOO_FAR: send_read(b.client, b.ends[0], 1048577, 0, false); break;
        case NOT_SENT: send_read(b.client, b.ends[0], 1, 1, false); break;
        case SHRINKS: send_read(b.client, b.ends[0], 4095, 0, false); break;
        case TWICE: {
            uint8_t twice[2 * SL_REQUEST_BYTES_MAX];
            size_t length = 0;
            sl_request request = {.kind = SL_REQUEST_STREAM_READ};
            request.as.stream_read.handle = b.ends[0];
            EXPECT(sl_request_encode(&request, 0, twice, sizeof(twice), &length) == SLUICE_OK);
            size_t at = length;
            request = (sl_request){.kind = SL_REQUEST_STREAM_CANCEL};
            request.as.stream_cancel.handle = b.ends[0];
            request.as.stream_cancel.direction = SL_STREAM_READING;
            for (unsigned k = 0; k < 2; k++) { /* in one wake: the first is not answered */
                EXPECT(sl_request_encode(&request, 0, twice + at, sizeof(twice) - at, &length) ==
                       SLUICE_OK);
                at += length;
            }
            client_send_bytes(b.client, twice, at);
            break;
        }
        case BY_REQUESTS:
            id = start_read(b.client, b.ends[0], 1, false, 0);
            send_read(b.client, b.ends[0], 1, 0, false);
            break;
        default: send_stop(b.client, b.ends[0]); break;
        }
        EXPECT(client_await_end(b.client) == SLUICE_EPROTOCOL);
        if (strncmp(client_goodbye_detail(b.client), words[i], strlen(words[i])) != 0) {
            printf("\"%s\" instead of \"%s\"\n", client_goodbye_detail(b.client), words[i]);
            EXPECT(false);
        }
        EXPECT(id == 0 || !client_has(b.client, id));
        tear_down(&b);
    }
}

static void test_one_way(const sim_options *sim) {
    bench b;
    set_up(&b, sim, true);
    raw_reply reply;
    uint64_t id = start_read(b.client, b.ends[0], 1, false, 0);
    EXPECT(client_await(b.client, id, &reply) && reply.status == SLUICE_EINVAL);
    EXPECT(strcmp(reply.detail, "handle: is read as a stream") == 0);
    reply_free(&reply);
    tear_down(&b);
}

/* Whatever waits or is under way when its handle or its session ends. */
static void test_ends(const sim_options *sim) {
    static uint8_t bytes[60000];
    for (unsigned i = 0; i < 4; i++) {
        bench b;
        set_up(&b, sim, (i & 1) != 0);
        uint64_t id = start_write(b.client, b.ends[1], bytes, sizeof(bytes), 0);
        send_read(b.client, b.ends[0], 50000, 0, false);
        if (i >= 2) {
            EXPECT(call_close(b.client, b.ends[0]) == SLUICE_OK);
            uint64_t count = b.got.count;
            settle(&b);
            EXPECT(b.got.count == count);
            EXPECT(client_await(b.client, id, &(raw_reply){0}));
        }
        tear_down(&b);
    }
}

/* A drain waits for a session that reads streams until it says Leave. */
static void test_leave(const sim_options *sim) {
    bench b;
    set_up(&b, sim, true);
    broker_drain(b.rig.broker, 3600 * SL_NS_PER_S);
    uint64_t since_ns = 0;
    while (client_drainings(b.client) == 0) {
        rig_wait(&b.rig, &since_ns);
    }
    EXPECT(call_write(b.client, b.ends[1], "x", 1) == SLUICE_ESHUTDOWN);
    EXPECT(!client_is_over(b.client));
    sl_request leave = {.kind = SL_REQUEST_LEAVE};
    client_send(b.client, &leave, NULL, 0);
    EXPECT(client_await_end(b.client) == SLUICE_ESHUTDOWN);
    tear_down(&b);
}

/* ---- in turn ---- */

#define LANES 8u

/* Streams that never end, more of them than a write takes. */
typedef struct lanes {
    bench b;
    uint64_t ends[LANES][2];
    uint64_t bytes[LANES];
    uint64_t granted[LANES];
    uint64_t writes[LANES];
} lanes;

static void on_lane(void *user, uint64_t handle, const sl_stream_data *data,
                    const uint8_t *bytes) {
    lanes *l = user;
    (void)bytes;
    for (unsigned i = 0; i < LANES; i++) {
        if (l->ends[i][0] == handle) {
            EXPECT(data->at == l->bytes[i]);
            l->bytes[i] += data->length;
        }
    }
}

/* Keeps it flowing. */
static void drive_lane(lanes *l, unsigned i) {
    enum { PART = 60000, WINDOW = 4 * PART };
    static uint8_t bytes[PART];
    raw_client *c = l->b.client;
    if (l->writes[i] != 0 && client_has(c, l->writes[i])) {
        EXPECT(await_status(c, l->writes[i]) == SLUICE_OK);
        l->writes[i] = 0;
    }
    if (l->writes[i] == 0) {
        l->writes[i] = start_write(c, l->ends[i][1], bytes, PART, 0);
    }
    if (l->bytes[i] + WINDOW >= l->granted[i] + PART) {
        l->granted[i] = l->bytes[i] + WINDOW;
        send_read(c, l->ends[i][0], l->granted[i], l->bytes[i], false);
    }
}

/* Each stream goes on beside the others, and so does a page of operations. */
static void test_fair(const sim_options *sim) {
    enum { PAGES = 10 };
    static lanes l;
    memset(&l, 0, sizeof(l));
    set_up(&l.b, sim, false);
    client_on_data(l.b.client, on_lane, &l);
    for (unsigned i = 0; i < LANES; i++) {
        open_pair(l.b.client, true, l.ends[i]);
    }
    uint64_t least = 0;
    unsigned pages = 0;
    uint64_t page = 0;
    uint64_t since_ns = 0;
    while (pages < PAGES || least < SL_MIB) {
        least = UINT64_MAX;
        for (unsigned i = 0; i < LANES; i++) {
            drive_lane(&l, i);
            least = l.bytes[i] < least ? l.bytes[i] : least;
        }
        if (page != 0 && client_has(l.b.client, page)) {
            EXPECT(await_status(l.b.client, page) == SLUICE_OK);
            pages++;
            page = 0;
        }
        if (page == 0) {
            sl_request ask = {.id = client_id(l.b.client), .kind = SL_REQUEST_OPS};
            client_send(l.b.client, &ask, NULL, 0);
            page = ask.id;
        }
        rig_wait(&l.b.rig, &since_ns);
    }
    uint64_t most = 0;
    for (unsigned i = 0; i < LANES; i++) {
        most = l.bytes[i] > most ? l.bytes[i] : most;
    }
    printf("%s: a stream had %llu to %llu bytes, beside %u pages\n",
           sim != NULL ? "simulated" : "real", (unsigned long long)least,
           (unsigned long long)most, pages);
    EXPECT(most < 4 * least);
    client_on_data(l.b.client, client_ignore_data, NULL);
    tear_down(&l.b);
}

/* ---- a flow ---- */

#define RING_BYTES 8192u
#define READS_MAX  4u

typedef struct flow {
    bench b;
    readers state;
    uint8_t ring[RING_BYTES];
    reader reads[READS_MAX];
    bool is_used[READS_MAX];
    uint64_t taken; /* by those that read */
    uint64_t written;
    uint64_t write_id;
    unsigned ends[2]; /* with bytes; without */
} flow;

static uint8_t byte_at(uint64_t place) {
    return (uint8_t)(place * 131 + (place >> 7));
}

static void on_flow(void *user, uint64_t handle, const sl_stream_data *data,
                    const uint8_t *bytes) {
    flow *f = user;
    EXPECT(handle == f->b.ends[0]);
    EXPECT(readers_take_data(&f->state, data, NULL) == SLUICE_OK);
    for (uint32_t i = 0; i < data->length; i++) {
        f->ring[(data->at + i) % RING_BYTES] = bytes[i];
    }
}

static void serve(flow *f) {
    readers_copy copy;
    while (readers_serve(&f->state, &copy)) {
        EXPECT(copy.front == 0 && copy.at == f->taken);
        for (uint64_t i = 0; i < copy.length; i++) {
            EXPECT(f->ring[(copy.at + i) % RING_BYTES] == byte_at(copy.at + i));
        }
        f->taken += copy.length;
    }
    reader *each;
    while ((each = readers_ended(&f->state)) != NULL) {
        f->is_used[each - f->reads] = false;
        f->ends[each->done == 0]++;
    }
    readers_output output;
    while (readers_next(&f->state, &output) != READERS_NOTHING) {
        if (output.kind == READERS_CANCEL) {
            send_stop(f->b.client, f->b.ends[0]);
        } else {
            send_read(f->b.client, f->b.ends[0], output.read.up_to, output.read.taken,
                      output.read.notify);
        }
    }
}

static void write_on(flow *f, sl_random_seeded *random) {
    static uint8_t bytes[20000];
    if (f->write_id != 0 && client_has(f->b.client, f->write_id)) {
        raw_reply reply;
        EXPECT(client_await(f->b.client, f->write_id, &reply) && reply.status == SLUICE_OK);
        reply_free(&reply);
        f->write_id = 0;
    }
    if (f->write_id == 0) {
        uint32_t most = sl_random_seeded_below(random, 4) == 0 ? (uint32_t)sizeof(bytes) : 200u;
        uint32_t length = 1 + sl_random_seeded_below(random, most);
        for (uint32_t i = 0; i < length; i++) {
            bytes[i] = byte_at(f->written + i);
        }
        f->write_id = start_write(f->b.client, f->b.ends[1], bytes, length, 0);
        f->written += length;
    }
}

static void act(flow *f, sl_random_seeded *random) {
    unsigned which = (unsigned)sl_random_seeded_below(random, READS_MAX);
    if (f->is_used[which]) {
        if (sl_random_seeded_below(random, 4) == 0) {
            readers_cancel(&f->state, &f->reads[which], SLUICE_ECANCELED);
        }
        return;
    }
    uint32_t most = sl_random_seeded_below(random, 4) == 0 ? 2 * RING_BYTES : 300u;
    f->is_used[which] = true;
    readers_start(&f->state, &f->reads[which], 1u + sl_random_seeded_below(random, most),
                  (reader_kind)sl_random_seeded_below(random, 3));
}

static void test_flow(const sim_options *sim, bool read_ahead, unsigned rounds) {
    static flow f;
    memset(&f, 0, sizeof(f));
    sl_random_seeded random;
    sl_random_seeded_init(&random, read_ahead ? 11 : 12);
    set_up(&f.b, sim, read_ahead);
    client_on_data(f.b.client, on_flow, &f);
    readers_init(&f.state, RING_BYTES, read_ahead, read_ahead ? SL_STREAM_FLOOR_BYTES : 0);
    for (unsigned i = 0; i < rounds; i++) {
        write_on(&f, &random);
        act(&f, &random);
        serve(&f);
        rig_step(&f.b.rig);
    }
    printf("%s, read-ahead %d: %llu bytes, %u reads had some, %u none\n",
           sim != NULL ? "simulated" : "real", read_ahead, (unsigned long long)f.taken, f.ends[0],
           f.ends[1]);
    EXPECT(f.taken > rounds && f.ends[0] > 0 && f.ends[1] > 0);
    (void)readers_close(&f.state, false);
    while (readers_ended(&f.state) != NULL) {
    }
    readers_deinit(&f.state);
    client_on_data(f.b.client, client_ignore_data, NULL);
    client_close(f.b.client);
    rig_await_empty(&f.b.rig);
    rig_close(&f.b.rig);
}

static void run_all(const sim_options *sim, unsigned rounds) {
    test_asked(sim);
    test_ahead(sim);
    test_stop(sim);
    test_notify(sim);
    test_violations(sim);
    test_one_way(sim);
    test_ends(sim);
    test_leave(sim);
    test_fair(sim);
    test_flow(sim, false, rounds);
    test_flow(sim, true, rounds);
}

int main(int argc, char **argv) {
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ROUNDS;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        run_all(&sim, rounds / 10);
    }
    run_all(NULL, rounds);
    puts("ok");
    return 0;
}
