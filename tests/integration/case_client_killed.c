/*
 * case_client_killed.c - a client with 1,000 pending reads is killed. Its 2,000 handles are gone
 * from the broker within a second, and another client's null RPC does not become slow meanwhile.
 *
 * A round compares the p99 of the pings behind the kill, until the handles are gone and at least as
 * many as versus.h says, with that of as many pings before it, when the victim is there and does
 * nothing. Windows are as short as that allows: in a long one the pings that the kill strikes, a
 * few hundredths of a second's, would be less than one of a hundred.
 *
 * Under Wine the figures are printed and not judged: every close there is several round trips to
 * the one server process that also serves the bystander's pings, so they measure Wine. What is the
 * broker's part, that it closes a few handles per wake and looks at the kernel in between, is
 * tested by sessions_test.c and by `look` of the conformance suite on every platform.
 */
#include <stdio.h>

#include "base/stats.h"
#include "tests/integration/pings.h"
#include "tests/integration/versus.h"

#define READS      1000u
#define RATIO_MAX  2.0
#define GONE_MAX_S 1.0
#define ASK_EVERY  4u /* pings between two looks at the counters */

typedef struct after_kill {
    sluice_session *session;
    uint64_t start_ns;
    uint64_t gone_ns; /* until the handles were gone; 0 = they are not */
} after_kill;

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

/* Returns how many seconds it took until the handles were gone. */
static double run_round(place *at, sluice_session *session, uint32_t round, versus *v) {
    process victim;
    char count[16];
    (void)snprintf(count, sizeof(count), "%u", READS);
    const char *words[] = {at->endpoint, count, NULL};
    place_start_role(&victim, "pending", words);
    (void)process_until(&victim, "ready");
    sluice_broker_info info = place_status(session);
    EXPECT(info.handles == 2 * READS && info.operations >= READS);
    pings_window solo = pings_measure(session, versus_samples(false), NULL, NULL);
    after_kill killed = {.session = session, .start_ns = place_now_ns()};
    process_kill(&victim);
    pings_window after = pings_measure(session, versus_samples(false), look_for_handles, &killed);
    process_deinit(&victim);
    versus_add(v, after.p99_ns, solo.p99_ns);
    printf("round %2u: alone p50 %5.1f p99 %6.1f max %8.1f us; killed p50 %5.1f p99 %6.1f max "
           "%8.1f us, %u pings; handles gone after %5.1f ms\n",
           round + 1, solo.p50_ns / 1e3, solo.p99_ns / 1e3, solo.max_ns / 1e3,
           after.p50_ns / 1e3, after.p99_ns / 1e3, after.max_ns / 1e3, after.count,
           (double)killed.gone_ns / 1e6);
    return (double)killed.gone_ns / 1e9;
}

/* One worker: the bystander shares it with the victim. */
void case_client_killed(place *at) {
    double gone_s[VERSUS_ROUNDS];
    uint32_t rounds = versus_rounds();
    versus v = {.what = "p99 of a null RPC behind the kill, by that before it",
                .bound = RATIO_MAX};
    place_start_broker(at, 1, NULL);
    sluice_session *session = place_open(at->endpoint, "bystander");
    for (uint32_t i = 0; i < rounds; i++) {
        gone_s[i] = run_round(at, session, i, &v);
    }
    sl_spread gone = sl_stats_spread(gone_s, rounds);
    printf("figure: handles gone after %.1f ms (median; at most %.1f)\n", gone.median * 1e3,
           gone.most * 1e3);
    bool is_good = versus_judge(&v, at->is_long);
    double judged_s = at->is_long ? gone.most : gone.median;
    EXPECT(!versus_is_judged() || judged_s <= GONE_MAX_S);
    EXPECT(is_good);
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_stop_broker(at);
}
