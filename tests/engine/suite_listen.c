/*
 * suite_listen.c - TCP listeners: several addresses as one listener, IPv6 that takes IPv4 as well,
 * what of it cannot be had, and backlogs.
 */
#include <string.h>

#include "tests/engine/rig.h"

#define WAITING           2000 /* connections that come while nobody accepts */
#define WAITING_MIN       600  /* fewer say nothing: a backlog of 64 would hold half of them */
#define WAITING_LIMIT_NS  (UINT64_C(5) * SL_NS_PER_S) /* with a backlog of 64 it is 30 s */
#define HANDLES_FOR_RIG   64
#define CONNECTS_TO_EACH  12

static const uint8_t loopback4[4] = {127, 0, 0, 1};
static const uint8_t another4[4] = {127, 0, 0, 2};
static const uint8_t any4[4] = {0, 0, 0, 0};
static const uint8_t foreign4[4] = {203, 0, 113, 1}; /* RFC 5737: nobody's */
static const uint8_t loopback6[16] = {[15] = 1};
static const uint8_t any6[16] = {0};

static engine_address ipv4(const uint8_t ip[4], uint16_t port) {
    engine_address address;
    engine_address_ipv4(&address, ip, port);
    return address;
}

static engine_address ipv6(const uint8_t ip[16], uint16_t port) {
    engine_address address;
    engine_address_ipv6(&address, ip, 0, port);
    return address;
}

static bool has_ipv6(rig *r) {
    engine_address address = ipv6(loopback6, 0);
    engine_handle *listener = NULL;
    if (rig_listen(r, &address, 1, NULL, &listener) != SLUICE_OK) {
        return false;
    }
    rig_close_handle(r, listener);
    return true;
}

static engine_handle *listen_on(rig *r, const engine_address *addresses, unsigned count,
                                uint16_t *ret_port) {
    engine_handle *listener = NULL;
    engine_address bound;
    EXPECT_STATUS(rig_listen(r, addresses, count, NULL, &listener), SLUICE_OK);
    EXPECT_STATUS(engine_handle_local_address(listener, &bound), SLUICE_OK);
    EXPECT(bound.port != 0);
    *ret_port = bound.port;
    return listener;
}

static engine_completion connect_to(rig *r, const engine_address *address) {
    engine_request_id id = 0;
    uint64_t deadline_ns = rig_after_ns(r, T_AWAIT_NS);
    EXPECT_STATUS(engine_connect(r->worker, address, deadline_ns, NULL, NULL, &id), SLUICE_OK);
    return rig_await(r, id);
}

/* A connection to that address comes to the listener, and says that it came there. */
static void meet(rig *r, engine_handle *listener, engine_address to, uint16_t port) {
    engine_handle *ends[2];
    engine_address local;
    uint8_t byte = 0;
    to.port = port;
    engine_completion completion = connect_to(r, &to);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    ends[1] = completion.opened[0];
    ends[0] = rig_accept(r, listener);
    EXPECT_STATUS(engine_handle_local_address(ends[0], &local), SLUICE_OK);
    EXPECT_INT(local.family, to.family);
    EXPECT(engine_address_equal(&local, &to));
    rig_send(r, ends[1], "m", 1);
    rig_receive(r, ends[0], &byte, 1);
    EXPECT_INT(byte, 'm');
    rig_close_stream(r, ends);
}

static void expect_refused(rig *r, engine_address to, uint16_t port) {
    to.port = port;
    EXPECT_STATUS(connect_to(r, &to).status, SLUICE_EREFUSED);
}

/* ---- several addresses ----------------------------------------------------------------------- */

static void several_addresses(void) {
    rig *r = rig_open();
    engine_address addresses[] = {ipv4(loopback4, 0), ipv4(another4, 0), ipv4(loopback4, 0),
                                  ipv6(loopback6, 0)};
    unsigned count = has_ipv6(r) ? 4 : 3;
    uint16_t port = 0;
    engine_handle *listener = listen_on(r, addresses, count, &port);
    EXPECT_INT(rig_counters(r).handles, 1);
    for (unsigned i = 0; i < CONNECTS_TO_EACH; i++) {
        for (unsigned j = 0; j < count; j++) {
            meet(r, listener, addresses[j], port);
        }
    }
    rig_close_handle(r, listener);
    for (unsigned j = 0; j < count; j++) {
        expect_refused(r, addresses[j], port);
    }
    rig_close(r);
}

/* Accepts that wait take connections from whichever address; a cancelled one has taken none. */
static void accepts_from_all(void) {
    rig *r = rig_open();
    engine_address addresses[] = {ipv4(loopback4, 0), ipv4(another4, 0)};
    engine_request_id ids[2 * CONNECTS_TO_EACH];
    engine_handle *connected[2 * CONNECTS_TO_EACH];
    uint16_t port = 0;
    engine_handle *listener = listen_on(r, addresses, 2, &port);
    addresses[0].port = port;
    addresses[1].port = port;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        EXPECT_STATUS(engine_accept(listener, NULL, &ids[i]), SLUICE_OK);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i += 2) {
        engine_cancel(r->worker, ids[i]);
        rig_await_status(r, ids[i], SLUICE_ECANCELED);
        EXPECT_STATUS(engine_accept(listener, NULL, &ids[i]), SLUICE_OK);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        engine_completion completion = connect_to(r, &addresses[i % 2]);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        connected[i] = completion.opened[0];
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        engine_completion completion = rig_await(r, ids[i]);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        rig_close_handle(r, completion.opened[0]);
        rig_close_handle(r, connected[i]);
    }
    rig_close_handle(r, listener);
    rig_close(r);
}

/* Closing with accepts pending, with connections that wait, and with neither. */
static void closes_all(void) {
    rig *r = rig_open();
    engine_address addresses[] = {ipv4(loopback4, 0), ipv4(another4, 0)};
    for (unsigned round = 0; round < 9; round++) {
        engine_request_id accept = 0;
        engine_handle *clients[2] = {NULL, NULL};
        uint16_t port = 0;
        engine_handle *listener = listen_on(r, addresses, 2, &port);
        if (round % 3 > 0) { /* so that accepts stand */
            EXPECT_STATUS(engine_accept(listener, NULL, &accept), SLUICE_OK);
        }
        if (round % 3 > 1) {
            engine_cancel(r->worker, accept);
            rig_await_status(r, accept, SLUICE_ECANCELED);
            accept = 0;
            for (unsigned i = 0; i < 2; i++) {
                engine_address to = addresses[i];
                to.port = port;
                engine_completion completion = connect_to(r, &to);
                EXPECT_STATUS(completion.status, SLUICE_OK);
                clients[i] = completion.opened[0];
            }
        }
        rig_close_handle(r, listener);
        if (accept != 0) {
            rig_await_status(r, accept, SLUICE_ECANCELED);
        }
        for (unsigned i = 0; i < 2 && clients[i] != NULL; i++) { /* they learn the end */
            uint8_t byte;
            engine_completion end = rig_await(r, rig_read(r, clients[i], &byte, 1));
            EXPECT(end.status == SLUICE_ERESET || end.status == SLUICE_EEOF);
            rig_close_handle(r, clients[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
            expect_refused(r, addresses[i], port);
        }
    }
    rig_close(r);
}

static void addresses_refused(void) {
    rig *r = rig_open();
    engine_address addresses[ENGINE_LISTEN_ADDRESSES_MAX + 1];
    engine_handle *handle = NULL;
    engine_handle *holder;
    uint16_t port = 0;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(addresses); i++) {
        addresses[i] = ipv4(loopback4, 0);
        addresses[i].ip[3] = (uint8_t)(i + 1);
    }
    t_phase("how many");
    EXPECT_STATUS(rig_listen(r, addresses, 0, NULL, &handle), SLUICE_EINVAL);
    EXPECT_STATUS(rig_listen(r, addresses, SL_ARRAY_COUNT(addresses), NULL, &handle),
                  SLUICE_EINVAL);
    holder = listen_on(r, addresses, SL_ARRAY_COUNT(addresses) - 1, &port);
    rig_close_handle(r, holder);
    t_phase("a pipe among them");
    addresses[1] = t_pipe_address();
    EXPECT_STATUS(rig_listen(r, addresses, 2, NULL, &handle), SLUICE_EINVAL);
    t_phase("somebody else's address");
    addresses[0] = ipv4(foreign4, 0);
    EXPECT_STATUS(rig_listen(r, addresses, 1, NULL, &handle), SLUICE_EADDRNOTAVAIL);
    addresses[1] = ipv4(loopback4, 0);
    holder = listen_on(r, addresses, 2, &port); /* left out */
    meet(r, holder, addresses[1], port);
    t_phase("one is taken");
    addresses[0] = ipv4(another4, port);
    addresses[1] = ipv4(loopback4, port);
    EXPECT_STATUS(rig_listen(r, addresses, 2, NULL, &handle), SLUICE_EADDRINUSE);
    EXPECT(engine_worker_os_error(r->worker) != 0);
    EXPECT_STATUS(rig_listen(r, addresses, 1, NULL, &handle), SLUICE_OK); /* was free */
    rig_close_handle(r, handle);
    rig_close_handle(r, holder);
    rig_close(r);
}

/* ---- IPv6 and IPv4 --------------------------------------------------------------------------- */

static void both_protocols(void) {
    rig *r = rig_open();
    engine_address any[] = {ipv6(any6, 0), ipv4(any4, 0)};
    engine_handle *handle = NULL;
    uint16_t port = 0;
    if (!has_ipv6(r)) {
        rig_close(r);
        T_SKIP("this machine has no IPv6 loopback");
    }
    t_phase(":: alone takes both");
    engine_handle *listener = listen_on(r, any, 1, &port);
    meet(r, listener, ipv6(loopback6, 0), port);
    meet(r, listener, ipv4(loopback4, 0), port);
    meet(r, listener, ipv4(another4, 0), port);
    t_phase("nobody else has IPv4's side");
    engine_address taken = ipv4(loopback4, port);
    int status = rig_listen(r, &taken, 1, NULL, &handle);
    EXPECT(status == SLUICE_EADDRINUSE || (status == SLUICE_EACCESS && t_is_backend("iocp")));
    rig_close_handle(r, listener);
    t_phase("both by name");
    listener = listen_on(r, any, 2, &port);
    meet(r, listener, ipv6(loopback6, 0), port);
    meet(r, listener, ipv4(loopback4, 0), port);
    rig_close_handle(r, listener);
    t_phase("::1 takes IPv6 only");
    any[0] = ipv6(loopback6, 0);
    listener = listen_on(r, any, 1, &port);
    meet(r, listener, any[0], port);
    expect_refused(r, ipv4(loopback4, 0), port);
    rig_close_handle(r, listener);
    rig_close(r);
}

static void mapped_addresses(void) {
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1};
    engine_address address = ipv6(mapped, 77);
    engine_address plain = ipv4(loopback4, 77);
    EXPECT(engine_address_equal(&address, &plain));
    plain.port = 78;
    EXPECT(!engine_address_equal(&address, &plain));
    address = ipv6(any6, 77);
    EXPECT(engine_address_is_any(&address) && !engine_address_is_any(&plain));
}

/* ---- backlog --------------------------------------------------------------------------------- */

/* Clients come one after the other while the program does something else. */
static void patient_backlog(void) {
    rig *r = rig_open();
    static engine_handle *clients[WAITING];
    unsigned count = WAITING;
    unsigned room = os_handle_limit(); /* two ends each */
    if (!t_is_sim() && room / 2 < WAITING + HANDLES_FOR_RIG) {
        count = room / 2 > HANDLES_FOR_RIG ? room / 2 - HANDLES_FOR_RIG : 0;
    }
    if (count < WAITING_MIN) {
        rig_close(r);
        T_SKIP("this process may not have enough descriptors");
    }
    engine_address address = ipv4(loopback4, 0);
    engine_handle *listener = listen_on(r, &address, 1, &address.port);
    uint64_t start_ns = rig_now_ns(r);
    for (unsigned i = 0; i < count; i++) {
        engine_completion completion = connect_to(r, &address);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        clients[i] = completion.opened[0];
    }
    uint64_t took_ns = rig_now_ns(r) - start_ns;
    t_note("  %u connections in a row in %u ms", count, (unsigned)(took_ns / SL_NS_PER_MS));
    EXPECT(took_ns < WAITING_LIMIT_NS);
    for (unsigned i = 0; i < count; i++) {
        engine_handle *ends[2] = {rig_accept(r, listener), clients[i]};
        rig_close_stream(r, ends);
    }
    rig_close_handle(r, listener);
    rig_close(r);
}

static const t_case cases[] = {
    {"several_addresses", T_SMOKE, several_addresses},
    {"accepts_from_all", T_SMOKE, accepts_from_all},
    {"closes_all", T_SMOKE, closes_all},
    {"addresses_refused", T_SMOKE, addresses_refused},
    {"both_protocols", T_SMOKE, both_protocols},
    {"mapped_addresses", T_SMOKE, mapped_addresses},
    {"patient_backlog", 0, patient_backlog},
};

const t_suite suite_listen = {"listen", cases, SL_ARRAY_COUNT(cases)};
