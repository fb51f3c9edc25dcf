/*
 * case_hostile.c - connections that send garbage, too much, half a frame, or one byte at a time.
 * The broker's log names the reason, it closes them, and its other clients never notice.
 */
#include <stdio.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/integration/place.h"

#define FRAME_BYTES   1024u
#define HELLO_TIMEOUT "hello_timeout=500ms"

typedef struct bytes {
    uint8_t at[FRAME_BYTES];
    size_t length;
} bytes;

static void add(bytes *to, const void *more, size_t length) {
    EXPECT(to->length + length <= FRAME_BYTES);
    memcpy(to->at + to->length, more, length);
    to->length += length;
}

static void add_request(bytes *to, const sl_request *request, uint32_t payload_length) {
    size_t length;
    EXPECT(sl_request_encode(request, payload_length, to->at + to->length,
                             FRAME_BYTES - to->length, &length) == 0);
    to->length += length;
}

static void add_hello(bytes *to) {
    sl_request hello = {.id = 1, .kind = SL_REQUEST_HELLO};
    hello.as.hello = (sl_hello_request){.version_min = 1, .version_max = 1,
                                        .client_name = "hostile"};
    add_request(to, &hello, 0);
}

static void add_header(bytes *to, uint32_t control_length, uint32_t payload_length) {
    uint8_t header[SL_FRAME_HEADER_BYTES];
    sl_frame_header(header, control_length, payload_length);
    add(to, header, sizeof(header));
}

static void add_ping(bytes *to, uint64_t id, uint32_t payload_length) {
    sl_request ping = {.id = id, .kind = SL_REQUEST_PING};
    add_request(to, &ping, payload_length);
}

/* ---- what is sent, and the reason that the log gives ---- */

static void garbage(bytes *to) {
    memset(to->at, 0xa5, 64);
    to->length = 64;
}

static void empty_control(bytes *to) {
    add_hello(to);
    add_header(to, 0, 0);
}

static void oversized_control(bytes *to) {
    add_hello(to);
    add_header(to, 65537, 0);
}

static void oversized_payload(bytes *to) {
    add_hello(to);
    add_header(to, 4, 65537);
}

static void no_hello(bytes *to) {
    add_ping(to, 1, 0);
}

static void second_hello(bytes *to) {
    add_hello(to);
    add_hello(to);
}

static void no_protobuf(bytes *to) {
    add_hello(to);
    add_header(to, 3, 0);
    add(to, "\xff\xff\xff", 3);
}

static void no_id(bytes *to) {
    static const uint8_t ping_without_id[] = {0x6a, 0};
    add_hello(to);
    add_header(to, sizeof(ping_without_id), 0);
    add(to, ping_without_id, sizeof(ping_without_id));
}

static void stray_payload(bytes *to) {
    static const uint8_t ping[] = {0x08, 10, 0x6a, 0};
    add_hello(to);
    add_header(to, sizeof(ping), 5);
    add(to, ping, sizeof(ping));
    add(to, "hello", 5);
}

/* Half a frame, then silence, before the Hello was whole. */
static void half_hello(bytes *to) {
    add_hello(to);
    to->length /= 2;
}

static void nothing(bytes *to) {
    to->length = 0;
}

typedef struct attack {
    const char *name;
    void (*make)(bytes *to);
    const char *reason; /* in the log */
    bool is_violation;
} attack;

static const attack attacks[] = {
    {"garbage", garbage, "frame control length: 2779096485 is out of range", true},
    {"empty control", empty_control, "frame control length: 0 is out of range", true},
    {"oversized control", oversized_control, "frame control length: 65537 is out of range", true},
    {"oversized payload", oversized_payload, "frame payload length: 65537 is out of range", true},
    {"no Hello", no_hello, "ping: is not allowed now", true},
    {"second Hello", second_hello, "hello: is not allowed now", true},
    {"no protobuf", no_protobuf, "Request: a field's tag that makes no sense", true},
    {"no id", no_id, "Request.id: 0 is no id", true},
    {"stray payload", stray_payload, "ping: a payload behind a request that has none", true},
    {"half a Hello", half_hello, "no Hello came in time", false},
    {"silence", nothing, "no Hello came in time", false},
};

#define ATTACKS ((uint32_t)(sizeof(attacks) / sizeof(attacks[0])))

/* The log's next lines: what was wrong (NULL: nothing but the end is told), and the end. */
static void expect_logged(place *at, const char *name, const char *line, const char *reason) {
    if (line != NULL) {
        const char *text = process_until(&at->broker, line);
        EXPECT(strncmp(text + 1, reason, strlen(reason)) == 0); /* behind the quote */
    }
    const char *text = process_until(&at->broker, "session ended text=");
    printf("%-18s logged: %.*s\n", name, (int)strcspn(text, "\n"), text);
    EXPECT(strncmp(text + 1, reason, strlen(reason)) == 0);
}

/* Sends it, and reads until the broker closes. */
static void run_attack(place *at, const attack *a) {
    static uint8_t received[4096];
    bytes sent = {.length = 0};
    a->make(&sent);
    uint64_t raw = process_raw_open(at->endpoint);
    if (sent.length > 0) {
        EXPECT(process_raw_send(raw, sent.at, sent.length));
    }
    while (process_raw_receive(raw, received, sizeof(received)) > 0) {
    }
    process_raw_close(raw);
    expect_logged(at, a->name, a->is_violation ? "protocol violation text=" : NULL, a->reason);
}

/* A frame in single bytes is a frame; one that does not end is no trouble but its sender's. */
static void run_slow(place *at) {
    static uint8_t received[4096];
    bytes sent = {.length = 0};
    uint64_t raw = process_raw_open(at->endpoint);
    add_hello(&sent);
    for (size_t i = 0; i < sent.length; i++) {
        EXPECT(process_raw_send(raw, sent.at + i, 1));
    }
    EXPECT(process_raw_receive(raw, received, sizeof(received)) > SL_FRAME_HEADER_BYTES);
    sent.length = 0;
    add_header(&sent, 60000, 60000);
    for (int i = 0; i < 50; i++) {
        add(&sent, "x", 1);
    }
    EXPECT(process_raw_send(raw, sent.at, sent.length));
    process_raw_close(raw); /* in the middle of the frame */
    expect_logged(at, "truncated", NULL, "connection: it ended in the middle of a frame");
}

/* ---- the other clients ---- */

typedef struct bystander {
    sluice_session *session;
    sluice_handle ends[2];
    sl_atomic_bool is_over;
    uint64_t rounds;
    uint64_t slowest_ns;
} bystander;

static void run_bystander(void *context) {
    bystander *b = context;
    char byte = 0;
    while (!atomic_load(&b->is_over)) {
        uint64_t start_ns = place_now_ns();
        EXPECT(sluice_write(b->session, b->ends[1], "z", 1, PLACE_GRACE_NS, NULL) == SLUICE_OK);
        EXPECT(sluice_read(b->session, b->ends[0], &byte, 1, 0, PLACE_GRACE_NS, NULL) ==
                   SLUICE_OK &&
               byte == 'z');
        uint64_t took_ns = place_now_ns() - start_ns;
        b->slowest_ns = took_ns > b->slowest_ns ? took_ns : b->slowest_ns;
        b->rounds++;
    }
}

static bool has_one_session(const sluice_broker_info *info) {
    return info->sessions == 1;
}

void case_hostile(place *at) {
    static const char *const limits[] = {HELLO_TIMEOUT, NULL};
    bystander b = {.rounds = 0};
    sluice_result pair = {.size = sizeof(pair)};
    sl_thread thread;
    uint32_t violations = 0;
    place_start_broker(at, 1, limits);
    b.session = place_open(at->endpoint, "bystander");
    EXPECT(sluice_pair(b.session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    b.ends[0] = pair.handles[0];
    b.ends[1] = pair.handles[1];
    EXPECT(sl_thread_start(&thread, "bystander", run_bystander, &b) == 0);
    for (uint32_t i = 0; i < ATTACKS; i++) {
        run_attack(at, &attacks[i]);
        violations += attacks[i].is_violation;
    }
    run_slow(at);
    atomic_store(&b.is_over, true);
    sl_thread_join(&thread);
    place_await(b.session, has_one_session);
    sluice_broker_info info = place_status(b.session);
    printf("a bystander on the same worker: %llu rounds, the slowest %.1f ms\n",
           (unsigned long long)b.rounds, (double)b.slowest_ns / 1e6);
    EXPECT(b.rounds > ATTACKS);
    EXPECT(info.protocol_violations == violations && info.handles == 2);
    EXPECT(place_connections(b.session) == 1);
    EXPECT(sluice_session_close(b.session) == SLUICE_OK);
    place_stop_broker(at);
}
