/*
 * case_drain.c - a broker with 1,000 pending operations is asked to stop. Each of them is answered
 * ESHUTDOWN, the process ends with 0 within the drain's limit; asked twice, at once. New clients
 * are told at once that it is stopping.
 */
#include <stdio.h>
#include <string.h>

#include "tests/integration/place.h"

#define READS        1000u
#define LATE_OPEN_NS (4 * SL_NS_PER_S) /* of one minute's grace; a private broker starts in it */

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

/* Opens while the broker drains: in a small part of its grace. */
static int32_t open_late(const place *at, uint32_t mode, char *ret_detail,
                         sluice_session **ret_session) {
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = mode,
                                   .endpoint = at->endpoint,
                                   .broker_path = at->sluiced,
                                   .ret_detail = ret_detail,
                                   .detail_size = SLUICE_DETAIL_BYTES};
    uint64_t start_ns = place_now_ns();
    int32_t status = sluice_open(&options, ret_session);
    uint64_t took_ns = place_now_ns() - start_ns;
    printf("opened late, mode %u: %s (%s) after %.0f ms\n", mode, sluice_status_name(status),
           ret_detail, (double)took_ns / 1e6);
    EXPECT(took_ns < LATE_OPEN_NS);
    return status;
}

void case_drain_newcomers(place *at) {
    place_tally tally;
    char detail[SLUICE_DETAIL_BYTES] = "";
    const char *limits[] = {"drain_grace=1min", NULL};
    place_start_broker(at, 2, limits);
    sluice_session *session = place_open(at->endpoint, "pending");
    sluice_session *idle = place_open(at->endpoint, "idle");
    place_tally_init(&tally, 1);
    place_start_reads(session, 1, &tally);
    if (!process_interrupt(&at->broker)) {
        EXPECT(sluice_session_close(session) == SLUICE_OK);
        EXPECT(sluice_session_close(idle) == SLUICE_OK);
        place_tally_deinit(&tally);
        process_deinit(&at->broker);
        place_skip("nobody can press Ctrl-Break here: no console");
    }
    (void)process_until(&at->broker, "stopping");
    /* Until their workers have heard of it: one has left the session that has nothing to do, the
     * other refuses work. */
    sluice_session_info info = {.size = sizeof(info)};
    sluice_result result = {.size = sizeof(result)};
    do {
        EXPECT(sluice_session_get_info(idle, &info) == SLUICE_OK);
    } while (info.status == SLUICE_OK ||
             sluice_pair(session, PROCESS_PATIENCE_NS, &result) == SLUICE_OK);
    sluice_session *late = NULL;
    EXPECT(open_late(at, SLUICE_MODE_SERVICE, detail, &late) == SLUICE_ESHUTDOWN);
    EXPECT(strstr(detail, "the broker is stopping") != NULL && late == NULL);
    EXPECT(open_late(at, SLUICE_MODE_AUTO, detail, &late) == SLUICE_OK);
    EXPECT(sluice_session_get_info(late, &info) == SLUICE_OK);
    EXPECT(info.mode == SLUICE_MODE_PRIVATE && info.broker_process_id != at->broker.id);
    EXPECT(sluice_session_close(late) == SLUICE_OK);
    /* The same for a session that was here before. */
    uint64_t start_ns = place_now_ns();
    EXPECT(sluice_pair(idle, PROCESS_PATIENCE_NS, &result) == SLUICE_ESHUTDOWN);
    EXPECT(place_now_ns() - start_ns < LATE_OPEN_NS);
    EXPECT(strstr(result.detail, "the broker is stopping") != NULL);
    EXPECT(sluice_session_close(idle) == SLUICE_OK);
    /* With the last operation the broker ends. */
    EXPECT(atomic_load(&tally.count) == 0);
    start_ns = place_now_ns();
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS) && at->broker.exit_code == 0);
    EXPECT(place_now_ns() - start_ns < LATE_OPEN_NS);
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
