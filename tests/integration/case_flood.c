/*
 * case_flood.c - a client that uses all its credits, all the time: 1,024 operations and 16 MiB, in
 * 512 pairs with a write and a read of 16 KiB each, started again as soon as they end. Another
 * client's null RPC on the same worker does not become slow: its p99 stays within twice what it is
 * otherwise.
 *
 * Otherwise is: alone; and where that is more, on a worker that has nothing to do with the flooder,
 * while it floods. For the flooder keeps the processors busy, which are two or three here, and a
 * bystander's threads and his broker's wait for them whatever the broker does; what the flooded
 * worker adds is the broker's doing. Both ratios are printed. Each round has the three windows; the
 * medians of the rounds count, and rounds are added as in case_client_killed.c, where it also says
 * when figures are printed and not judged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/flood.h"
#include "tests/integration/pings.h"

#define PAIRS       512u
#define PAIRS_WINE  64u /* each open and close there is a round trip to its one server process */
#define BYTES       (16u * 1024) /* of a read or write: 16 MiB in all */
#define WINDOW_NS   (500 * SL_NS_PER_MS)
#define ROUNDS 5u
#define ROUNDS_SHOWN 2u /* where it is not judged */
#define ROUNDS_MAX  15u
#define ROUNDS_LONG PINGS_ROUNDS_MAX
#define RATIO_MAX   2.0
/* The aim above is judged by --long, on a machine that does nothing else: other programs that come
 * and go move the ratio between 0.6 and 2.2. Without a worker's offer of its processor it is 2.2 to
 * 3.8, and CI judges that it is not above that. */
#define RATIO_MAX_CI 5.0
#define LINE_BYTES  16
/* Each worker has got one by then: a second one may begin to listen later than the first. */
#define BYSTANDERS_NS  (10 * SL_NS_PER_S)

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

/* ---- the client ---- */

typedef struct flood flood;

typedef struct flood_end {
    flood *flood;
    sluice_handle handle;
    bool is_writer;
    uint8_t bytes[BYTES];
} flood_end;

struct flood {
    sluice_session *session;
    uint32_t pairs;
    sl_atomic_bool is_flooding;
    sl_atomic_u32 writing; /* writes under way; reads always are */
    sl_atomic_u64 count;
    sl_event still;
    flood_end ends[PAIRS][2];
};

static void start(flood_end *end);

static void on_done(void *user, sluice_operation *operation, const sluice_result *result) {
    flood_end *end = user;
    flood *f = end->flood;
    (void)operation;
    EXPECT(result->status == SLUICE_OK || result->status == SLUICE_ECANCELED);
    (void)atomic_fetch_add(&f->count, 1);
    if (result->status == SLUICE_ECANCELED) {
        return; /* the session is being closed, with the reads that wait */
    }
    if (!end->is_writer || atomic_load(&f->is_flooding)) {
        start(end);
    } else if (atomic_fetch_sub(&f->writing, 1) == 1) {
        sl_event_set(&f->still);
    }
}

static void start(flood_end *end) {
    sluice_session *session = end->flood->session;
    int32_t status =
        end->is_writer
            ? sluice_write_start(session, end->handle, end->bytes, BYTES, SLUICE_NO_TIMEOUT,
                                 on_done, end, NULL)
            : sluice_read_start(session, end->handle, end->bytes, BYTES, 0, SLUICE_NO_TIMEOUT,
                                on_done, end, NULL);
    /* ECLOSED: the session is being closed, and this read ended before its turn came. */
    EXPECT(status == SLUICE_OK || (status == SLUICE_ECLOSED && !end->is_writer));
}

static void open_pairs(flood *f) {
    for (uint32_t i = 0; i < f->pairs; i++) {
        sluice_result pair = {.size = sizeof(pair)};
        EXPECT(sluice_pair(f->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
        for (uint32_t k = 0; k < 2; k++) {
            f->ends[i][k].flood = f;
            f->ends[i][k].handle = pair.handles[k];
            f->ends[i][k].is_writer = k == 1;
        }
        start(&f->ends[i][0]);
    }
}

static void go(flood *f) {
    atomic_store(&f->count, 0);
    atomic_store(&f->is_flooding, true);
    atomic_store(&f->writing, f->pairs);
    for (uint32_t i = 0; i < f->pairs; i++) {
        start(&f->ends[i][1]);
    }
    while (atomic_load(&f->count) < (uint64_t)4 * f->pairs) { /* all are under way, in turns */
        sl_thread_yield();
    }
    printf("flooding\n");
}

static void halt(flood *f) {
    atomic_store(&f->is_flooding, false);
    EXPECT(sl_event_wait_until(&f->still, place_now_ns() + PROCESS_PATIENCE_NS));
    printf("still, %llu operations\n", (unsigned long long)atomic_load(&f->count));
}

int flood_run(const char *endpoint) {
    static flood f;
    char line[LINE_BYTES];
    sluice_session_info info = {.size = sizeof(info)};
    EXPECT(sl_event_init(&f.still) == 0);
    f.pairs = process_is_wine() ? PAIRS_WINE : PAIRS;
    f.session = place_open(endpoint, "flood");
    open_pairs(&f);
    EXPECT(sluice_session_get_info(f.session, &info) == SLUICE_OK);
    printf("ready, session %llu\n", (unsigned long long)info.session_id);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (line[0] == 'g') {
            go(&f);
        } else {
            halt(&f);
        }
    }
    EXPECT(sluice_session_close(f.session) == SLUICE_OK);
    sl_event_deinit(&f.still);
    return 0;
}

/* ---- the test ---- */

typedef struct scene {
    process flooder;
    sluice_session *beside; /* a session on the flooder's worker */
    sluice_session *apart;  /* and one on the other */
} scene;

static pings_window solo[ROUNDS_LONG];
static pings_window apart[ROUNDS_LONG];
static pings_window beside[ROUNDS_LONG];

static double solo_ratio(uint32_t round) {
    return (double)beside[round].p99_ns / (double)solo[round].p99_ns;
}

static double ratio(uint32_t round) {
    uint64_t otherwise_ns = solo[round].p99_ns > apart[round].p99_ns ? solo[round].p99_ns
                                                                     : apart[round].p99_ns;
    return (double)beside[round].p99_ns / (double)otherwise_ns;
}

static void measure_rounds(scene *s, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        solo[i] = pings_measure(s->beside, WINDOW_NS, NULL, NULL);
        process_tell(&s->flooder, "go\n");
        (void)process_until(&s->flooder, "flooding");
        apart[i] = pings_measure(s->apart, WINDOW_NS, NULL, NULL);
        beside[i] = pings_measure(s->beside, WINDOW_NS, NULL, NULL);
        process_tell(&s->flooder, "halt\n");
        const char *done = process_until(&s->flooder, "still, ");
        printf("round %2u: p50 and p99 in us: alone %6.1f %7.1f; beside a flooded worker %6.1f "
               "%7.1f; on it %6.1f %7.1f; %.*s of the flooder\n",
               i + 1, (double)solo[i].p50_ns / 1e3, (double)solo[i].p99_ns / 1e3,
               (double)apart[i].p50_ns / 1e3, (double)apart[i].p99_ns / 1e3,
               (double)beside[i].p50_ns / 1e3, (double)beside[i].p99_ns / 1e3,
               (int)strcspn(done, "\r\n"), done);
    }
}

/* On which worker is the session whose number this is? It has a read that waits. */
static uint32_t find_worker(sluice_session *asker, uint64_t session_id) {
    static sluice_ops_row rows[64];
    sluice_ops_query query = {.size = sizeof(query), .row_size = sizeof(rows[0])};
    do {
        uint32_t count = 0;
        EXPECT(sluice_ops(asker, &query, PLACE_LONG_NS, rows, 64, &count, &query.cursor) ==
               SLUICE_OK);
        for (uint32_t i = 0; i < count; i++) {
            if (rows[i].session_id == session_id) {
                return rows[i].worker;
            }
        }
    } while (query.cursor != 0);
    EXPECT(false && "the session is there");
    return 0;
}

/* Bystanders until there is one on each of the two workers: who gets which is the system's. */
static void open_bystanders(place *at, scene *s, uint32_t flooded) {
    static place_tally tally;
    place_tally_init(&tally, UINT32_MAX);
    uint64_t end_ns = place_now_ns() + BYSTANDERS_NS;
    while ((s->beside == NULL || s->apart == NULL) && place_now_ns() < end_ns) {
        sluice_session *session = place_open(at->endpoint, "bystander");
        sluice_session_info info = {.size = sizeof(info)};
        place_start_reads(session, 1, &tally);
        EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
        sluice_session **wanted =
            find_worker(session, info.session_id) == flooded ? &s->beside : &s->apart;
        if (*wanted == NULL) {
            *wanted = session;
        } else {
            EXPECT(sluice_session_close(session) == SLUICE_OK);
        }
    }
    EXPECT(s->beside != NULL && s->apart != NULL);
}

void case_flood(place *at) {
    static scene s;
    bool is_judged = !IS_SANITIZED && !process_is_wine();
    double most = at->is_long ? RATIO_MAX : RATIO_MAX_CI;
    uint32_t rounds = at->is_long ? ROUNDS_LONG : is_judged ? ROUNDS : ROUNDS_SHOWN;
    place_start_broker(at, 2, NULL);
    const char *words[] = {at->endpoint, NULL};
    place_start_role(&s.flooder, "flood", words);
    const char *number = process_until(&s.flooder, "ready, session ");
    sluice_session *asker = place_open(at->endpoint, "asker");
    open_bystanders(at, &s, find_worker(asker, strtoull(number, NULL, 10)));
    measure_rounds(&s, 0, rounds);
    if (is_judged && pings_median(ratio, rounds) > most && rounds < ROUNDS_MAX) {
        measure_rounds(&s, rounds, ROUNDS_MAX);
        rounds = ROUNDS_MAX;
    }
    printf("medians of %u rounds: p99 on the flooded worker %.2f times that alone, %.2f times that "
           "of the worse of alone and beside it%s\n",
           rounds, pings_median(solo_ratio, rounds), pings_median(ratio, rounds),
           is_judged ? "" : " (Wine or a sanitizer: not judged)");
    printf("aim: %.1f times; judged: %.1f times\n", (double)RATIO_MAX, most);
    EXPECT(!is_judged || pings_median(ratio, rounds) <= most);
    process_continue_input(&s.flooder);
    EXPECT(process_wait(&s.flooder, PROCESS_PATIENCE_NS) && s.flooder.exit_code == 0);
    process_deinit(&s.flooder);
    EXPECT(sluice_session_close(s.beside) == SLUICE_OK);
    EXPECT(sluice_session_close(s.apart) == SLUICE_OK);
    EXPECT(sluice_session_close(asker) == SLUICE_OK);
    place_stop_broker(at);
}
