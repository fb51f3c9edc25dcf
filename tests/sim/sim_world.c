/*
 * sim_world.c - the simulated machine as a whole: options, chance, time, and the record of it all.
 *
 * A world is owned by its creator: a test, or the engine that was given none. Time moves in two
 * places only, sim_world_step here and ops->wait in engine_sim.c, and both fire events through
 * sim_fire_due. Every event, start, end and fault goes through sim_record, which numbers it, mixes
 * it into the hash and shows it to the test. Nothing that is mixed in depends on an address or on
 * the machine, so a seed replays anywhere.
 */
#include <string.h>

#include "tests/sim/sim_world.h"

#define EVENTS_MAX      (1u << 22)
#define CONNECTIONS_MAX (1u << 20)
#define DATAGRAMS_MAX   (1u << 20)

/* ---- options --------------------------------------------------------------------------------- */

static const uint16_t presets[3][SIM_FAULT_COUNT] = {
#define X(name, gentle, races, hostile) [SIM_##name] = (gentle),
    {SIM_FAULT_TABLE(X)},
#undef X
#define X(name, gentle, races, hostile) [SIM_##name] = (races),
    {SIM_FAULT_TABLE(X)},
#undef X
#define X(name, gentle, races, hostile) [SIM_##name] = (hostile),
    {SIM_FAULT_TABLE(X)},
#undef X
};

static void set_options(sim_options *options, uint64_t seed, unsigned preset) {
    *options = (sim_options){
        .seed = seed,
        .delay_min_ns = 1 * SL_NS_PER_US,
        .delay_max_ns = 50 * SL_NS_PER_US,
        .ignored_min_ns = 1 * SL_NS_PER_S,
        .ignored_max_ns = 30 * SL_NS_PER_S,
        .batch_ns = 20 * SL_NS_PER_US,
        .poll_cost_ns = 200,
        .pipe_capacity = 65536,
        .tcp_capacity = 131072,
        .datagrams_max = 128,
        .handles_max = 1u << 18,
        .accepts_started = 4,
        .user_id = SIM_USER,
        .group_id = SIM_USER,
    };
    memcpy(options->per_mille, presets[preset], sizeof(options->per_mille));
}

void sim_options_gentle(sim_options *ret_options, uint64_t seed) {
    set_options(ret_options, seed, 0);
}

void sim_options_races(sim_options *ret_options, uint64_t seed) {
    set_options(ret_options, seed, 1);
}

void sim_options_hostile(sim_options *ret_options, uint64_t seed) {
    set_options(ret_options, seed, 2);
}

const char *sim_fault_name(sim_fault fault) {
    static const char *const names[SIM_FAULT_COUNT] = {
#define X(name, gentle, races, hostile) #name,
        SIM_FAULT_TABLE(X)
#undef X
    };
    return (unsigned)fault < SIM_FAULT_COUNT ? names[fault] : "UNKNOWN";
}

const char *sim_trace_what_name(sim_trace_what what) {
    static const char *const names[] = {"start", "event",   "cancel", "finish", "retry",
                                        "open",  "release", "fault",  "wait",   "kill"};
    return (unsigned)what < SL_ARRAY_COUNT(names) ? names[what] : "unknown";
}

/* ---- making and ending a world --------------------------------------------------------------- */

sim_world *sim_world_create(const sim_options *options, sl_clock_manual *clock) {
    sim_options gentle;
    if (options == NULL) {
        sim_options_gentle(&gentle, 1);
        options = &gentle;
    }
    sl_allocator *source = options->allocator != NULL ? options->allocator : sl_allocator_system();
    sim_world *world = source->acquire(source, sizeof(*world));
    SL_CHECK(world != NULL, "the simulated kernel has memory");
    world->options = *options;
    world->clock = clock;
    sl_random_seeded_init(&world->random, options->seed);
    sl_account_init(&world->account, source, "simulated kernel", SIZE_MAX);
    sl_heap_init(&world->events, &world->account, EVENTS_MAX);
    int status = sl_slots_init(&world->connections, &world->account, CONNECTIONS_MAX,
                               sizeof(sim_connection));
    SL_CHECK(status == SLUICE_OK, "the simulated kernel has memory");
    status = sl_slots_init(&world->datagrams, &world->account, DATAGRAMS_MAX, sizeof(sim_datagram));
    SL_CHECK(status == SLUICE_OK, "the simulated kernel has memory");
    for (unsigned i = 0; i < SIM_BUCKETS; i++) {
        sl_list_init(&world->bindings[i]);
    }
    sl_list_init(&world->workers);
    sl_list_init(&world->stuck);
    world->hash = options->seed;
    return world;
}

void sim_world_destroy(sim_world *world) {
    if (world == NULL) {
        return;
    }
    SL_CHECK(world->engine_count == 0, "no engine uses a world that ends");
    SL_CHECK(world->counters.handles == 0, "no handle is open when the world ends");
    SL_CHECK(world->counters.bindings == 0, "no name is taken when the world ends");
    sl_slots_deinit(&world->datagrams);
    sl_slots_deinit(&world->connections);
    sl_heap_deinit(&world->events);
    sim_bytes_free_chunks(world);
    sl_allocator *source = world->account.source;
    sl_account_deinit(&world->account);
    source->release(source, world, sizeof(*world));
}

sim_world *sim_world_of(engine *owner) {
    return SL_CONTAINER_OF(owner, sim_engine, engine)->world;
}

void sim_world_counters(const sim_world *world, sim_counters *ret_counters) {
    *ret_counters = world->counters;
    ret_counters->connections = world->connections.used;
    ret_counters->scheduled = world->events.count;
    ret_counters->memory_bytes = atomic_load(&world->account.used_bytes);
    ret_counters->allocated_count = atomic_load(&world->account.acquired_count);
}

uint64_t sim_world_hash(const sim_world *world) {
    return world->hash;
}

sim_options *sim_world_options(sim_world *world) {
    return &world->options;
}

/* ---- chance ---------------------------------------------------------------------------------- */

static void record_fault(sim_world *world, sim_fault fault) {
    sim_trace trace = {.what = SIM_TRACE_FAULT, .value = fault};
    sim_record(world, &trace, NULL, NULL, NULL);
}

bool sim_strikes(sim_world *world, sim_fault fault) {
    world->counters.eligible_count[fault]++;
    const sim_options *options = &world->options;
    uint16_t rate = options->per_mille[fault];
    if (rate == 0) {
        return false;
    }
    bool strikes = options->choose != NULL
                       ? options->choose(options->user, world->asking, fault, 2) != 0
                       : sl_random_seeded_below(&world->random, 1000) < rate;
    if (!strikes) {
        return false;
    }
    world->counters.struck_count[fault]++;
    record_fault(world, fault);
    return true;
}

uint64_t sim_below(sim_world *world, uint64_t bound) {
    const sim_options *options = &world->options;
    if (options->choose != NULL) {
        return bound > 1 ? options->choose(options->user, world->asking, SIM_FAULT_COUNT, bound)
                         : 0;
    }
    if (bound <= UINT32_MAX) {
        return sl_random_seeded_below(&world->random, (uint32_t)bound);
    }
    return sl_random_seeded_u64(&world->random) % bound;
}

typedef struct sim_error {
    int status; /* 0 = no more */
    uint32_t os_error;
} sim_error;

#define ERRORS_PER_KIND 5

void sim_pick_error(sim_world *world, engine_kind kind, int *ret_status, uint32_t *ret_os_error) {
    static const sim_error errors[ENGINE_KIND_COUNT][ERRORS_PER_KIND] = {
        [ENGINE_READ] = {{SLUICE_EOS, SIM_EIO}, {SLUICE_EOS, SIM_ENOBUFS}},
        [ENGINE_WRITE] = {{SLUICE_EOS, SIM_EIO}, {SLUICE_EOS, SIM_ENOBUFS}},
        [ENGINE_RECEIVE_FROM] = {{SLUICE_EOS, SIM_EIO}, {SLUICE_EOS, SIM_ENOBUFS}},
        [ENGINE_SEND_TO] = {{SLUICE_EOS, SIM_EIO},
                            {SLUICE_EOSLIMIT, SIM_ENOBUFS},
                            {SLUICE_EUNREACHABLE, SIM_ENETUNREACH}},
        [ENGINE_HALF_CLOSE] = {{SLUICE_EOS, SIM_EIO}, {SLUICE_ERESET, SIM_ECONNRESET}},
        [ENGINE_ACCEPT] = {{SLUICE_EOSLIMIT, SIM_EMFILE}, {SLUICE_EOS, SIM_EIO}},
        [ENGINE_LISTEN] = {{SLUICE_EOSLIMIT, SIM_EMFILE},
                           {SLUICE_EACCESS, SIM_EACCES},
                           {SLUICE_EOS, SIM_ENOBUFS}},
        [ENGINE_CONNECT] = {{SLUICE_EOSLIMIT, SIM_EMFILE},
                            {SLUICE_EACCESS, SIM_EACCES},
                            {SLUICE_ERESET, SIM_ECONNRESET},
                            {SLUICE_ETIMEDOUT, SIM_ETIMEDOUT},
                            {SLUICE_EOS, SIM_EIO}},
        [ENGINE_PAIR] = {{SLUICE_EOSLIMIT, SIM_EMFILE}, {SLUICE_EOS, SIM_EIO}},
        [ENGINE_RESOLVE] = {{SLUICE_EOS, SIM_EIO}, {SLUICE_ENOTFOUND, SIM_ENOENT}},
        /* udp_open and the endpoint calls */
        [ENGINE_CLOSE] = {{SLUICE_EOSLIMIT, SIM_EMFILE},
                          {SLUICE_EACCESS, SIM_EACCES},
                          {SLUICE_EOS, SIM_ENOBUFS}},
    };
    unsigned count = 0;
    while (count < ERRORS_PER_KIND && errors[kind][count].status != 0) {
        count++;
    }
    /* To a test that tries every choice they are all alike. */
    uint64_t index = world->options.choose == NULL ? sim_below(world, count) : 0;
    const sim_error *error = &errors[kind][index];
    *ret_status = error->status;
    *ret_os_error = error->os_error;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void schedule_at(sim_world *world, sim_event *event, sim_event_type type, uint64_t at_ns) {
    event->type = type;
    int status = sl_heap_insert(&world->events, &event->node, at_ns);
    SL_CHECK(status == SLUICE_OK, "the simulated kernel has memory");
}

void sim_schedule_after(sim_world *world, sim_event *event, sim_event_type type,
                        uint64_t delay_ns) {
    schedule_at(world, event, type, sl_clock_after_ns(world->clock->now_ns, delay_ns));
}

void sim_schedule(sim_world *world, sim_event *event, sim_event_type type) {
    const sim_options *options = &world->options;
    uint64_t range_ns = options->delay_max_ns - options->delay_min_ns;
    uint64_t delay_ns = options->delay_min_ns + sim_below(world, range_ns + 1);
    if (sim_strikes(world, SIM_STALL)) {
        sim_schedule_after(world, event, type, delay_ns * SIM_STALL_FACTOR);
        return;
    }
    uint64_t at_ns = sl_clock_after_ns(world->clock->now_ns, delay_ns);
    if (!sim_strikes(world, SIM_REORDER)) {
        if (at_ns < world->in_order_ns) {
            at_ns = world->in_order_ns;
        }
        world->in_order_ns = at_ns;
    }
    schedule_at(world, event, type, at_ns);
}

void sim_unschedule(sim_world *world, sim_event *event) {
    sl_heap_remove(&world->events, &event->node);
}

/* Whose it is: what comes of it is taken from the queue by that worker's thread. */
static const sim_worker *worker_of(const sim_event *event) {
    const engine_worker *worker = NULL;
    switch (event->type) {
    case SIM_EVENT_STEP:
        worker = SL_CONTAINER_OF(event, const sim_request, step)->request.worker;
        break;
    case SIM_EVENT_ABORT:
        worker = SL_CONTAINER_OF(event, const sim_request, abort)->request.worker;
        break;
    case SIM_EVENT_DEAL:
        worker = SL_CONTAINER_OF(event, const sim_handle, deal)->handle.worker;
        break;
    }
    return SL_CONTAINER_OF(worker, const sim_worker, worker);
}

static void fire(sim_world *world, sim_event *event) {
    uint32_t before = world->thread;
    world->thread = worker_of(event)->thread;
    world->firing++;
    world->counters.event_count++;
    switch (event->type) {
    case SIM_EVENT_STEP: sim_on_step(world, event); break;
    case SIM_EVENT_ABORT: sim_on_abort(world, event); break;
    case SIM_EVENT_DEAL: sim_deal(world, SL_CONTAINER_OF(event, sim_handle, deal)); break;
    }
    world->firing--;
    world->thread = before;
}

void sim_fire(sim_world *world, sim_event *event) {
    SL_CHECK(sl_heap_contains(&event->node), "what fires was scheduled");
    sim_unschedule(world, event);
    fire(world, event);
}

void sim_fire_due(sim_world *world) {
    sl_heap_node *node;
    while (!world->options.is_frozen &&
           (node = sl_heap_pop_due(&world->events, world->clock->now_ns)) != NULL) {
        fire(world, SL_CONTAINER_OF(node, sim_event, node));
    }
}

bool sim_worker_has_mail(const engine_worker *worker) {
    return worker->ready.first != NULL || worker->mail != NULL ||
           !sl_mailbox_is_empty(&worker->mailbox);
}

bool sim_world_step(sim_world *world, uint64_t deadline_ns) {
    uint64_t next_ns = sl_heap_deadline_ns(&world->events);
    for (sl_list *node = world->workers.next; node != &world->workers; node = node->next) {
        engine_worker *worker = &SL_LIST_ENTRY(node, sim_worker, link)->worker;
        if (SL_LIST_ENTRY(node, sim_worker, link)->is_halted) {
            continue;
        }
        if (sim_worker_has_mail(worker)) {
            return true;
        }
        uint64_t timer_ns = sim_worker_timer_ns(worker);
        next_ns = timer_ns < next_ns ? timer_ns : next_ns;
    }
    next_ns = deadline_ns < next_ns ? deadline_ns : next_ns;
    if (next_ns == SL_CLOCK_NEVER) {
        return false;
    }
    if (next_ns > world->clock->now_ns) {
        world->clock->now_ns = next_ns;
    }
    sim_fire_due(world);
    return true;
}

void sim_world_calm(sim_world *world) {
    uint16_t reorder = world->options.per_mille[SIM_REORDER];
    memset(world->options.per_mille, 0, sizeof(world->options.per_mille));
    world->options.per_mille[SIM_REORDER] = reorder;
    sl_list *node;
    while ((node = sl_list_pop_front(&world->stuck)) != NULL) {
        sim_request *request = SL_LIST_ENTRY(node, sim_request, stuck_link);
        sim_unschedule(world, &request->abort); /* ignored for long */
        sim_schedule(world, &request->abort, SIM_EVENT_ABORT);
    }
}

/* ---- the record ------------------------------------------------------------------------------ */

/* The members are multiplied beside each other: one after the other would be slow. */
static uint64_t mix(uint64_t hash, uint64_t head, const sim_trace *trace) {
    uint64_t sum = head * UINT64_C(0xbf58476d1ce4e5b9) +
                   trace->now_ns * UINT64_C(0x94d049bb133111eb) +
                   trace->id * UINT64_C(0xd6e8feb86659fd93) +
                   trace->handle * UINT64_C(0xa0761d6478bd642f) +
                   trace->bytes * UINT64_C(0xe7037ed1a0b428db) +
                   (trace->in_doubt << 32 ^ trace->value) * UINT64_C(0x8ebc6af09c88c6e3);
    hash = (hash ^ sum) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

void sim_record(sim_world *world, sim_trace *trace, const engine_worker *worker,
                const engine_request *request, const engine_handle *handle) {
    trace->sequence = ++world->counters.trace_count;
    trace->now_ns = world->clock->now_ns;
    if (worker != NULL) {
        trace->worker = SL_CONTAINER_OF(worker, const sim_worker, worker)->number;
    }
    if (request != NULL) {
        trace->id = request->id;
        trace->kind = request->kind;
    }
    if (handle != NULL) {
        trace->handle = handle->slot;
    }
    uint64_t head = (uint64_t)trace->what | (uint64_t)trace->kind << 8 |
                    (uint64_t)(uint8_t)-trace->status << 16 | (uint64_t)trace->worker << 32;
    world->hash = mix(world->hash, head, trace);
    if (world->options.on_trace != NULL) {
        world->options.on_trace(world->options.user, trace);
    }
}
