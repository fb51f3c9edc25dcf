/*
 * case_sweep.c - every point kills its process once, while a client works. A point that is never
 * reached fails the test: the process would live.
 *
 * The broker's: the client's calls end in time, with a status that says so, and its session goes on
 * with the next broker. The library's: the client dies, and the broker has nothing left of it.
 */
#include <stdio.h>
#include <string.h>

#include "tests/failpoint/scene.h"

#define NO_BROKER_NS (100 * SL_NS_PER_MS) /* of a call that finds none */

static const char *const limits[] = {"unresponsive=2s", "drain_grace=500ms", NULL};

/* When is a point met? */
typedef enum moment {
    AT_WORK,  /* by work_round; the point is set by RPC */
    AT_START, /* before the broker listens; set by the environment, as what follows */
    AT_STOP,  /* when a broker ends in order */
    AT_LOSS,  /* in a client whose broker is killed */
    AT_LAUNCH /* in a client that starts a private broker */
} moment;

static moment moment_of(sl_failpoint point) {
    switch (point) {
    case SL_FAILPOINT_engine_endpoint:
    case SL_FAILPOINT_engine_worker:
    case SL_FAILPOINT_broker_start:
    case SL_FAILPOINT_broker_worker:
    case SL_FAILPOINT_broker_started: return AT_START;
    case SL_FAILPOINT_broker_stop:
    case SL_FAILPOINT_broker_drain:
    case SL_FAILPOINT_broker_ended:
    case SL_FAILPOINT_broker_stopped: return AT_STOP;
    case SL_FAILPOINT_client_lost: return AT_LOSS;
    case SL_FAILPOINT_client_launch: return AT_LAUNCH;
    default: return AT_WORK;
    }
}

/* A process that waits for its input's end, which is the test's to give. */
static void start_waiter(process *p, place *at) {
    static const char *const words[] = {NULL};
    static char number[32];
    place_start_role(p, "wait", words);
    (void)process_until(p, "waiting");
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)p->id);
    at->private_for = number;
}

/* What processes started from now on find in the environment. */
static void set_kill(const char *name) {
    char text[SCENE_TEXT_BYTES];
    (void)snprintf(text, sizeof(text), "%s=kill", name);
    process_set_environment(SCENE_VARIABLE, text);
}

/* ---- the broker ---- */

/* A call that finds no broker is back in time, too. */
static void call_without_broker(scene *s, work *w) {
    canary_reset();
    uint64_t start_ns = place_now_ns();
    int32_t status = sluice_ping(s->session, NO_BROKER_NS, NULL);
    uint64_t took_ns = place_now_ns() - start_ns;
    EXPECT(status == SLUICE_ETIMEDOUT || work_is_loss(status));
    EXPECT(took_ns <= NO_BROKER_NS + PLACE_GRACE_NS + canary_allowance_ns());
    w->calls++;
    w->loss = w->is_lost ? w->loss : status;
}

/* The client works on until the broker has gone. */
static void work_until_death(scene *s, const char *name, work *w) {
    uint64_t deadline_ns = sl_clock_after_ns(place_now_ns(), PROCESS_PATIENCE_NS);
    while (!w->is_lost && !process_wait(&s->at->broker, 0)) {
        EXPECT(place_now_ns() < deadline_ns && "the point is met");
        work_round(w);
    }
    scene_expect_death(&s->at->broker, name);
    call_without_broker(s, w);
}

static void kill_at_work(scene *s, const char *name, work *w) {
    scene_begin(s, s->at, limits);
    w->session = s->session;
    work_round(w); /* nothing is wrong yet */
    EXPECT(!w->is_lost);
    scene_set(s, name, "kill");
    work_until_death(s, name, w);
}

static void kill_at_start(scene *s, const char *name, work *w) {
    set_kill(name);
    place_launch_broker(s->at, 2, limits);
    process_set_environment(SCENE_VARIABLE, NULL);
    scene_expect_death(&s->at->broker, name);
    call_without_broker(s, w);
}

static void kill_at_stop(scene *s, const char *name, work *w) {
    process waiter;
    start_waiter(&waiter, s->at);
    set_kill(name);
    scene_begin(s, s->at, limits);
    process_set_environment(SCENE_VARIABLE, NULL);
    s->at->private_for = NULL;
    w->session = s->session;
    work_round(w);
    EXPECT(!w->is_lost);
    process_continue_input(&waiter); /* the process that the broker is for: it ends */
    EXPECT(process_wait(&waiter, PROCESS_PATIENCE_NS));
    process_deinit(&waiter);
    work_until_death(s, name, w);
}

static const char *const moments[] = {"at work", "at its start", "at its end",
                                      "when its broker is lost", "when it starts a broker"};

static bool is_of(sl_failpoint point, const char *module) {
    const char *name = sl_failpoint_name(point);
    size_t length = strlen(module);
    return strncmp(name, module, length) == 0 && name[length] == '.';
}

static void sweep_broker(place *at, const char *module) {
    static void (*const kill[])(scene *, const char *, work *) = {kill_at_work, kill_at_start,
                                                                 kill_at_stop};
    scene s = {.at = at};
    uint32_t count = 0;
    scene_begin(&s, at, limits); /* one that nothing happens to but its end */
    process_deinit(&at->broker);
    control_close(&s.control);
    for (int i = 0; i < SL_FAILPOINT_COUNT; i++) {
        sl_failpoint point = (sl_failpoint)i;
        const char *name = sl_failpoint_name(point);
        if (!is_of(point, module)) {
            continue;
        }
        work w = {.endpoint = at->endpoint};
        kill[moment_of(point)](&s, name, &w);
        control_close(&s.control);
        printf("%-18s killed the broker %-13s %3u calls, then %s; latest %.1f ms behind its "
               "deadline\n",
               name, moments[moment_of(point)], w.calls,
               sluice_status_name(w.loss), (double)w.latest_ns / 1e6);
        count++;
    }
    scene_begin(&s, at, limits); /* the last one's successor serves, too */
    scene_check_clean(&s);
    scene_end(&s);
    printf("%u points of %s met, of %u\n", count, module, count);
}

void case_engine(place *at) {
    sweep_broker(at, "engine");
}

void case_broker(place *at) {
    sweep_broker(at, "broker");
}

/* ---- the library ---- */

static void start_victim(place *at, sl_failpoint point, process *ret_client) {
    const char *const works[] = {at->endpoint, NULL};
    const char *const launches[] = {at->sluiced, NULL};
    set_kill(sl_failpoint_name(point));
    switch (moment_of(point)) {
    case AT_LAUNCH: place_start_role(ret_client, "launch", launches); break;
    case AT_LOSS: place_start_role(ret_client, "linger", works); break;
    default: place_start_role(ret_client, "work", works); break;
    }
    process_set_environment(SCENE_VARIABLE, NULL);
    if (moment_of(point) == AT_LOSS) {
        (void)process_until(ret_client, "connected");
        process_kill(&at->broker);
        EXPECT(process_wait(&at->broker, PROCESS_PATIENCE_NS));
        process_deinit(&at->broker);
        place_start_broker(at, 2, limits);
    }
}

static bool is_alone(const sluice_broker_info *info) {
    return info->sessions == 1 && info->handles == 0 && info->operations <= 1;
}

void case_client(place *at) {
    uint32_t count = 0;
    place_start_broker(at, 2, limits);
    sluice_session *session = place_open(at->endpoint, "bystander");
    for (int i = 0; i < SL_FAILPOINT_COUNT; i++) {
        sl_failpoint point = (sl_failpoint)i;
        if (!is_of(point, "client")) {
            continue;
        }
        process client;
        start_victim(at, point, &client);
        scene_expect_death(&client, sl_failpoint_name(point));
        (void)sluice_ping(session, PLACE_LONG_NS, NULL); /* tells of a broker that was killed */
        place_await(session, is_alone);
        printf("%-18s killed the client %s; the broker has nothing left of it\n",
               sl_failpoint_name(point), moments[moment_of(point)]);
        count++;
    }
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_stop_broker(at);
    printf("%u points of client met, of %u\n", count, count);
}
