/*
 * suite_socket.c - what only sockets have: datagrams with their boundaries, addresses, IPv6, name
 * look-up, refused connections, addresses that are taken or not ours.
 */
#include <string.h>

#include "engine/backend.h"
#include "tests/engine/rig.h"

#define DATAGRAM_TOO_LARGE 70000 /* UDP carries 65,507 bytes at most */
#define ADDRESSES          8

static engine_handle *open_udp(rig *r, engine_address *ret_address) {
    engine_handle *udp = NULL;
    engine_address_loopback(ret_address, 0);
    EXPECT_STATUS(engine_udp_open(r->worker, ret_address, &udp), SLUICE_OK);
    EXPECT_STATUS(engine_handle_local_address(udp, ret_address), SLUICE_OK);
    EXPECT(ret_address->port != 0 && ret_address->family == ENGINE_ADDRESS_IPV4);
    EXPECT_INT(engine_handle_capabilities(udp), ENGINE_CAN_DATAGRAM);
    return udp;
}

static engine_request_id send_to(engine_handle *udp, const void *bytes, size_t length,
                                 const engine_address *to) {
    engine_request_id id = 0;
    engine_buffer buffer = {.bytes = bytes, .length = length};
    EXPECT_STATUS(engine_send_to(udp, &buffer, length > 0 ? 1 : 0, to, NULL, &id), SLUICE_OK);
    return id;
}

static void udp_happy(void) {
    static uint8_t big[60000];
    static uint8_t received[60000];
    rig *r = rig_open();
    engine_address here;
    engine_address there;
    engine_address from;
    engine_handle *a = open_udp(r, &here);
    engine_handle *b = open_udp(r, &there);
    engine_request_id id = 0;
    static const size_t lengths[] = {1, 100, 0, 1400, 60000, 0, 7};
    pattern_fill(big, sizeof(big), 1, 0);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(lengths); i++) {
        size_t half = lengths[i] / 2;
        engine_buffer halves[2] = {{.bytes = big, .length = half},
                                   {.bytes = big + half, .length = lengths[i] - half}};
        memset(&from, 0, sizeof(from));
        EXPECT_STATUS(engine_receive_from(b, received, sizeof(received), &from, &from, &id),
                      SLUICE_OK);
        engine_request_id sent = 0;
        EXPECT_STATUS(engine_send_to(a, halves, 2, &there, NULL, &sent), SLUICE_OK);
        EXPECT_INT(rig_await_status(r, sent, SLUICE_OK), lengths[i]);
        engine_completion completion = rig_await(r, id);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        EXPECT_INT(completion.bytes, lengths[i]);
        EXPECT(completion.user == &from && completion.handle == b);
        pattern_expect(received, lengths[i], 1, 0);
        EXPECT(from.family == ENGINE_ADDRESS_IPV4 && from.port == here.port);
        EXPECT(memcmp(from.ip, here.ip, 4) == 0);
    }
    EXPECT_STATUS(engine_receive_from(b, received, 8, NULL, NULL, &id), SLUICE_OK);
    rig_await_status(r, send_to(b, "self", 4, &there), SLUICE_OK);
    EXPECT_INT(rig_await_status(r, id, SLUICE_OK), 4);
    rig_close_handle(r, a);
    rig_close_handle(r, b);
    rig_close(r);
}

/* A datagram longer than the buffer is cut, and said to be; the next one is whole. */
static void udp_boundaries(void) {
    rig *r = rig_open();
    engine_address here;
    engine_handle *a = open_udp(r, &here);
    uint8_t buffer[16];
    engine_request_id id = 0;
    rig_await_status(r, send_to(a, "0123456789", 10, &here), SLUICE_OK);
    rig_await_status(r, send_to(a, "abc", 3, &here), SLUICE_OK);
    poison(buffer, sizeof(buffer), POISON_BEFORE);
    EXPECT_STATUS(engine_receive_from(a, buffer, 4, NULL, NULL, &id), SLUICE_OK);
    EXPECT_INT(rig_await_status(r, id, SLUICE_ETRUNCATED), 4);
    EXPECT(memcmp(buffer, "0123", 4) == 0 && is_poisoned(buffer + 4, 12, POISON_BEFORE));
    EXPECT_STATUS(engine_receive_from(a, buffer, 16, NULL, NULL, &id), SLUICE_OK);
    EXPECT_INT(rig_await_status(r, id, SLUICE_OK), 3);
    EXPECT(memcmp(buffer, "abc", 3) == 0);
    rig_close_handle(r, a);
    rig_close(r);
}

static void udp_too_large(void) {
    static uint8_t bytes[DATAGRAM_TOO_LARGE];
    rig *r = rig_open();
    engine_address here;
    engine_handle *a = open_udp(r, &here);
    engine_completion completion = rig_await(r, send_to(a, bytes, sizeof(bytes), &here));
    EXPECT_STATUS(completion.status, SLUICE_ETOOLARGE);
    EXPECT_INT(completion.bytes + completion.in_doubt, 0);
    rig_await_status(r, send_to(a, "ok", 2, &here), SLUICE_OK); /* the socket lives */
    rig_close_handle(r, a);
    rig_close(r);
}

/* Nobody at the other end: an ICMP error comes back, and is not reported to the next receive. */
static void udp_nobody(void) {
    rig *r = rig_open();
    engine_address here;
    engine_address gone;
    engine_handle *a = open_udp(r, &here);
    engine_handle *b = open_udp(r, &gone);
    uint8_t buffer[4];
    engine_request_id id = 0;
    rig_close_handle(r, b);
    EXPECT_STATUS(engine_receive_from(a, buffer, 4, NULL, NULL, &id), SLUICE_OK);
    for (int i = 0; i < 3; i++) {
        rig_await_status(r, send_to(a, "?", 1, &gone), SLUICE_OK);
    }
    rig_expect_quiet(r);
    rig_await_status(r, send_to(a, "me", 2, &here), SLUICE_OK);
    EXPECT_INT(rig_await_status(r, id, SLUICE_OK), 2);
    rig_close_handle(r, a);
    rig_close(r);
}

static void ipv6(void) {
    static const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    rig *r = rig_open();
    engine_address address;
    engine_handle *listener = NULL;
    engine_handle *ends[2];
    engine_request_id id = 0;
    uint8_t byte = 0;
    engine_address_ipv6(&address, loopback, 0, 0);
    int status = rig_listen(r, &address, 1, NULL, &listener);
    if (status == SLUICE_EADDRNOTAVAIL || status == SLUICE_ENOTSUP) {
        rig_close(r);
        T_SKIP("this machine has no IPv6 loopback");
    }
    EXPECT_STATUS(status, SLUICE_OK);
    EXPECT_STATUS(engine_handle_local_address(listener, &address), SLUICE_OK);
    EXPECT(address.family == ENGINE_ADDRESS_IPV6 && address.port != 0);
    EXPECT(memcmp(address.ip, loopback, 16) == 0);
    EXPECT_STATUS(engine_connect(r->worker, &address, rig_after_ns(r, T_AWAIT_NS), NULL, NULL, &id),
                  SLUICE_OK);
    ends[0] = rig_accept(r, listener);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    ends[1] = completion.opened[0];
    rig_send(r, ends[1], "6", 1);
    rig_receive(r, ends[0], &byte, 1);
    EXPECT_INT(byte, '6');
    rig_close_stream(r, ends);
    rig_close_handle(r, listener);
    rig_close(r);
}

static void local_addresses(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_address server;
    engine_address client;
    rig_stream(r, STREAM_TCP, ends);
    EXPECT_STATUS(engine_handle_local_address(ends[0], &server), SLUICE_OK);
    EXPECT_STATUS(engine_handle_local_address(ends[1], &client), SLUICE_OK);
    EXPECT_INT(server.port, r->addresses[STREAM_TCP].port);
    EXPECT(client.port != 0 && client.port != server.port && client.ip[0] == 127);
    rig_close_stream(r, ends);
    rig_stream(r, STREAM_PIPE, ends);
    EXPECT_STATUS(engine_handle_local_address(ends[0], &server), SLUICE_ENOTSUP);
    rig_close_stream(r, ends);
    rig_close(r);
}

static engine_completion resolve(rig *r, const char *host, engine_address *ret_addresses,
                                 uint32_t capacity) {
    engine_request_id id = 0;
    EXPECT_STATUS(engine_resolve(r->worker, host, 4711, ret_addresses, capacity, NULL, NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT(completion.count <= capacity && completion.handle == NULL);
    return completion;
}

/* An address of one link that does not say which, and one of a link that nobody knows. */
static void addresses_of_links(void) {
    static const char *const hosts[] = {"fe80::1", "ff02::1"};
    rig *r = rig_open();
    engine_address address;
    engine_request_id id = 0;
    if (t_is_sim()) {
        t_note("skipped: the simulator has no links");
        rig_close(r);
        return;
    }
    engine_completion completion = resolve(r, "fe80::1%no-such-link", &address, 1);
    EXPECT_STATUS(completion.status, SLUICE_ENOTFOUND);
    EXPECT(completion.detail != NULL && strcmp(completion.detail, ENGINE_DETAIL_NO_LINK) == 0);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(hosts); i++) {
        EXPECT_STATUS(resolve(r, hosts[i], &address, 1).status, SLUICE_OK);
        EXPECT_STATUS(engine_listen(r->worker, &address, 1, NULL, NULL, NULL, &id), SLUICE_OK);
        completion = rig_await(r, id);
        if (completion.status == SLUICE_ENOTSUP) {
            t_note("skipped: no IPv6 here");
            break;
        }
        t_note("listen at %s: %s, code %u", hosts[i], sl_status_name(completion.status),
               (unsigned)completion.os_error);
        EXPECT_STATUS(completion.status, SLUICE_EINVAL);
        EXPECT(completion.detail != NULL && strcmp(completion.detail, ENGINE_DETAIL_LINK) == 0);
    }
    EXPECT_STATUS(engine_connect(r->worker, &address, rig_after_ns(r, T_AWAIT_NS), NULL, NULL, &id),
                  SLUICE_OK);
    completion = rig_await(r, id);
    EXPECT(completion.status != SLUICE_EINVAL ||
           (completion.detail != NULL && strcmp(completion.detail, ENGINE_DETAIL_LINK) == 0));
    rig_close(r);
}

static void resolve_names(void) {
    rig *r = rig_open();
    engine_address addresses[ADDRESSES];
    char long_name[2 * ENGINE_HOST_BYTES];
    engine_completion completion = resolve(r, "127.0.0.1", addresses, ADDRESSES);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    EXPECT_INT(completion.count, 1);
    EXPECT(addresses[0].family == ENGINE_ADDRESS_IPV4 && addresses[0].port == 4711);
    EXPECT(addresses[0].ip[0] == 127 && addresses[0].ip[3] == 1);
    completion = resolve(r, "localhost", addresses, ADDRESSES);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    EXPECT(completion.count >= 1);
    memset(&addresses[1], 0, sizeof(addresses[1]));
    completion = resolve(r, "localhost", addresses, 1);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    EXPECT_INT(completion.count, 1);
    EXPECT_INT(addresses[1].family, ENGINE_ADDRESS_NONE); /* not written */
    completion = resolve(r, "no-such-host.invalid", addresses, ADDRESSES);
    EXPECT_STATUS(completion.status, SLUICE_ENOTFOUND);
    /* No number of the resolver's where a code of the system's belongs: its words instead. */
    if (t_is_backend("epoll")) {
        EXPECT(completion.os_error == 0 && completion.detail != NULL);
    } else if (t_is_backend("iocp")) {
        EXPECT(completion.os_error != 0);
    }
    EXPECT_INT(completion.count, 0);
    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    EXPECT_STATUS(engine_resolve(r->worker, long_name, 1, addresses, 1, NULL, NULL, NULL),
                  SLUICE_ENAMETOOLONG);
    EXPECT_STATUS(engine_resolve(r->worker, "", 1, addresses, 1, NULL, NULL, NULL), SLUICE_EINVAL);
    rig_close(r);
}

static void refused(void) {
    rig *r = rig_open();
    engine_request_id id = 0;
    engine_handle *listener = rig_listener(r, STREAM_TCP);
    r->listeners[STREAM_TCP] = NULL;
    rig_close_handle(r, listener); /* the port is free now */
    EXPECT_STATUS(engine_connect(r->worker, &r->addresses[STREAM_TCP], rig_after_ns(r, T_AWAIT_NS),
                                 NULL, NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_EREFUSED);
    EXPECT(completion.os_error != 0);
    EXPECT(completion.opened[0] == NULL);
    rig_close(r);
}

static void address_taken(void) {
    static const uint8_t foreign[4] = {203, 0, 113, 1}; /* RFC 5737: nobody's */
    rig *r = rig_open();
    engine_handle *handle = NULL;
    engine_address here;
    (void)rig_listener(r, STREAM_TCP);
    EXPECT_STATUS(rig_listen(r, &r->addresses[STREAM_TCP], 1, NULL, &handle), SLUICE_EADDRINUSE);
    EXPECT(r->listen_error != 0);
    engine_handle *udp = open_udp(r, &here);
    EXPECT_STATUS(engine_udp_open(r->worker, &here, &handle), SLUICE_EADDRINUSE);
    EXPECT(handle == NULL);
    engine_address_ipv4(&here, foreign, 0);
    EXPECT_STATUS(rig_listen(r, &here, 1, NULL, &handle), SLUICE_EADDRNOTAVAIL);
    if (!os_is_wine()) { /* Wine binds a datagram socket to an address that is not the machine's */
        EXPECT_STATUS(engine_udp_open(r->worker, &here, &handle), SLUICE_EADDRNOTAVAIL);
    }
    EXPECT(handle == NULL);
    rig_close_handle(r, udp);
    rig_close(r);
}

/* A listener's port can be had again at once, also after connections. */
static void address_again(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    rig_stream(r, STREAM_TCP, ends);
    rig_close_handle(r, ends[0]); /* the server closes first: its side is left in TIME_WAIT */
    rig_close_handle(r, ends[1]);
    engine_handle *listener = r->listeners[STREAM_TCP];
    r->listeners[STREAM_TCP] = NULL;
    rig_close_handle(r, listener);
    EXPECT_STATUS(rig_listen(r, &r->addresses[STREAM_TCP], 1, NULL, &r->listeners[STREAM_TCP]),
                  SLUICE_OK);
    rig_stream(r, STREAM_TCP, ends);
    rig_close_stream(r, ends);
    rig_close(r);
}

static const t_case cases[] = {
    {"udp_happy", T_SMOKE, udp_happy},
    {"udp_boundaries", T_SMOKE, udp_boundaries},
    {"udp_too_large", T_SMOKE, udp_too_large},
    {"udp_nobody", T_SMOKE, udp_nobody},
    {"ipv6", T_SMOKE, ipv6},
    {"local_addresses", T_SMOKE, local_addresses},
    {"resolve_names", 0, resolve_names},
    {"addresses_of_links", 0, addresses_of_links},
    {"refused", T_SMOKE, refused},
    {"address_taken", T_SMOKE, address_taken},
    {"address_again", T_SMOKE, address_again},
};

const t_suite suite_socket = {"socket", cases, SL_ARRAY_COUNT(cases)};
