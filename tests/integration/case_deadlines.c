/*
 * case_deadlines.c - 100,000 reads with a deadline of 30 ms, 20,000 a second, from peers that never
 * send anything. Each ends with ETIMEDOUT, never early, none more than a second late; and with
 * --long, for a machine that does nothing else, 99 % within 10 ms (Windows: 20 ms).
 *
 * Measured at the client: from the deadline, as the caller counts it, to the callback. A histogram
 * is printed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/integration/place.h"

#define SESSIONS     4u /* 1,024 operations each; 600 are under way if all is on time */
#define PAIRS        64u /* of each */
#define TIMEOUT_NS   (30 * SL_NS_PER_MS)
#define STEP_NS      SL_NS_PER_MS
#define COUNT        100000u
#define PER_STEP     20u
#define COUNT_SLOW   10000u /* with a sanitizer, or Wine */
#define PER_STEP_SLOW 2u
#define LATE_MAX_NS  SL_NS_PER_S
/* In CI, beside other programs: the client itself ends a call 0.75 s behind its deadline. */
#define LATE_SLOW_NS (5 * SL_NS_PER_S)
#define P99_MAX_NS   ((process_is_wine() ? 20 : 10) * SL_NS_PER_MS)

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

typedef struct timed_read {
    uint64_t due_ns;
    uint64_t late_ns;
    char byte;
} timed_read;

static timed_read reads[COUNT];
static sl_atomic_u32 ended_count;

static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    timed_read *it = user;
    uint64_t now_ns = place_now_ns();
    (void)operation;
    EXPECT(result->status == SLUICE_ETIMEDOUT && result->done == 0);
    EXPECT(now_ns >= it->due_ns);
    it->late_ns = now_ns - it->due_ns;
    (void)atomic_fetch_add(&ended_count, 1);
}

/* The next one, on a session and a pair of its turn. false: no credit, which is a deadline that
 * nobody keeps. */
static void start(sluice_session **sessions, sluice_handle handles[SESSIONS][PAIRS],
                  uint32_t index) {
    timed_read *it = &reads[index];
    uint32_t session = index % SESSIONS;
    it->due_ns = place_now_ns() + TIMEOUT_NS;
    int32_t status = sluice_read_start(sessions[session],
                                       handles[session][index / SESSIONS % PAIRS], &it->byte, 1, 0,
                                       TIMEOUT_NS, on_read, it, NULL);
    if (status != SLUICE_OK) {
        (void)fprintf(stderr, "read %u: %s\n", index, sluice_status_name(status));
        EXPECT(status == SLUICE_OK);
    }
}

static int compare_late(const void *a, const void *b) {
    uint64_t x = ((const timed_read *)a)->late_ns;
    uint64_t y = ((const timed_read *)b)->late_ns;
    return (x > y) - (x < y);
}

static void print_histogram(uint32_t count) {
    static const uint32_t bounds_ms[] = {1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000};
    uint32_t from = 0;
    for (size_t i = 0; i < sizeof(bounds_ms) / sizeof(bounds_ms[0]); i++) {
        uint32_t to = from;
        while (to < count && reads[to].late_ns < bounds_ms[i] * SL_NS_PER_MS) {
            to++;
        }
        if (to > from) {
            printf("  late by less than %4u ms: %6u\n", bounds_ms[i], to - from);
        }
        from = to;
    }
}

void case_deadlines(place *at) {
    bool is_slow = IS_SANITIZED || process_is_wine();
    uint32_t count = is_slow && !at->is_long ? COUNT_SLOW : COUNT;
    uint32_t per_step = is_slow && !at->is_long ? PER_STEP_SLOW : PER_STEP;
    static sluice_handle handles[SESSIONS][PAIRS];
    sluice_session *sessions[SESSIONS];
    place_start_broker(at, 2, NULL);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        sessions[i] = place_open(at->endpoint, "deadlines");
        for (uint32_t k = 0; k < PAIRS; k++) {
            sluice_result pair = {.size = sizeof(pair)};
            EXPECT(sluice_pair(sessions[i], PLACE_LONG_NS, &pair) == SLUICE_OK);
            handles[i][k] = pair.handles[0];
        }
    }
    uint64_t start_ns = place_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        uint64_t wanted_ns = start_ns + i / per_step * STEP_NS;
        uint64_t now_ns = place_now_ns();
        if (i % per_step == 0 && wanted_ns > now_ns) {
            place_let_pass(wanted_ns - now_ns);
        }
        start(sessions, handles, i);
    }
    uint64_t took_ns = place_now_ns() - start_ns;
    uint64_t until_ns = place_now_ns() + PROCESS_PATIENCE_NS;
    while (atomic_load(&ended_count) < count) {
        EXPECT(place_now_ns() < until_ns);
        place_let_pass(STEP_NS);
    }
    qsort(reads, count, sizeof(reads[0]), compare_late);
    uint64_t p99_ns = reads[(uint64_t)count * 99 / 100].late_ns;
    uint64_t latest_ns = reads[count - 1].late_ns;
    printf("%u reads of 30 ms, %.0f a second (wanted: %u); behind the deadline: p50 %.2f, p99 "
           "%.2f, latest %.2f ms%s\n",
           count, count / ((double)took_ns / 1e9), per_step * 1000,
           (double)reads[count / 2].late_ns / 1e6, (double)p99_ns / 1e6, (double)latest_ns / 1e6,
           at->is_long ? "" : " (p99 is judged with --long)");
    print_histogram(count);
    EXPECT(latest_ns <= (is_slow && !at->is_long ? LATE_SLOW_NS : LATE_MAX_NS));
    EXPECT(!at->is_long || p99_ns <= P99_MAX_NS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        EXPECT(sluice_session_close(sessions[i]) == SLUICE_OK);
    }
    place_stop_broker(at);
}
