/*
 * openers_test.c - opens that block, at a broker on the platform's own engine: they keep nobody
 * from anything else, give back what they held when they are given up, and are counted as what they
 * are. Look-ups are held at a gate (engine_opener_run).
 */
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "engine/opener.h"
#include "tests/broker/rig.h"

#define OPERATIONS 16u  /* credit */
#define HASTY      100u /* more than that */
#define HALF       4u   /* of the openers: one user's */
#define STUCK      6u   /* more than HALF */
#define LIMIT      "this user's limit opens_given_up of 8 is reached"
#define HELD       "tcp:held.invalid:80"

static struct {
    sl_mutex lock;
    sl_cond opened;
    bool is_open;
    sl_atomic_u32 inside;
    sl_atomic_bool holds_closes; /* of listeners on a path, too */
} gate;

static void run_at_gate(engine_opener_job *job) {
    bool is_held = job->kind == ENGINE_OPENER_RESOLVE ||
                   (job->kind == ENGINE_OPENER_DROP && atomic_load(&gate.holds_closes));
    if (!is_held) {
        engine_opener_os_run(job);
        return;
    }
    atomic_fetch_add(&gate.inside, 1);
    sl_mutex_lock(&gate.lock);
    while (!gate.is_open) {
        sl_cond_wait(&gate.opened, &gate.lock);
    }
    sl_mutex_unlock(&gate.lock);
    atomic_fetch_sub(&gate.inside, 1);
    if (job->kind == ENGINE_OPENER_DROP) {
        engine_opener_os_run(job);
    } else {
        job->status = SLUICE_ENOTFOUND;
    }
}

static void await_inside(test_rig *rig, uint32_t count) {
    uint64_t since = 0;
    while (atomic_load(&gate.inside) != count) {
        rig_wait(rig, &since);
    }
}

static void await_given_up(test_rig *rig, uint64_t count) {
    uint64_t since = 0;
    while (rig_counters(rig).opens_given_up != count) {
        rig_wait(rig, &since);
    }
}

static uint64_t start_open(raw_client *c, sl_request_kind kind, const char *address,
                           uint64_t timeout_ns) {
    sl_request request = {.id = client_id(c), .kind = kind};
    if (kind == SL_REQUEST_LISTEN) {
        request.as.listen.address = address;
        request.as.listen.timeout_ns = timeout_ns;
    } else {
        request.as.connect.address = address;
        request.as.connect.timeout_ns = timeout_ns;
    }
    client_send(c, &request, NULL, 0);
    return request.id;
}

static void listen_and_connect(raw_client *c, const char *address) {
    raw_reply listener;
    raw_reply near;
    EXPECT(call_address(c, SL_REQUEST_LISTEN, address, &listener) == SLUICE_OK);
    const char *to = listener.local_address[0] != '\0' ? listener.local_address : address;
    EXPECT(call_address(c, SL_REQUEST_CONNECT, to, &near) == SLUICE_OK);
    EXPECT(call_close(c, near.opened[0]) == SLUICE_OK);
    EXPECT(call_close(c, listener.opened[0]) == SLUICE_OK);
}

/* All that takes no look-up. */
static void open_the_rest(test_rig *rig, raw_client *c) {
    uint64_t ends[2];
    uint64_t done;
    char pipe[300];
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(call_write(c, ends[1], "here", 4) == SLUICE_OK);
    EXPECT(call_read(c, ends[0], 4, true, "here", &done) == SLUICE_OK);
    EXPECT(call_close(c, ends[0]) == SLUICE_OK && call_close(c, ends[1]) == SLUICE_OK);
    listen_and_connect(c, "tcp:127.0.0.1:0");
    rig_pipe_address(rig, pipe, sizeof(pipe));
    listen_and_connect(c, pipe);
}

static void expect_counted(raw_client *c, uint64_t given_up) {
    raw_reply reply;
    EXPECT(call_plain(c, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
    EXPECT(reply.counters.opens_given_up == given_up);
    EXPECT(reply.counters.user_opens_given_up == given_up);
    EXPECT(reply.counters.zombies == 0 && reply.counters.user_zombies == 0);
}

/* Half of the openers is one user's, over all its sessions. What waits behind that ends when its
 * time is up, or at a cancel, and gives its credit back at once. */
static void test_waiting(test_rig *rig, raw_client *first, raw_client *second,
                         uint64_t held[HALF]) {
    for (unsigned i = 0; i < HALF; i++) {
        held[i] = start_open(first, SL_REQUEST_CONNECT, HELD, 0);
    }
    await_inside(rig, HALF);
    open_the_rest(rig, second);
    for (unsigned i = 0; i < HASTY; i++) {
        EXPECT(await_status(second, start_open(second, SL_REQUEST_LISTEN, HELD, 1)) ==
               SLUICE_ETIMEDOUT);
    }
    uint64_t waiting[OPERATIONS];
    for (unsigned i = 0; i < OPERATIONS; i++) {
        waiting[i] =
            start_open(second, i % 2 == 0 ? SL_REQUEST_LISTEN : SL_REQUEST_CONNECT, HELD, 0);
    }
    expect_quota_of(second, SL_REQUEST_PAIR,
                    "the session's limit credit_operations of 16 is reached");
    for (unsigned i = 0; i < OPERATIONS; i++) {
        send_cancel(second, waiting[i]);
        EXPECT(await_status(second, waiting[i]) == SLUICE_ECANCELED);
    }
    EXPECT(atomic_load(&gate.inside) == HALF);
    expect_counted(second, 0);
    open_the_rest(rig, second);
}

/* Given up inside the system: ended at once, counted for the user, and so many at most. */
static void test_given_up(test_rig *rig, raw_client *first, raw_client *second,
                          uint64_t held[HALF]) {
    for (unsigned i = 0; i < HALF; i++) {
        send_cancel(first, held[i]);
        EXPECT(await_status(first, held[i]) == SLUICE_ECANCELED);
    }
    await_given_up(rig, HALF);
    expect_counted(second, HALF);
    for (unsigned i = 0; i < HALF; i++) {
        held[i] = start_open(second, SL_REQUEST_CONNECT, HELD, 0);
    }
    await_inside(rig, 2 * HALF);
    for (unsigned i = 0; i < HALF; i++) {
        send_cancel(second, held[i]);
        EXPECT(await_status(second, held[i]) == SLUICE_ECANCELED);
    }
    await_given_up(rig, 2 * HALF);
    expect_quota(first, start_open(first, SL_REQUEST_LISTEN, HELD, 0), LIMIT);
    expect_quota(second, start_open(second, SL_REQUEST_CONNECT, HELD, 0), LIMIT);
    expect_counted(first, 2 * HALF);
}

static void open_gate(void) {
    sl_mutex_lock(&gate.lock);
    gate.is_open = true;
    sl_cond_broadcast(&gate.opened);
    sl_mutex_unlock(&gate.lock);
}

/* Closes that the system does not let go: each says so after its grace and is a zombie; the user's
 * opens end when there are too many of them, with the limit's name, and go on when they have
 * returned. */
static void test_stuck_closes(void) {
    test_rig rig;
    sl_limits limits;
    uint64_t ends[2];
    sl_limits_default(&limits);
    limits.zombies = STUCK;
    limits.close_grace_ns = 100 * SL_NS_PER_MS;
    gate.is_open = false;
    atomic_store(&gate.holds_closes, true);
    rig_options options = {.limits = &limits};
    rig_open(&rig, &options);
    raw_client *c = client_open(&rig);
    for (unsigned i = 0; i < STUCK; i++) {
        char address[320];
        raw_reply listener;
        rig_pipe_address(&rig, address, sizeof(address));
        (void)snprintf(address + strlen(address), 8, "-%u", i);
        EXPECT(call_address(c, SL_REQUEST_LISTEN, address, &listener) == SLUICE_OK);
        EXPECT(call_close(c, listener.opened[0]) == SLUICE_EABANDONED);
    }
    EXPECT(rig_counters(&rig).zombies == STUCK && atomic_load(&gate.inside) == HALF);
    expect_quota_of(c, SL_REQUEST_PAIR, "this user's limit zombies of 6 is reached");
    open_gate();
    for (uint64_t since = 0; rig_counters(&rig).zombies > 0;) {
        rig_wait(&rig, &since);
    }
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    client_close(c);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(void) {
    test_rig rig;
    sl_limits limits;
    uint64_t held[HALF];
    raw_reply reply;
    sl_mutex_init(&gate.lock);
    sl_cond_init(&gate.opened);
    engine_opener_run = run_at_gate;
    sl_limits_default(&limits);
    limits.credit_operations = OPERATIONS;
    rig_options options = {.limits = &limits, .worker_count = 2};
    rig_open(&rig, &options);
    raw_client *first = client_open(&rig);
    raw_client *second = client_open(&rig);
    test_waiting(&rig, first, second, held);
    test_given_up(&rig, first, second, held);
    open_gate();
    await_given_up(&rig, 0);
    EXPECT(call_address(first, SL_REQUEST_CONNECT, HELD, &reply) == SLUICE_ENOTFOUND);
    expect_counted(first, 0);
    client_close(first);
    client_close(second);
    rig_await_empty(&rig);
    rig_close(&rig);
    /* On Windows a pipe's name ends with its last instance: its close takes no opener. */
    if (strcmp(engine_backend_name(engine_backend_find(NULL)), "epoll") == 0) {
        test_stuck_closes();
    }
    sl_cond_deinit(&gate.opened);
    sl_mutex_deinit(&gate.lock);
    return 0;
}
