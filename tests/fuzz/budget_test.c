/*
 * budget_test.c - what a peer's bytes may cost: a length of 0xFFFFFFFF is refused with at most 4
 * KiB, and a control message of 64 KiB, whatever it is made of, takes at most 1 MiB. The broker's
 * core and the client's, on the simulated engine, with memory that is counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/core.h"
#include "proto/frame.h"
#include "tests/broker/rig.h"
#include "tests/client/no_launch.h"
#include "tests/engine/listen_now.h"
#include "tests/proto/dear.h"

#define REFUSAL_BYTES_MAX 4096u
#define MESSAGE_BYTES_MAX (1024u * 1024)
#define FRAME_ROOM        (SL_FRAME_HEADER_BYTES + DEAR_ROOM)
#define SETTLE_NS         (100 * SL_NS_PER_MS)

typedef struct costs {
    size_t refusal; /* the most of any */
    size_t message;
    unsigned messages;
} costs;

static const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t endless_payload[] = {2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
static const uint8_t *const refused[] = {endless, endless_payload};

/* The index-th frame of 64 KiB; 0 = there are no more. */
static size_t dear_frame(unsigned index, uint8_t *frame, bool *ret_is_allowed) {
    const char *name;
    size_t length = dear_message(index, frame + SL_FRAME_HEADER_BYTES, &name, ret_is_allowed);
    if (length > 0) {
        sl_frame_header(frame, (uint32_t)length, 0);
    }
    return length > 0 ? SL_FRAME_HEADER_BYTES + length : 0;
}

static void keep_most(size_t *most, size_t cost) {
    *most = cost > *most ? cost : *most;
}

/* ---- the broker ---- */

static size_t broker_cost(test_rig *rig, dear_memory *memory, const uint8_t *bytes, size_t length,
                          bool is_allowed) {
    raw_client *c = client_open(rig);
    dear_memory_mark(memory);
    client_send_bytes(c, bytes, length);
    if (is_allowed) {
        rig_run_for(rig, SETTLE_NS);
        EXPECT(!client_is_over(c));
    } else {
        EXPECT(client_await_end(c) == SLUICE_EPROTOCOL);
    }
    size_t cost = dear_memory_cost(memory);
    client_close(c);
    return cost;
}

static void test_broker(void) {
    static uint8_t frame[FRAME_ROOM];
    test_rig rig;
    dear_memory memory;
    costs most = {0};
    sim_options sim;
    size_t length;
    bool is_allowed;
    dear_memory_init(&memory);
    sim_options_gentle(&sim, 1);
    const rig_options options = {.sim = &sim, .allocator = &memory.allocator};
    rig_open(&rig, &options);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(refused); i++) {
        keep_most(&most.refusal,
                  broker_cost(&rig, &memory, refused[i], SL_FRAME_HEADER_BYTES, false));
    }
    for (; (length = dear_frame(most.messages, frame, &is_allowed)) > 0; most.messages++) {
        keep_most(&most.message, broker_cost(&rig, &memory, frame, length, is_allowed));
    }
    rig_await_empty(&rig);
    rig_close(&rig);
    printf("broker: refusing 0xFFFFFFFF %zu bytes; the dearest of %u control messages %zu bytes\n",
           most.refusal, most.messages, most.message);
    EXPECT(most.refusal <= REFUSAL_BYTES_MAX && most.message <= MESSAGE_BYTES_MAX);
}

/* ---- the client ---- */

typedef struct scene {
    test_rig rig; /* its broker has nothing to do: the client talks to us */
    dear_memory memory;
    sl_account account;
    engine_worker *worker;
    client_core core;
    bool is_lost;
    size_t cost; /* when the connection was given up */
    engine_worker *ours;
    engine_endpoint *endpoint;
    engine_handle *listener;
    engine_handle *connection;
    bool is_closed;
    uint8_t heard[4096];
} scene;

static void on_op(void *user, client_operation *op) {
    (void)user;
    if (client_operation_drop(op)) {
        free(op);
    }
}

static void on_retired(void *user, client_operation *op) {
    (void)user;
    (void)op;
}

static void on_connection(void *user) {
    scene *s = user;
    if (s->core.phase != CLIENT_READY && !s->is_lost) {
        s->is_lost = true;
        s->cost = dear_memory_cost(&s->memory);
    }
}

static void poll_ours(scene *s) {
    engine_completion batch[8];
    unsigned count = engine_poll(s->ours, batch, SL_ARRAY_COUNT(batch), 0);
    for (unsigned i = 0; i < count; i++) {
        if (batch[i].kind == ENGINE_ACCEPT && batch[i].status == SLUICE_OK) {
            s->connection = batch[i].opened[0];
        } else if (batch[i].kind == ENGINE_CLOSE) {
            s->is_closed = true;
        }
    }
}

static void step(scene *s) {
    rig_step(&s->rig);
    poll_ours(s);
    client_core_run(&s->core, 0);
}

static void open_scene(scene *s) {
    sim_options sim;
    engine_address address;
    memset(s, 0, sizeof(*s));
    sim_options_gentle(&sim, 1);
    const rig_options options = {.sim = &sim};
    rig_open(&s->rig, &options);
    dear_memory_init(&s->memory);
    sl_account_init(&s->account, &s->memory.allocator, "client", SIZE_MAX);
    EXPECT(engine_worker_create(s->rig.engine, &s->worker) == SLUICE_OK);
    EXPECT(engine_worker_create(s->rig.engine, &s->ours) == SLUICE_OK);
    EXPECT(engine_address_endpoint(&address, "ours") == SLUICE_OK);
    EXPECT(engine_endpoint_create(s->rig.engine, &address, NULL, &s->endpoint, NULL) == SLUICE_OK);
    EXPECT(engine_endpoint_join(s->endpoint, s->ours, &s->listener) == SLUICE_OK);
    const client_settings settings = {.mode = SLUICE_MODE_SERVICE,
                                      .endpoint = "ours",
                                      .client_name = "test",
                                      .open_timeout_ns = SL_NS_PER_S,
                                      .call_grace_ns = SL_NS_PER_S};
    const client_hooks hooks = {
        s, on_op, on_retired, on_op, no_launch, no_launch_has_ended, on_connection};
    EXPECT(client_core_init(&s->core, s->worker, s->rig.clock, &s->rig.random.random, &s->account,
                            &settings, &hooks) == SLUICE_OK);
}

static void close_scene(scene *s) {
    uint64_t since_ns = 0;
    client_core_stop(&s->core);
    EXPECT(engine_close(s->connection, NULL) == SLUICE_OK);
    EXPECT(engine_close(s->listener, NULL) == SLUICE_OK);
    while (!client_core_is_idle(&s->core) || engine_worker_destroy(s->worker) != SLUICE_OK) {
        rig_wait(&s->rig, &since_ns);
        poll_ours(s);
        client_core_run(&s->core, 0);
    }
    while (engine_worker_destroy(s->ours) != SLUICE_OK) {
        rig_wait(&s->rig, &since_ns);
        poll_ours(s);
    }
    client_core_deinit(&s->core);
    sl_account_deinit(&s->account);
    EXPECT(engine_endpoint_destroy(s->endpoint) == SLUICE_OK);
    rig_close(&s->rig);
}

/* A client that waits for the answer to its Hello gets these bytes instead, and gives the
 * connection up: what is no violation by itself answers nothing that it has asked. */
static size_t client_cost(const uint8_t *bytes, size_t length) {
    static scene s;
    open_scene(&s);
    client_operation *ping = calloc(1, sizeof(*ping));
    EXPECT(ping != NULL);
    client_operation_init(ping, SL_REQUEST_PING, SLUICE_NO_TIMEOUT);
    client_core_submit(s.worker, ping);
    EXPECT(engine_accept(s.listener, NULL, NULL) == SLUICE_OK);
    uint64_t since_ns = s.rig.manual.now_ns;
    while (s.connection == NULL || s.core.phase != CLIENT_GREETING) {
        EXPECT(s.rig.manual.now_ns - since_ns < RIG_WAIT_NS);
        step(&s);
    }
    EXPECT(engine_read(s.connection, s.heard, sizeof(s.heard), NULL, NULL) == SLUICE_OK);
    dear_memory_mark(&s.memory);
    engine_buffer buffer = {bytes, length};
    EXPECT(engine_write(s.connection, &buffer, 1, NULL, NULL) == SLUICE_OK);
    uint64_t until_ns = s.rig.manual.now_ns + SETTLE_NS;
    while (!s.is_lost && s.rig.manual.now_ns < until_ns) {
        step(&s);
    }
    EXPECT(s.is_lost);
    close_scene(&s);
    return s.cost;
}

static void test_client(void) {
    static uint8_t frame[FRAME_ROOM];
    costs most = {0};
    size_t length;
    bool is_allowed;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(refused); i++) {
        keep_most(&most.refusal, client_cost(refused[i], SL_FRAME_HEADER_BYTES));
    }
    for (; (length = dear_frame(most.messages, frame, &is_allowed)) > 0; most.messages++) {
        keep_most(&most.message, client_cost(frame, length));
    }
    printf("client: refusing 0xFFFFFFFF %zu bytes; the dearest of %u control messages %zu bytes\n",
           most.refusal, most.messages, most.message);
    EXPECT(most.refusal <= REFUSAL_BYTES_MAX && most.message <= MESSAGE_BYTES_MAX);
}

int main(void) {
    test_broker();
    test_client();
    puts("ok");
    return 0;
}
