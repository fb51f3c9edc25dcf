/*
 * memory_test.c - every allocation of the broker fails once, and from then on, while a script uses
 * every kind of request: each request ends with one documented status, or its session ends and says
 * why; another session's work goes on; in the end every book is at 0. Prints how many places were
 * reached.
 */
#include <stdio.h>
#include <string.h>

#include "tests/broker/rig.h"

#define BIG         200000u
#define ANY         1 /* no status: whatever the table has */
#define PART        1500u /* of the counted stream, more than what is copied into an operation */
#define PATIENCE    (3 * SL_NS_PER_S)
#define SEEDS       3u
#define WORKERS     2u
#define SITES_MAX   4000u /* a script that allocates more often than this is wrong */
#define SITES_LEAST 20u   /* one that allocates less often reaches nothing */

static uint8_t bytes[BIG];

typedef struct memory_run {
    test_rig rig;
    sim_options sim;
    sl_alloc_failpoint memory;
    raw_client *c; /* NULL: its session is over */
    uint64_t ends[2]; /* of a stream whose bytes are counted */
    uint32_t wrote;
    uint32_t took;
    bool has_failed;
} memory_run;

/* ---- a call that may meet a failure ---- */

/* Runs until the reply has come, the session is over, or nothing is to be expected any more. */
static int await(memory_run *run, uint64_t id, raw_reply *ret_reply) {
    uint64_t until_ns = run->rig.manual.now_ns + PATIENCE;
    memset(ret_reply, 0, sizeof(*ret_reply));
    while (run->c != NULL && !client_has(run->c, id)) {
        EXPECT(run->rig.manual.now_ns < until_ns);
        if (client_is_over(run->c)) {
            int goodbye = client_await_end(run->c); /* missing if it could not be sent */
            EXPECT(goodbye == SLUICE_ENOMEM || goodbye == 0);
            client_close(run->c);
            run->c = NULL;
            run->has_failed = true;
            return SLUICE_EBROKERLOST;
        }
        rig_step(&run->rig);
    }
    if (run->c == NULL) {
        return SLUICE_EBROKERLOST;
    }
    EXPECT(client_await(run->c, id, ret_reply));
    return ret_reply->status;
}

/* As it should be, unless memory has run out before; then any status of the table will do. */
static int expect(memory_run *run, uint64_t id, int status, raw_reply *ret_reply) {
    raw_reply reply;
    int got = await(run, id, &reply);
    EXPECT(strcmp(sl_status_name(got), "UNKNOWN") != 0);
    run->has_failed = run->has_failed || got == SLUICE_ENOMEM;
    EXPECT(got == status || status == ANY || run->has_failed);
    EXPECT(got == SLUICE_OK || got == SLUICE_EEOF || reply.opened_count == 0);
    if (ret_reply != NULL) {
        *ret_reply = reply;
        ret_reply->payload = NULL;
        ret_reply->rows = NULL;
    }
    reply_free(&reply);
    return got;
}

static uint64_t start(memory_run *run, sl_request_kind kind, uint64_t handle, const char *address) {
    sl_request request = {.kind = kind};
    if (run->c == NULL) {
        return 0;
    }
    request.id = client_id(run->c);
    switch (kind) {
    case SL_REQUEST_ACCEPT: request.as.accept.listener = handle; break;
    case SL_REQUEST_HALF_CLOSE: request.as.half_close.handle = handle; break;
    case SL_REQUEST_ACKNOWLEDGE_TORN: request.as.acknowledge_torn.handle = handle; break;
    case SL_REQUEST_CLOSE: request.as.close.handle = handle; break;
    case SL_REQUEST_LISTEN: request.as.listen.address = address; break;
    case SL_REQUEST_CONNECT: request.as.connect.address = address; break;
    default: break;
    }
    client_send(run->c, &request, NULL, 0);
    return request.id;
}

static int call(memory_run *run, sl_request_kind kind, uint64_t handle, const char *address,
                int status, raw_reply *ret_reply) {
    return expect(run, start(run, kind, handle, address), status, ret_reply);
}

/* A handle that was not opened: a number that is none. */
static uint64_t opened(const raw_reply *reply, unsigned index) {
    return index < reply->opened_count ? reply->opened[index] : UINT64_C(999) << 32;
}

/* ---- the script: every kind of request ---- */

static void use_pair(memory_run *run) {
    raw_reply pair;
    raw_reply reply;
    (void)call(run, SL_REQUEST_PAIR, 0, NULL, SLUICE_OK, &pair);
    if (run->c == NULL) {
        return;
    }
    uint64_t small = start_write(run->c, opened(&pair, 1), "hi", 2, 0);
    (void)expect(run, small, SLUICE_OK, NULL);
    for (unsigned i = 0; i < 40 && run->c != NULL; i++) { /* as many as make tables grow */
        (void)start_read(run->c, opened(&pair, 0), 1 + i * 700, i % 2 == 1, 0);
    }
    if (run->c == NULL) {
        return;
    }
    uint64_t all = start_read(run->c, opened(&pair, 0), BIG, true, 0);
    uint64_t big = start_write(run->c, opened(&pair, 1), bytes, BIG, 0);
    send_cancel(run->c, all);
    (void)expect(run, all, SLUICE_ECANCELED, NULL);
    if (run->c != NULL) {
        uint64_t late = start_read(run->c, opened(&pair, 0), BIG, true, 50 * SL_NS_PER_MS);
        (void)expect(run, late, ANY, NULL);
    }
    (void)call(run, SL_REQUEST_OPS, 0, NULL, SLUICE_OK, &reply);
    (void)call(run, SL_REQUEST_CLOSE, opened(&pair, 0), NULL, SLUICE_OK, NULL);
    (void)expect(run, big, ANY, NULL);
    (void)call(run, SL_REQUEST_ACKNOWLEDGE_TORN, opened(&pair, 1), NULL, SLUICE_OK, NULL);
}

/* Reads `count` bytes of the counted stream; those that come are the next ones. */
static void take(memory_run *run, uint32_t count) {
    raw_reply reply;
    if (run->c == NULL || count == 0) {
        return;
    }
    uint64_t id = start_read(run->c, run->ends[0], count, true, PATIENCE / 4);
    (void)await(run, id, &reply);
    EXPECT(reply.done <= count && reply.length == reply.done);
    EXPECT(reply.done == 0 || memcmp(reply.payload, bytes + run->took, reply.done) == 0);
    run->has_failed = run->has_failed || reply.status == SLUICE_ENOMEM;
    run->took += (uint32_t)reply.done;
    reply_free(&reply);
}

/* A read that fails for want of memory has taken nothing: the bytes are the next one's. */
static void use_stream(memory_run *run) {
    raw_reply pair;
    if (call(run, SL_REQUEST_PAIR, 0, NULL, SLUICE_OK, &pair) != SLUICE_OK) {
        return;
    }
    run->ends[0] = pair.opened[0];
    run->ends[1] = pair.opened[1];
    for (unsigned i = 0; i < 3 && run->c != NULL; i++) {
        uint64_t write = start_write(run->c, run->ends[1], bytes + run->wrote, PART, 0);
        run->wrote += expect(run, write, SLUICE_OK, NULL) == SLUICE_OK ? PART : 0;
        take(run, i == 1 ? PART + 100 : PART - 100); /* one waits in vain for its last bytes */
    }
}

static void use_sockets(memory_run *run) {
    raw_reply listener;
    raw_reply near;
    raw_reply far;
    (void)call(run, SL_REQUEST_LISTEN, 0, "tcp:localhost:0", SLUICE_OK, &listener);
    const char *address =
        listener.local_address[0] != '\0' ? listener.local_address : "tcp:127.0.0.1:9";
    uint64_t accept = start(run, SL_REQUEST_ACCEPT, opened(&listener, 0), NULL);
    (void)call(run, SL_REQUEST_CONNECT, 0, address, SLUICE_OK, &near);
    if (run->c != NULL) {
        send_cancel(run->c, accept);
    }
    (void)expect(run, accept, ANY, &far);
    if (run->c != NULL) {
        (void)expect(run, start_write(run->c, opened(&near, 0), bytes, 5000, 0), SLUICE_OK, NULL);
    }
    (void)call(run, SL_REQUEST_HALF_CLOSE, opened(&near, 0), NULL, SLUICE_OK, NULL);
    if (run->c != NULL) {
        (void)expect(run, start_read(run->c, opened(&far, 0), 6000, true, 0), ANY, NULL);
    }
    (void)call(run, SL_REQUEST_LISTEN, 0, "pipe:/some", SLUICE_OK, &listener);
    (void)call(run, SL_REQUEST_CONNECT, 0, "pipe:/some", SLUICE_OK, &near);
    (void)call(run, SL_REQUEST_PING, 0, NULL, SLUICE_OK, NULL);
    (void)call(run, SL_REQUEST_STATUS, 0, NULL, SLUICE_OK, NULL);
}

/* ---- a run ---- */

/* Returns whether a failure was met. */
static bool run_script(uint64_t seed, uint64_t fail_at, bool from_then_on) {
    memory_run run;
    uint64_t ends[2];
    raw_reply reply;
    memset(&run, 0, sizeof(run));
    sim_options_gentle(&run.sim, seed);
    sl_alloc_failpoint_init(&run.memory, sl_allocator_system(), 0, from_then_on);
    rig_options options = {
        .sim = &run.sim, .worker_count = WORKERS, .allocator = &run.memory.allocator};
    rig_open(&run.rig, &options);
    raw_client *bystander = client_open(&run.rig);
    EXPECT(call_pair(bystander, ends) == SLUICE_OK);
    uint64_t read = start_read(bystander, ends[0], 6, true, 0);
    EXPECT(call_write(bystander, ends[1], "all ", 4) == SLUICE_OK);
    run.memory.fail_at = atomic_load(&run.memory.acquire_count) + fail_at;
    run.c = client_open_within(&run.rig, NULL, PATIENCE);
    run.has_failed = run.c == NULL;
    use_stream(&run);
    use_pair(&run);
    use_sockets(&run);
    run.memory.fail_at = 0;
    bool met = atomic_load(&run.memory.failed_count) > 0;
    EXPECT(met || !run.has_failed);
    EXPECT(!client_is_over(bystander) && !client_has(bystander, read));
    EXPECT(call_write(bystander, ends[1], "ok", 2) == SLUICE_OK);
    EXPECT(client_await(bystander, read, &reply) && reply.status == SLUICE_OK);
    EXPECT(reply.done == 6 && memcmp(reply.payload, "all ok", 6) == 0);
    reply_free(&reply);
    take(&run, run.wrote - run.took);
    EXPECT(run.c == NULL || run.took == run.wrote);
    if (run.c != NULL) {
        EXPECT(call_plain(run.c, SL_REQUEST_PING, 0, &reply) == SLUICE_OK);
        client_close(run.c);
    }
    /* Where memory was out for long, one on each worker: what could not even be made smaller
     * without memory is, at its end. */
    raw_client *next[WORKERS];
    const unsigned count = from_then_on ? WORKERS : 1;
    for (unsigned i = 0; i < count; i++) {
        next[i] = client_open(&run.rig);
        EXPECT(call_pair(next[i], ends) == SLUICE_OK);
    }
    for (unsigned i = 0; i < count; i++) {
        client_close(next[i]);
    }
    client_close(bystander);
    rig_await_empty(&run.rig); /* the books are those from before the first session */
    rig_close(&run.rig); /* checks every account */
    return met;
}

/* ---- starting ---- */

/* A broker that does not come up leaves nothing behind. Returns whether it did not. */
static bool start_without(uint64_t fail_at) {
    sl_alloc_failpoint memory;
    sl_clock_manual clock;
    broker_options options;
    broker *b = NULL;
    sl_clock_manual_init(&clock, SL_NS_PER_S);
    sl_alloc_failpoint_init(&memory, sl_allocator_system(), fail_at, true);
    broker_options_init(&options);
    options.backend = &engine_backend_sim;
    options.endpoint = "starting";
    options.serves_itself = true;
    options.worker_count = WORKERS;
    options.allocator = &memory.allocator;
    options.clock = &clock.clock;
    int status = broker_create(&options, &b);
    EXPECT(status == SLUICE_OK || (status == SLUICE_ENOMEM && b == NULL));
    EXPECT(broker_destroy(b, 0) == SLUICE_OK);
    return status != SLUICE_OK;
}

/* One that can try again comes up. */
static bool start_after(uint64_t fail_at) {
    sl_alloc_failpoint memory;
    test_rig rig;
    sim_options sim;
    sim_options_gentle(&sim, 1);
    sl_alloc_failpoint_init(&memory, sl_allocator_system(), fail_at, false);
    rig_options options = {.sim = &sim, .worker_count = WORKERS, .allocator = &memory.allocator};
    rig_open(&rig, &options);
    bool met = atomic_load(&memory.failed_count) > 0;
    memory.fail_at = 0;
    rig_close(&rig);
    return met;
}

int main(void) {
    unsigned sites[2] = {0, 0};
    unsigned starts[2] = {0, 0};
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 + (i >> 9));
    }
    for (unsigned turn = 0; turn < 2 * SEEDS; turn++) {
        unsigned mode = turn % 2;
        unsigned reached = 0;
        while (run_script(1 + turn / 2, reached + 1, mode == 1)) {
            reached++;
            EXPECT(reached < SITES_MAX);
        }
        EXPECT(reached >= SITES_LEAST);
        sites[mode] += reached;
    }
    while (start_after(starts[0] + 1)) {
        starts[0]++;
    }
    while (start_without(starts[1] + 1)) {
        starts[1]++;
    }
    EXPECT(starts[0] > starts[1] && starts[1] > 0);
    printf("allocations failed once: %u of a start, %u of a session's work\n", starts[0],
           sites[0]);
    printf("and from then on: %u, %u\nok\n", starts[1], sites[1]);
    return 0;
}
