/*
 * case_client_stopped.c - a client is halted, as by a debugger, for several times `unresponsive`
 * (with --long: 30 s with the standard limits) and goes on without an error.
 *
 * It is halted with reads pending that are served meanwhile (8 MiB of replies wait for it, more
 * than the connection holds), with reads whose deadline passes meanwhile, with writes and pings
 * under way. The broker serves others as before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/place.h"
#include "tests/integration/stopped.h"

#define TIMED_NS (300 * SL_NS_PER_MS)

/* ---- the client ---- */

typedef struct pinger {
    sluice_session *session;
    sluice_handle ends[2];
    sl_atomic_bool is_over;
    uint64_t count;
} pinger;

/* Never without a call: it is in the middle of one when the process is halted. */
static void run_pinger(void *context) {
    pinger *p = context;
    char byte;
    while (!atomic_load(&p->is_over)) {
        sluice_session *session = p->session;
        EXPECT(sluice_ping(session, SLUICE_NO_TIMEOUT, NULL) == SLUICE_OK);
        EXPECT(sluice_write(session, p->ends[1], "x", 1, SLUICE_NO_TIMEOUT, NULL) == SLUICE_OK);
        EXPECT(sluice_read(session, p->ends[0], &byte, 1, 0, SLUICE_NO_TIMEOUT, NULL) ==
               SLUICE_OK);
        p->count++;
    }
}

static sluice_handle open_one(int32_t status, const sluice_result *result) {
    EXPECT(status == SLUICE_OK && result->handle_count >= 1);
    return result->handles[0];
}

static void start_pinger(pinger *p, sluice_session *session, sl_thread *thread) {
    sluice_result pair = {.size = sizeof(pair)};
    EXPECT(sluice_pair(session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    *p = (pinger){.session = session, .ends = {pair.handles[0], pair.handles[1]}};
    EXPECT(sl_thread_start(thread, "pinger", run_pinger, p) == 0);
}

int stopped_run(const char *endpoint, const char *name) {
    static uint8_t bytes[STOPPED_STREAMS][STOPPED_BYTES];
    static char never[1];
    sluice_handle streams[STOPPED_STREAMS];
    sluice_handle idle[STOPPED_STREAMS];
    sluice_result result = {.size = sizeof(result)};
    place_tally reads;
    place_tally timed;
    pinger p;
    sl_thread thread;
    char address[PLACE_ENDPOINT_BYTES + 8];
    (void)snprintf(address, sizeof(address), "pipe:%s", name);
    sluice_session *session = place_open(endpoint, "stopped");
    sluice_handle listener =
        open_one(sluice_listen(session, address, 16, PLACE_LONG_NS, &result), &result);
    printf("listening\n");
    place_tally_init(&reads, STOPPED_STREAMS);
    place_tally_init(&timed, STOPPED_STREAMS);
    for (uint32_t i = 0; i < STOPPED_STREAMS; i++) {
        streams[i] = open_one(sluice_accept(session, listener, PLACE_LONG_NS, &result), &result);
        idle[i] = open_one(sluice_pair(session, PLACE_LONG_NS, &result), &result);
        EXPECT(sluice_read_start(session, streams[i], bytes[i], STOPPED_BYTES, SLUICE_READ_ALL,
                                 SLUICE_NO_TIMEOUT, place_count, &reads, NULL) == SLUICE_OK);
    }
    start_pinger(&p, session, &thread);
    for (uint32_t i = 0; i < STOPPED_STREAMS; i++) {
        EXPECT(sluice_read_start(session, idle[i], never, 1, 0, TIMED_NS, place_count, &timed,
                                 NULL) == SLUICE_OK);
    }
    EXPECT(sluice_ping(session, PLACE_LONG_NS, NULL) == SLUICE_OK);
    printf("ready\n");
    EXPECT(place_tally_wait(&reads, PLACE_LONG_NS * 4));
    EXPECT(place_tally_wait(&timed, PLACE_LONG_NS));
    atomic_store(&p.is_over, true);
    sl_thread_join(&thread);
    EXPECT(place_tally_get(&reads, SLUICE_OK) == STOPPED_STREAMS);
    EXPECT(place_tally_get(&timed, SLUICE_ETIMEDOUT) == STOPPED_STREAMS);
    for (uint32_t i = 0; i < STOPPED_STREAMS; i++) {
        for (uint32_t k = 0; k < STOPPED_BYTES; k++) {
            EXPECT(bytes[i][k] == stopped_byte(i, k));
        }
        EXPECT(sluice_write(session, streams[i], "ok", 2, PLACE_LONG_NS, NULL) == SLUICE_OK);
    }
    EXPECT(place_connections(session) == 1);
    printf("fine, %llu rounds of calls\n", (unsigned long long)p.count);
    while (getchar() != EOF) { /* the test reads what was written before the pipes go */
    }
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    return 0;
}

/* ---- the test ---- */

static void write_all(sluice_session *session, const sluice_handle *streams) {
    static uint8_t bytes[STOPPED_BYTES];
    for (uint32_t i = 0; i < STOPPED_STREAMS; i++) {
        for (uint32_t k = 0; k < STOPPED_BYTES; k++) {
            bytes[k] = stopped_byte(i, k);
        }
        EXPECT(sluice_write(session, streams[i], bytes, STOPPED_BYTES, PLACE_LONG_NS, NULL) ==
               SLUICE_OK);
    }
}

void case_client_stopped(place *at) {
    static const char *const limits[] = {"unresponsive=1s", "ping_interval=200ms", NULL};
    uint64_t stop_ns = (at->is_long ? 30 : 5) * SL_NS_PER_S;
    sluice_handle streams[STOPPED_STREAMS];
    sluice_result result = {.size = sizeof(result)};
    process client;
    char name[PLACE_ENDPOINT_BYTES];
    char address[PLACE_ENDPOINT_BYTES + 8];
    char bytes[2];
    process_endpoint(name, sizeof(name), 1);
    (void)snprintf(address, sizeof(address), "pipe:%s", name);
    place_start_broker(at, 1, at->is_long ? NULL : limits);
    sluice_session *session = place_open(at->endpoint, "bystander");
    const char *words[] = {at->endpoint, name, NULL};
    place_start_role(&client, "stopped", words);
    (void)process_until(&client, "listening");
    for (uint32_t i = 0; i < STOPPED_STREAMS; i++) {
        streams[i] = open_one(sluice_connect(session, address, PLACE_LONG_NS, &result), &result);
    }
    (void)process_until(&client, "ready");
    process_suspend(&client);
    uint64_t end_ns = place_now_ns() + stop_ns;
    write_all(session, streams); /* what is read for it waits at the broker */
    uint64_t slowest_ns = 0;
    for (uint64_t now_ns = place_now_ns(); now_ns < end_ns;) {
        EXPECT(sluice_ping(session, PLACE_GRACE_NS, NULL) == SLUICE_OK);
        uint64_t took_ns = place_now_ns() - now_ns;
        slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
        now_ns += took_ns;
    }
    process_resume(&client);
    printf("halted for %.1f s; the bystander's slowest call: %.1f ms; the client: fine%s\n",
           (double)stop_ns / 1e9, (double)slowest_ns / 1e6, process_until(&client, "fine"));
    for (uint32_t i = 0; i < STOPPED_STREAMS; i++) {
        EXPECT(sluice_read(session, streams[i], bytes, 2, SLUICE_READ_ALL, PLACE_LONG_NS, NULL) ==
               SLUICE_OK);
    }
    process_continue_input(&client);
    EXPECT(process_wait(&client, PROCESS_PATIENCE_NS) && client.exit_code == 0);
    process_deinit(&client);
    EXPECT(place_connections(session) == 1);
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_stop_broker(at);
}
