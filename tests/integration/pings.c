/*
 * pings.c - see pings.h.
 */
#include "tests/integration/pings.h"

#include "base/stats.h"

#define SAMPLES_MAX (1u << 19) /* of each */
#define TURN        50u        /* pings of one before the other's turn */
#define ROWS        64u
/* Each worker has got a session by then: a second one may begin to listen later than the first. */
#define OPEN_NS     (10 * SL_NS_PER_S)

static double samples[2][SAMPLES_MAX];

static pings_window window_of(double *values, uint32_t count) {
    sl_spread spread = sl_stats_spread(values, count);
    return (pings_window){.p50_ns = spread.median,
                          .p99_ns = sl_stats_quantile(values, count, 0.99),
                          .max_ns = spread.most,
                          .count = count};
}

/* Of one session or two. */
static void measure(sluice_session *const *sessions, uint32_t subjects, uint32_t wanted,
                    pings_more more, void *user, uint32_t ret_counts[2]) {
    uint64_t end_ns = place_now_ns() + PLACE_LONG_NS;
    uint32_t last = subjects - 1;
    bool wants_more = more != NULL;
    ret_counts[0] = ret_counts[1] = 0;
    for (uint32_t n = 0; ret_counts[0] < wanted || ret_counts[last] < wanted || wants_more; n++) {
        uint32_t subject = n / TURN % subjects;
        uint64_t begin_ns = place_now_ns();
        EXPECT(ret_counts[subject] < SAMPLES_MAX && begin_ns < end_ns);
        EXPECT(sluice_ping(sessions[subject], PLACE_LONG_NS, NULL) == SLUICE_OK);
        samples[subject][ret_counts[subject]++] = (double)(place_now_ns() - begin_ns);
        wants_more = more != NULL && more(user, n + 1);
    }
}

pings_window pings_measure(sluice_session *session, uint32_t wanted, pings_more more, void *user) {
    uint32_t counts[2];
    measure(&session, 1, wanted, more, user, counts);
    return window_of(samples[0], counts[0]);
}

pings_pair_windows pings_measure_pair(const pings_pair *pair, uint32_t wanted, pings_more more,
                                      void *user) {
    sluice_session *const sessions[] = {pair->beside, pair->apart};
    uint32_t counts[2];
    measure(sessions, 2, wanted, more, user, counts);
    return (pings_pair_windows){.beside = window_of(samples[0], counts[0]),
                                .apart = window_of(samples[1], counts[1])};
}

/* ---- bystanders on both workers ---- */

/* On which worker is the session whose number this is? It has a read that waits. */
static uint32_t find_worker(sluice_session *asker, uint64_t session_id) {
    static sluice_ops_row rows[ROWS];
    sluice_ops_query query = {.size = sizeof(query), .row_size = sizeof(rows[0])};
    do {
        uint32_t count = 0;
        EXPECT(sluice_ops(asker, &query, PLACE_LONG_NS, rows, ROWS, &count, &query.cursor) ==
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

void pings_open(place *at, uint64_t session_id, pings_pair *ret_pair) {
    static place_tally tally;
    uint64_t end_ns = place_now_ns() + OPEN_NS;
    sluice_session *asker = place_open(at->endpoint, "asker");
    uint32_t worker = find_worker(asker, session_id);
    place_tally_init(&tally, UINT32_MAX);
    *ret_pair = (pings_pair){0};
    /* Who gets which worker is the system's choice. */
    while ((ret_pair->beside == NULL || ret_pair->apart == NULL) && place_now_ns() < end_ns) {
        sluice_session *session = place_open(at->endpoint, "bystander");
        sluice_session_info info = {.size = sizeof(info)};
        place_start_reads(session, 1, &tally);
        EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
        bool is_beside = find_worker(session, info.session_id) == worker;
        sluice_session **wanted = is_beside ? &ret_pair->beside : &ret_pair->apart;
        if (*wanted == NULL) {
            *wanted = session;
        } else {
            EXPECT(sluice_session_close(session) == SLUICE_OK);
        }
    }
    EXPECT(ret_pair->beside != NULL && ret_pair->apart != NULL);
    EXPECT(sluice_session_close(asker) == SLUICE_OK);
}

void pings_close(pings_pair *pair) {
    EXPECT(sluice_session_close(pair->beside) == SLUICE_OK);
    EXPECT(sluice_session_close(pair->apart) == SLUICE_OK);
}
