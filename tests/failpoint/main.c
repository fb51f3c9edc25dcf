/*
 * main.c - failpoints in real processes: docs/testing.md, "Failpoints".
 *
 *   failpoints CASE SLUICED     SLUICED is the test build, sluiced_failpoints
 *   failpoints role NAME ...    another client, a test build too, started by a case
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/failpoint/scene.h"

static const place_case cases[] = {
    {"engine", case_engine, 200},   {"broker", case_broker, 200}, {"client", case_client, 200},
    {"hold", case_hold, 100},       {"stuck", case_stuck, 60},    {"refuse", case_refuse, 100},
    {"ignored", case_ignored, 100}, {"start", case_start, 60},    {"request", case_request, 60},
    {"release", case_release, 60},
};

/* ---- roles ---- */

static int run_wait(void) {
    printf("waiting\n");
    while (getchar() != EOF) {
    }
    return 0;
}

/* Has a session, and does nothing with it. */
static int run_linger(const char *endpoint) {
    sluice_session *session = place_open(endpoint, "victim");
    printf("connected\n");
    (void)run_wait();
    return sluice_session_close(session);
}

/* Works until it is killed. */
static int run_work(const char *endpoint) {
    work w = {.endpoint = endpoint};
    uint64_t deadline_ns = sl_clock_after_ns(place_now_ns(), PROCESS_PATIENCE_NS);
    w.session = place_open(endpoint, "victim");
    while (place_now_ns() < deadline_ns) {
        work_round(&w);
        printf("working\n");
    }
    return sluice_session_close(w.session);
}

static int run_launch(const char *sluiced) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = sluiced};
    sluice_session *session = NULL;
    int32_t status = sluice_open(&options, &session);
    printf("opened: %s\n", sluice_status_name(status));
    return status == SLUICE_OK ? sluice_session_close(session) : 1;
}

int place_run_role(int count, char **words) {
    if (count == 1 && strcmp(words[0], "wait") == 0) {
        return run_wait();
    }
    if (count == 2 && strcmp(words[0], "work") == 0) {
        return run_work(words[1]);
    }
    if (count == 2 && strcmp(words[0], "linger") == 0) {
        return run_linger(words[1]);
    }
    if (count == 2 && strcmp(words[0], "launch") == 0) {
        return run_launch(words[1]);
    }
    (void)fprintf(stderr, "no such role\n");
    return 2;
}

int main(int count, char **words) {
    char error[SL_FAILPOINT_ERROR_BYTES];
    /* Now, so that what is set for children later does not hit this process. */
    EXPECT(sl_failpoint_configure("", error));
    canary_start();
    return place_main(cases, sizeof(cases) / sizeof(cases[0]), count, words);
}
