/*
 * roles.c - what this program does as another client.
 *
 *   pending ENDPOINT COUNT    COUNT reads without deadline; says "ready"; says how they ended
 *   stopped ENDPOINT NAME     listens at pipe:NAME, reads what comes, is halted meanwhile
 *   flood ENDPOINT            uses all its credits while it is told to (case_flood.c)
 *   hoard ENDPOINT            opens pipes until there are no more (case_exhaustion.c)
 *   slow ENDPOINT NAME        listens at pipe:NAME, reads what comes (case_slow_reader.c)
 *   private SLUICED HOW       a private broker of its own; then it ends as HOW says
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/flood.h"
#include "tests/integration/hoard.h"
#include "tests/integration/place.h"
#include "tests/integration/slow.h"
#include "tests/integration/stopped.h"

/* Until the test closes our standard input, or dies. */
static void await_input(void) {
    while (getchar() != EOF) {
    }
}

static int run_pending(const char *endpoint, uint32_t count) {
    place_tally tally;
    sluice_session *session = place_open(endpoint, "pending");
    place_tally_init(&tally, count);
    place_start_reads(session, count, &tally);
    printf("ready\n");
    EXPECT(place_tally_wait(&tally, 10 * PROCESS_PATIENCE_NS));
    uint32_t shut = place_tally_get(&tally, SLUICE_ESHUTDOWN);
    uint32_t lost = place_tally_get(&tally, SLUICE_EBROKERLOST);
    printf("ended: %u ESHUTDOWN, %u EBROKERLOST\n", shut, lost);
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_tally_deinit(&tally);
    return shut + lost == count ? 0 : 1;
}

static int run_private(const char *sluiced, const char *how) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = sluiced};
    sluice_session *session = NULL;
    sluice_session_info info = {.size = sizeof(info)};
    place_tally tally;
    EXPECT(sluice_open(&options, &session) == SLUICE_OK);
    place_tally_init(&tally, 16);
    place_start_reads(session, 16, &tally);
    EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
    printf("broker %llu\n", (unsigned long long)info.broker_process_id);
    await_input();
    if (strcmp(how, "close") == 0) {
        EXPECT(sluice_session_close(session) == SLUICE_OK);
        EXPECT(place_tally_get(&tally, SLUICE_ECANCELED) == 16);
    }
    printf("leaving\n");
    exit(0); /* "exit": with the session open */
}

int place_run_role(int count, char **words) {
    if (count == 3 && strcmp(words[0], "pending") == 0) {
        return run_pending(words[1], (uint32_t)strtoul(words[2], NULL, 10));
    }
    if (count == 3 && strcmp(words[0], "stopped") == 0) {
        return stopped_run(words[1], words[2]);
    }
    if (count == 2 && strcmp(words[0], "flood") == 0) {
        return flood_run(words[1]);
    }
    if (count == 2 && strcmp(words[0], "hoard") == 0) {
        return hoard_run(words[1]);
    }
    if (count == 3 && strcmp(words[0], "slow") == 0) {
        return slow_run(words[1], words[2]);
    }
    if (count == 3 && strcmp(words[0], "private") == 0) {
        return run_private(words[1], words[2]);
    }
    (void)fprintf(stderr, "no such role\n");
    return 2;
}
