/*
 * case_slow_reader.c - a client that reads slowly, or stands still, is offered 10 GiB (here 256
 * MiB; --long: all). What the broker holds for it never exceeds the session's byte quota and a
 * small constant, by the broker's own count and by the system's; every byte arrives.
 *
 * The client has all its byte credit in use, 16 reads of 1 MiB on 16 connections, each started
 * again as soon as it ends. It stands still for a second to begin with, then most of the time: the
 * replies wait in the broker. The peers are sockets without Sluice that send as fast as they can.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/place.h"
#include "tests/integration/slow.h"

#define STREAMS       16u
#define READ_BYTES    (1024u * 1024) /* 16 MiB in all: the session's quota */
#define BLOCK_BYTES   (64u * 1024)
#define TOTAL         (UINT64_C(256) << 20)
#define TOTAL_WINE    (UINT64_C(64) << 20)
#define TOTAL_LONG    (UINT64_C(10) << 30)
#define STILL_NS      SL_NS_PER_S
#define HALT_NS       (150 * SL_NS_PER_MS)
#define GO_NS         (50 * SL_NS_PER_MS)
#define LOOK_NS       (5 * SL_NS_PER_MS)
/* Standing receives (64 KiB a handle), the connection's own buffers, what the pools keep. */
#define CONSTANT      (UINT64_C(6) << 20)
/* What the system's allocator and the engine's pools add. */
#define CONSTANT_RSS  (UINT64_C(12) << 20)

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

/* The byte at a place is the same in every block. */
static void fill(uint8_t *block) {
    for (uint32_t i = 0; i < BLOCK_BYTES; i++) {
        block[i] = (uint8_t)(i * 7 + i / 256);
    }
}

/* ---- the client ---- */

typedef struct slow_stream {
    sluice_session *session;
    sluice_handle handle;
    uint64_t received;
    uint8_t bytes[READ_BYTES];
} slow_stream;

static slow_stream streams[STREAMS];
static uint8_t pattern[BLOCK_BYTES];
static sl_atomic_u32 open_count;
static sl_event all_ended;

static void start_read(slow_stream *s);

static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    slow_stream *s = user;
    (void)operation;
    for (uint64_t at = 0; at < result->done;) {
        uint64_t offset = (s->received + at) % BLOCK_BYTES;
        uint64_t length = BLOCK_BYTES - offset;
        length = length < result->done - at ? length : result->done - at;
        EXPECT(memcmp(s->bytes + at, pattern + offset, length) == 0);
        at += length;
    }
    s->received += result->done;
    if (result->status == SLUICE_OK) {
        start_read(s);
    } else {
        EXPECT(result->status == SLUICE_EEOF);
        if (atomic_fetch_sub(&open_count, 1) == 1) {
            sl_event_set(&all_ended);
        }
    }
}

static void start_read(slow_stream *s) {
    EXPECT(sluice_read_start(s->session, s->handle, s->bytes, READ_BYTES, SLUICE_READ_ALL,
                             SLUICE_NO_TIMEOUT, on_read, s, NULL) == SLUICE_OK);
}

int slow_run(const char *endpoint, const char *name) {
    char address[PLACE_ENDPOINT_BYTES + 8];
    sluice_result result = {.size = sizeof(result)};
    uint64_t total = 0;
    fill(pattern);
    EXPECT(sl_event_init(&all_ended) == 0);
    (void)snprintf(address, sizeof(address), "pipe:%s", name);
    sluice_session *session = place_open(endpoint, "slow");
    EXPECT(sluice_listen(session, address, STREAMS, PLACE_LONG_NS, &result) == SLUICE_OK);
    sluice_handle listener = result.handles[0];
    printf("listening\n");
    for (uint32_t i = 0; i < STREAMS; i++) {
        EXPECT(sluice_accept(session, listener, PLACE_LONG_NS, &result) == SLUICE_OK);
        streams[i].session = session;
        streams[i].handle = result.handles[0];
    }
    atomic_store(&open_count, STREAMS);
    for (uint32_t i = 0; i < STREAMS; i++) {
        start_read(&streams[i]);
    }
    printf("ready\n");
    EXPECT(sl_event_wait_until(&all_ended, SL_CLOCK_NEVER)); /* the case's watchdog */
    for (uint32_t i = 0; i < STREAMS; i++) {
        total += streams[i].received;
    }
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    sl_event_deinit(&all_ended);
    printf("total %llu\n", (unsigned long long)total);
    return 0;
}

/* ---- the test ---- */

typedef struct sender {
    uint64_t raw;
    uint64_t blocks;
    sl_thread thread;
} sender;

static void run_sender(void *context) {
    sender *s = context;
    for (uint64_t i = 0; i < s->blocks; i++) {
        EXPECT(process_raw_send(s->raw, pattern, BLOCK_BYTES));
    }
    process_raw_close(s->raw);
}

typedef struct most {
    uint64_t own_bytes;
    uint64_t rss_bytes;
} most;

static void look(place *at, sluice_session *session, most *most_so_far) {
    sluice_broker_info info = place_status(session);
    uint64_t rss_bytes = process_memory_bytes(at->broker.id);
    if (info.memory_bytes > most_so_far->own_bytes) {
        most_so_far->own_bytes = info.memory_bytes;
    }
    if (rss_bytes > most_so_far->rss_bytes) {
        most_so_far->rss_bytes = rss_bytes;
    }
}

/* Looks for a while; true = the client has ended. */
static bool watch(place *at, sluice_session *session, process *client, uint64_t time_ns,
                  most *most_so_far) {
    uint64_t until_ns = place_now_ns() + time_ns;
    do {
        look(at, session, most_so_far);
        place_let_pass(LOOK_NS);
        if (process_wait(client, 0)) {
            return true;
        }
    } while (place_now_ns() < until_ns);
    return false;
}

void case_slow_reader(place *at) {
    static sender senders[STREAMS];
    uint64_t total = at->is_long ? TOTAL_LONG
                     : IS_SANITIZED || process_is_wine() ? TOTAL_WINE : TOTAL;
    char name[PLACE_ENDPOINT_BYTES];
    process client;
    most before = {0};
    most during = {0};
    fill(pattern);
    process_endpoint(name, sizeof(name), 1);
    place_start_broker(at, 1, NULL);
    sluice_session *session = place_open(at->endpoint, "watcher");
    const char *words[] = {at->endpoint, name, NULL};
    place_start_role(&client, "slow", words);
    (void)process_until(&client, "listening");
    for (uint32_t i = 0; i < STREAMS; i++) {
        senders[i].raw = process_raw_open_pipe(name);
        senders[i].blocks = total / STREAMS / BLOCK_BYTES;
    }
    (void)process_until(&client, "ready");
    look(at, session, &before);
    process_suspend(&client);
    for (uint32_t i = 0; i < STREAMS; i++) {
        EXPECT(sl_thread_start(&senders[i].thread, "sender", run_sender, &senders[i]) == 0);
    }
    bool is_over = watch(at, session, &client, STILL_NS, &during);
    while (!is_over) {
        process_resume(&client);
        is_over = watch(at, session, &client, GO_NS, &during);
        if (!is_over) {
            process_suspend(&client);
            is_over = watch(at, session, &client, HALT_NS, &during);
        }
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        sl_thread_join(&senders[i].thread);
    }
    EXPECT(strtoull(process_until(&client, "total "), NULL, 10) == total);
    EXPECT(client.exit_code == 0);
    process_deinit(&client);
    sluice_session_info info = {.size = sizeof(info)};
    EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
    uint64_t quota = info.credit_bytes;
    printf("offered %llu MiB: the broker held at most %.2f MiB more than before by its own count, "
           "%.2f MiB by the system's; the quota is %llu MiB%s\n",
           (unsigned long long)(total >> 20),
           (double)(during.own_bytes - before.own_bytes) / 1048576,
           ((double)during.rss_bytes - (double)before.rss_bytes) / 1048576,
           (unsigned long long)(quota >> 20),
           IS_SANITIZED ? " (the system's is not judged with a sanitizer)" : "");
    EXPECT(during.own_bytes <= before.own_bytes + quota + CONSTANT);
    EXPECT(IS_SANITIZED || during.rss_bytes <= before.rss_bytes + quota + CONSTANT_RSS);
    EXPECT(during.own_bytes > before.own_bytes + quota / 2); /* it was offered, and did wait */
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_stop_broker(at);
}
