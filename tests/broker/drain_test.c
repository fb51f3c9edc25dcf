/*
 * drain_test.c - how a broker stops, on the simulator and on the platform's own engine: what runs
 * may finish, what is new is refused, what does not finish is cancelled with the cause ESHUTDOWN.
 * (Stopping over stuck work: stuck_test.c.)
 */
#include <stdio.h>
#include <string.h>

#include "broker/refusal.h"
#include "tests/broker/rig.h"

#define LONG_NS  (30 * SL_NS_PER_S)
#define LATE     4u
#define CROWD    (4 * REFUSALS_MAX)
#define GRACE_NS (200 * SL_NS_PER_MS)
#define SOON_NS  (10 * SL_NS_PER_S) /* well below LONG_NS, well above a busy machine's delays */
#define AT_ONCE_NS \
    (100 * SL_NS_PER_MS) /* on the simulator: no timer of the broker's is that short */

static void open_rig(test_rig *rig, const sim_options *sim) {
    rig_options options = {.sim = sim, .worker_count = 2};
    rig_open(rig, &options);
}

static void await_draining(test_rig *rig, raw_client *c) {
    uint64_t since_ns = 0;
    while (client_drainings(c) == 0) {
        rig_wait(rig, &since_ns);
    }
}

static void expect_refused(raw_client *c, const uint64_t ends[2]) {
    raw_reply reply;
    EXPECT(await_status(c, start_read(c, ends[0], 1, false, 0)) == SLUICE_ESHUTDOWN);
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_ESHUTDOWN);
    EXPECT(call_pair(c, (uint64_t[2]){0}) == SLUICE_ESHUTDOWN);
    EXPECT(call_plain(c, SL_REQUEST_ACCEPT, ends[0], &reply) == SLUICE_ESHUTDOWN);
    EXPECT(call_plain(c, SL_REQUEST_HALF_CLOSE, ends[1], &reply) == SLUICE_ESHUTDOWN);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, "tcp:127.0.0.1:9", &reply) == SLUICE_ESHUTDOWN);
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &reply) == SLUICE_ESHUTDOWN);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    EXPECT(call_plain(c, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK && reply.counters.draining);
    EXPECT(call_plain(c, SL_REQUEST_ACKNOWLEDGE_TORN, ends[1], &reply) == SLUICE_OK);
}

/* A read and the write that it waits for, whose second half is sent while the broker drains. */
static void test_finishes(const sim_options *sim) {
    test_rig rig;
    uint64_t ends[2];
    raw_reply reply;
    open_rig(&rig, sim);
    raw_client *silent = client_connect(&rig);
    raw_client *idle = client_open(&rig);
    raw_client *c = client_open(&rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t read = start_read(c, ends[0], 8, true, 0);
    sl_request write = {.id = client_id(c), .kind = SL_REQUEST_WRITE};
    write.as.write.handle = ends[1];
    write.as.write.length_bytes = 8;
    client_send(c, &write, "1234", 4);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    uint64_t began_ns = sl_clock_now_ns(rig.clock);
    broker_drain(rig.broker, LONG_NS);
    await_draining(&rig, c);
    EXPECT(client_await_end(idle) == SLUICE_ESHUTDOWN);
    EXPECT(client_await_end(silent) == SLUICE_ESHUTDOWN);
    expect_refused(c, ends);
    EXPECT(!client_has(c, read) && !client_has(c, write.id));
    sl_request rest = {.id = write.id, .kind = SL_REQUEST_WRITE_DATA};
    client_send(c, &rest, "5678", 4);
    EXPECT(client_await(c, write.id, &reply) && reply.status == SLUICE_OK && reply.done == 8);
    EXPECT(client_await(c, read, &reply) && reply.status == SLUICE_OK && reply.done == 8);
    EXPECT(memcmp(reply.payload, "12345678", 8) == 0);
    reply_free(&reply);
    /* Nothing is left to do: it ends now, long before the grace is over. */
    EXPECT(client_await_end(c) == SLUICE_ESHUTDOWN);
    client_close(c);
    client_close(idle);
    client_close(silent);
    rig_await_empty(&rig);
    EXPECT(sl_clock_now_ns(rig.clock) - began_ns < SOON_NS);
    rig_close(&rig);
}

static uint64_t start_all(raw_client *c, uint64_t ids[4]) {
    static uint8_t bytes[1 << 20];
    uint64_t ends[2];
    raw_reply listener;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &listener) == SLUICE_OK);
    sl_request accept = {.id = client_id(c), .kind = SL_REQUEST_ACCEPT};
    accept.as.accept.listener = listener.opened[0];
    client_send(c, &accept, NULL, 0);
    ids[0] = accept.id;
    ids[1] = start_write(c, ends[1], bytes, sizeof(bytes), 0);
    ids[2] = start_write(c, ends[1], "x", 1, 0);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    ids[3] = start_read(c, ends[0], 1, false, 0);
    return ends[1];
}

static void expect_cut(raw_client *c, const uint64_t ids[4]) {
    raw_reply reply;
    EXPECT(client_await(c, ids[1], &reply) && reply.status == SLUICE_ESHUTDOWN);
    EXPECT(reply.done + reply.in_doubt > 0);
    int behind = await_status(c, ids[2]);
    EXPECT(behind == SLUICE_ETORN || behind == SLUICE_ESHUTDOWN);
    EXPECT(await_status(c, ids[0]) == SLUICE_ESHUTDOWN);
    EXPECT(await_status(c, ids[3]) == SLUICE_ESHUTDOWN);
    EXPECT(client_await_end(c) == SLUICE_ESHUTDOWN);
}

/* The grace passes; or a second stop request does not wait for it. */
static void test_cut(const sim_options *sim, bool is_hurried) {
    test_rig rig;
    uint64_t ids[4];
    open_rig(&rig, sim);
    raw_client *c = client_open(&rig);
    (void)start_all(c, ids);
    rig_run_for(&rig, 20 * SL_NS_PER_MS);
    uint64_t began_ns = sl_clock_now_ns(rig.clock);
    broker_drain(rig.broker, is_hurried ? LONG_NS : GRACE_NS);
    await_draining(&rig, c);
    if (is_hurried) {
        rig_run_for(&rig, GRACE_NS);
        EXPECT(!client_has(c, ids[3]));
        broker_drain(rig.broker, LONG_NS); /* cannot make it longer */
        broker_drain(rig.broker, 0);
    }
    expect_cut(c, ids);
    uint64_t took_ns = sl_clock_now_ns(rig.clock) - began_ns;
    EXPECT(took_ns >= GRACE_NS && took_ns < SOON_NS);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

/* A client that takes none of this is left behind: the broker ends in its time all the same. */
static void test_deaf(const sim_options *sim) {
    test_rig rig;
    uint64_t ends[2];
    sl_limits limits;
    static uint8_t bytes[1 << 19];
    sl_limits_default(&limits);
    limits.close_grace_ns = SL_NS_PER_S;
    rig_options options = {.sim = sim, .limits = &limits};
    rig_open(&rig, &options);
    raw_client *c = client_open(&rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t write = start_write(c, ends[1], bytes, sizeof(bytes), 0);
    rig_run_for(&rig, 20 * SL_NS_PER_MS);
    raw_reply reply;
    client_stop_reading(c, true);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK); /* ends the read under way */
    for (unsigned i = 0; i < 8; i++) {
        (void)start_read(c, ends[0], sizeof(bytes) / 8, true, 0);
    }
    rig_run_for(&rig, 20 * SL_NS_PER_MS);
    uint64_t began_ns = sl_clock_now_ns(rig.clock);
    broker_drain(rig.broker, 0);
    uint64_t since_ns = 0;
    while (!broker_has_ended(rig.broker, NULL)) {
        rig_wait(&rig, &since_ns);
    }
    EXPECT(sl_clock_now_ns(rig.clock) - began_ns < SOON_NS);
    EXPECT(!client_has(c, write));
    client_close(c);
    rig_close(&rig);
}

/* Connections that arrive in the moment in which the broker begins to stop: it does not take them
 * on, and waits for none of them. */
static void test_late_connections(uint64_t seed) {
    test_rig rig;
    sim_options sim;
    raw_client *late[LATE];
    sim_options_gentle(&sim, seed);
    open_rig(&rig, &sim);
    for (unsigned i = 0; i < LATE; i++) {
        late[i] = client_dial(&rig, sl_clock_after_ns(rig.manual.now_ns, LONG_NS));
    }
    for (uint64_t i = 0; i < seed % 8; i++) {
        rig_step(&rig);
    }
    uint64_t began_ns = sl_clock_now_ns(rig.clock);
    broker_drain(rig.broker, LONG_NS);
    uint64_t since_ns = 0;
    while (!broker_has_ended(rig.broker, NULL)) {
        rig_wait(&rig, &since_ns);
    }
    EXPECT(sl_clock_now_ns(rig.clock) - began_ns < GRACE_NS);
    for (unsigned i = 0; i < LATE; i++) {
        client_close(late[i]);
    }
    rig_close(&rig);
}

/* It need not say anything for that, nor does it hang up then. */
static void expect_told(test_rig *rig, const raw_client *newcomer) {
    uint64_t since_ns = 0;
    while (client_goodbye_detail(newcomer)[0] == '\0') {
        EXPECT(!client_is_over(newcomer));
        rig_wait(rig, &since_ns);
    }
    EXPECT(strcmp(client_goodbye_detail(newcomer), "the broker is stopping") == 0);
}

/* Whoever comes while a broker drains is told so at once, by whichever worker, also when one of
 * them has nothing left to do. More than can be told are closed. None of them keeps the broker,
 * which ends with its last operation, and those that are dealt out at that moment do not either. */
static void test_refuses_newcomers(const sim_options *sim) {
    test_rig rig;
    uint64_t ends[2];
    raw_reply reply;
    raw_client *newcomers[LATE];
    raw_client *crowd[CROWD];
    raw_client *last[LATE];
    open_rig(&rig, sim);
    raw_client *idle = client_open(&rig);
    raw_client *c = client_open(&rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t read = start_read(c, ends[0], 1, false, 0);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK); /* the broker has it */
    broker_drain(rig.broker, LONG_NS);
    await_draining(&rig, c);
    EXPECT(client_await_end(idle) == SLUICE_ESHUTDOWN); /* so both workers have heard of it */
    uint64_t began_ns = sl_clock_now_ns(rig.clock);
    for (unsigned i = 0; i < LATE; i++) {
        newcomers[i] = client_connect(&rig);
        expect_told(&rig, newcomers[i]);
    }
    EXPECT(sl_clock_now_ns(rig.clock) - began_ns < (sim != NULL ? AT_ONCE_NS : SOON_NS));
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = client_connect(&rig);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        int told = client_await_end(crowd[i]);
        EXPECT(told == SLUICE_ESHUTDOWN || told == 0);
    }
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK && !client_has(c, read));
    for (unsigned i = 0; i < LATE; i++) {
        last[i] = client_dial(&rig, sl_clock_after_ns(sl_clock_now_ns(rig.clock), LONG_NS));
    }
    began_ns = sl_clock_now_ns(rig.clock);
    send_cancel(c, read);
    EXPECT(await_status(c, read) == SLUICE_ECANCELED);
    EXPECT(client_await_end(c) == SLUICE_ESHUTDOWN);
    uint64_t since_ns = 0;
    while (!broker_has_ended(rig.broker, NULL)) {
        rig_wait(&rig, &since_ns);
    }
    EXPECT(sl_clock_now_ns(rig.clock) - began_ns < (sim != NULL ? AT_ONCE_NS : SOON_NS));
    for (unsigned i = 0; i < CROWD; i++) {
        client_close(crowd[i]);
    }
    for (unsigned i = 0; i < LATE; i++) {
        client_close(newcomers[i]);
        client_close(last[i]);
    }
    client_close(c);
    client_close(idle);
    rig_close(&rig);
}

static void run_all(const sim_options *sim) {
    test_refuses_newcomers(sim);
    test_finishes(sim);
    test_cut(sim, false);
    test_cut(sim, true);
    test_deaf(sim);
}

int main(void) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        run_all(&sim);
    }
    for (uint64_t seed = 1; seed <= 200; seed++) {
        test_late_connections(seed);
    }
    run_all(NULL);
    puts("ok");
    return 0;
}
