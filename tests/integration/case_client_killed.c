/*
 * case_client_killed.c - a client with 1,000 pending reads is killed. Its 2,000 handles are gone
 * from the broker within a second, and another client's null RPC does not become slow meanwhile.
 *
 * A round compares the p99 of the second behind the kill with that of the second before it, in
 * which the victim exists and does nothing: what else the machine does changes more slowly. The
 * medians over the rounds count. If one is more than it may be, rounds are added, up to ROUNDS_MAX:
 * all of them count, none is dropped, so this takes noise away but no lasting difference.
 *
 * Under Wine the figures are printed and not judged: every close there is several round trips to
 * the one server process that also serves the bystander's pings, so they measure Wine. What is the
 * broker's part, that it closes a few handles per wake and looks at the kernel in between, is
 * tested by sessions_test.c and by `look` of the conformance suite on every platform. Nor are they
 * judged with a sanitizer in the programs, which makes another program of them, as to time.
 */
#include <stdio.h>

#include "tests/integration/pings.h"

#define READS       1000u
#define WINDOW_NS   SL_NS_PER_S
#define ROUNDS      5u
#define ROUNDS_MAX  15u
#define ROUNDS_LONG PINGS_ROUNDS_MAX
#define RATIO_MAX   2.0
#define GONE_MAX_S  1.0
#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif
#define ASK_EVERY   4u /* pings between two looks at the counters */

typedef struct after_kill {
    sluice_session *session;
    uint64_t start_ns;
    uint64_t gone_ns; /* until the handles were gone; 0 = they are not */
} after_kill;

static pings_window solo[ROUNDS_LONG];
static pings_window after[ROUNDS_LONG];
static uint64_t gone_ns[ROUNDS_LONG];

/* The window lasts until the victim's handles are gone: when is that? */
static bool look_for_handles(void *user, uint32_t count) {
    after_kill *it = user;
    if (it->gone_ns == 0 && count % ASK_EVERY == 0) {
        sluice_broker_info info = place_status(it->session);
        bool is_gone = info.handles == 0 && info.sessions == 1;
        it->gone_ns = is_gone ? place_now_ns() - it->start_ns : 0;
    }
    return it->gone_ns == 0;
}

static double p99_ratio(uint32_t round) {
    return (double)after[round].p99_ns / (double)solo[round].p99_ns;
}

static double gone_s(uint32_t round) {
    return (double)gone_ns[round] / 1e9;
}

static void run_round(place *at, sluice_session *session, uint32_t round) {
    process victim;
    char count[16];
    (void)snprintf(count, sizeof(count), "%u", READS);
    const char *words[] = {at->endpoint, count, NULL};
    place_start_role(&victim, "pending", words);
    (void)process_until(&victim, "ready");
    sluice_broker_info info = place_status(session);
    EXPECT(info.handles == 2 * READS && info.operations >= READS);
    solo[round] = pings_measure(session, WINDOW_NS, NULL, NULL);
    after_kill killed = {.session = session, .start_ns = place_now_ns()};
    process_kill(&victim);
    after[round] = pings_measure(session, WINDOW_NS, look_for_handles, &killed);
    gone_ns[round] = killed.gone_ns;
    process_deinit(&victim);
}

static void measure_rounds(place *at, sluice_session *session, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        run_round(at, session, i);
        printf("round %2u: solo p50 %5.1f p99 %6.1f max %8.1f us; killed p50 %5.1f p99 %6.1f "
               "max %8.1f us, handles gone after %5.1f ms\n",
               i + 1, (double)solo[i].p50_ns / 1e3, (double)solo[i].p99_ns / 1e3,
               (double)solo[i].max_ns / 1e3, (double)after[i].p50_ns / 1e3,
               (double)after[i].p99_ns / 1e3, (double)after[i].max_ns / 1e3,
               (double)gone_ns[i] / 1e6);
    }
}

static bool is_good(uint32_t rounds) {
    return pings_median(p99_ratio, rounds) <= RATIO_MAX &&
           pings_median(gone_s, rounds) <= GONE_MAX_S;
}

/* One worker: the bystander shares it with the victim. */
void case_client_killed(place *at) {
    uint32_t rounds = at->is_long ? ROUNDS_LONG : ROUNDS;
    bool is_judged = !IS_SANITIZED && !process_is_wine();
    place_start_broker(at, 1, NULL);
    sluice_session *session = place_open(at->endpoint, "bystander");
    measure_rounds(at, session, 0, rounds);
    if (is_judged && !is_good(rounds) && rounds < ROUNDS_MAX) {
        measure_rounds(at, session, rounds, ROUNDS_MAX);
        rounds = ROUNDS_MAX;
    }
    printf("medians of %u rounds: p99 in the second behind the kill %.2f times that of the second "
           "before; handles gone after %.1f ms%s\n",
           rounds, pings_median(p99_ratio, rounds), pings_median(gone_s, rounds) * 1e3,
           is_judged ? "" : " (Wine or a sanitizer: not judged)");
    EXPECT(!is_judged || is_good(rounds));
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_stop_broker(at);
}
