/*
 * suite_many.c - 1,000 and 9,000 reads pending on one worker, each on a handle of its own: served
 * at random, cancelled at random, closed while pending. The cost of one must not grow with the
 * number of the others.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/rig.h"

#define FEW           1000
#define MANY          9000
#define BATCH         256
#define SPARE_HANDLES 200 /* descriptors the process needs besides */
#define ROUNDS        3000

typedef struct crowd {
    rig *r;
    unsigned count;
    engine_handle *(*ends)[2];
    engine_request_id *ids;
    uint8_t *bytes;
    sl_random_seeded random;
} crowd;

static void crowd_read(crowd *c, unsigned i) {
    c->bytes[i] = POISON_BEFORE;
    EXPECT_STATUS(engine_read(c->ends[i][0], &c->bytes[i], 1, &c->ids[i], &c->ids[i]), SLUICE_OK);
}

static void crowd_open(crowd *c, unsigned count) {
    memset(c, 0, sizeof(*c));
    c->r = rig_open();
    c->count = count;
    c->ends = calloc(count, sizeof(*c->ends));
    c->ids = calloc(count, sizeof(*c->ids));
    c->bytes = calloc(count, 1);
    EXPECT(c->ends != NULL && c->ids != NULL && c->bytes != NULL);
    sl_random_seeded_init(&c->random, t_seed());
    t_phase("open");
    for (unsigned i = 0; i < count; i++) {
        rig_stream(c->r, STREAM_PAIR, c->ends[i]);
        crowd_read(c, i);
    }
    rig_expect_quiet(c->r);
    EXPECT_INT(rig_counters(c->r).requests, count);
    EXPECT_INT(rig_counters(c->r).handles, 2 * count);
}

/* One of them gets a byte, or is cancelled; only its read ends; it is read again. */
static uint64_t crowd_serve(crowd *c, unsigned rounds) {
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    t_phase("serve and cancel at random");
    for (unsigned round = 0; round < rounds; round++) {
        unsigned i = sl_random_seeded_below(&c->random, c->count);
        if (round % 2 == 0) {
            uint8_t value = (uint8_t)round;
            rig_send(c->r, c->ends[i][1], &value, 1);
            EXPECT_INT(rig_await_status(c->r, c->ids[i], SLUICE_OK), 1);
            EXPECT_INT(c->bytes[i], value);
        } else {
            engine_cancel(c->r->worker, c->ids[i]);
            EXPECT_INT(rig_await_status(c->r, c->ids[i], SLUICE_ECANCELED), 0);
            EXPECT_INT(c->bytes[i], POISON_BEFORE);
        }
        EXPECT_INT(c->r->inbox_count, 0);
        crowd_read(c, i);
    }
    return (sl_clock_now_ns(sl_clock_system()) - start_ns) / rounds;
}

/* All at once: a third gets a byte, a third is cancelled, a third is closed. */
static void crowd_end(crowd *c) {
    unsigned left = 2 * c->count; /* reads, and closes of reading ends */
    unsigned outcome[3] = {0};
    t_phase("serve, cancel and close all at once");
    for (unsigned i = 0; i < c->count; i++) {
        engine_buffer one = {.bytes = "m", .length = 1};
        if (i % 3 == 0) {
            EXPECT_STATUS(engine_write(c->ends[i][1], &one, 1, NULL, NULL), SLUICE_OK);
            left++;
        } else if (i % 3 == 1) {
            engine_cancel(c->r->worker, c->ids[i]);
        } else {
            EXPECT_STATUS(engine_close(c->ends[i][0], &c->ids[i]), SLUICE_OK);
        }
    }
    while (left > 0) {
        engine_completion batch[BATCH];
        unsigned count = rig_poll(c->r, batch, BATCH, rig_after_ns(c->r, T_AWAIT_NS));
        EXPECT(count > 0);
        left -= count;
        for (unsigned j = 0; j < count; j++) {
            if (batch[j].kind != ENGINE_READ) {
                EXPECT_STATUS(batch[j].status, SLUICE_OK);
                continue;
            }
            unsigned i = (unsigned)((engine_request_id *)batch[j].user - c->ids);
            EXPECT(c->ids[i] == batch[j].id);
            c->ids[i] = 0; /* once */
            EXPECT_STATUS(batch[j].status, i % 3 == 0 ? SLUICE_OK : SLUICE_ECANCELED);
            EXPECT_INT(c->bytes[i], i % 3 == 0 ? 'm' : POISON_BEFORE);
            outcome[i % 3]++;
            if (i % 3 != 2) {
                EXPECT_STATUS(engine_close(c->ends[i][0], &c->ids[i]), SLUICE_OK);
            }
        }
    }
    EXPECT_INT(outcome[0] + outcome[1] + outcome[2], c->count);
    t_phase("close the other ends");
    for (unsigned i = 0; i < c->count; i++) {
        rig_close_handle(c->r, c->ends[i][1]);
    }
    free(c->ends);
    free(c->ids);
    free(c->bytes);
    rig_close(c->r);
}

static bool enough_handles(unsigned count) {
    return t_is_sim() || os_handle_limit() - SPARE_HANDLES >= 2 * count;
}

static void run_crowd(unsigned count) {
    crowd c;
    if (!enough_handles(count)) {
        T_SKIP("the limit on open files (ulimit -Hn) is too low");
    }
    crowd_open(&c, count);
    unsigned rounds = os_is_wine() ? ROUNDS / 10 : ROUNDS;
    uint64_t each_ns = crowd_serve(&c, rounds);
    t_note("  %u pending: %llu ns to serve or cancel one and read again", count,
           (unsigned long long)each_ns);
    crowd_end(&c);
}

static void pending_1000(void) {
    run_crowd(FEW);
}

static void pending_9000(void) {
    run_crowd(MANY);
}

static const t_case cases[] = {
    {"pending_1000", 0, pending_1000},
    {"pending_9000", 0, pending_9000},
};

const t_suite suite_many = {"many", cases, SL_ARRAY_COUNT(cases)};
