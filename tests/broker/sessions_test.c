/*
 * sessions_test.c - many sessions, one after the other, on the simulator and on the platform's own
 * engine: when the last has gone, the broker's memory is what it was before the first, to the byte,
 * and the process has no handle more. And guesses of other sessions' handles: never a hit, and
 * nothing tells a foreign handle from one that never was. `sessions_test SESSIONS GUESSES`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/broker/rig.h"
#include "tests/broker/rig_name.h"

#define SESSIONS   10000u
#define GUESSES    1000000u
#define SIM_SHARE  20u /* the simulator gets so much less */
#define WARM_UP    100u
#define AT_ONCE    6u /* sessions at a time */
#define BATCH      128u
#define LIVE       32u /* handles of the owner, pairs */
#define LARGE      1000u /* pairs of the one that goes */
#define WAKE_NS    (100 * SL_NS_PER_US)
#define WAKES_MAX  6u
#define MOST_SLOTS 4u  /* descriptors that the system's own libraries may open meanwhile */

static uint8_t bytes[100000];

/* ---- sessions ---- */

/* What a session may leave to be cleaned up: nothing, open handles, pending requests. */
static void use(raw_client *c, unsigned turn) {
    uint64_t ends[2];
    uint64_t done;
    if (turn % 4 == 0) {
        return;
    }
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(call_write(c, ends[1], "session", 7) == SLUICE_OK);
    EXPECT(call_read(c, ends[0], 7, true, "session", &done) == SLUICE_OK && done == 7);
    if (turn % 4 == 2) {
        (void)start_read(c, ends[0], 100, false, SL_NS_PER_S);
        (void)start_write(c, ends[1], bytes, turn % 3 == 0 ? 100000 : 2000, 0);
    } else if (turn % 4 == 3) {
        EXPECT(call_close(c, ends[0]) == SLUICE_OK && call_close(c, ends[1]) == SLUICE_OK);
    }
}

static void churn(test_rig *rig, unsigned count) {
    raw_client *clients[AT_ONCE] = {NULL};
    for (unsigned i = 0; i < count + AT_ONCE; i++) {
        raw_client **place = &clients[i % AT_ONCE];
        if (*place != NULL) {
            client_close(*place);
            *place = NULL;
        }
        if (i < count) {
            *place = client_open(rig);
            use(*place, i);
        }
    }
    rig_await_empty(rig);
}

static void await_memory(test_rig *rig, uint64_t bytes_used) {
    uint64_t since_ns = 0;
    while (rig_counters(rig).memory_bytes != bytes_used) {
        rig_wait(rig, &since_ns);
    }
}

static void test_churn(const sim_options *sim, unsigned count) {
    test_rig rig;
    rig_options options = {.sim = sim, .worker_count = 2};
    rig_open(&rig, &options);
    uint64_t memory = rig_counters(&rig).memory_bytes;
    churn(&rig, WARM_UP);
    await_memory(&rig, memory);
    uint32_t slots = rig_os_handles();
    churn(&rig, count);
    await_memory(&rig, memory);
    EXPECT(sim != NULL || rig_os_handles() <= slots + MOST_SLOTS);
    EXPECT(rig_counters(&rig).sessions_started >= WARM_UP + count);
    rig_close(&rig);
}

/* ---- the end of a large one ---- */

/* While the handles of a client that has gone are closed, a few per wake, another's request waits
 * for a few wakes only. The time that a wake takes is made up here: the simulator's own clock does
 * not move while a worker is busy. */
static void test_large_end(const sim_options *sim) {
    test_rig rig;
    raw_reply reply;
    uint64_t since_ns = 0;
    uint32_t pings = 0;
    uint32_t most_wakes = 0;
    rig_options options = {.sim = sim};
    rig_open(&rig, &options);
    raw_client *bystander = client_open(&rig);
    raw_client *victim = client_open(&rig);
    for (unsigned i = 0; i < LARGE; i++) {
        uint64_t ends[2];
        EXPECT(call_pair(victim, ends) == SLUICE_OK);
        (void)start_read(victim, ends[0], 1, false, 0);
    }
    client_hang_up(victim);
    while (rig_counters(&rig).handles == 2 * LARGE) {
        rig_wait(&rig, &since_ns);
    }
    while (rig_counters(&rig).handles > 0) {
        sl_request ping = {.id = client_id(bystander), .kind = SL_REQUEST_PING};
        uint32_t wakes = 0;
        client_send(bystander, &ping, NULL, 0);
        for (; !client_has(bystander, ping.id); wakes++) {
            EXPECT(wakes < WAKES_MAX);
            rig.manual.now_ns += WAKE_NS;
            rig_step(&rig);
        }
        EXPECT(client_await(bystander, ping.id, &reply) && reply.status == SLUICE_OK);
        reply_free(&reply);
        most_wakes = wakes > most_wakes ? wakes : most_wakes;
        pings++;
    }
    printf("%u pings while %u handles were closed, %u wakes each at most\n", pings, 2 * LARGE,
           most_wakes);
    EXPECT(pings > LARGE / 4 / WAKES_MAX); /* it was not all done at once */
    client_close(victim);
    client_close(bystander);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* ---- guesses ---- */

static void set_handle(sl_request *request, unsigned kind, uint64_t handle) {
    static const sl_request_kind kinds[] = {SL_REQUEST_READ,       SL_REQUEST_WRITE,
                                            SL_REQUEST_CLOSE,      SL_REQUEST_ACCEPT,
                                            SL_REQUEST_HALF_CLOSE, SL_REQUEST_ACKNOWLEDGE_TORN};
    request->kind = kinds[kind % SL_ARRAY_COUNT(kinds)];
    switch (request->kind) {
    case SL_REQUEST_READ:
        request->as.read.handle = handle;
        request->as.read.max_bytes = 1;
        break;
    case SL_REQUEST_WRITE:
        request->as.write.handle = handle;
        request->as.write.length_bytes = 1;
        break;
    case SL_REQUEST_CLOSE: request->as.close.handle = handle; break;
    case SL_REQUEST_ACCEPT: request->as.accept.listener = handle; break;
    case SL_REQUEST_HALF_CLOSE: request->as.half_close.handle = handle; break;
    default: request->as.acknowledge_torn.handle = handle; break;
    }
}

/* Foreign handles that exist, their neighbours, own ones of before, anything. */
static uint64_t guess(sl_random_seeded *random, uint64_t live[LIVE][2], uint64_t stale) {
    uint64_t near = live[sl_random_seeded_below(random, LIVE)][sl_random_seeded_below(random, 2)];
    switch (sl_random_seeded_below(random, 4)) {
    case 0: return near;
    case 1: return near + ((uint64_t)sl_random_seeded_below(random, 100) << 32);
    case 2: return stale + sl_random_seeded_below(random, 8);
    default:
        return (uint64_t)sl_random_seeded_below(random, 1u << 31) << 32 |
               (1 + sl_random_seeded_below(random, 20000));
    }
}

static void send_batch(raw_client *c, sl_random_seeded *random, uint64_t live[LIVE][2],
                       uint64_t stale) {
    uint8_t frames[BATCH * 64];
    size_t length = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        sl_request request = {.id = client_id(c)};
        size_t header = 0;
        set_handle(&request, i, guess(random, live, stale));
        uint32_t payload = request.kind == SL_REQUEST_WRITE ? 1 : 0;
        EXPECT(sl_request_encode(&request, payload, frames + length, sizeof(frames) - length,
                                 &header) == SLUICE_OK);
        length += header;
        if (payload > 0) {
            frames[length++] = 'x';
        }
    }
    client_send_bytes(c, frames, length);
}

static void test_guesses(const sim_options *sim, unsigned count) {
    test_rig rig;
    sl_random_seeded random;
    uint64_t live[LIVE][2];
    uint64_t own[2];
    rig_options options = {.sim = sim, .worker_count = 2};
    rig_open(&rig, &options);
    sl_random_seeded_init(&random, 1);
    raw_client *owner = client_open(&rig);
    raw_client *c = client_open(&rig);
    for (unsigned i = 0; i < LIVE; i++) {
        EXPECT(call_pair(owner, live[i]) == SLUICE_OK);
        EXPECT(call_write(owner, live[i][1], "mine", 4) == SLUICE_OK);
    }
    EXPECT(call_pair(c, own) == SLUICE_OK);
    EXPECT(call_close(c, own[0]) == SLUICE_OK && call_close(c, own[1]) == SLUICE_OK);
    for (unsigned i = 0; i < count; i += BATCH) {
        uint64_t first = client_id(c) + 1;
        send_batch(c, &random, live, own[0]);
        for (unsigned k = 0; k < BATCH; k++) {
            raw_reply reply;
            EXPECT(client_await(c, first + k, &reply));
            EXPECT(reply.status == SLUICE_EBADHANDLE && reply.kind == SL_RESPONSE_PLAIN);
            /* The same words for each, whoever else has such a handle. */
            EXPECT(strcmp(reply.detail, "handle: not one that this session has open") == 0);
            EXPECT(reply.os_error == 0);
            EXPECT(reply.done == 0 && reply.in_doubt == 0 && reply.length == 0);
            reply_free(&reply);
        }
    }
    for (unsigned i = 0; i < LIVE; i++) {
        uint64_t done;
        EXPECT(call_read(owner, live[i][0], 4, true, "mine", &done) == SLUICE_OK && done == 4);
    }
    client_close(c);
    client_close(owner);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(int argc, char **argv) {
    unsigned sessions = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : SESSIONS;
    unsigned guesses = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : GUESSES;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    test_churn(&sim, sessions / SIM_SHARE);
    test_churn(NULL, sessions);
    test_large_end(&sim);
    test_guesses(&sim, guesses / SIM_SHARE);
    test_guesses(NULL, guesses);
    printf("%u sessions, %u guesses\nok\n", sessions, guesses);
    return 0;
}
