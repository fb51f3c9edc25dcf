/*
 * suite_cancel.c - cancelling: ids that are idle, invented, done, given twice; one among many;
 * what waits in the engine and what is in the kernel; each kind of request; and what a cancelled
 * read or write did to its stream (R4, R5, R6).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/rig.h"

#define LANE  3
#define MANY  1000
#define LARGE PATTERN_BLOCK

/* Ids that name nothing: ignored, and nothing else suffers. */
static void unknown_ids(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    uint8_t byte = 0;
    sl_random_seeded random;
    rig_stream(r, STREAM_PIPE, ends);
    engine_request_id done = rig_write(r, ends[1], "a", 1);
    rig_await_status(r, done, SLUICE_OK);
    rig_receive(r, ends[0], &byte, 1);
    engine_request_id pending = rig_read(r, ends[0], &byte, 1);
    engine_cancel(r->worker, 0);
    engine_cancel(r->worker, done);
    engine_cancel(r->worker, UINT64_MAX);
    engine_cancel(r->worker, pending + 1);
    engine_cancel(r->worker, pending + (UINT64_C(1) << 32)); /* the slot's next generation */
    engine_cancel(r->worker, pending - (UINT64_C(1) << 32));
    sl_random_seeded_init(&random, t_seed());
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t id = sl_random_seeded_u64(&random) >> sl_random_seeded_below(&random, 64);
        if (id != pending) {
            engine_cancel(r->worker, id);
        }
    }
    rig_expect_quiet(r);
    rig_send(r, ends[1], "b", 1);
    EXPECT_INT(rig_await_status(r, pending, SLUICE_OK), 1);
    EXPECT_INT(byte, 'b');
    rig_close_stream(r, ends);
    rig_close(r);
}

static void twice_and_after(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t byte = 0;
        rig_stream(r, (stream_kind)kind, ends);
        engine_request_id id = rig_read(r, ends[0], &byte, 1);
        rig_expect_quiet(r);
        engine_cancel(r->worker, id);
        engine_cancel(r->worker, id);
        EXPECT_INT(rig_await_status(r, id, SLUICE_ECANCELED), 0);
        engine_cancel(r->worker, id); /* delivered, not yet recycled */
        rig_expect_quiet(r);
        engine_cancel(r->worker, id);
        engine_request_id next = rig_read(r, ends[0], &byte, 1); /* likely the same slot */
        EXPECT(next != id);
        engine_cancel(r->worker, id);
        rig_expect_quiet(r);
        rig_send(r, ends[1], "n", 1);
        EXPECT_INT(rig_await_status(r, next, SLUICE_OK), 1);
        rig_close_stream(r, ends);
    }
    rig_close(r);
}

/* The bytes of a cancelled read go to the next one, wherever the cancel met it. */
static void read_loses_nothing(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint64_t offset = 0;
        uint64_t sent = 0;
        unsigned canceled = 0;
        rig_stream(r, (stream_kind)kind, ends);
        for (unsigned i = 0; i < t_scale(T_COUNT_CANCEL_ROUNDS); i++) {
            uint8_t bytes[32];
            engine_request_id id = rig_read(r, ends[0], bytes, sizeof(bytes));
            if (i % 3 == 0) {
                (void)rig_pump(r, 0);
            }
            if (i % 4 == 3) {
                engine_cancel(r->worker, id); /* before there is anything to read */
            }
            engine_request_id write = rig_write(r, ends[1], pattern_at(LANE, sent), 32);
            if (i % 2 == 0) {
                (void)rig_pump(r, 0);
            }
            engine_cancel(r->worker, id);
            EXPECT_INT(rig_await_status(r, write, SLUICE_OK), 32);
            sent += 32;
            engine_completion completion = rig_await(r, id);
            if (completion.status == SLUICE_ECANCELED) {
                EXPECT_INT(completion.bytes, 0);
                canceled++;
            } else {
                EXPECT_STATUS(completion.status, SLUICE_OK);
                pattern_expect(bytes, completion.bytes, LANE, offset);
                offset += completion.bytes;
            }
            if (sent - offset >= 512) {
                rig_receive_pattern(r, ends[0], LANE, offset, sent - offset);
                offset = sent;
            }
        }
        rig_receive_pattern(r, ends[0], LANE, offset, sent - offset);
        t_note("  %s: %u of %u reads were cancelled", stream_names[kind], canceled,
               t_scale(T_COUNT_CANCEL_ROUNDS));
        EXPECT(canceled > 0);
        rig_close_stream(r, ends);
    }
    rig_close(r);
}

/* One among 1,000 pending reads of 1,000 handles; the others stay. */
static void one_among_many(void) {
    rig *r = rig_open();
    engine_handle *(*ends)[2] = calloc(MANY, sizeof(*ends));
    engine_request_id *ids = calloc(MANY, sizeof(*ids));
    uint8_t *bytes = calloc(MANY, 1);
    EXPECT(ends != NULL && ids != NULL && bytes != NULL);
    for (unsigned i = 0; i < MANY; i++) {
        rig_stream(r, STREAM_PAIR, ends[i]);
        ids[i] = rig_read(r, ends[i][0], &bytes[i], 1);
    }
    for (unsigned i = 0; i < 20; i++) {
        unsigned chosen = i * 50 + 7;
        engine_cancel(r->worker, ids[chosen]);
        rig_await_status(r, ids[chosen], SLUICE_ECANCELED);
        EXPECT_INT(rig_counters(r).requests, MANY - 1);
        ids[chosen] = rig_read(r, ends[chosen][0], &bytes[chosen], 1);
    }
    rig_expect_quiet(r);
    for (unsigned i = 0; i < MANY; i++) {
        uint8_t value = (uint8_t)(i * 7);
        rig_send(r, ends[i][1], &value, 1);
        EXPECT_INT(rig_await_status(r, ids[i], SLUICE_OK), 1);
        EXPECT_INT(bytes[i], value);
        rig_close_stream(r, ends[i]);
    }
    free(ends);
    free(ids);
    free(bytes);
    rig_close(r);
}

/* Requests that wait behind another one: cancelled exactly, from the middle, and nothing was
 * done. */
static void queued(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t bytes[5] = {0};
        engine_request_id ids[5];
        rig_stream(r, (stream_kind)kind, ends);
        for (unsigned i = 0; i < 5; i++) {
            ids[i] = rig_read(r, ends[0], &bytes[i], 1);
        }
        (void)rig_pump(r, 0);
        engine_cancel(r->worker, ids[2]);
        engine_cancel(r->worker, ids[4]);
        EXPECT_INT(rig_await_status(r, ids[2], SLUICE_ECANCELED), 0);
        EXPECT_INT(rig_await_status(r, ids[4], SLUICE_ECANCELED), 0);
        rig_send(r, ends[1], "012", 3);
        EXPECT_INT(rig_await_status(r, ids[0], SLUICE_OK), 1);
        EXPECT_INT(rig_await_status(r, ids[1], SLUICE_OK), 1);
        EXPECT_INT(rig_await_status(r, ids[3], SLUICE_OK), 1);
        EXPECT(bytes[0] == '0' && bytes[1] == '1' && bytes[2] == 0 && bytes[3] == '2');
        engine_request_id stuck = rig_fill(r, ends[1], LANE);
        ids[0] = rig_write(r, ends[1], "never", 5);
        ids[1] = rig_write(r, ends[1], pattern_at(LANE, RIG_FILL_BYTES), 1000);
        engine_cancel(r->worker, ids[0]);
        engine_completion completion = rig_await(r, ids[0]);
        EXPECT_STATUS(completion.status, SLUICE_ECANCELED);
        EXPECT_INT(completion.bytes + completion.in_doubt, 0);
        rig_receive_pattern(r, ends[0], LANE, 0, RIG_FILL_BYTES + 1000);
        EXPECT_INT(rig_await_status(r, stuck, SLUICE_OK), RIG_FILL_BYTES);
        EXPECT_INT(rig_await_status(r, ids[1], SLUICE_OK), 1000);
        rig_close_stream(r, ends);
    }
    rig_close(r);
}

typedef struct torn_tally {
    unsigned completed;
    unsigned canceled;
    unsigned partly;
    unsigned doubtful;
} torn_tally;

/* A large write is cancelled after `read_before` bytes of the stream were read. The receiver's
 * final count lies within what the completion said; the bytes are the right ones. */
static void tear_once(rig *r, stream_kind kind, size_t read_before, unsigned polls,
                      torn_tally *tally) {
    engine_handle *ends[2];
    rig_stream(r, kind, ends);
    engine_request_id id = rig_write(r, ends[1], pattern_at(LANE, 0), LARGE);
    for (unsigned i = 0; i < polls; i++) {
        (void)rig_pump(r, 0);
    }
    rig_receive_pattern(r, ends[0], LANE, 0, read_before);
    engine_cancel(r->worker, id);
    engine_completion completion = rig_await(r, id);
    EXPECT(completion.status == SLUICE_OK || completion.status == SLUICE_ECANCELED ||
           (t_is_sim() && completion.status < 0));
    EXPECT(completion.bytes + completion.in_doubt <= LARGE);
    EXPECT(completion.bytes >= read_before || completion.in_doubt > 0);
    if (completion.status == SLUICE_OK) {
        EXPECT_INT(completion.bytes, LARGE);
        EXPECT_INT(completion.in_doubt, 0);
        tally->completed++;
    } else {
        tally->canceled++;
        tally->partly += completion.bytes > 0;
        tally->doubtful += completion.in_doubt > 0;
    }
    rig_close_handle(r, ends[1]);
    size_t received = read_before + rig_receive_pattern_to_end(r, ends[0], LANE, read_before);
    EXPECT(received >= completion.bytes);
    EXPECT(received <= completion.bytes + completion.in_doubt);
    rig_close_handle(r, ends[0]);
}

static void write_tells_the_truth(void) {
    rig *r = rig_open_with(NULL, SIM_PROFILE_RACES);
    sl_random_seeded random;
    sl_random_seeded_init(&random, t_seed());
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        torn_tally tally = {0};
        t_phase(stream_names[kind]);
        for (unsigned i = 0; i < t_scale(T_COUNT_CANCEL_ROUNDS); i++) {
            size_t read_before = i % 4 == 0 ? 0 : sl_random_seeded_below(&random, 60000);
            tear_once(r, (stream_kind)kind, read_before, i % 3, &tally);
        }
        t_note(
            "  %s: of %u cancelled writes %u were complete, %u aborted (%u with bytes out, %u with "
            "bytes in doubt)",
            stream_names[kind], t_scale(T_COUNT_CANCEL_ROUNDS), tally.completed, tally.canceled,
            tally.partly, tally.doubtful);
        EXPECT(tally.canceled > 0 || kind == STREAM_TCP); /* a socket may swallow it whole */
    }
    rig_close(r);
}

/* The first of two requests to complete; b may be 0. */
static engine_completion await_either(rig *r, engine_request_id a, engine_request_id b) {
    uint64_t deadline_ns = rig_after_ns(r, T_AWAIT_NS);
    while (!rig_has(r, a) && !rig_has(r, b) && rig_now_ns(r) < deadline_ns) {
        (void)rig_pump(r, deadline_ns);
    }
    return rig_await(r, rig_has(r, b) ? b : a);
}

/* A torn stream goes on: the writes queued behind the cancelled one follow it. */
static void writes_behind_a_torn_one(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        size_t total = 0;
        uint8_t *bytes = malloc(2 * RIG_FILL_BYTES);
        EXPECT(bytes != NULL);
        rig_stream(r, (stream_kind)kind, ends);
        engine_request_id stuck = rig_fill(r, ends[1], LANE);
        engine_request_id next = rig_write(r, ends[1], pattern_at(LANE + 1, 0), 5000);
        engine_cancel(r->worker, stuck);
        engine_completion torn = rig_await(r, stuck);
        size_t sure = torn.bytes;
        EXPECT(torn.status == SLUICE_ECANCELED || torn.status == SLUICE_OK);
        /* What is in doubt may fill the pipe: read until the write behind it is through. */
        engine_request_id read = rig_read(r, ends[0], bytes, 65536);
        bool closed = false;
        engine_completion rest;
        while ((rest = await_either(r, read, closed ? 0 : next)).id == next ||
               rest.status == SLUICE_OK) {
            if (rest.id == next) {
                EXPECT_STATUS(rest.status, SLUICE_OK);
                EXPECT_INT(rest.bytes, 5000);
                rig_close_handle(r, ends[1]);
                closed = true;
            } else {
                total += rest.bytes;
                read = rig_read(r, ends[0], bytes + total, 65536);
            }
        }
        EXPECT_STATUS(rest.status, SLUICE_EEOF);
        EXPECT(total >= sure + 5000 && total <= sure + torn.in_doubt + 5000);
        pattern_expect(bytes, total - 5000, LANE, 0);
        pattern_expect(bytes + total - 5000, 5000, LANE + 1, 0);
        free(bytes);
        rig_close_handle(r, ends[0]);
    }
    rig_close(r);
}

/* Accept, receive-from, connect, resolve, half-close: each ends once. */
static void other_kinds(void) {
    rig *r = rig_open();
    engine_address any;
    engine_address addresses[4];
    engine_handle *udp = NULL;
    engine_handle *ends[2];
    engine_request_id id = 0;
    uint8_t byte = 0;
    for (int kind = STREAM_PIPE; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        EXPECT_STATUS(engine_accept(rig_listener(r, (stream_kind)kind), NULL, &id), SLUICE_OK);
        rig_expect_quiet(r);
        engine_cancel(r->worker, id);
        rig_await_status(r, id, SLUICE_ECANCELED);
        rig_stream(r, (stream_kind)kind, ends); /* the listener works on */
        rig_close_stream(r, ends);
    }
    t_phase("receive_from");
    engine_address_loopback(&any, 0);
    EXPECT_STATUS(engine_udp_open(r->worker, &any, &udp), SLUICE_OK);
    EXPECT_STATUS(engine_receive_from(udp, &byte, 1, NULL, NULL, &id), SLUICE_OK);
    rig_expect_quiet(r);
    engine_cancel(r->worker, id);
    rig_await_status(r, id, SLUICE_ECANCELED);
    rig_close_handle(r, udp);
    t_phase("connect, pair and resolve, cancelled at once");
    EXPECT_STATUS(engine_resolve(r->worker, "localhost", 80, addresses, 4, NULL, NULL, &id),
                  SLUICE_OK);
    engine_cancel(r->worker, id);
    int status = rig_await(r, id).status;
    EXPECT(status == SLUICE_ECANCELED || status == SLUICE_OK);
    EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_OK);
    engine_cancel(r->worker, id);
    engine_completion pair = rig_await(r, id);
    EXPECT(pair.status == SLUICE_ECANCELED || pair.status == SLUICE_OK);
    if (pair.status == SLUICE_OK) {
        rig_close_stream(r, pair.opened);
    } else {
        EXPECT(pair.opened[0] == NULL && pair.opened[1] == NULL);
    }
    t_phase("connect to a pipe that is not there");
    engine_address nobody = t_pipe_address();
    EXPECT_STATUS(engine_connect(r->worker, &nobody, SL_CLOCK_NEVER, NULL, NULL, &id), SLUICE_OK);
    engine_cancel(r->worker, id);
    status = rig_await(r, id).status;
    EXPECT(status == SLUICE_ECANCELED || status == SLUICE_ENOTFOUND);
    t_phase("half-close behind a write that waits");
    rig_stream(r, STREAM_TCP, ends);
    engine_request_id write = rig_fill(r, ends[1], LANE);
    EXPECT_STATUS(engine_half_close(ends[1], NULL, &id), SLUICE_OK);
    engine_cancel(r->worker, id);
    rig_await_status(r, id, SLUICE_ECANCELED);
    rig_receive_pattern(r, ends[0], LANE, 0, RIG_FILL_BYTES);
    rig_await_status(r, write, SLUICE_OK);
    rig_close_stream(r, ends);
    rig_close(r);
}

static const t_case cases[] = {
    {"unknown_ids", T_SMOKE, unknown_ids},
    {"twice_and_after", T_SMOKE, twice_and_after},
    {"read_loses_nothing", 0, read_loses_nothing},
    {"one_among_many", 0, one_among_many},
    {"queued", T_SMOKE, queued},
    {"write_tells_the_truth", 0, write_tells_the_truth},
    {"writes_behind_a_torn_one", T_SMOKE, writes_behind_a_torn_one},
    {"other_kinds", T_SMOKE, other_kinds},
};

const t_suite suite_cancel = {"cancel", cases, SL_ARRAY_COUNT(cases)};
