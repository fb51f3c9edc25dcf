/*
 * case_exhaustion.c - a client opens pipes until there are no more. It is told EQUOTA, or that the
 * system has no more; others can connect and open what they need all the same; and when it is
 * killed, everything is to be had again within a second.
 *
 * On Linux the broker may have 256 descriptors (descriptors.h: what it keeps back); on Windows,
 * where no limit of the system's is in reach, a session may have 256 handles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/hoard.h"
#include "tests/integration/place.h"

#define OTHERS       16u  /* that connect meanwhile */
#define PAIRS_MIN    40u  /* that a limit of 256 leaves for one */
#define PAIRS_BACK   40u  /* that are to be had again at once */
#define RECOVERY_NS  SL_NS_PER_S
#define ROUNDS       3u
#define ROUNDS_LONG  100u

/* ---- the client ---- */

int hoard_run(const char *endpoint) {
    sluice_session *session = place_open(endpoint, "hoard");
    sluice_result pair = {.size = sizeof(pair)};
    uint32_t count = 0;
    int32_t status;
    while ((status = sluice_pair(session, PLACE_LONG_NS, &pair)) == SLUICE_OK) {
        count++;
    }
    printf("pairs %u, then %s\n", count, sluice_status_name(status));
    for (;;) { /* takes whatever becomes free, until it is killed */
        status = sluice_pair(session, PLACE_LONG_NS, &pair);
        EXPECT(status == SLUICE_OK || status == SLUICE_EQUOTA || status == SLUICE_EOSLIMIT);
    }
}

/* ---- the test ---- */

static void start_broker(place *at) {
#define LIMIT_TEXT "256"
    if (strcmp(process_shell(), "") == 0) {
        static const char *const limits[] = {"handles=" LIMIT_TEXT, NULL};
        place_start_broker(at, 1, limits);
        return;
    }
    const char *words[] = {process_shell(), "-c", "ulimit -n " LIMIT_TEXT " && exec \"$0\" \"$@\"",
                           at->sluiced,     "run", "--endpoint", at->endpoint,
                           "--workers",     "1",   NULL};
    process_start(&at->broker, words);
    (void)process_until(&at->broker, "listening");
}

/* Opens so many pairs and closes them again. The first status that is not OK. */
static int32_t try_pairs(sluice_session *session, uint32_t count) {
    sluice_handle handles[2 * PAIRS_BACK];
    sluice_result pair = {.size = sizeof(pair)};
    uint32_t opened = 0;
    int32_t status = SLUICE_OK;
    while (status == SLUICE_OK && opened < count) {
        status = sluice_pair(session, PLACE_LONG_NS, &pair);
        if (status == SLUICE_OK) {
            handles[2 * opened] = pair.handles[0];
            handles[2 * opened + 1] = pair.handles[1];
            opened++;
        }
    }
    for (uint32_t i = 0; i < 2 * opened; i++) {
        EXPECT(sluice_close(session, handles[i], PLACE_LONG_NS, NULL) == SLUICE_OK);
    }
    return status;
}

static void run_round(place *at, uint32_t round) {
    const char *words[] = {at->endpoint, NULL};
    sluice_session *others[OTHERS];
    process client;
    place_start_role(&client, "hoard", words);
    const char *said = process_until(&client, "pairs ");
    EXPECT(strtoul(said, NULL, 10) >= PAIRS_MIN);
    EXPECT(strstr(said, "then EQUOTA") != NULL || strstr(said, "then EOSLIMIT") != NULL);
    for (uint32_t i = 0; i < OTHERS; i++) {
        others[i] = place_open(at->endpoint, "other");
        EXPECT(try_pairs(others[i], 1) == SLUICE_OK);
    }
    process_kill(&client);
    uint64_t start_ns = place_now_ns();
    uint32_t tries = 1;
    while (try_pairs(others[0], PAIRS_BACK) != SLUICE_OK) {
        tries++;
        EXPECT(place_now_ns() < start_ns + PLACE_LONG_NS);
    }
    uint64_t took_ns = place_now_ns() - start_ns;
    printf("round %u: %.*s; %u others connected and opened; %u pairs again %.1f ms behind its end "
           "(%u tries)\n",
           round + 1, (int)strcspn(said, "\r\n"), said, OTHERS, PAIRS_BACK, (double)took_ns / 1e6,
           tries);
    EXPECT(took_ns <= RECOVERY_NS || process_is_wine()); /* its server closes them one by one */
    for (uint32_t i = 0; i < OTHERS; i++) {
        EXPECT(sluice_session_close(others[i]) == SLUICE_OK);
    }
    process_deinit(&client);
}

void case_exhaustion(place *at) {
    start_broker(at);
    for (uint32_t i = 0; i < (at->is_long ? ROUNDS_LONG : ROUNDS); i++) {
        run_round(at, i);
    }
    place_stop_broker(at);
}
