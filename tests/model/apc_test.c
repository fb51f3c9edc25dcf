/*
 * apc_test.c - the hang that Sluice exists for (golang/go#64482), in the simulated kernel, and why
 * it cannot happen through Sluice.
 *
 * The program: a thread starts an overlapped receive, then sits in a synchronous read (of its
 * standard input, say). Another one cancels the receive, waits for its end, and only then sends
 * what the synchronous read waits for.
 *
 * Done directly, some schedules hang: the cancel waits for a thread that waits for the canceller.
 * Done through Sluice (the real client core and the real broker core), the receive is issued and
 * cancelled by the broker's worker, which does nothing synchronous, and the application's threads
 * only post: every schedule of the threads comes to its end, and as many with the kernel's events
 * in any order as are asked for.
 *
 *   apc_test [RUNS]    so many with events in any order; 200,000 without a word
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/worker.h"
#include "client/core.h"
#include "tests/broker/rig.h"
#include "tests/client/no_launch.h"
#include "tests/model/choices.h"
#include "tests/sim/sim_world.h"

#define RUNS        200000u
#define ROUNDS_MAX  100000u
#define CIRCLE_SIZE 512u
#define SYNC_CALL   "a synchronous read"

typedef enum actor { READER, CANCELLER, LIBRARY, BROKER, PORT, KERNEL, ACTORS } actor;

typedef struct stage {
    bool is_direct; /* without Sluice */
    bool is_random; /* the kernel's events come in any order, by a seed */
    test_rig rig;
    sim_world *world;
    sl_clock_manual clock;
    uint32_t threads[ACTORS];
    /* directly */
    engine *engine;
    engine_worker *worker; /* through Sluice: the library's */
    engine_handle *ends[2];
    engine_request_id request;
    /* through Sluice */
    client_core core;
    sluice_handle handle;
    client_operation *op;
    uint8_t byte;
    /* of one run */
    unsigned at[ACTORS]; /* how far the reader and the canceller are */
    unsigned end_count;
    int end_status;
    bool has_input; /* for the synchronous read */
    choices choices;
    sl_random_seeded random;
} stage;

/* ---- the library's hooks ---- */

static void on_dropped(void *user, client_operation *op) {
    (void)user;
    if (client_operation_drop(op)) {
        free(op);
    }
}

static void on_finished(void *user, client_operation *op) {
    stage *s = user;
    s->end_count++;
    s->end_status = op->result.status;
    if (op->result.handle_count > 0) {
        s->handle = op->result.handles[0];
    }
    on_dropped(s, op);
}

static void on_nothing(void *user, client_operation *op) {
    (void)user;
    (void)op;
}

static void on_connection(void *user) {
    (void)user;
}

static client_operation *submit(stage *s, const sl_request *request) {
    client_operation *op = calloc(1, sizeof(*op));
    EXPECT(op != NULL);
    client_operation_init(op, request->kind, SLUICE_NO_TIMEOUT);
    op->request = *request;
    op->in = &s->byte;
    op->in_size = sizeof(s->byte);
    client_operation_hold(op); /* ours */
    client_core_submit(s->worker, op);
    return op;
}

/* ---- what each thread does ---- */

static void poll_directly(stage *s) {
    engine_completion batch[8];
    unsigned count = engine_poll(s->worker, batch, SL_ARRAY_COUNT(batch), 0);
    for (unsigned i = 0; i < count; i++) {
        if (batch[i].kind == ENGINE_READ) {
            s->end_count++;
            s->end_status = batch[i].status;
        } else if (batch[i].kind == ENGINE_PAIR) {
            s->ends[0] = batch[i].opened[0];
            s->ends[1] = batch[i].opened[1];
        }
    }
}

static void start_receive(stage *s) {
    if (s->is_direct) {
        EXPECT(engine_read(s->ends[0], &s->byte, 1, s, &s->request) == SLUICE_OK);
        return;
    }
    sl_request request = {.kind = SL_REQUEST_READ};
    request.as.read.handle = s->handle;
    request.as.read.max_bytes = 1;
    s->op = submit(s, &request);
}

static void cancel_receive(stage *s) {
    if (s->is_direct) {
        engine_cancel(s->worker, s->request);
    } else {
        client_core_cancel(s->worker, s->op);
    }
}

static void reader_goes_on(stage *s) {
    if (s->at[READER] == 0) {
        start_receive(s);
    } else if (!s->has_input) {
        sim_sync_begin(s->world, SYNC_CALL, s->threads[CANCELLER]);
    }
    s->at[READER]++;
}

static void canceller_goes_on(stage *s) {
    if (s->at[CANCELLER] == 0) {
        cancel_receive(s);
    } else {
        s->has_input = true;
        if (sim_thread_is_blocked(s->world, s->threads[READER])) {
            sim_sync_end(s->world, s->threads[READER]);
        }
    }
    s->at[CANCELLER]++;
}

/* The events of the simulated kernel that wait. */
static unsigned events_of(const stage *s, sim_event **events, unsigned most) {
    unsigned count = 0;
    const sl_heap *heap = &s->world->events;
    for (uint32_t i = 0; i < heap->used && count < most; i++) {
        if (heap->entries[i].node != NULL) {
            events[count++] = SL_CONTAINER_OF(heap->entries[i].node, sim_event, node);
        }
    }
    return count;
}

static void kernel_goes_on(stage *s) {
    sim_event *events[64];
    unsigned count = events_of(s, events, SL_ARRAY_COUNT(events));
    unsigned which = s->is_random ? sl_random_seeded_below(&s->random, count) : 0;
    sim_fire(s->world, events[which]);
}

/* Without chance the kernel does everything at once. */
static void settle_kernel(stage *s) {
    sim_event *event;
    while (!s->is_random && events_of(s, &event, 1) > 0) {
        kernel_goes_on(s);
    }
}

static bool may_run(stage *s, actor who) {
    sim_event *event;
    if (who != KERNEL && sim_thread_is_blocked(s->world, s->threads[who])) {
        return false;
    }
    switch (who) {
    case READER: return s->at[READER] < 2;
    case CANCELLER:
        return (s->at[CANCELLER] == 0 && s->at[READER] > 0) ||
               (s->at[CANCELLER] == 1 && s->end_count > 0);
    case LIBRARY:
        return !s->is_direct && (s->worker->ready.first != NULL || engine_has_messages(s->worker));
    case BROKER:
        return !s->is_direct && (s->rig.broker->workers[0].engine->ready.first != NULL ||
                                 broker_worker_is_busy(s->rig.broker, 0));
    case PORT: return s->is_direct && s->worker->ready.first != NULL;
    default: return s->is_random && events_of(s, &event, 1) > 0;
    }
}

static void run(stage *s, actor who) {
    if (who == KERNEL) {
        kernel_goes_on(s);
        return;
    }
    uint32_t before = sim_thread_enter(s->world, s->threads[who]);
    switch (who) {
    case READER: reader_goes_on(s); break;
    case CANCELLER: canceller_goes_on(s); break;
    case LIBRARY: client_core_run(&s->core, 0); break;
    case BROKER: EXPECT(rig_worker_step(&s->rig, 0)); break;
    default: poll_directly(s); break;
    }
    (void)sim_thread_enter(s->world, before);
    settle_kernel(s);
}

static bool is_over(const stage *s) {
    return s->at[READER] == 2 && s->at[CANCELLER] == 2 && s->end_count == 1;
}

/* One schedule. false: it hangs. */
static bool run_schedule(stage *s) {
    s->at[READER] = s->at[CANCELLER] = 0;
    s->end_count = 0;
    s->has_input = false;
    for (unsigned round = 0; !is_over(s); round++) {
        actor able[ACTORS];
        unsigned count = 0;
        EXPECT(round < ROUNDS_MAX);
        for (unsigned i = 0; i < ACTORS; i++) {
            if (may_run(s, (actor)i)) {
                able[count++] = (actor)i;
            }
        }
        if (count == 0) {
            return false;
        }
        run(s, able[s->is_random ? sl_random_seeded_below(&s->random, count)
                                 : choices_next(&s->choices, count)]);
    }
    return true;
}

/* Whoever can still run does, until nobody can. */
static void run_out(stage *s) {
    bool goes_on = true;
    settle_kernel(s);
    for (unsigned round = 0; goes_on; round++) {
        EXPECT(round < ROUNDS_MAX);
        goes_on = false;
        for (unsigned i = LIBRARY; i < ACTORS; i++) {
            if (may_run(s, (actor)i)) {
                run(s, (actor)i);
                goes_on = true;
            }
        }
    }
}

/* ---- directly ---- */

static void name_threads(stage *s) {
    static const char *const names[] = {"the reading thread", "the cancelling thread",
                                        "the library's thread", NULL, "the port's thread"};
    for (unsigned i = 0; i < KERNEL; i++) {
        if (names[i] != NULL) {
            s->threads[i] = sim_thread_create(s->world, names[i]);
        }
    }
}

static void set_simple(sim_options *sim) {
    sim_options_gentle(sim, 1);
    memset(sim->per_mille, 0, sizeof(sim->per_mille));
    sim->delay_min_ns = sim->delay_max_ns = sim->batch_ns = sim->poll_cost_ns = 0;
}

/* A world, an engine in the reading thread, and two ends of a pipe. */
static void open_direct(stage *s) {
    sim_options sim;
    set_simple(&sim);
    sim.allows_mixing = true;
    sl_clock_manual_init(&s->clock, SL_NS_PER_S);
    s->world = sim_world_create(&sim, &s->clock);
    sim.world = s->world;
    name_threads(s);
    s->threads[BROKER] = s->threads[PORT];
    const engine_options options = {.clock = &s->clock.clock, .backend_options = &sim};
    EXPECT(engine_create(&engine_backend_sim, &options, &s->engine) == SLUICE_OK);
    uint32_t before = sim_thread_enter(s->world, s->threads[READER]);
    EXPECT(engine_worker_create(s->engine, &s->worker) == SLUICE_OK);
    EXPECT(engine_pair(s->worker, NULL, s, NULL) == SLUICE_OK);
    while (s->ends[0] == NULL) {
        poll_directly(s);
    }
    (void)sim_thread_enter(s->world, before);
}

static void close_direct(stage *s) {
    uint32_t before = sim_thread_enter(s->world, s->threads[READER]);
    EXPECT(engine_close(s->ends[0], NULL) == SLUICE_OK);
    EXPECT(engine_close(s->ends[1], NULL) == SLUICE_OK);
    while (engine_worker_destroy(s->worker) != SLUICE_OK) {
        poll_directly(s);
    }
    (void)sim_thread_enter(s->world, before);
    EXPECT(engine_destroy(s->engine, 0) == SLUICE_OK);
    sim_world_destroy(s->world);
}

/* Every schedule, in a world of its own each: who hangs leaves it in pieces. */
static void test_directly(void) {
    static stage s;
    uint64_t schedules = 0;
    uint64_t hangs = 0;
    uint64_t mixed = 0;
    char first[CIRCLE_SIZE] = "";
    choices kept;
    choices_init(&kept);
    do {
        char circle[CIRCLE_SIZE];
        sim_counters counters;
        memset(&s, 0, sizeof(s));
        s.is_direct = true;
        s.choices = kept;
        open_direct(&s);
        bool ends = run_schedule(&s);
        bool is_circle = sim_thread_circle(s.world, circle, sizeof(circle));
        EXPECT(ends || is_circle); /* nothing else hangs here */
        EXPECT(!ends || s.end_status == SLUICE_ECANCELED);
        schedules++;
        hangs += !ends;
        if (!ends && first[0] == '\0') {
            memcpy(first, circle, sizeof(first));
        }
        if (!ends) { /* as if somebody else had fed the reader: then it all goes on */
            sim_sync_end(s.world, s.threads[READER]);
            run_out(&s);
            EXPECT(s.end_count == 1 && s.end_status == SLUICE_ECANCELED);
        }
        sim_world_counters(s.world, &counters);
        mixed += counters.mixed_count > 0;
        kept = s.choices;
        close_direct(&s);
    } while (choices_advance(&kept));
    printf("directly: %llu schedules, %llu hang; the first: %s\n", (unsigned long long)schedules,
           (unsigned long long)hangs, first);
    EXPECT(hangs > 0 && hangs < schedules);
    EXPECT(mixed == schedules); /* the check of our discipline sees every one of them */
    EXPECT(strstr(first, "the cancelling thread is in a cancel") != NULL);
    EXPECT(strstr(first, "the reading thread is in " SYNC_CALL) != NULL);
    choices_deinit(&kept);
}

/* ---- through Sluice ---- */

static void step_all(stage *s) {
    rig_step(&s->rig);
    uint32_t before = sim_thread_enter(s->world, s->threads[LIBRARY]);
    client_core_run(&s->core, 0);
    (void)sim_thread_enter(s->world, before);
}

/* A broker, the library's core in a thread of its own, and a pipe to read from. */
static void open_sluice(stage *s) {
    sim_options sim;
    set_simple(&sim);
    const rig_options options = {.sim = &sim};
    rig_open(&s->rig, &options);
    s->world = s->rig.world;
    name_threads(s);
    s->threads[BROKER] = rig_worker_thread(&s->rig, 0);
    const client_settings settings = {.mode = SLUICE_MODE_SERVICE,
                                      .endpoint = "/broker",
                                      .client_name = "test",
                                      .open_timeout_ns = SL_NS_PER_S,
                                      .call_grace_ns = SL_NS_PER_S};
    const client_hooks hooks = {s,         on_finished,      on_nothing,   on_dropped,
                                no_launch, no_launch_has_ended, on_connection};
    uint32_t before = sim_thread_enter(s->world, s->threads[LIBRARY]);
    EXPECT(engine_worker_create(s->rig.engine, &s->worker) == SLUICE_OK);
    EXPECT(client_core_init(&s->core, s->worker, s->rig.clock, &s->rig.random.random,
                            &s->rig.account, &settings, &hooks) == SLUICE_OK);
    (void)sim_thread_enter(s->world, before);
    const sl_request pair = {.kind = SL_REQUEST_PAIR};
    client_operation *op = submit(s, &pair);
    while (s->end_count == 0) {
        step_all(s);
    }
    EXPECT(s->end_status == SLUICE_OK);
    on_dropped(s, op);
    sim_world_options(s->world)->is_frozen = true;
}

static void close_sluice(stage *s) {
    sim_world_options(s->world)->is_frozen = false;
    uint32_t before = sim_thread_enter(s->world, s->threads[LIBRARY]);
    client_core_stop(&s->core);
    while (!client_core_is_idle(&s->core) || engine_worker_destroy(s->worker) != SLUICE_OK) {
        client_core_run(&s->core, 0);
        (void)sim_thread_enter(s->world, before);
        rig_step(&s->rig);
        (void)sim_thread_enter(s->world, s->threads[LIBRARY]);
    }
    client_core_deinit(&s->core);
    (void)sim_thread_enter(s->world, before);
    rig_await_empty(&s->rig);
    rig_close(&s->rig);
}

static void run_through(stage *s) {
    char circle[CIRCLE_SIZE];
    bool ends = run_schedule(s);
    if (!ends) {
        bool is_circle = sim_thread_circle(s->world, circle, sizeof(circle));
        printf("it hangs: %s\n", is_circle ? circle : "nobody can go on");
    }
    EXPECT(ends);
    EXPECT(s->end_status == SLUICE_ECANCELED);
    run_out(s); /* the cancel's way to the broker, if it was not needed there */
    EXPECT(s->end_count == 1);
    on_dropped(s, s->op);
}

static void test_through_sluice(uint64_t runs) {
    static stage s;
    uint64_t schedules = 0;
    choices_init(&s.choices);
    open_sluice(&s);
    run_through(&s); /* the handle's receive is armed from now on: all further runs are alike */
    choices_reset(&s.choices);
    do {
        run_through(&s);
        schedules++;
    } while (choices_advance(&s.choices));
    printf("through Sluice: %llu schedules, which are all; none hangs\n",
           (unsigned long long)schedules);
    EXPECT(schedules > 1);
    s.is_random = true;
    sl_random_seeded_init(&s.random, 1);
    for (uint64_t i = 0; i < runs; i++) {
        run_through(&s);
    }
    printf("through Sluice, the kernel's events in any order: %llu schedules; none hangs\n",
           (unsigned long long)runs);
    sim_counters counters;
    sim_world_counters(s.world, &counters);
    EXPECT(counters.mixed_count == 0);
    close_sluice(&s);
    choices_deinit(&s.choices);
}

int main(int argc, char **argv) {
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : RUNS;
    test_directly();
    test_through_sluice(runs);
    puts("ok");
    return 0;
}
