/*
 * stuck_test.c - a kernel that does not let go: on the simulator, where no cancel has any effect
 * until sim_world_calm. Whatever the client asked ends in its time, what is left is a zombie that
 * is shown, counted and limited, its late end reaches nobody, and in the end nothing is left.
 */
#include <stdio.h>
#include <string.h>

#include "tests/broker/rig.h"

#define CALL_GRACE_NS  (200 * SL_NS_PER_MS)
#define CLOSE_GRACE_NS (500 * SL_NS_PER_MS)
#define DEADLINE_NS    (300 * SL_NS_PER_MS)
#define SLACK_NS       (20 * SL_NS_PER_MS) /* the simulated way there and back, and its steps */
#define ZOMBIES        8u
#define NEWCOMERS      4u
#define BACKLOG_MOST   16u /* connections that wait, with a backlog of 1 */
#define BIG            (1u << 20) /* more than a simulated pipe buffers */
#define SILENT         "tcp:203.0.113.7:9" /* nobody answers there */
#define OTHER_STATUS   77         /* no status of the table */
#define ANY            UINT64_MAX /* no handle has that number */
#define ALWAYS         1000       /* per mille */

static uint8_t bytes[BIG];

typedef struct stuck_rig {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
} stuck_rig;

static void open_rig(stuck_rig *s, uint64_t seed) {
    sim_options_gentle(&s->sim, seed);
    sl_limits_default(&s->limits);
    s->limits.call_grace_ns = CALL_GRACE_NS;
    s->limits.close_grace_ns = CLOSE_GRACE_NS;
    s->limits.zombies = ZOMBIES;
    rig_options options = {
        .sim = &s->sim, .limits = &s->limits, .worker_count = 1 + (uint32_t)(seed % 2)};
    rig_open(&s->rig, &options);
}

static void stick(stuck_rig *s, uint16_t per_mille) {
    sim_world_options(s->rig.world)->per_mille[SIM_CANCEL_STUCK] = per_mille;
}

/* The client goes; its own system is a sound one. */
static void leave(stuck_rig *s, raw_client *c) {
    stick(s, 0);
    client_hang_up(c);
    stick(s, ALWAYS);
    client_close(c);
}

/* The system lets go of everything; then nothing may be left. */
static void calm_and_close(stuck_rig *s) {
    sim_world_calm(s->rig.world);
    rig_await_empty(&s->rig);
    rig_close(&s->rig);
}

static uint64_t now(const stuck_rig *s) {
    return s->rig.manual.now_ns;
}

/* The system lets go of all zombies. */
static void await_no_zombies(stuck_rig *s) {
    uint64_t since = 0;
    sim_world_calm(s->rig.world);
    while (rig_counters(&s->rig).zombies > 0) {
        rig_wait(&s->rig, &since);
    }
}

/* Awaits a reply, which must come within that time from `since_ns` on, and not before it. */
static int await_within(stuck_rig *s, raw_client *c, uint64_t id, uint64_t since_ns,
                        uint64_t least_ns, uint64_t most_ns, raw_reply *ret_reply) {
    raw_reply reply = {.status = OTHER_STATUS};
    while (!client_has(c, id)) {
        EXPECT(!client_is_over(c));
        EXPECT(now(s) - since_ns <= most_ns + SLACK_NS);
        rig_step(&s->rig);
    }
    EXPECT(now(s) - since_ns + SLACK_NS >= least_ns);
    EXPECT(client_await(c, id, &reply));
    int status = reply.status;
    if (ret_reply != NULL) {
        *ret_reply = reply;
        ret_reply->payload = NULL;
    }
    reply_free(&reply);
    return status;
}

/* How many rows of `sluice ops --stuck` there are: of this handle and kind, or ANY and all. */
static unsigned stuck_rows(raw_client *c, uint64_t handle, sl_request_kind kind) {
    unsigned found = 0;
    raw_reply reply;
    sl_request ops = {.kind = SL_REQUEST_OPS};
    ops.as.ops.filter = SL_OPS_FILTER_STUCK;
    do {
        ops.id = client_id(c);
        client_send(c, &ops, NULL, 0);
        EXPECT(client_await(c, ops.id, &reply) && reply.status == SLUICE_OK);
        for (uint32_t i = 0; i < reply.row_count; i++) {
            const sl_ops_row *row = &reply.rows[i];
            EXPECT(row->stuck);
            EXPECT(row->session_id != 0);
            found += handle == ANY || (row->handle == handle && row->kind == kind);
        }
        ops.as.ops.cursor = reply.next_cursor;
        reply_free(&reply);
    } while (ops.as.ops.cursor != 0);
    return found;
}

/* A write with the system that no cancel ends: it is answered EABANDONED half the call grace after
 * the cancel or the deadline, with the truth about its bytes; then the handle's close. */
static void test_write(uint64_t seed, bool by_deadline) {
    stuck_rig s;
    uint64_t ends[2];
    raw_reply reply;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    raw_client *witness = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    stick(&s, ALWAYS);
    uint64_t since = now(&s);
    uint64_t write = start_write(c, ends[1], bytes, BIG, by_deadline ? DEADLINE_NS : 0);
    uint64_t behind = start_write(c, ends[1], "x", 1, 0);
    rig_run_for(&s.rig, DEADLINE_NS - SLACK_NS);
    if (!by_deadline) {
        since = now(&s);
        send_cancel(c, write);
    }
    uint64_t due = (by_deadline ? DEADLINE_NS : 0) + CALL_GRACE_NS / 2;
    EXPECT(await_within(&s, c, write, since, due, due, &reply) == SLUICE_EABANDONED);
    EXPECT(reply.in_doubt > 0 && reply.done + reply.in_doubt <= BIG);
    EXPECT(await_status(c, behind) == SLUICE_ETORN);
    EXPECT(stuck_rows(witness, ends[1], SL_REQUEST_WRITE) == 1);
    EXPECT(rig_counters(&s.rig).zombies == 1 && rig_counters(&s.rig).operations == 0);
    EXPECT(call_plain(c, SL_REQUEST_ACKNOWLEDGE_TORN, ends[1], &reply) == SLUICE_OK);
    /* Behind a zombie nothing is sent, and nothing waits longer than its deadline. */
    since = now(&s);
    uint64_t waiting = start_write(c, ends[1], "x", 1, DEADLINE_NS);
    EXPECT(await_within(&s, c, waiting, since, DEADLINE_NS, DEADLINE_NS, NULL) ==
           SLUICE_ETIMEDOUT);
    since = now(&s);
    uint64_t close = start_close(c, ends[1]);
    uint64_t late = start_write(c, ends[1], "x", 1, 0);
    EXPECT(await_within(&s, c, late, since, 0, 0, NULL) == SLUICE_ECLOSED);
    EXPECT(await_within(&s, c, close, since, CLOSE_GRACE_NS, CLOSE_GRACE_NS, NULL) ==
           SLUICE_EABANDONED);
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_EBADHANDLE);
    EXPECT(stuck_rows(witness, ends[1], SL_REQUEST_CLOSE) == 1);
    EXPECT(rig_counters(&s.rig).zombies == 2); /* the write, and the handle: once */
    EXPECT(call_close(c, ends[1]) == SLUICE_EBADHANDLE);
    await_no_zombies(&s);
    EXPECT(stuck_rows(witness, ends[1], SL_REQUEST_CLOSE) == 0);
    EXPECT(rig_counters(&s.rig).handles == 1 && !client_has(c, write) && !client_has(c, close));
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    client_close(c);
    client_close(witness);
    calm_and_close(&s);
}

/* Doubt alone tears a stream: nothing of the write is known to be out, all of it may be. */
static void test_doubt(uint64_t seed) {
    stuck_rig s;
    uint64_t ends[2];
    raw_reply reply;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(call_write(c, ends[1], bytes, (uint32_t)s.sim.pipe_capacity) == SLUICE_OK); /* full */
    stick(&s, ALWAYS);
    uint64_t write = start_write(c, ends[1], bytes, 100, DEADLINE_NS);
    uint64_t behind = start_write(c, ends[1], "x", 1, 0);
    EXPECT(client_await(c, write, &reply) && reply.status == SLUICE_EABANDONED);
    EXPECT(reply.done == 0 && reply.in_doubt == 100);
    EXPECT(await_status(c, behind) == SLUICE_ETORN);
    EXPECT(call_write(c, ends[1], "x", 1) == SLUICE_ETORN);
    leave(&s, c);
    calm_and_close(&s);
}

/* Of the deadline and the client's cancel, the first is the reason; and asking again does not give
 * the system more time. */
static void test_causes(uint64_t seed, bool by_deadline, bool is_let_go) {
    stuck_rig s;
    uint64_t ends[2];
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    stick(&s, ALWAYS);
    uint64_t since = now(&s);
    uint64_t lead = CALL_GRACE_NS / 4;
    uint64_t write = start_write(c, ends[1], bytes, BIG, DEADLINE_NS);
    rig_run_for(&s.rig, by_deadline ? DEADLINE_NS + lead : DEADLINE_NS - lead);
    send_cancel(c, write);
    uint64_t due = DEADLINE_NS + CALL_GRACE_NS / 2 - (by_deadline ? 0 : lead);
    if (!is_let_go) {
        EXPECT(await_within(&s, c, write, since, due, due, NULL) == SLUICE_EABANDONED);
    } else {
        rig_run_for(&s.rig, by_deadline ? SLACK_NS / 4 : lead + SLACK_NS / 4);
        EXPECT(!client_has(c, write));
        sim_world_calm(s.rig.world);
        EXPECT(await_status(c, write) == (by_deadline ? SLUICE_ETIMEDOUT : SLUICE_ECANCELED));
    }
    leave(&s, c);
    calm_and_close(&s);
}

/* A client may wish for less than the close's grace, not for more. */
static void test_grace(uint64_t seed, uint64_t wish_ns, uint64_t due_ns) {
    stuck_rig s;
    uint64_t ends[2];
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    (void)start_read(c, ends[0], 1, false, 0);
    rig_run_for(&s.rig, SLACK_NS);
    stick(&s, ALWAYS);
    sl_request close = {.id = client_id(c), .kind = SL_REQUEST_CLOSE};
    close.as.close.handle = ends[0];
    close.as.close.grace_ns = wish_ns;
    uint64_t since = now(&s);
    client_send(c, &close, NULL, 0);
    EXPECT(await_within(&s, c, close.id, since, due_ns, due_ns, NULL) == SLUICE_EABANDONED);
    leave(&s, c);
    calm_and_close(&s);
}

/* A read and an accept are only waiters: a cancel or deadline ends them at once, and what the
 * system holds is the handle's. What it brings later is there for the next one. */
static void test_waiters(uint64_t seed) {
    stuck_rig s;
    uint64_t ends[2];
    uint64_t done;
    raw_reply reply;
    raw_reply listener;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    EXPECT(call_address(c, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &listener) == SLUICE_OK);
    stick(&s, ALWAYS);
    uint64_t read = start_read(c, ends[0], 16, false, 0);
    sl_request accept = {.id = client_id(c), .kind = SL_REQUEST_ACCEPT};
    accept.as.accept.listener = listener.opened[0];
    client_send(c, &accept, NULL, 0);
    rig_run_for(&s.rig, DEADLINE_NS);
    uint64_t since = now(&s);
    send_cancel(c, read);
    send_cancel(c, accept.id);
    EXPECT(await_within(&s, c, read, since, 0, 0, NULL) == SLUICE_ECANCELED);
    EXPECT(await_within(&s, c, accept.id, since, 0, 0, NULL) == SLUICE_ECANCELED);
    since = now(&s);
    read = start_read(c, ends[0], 16, false, DEADLINE_NS);
    EXPECT(await_within(&s, c, read, since, DEADLINE_NS, DEADLINE_NS, NULL) == SLUICE_ETIMEDOUT);
    EXPECT(call_write(c, ends[1], "late", 4) == SLUICE_OK);
    EXPECT(call_read(c, ends[0], 4, true, "late", &done) == SLUICE_OK && done == 4);
    EXPECT(call_address(c, SL_REQUEST_CONNECT, listener.local_address, &reply) == SLUICE_OK);
    EXPECT(call_plain(c, SL_REQUEST_ACCEPT, listener.opened[0], &reply) == SLUICE_OK);
    read = start_read(c, ends[0], 16, false, 0);
    since = now(&s);
    uint64_t close = start_close(c, ends[0]);
    EXPECT(await_within(&s, c, read, since, 0, 0, NULL) == SLUICE_ECLOSED);
    EXPECT(await_within(&s, c, close, since, CLOSE_GRACE_NS, CLOSE_GRACE_NS, NULL) ==
           SLUICE_EABANDONED);
    leave(&s, c);
    calm_and_close(&s);
}

static uint64_t start_connect(raw_client *c, const char *address, uint64_t timeout_ns) {
    sl_request connect = {.id = client_id(c), .kind = SL_REQUEST_CONNECT};
    connect.as.connect.address = address;
    connect.as.connect.timeout_ns = timeout_ns;
    client_send(c, &connect, NULL, 0);
    return connect.id;
}

/* Opens with the system (a connect that nobody answers, a look-up): EABANDONED. What they open
 * after all is closed and reaches nobody. */
static void test_opens(uint64_t seed) {
    stuck_rig s;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    stick(&s, ALWAYS);
    uint64_t since = now(&s);
    uint64_t connect = start_connect(c, SILENT, DEADLINE_NS);
    uint64_t due = DEADLINE_NS + CALL_GRACE_NS / 2;
    EXPECT(await_within(&s, c, connect, since, due, due, NULL) == SLUICE_EABANDONED);
    EXPECT(rig_counters(&s.rig).zombies == 1);
    /* This one's connection comes after all, when a place in the backlog is free. */
    raw_reply reply;
    raw_reply far;
    uint64_t done;
    sl_request listen = {.id = client_id(c), .kind = SL_REQUEST_LISTEN};
    listen.as.listen.address = "tcp:127.0.0.1:7777";
    listen.as.listen.backlog = 1;
    client_send(c, &listen, NULL, 0);
    EXPECT(client_await(c, listen.id, &reply) && reply.status == SLUICE_OK);
    uint64_t listener = reply.opened[0];
    unsigned waiting = 0;
    do {
        since = now(&s);
        connect = start_connect(c, "tcp:127.0.0.1:7777", DEADLINE_NS);
        EXPECT(++waiting <= BACKLOG_MOST);
        EXPECT(client_await(c, connect, &reply));
    } while (reply.status == SLUICE_OK);
    EXPECT(reply.status == SLUICE_EABANDONED && now(&s) - since <= due + SLACK_NS);
    EXPECT(rig_counters(&s.rig).zombies == 2);
    for (unsigned i = 0; i < waiting; i++) {
        EXPECT(call_plain(c, SL_REQUEST_ACCEPT, listener, &far) == SLUICE_OK);
    }
    EXPECT(call_read(c, far.opened[0], 1, false, NULL, &done) == SLUICE_EEOF);
    EXPECT(rig_counters(&s.rig).zombies == 1 && !client_has(c, connect));
    leave(&s, c);
    calm_and_close(&s);
}

/* So many zombies, and no handle more: an open is refused with EQUOTA until one has gone. */
static void test_limit(uint64_t seed) {
    stuck_rig s;
    uint64_t ends[2];
    unsigned closed = 0;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    stick(&s, ALWAYS);
    while (call_pair(c, ends) == SLUICE_OK) {
        uint64_t read = start_read(c, ends[0], 16, false, 0);
        rig_run_for(&s.rig, SLACK_NS);
        uint64_t close = start_close(c, ends[0]);
        EXPECT(await_status(c, read) == SLUICE_ECLOSED);
        EXPECT(await_status(c, close) == SLUICE_EABANDONED);
        EXPECT(++closed <= ZOMBIES);
    }
    EXPECT(closed == ZOMBIES);
    expect_quota_of(c, SL_REQUEST_PAIR, "this user's limit zombies of 8 is reached");
    EXPECT(rig_counters(&s.rig).zombies == ZOMBIES);
    EXPECT(rig_counters(&s.rig).handles >= closed);
    await_no_zombies(&s);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    client_close(c);
    calm_and_close(&s);
}

/* A client that is gone: what it leaves with the system is counted until it comes back, the rest
 * goes at once, and others do not notice. */
static void test_death(uint64_t seed) {
    stuck_rig s;
    uint64_t own[2];
    uint64_t done;
    raw_reply reply;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    raw_client *bystander = client_open(&s.rig);
    EXPECT(call_pair(bystander, own) == SLUICE_OK);
    uint64_t handle = call_connect_to(c, bystander);
    uint64_t closing = call_connect_to(c, bystander);
    (void)start_read(c, closing, 16, false, 0);
    rig_run_for(&s.rig, SLACK_NS);
    stick(&s, ALWAYS);
    (void)start_close(c, closing);
    (void)start_read(c, handle, 16, false, 0);
    (void)start_write(c, handle, bytes, BIG, 0);
    uint64_t busy = start_write(c, handle, "x", 1, 0);
    (void)start_connect(c, SILENT, 0);
    rig_run_for(&s.rig, DEADLINE_NS);
    EXPECT(!client_has(c, busy));
    leave(&s, c);
    uint64_t since = now(&s);
    while (rig_counters(&s.rig).operations > 1) { /* but for the close */
        rig_step(&s.rig);
        EXPECT(now(&s) - since <= CALL_GRACE_NS / 2 + SLACK_NS);
    }
    rig_run_for(&s.rig, CLOSE_GRACE_NS + SLACK_NS);
    broker_counters counters = rig_counters(&s.rig);
    EXPECT(counters.sessions == 2 && counters.handles == 8);
    EXPECT(counters.zombies == 4); /* the handles, a write, the connect */
    EXPECT(stuck_rows(bystander, handle, SL_REQUEST_CLOSE) == 1); /* nobody asked for it */
    EXPECT(stuck_rows(bystander, closing, SL_REQUEST_CLOSE) == 1); /* the client did */
    EXPECT(stuck_rows(bystander, handle, SL_REQUEST_WRITE) == 1);
    EXPECT(stuck_rows(bystander, 0, SL_REQUEST_CONNECT) == 1);
    EXPECT(stuck_rows(bystander, ANY, SL_REQUEST_NONE) == 4);
    EXPECT(call_write(bystander, own[1], "fine", 4) == SLUICE_OK);
    EXPECT(call_read(bystander, own[0], 4, true, "fine", &done) == SLUICE_OK);
    sim_world_calm(s.rig.world);
    rig_await_sessions(&s.rig, 1);
    counters = rig_counters(&s.rig);
    EXPECT(counters.zombies == 0 && counters.handles == 6);
    EXPECT(stuck_rows(bystander, ANY, SL_REQUEST_NONE) == 0);
    EXPECT(call_plain(bystander, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
    client_close(bystander);
    calm_and_close(&s);
}

static void await_goodbye(stuck_rig *s, const raw_client *c, uint64_t until_ns) {
    while (client_goodbye_detail(c)[0] == '\0') {
        rig_step(&s->rig);
        EXPECT(now(s) <= until_ns);
    }
}

/* A broker that stops over stuck work: what can be answered is, in time; then it says how much is
 * stuck (sluiced ends with another exit code), and no thread goes away under it. Returns how much:
 * so_many clients that come meanwhile, and are refused, do not count. */
static uint64_t test_drain(uint64_t seed, unsigned so_many) {
    stuck_rig s;
    uint64_t ends[2];
    broker_end end;
    raw_reply reply;
    open_rig(&s, seed);
    raw_client *c = client_open(&s.rig);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    stick(&s, ALWAYS);
    uint64_t read = start_read(c, ends[0], BIG, true, 0);
    uint64_t write = start_write(c, ends[1], bytes, BIG, 0);
    uint64_t behind = start_write(c, ends[1], bytes, BIG, 0);
    uint64_t behind_it = start_write(c, ends[1], "x", 1, 0);
    uint64_t connect = start_connect(c, SILENT, 0);
    rig_run_for(&s.rig, DEADLINE_NS);
    EXPECT(await_status(c, write) == SLUICE_OK && await_status(c, read) == SLUICE_OK);
    uint64_t since = now(&s);
    broker_drain(s.rig.broker, DEADLINE_NS);
    uint64_t due = DEADLINE_NS + CALL_GRACE_NS / 2;
    EXPECT(await_within(&s, c, behind_it, since, DEADLINE_NS, due, NULL) == SLUICE_ESHUTDOWN);
    EXPECT(await_within(&s, c, behind, since, due, due, &reply) == SLUICE_EABANDONED);
    EXPECT(await_within(&s, c, connect, since, due, due, NULL) == SLUICE_EABANDONED);
    /* It says goodbye; that its own connection then does not close is the system's doing too. */
    await_goodbye(&s, c, since + DEADLINE_NS + CALL_GRACE_NS + SLACK_NS);
    leave(&s, c);
    raw_client *newcomers[NEWCOMERS];
    for (unsigned i = 0; i < so_many; i++) {
        newcomers[i] = client_connect(&s.rig);
        await_goodbye(&s, newcomers[i], now(&s) + SLACK_NS);
        EXPECT(strcmp(client_goodbye_detail(newcomers[i]), "the broker is stopping") == 0);
    }
    EXPECT(!broker_has_ended(s.rig.broker, NULL));
    while (!broker_has_ended(s.rig.broker, &end)) {
        rig_step(&s.rig);
        EXPECT(now(&s) - since <= DEADLINE_NS + CALL_GRACE_NS + CLOSE_GRACE_NS + SLACK_NS);
    }
    EXPECT(end.stuck_count > 0 && rig_counters(&s.rig).zombies > 0);
    EXPECT(broker_worker_close(s.rig.broker, 0) == SLUICE_EBUSY);
    EXPECT(broker_destroy(s.rig.broker, 0) == SLUICE_EBUSY);
    sim_world_calm(s.rig.world);
    for (unsigned i = 0; i < so_many; i++) {
        client_close(newcomers[i]);
    }
    rig_await_empty(&s.rig);
    rig_close_stuck(&s.rig, end.stuck_count);
    return end.stuck_count;
}

int main(void) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        test_write(seed, seed % 2 == 0);
        test_doubt(seed);
        test_grace(seed, CLOSE_GRACE_NS / 4, CLOSE_GRACE_NS / 4);
        test_grace(seed, CLOSE_GRACE_NS * 4, CLOSE_GRACE_NS);
        test_causes(seed, seed % 2 == 0, seed % 4 < 2);
        test_waiters(seed);
        test_opens(seed);
        test_limit(seed);
        test_death(seed);
        EXPECT(test_drain(seed, 0) == test_drain(seed, NEWCOMERS));
    }
    puts("ok");
    return 0;
}
