/*
 * frames_test.c - what no client should send, on the simulator and on the platform's own engine:
 * garbage, lengths that are out of range, frames that are cut or come byte by byte. The session
 * ends with a logged reason, or lives if nothing was wrong; the others never notice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "tests/broker/rig.h"

#define LOG_BYTES     (4u << 20)
#define GARBAGE_COUNT 200u
#define GARBAGE_BYTES 6000u

typedef struct log_text {
    char *text;
    size_t length;
} log_text;

typedef struct frames_rig {
    test_rig rig;
    sl_alloc_failpoint memory; /* counts */
    log_text log;
    sl_log *sink;
    unsigned violations; /* that were provoked, and how often each reason is to be in the log */
    raw_client *bystander;
    uint64_t ends[2];
} frames_rig;

static bool on_line(void *context, const char *line, size_t length_bytes) {
    log_text *log = context;
    EXPECT(log->length + length_bytes < LOG_BYTES);
    memcpy(log->text + log->length, line, length_bytes);
    log->length += length_bytes;
    return true;
}

static void open_rig(frames_rig *f, const sim_options *sim) {
    memset(f, 0, sizeof(*f));
    f->log.text = calloc(1, LOG_BYTES);
    EXPECT(f->log.text != NULL);
    sl_log_options log = {.allocator = sl_allocator_system(),
                          .clock = sl_clock_system(),
                          .ring_records = 4096,
                          .level = SL_LOG_INFO,
                          .write = on_line,
                          .write_context = &f->log};
    EXPECT(sl_log_create(&log, &f->sink) == SLUICE_OK);
    sl_alloc_failpoint_init(&f->memory, sl_allocator_system(), 0, false);
    rig_options options = {
        .sim = sim, .worker_count = 2, .allocator = &f->memory.allocator, .log = f->sink};
    rig_open(&f->rig, &options);
    f->bystander = client_open(&f->rig);
    EXPECT(call_pair(f->bystander, f->ends) == SLUICE_OK);
}

static void expect_bystander(frames_rig *f) {
    uint64_t done;
    EXPECT(call_write(f->bystander, f->ends[1], "still here", 10) == SLUICE_OK);
    EXPECT(call_read(f->bystander, f->ends[0], 10, true, "still here", &done) == SLUICE_OK);
    EXPECT(done == 10);
}

/* The session must end, with this in its Goodbye (which may be missing only if it cannot be sent)
 * and in the log. */
static void expect_violation(frames_rig *f, const void *bytes, size_t length, const char *reason) {
    raw_client *c = client_open(&f->rig);
    client_send_bytes(c, bytes, length);
    EXPECT(client_await_end(c) == SLUICE_EPROTOCOL);
    EXPECT(strstr(client_goodbye_detail(c), reason) != NULL);
    client_close(c);
    f->violations++;
    EXPECT(rig_counters(&f->rig).protocol_violations == f->violations);
    expect_bystander(f);
}

static void test_lengths(frames_rig *f) {
    static const uint8_t control[8] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    static const uint8_t payload[8] = {2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t both[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t one_more[8] = {1, 0, 1, 0, 0, 0, 0, 0};
    static const uint8_t nothing[8] = {0};
    expect_violation(f, control, 8, "control");
    expect_violation(f, payload, 8, "payload");
    expect_violation(f, both, 8, "control");
    expect_violation(f, one_more, 8, "control");
    expect_violation(f, nothing, 8, "control");
}

/* Refused before anything is allocated for it. One thread: nobody else allocates meanwhile. */
static void test_budget(frames_rig *f) {
    static const uint8_t header[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (!f->rig.is_simulated) {
        return;
    }
    raw_client *c = client_open(&f->rig);
    uint64_t before = atomic_load(&f->memory.acquire_count);
    client_send_bytes(c, header, 8);
    EXPECT(client_await_end(c) == SLUICE_EPROTOCOL);
    EXPECT(atomic_load(&f->memory.acquire_count) == before);
    client_close(c);
    f->violations++;
    /* The longest frame that is allowed costs its own length, once it begins to come. */
    static uint8_t longest[8 + 65536 + 65536] = {0, 0, 1, 0, 0, 0, 1, 0};
    c = client_open(&f->rig);
    uint64_t memory = rig_counters(&f->rig).memory_bytes;
    client_send_bytes(c, longest, sizeof(longest) - 1);
    rig_run_for(&f->rig, 100 * SL_NS_PER_MS);
    EXPECT(!client_is_over(c) && rig_counters(&f->rig).memory_bytes <= memory + (1u << 20));
    client_send_bytes(c, longest, 1);
    EXPECT(client_await_end(c) == SLUICE_EPROTOCOL);
    client_close(c);
    f->violations++;
}

static void test_messages(frames_rig *f) {
    static const uint8_t zero_id[] = {2, 0, 0, 0, 0, 0, 0, 0, 0x6a, 0};
    static const uint8_t second_hello[] = {8, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x82, 1, 4, 8, 1, 0x10, 1};
    static const uint8_t twice[] = {4, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x3a, 0,
                                    4, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x3a, 0};
    static const uint8_t payload[] = {4, 0, 0, 0, 1, 0, 0, 0, 8, 9, 0x6a, 0, 'x'};
    static const uint8_t cut[] = {3, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x6a};
    expect_violation(f, zero_id, sizeof(zero_id), "id");
    expect_violation(f, second_hello, sizeof(second_hello), "");
    expect_violation(f, twice, sizeof(twice), "in use");
    expect_violation(f, payload, sizeof(payload), "payload");
    expect_violation(f, cut, sizeof(cut), "");
    expect_violation(f, "garbage garbage garbage!", 24, "control");
}

/* More bytes than the write said; and pieces of writes that are none, which mean nothing. */
static void test_write_data(frames_rig *f) {
    raw_client *c = client_open(&f->rig);
    uint64_t ends[2];
    raw_reply reply;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    sl_request stray = {.id = 4711, .kind = SL_REQUEST_WRITE_DATA};
    client_send(c, &stray, "stray", 5);
    sl_request write = {.id = client_id(c), .kind = SL_REQUEST_WRITE};
    write.as.write.handle = ends[1];
    write.as.write.length_bytes = 4;
    client_send(c, &write, "12", 2);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    sl_request more = {.id = write.id, .kind = SL_REQUEST_WRITE_DATA};
    client_send(c, &more, "345", 3);
    EXPECT(client_await_end(c) == SLUICE_EPROTOCOL);
    EXPECT(strstr(client_goodbye_detail(c), "length_bytes") != NULL);
    client_close(c);
    f->violations++;
    expect_bystander(f);
}

/* Byte by byte is slow, not wrong. Cut in the middle is a client that has gone. */
static void test_pieces(frames_rig *f) {
    raw_client *c = client_open(&f->rig);
    uint8_t frame[SL_REQUEST_BYTES_MAX];
    size_t length;
    raw_reply reply;
    sl_request ping = {.id = 1000, .kind = SL_REQUEST_PING};
    EXPECT(sl_request_encode(&ping, 0, frame, sizeof(frame), &length) == SLUICE_OK);
    for (size_t i = 0; i < length; i++) {
        EXPECT(!client_has(c, 1000));
        client_send_bytes(c, frame + i, 1);
        rig_step(&f->rig);
    }
    EXPECT(client_await(c, 1000, &reply) && reply.status == SLUICE_OK);
    for (size_t i = 1; i < length; i++) {
        raw_client *gone = client_open(&f->rig);
        client_send_bytes(gone, frame, i);
        client_close(gone);
    }
    client_close(c);
    expect_bystander(f);
}

/* Anything, behind a good Hello or instead of it. Whatever happens to that session, no other
 * notices. */
static void test_garbage(frames_rig *f, uint64_t seed) {
    sl_random_seeded random;
    uint8_t *bytes = malloc(GARBAGE_BYTES);
    EXPECT(bytes != NULL);
    sl_random_seeded_init(&random, seed);
    for (unsigned i = 0; i < GARBAGE_COUNT; i++) {
        uint32_t length = 1 + sl_random_seeded_below(&random, GARBAGE_BYTES);
        random.random.fill(&random.random, bytes, length);
        if (i % 2 == 0 && length > 8) { /* a header that is right, so that the rest is looked at */
            uint32_t control = 1 + sl_random_seeded_below(&random, length - 8);
            memset(bytes, 0, 8);
            bytes[0] = (uint8_t)control;
            bytes[1] = (uint8_t)(control >> 8);
        }
        raw_client *c = i % 3 == 0 ? client_connect(&f->rig) : client_open(&f->rig);
        client_send_bytes(c, bytes, length);
        if (i % 4 == 0) {
            rig_step(&f->rig);
        }
        client_close(c);
        if (i % 16 == 0) {
            expect_bystander(f);
        }
    }
    free(bytes);
}

static void run_all(const sim_options *sim, uint64_t seed) {
    frames_rig f;
    unsigned lines;
    open_rig(&f, sim);
    test_lengths(&f);
    test_budget(&f);
    test_messages(&f);
    test_write_data(&f);
    test_pieces(&f);
    unsigned provoked = f.violations;
    EXPECT(rig_counters(&f.rig).protocol_violations == provoked);
    test_garbage(&f, seed);
    expect_bystander(&f);
    client_close(f.bystander);
    rig_await_empty(&f.rig);
    uint64_t in_all = rig_counters(&f.rig).protocol_violations;
    EXPECT(in_all > provoked);
    rig_close(&f.rig);
    EXPECT(sl_log_stop(f.sink));
    EXPECT(rig_count_records(f.log.text, "protocol violation", &lines) == in_all);
    EXPECT(lines >= 8 && lines < 50);
    EXPECT(sl_log_destroy(f.sink));
    EXPECT(atomic_load(&f.memory.failed_count) == 0);
    free(f.log.text);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        run_all(&sim, seed);
    }
    run_all(NULL, 6);
    puts("ok");
    return 0;
}
