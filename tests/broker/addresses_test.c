/*
 * addresses_test.c - a connect to a host with several addresses, on the simulator: one that is
 * silent has its share of the time, then the next has its turn.
 */
#include <stdio.h>
#include <string.h>

#include "tests/broker/rig.h"

#define MOST_NS  (2 * SL_NS_PER_S) /* for an address with others behind it */
#define SLACK_NS (100 * SL_NS_PER_MS)

static const uint8_t silent_ip[4] = {203, 0, 113, 1};
static const uint8_t absent_ip[4] = {198, 51, 100, 1}; /* there is no way to it */
static engine_address silent_first[2];
static engine_address silent_twice[3];
static engine_address in_vain[3];
static engine_address refused_first[2];

static const sim_host hosts[] = {
    {"first.test", silent_first, 2},
    {"twice.test", silent_twice, 3},
    {"vain.test", in_vain, 3},
    {"refused.test", refused_first, 2},
};

static void set_hosts(void) {
    for (unsigned i = 0; i < 3; i++) {
        engine_address_ipv4(&silent_twice[i], silent_ip, 0);
        engine_address_ipv4(&in_vain[i], silent_ip, 0);
        silent_twice[i].ip[3] = in_vain[i].ip[3] = (uint8_t)(i + 1);
    }
    silent_first[0] = silent_twice[0];
    engine_address_loopback(&silent_first[1], 0);
    engine_address_loopback(&silent_twice[2], 0);
    engine_address_ipv4(&in_vain[2], absent_ip, 0);
    engine_address_loopback(&refused_first[0], 0);
    refused_first[1] = silent_twice[0];
}

static uint64_t start_connect(raw_client *c, const char *address, uint64_t timeout_ns) {
    sl_request request = {.id = client_id(c), .kind = SL_REQUEST_CONNECT};
    request.as.connect.address = address;
    request.as.connect.timeout_ns = timeout_ns;
    client_send(c, &request, NULL, 0);
    return request.id;
}

/* Ends so long after it began, with that. */
static void expect_end(test_rig *rig, raw_client *c, const char *address, uint64_t timeout_ns,
                       uint64_t after_ns, int status, const char *detail) {
    raw_reply reply;
    uint64_t began_ns = rig->manual.now_ns;
    EXPECT(client_await(c, start_connect(c, address, timeout_ns), &reply));
    uint64_t took_ns = rig->manual.now_ns - began_ns;
    if (reply.status != status || strcmp(reply.detail, detail) != 0) {
        printf("%s: %d, \"%s\"\n", address, reply.status, reply.detail);
    }
    EXPECT(reply.status == status && strcmp(reply.detail, detail) == 0);
    EXPECT(took_ns >= after_ns && took_ns < after_ns + SLACK_NS);
    if (status == SLUICE_OK) {
        EXPECT(call_close(c, reply.opened[0]) == SLUICE_OK);
    }
    reply_free(&reply);
}

static void test_shares(test_rig *rig, raw_client *c) {
    expect_end(rig, c, "tcp:first.test:4711", 0, MOST_NS, SLUICE_OK, "");
    expect_end(rig, c, "tcp:first.test:4711", SL_NS_PER_S, SL_NS_PER_S / 2, SLUICE_OK, "");
    expect_end(rig, c, "tcp:first.test:4711", 60 * SL_NS_PER_S, MOST_NS, SLUICE_OK, "");
    expect_end(rig, c, "tcp:twice.test:4711", 0, 2 * MOST_NS, SLUICE_OK, "");
    expect_end(rig, c, "tcp:twice.test:4711", 3 * SL_NS_PER_S, MOST_NS, SLUICE_OK, "");
}

static void test_in_vain(test_rig *rig, raw_client *c) {
    expect_end(rig, c, "tcp:vain.test:4711", 0, 2 * MOST_NS, SLUICE_EUNREACHABLE,
               "address: 3 of the host's 3 were tried: 203.0.113.1 ETIMEDOUT, 203.0.113.2 "
               "ETIMEDOUT, 198.51.100.1 EUNREACHABLE");
    expect_end(rig, c, "tcp:first.test:4712", SL_NS_PER_S, SL_NS_PER_S / 2, SLUICE_EREFUSED,
               "address: 2 of the host's 2 were tried: 203.0.113.1 ETIMEDOUT, 127.0.0.1 EREFUSED");
    expect_end(rig, c, "tcp:203.0.113.9:1", SL_NS_PER_S, SL_NS_PER_S, SLUICE_ETIMEDOUT, "");
}

/* In the middle of the first attempt, and at its end. */
static void test_cancelled(test_rig *rig, raw_client *c) {
    for (uint64_t at_ns = MOST_NS - SLACK_NS; at_ns < MOST_NS + SLACK_NS; at_ns += SL_NS_PER_MS) {
        raw_reply reply;
        uint64_t id = start_connect(c, "tcp:first.test:4711", 0);
        rig_run_for(rig, at_ns);
        send_cancel(c, id);
        EXPECT(client_await(c, id, &reply));
        EXPECT(reply.status == SLUICE_ECANCELED || reply.status == SLUICE_OK);
        if (reply.status == SLUICE_OK) {
            EXPECT(call_close(c, reply.opened[0]) == SLUICE_OK);
        }
        reply_free(&reply);
    }
}

/* While the first attempt is refused: the system's number is that one's, and not the end's. */
static void test_ended_when_refused(test_rig *rig, raw_client *c) {
    for (uint64_t i = 0; i < 200; i++) {
        bool is_cancelled = i % 2 == 0;
        raw_reply reply;
        uint64_t at_ns = i * (10 * SL_NS_PER_US);
        uint64_t id =
            start_connect(c, "tcp:refused.test:4712", is_cancelled ? 0 : SL_NS_PER_US + at_ns);
        rig_run_for(rig, is_cancelled ? at_ns : 0);
        if (is_cancelled) {
            send_cancel(c, id);
        }
        EXPECT(client_await(c, id, &reply));
        EXPECT(reply.status == (is_cancelled ? SLUICE_ECANCELED : SLUICE_ETIMEDOUT));
        EXPECT(reply.os_error == 0);
        reply_free(&reply);
    }
}

static void run(uint64_t seed) {
    test_rig rig;
    raw_reply listener;
    sim_options sim;
    sim_options_gentle(&sim, seed);
    sim.hosts = hosts;
    sim.host_count = SL_ARRAY_COUNT(hosts);
    rig_options options = {.sim = &sim};
    rig_open(&rig, &options);
    raw_client *c = client_open(&rig);
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:4711", &listener) == SLUICE_OK);
    test_shares(&rig, c);
    test_in_vain(&rig, c);
    test_cancelled(&rig, c);
    test_ended_when_refused(&rig, c);
    EXPECT(call_close(c, listener.opened[0]) == SLUICE_OK);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(void) {
    set_hosts();
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run(seed);
    }
    puts("ok");
    return 0;
}
