/*
 * broker_test.c - the broker's semantics, on the simulator (gentle, several seeds) and on the
 * platform's own engine.
 */
#include <stdio.h>
#include <string.h>

#include "broker/pipe_name.h"
#include "tests/broker/rig.h"
#include "tests/broker/rig_name.h"

static uint8_t pattern[1 << 20];

static void test_basics(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t done;
    raw_reply reply;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(call_write(c, ends[1], "hi", 2) == SLUICE_OK);
    EXPECT(call_read(c, ends[0], 1, false, "h", &done) == SLUICE_OK && done == 1);
    EXPECT(call_read(c, ends[0], 0, false, NULL, &done) == SLUICE_OK && done == 0);
    EXPECT(call_read(c, ends[0], 100, false, "i", &done) == SLUICE_OK && done == 1);
    uint64_t all = start_read(c, ends[0], 300000, true, 0);
    EXPECT(call_write(c, ends[1], pattern, 300000) == SLUICE_OK);
    EXPECT(client_await(c, all, &reply) && reply.status == SLUICE_OK);
    EXPECT(reply.done == 300000 && reply.length == 300000);
    EXPECT(memcmp(reply.payload, pattern, 300000) == 0);
    reply_free(&reply);
    EXPECT(call_write(c, ends[1], "", 0) == SLUICE_OK);
    EXPECT(call_write(c, ends[0], "x", 1) == SLUICE_ENOTSUP);
    EXPECT(call_plain(c, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
    EXPECT(reply.counters.handles >= 2 && reply.counters.sessions >= 1);
    EXPECT(call_plain(c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    EXPECT(call_write(c, ends[1], "end", 3) == SLUICE_OK);
    EXPECT(call_close(c, ends[1]) == SLUICE_OK);
    all = start_read(c, ends[0], 10, true, 0);
    EXPECT(client_await(c, all, &reply) && reply.status == SLUICE_EEOF && reply.done == 3);
    reply_free(&reply);
    EXPECT(call_read(c, ends[0], 10, false, NULL, &done) == SLUICE_EEOF);
    EXPECT(call_close(c, ends[1]) == SLUICE_EBADHANDLE);
    EXPECT(call_close(c, ends[0]) == SLUICE_OK);
    client_close(c);
}

static void test_cancel(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t done;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t read = start_read(c, ends[0], 16, false, 0);
        uint64_t write = 0;
        if (i % 3 == 0) {
            write = start_write(c, ends[1], "abc", 3, 0);
        }
        send_cancel(c, read);
        if (write == 0) {
            write = start_write(c, ends[1], "abc", 3, 0);
        }
        EXPECT(await_status(c, write) == SLUICE_OK);
        int status = await_status(c, read);
        EXPECT(status == SLUICE_OK || status == SLUICE_ECANCELED);
        if (status == SLUICE_ECANCELED) {
            EXPECT(call_read(c, ends[0], 3, true, "abc", &done) == SLUICE_OK && done == 3);
        }
    }
    uint64_t late = start_read(c, ends[0], 16, false, 20 * SL_NS_PER_MS);
    EXPECT(await_status(c, late) == SLUICE_ETIMEDOUT);
    uint64_t pending = start_read(c, ends[0], 16, false, 0);
    uint64_t close = start_close(c, ends[0]);
    EXPECT(await_status(c, pending) == SLUICE_ECLOSED);
    EXPECT(await_status(c, close) == SLUICE_OK);
    client_close(c);
}

static void test_torn(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    raw_reply reply;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t big = start_write(c, ends[1], pattern, 1 << 20, 50 * SL_NS_PER_MS);
    uint64_t behind = start_write(c, ends[1], "x", 1, 0);
    EXPECT(client_await(c, big, &reply) && reply.status == SLUICE_ETIMEDOUT);
    EXPECT(reply.done + reply.in_doubt > 0 && reply.done < 1 << 20);
    EXPECT(await_status(c, behind) == SLUICE_ETORN);
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_ETORN);
    EXPECT(call_plain(c, SL_REQUEST_ACKNOWLEDGE_TORN, ends[1], &reply) == SLUICE_OK);
    uint64_t read = start_read(c, ends[0], 1 << 20, false, 0);
    EXPECT(await_status(c, read) == SLUICE_OK);
    EXPECT(call_close(c, ends[1]) == SLUICE_OK);
    client_close(c);
}

/* The peer would take the end of a torn stream for a good one: a half-close is refused, too. */
static void test_torn_half_close(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t near = call_connect_to(c, c);
    raw_reply reply;
    bool is_torn = false;
    for (unsigned i = 0; i < 256 && !is_torn; i++) { /* until the system's buffers are full */
        uint64_t big = start_write(c, near, pattern, 1 << 20, 50 * SL_NS_PER_MS);
        EXPECT(client_await(c, big, &reply));
        EXPECT(reply.status == SLUICE_OK || reply.status == SLUICE_ETIMEDOUT);
        is_torn = reply.status != SLUICE_OK && reply.done + reply.in_doubt > 0;
    }
    EXPECT(is_torn);
    EXPECT(call_plain(c, SL_REQUEST_HALF_CLOSE, near, &reply) == SLUICE_ETORN);
    EXPECT(call_plain(c, SL_REQUEST_ACKNOWLEDGE_TORN, near, &reply) == SLUICE_OK);
    EXPECT(call_plain(c, SL_REQUEST_HALF_CLOSE, near, &reply) == SLUICE_OK);
    client_close(c);
}

/* A read of no bytes waits until there are some, and takes none. */
static void test_no_bytes(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t done;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t probe = start_read(c, ends[0], 0, false, 0);
    uint64_t brief = start_read(c, ends[0], 0, false, 10 * SL_NS_PER_MS);
    EXPECT(await_status(c, brief) == SLUICE_ETIMEDOUT);
    EXPECT(!client_has(c, probe));
    EXPECT(call_write(c, ends[1], "here", 4) == SLUICE_OK);
    EXPECT(await_status(c, probe) == SLUICE_OK);
    EXPECT(await_status(c, start_read(c, ends[0], 0, false, 0)) == SLUICE_OK); /* at once */
    EXPECT(call_read(c, ends[0], 4, true, "here", &done) == SLUICE_OK && done == 4);
    EXPECT(call_close(c, ends[1]) == SLUICE_OK);
    EXPECT(await_status(c, start_read(c, ends[0], 0, false, 0)) == SLUICE_EEOF);
    client_close(c);
}

static void test_sockets(test_rig *rig) {
    raw_client *c = client_open(rig);
    raw_reply listener;
    raw_reply reply;
    uint64_t done;
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &listener) == SLUICE_OK);
    EXPECT(listener.local_address[0] != '\0');
    sl_request accept = {.id = client_id(c), .kind = SL_REQUEST_ACCEPT};
    accept.as.accept.listener = listener.opened[0];
    client_send(c, &accept, NULL, 0);
    send_cancel(c, accept.id);
    EXPECT(await_status(c, accept.id) == SLUICE_ECANCELED);
    sl_request listen = {.id = client_id(c), .kind = SL_REQUEST_LISTEN};
    listen.as.listen.address = "tcp:127.0.0.1:0";
    client_send(c, &listen, NULL, 0);
    send_cancel(c, listen.id);
    int status = await_status(c, listen.id);
    EXPECT(status == SLUICE_ECANCELED || status == SLUICE_OK); /* it was faster */
    EXPECT(call_address(c, SL_REQUEST_CONNECT, listener.local_address, &reply) == SLUICE_OK);
    uint64_t near = reply.opened[0];
    EXPECT(call_plain(c, SL_REQUEST_ACCEPT, listener.opened[0], &reply) == SLUICE_OK);
    uint64_t far = reply.opened[0];
    EXPECT(call_write(c, near, "over", 4) == SLUICE_OK);
    EXPECT(call_read(c, far, 4, true, "over", &done) == SLUICE_OK);
    EXPECT(call_plain(c, SL_REQUEST_HALF_CLOSE, near, &reply) == SLUICE_OK);
    EXPECT(call_read(c, far, 4, false, NULL, &done) == SLUICE_EEOF);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, "gopher:x", &reply) == SLUICE_EINVAL);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, "pipe:/nowhere/at/all", &reply) < 0);
    /* A failure brings the system's own number along. */
    raw_reply gone;
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &gone) == SLUICE_OK);
    EXPECT(call_close(c, gone.opened[0]) == SLUICE_OK);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, gone.local_address, &reply) == SLUICE_EREFUSED);
    EXPECT(reply.os_error != 0);
    client_close(c); /* with its handles open */
}

/* A connection to `host` at the listener's port comes to it, and is seen to be for that address. */
static void meet(raw_client *c, const raw_reply *listener, const char *host) {
    char address[SL_ADDRESS_BYTES + 1];
    raw_reply near;
    raw_reply far;
    (void)snprintf(address, sizeof(address), "tcp:%s%s", host,
                   strrchr(listener->local_address, ':'));
    EXPECT(call_address(c, SL_REQUEST_CONNECT, address, &near) == SLUICE_OK);
    EXPECT(call_plain(c, SL_REQUEST_ACCEPT, listener->opened[0], &far) == SLUICE_OK);
    EXPECT(strcmp(far.local_address, address) == 0);
    EXPECT(call_close(c, near.opened[0]) == SLUICE_OK);
    EXPECT(call_close(c, far.opened[0]) == SLUICE_OK);
}

/* A name with two addresses, and IPv6's "any" address, which is IPv4's as well. */
static void test_addresses(test_rig *rig) {
    raw_client *c = client_open(rig);
    raw_reply listener;
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:localhost:0", &listener) == SLUICE_OK);
    if (rig->is_simulated) { /* which knows two; another machine's localhost may have one */
        meet(c, &listener, "127.0.0.1");
        meet(c, &listener, "[::1]");
    }
    EXPECT(call_close(c, listener.opened[0]) == SLUICE_OK);
    int status = call_address(c, SL_REQUEST_LISTEN, "tcp:[::]:0", &listener);
    if (status == SLUICE_OK) {
        EXPECT(strncmp(listener.local_address, "tcp:[::]:", 9) == 0);
        meet(c, &listener, "127.0.0.1");
        meet(c, &listener, "[::1]");
        EXPECT(call_close(c, listener.opened[0]) == SLUICE_OK);
    } else { /* no IPv6 here */
        EXPECT(!rig->is_simulated);
        EXPECT(status == SLUICE_ENOTSUP || status == SLUICE_EADDRNOTAVAIL);
    }
    client_close(c);
}

static void test_names(test_rig *rig) {
    raw_client *c = client_open(rig);
    char address[SL_ADDRESS_BYTES + 1] = "pipe:";
    raw_reply reply;
    memset(address + 5, 'n', 400);
    EXPECT(call_address(c, SL_REQUEST_LISTEN, address, &reply) == SLUICE_ENAMETOOLONG);
    EXPECT(strcmp(reply.detail, rig_long_name_detail) == 0);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, address, &reply) == SLUICE_ENAMETOOLONG);
    EXPECT(strcmp(reply.detail, rig_long_name_detail) == 0);
    if (rig_wide_name() != NULL) {
        (void)snprintf(address, sizeof(address), "pipe:%s", rig_wide_name());
        EXPECT(call_address(c, SL_REQUEST_LISTEN, address, &reply) == SLUICE_OK);
        EXPECT(call_close(c, reply.opened[0]) == SLUICE_OK);
        EXPECT(call_address(c, SL_REQUEST_LISTEN, "pipe:a\\..\\b", &reply) == SLUICE_EINVAL);
        EXPECT(strcmp(reply.detail, "address: \"..\" is no part of a pipe's name") == 0);
        EXPECT(call_address(c, SL_REQUEST_CONNECT, "pipe:. .", &reply) == SLUICE_EINVAL);
        EXPECT(strstr(reply.detail, "without its dots and blanks") != NULL);
    } else {
        EXPECT(call_address(c, SL_REQUEST_LISTEN, "pipe:some/where", &reply) == SLUICE_EINVAL);
        EXPECT(strstr(reply.detail, "a path that begins with /") != NULL);
        EXPECT(call_address(c, SL_REQUEST_CONNECT, "pipe:there", &reply) == SLUICE_EINVAL);
        EXPECT(strstr(reply.detail, "a path that begins with /") != NULL);
    }
    client_close(c);
}

static void expect_violation(test_rig *rig, bool says_hello, const void *bytes, size_t length) {
    raw_client *c = says_hello ? client_open(rig) : client_connect(rig);
    client_send_bytes(c, bytes, length);
    int goodbye = client_await_end(c);
    EXPECT(goodbye == SLUICE_EPROTOCOL || goodbye == 0);
    client_close(c);
}

static void test_violations(test_rig *rig) {
    raw_client *bystander = client_open(rig);
    static const uint8_t huge[8] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    static const uint8_t empty[8] = {0};
    static const uint8_t ping[] = {2, 0, 0, 0, 0, 0, 0, 0, 0x6a, 0};
    static const uint8_t early[] = {4, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x6a, 0}; /* before Hello */
    static const uint8_t twice[] = {4, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x3a, 0,
                                    4, 0, 0, 0, 0, 0, 0, 0, 8, 9, 0x3a, 0};
    raw_reply reply;
    expect_violation(rig, true, huge, sizeof(huge));
    expect_violation(rig, false, huge, sizeof(huge));
    expect_violation(rig, true, empty, sizeof(empty));
    expect_violation(rig, false, ping, sizeof(ping));
    expect_violation(rig, false, early, sizeof(early));
    expect_violation(rig, true, ping, sizeof(ping));
    expect_violation(rig, true, "garbage garbage garbage!", 24);
    expect_violation(rig, true, twice, sizeof(twice));
    raw_client *truncated = client_open(rig);
    client_send_bytes(truncated, "\x40\0\0\0\0\0", 6);
    client_close(truncated);
    EXPECT(call_plain(bystander, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    client_close(bystander);
}

static void test_credits(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t first = 0;
    unsigned refused = 0;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    for (unsigned i = 0; i < 1124; i++) {
        uint64_t id = start_read(c, ends[0], 16, false, 0);
        first = first != 0 ? first : id;
    }
    uint64_t close = start_close(c, ends[0]);
    EXPECT(await_status(c, close) == SLUICE_OK);
    for (unsigned i = 0; i < 1124; i++) {
        int status = await_status(c, first + i);
        EXPECT(status == SLUICE_ECLOSED || status == SLUICE_EQUOTA);
        refused += status == SLUICE_EQUOTA;
    }
    EXPECT(refused == 100);
    client_close(c);
}

/* What the engine dropped is counted, and shown. */
static void test_strays(test_rig *rig) {
    raw_client *c = client_open(rig);
    raw_reply reply;
    uint64_t since = 0;
    EXPECT(call_plain(c, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
    EXPECT(reply.counters.stray_packets == 0);
    if (rig->is_simulated) {
        sim_world_stray(rig->world);
        while (rig_counters(rig).stray_packets < rig->worker_count) {
            rig_wait(rig, &since);
        }
        EXPECT(call_plain(c, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
        EXPECT(reply.counters.stray_packets == rig->worker_count);
    }
    client_close(c);
}

static void test_ops(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    unsigned rows = 0;
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    for (unsigned i = 0; i < 150; i++) {
        (void)start_read(c, ends[0], 16, false, 0);
    }
    sl_request ops = {.kind = SL_REQUEST_OPS};
    do {
        raw_reply reply;
        ops.id = client_id(c);
        client_send(c, &ops, NULL, 0);
        EXPECT(client_await(c, ops.id, &reply) && reply.status == SLUICE_OK);
        for (unsigned i = 0; i < reply.row_count; i++) {
            rows += reply.rows[i].handle == ends[0] && reply.rows[i].kind == SL_REQUEST_READ;
        }
        ops.as.ops.cursor = reply.next_cursor;
        reply_free(&reply);
    } while (ops.as.ops.cursor != 0);
    EXPECT(rows == 150);
    client_close(c);
}

static void test_guesses(test_rig *rig, unsigned count) {
    raw_client *owner = client_open(rig);
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    uint64_t ids[64];
    EXPECT(call_pair(owner, ends) == SLUICE_OK);
    for (unsigned i = 0; i < count; i += 64) {
        for (unsigned k = 0; k < 64; k++) {
            uint64_t guess = ends[k % 2] + ((uint64_t)(i + k) / 2 << 32) + (k % 8) / 2;
            ids[k] = start_read(c, guess, 1, false, 0);
        }
        for (unsigned k = 0; k < 64; k++) {
            EXPECT(await_status(c, ids[k]) == SLUICE_EBADHANDLE);
        }
    }
    client_close(c);
    client_close(owner);
}

static void expect_refused(raw_client *c, sl_request_kind kind, const char *address) {
    raw_reply reply;
    EXPECT(call_address(c, kind, address, &reply) == SLUICE_EACCESS);
    EXPECT(reply.opened_count == 0);
    EXPECT(kind == SL_REQUEST_LISTEN || strstr(reply.detail, "broker's endpoint") != NULL);
}

/* A broker does not connect to its own endpoint for a client, who would be the broker there. */
static void test_own_endpoint(test_rig *rig) {
    raw_client *c = client_open(rig);
    char address[2 * ENGINE_PIPE_NAME_BYTES];
    raw_reply reply;
    const char *name = rig->endpoint.pipe;
    bool is_windows = strncmp(name, "\\\\.\\pipe\\", 9) == 0;
    name += is_windows ? 9 : 0;
    (void)snprintf(address, sizeof(address), "pipe:%s", name);
    engine_address pipe;
    EXPECT(pipe_name_address(name, &pipe, NULL) == SLUICE_OK);
    bool is_marked = !rig->is_simulated || strcmp(pipe.pipe, rig->endpoint.pipe) == 0;
    if (!is_windows && is_marked) {
        expect_refused(c, SL_REQUEST_CONNECT, address);
    } else if (is_windows) { /* its name is not a pipe's: it begins as only endpoints do */
        EXPECT(call_address(c, SL_REQUEST_CONNECT, address, &reply) == SLUICE_ENOTFOUND);
        (void)snprintf(address, sizeof(address), "pipe:Sluice.Broker\\%s", name);
        expect_refused(c, SL_REQUEST_CONNECT, address);
        expect_refused(c, SL_REQUEST_LISTEN, address);
    }
    client_close(c);
}

/* Nor is such a connection let in, should it come about: its peer is the broker's own process. */
static void test_own_process(void) {
    test_rig rig;
    rig_options options = {.sim = NULL, .refuses_itself = true};
    rig_open(&rig, &options);
    raw_client *c = client_connect(&rig);
    EXPECT(client_await_end(c) == SLUICE_EACCESS);
    EXPECT(strstr(client_goodbye_detail(c), "the broker itself") != NULL);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

static void test_drain(test_rig *rig) {
    raw_client *c = client_open(rig);
    uint64_t ends[2];
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    uint64_t read = start_read(c, ends[0], 1, false, 0);
    rig_run_for(rig, 20 * SL_NS_PER_MS);
    broker_drain(rig->broker, 100 * SL_NS_PER_MS);
    uint64_t since_ns = 0;
    while (client_drainings(c) == 0) {
        rig_wait(rig, &since_ns);
    }
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_ESHUTDOWN);
    EXPECT(await_status(c, read) == SLUICE_ESHUTDOWN);
    EXPECT(client_await_end(c) == SLUICE_ESHUTDOWN);
    client_close(c);
}

static void run_all(const sim_options *sim, uint32_t workers) {
    test_rig rig;
    rig_options options = {.sim = sim, .worker_count = workers};
    rig_open(&rig, &options);
    test_basics(&rig);
    test_cancel(&rig);
    test_torn(&rig);
    test_torn_half_close(&rig);
    test_no_bytes(&rig);
    test_sockets(&rig);
    test_addresses(&rig);
    test_names(&rig);
    test_violations(&rig);
    test_credits(&rig);
    test_strays(&rig);
    test_ops(&rig);
    test_guesses(&rig, 6400);
    test_own_endpoint(&rig);
    rig_await_empty(&rig);
    test_drain(&rig);
    rig_close(&rig);
}

int main(void) {
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (uint8_t)(i * 31 + (i >> 9));
    }
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim_options sim;
        sim_options_gentle(&sim, seed);
        run_all(&sim, 1 + (uint32_t)(seed % 3));
        printf("seed %u\n", (unsigned)seed);
    }
    run_all(NULL, 2);
    test_own_process();
    puts("ok");
    return 0;
}
