/* share.c - see share.h. */
#include "tests/broker/share.h"

#include <string.h>

#define WRITES_MAX 10000u /* small ones that a pipe takes come before the first that is held */
#define EVERYBODY  "everybody" /* the simulator lets all connect */

uint8_t share_pattern[MIB];

void share_fill_pattern(void) {
    for (size_t i = 0; i < sizeof(share_pattern); i++) {
        share_pattern[i] = (uint8_t)(i * 31 + (i >> 9));
    }
}

void share_open(share_rig *s, uint64_t seed) {
    sim_options_gentle(&s->sim, seed);
    sl_limits_default(&s->limits);
    s->limits.user_memory_bytes = USER_MEMORY;
    s->limits.memory_bytes = MEMORY;
    s->limits.user_handles = 64;
    s->limits.user_sessions = CROWD + 1;
    s->limits.sessions = 40;
    rig_options options = {
        .sim = &s->sim, .limits = &s->limits, .worker_count = WORKERS, .access = EVERYBODY};
    rig_open(&s->rig, &options);
}

void share_close(share_rig *s) {
    rig_await_empty(&s->rig);
    rig_close(&s->rig);
}

raw_client *share_client(share_rig *s, uint32_t user_id) {
    sim_engine_become(s->rig.engine, user_id, user_id);
    return client_open(&s->rig);
}

void share_expect_alive(raw_client *c) {
    raw_reply reply;
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
}

/* Writes what nobody reads, pieces of that size, until one is refused. Returns the bytes that are
 * held. */
static uint64_t fill_with(raw_client *c, uint64_t handle, uint32_t size, const char *limit) {
    uint64_t held = 0;
    for (unsigned count = 0; count < WRITES_MAX; count++) {
        raw_reply reply;
        uint64_t id = start_write(c, handle, share_pattern, size, 0);
        rig_run_for(client_rig(c), 50 * SL_NS_PER_MS);
        if (!client_has(c, id)) {
            held += size;
            continue;
        }
        EXPECT(client_await(c, id, &reply));
        if (reply.status != SLUICE_OK) { /* else the pipe took it */
            EXPECT(reply.status == SLUICE_EQUOTA && strcmp(reply.detail, limit) == 0);
            return held;
        }
    }
    EXPECT(false);
    return 0;
}

uint64_t share_fill(raw_client *c, const uint64_t ends[2], const char *limit) {
    uint64_t held = 0;
    for (unsigned round = 0; round < 2; round++) {
        held += fill_with(c, ends[1], PART, limit);
        held += fill_with(c, ends[1], 4096, limit);
        for (unsigned i = 0; i < 10; i++) {
            share_expect_alive(c);
        }
    }
    held += fill_with(c, ends[1], 4096, limit);
    held += fill_with(c, ends[1], 300, limit);
    /* No more than an operation; and a pipe that has room for them is full before the last. */
    return held + fill_with(c, ends[1], 16, limit);
}

void share_use(raw_client *c) {
    uint64_t ends[2];
    uint64_t done;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t write = start_write(c, ends[1], share_pattern, MIB, 0);
    EXPECT(call_read(c, ends[0], MIB, true, share_pattern, &done) == SLUICE_OK && done == MIB);
    EXPECT(await_status(c, write) == SLUICE_OK);
    EXPECT(call_close(c, ends[0]) == SLUICE_OK && call_close(c, ends[1]) == SLUICE_OK);
}
