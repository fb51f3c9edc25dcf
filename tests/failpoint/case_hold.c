/*
 * case_hold.c - a worker that stands still, or is slow, at the worst moments.
 *
 * Whatever the broker does, a call is back within its deadline and the grace; a session whose
 * worker says nothing is given up after `unresponsive`, and the broker's other worker never
 * notices. Let go, the broker goes on and has nothing left of it.
 */
#include <stdio.h>

#include "tests/failpoint/scene.h"

#define TIMEOUT_NS      (100 * SL_NS_PER_MS) /* with 3/4 of the grace less than UNRESPONSIVE_NS */
#define UNRESPONSIVE_NS SL_NS_PER_S
#define DELAY_MS        100u

static const char *const limits[] = {"unresponsive=1s", "ping_interval=200ms", NULL};

/* ---- pause ---- */

typedef struct hold {
    const char *name;
    int32_t (*call)(sluice_session *session, const sluice_result *pair);
} hold;

static int32_t write_byte(sluice_session *session, const sluice_result *pair) {
    return sluice_write(session, pair->handles[1], "x", 1, TIMEOUT_NS, NULL);
}

static int32_t close_end(sluice_session *session, const sluice_result *pair) {
    return sluice_close(session, pair->handles[0], TIMEOUT_NS, NULL);
}

static int32_t read_byte(sluice_session *session, const sluice_result *pair) {
    static char byte;
    return sluice_read(session, pair->handles[0], &byte, 1, 0, TIMEOUT_NS, NULL);
}

static const hold holds[] = {
    {"broker.submit", write_byte},  {"engine.complete", write_byte}, {"broker.reply", write_byte},
    {"broker.deadline", read_byte}, {"engine.release", close_end},
    /* --long */
    {"engine.submit", write_byte},  {"broker.complete", write_byte}, {"broker.finish", write_byte},
    {"broker.close", close_end},
};

#define HOLDS      5u
#define HOLDS_LONG (sizeof(holds) / sizeof(holds[0]))

static void expect_in_time(const char *name, int32_t status, int32_t wanted, uint64_t took_ns,
                           uint64_t limit_ns) {
    uint64_t allowance_ns = canary_allowance_ns();
    bool is_in_time = took_ns <= limit_ns + allowance_ns;
    if (status != wanted || !is_in_time) {
        (void)fprintf(stderr, "%s: %s after %.0f ms; the machine's share %.0f ms\n", name,
                      sluice_status_name(status), (double)took_ns / 1e6,
                      (double)allowance_ns / 1e6);
        EXPECT(status == wanted && is_in_time);
    }
}

/* The worker stands still until `name` is off: the call, then the session, get over it. */
static void hold_at(scene *s, const hold *h) {
    sluice_result pair = {.size = sizeof(pair)};
    sluice_result other = {.size = sizeof(other)};
    char byte;
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &other) == SLUICE_OK);
    scene_set(s, h->name, "pause");
    canary_reset();
    uint64_t start_ns = place_now_ns();
    int32_t status = h->call(s->session, &pair);
    uint64_t took_ns = place_now_ns() - start_ns;
    scene_expect_met(&s->at->broker, h->name, "pause");
    expect_in_time(h->name, status, SLUICE_ETIMEDOUT, took_ns, TIMEOUT_NS + PLACE_GRACE_NS);
    control_set(&s->control, ""); /* the other worker answers */
    int32_t lost = sluice_read(s->session, other.handles[0], &byte, 1, 0, SLUICE_NO_TIMEOUT, NULL);
    uint64_t lost_ns = place_now_ns() - start_ns;
    /* Stale: it was given up before the read. */
    expect_in_time(h->name, lost == SLUICE_ESTALE ? SLUICE_EUNRESPONSIVE : lost,
                   SLUICE_EUNRESPONSIVE, lost_ns, UNRESPONSIVE_NS + 2 * PLACE_GRACE_NS);
    scene_set(s, h->name, "off");
    EXPECT(sluice_ping(s->session, PLACE_LONG_NS, NULL) == SLUICE_OK); /* a new connection */
    scene_check_clean(s);
    scene_attach(s);
    printf("%-16s paused: the call ended %s after %.0f ms, the session %s after %.0f ms\n", h->name,
           sluice_status_name(status), (double)took_ns / 1e6, sluice_status_name(lost),
           (double)lost_ns / 1e6);
}

/* ---- delay ---- */

static const char *const delays[] = {"broker.submit", "engine.complete", "engine.deliver",
                                     "broker.finish", "broker.reply", "broker.sent"};

#define DELAYS (sizeof(delays) / sizeof(delays[0]))

/* A call that has time waits for it; the connection stays. */
static void delay_at(scene *s, const char *name) {
    sluice_result pair = {.size = sizeof(pair)};
    char action[32];
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    (void)snprintf(action, sizeof(action), "1*delay(%u)", DELAY_MS);
    scene_set(s, name, action);
    uint64_t start_ns = place_now_ns();
    EXPECT(sluice_write(s->session, pair.handles[1], "x", 1, PLACE_LONG_NS, NULL) == SLUICE_OK);
    /* What is delayed behind a reply delays the next one. */
    EXPECT(sluice_ping(s->session, PLACE_LONG_NS, NULL) == SLUICE_OK);
    uint64_t took_ns = place_now_ns() - start_ns;
    scene_expect_met(&s->at->broker, name, "delay");
    EXPECT(took_ns >= DELAY_MS * SL_NS_PER_MS);
    EXPECT(sluice_close(s->session, pair.handles[0], PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_close(s->session, pair.handles[1], PLACE_LONG_NS, NULL) == SLUICE_OK);
    scene_check_clean(s);
    printf("%-16s delayed by %u ms: done after %.0f ms\n", name, DELAY_MS, (double)took_ns / 1e6);
}

void case_hold(place *at) {
    scene s = {.at = at};
    scene_begin(&s, at, limits);
    uint64_t connections = place_connections(s.session);
    for (size_t i = 0; i < DELAYS; i++) {
        delay_at(&s, delays[i]);
    }
    EXPECT(place_connections(s.session) == connections);
    for (size_t i = 0; i < (at->is_long ? HOLDS_LONG : HOLDS); i++) {
        hold_at(&s, &holds[i]);
    }
    scene_end(&s);
}

/* ---- a worker that never comes back ---- */

/* What the kernel could do to us: the process ends all the same, and says so (exit code 7). */
void case_stuck(place *at) {
    static const char *const words[] = {NULL};
    static const char *const short_limits[] = {"drain_grace=0s", "close_grace=0s", NULL};
    char number[32];
    process waiter;
    place_start_role(&waiter, "wait", words);
    (void)process_until(&waiter, "waiting");
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)waiter.id);
    at->private_for = number;
    process_set_environment(SCENE_VARIABLE, "broker.drain=1*pause");
    place_start_broker(at, 2, short_limits);
    process_set_environment(SCENE_VARIABLE, NULL);
    process_continue_input(&waiter); /* the process that the broker is for: it ends */
    EXPECT(process_wait(&waiter, PROCESS_PATIENCE_NS));
    process_deinit(&waiter);
    scene_expect_met(&at->broker, "broker.drain", "pause");
    (void)process_until(&at->broker, "stopped without a thread that does not come back");
    EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
    printf("one of two workers stood still: exit code %d\n", at->broker.exit_code);
    EXPECT(at->broker.exit_code == 7);
    process_deinit(&at->broker);
}
