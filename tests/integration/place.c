/*
 * place.c - see place.h.
 */
#include "tests/integration/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t place_now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

void place_let_pass(uint64_t time_ns) {
    sl_event never;
    EXPECT(sl_event_init(&never) == 0);
    EXPECT(!sl_event_wait_until(&never, sl_clock_after_ns(place_now_ns(), time_ns)));
    sl_event_deinit(&never);
}

void place_skip(const char *why) {
    printf("skipped: %s\n", why);
    exit(PLACE_EXIT_SKIPPED);
}

/* ---- processes ---- */

void place_launch_broker(place *at, unsigned workers, const char *const *limits) {
    char number[16];
    const char *words[PROCESS_WORDS_MAX] = {at->sluiced,   "run",    "--endpoint",  at->endpoint,
                                            "--log-level", "debug",  "--workers",   number};
    int count = 8;
    (void)snprintf(number, sizeof(number), "%u", workers);
    for (int i = 0; limits != NULL && limits[i] != NULL; i++) {
        EXPECT(count + 3 < (int)PROCESS_WORDS_MAX);
        words[count++] = "--limit";
        words[count++] = limits[i];
    }
    if (at->private_for != NULL) {
        EXPECT(count + 3 < (int)PROCESS_WORDS_MAX);
        words[count++] = "--private-for";
        words[count++] = at->private_for;
    }
    process_start(&at->broker, words);
}

void place_start_broker(place *at, unsigned workers, const char *const *limits) {
    place_launch_broker(at, workers, limits);
    (void)process_until(&at->broker, "listening");
}

void place_stop_broker(place *at) {
    if (process_interrupt(&at->broker)) {
        EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
        if (at->broker.exit_code != 0) {
            (void)fprintf(stderr, "%s\nexit code %d\n", at->broker.text, at->broker.exit_code);
        }
        EXPECT(at->broker.exit_code == 0);
    }
    process_deinit(&at->broker);
}

void place_start_role(process *p, const char *name, const char *const *words) {
    static char path[4096];
    const char *all[PROCESS_WORDS_MAX] = {path, "role", name};
    int count = 3;
    process_own_path(path, sizeof(path));
    for (int i = 0; words[i] != NULL; i++) {
        EXPECT(count + 1 < (int)PROCESS_WORDS_MAX);
        all[count++] = words[i];
    }
    process_start(p, all);
}

/* ---- sessions ---- */

sluice_session *place_open(const char *endpoint, const char *name) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = endpoint, .client_name = name};
    sluice_session *session = NULL;
    EXPECT(sluice_open(&options, &session) == SLUICE_OK);
    return session;
}

uint64_t place_connections(sluice_session *session) {
    sluice_session_info info = {.size = sizeof(info)};
    EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
    return info.connection_count;
}

sluice_broker_info place_status(sluice_session *session) {
    sluice_broker_info info = {.size = sizeof(info)};
    EXPECT(sluice_broker_status(session, PLACE_LONG_NS, &info) == SLUICE_OK);
    return info;
}

void place_await(sluice_session *session, bool (*is_so)(const sluice_broker_info *info)) {
    uint64_t deadline_ns = sl_clock_after_ns(place_now_ns(), PROCESS_PATIENCE_NS);
    sluice_broker_info info = place_status(session);
    while (!is_so(&info)) {
        EXPECT(place_now_ns() < deadline_ns);
        info = place_status(session);
    }
}

/* ---- callbacks ---- */

void place_tally_init(place_tally *tally, uint32_t expected) {
    memset(tally, 0, sizeof(*tally));
    tally->expected = expected;
    EXPECT(sl_event_init(&tally->ended) == 0);
}

void place_tally_deinit(place_tally *tally) {
    sl_event_deinit(&tally->ended);
}

void place_count(void *user, sluice_operation *operation, const sluice_result *result) {
    place_tally *tally = user;
    (void)operation;
    EXPECT(result->status <= 0 && result->status > -PLACE_STATUSES);
    atomic_fetch_add(&tally->by_status[-result->status], 1);
    uint32_t count = atomic_fetch_add(&tally->count, 1) + 1;
    EXPECT(count <= tally->expected); /* exactly one each */
    if (count == tally->expected) {
        sl_event_set(&tally->ended);
    }
}

bool place_tally_wait(place_tally *tally, uint64_t timeout_ns) {
    return sl_event_wait_until(&tally->ended, sl_clock_after_ns(place_now_ns(), timeout_ns));
}

uint32_t place_tally_get(const place_tally *tally, int32_t status) {
    return atomic_load(&tally->by_status[-status]);
}

void place_start_reads(sluice_session *session, uint32_t count, place_tally *tally) {
    static char bytes[1]; /* nothing ever comes */
    for (uint32_t i = 0; i < count; i++) {
        sluice_result pair = {.size = sizeof(pair)};
        EXPECT(sluice_pair(session, PLACE_LONG_NS, &pair) == SLUICE_OK);
        EXPECT(sluice_read_start(session, pair.handles[0], bytes, 1, 0, SLUICE_NO_TIMEOUT,
                                 place_count, tally, NULL) == SLUICE_OK);
    }
    /* Answered behind the reads: they are not on their way any more. */
    EXPECT(sluice_ping(session, PLACE_LONG_NS, NULL) == SLUICE_OK);
}
