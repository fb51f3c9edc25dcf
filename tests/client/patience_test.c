/*
 * patience_test.c - how long a client waits for a broker that does not come, does not listen, takes
 * nobody in or does not greet, on the simulator's clock: each step has its end, also for who waits
 * without a timeout. And that it does not wait for one that says that it is stopping.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/core.h"
#include "tests/broker/rig.h"

#define STARTING_NS  (60 * SL_NS_PER_S)
#define LISTENING_NS (15 * SL_NS_PER_S)
#define GREETING_NS  (5 * SL_NS_PER_S)
#define HOUR_NS      (3600 * SL_NS_PER_S)
#define SLACK_NS     (100 * SL_NS_PER_MS)
#define PROCESS      77u /* the private broker's */

typedef struct scene {
    test_rig rig; /* its broker has nothing to do, but in test_is_stopping */
    sl_account account;
    engine_worker *worker;
    client_core core;
    bool is_launched; /* somebody asks for a private broker */
    client_operation op;
    bool has_ended;
    int status;
    char detail[SLUICE_DETAIL_BYTES];
    uint64_t began_ns;
    engine_worker *ours;
    engine_endpoint *endpoint;
    engine_handle *listener;
} scene;

static void on_finished(void *user, client_operation *op) {
    scene *s = user;
    s->has_ended = true;
    s->status = op->result.status;
    memcpy(s->detail, op->result.detail, sizeof(s->detail));
}

static void on_op(void *user, client_operation *op) {
    (void)user;
    (void)op;
}

static void on_launch(void *user) {
    scene *s = user;
    s->is_launched = true;
}

static bool has_broker_ended(void *user) {
    (void)user;
    return false;
}

static void on_connection(void *user) {
    (void)user;
}

static void open_scene_at(scene *s, const char *endpoint, uint32_t mode, uint64_t timeout_ns,
                          sim_options *sim) {
    memset(s, 0, sizeof(*s));
    const rig_options options = {.sim = sim};
    rig_open(&s->rig, &options);
    sl_account_init(&s->account, sl_allocator_system(), "client", SIZE_MAX);
    EXPECT(engine_worker_create(s->rig.engine, &s->worker) == SLUICE_OK);
    EXPECT(engine_worker_create(s->rig.engine, &s->ours) == SLUICE_OK);
    const client_settings settings = {.mode = mode,
                                      .endpoint = endpoint,
                                      .client_name = "test",
                                      .open_timeout_ns = timeout_ns,
                                      .call_grace_ns = SL_NS_PER_S};
    const client_hooks hooks = {s,         on_finished,      on_op,        on_op,
                                on_launch, has_broker_ended, on_connection};
    EXPECT(client_core_init(&s->core, s->worker, s->rig.clock, &s->rig.random.random, &s->account,
                            &settings, &hooks) == SLUICE_OK);
    s->began_ns = s->rig.manual.now_ns;
    client_operation_init(&s->op, SL_REQUEST_PING, SLUICE_NO_TIMEOUT);
}

static void ask(scene *s) {
    s->began_ns = s->rig.manual.now_ns;
    client_core_submit(s->worker, &s->op);
}

static void open_scene(scene *s, uint32_t mode, uint64_t timeout_ns, sim_options *sim) {
    open_scene_at(s, "ours", mode, timeout_ns, sim);
    ask(s);
}

static void poll_ours(scene *s) {
    engine_completion batch[8];
    (void)engine_poll(s->ours, batch, SL_ARRAY_COUNT(batch), 0);
}

static void step(scene *s) {
    rig_step(&s->rig);
    poll_ours(s);
    client_core_run(&s->core, 0);
}

static void close_scene(scene *s) {
    uint64_t since_ns = 0;
    client_core_stop(&s->core);
    if (s->listener != NULL) {
        EXPECT(engine_close(s->listener, NULL) == SLUICE_OK);
    }
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

/* It ends so long after it began, with that. */
static void expect_end(scene *s, uint64_t after_ns, int status, const char *detail) {
    uint64_t most_ns = after_ns + SLACK_NS;
    while (!s->has_ended && s->rig.manual.now_ns - s->began_ns < most_ns) {
        step(s);
    }
    uint64_t took_ns = s->rig.manual.now_ns - s->began_ns;
    if (!s->has_ended || s->status != status || strstr(s->detail, detail) == NULL) {
        printf("%d after %llu ms: %d, \"%s\"\n", s->has_ended,
               (unsigned long long)(took_ns / SL_NS_PER_MS), s->status, s->detail);
    }
    EXPECT(s->has_ended && s->status == status && strstr(s->detail, detail) != NULL);
    EXPECT(took_ns >= after_ns);
}

static void start_broker(scene *s) {
    while (!s->is_launched) {
        step(s);
    }
    client_core_launched(&s->core, SLUICE_OK, 0, PROCESS, "ours", "");
    s->began_ns = s->rig.manual.now_ns;
}

static void listen_here(scene *s) {
    engine_address address;
    EXPECT(engine_address_endpoint(&address, "ours") == SLUICE_OK);
    EXPECT(engine_endpoint_create(s->rig.engine, &address, NULL, &s->endpoint, NULL) == SLUICE_OK);
    EXPECT(engine_endpoint_join(s->endpoint, s->ours, &s->listener) == SLUICE_OK);
}

/* Nobody listens where the private broker should. */
static void test_does_not_listen(uint64_t timeout_ns, uint64_t after_ns) {
    static scene s;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    open_scene(&s, SLUICE_MODE_PRIVATE, timeout_ns, &sim);
    start_broker(&s);
    expect_end(&s, after_ns, SLUICE_ENOBROKER, "was started, but does not listen");
    close_scene(&s);
}

static void test_is_not_started(uint64_t timeout_ns, uint64_t after_ns) {
    static scene s;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    open_scene(&s, SLUICE_MODE_PRIVATE, timeout_ns, &sim);
    expect_end(&s, after_ns, SLUICE_ETIMEDOUT, "has not started the private broker in time");
    EXPECT(s.is_launched);
    close_scene(&s);
}

/* All its instances are busy, for ever. */
static void test_takes_nobody_in(uint64_t timeout_ns, uint64_t after_ns, int status) {
    static scene s;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    sim.per_mille[SIM_CONNECT_BUSY] = 1000;
    open_scene(&s, SLUICE_MODE_SERVICE, timeout_ns, &sim);
    listen_here(&s);
    expect_end(&s, after_ns, status, "takes nobody in");
    close_scene(&s);
}

/* It is in the backlog, and that is all. */
static void test_does_not_greet(uint64_t timeout_ns) {
    static scene s;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    open_scene(&s, SLUICE_MODE_SERVICE, timeout_ns, &sim);
    listen_here(&s);
    expect_end(&s, GREETING_NS, SLUICE_EUNRESPONSIVE, "does not greet");
    close_scene(&s);
}

/* The broker there drains, and has something to do for long: SERVICE is told at once, and told
 * again when it asks again; AUTO asks for a private broker at once. */
static void test_is_stopping(uint32_t mode) {
    static scene s;
    sim_options sim;
    uint64_t ends[2];
    raw_reply reply;
    sim_options_gentle(&sim, 1);
    open_scene_at(&s, "/broker", mode, SLUICE_NO_TIMEOUT, &sim);
    raw_client *c = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t read = start_read(c, ends[0], 1, false, 0);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK); /* the broker has it */
    broker_drain(s.rig.broker, HOUR_NS);
    while (client_drainings(c) == 0) {
        step(&s);
    }
    ask(&s);
    if (mode == SLUICE_MODE_SERVICE) {
        expect_end(&s, 0, SLUICE_ESHUTDOWN, "the broker is stopping");
        s.has_ended = false;
        client_operation_init(&s.op, SL_REQUEST_PING, SLUICE_NO_TIMEOUT);
        ask(&s);
        expect_end(&s, 0, SLUICE_ESHUTDOWN, "the broker is stopping");
    } else {
        while (!s.is_launched) {
            EXPECT(!s.has_ended && s.rig.manual.now_ns - s.began_ns < SLACK_NS);
            step(&s);
        }
    }
    EXPECT(!client_has(c, read) && !client_is_over(c));
    client_close(c);
    close_scene(&s);
}

/* The program is stopped for long, and goes on: what it waits for has its time again. */
static void test_stopped(scene *s, client_phase phase, uint64_t most_ns, int status,
                         const char *detail) {
    for (unsigned i = 0; i < 2; i++) { /* at once; and again, just before the time is over */
        while (s->core.phase != phase ||
               (i != 0 && s->rig.manual.now_ns - s->began_ns < most_ns - SLACK_NS)) {
            EXPECT(!s->has_ended);
            step(s);
        }
        s->rig.manual.now_ns += HOUR_NS;
        s->began_ns = s->rig.manual.now_ns;
    }
    expect_end(s, most_ns, status, detail);
    close_scene(s);
}

static void test_stopped_in_each_step(void) {
    static scene s;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    open_scene(&s, SLUICE_MODE_PRIVATE, SLUICE_NO_TIMEOUT, &sim);
    test_stopped(&s, CLIENT_LAUNCHING, STARTING_NS, SLUICE_ETIMEDOUT, "has not started");
    open_scene(&s, SLUICE_MODE_PRIVATE, SLUICE_NO_TIMEOUT, &sim);
    start_broker(&s);
    test_stopped(&s, CLIENT_BACKOFF, LISTENING_NS, SLUICE_ENOBROKER, "does not listen");
    open_scene(&s, SLUICE_MODE_SERVICE, SLUICE_NO_TIMEOUT, &sim);
    listen_here(&s);
    test_stopped(&s, CLIENT_GREETING, GREETING_NS, SLUICE_EUNRESPONSIVE, "does not greet");
    sim.per_mille[SIM_CONNECT_BUSY] = 1000;
    open_scene(&s, SLUICE_MODE_SERVICE, SLUICE_NO_TIMEOUT, &sim);
    listen_here(&s);
    test_stopped(&s, CLIENT_CONNECTING, GREETING_NS, SLUICE_EUNRESPONSIVE, "takes nobody in");
}

int main(void) {
    test_stopped_in_each_step();
    static const uint64_t patient_ns[] = {SLUICE_NO_TIMEOUT, HOUR_NS};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(patient_ns); i++) {
        test_is_not_started(patient_ns[i], STARTING_NS);
        test_does_not_listen(patient_ns[i], LISTENING_NS);
        test_takes_nobody_in(patient_ns[i], GREETING_NS, SLUICE_EUNRESPONSIVE);
        test_does_not_greet(patient_ns[i]);
    }
    test_is_not_started(SL_NS_PER_S, SL_NS_PER_S);
    test_takes_nobody_in(SL_NS_PER_S, SL_NS_PER_S, SLUICE_ETIMEDOUT);
    test_is_stopping(SLUICE_MODE_SERVICE);
    test_is_stopping(SLUICE_MODE_AUTO);
    puts("ok");
    return 0;
}
