/*
 * case_slow_reader.c - a client that reads slowly, or stands still, is offered 10 GiB (here 256
 * MiB; --long: all). What the broker holds for it never exceeds the session's byte quota and a
 * small constant, by the broker's own count and by the system's; every byte arrives; and the p99 of
 * another client's null RPC on that worker stays within twice that on the other worker, with the
 * slow client and its peers at work as well.
 *
 * The client has all its byte credit in use, 16 reads of 1 MiB on 16 connections, each started
 * again as soon as it ends. It stands still for a second to begin with, then for three quarters of
 * the time: the replies wait in the broker. The peers are sockets without Sluice that send as fast
 * as they can. A window of pings lasts for whole turns of standing still and reading.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/pings.h"
#include "tests/integration/slow.h"
#include "tests/integration/versus.h"

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
#define RATIO_MAX     2.0

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
    sluice_session_info info = {.size = sizeof(info)};
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
    EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
    printf("ready, session %llu\n", (unsigned long long)info.session_id);
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
    uint64_t blocks; /* at least; then as long as pings are measured */
    uint64_t sent;
    sl_thread thread;
} sender;

static sl_atomic_bool is_measuring;

static void run_sender(void *context) {
    sender *s = context;
    while (s->sent < s->blocks || atomic_load(&is_measuring)) {
        EXPECT(process_raw_send(s->raw, pattern, BLOCK_BYTES));
        s->sent++;
    }
    process_raw_close(s->raw);
}

/* The client, how it stands still and goes on, and what the broker holds meanwhile. */
typedef struct scene {
    place *at;
    process client;
    pings_pair bystanders;
    uint64_t own_bytes, own_bytes_before;
    uint64_t rss_bytes, rss_bytes_before;
    uint64_t look_ns; /* the next look */
    uint64_t turn_ns; /* the client stands still or goes on from then on */
    bool is_halted;
} scene;

static void look(scene *s) {
    sluice_broker_info info = place_status(s->bystanders.apart);
    uint64_t rss_bytes = process_memory_bytes(s->at->broker.id);
    s->own_bytes = info.memory_bytes > s->own_bytes ? info.memory_bytes : s->own_bytes;
    s->rss_bytes = rss_bytes > s->rss_bytes ? rss_bytes : s->rss_bytes;
    s->look_ns = place_now_ns() + LOOK_NS;
}

static void halt_for(scene *s, uint64_t time_ns) {
    process_suspend(&s->client);
    s->is_halted = true;
    s->turn_ns = place_now_ns() + time_ns;
}

/* What is due; true = the client begins to stand still: a turn is over. */
static bool go_on(scene *s) {
    uint64_t now_ns = place_now_ns();
    if (now_ns >= s->look_ns) {
        look(s);
    }
    if (now_ns < s->turn_ns) {
        return false;
    }
    if (!s->is_halted) {
        halt_for(s, HALT_NS);
        return true;
    }
    process_resume(&s->client);
    s->is_halted = false;
    s->turn_ns = place_now_ns() + GO_NS;
    return false;
}

/* A window of pings ends with a turn. */
static bool is_amid_turn(void *user, uint32_t count) {
    (void)count;
    return !go_on(user);
}

static void measure(scene *s, versus *v) {
    uint32_t rounds = versus_rounds();
    uint32_t samples = versus_samples(s->at->is_long);
    for (uint32_t i = 0; i < rounds; i++) {
        pings_pair_windows w = pings_measure_pair(&s->bystanders, samples, is_amid_turn, s);
        versus_add(v, w.beside.p99_ns, w.apart.p99_ns);
        printf("round %2u: p50 and p99 in us: on the other worker %6.1f %7.1f, on that one %6.1f "
               "%7.1f; %u and %u pings\n",
               i + 1, w.apart.p50_ns / 1e3, w.apart.p99_ns / 1e3, w.beside.p50_ns / 1e3,
               w.beside.p99_ns / 1e3, w.apart.count, w.beside.count);
    }
}

static void start_client(scene *s, sender senders[STREAMS], uint64_t total) {
    char name[PLACE_ENDPOINT_BYTES];
    const char *words[] = {s->at->endpoint, name, NULL};
    process_endpoint(name, sizeof(name), 1);
    place_start_role(&s->client, "slow", words);
    (void)process_until(&s->client, "listening");
    for (uint32_t i = 0; i < STREAMS; i++) {
        senders[i].raw = process_raw_open_pipe(name);
        senders[i].blocks = total / STREAMS / BLOCK_BYTES;
    }
    const char *number = process_until(&s->client, "ready, session ");
    pings_open(s->at, strtoull(number, NULL, 10), &s->bystanders);
    look(s);
    s->own_bytes_before = s->own_bytes;
    s->rss_bytes_before = s->rss_bytes;
}

/* Returns how many bytes were offered. */
static uint64_t offer(scene *s, sender senders[STREAMS], versus *v) {
    uint64_t offered = 0;
    halt_for(s, STILL_NS);
    atomic_store(&is_measuring, true);
    for (uint32_t i = 0; i < STREAMS; i++) {
        EXPECT(sl_thread_start(&senders[i].thread, "sender", run_sender, &senders[i]) == 0);
    }
    while (!go_on(s)) { /* a second, and the first turn */
        place_let_pass(LOOK_NS);
    }
    measure(s, v);
    atomic_store(&is_measuring, false);
    while (!process_wait(&s->client, 0)) {
        (void)go_on(s);
        place_let_pass(LOOK_NS);
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        sl_thread_join(&senders[i].thread);
        offered += senders[i].sent * BLOCK_BYTES;
    }
    return offered;
}

void case_slow_reader(place *at) {
    static sender senders[STREAMS];
    static scene s;
    uint64_t total = at->is_long ? TOTAL_LONG
                     : IS_SANITIZED || process_is_wine() ? TOTAL_WINE : TOTAL;
    versus v = {.what = "p99 of a null RPC on the slow reader's worker, by that on the other one",
                .bound = RATIO_MAX};
    sluice_session_info info = {.size = sizeof(info)};
    s.at = at;
    fill(pattern);
    place_start_broker(at, 2, NULL);
    start_client(&s, senders, total);
    uint64_t offered = offer(&s, senders, &v);
    EXPECT(strtoull(process_until(&s.client, "total "), NULL, 10) == offered);
    EXPECT(offered >= total && s.client.exit_code == 0);
    process_deinit(&s.client);
    EXPECT(sluice_session_get_info(s.bystanders.apart, &info) == SLUICE_OK);
    uint64_t quota = info.credit_bytes;
    printf("figure: offered %llu MiB: the broker held at most %.2f MiB more than before by its own "
           "count, %.2f MiB by the system's; the quota is %llu MiB%s\n",
           (unsigned long long)(offered >> 20),
           (double)(s.own_bytes - s.own_bytes_before) / 1048576,
           ((double)s.rss_bytes - (double)s.rss_bytes_before) / 1048576,
           (unsigned long long)(quota >> 20),
           IS_SANITIZED ? " (the system's is not judged with a sanitizer)" : "");
    EXPECT(s.own_bytes <= s.own_bytes_before + quota + CONSTANT);
    EXPECT(IS_SANITIZED || s.rss_bytes <= s.rss_bytes_before + quota + CONSTANT_RSS);
    EXPECT(s.own_bytes > s.own_bytes_before + quota / 2); /* it was offered, and did wait */
    EXPECT(versus_judge(&v, at->is_long));
    pings_close(&s.bystanders);
    place_stop_broker(at);
}
