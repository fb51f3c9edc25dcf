/*
 * kernel_test.c - what the system's kernel holds for a client's handles is charged like the
 * broker's own memory: on the platform's own engine, whose kernel it is.
 */
#include <stdio.h>
#include <string.h>

#include "engine/buffers.h"
#include "tests/broker/rig.h"

#define MIB        (1u << 20)
#define MEMORY     (16u * MIB)
#define ALL_LIMIT  "the broker's limit memory_bytes of 16 MiB is reached"
#define PAIRS      1000u
#define CONNECTED  24u
#define PART       65536u
#define PARTS      96u /* 6 MiB: more than a socket takes that nobody reads */
#define STUCK_NS   (100 * SL_NS_PER_MS)
#define ROUNDS     100u
#define SLACK      (2u * MIB)
#define IDLE       9000u

static uint8_t bytes[MIB];

static void open_rig(test_rig *rig, uint64_t memory_bytes) {
    sl_limits limits;
    sl_limits_default(&limits);
    limits.memory_bytes = memory_bytes;
    rig_options options = {.limits = &limits};
    rig_open(rig, &options);
}

static void end_rig(test_rig *rig, raw_client *c) {
    client_close(c);
    rig_await_empty(rig);
    rig_close(rig);
}

/* A handle that does nothing has its price; what is given back is another's. */
static void test_price(void) {
    static uint64_t ends[PAIRS][2];
    test_rig rig;
    open_rig(&rig, MEMORY);
    raw_client *c = client_open(&rig);
    uint64_t price = engine_handle_bytes(rig.engine);
    unsigned count = 0;
    EXPECT(price >= 32768);
    while (count < PAIRS && call_pair(c, ends[count]) == SLUICE_OK) {
        count++;
    }
    printf("%u pairs in %u MiB, a handle's price is %u bytes\n", count, MEMORY / MIB,
           (unsigned)price);
    EXPECT(count > 50 && 2 * count * price <= MEMORY);
    expect_quota_of(c, SL_REQUEST_PAIR, ALL_LIMIT);
    EXPECT(call_close(c, ends[0][0]) == SLUICE_OK && call_close(c, ends[0][1]) == SLUICE_OK);
    EXPECT(call_pair(c, ends[0]) == SLUICE_OK);
    end_rig(&rig, c);
}

/* With the default limits no price keeps a program from so many; the system may (EOSLIMIT). */
static void test_many(void) {
    test_rig rig;
    rig_options options = {0};
    uint64_t ends[2];
    unsigned count = 0;
    rig_open(&rig, &options);
    raw_client *c = client_open(&rig);
    while (count < IDLE && call_pair(c, ends) == SLUICE_OK) {
        count += 2;
    }
    printf("%u handles with the default limits\n", count);
    EXPECT(count == IDLE || call_pair(c, ends) == SLUICE_EOSLIMIT);
    end_rig(&rig, c);
}

typedef struct link {
    uint64_t near;
    uint64_t far;
} link;

static link open_link(raw_client *c, const raw_reply *listener) {
    raw_reply near;
    raw_reply far;
    EXPECT(call_address(c, SL_REQUEST_CONNECT, listener->local_address, &near) == SLUICE_OK);
    EXPECT(call_plain(c, SL_REQUEST_ACCEPT, listener->opened[0], &far) == SLUICE_OK);
    link opened = {near.opened[0], far.opened[0]};
    reply_free(&near);
    reply_free(&far);
    return opened;
}

/* Writes what nobody reads, until the connection takes no more. SLUICE_OK, ETIMEDOUT, EQUOTA. */
static int fill(raw_client *c, uint64_t handle, uint64_t *held) {
    int status = SLUICE_OK;
    for (unsigned i = 0; i < PARTS && status == SLUICE_OK; i++) {
        raw_reply reply;
        EXPECT(client_await(c, start_write(c, handle, bytes, PART, STUCK_NS), &reply));
        status = reply.status;
        *held += reply.done;
        EXPECT(status != SLUICE_EQUOTA || strcmp(reply.detail, ALL_LIMIT) == 0);
        reply_free(&reply);
    }
    return status;
}

/* Connections that nobody reads: their writes are refused when the kernel holds for the client what
 * it may have; and are not when it has been read. */
static void test_unread(void) {
    test_rig rig;
    link links[CONNECTED];
    raw_reply listener;
    uint64_t held = 0;
    unsigned count = 0;
    int status = SLUICE_OK;
    open_rig(&rig, MEMORY);
    raw_client *c = client_open(&rig);
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &listener) == SLUICE_OK);
    while (count < CONNECTED && status != SLUICE_EQUOTA) {
        links[count] = open_link(c, &listener);
        status = fill(c, links[count].near, &held);
        count++;
    }
    printf("%u connections hold %.1f MiB unread, then %s\n", count, (double)held / MIB,
           status == SLUICE_EQUOTA ? "EQUOTA" : "nothing");
    EXPECT(held > MIB && held <= MEMORY + SLACK && status == SLUICE_EQUOTA);
    for (unsigned i = 0; i < count; i++) {
        EXPECT(call_close(c, links[i].far) == SLUICE_OK);
        EXPECT(call_close(c, links[i].near) == SLUICE_OK);
    }
    links[0] = open_link(c, &listener);
    for (unsigned i = 0; i < ROUNDS; i++) { /* what has been read is given back */
        uint64_t done = 0;
        uint64_t write = start_write(c, links[0].near, bytes, MIB, 0);
        EXPECT(call_read(c, links[0].far, MIB, true, bytes, &done) == SLUICE_OK && done == MIB);
        EXPECT(await_status(c, write) == SLUICE_OK);
    }
    reply_free(&listener);
    end_rig(&rig, c);
}

int main(void) {
    for (unsigned i = 0; i < MIB; i++) {
        bytes[i] = (uint8_t)(i * 31 + i / 256);
    }
    test_price();
    test_many();
    /* Windows does not say what it holds (engine/buffers.h). */
    if (strcmp(engine_backend_name(engine_backend_find(NULL)), "epoll") == 0) {
        test_unread();
    }
    puts("ok");
    return 0;
}
