/*
 * case_drain.c - a broker with 1,000 pending operations is asked to stop. Each of them is answered
 * ESHUTDOWN, the process ends with 0 within the drain's limit; asked twice, at once.
 */
#include <stdio.h>

#include "tests/integration/place.h"

#define READS 1000u

static void stop(place *at, const char *drain, bool is_twice, uint64_t least_ns, uint64_t most_ns) {
    place_tally tally;
    const char *limits[] = {drain, NULL};
    place_start_broker(at, 2, limits);
    sluice_session *session = place_open(at->endpoint, "pending");
    place_tally_init(&tally, READS);
    place_start_reads(session, READS, &tally);
    uint64_t start_ns = place_now_ns();
    if (!process_interrupt(&at->broker)) {
        EXPECT(sluice_session_close(session) == SLUICE_OK);
        place_tally_deinit(&tally);
        process_deinit(&at->broker);
        place_skip("nobody can press Ctrl-Break here: no console");
    }
    (void)process_until(&at->broker, "stopping");
    if (is_twice) {
        EXPECT(atomic_load(&tally.count) == 0); /* they may go on, as far as the first one goes */
        EXPECT(process_interrupt(&at->broker));
    }
    EXPECT(place_tally_wait(&tally, PLACE_LONG_NS));
    uint64_t ended_ns = place_now_ns() - start_ns;
    EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
    uint64_t gone_ns = place_now_ns() - start_ns;
    printf("%s: operations ended after %.0f ms (%u ESHUTDOWN, %u EBROKERLOST), the broker after "
           "%.0f ms with exit code %d\n",
           drain, (double)ended_ns / 1e6, place_tally_get(&tally, SLUICE_ESHUTDOWN),
           place_tally_get(&tally, SLUICE_EBROKERLOST), (double)gone_ns / 1e6,
           at->broker.exit_code);
    EXPECT(place_tally_get(&tally, SLUICE_ESHUTDOWN) == READS);
    EXPECT(at->broker.exit_code == 0);
    EXPECT(ended_ns >= least_ns && gone_ns <= most_ns);
    EXPECT(process_has_said(&at->broker, "stopped") != NULL);
    EXPECT(sluice_ping(session, PLACE_GRACE_NS, NULL) != SLUICE_OK);
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_tally_deinit(&tally);
    process_deinit(&at->broker);
}

/* The drain's grace is theirs to the end; then they are cut. */
void case_drain(place *at) {
    stop(at, "drain_grace=1s", false, SL_NS_PER_S - SL_NS_PER_MS, 4 * SL_NS_PER_S);
}

void case_drain_now(place *at) {
    stop(at, "drain_grace=0", false, 0, 3 * SL_NS_PER_S);
    stop(at, "drain_grace=10min", true, 0, 3 * SL_NS_PER_S);
}
