/*
 * forward_test.c - the forwarder among the examples: bytes both ways, many connections, half-closes
 * passed on, and a target that nobody listens at.
 *     client_forward_test FORWARD SLUICED
 */
#include <sluice/sluice.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/process.h"

#define CALL_NS     (30 * SL_NS_PER_S)
#define PIECE       (64u << 10)
#define PIECES      48u /* 3 MiB: more than the buffers of the way hold */
#define CONNECTIONS 20u

static sluice_session *session;
static char out[PIECE], in[PIECE];

static sluice_handle connect_to(const char *address) {
    sluice_result result = {.size = sizeof(result)};
    EXPECT(sluice_connect(session, address, CALL_NS, &result) == SLUICE_OK);
    return result.handles[0];
}

static sluice_handle accept_one(sluice_handle listener) {
    sluice_result result = {.size = sizeof(result)};
    EXPECT(sluice_accept(session, listener, CALL_NS, &result) == SLUICE_OK);
    return result.handles[0];
}

static sluice_handle listen_somewhere(char address[544]) {
    sluice_result result = {.size = sizeof(result)};
    EXPECT(sluice_listen(session, "tcp:127.0.0.1:0", 128, CALL_NS, &result) == SLUICE_OK);
    EXPECT(sluice_local_address(session, result.handles[0], address, 544) == SLUICE_OK);
    return result.handles[0];
}

static void pass(sluice_handle from, sluice_handle to, unsigned seed) {
    for (unsigned i = 0; i < PIECE; i++) {
        out[i] = (char)(i * 7 + seed);
    }
    EXPECT(sluice_write(session, from, out, PIECE, CALL_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_read(session, to, in, PIECE, SLUICE_READ_ALL, CALL_NS, NULL) == SLUICE_OK);
    EXPECT(memcmp(in, out, PIECE) == 0);
}

static void expect_end(sluice_handle handle) {
    EXPECT(sluice_read(session, handle, in, 1, 0, CALL_NS, NULL) == SLUICE_EEOF);
}

/* Bytes both ways; one side ends, the other goes on; then both have ended. */
static void one_connection(const char *front, sluice_handle listener) {
    sluice_handle client = connect_to(front);
    sluice_handle server = accept_one(listener);
    for (unsigned i = 0; i < PIECES; i++) {
        pass(client, server, i);
        pass(server, client, i + 100);
    }
    EXPECT(sluice_half_close(session, client, CALL_NS, NULL) == SLUICE_OK);
    expect_end(server);
    pass(server, client, 200);
    EXPECT(sluice_half_close(session, server, CALL_NS, NULL) == SLUICE_OK);
    expect_end(client);
    EXPECT(sluice_close(session, client, CALL_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_close(session, server, CALL_NS, NULL) == SLUICE_OK);
}

/* Which of them the forwarder connects first is its own affair: a byte says who is who. */
static void many_connections(const char *front, sluice_handle listener) {
    sluice_handle clients[CONNECTIONS], servers[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        char name = (char)i;
        clients[i] = connect_to(front);
        EXPECT(sluice_write(session, clients[i], &name, 1, CALL_NS, NULL) == SLUICE_OK);
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        sluice_handle server = accept_one(listener);
        char name = 0;
        EXPECT(sluice_read(session, server, &name, 1, 0, CALL_NS, NULL) == SLUICE_OK);
        servers[(unsigned)name] = server;
    }
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        pass(clients[i], servers[i], i);
        pass(servers[i], clients[i], i + 50);
        EXPECT(sluice_close(session, clients[i], CALL_NS, NULL) == SLUICE_OK);
        expect_end(servers[i]);
        EXPECT(sluice_close(session, servers[i], CALL_NS, NULL) == SLUICE_OK);
    }
}

int main(int argc, char **argv) {
    static process forward;
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE};
    char target[544], front[544];
    EXPECT(argc == 3);
    options.broker_path = argv[2];
    EXPECT(sluice_open(&options, &session) == SLUICE_OK);
    sluice_handle listener = listen_somewhere(target);
    const char *const words[] = {argv[1], "tcp:127.0.0.1:0", target, argv[2], NULL};
    process_start(&forward, words);
    const char *rest = process_until(&forward, "tcp:");
    int length = (int)strcspn(rest, " \n"); /* behind the line the reader may be writing */
    EXPECT(snprintf(front, sizeof(front), "tcp:%.*s", length, rest) < (int)sizeof(front));

    one_connection(front, listener);
    many_connections(front, listener);
    EXPECT(sluice_close(session, listener, CALL_NS, NULL) == SLUICE_OK);
    sluice_handle alone = connect_to(front); /* nobody at the target: it is closed */
    int status = sluice_read(session, alone, in, 1, 0, CALL_NS, NULL);
    EXPECT(status == SLUICE_EEOF || status == SLUICE_ERESET);

    process_continue_input(&forward);
    EXPECT(process_wait(&forward, PROCESS_PATIENCE_NS) && forward.exit_code == 0);
    process_deinit(&forward);
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    return 0;
}
