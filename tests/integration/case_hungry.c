/*
 * case_hungry.c - 40 sessions with 15 MiB of writes each that nobody reads: the broker holds what
 * it may for all of them together (memory_bytes, here 128 MiB) and not more, by its own count and
 * by the system's; it was 607 MiB. The writes beyond are refused, with the limit's name; the
 * sessions live, and when they have gone the next one has everything again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/place.h"

#define SESSIONS      40u
#define SESSIONS_WINE 16u
#define WRITES        15u
#define WRITE_BYTES   (1024u * 1024)
#define LIMIT         (UINT64_C(128) << 20) /* the pipes' own price is a third of it */
#define LIMIT_TEXT    "memory_bytes=128MiB"
#define DETAIL        "the broker's limit memory_bytes of 128 MiB is reached"
/* What a worker's pools keep, and what the system's allocator and the engine add. */
#define CONSTANT     (UINT64_C(6) << 20)
#define CONSTANT_RSS (UINT64_C(16) << 20)

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

static uint8_t bytes[WRITE_BYTES];
static sl_atomic_u32 refused_count;
static sl_atomic_u32 ended_count;

static void on_write(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)user;
    (void)operation;
    if (result->status == SLUICE_EQUOTA) {
        EXPECT(strcmp(result->detail, DETAIL) == 0);
        atomic_fetch_add(&refused_count, 1);
    }
    atomic_fetch_add(&ended_count, 1);
}

/* One whole MiB through a pipe. */
static void use(sluice_session *session) {
    static uint8_t back[WRITE_BYTES];
    place_tally tally;
    sluice_result pair = {.size = sizeof(pair)};
    sluice_result read = {.size = sizeof(read)};
    EXPECT(sluice_pair(session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    place_tally_init(&tally, 1);
    EXPECT(sluice_write_start(session, pair.handles[1], bytes, WRITE_BYTES, PLACE_LONG_NS,
                              place_count, &tally, NULL) == SLUICE_OK);
    EXPECT(sluice_read(session, pair.handles[0], back, WRITE_BYTES, SLUICE_READ_ALL, PLACE_LONG_NS,
                       &read) == SLUICE_OK);
    EXPECT(read.done == WRITE_BYTES && memcmp(back, bytes, WRITE_BYTES) == 0);
    EXPECT(place_tally_wait(&tally, PLACE_LONG_NS));
    EXPECT(place_tally_get(&tally, SLUICE_OK) == 1);
    place_tally_deinit(&tally);
    EXPECT(sluice_close(session, pair.handles[0], PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_close(session, pair.handles[1], PLACE_LONG_NS, NULL) == SLUICE_OK);
}

typedef struct hungry {
    sluice_session *session;
    sluice_handle to[WRITES];
} hungry;

static void open_hungry(hungry *h, const char *endpoint) {
    sluice_result pair = {.size = sizeof(pair)};
    h->session = place_open(endpoint, "hungry");
    for (uint32_t i = 0; i < WRITES; i++) {
        EXPECT(sluice_pair(h->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
        h->to[i] = pair.handles[1];
    }
}

/* All its credit in writes that nobody reads. */
static void eat(hungry *h) {
    for (uint32_t i = 0; i < WRITES; i++) {
        EXPECT(sluice_write_start(h->session, h->to[i], bytes, WRITE_BYTES, SLUICE_NO_TIMEOUT,
                                  on_write, NULL, NULL) == SLUICE_OK);
    }
}

static bool is_alone(const sluice_broker_info *info) {
    return info->sessions == 1;
}

void case_hungry(place *at) {
    static hungry all[SESSIONS];
    static const char *const limits[] = {LIMIT_TEXT, NULL};
    const uint32_t count = process_is_wine() || IS_SANITIZED ? SESSIONS_WINE : SESSIONS;
    for (uint32_t i = 0; i < WRITE_BYTES; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    place_start_broker(at, 2, limits);
    sluice_session *watcher = place_open(at->endpoint, "watcher");
    use(watcher);
    uint64_t before = place_status(watcher).memory_bytes;
    uint64_t before_rss = process_memory_bytes(at->broker.id);
    for (uint32_t i = 0; i < count; i++) {
        open_hungry(&all[i], at->endpoint);
    }
    for (uint32_t i = 0; i < count; i++) {
        eat(&all[i]);
    }
    sluice_broker_info info;
    uint64_t until_ns = place_now_ns() + PLACE_LONG_NS;
    do { /* each is refused, or waits in the broker */
        info = place_status(watcher);
        EXPECT(place_now_ns() < until_ns);
    } while (info.operations + atomic_load(&ended_count) < (uint64_t)count * WRITES);
    uint64_t rss = process_memory_bytes(at->broker.id);
    printf("%u sessions: %u of %u writes refused; the broker holds %.1f MiB more by its own count, "
           "%.1f MiB by the system's; the limit is %u MiB%s\n",
           count, (unsigned)atomic_load(&refused_count), count * WRITES,
           (double)(info.memory_bytes - before) / 1048576,
           ((double)rss - (double)before_rss) / 1048576, (unsigned)(LIMIT >> 20),
           IS_SANITIZED ? " (the system's is not judged with a sanitizer)" : "");
    EXPECT(atomic_load(&refused_count) > 0 && info.memory_bytes > before + LIMIT / 2);
    EXPECT(info.memory_bytes <= before + LIMIT + CONSTANT);
    EXPECT(IS_SANITIZED || rss <= before_rss + LIMIT + CONSTANT_RSS);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(sluice_ping(all[i].session, PLACE_LONG_NS, NULL) == SLUICE_OK);
    }
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(sluice_session_close(all[i].session) == SLUICE_OK);
    }
    place_await(watcher, is_alone);
    use(watcher);
    EXPECT(sluice_session_close(watcher) == SLUICE_OK);
    place_stop_broker(at);
}
