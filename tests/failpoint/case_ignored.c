/*
 * case_ignored.c - cancels that nobody hears: a driver that does not let go, a broker that forgets.
 * Then starts of the broker that fail, and requests for failpoints that are wrong.
 *
 * On Linux and under Wine the system always gives operations back; here it does not, in a real
 * process. The client is told in time (EABANDONED, or its own deadline), what is left is counted,
 * and when the system lets go at last the counters are 0 again.
 */
#include <stdio.h>
#include <string.h>

#include "tests/failpoint/scene.h"

#define SHORT_NS   (100 * SL_NS_PER_MS)
#define BIG_BYTES  (1u << 20)
#define CALL_GRACE SL_NS_PER_S

static const char *const limits[] = {"close_grace=300ms", NULL};

static uint8_t big[BIG_BYTES];

static bool has_zombie(const sluice_broker_info *info) {
    return info->zombies == 1;
}

/* ---- a write that the system keeps ---- */

/* Reads until the end of the stream. */
static uint64_t read_all(scene *s, sluice_handle handle) {
    static uint8_t bytes[65536];
    sluice_result result = {.size = sizeof(result)};
    uint64_t received = 0;
    int32_t status;
    while ((status = sluice_read(s->session, handle, bytes, sizeof(bytes), 0, PLACE_LONG_NS,
                                 &result)) == SLUICE_OK) {
        received += result.done;
    }
    EXPECT(status == SLUICE_EEOF);
    return received;
}

static void ignore_write(scene *s) {
    sluice_result pair = {.size = sizeof(pair)};
    sluice_result result = {.size = sizeof(result)};
    sluice_result part = {.size = sizeof(part)};
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    scene_set(s, "engine.cancel", "1*return(EOS)");
    canary_reset();
    uint64_t start_ns = place_now_ns();
    int32_t status = sluice_write(s->session, pair.handles[1], big, BIG_BYTES, SHORT_NS, &result);
    uint64_t took_ns = place_now_ns() - start_ns;
    scene_expect_met(&s->at->broker, "engine.cancel", "return");
    /* The library gives up by itself a quarter of the grace after the broker does. */
    EXPECT(status == SLUICE_EABANDONED ||
           (status == SLUICE_ETIMEDOUT && canary_allowance_ns() > CALL_GRACE / 8));
    EXPECT(took_ns <= SHORT_NS + CALL_GRACE + canary_allowance_ns());
    EXPECT(result.in_doubt > 0 && result.done + result.in_doubt <= BIG_BYTES);
    place_await(s->session, has_zombie);
    EXPECT(sluice_write(s->session, pair.handles[1], "x", 1, PLACE_LONG_NS, NULL) ==
           SLUICE_ETORN);
    /* Somebody takes bytes at last: the system gives the write back. The close waits for it. */
    EXPECT(sluice_read(s->session, pair.handles[0], big, BIG_BYTES, 0, PLACE_LONG_NS, &part) ==
           SLUICE_OK);
    (void)sluice_close(s->session, pair.handles[1], PLACE_LONG_NS, NULL);
    uint64_t received = part.done + read_all(s, pair.handles[0]);
    printf("a write that the system keeps: %s after %.0f ms, done %llu, in doubt %llu; "
           "received %llu\n",
           sluice_status_name(status), (double)took_ns / 1e6, (unsigned long long)result.done,
           (unsigned long long)result.in_doubt, (unsigned long long)received);
    EXPECT(result.done <= received && received <= result.done + result.in_doubt);
    EXPECT(sluice_close(s->session, pair.handles[0], PLACE_LONG_NS, NULL) == SLUICE_OK);
    scene_check_clean(s);
}

/* ---- a read that the system keeps, and its handle is closed ---- */

static void ignore_close(scene *s) {
    sluice_result pair = {.size = sizeof(pair)};
    char byte;
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    EXPECT(sluice_read(s->session, pair.handles[0], &byte, 1, 0, SHORT_NS, NULL) ==
           SLUICE_ETIMEDOUT);
    scene_set(s, "engine.cancel", "1*return(EOS)");
    uint64_t start_ns = place_now_ns();
    int32_t status = sluice_close(s->session, pair.handles[0], PLACE_LONG_NS, NULL);
    uint64_t took_ns = place_now_ns() - start_ns;
    scene_expect_met(&s->at->broker, "engine.cancel", "return");
    EXPECT(status == SLUICE_EABANDONED);
    place_await(s->session, has_zombie);
    EXPECT(sluice_read(s->session, pair.handles[0], &byte, 1, 0, SHORT_NS, NULL) ==
           SLUICE_EBADHANDLE);
    EXPECT(sluice_write(s->session, pair.handles[1], "x", 1, PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_close(s->session, pair.handles[1], PLACE_LONG_NS, NULL) == SLUICE_OK);
    scene_check_clean(s);
    printf("a close that the system holds up: EABANDONED after %.0f ms, gone with the next byte\n",
           (double)took_ns / 1e6);
}

/* ---- a cancel that the broker forgets ---- */

static void forget_cancel(scene *s) {
    static char byte;
    sluice_result pair = {.size = sizeof(pair)};
    sluice_operation *op = NULL;
    place_tally tally;
    place_tally_init(&tally, 1);
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    scene_set(s, "broker.cancel", "1*return(EOS)");
    EXPECT(sluice_read_start(s->session, pair.handles[0], &byte, 1, 0, 5 * SHORT_NS, place_count,
                             &tally, &op) == SLUICE_OK);
    /* Answered behind the read: it waits at the broker, and the cancel goes there, too. */
    EXPECT(sluice_ping(s->session, PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_cancel(op) == SLUICE_OK);
    EXPECT(place_tally_wait(&tally, PLACE_LONG_NS));
    scene_expect_met(&s->at->broker, "broker.cancel", "return");
    EXPECT(place_tally_get(&tally, SLUICE_ETIMEDOUT) == 1);
    sluice_release(op);
    place_tally_deinit(&tally);
    EXPECT(sluice_close(s->session, pair.handles[0], PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_close(s->session, pair.handles[1], PLACE_LONG_NS, NULL) == SLUICE_OK);
    scene_check_clean(s);
    printf("a cancel that the broker forgets: the read ends at its deadline\n");
}

void case_ignored(place *at) {
    scene s = {.at = at};
    scene_begin(&s, at, limits);
    ignore_write(&s);
    ignore_close(&s);
    forget_cancel(&s);
    scene_end(&s);
}

/* ---- starts that fail ---- */

typedef struct bad_start {
    const char *text;
    int exit_code; /* broker/options.h */
    const char *says;
} bad_start;

static const bad_start bad_starts[] = {
    {"broker.start=return(ENOMEM)", 6, "cannot start at"},
    {"broker.start=return(EACCESS)", 5, "cannot listen on"},
    {"engine.endpoint=return(ENAMETAKEN)", 5, "cannot listen on"},
    {"engine.worker=return(ENOMEM)", 6, "cannot start at"},
    {"engine.worker=1*off->return(EOSLIMIT)", 6, "cannot start at"},
    {"broker.worker=1*return(ENOMEM)", 6, "cannot start at"},
    {"broker.sumbit=kill", 2, "SLUICE_FAILPOINTS: column 1: no such point"},
    {"broker.submit=50%return(ENOSUCH)", 2, "SLUICE_FAILPOINTS: column 25: no such status"},
};

#define BAD_STARTS (sizeof(bad_starts) / sizeof(bad_starts[0]))

void case_start(place *at) {
    scene s = {.at = at};
    for (size_t i = 0; i < BAD_STARTS; i++) {
        process_set_environment(SCENE_VARIABLE, bad_starts[i].text);
        place_launch_broker(at, 2, NULL);
        (void)process_until(&at->broker, bad_starts[i].says);
        EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
        printf("%-38s exit code %d\n", bad_starts[i].text, at->broker.exit_code);
        EXPECT(at->broker.exit_code == bad_starts[i].exit_code);
        process_deinit(&at->broker);
    }
    /* Its first accept is refused: it tries again, and listens. */
    process_set_environment(SCENE_VARIABLE, "engine.submit=1*return(ENOMEM)");
    scene_begin(&s, at, NULL);
    process_set_environment(SCENE_VARIABLE, NULL);
    EXPECT(process_has_said(&at->broker, "failpoint engine.submit: return") != NULL);
    scene_check_clean(&s);
    scene_end(&s);
}

/* ---- requests that are wrong ---- */

void case_request(place *at) {
    scene s = {.at = at};
    char detail[CONTROL_DETAIL_BYTES];
    scene_begin(&s, at, NULL);
    EXPECT(control_try(&s.control, "engine.submit=kill;engine.submit=explode", detail) ==
           SLUICE_EINVAL);
    printf("%s\n", detail);
    EXPECT(strcmp(detail, "failpoints: column 34: want: off, return(STATUS), "
                          "delay(MILLISECONDS), pause or kill") == 0);
    EXPECT(control_try(&s.control, "engine.submitted=return(EOS)", detail) == SLUICE_EINVAL);
    printf("%s\n", detail);
    scene_check_clean(&s); /* and nobody was killed */
    scene_end(&s);
}

/* What a release says to it: it does not know such a request, and the session goes on. */
void case_release(place *at) {
    control c;
    char detail[CONTROL_DETAIL_BYTES];
    place_start_broker(at, 1, NULL);
    control_open(&c, at->endpoint);
    for (int i = 0; i < 2; i++) {
        int status = control_try(&c, "all=kill", detail);
        printf("%s: %s\n", sluice_status_name(status), detail);
        EXPECT(status == SLUICE_ENOTSUP);
    }
    control_close(&c);
    place_stop_broker(at);
}
