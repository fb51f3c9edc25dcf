/*
 * life.c - one life from its seed to its end; processes and time. See world.h.
 */
#include <string.h>

#include "tests/sim/sim_world.h"
#include "tests/world/blocks.h"
#include "tests/world/world.h"

#define CHECK_EVERY 16u /* steps: are there calls that should have ended? */
#define WARM_DELAYS 30u /* of the kernel's longest: how long a life may take to have handles */
/* Longer than every timeout with its grace, and than a silence makes a broker unresponsive. */
#define SETTLE_NS (2500 * SL_NS_PER_MS)
#define CALM_DELAY_NS (20 * SL_NS_PER_US)
/* Accepts and first reads for what has come through: a round each, and one to spare. */
#define HARVESTS   3u
#define HARVEST_NS (200 * SL_NS_PER_MS)
/* Everything must be over by then when it is asked to end. */
#define END_NS       (120 * SL_NS_PER_S)
#define RETRY_MAX_NS (20 * SL_NS_PER_MS)
#define HALT_MAX_NS  (3 * SL_NS_PER_S)
#define STEP_STREAM  UINT64_C(0x8000000000000000)

const char *world_act_name(world_act act) {
    static const char *const names[ACT_COUNT] = {
#define X(name, weight, does) #name,
        WORLD_ACT_TABLE(X)
#undef X
    };
    return names[act];
}

/* ---- chance ---------------------------------------------------------------------------------- */

static void choose_stream(world_life *life, uint64_t stream) {
    uint64_t mixed = (life->plan->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ stream;
    sl_random_seeded_init(&life->random, mixed * UINT64_C(0xbf58476d1ce4e5b9));
    life->turn_dice_left = 0;
}

uint32_t world_turn_dice(world_life *life) {
    if (life->turn_dice_left == 0) {
        life->turn_dice = sl_random_seeded_u64(&life->random);
        life->turn_dice_left = 16;
    }
    uint32_t dice = life->turn_dice & 15;
    life->turn_dice >>= 4;
    life->turn_dice_left--;
    return dice;
}

bool world_may(const world_life *life, world_act act) {
    return (life->plan->acts_off >> act & 1) == 0;
}

static bool is_left_out(const world_plan *plan, uint32_t ordinal) {
    return (plan->left_out[ordinal / 8] >> ordinal % 8 & 1) != 0;
}

/* ---- processes ------------------------------------------------------------------------------- */

void world_process_start(world_process *process) {
    world_life *life = process->life;
    memory_init(&process->memory, life->plan->seed * 31 + process->times_up);
    process->memory.fail_per_mille = life->is_acting ? life->no_memory_per_mille : 0;
    process->times_up++;
    process->dies_in = 0;
    process->is_halted = false;
}

void world_process_owns(world_process *process, engine_worker *worker) {
    uint32_t number = SL_CONTAINER_OF(worker, sim_worker, worker)->number;
    process->life->owner[number % WORLD_WORKERS_SEEN] = process;
}

bool world_process_run(world_process *process, void (*run)(world_process *process)) {
    world_life *life = process->life;
    if (process->dies_in == 0) {
        run(process);
        return true;
    }
    if (setjmp(life->death) != 0) {
        life->running = NULL;
        life->is_inside = false;
        life->census->died_inside++;
        process->on_kill(process);
        return false;
    }
    life->running = process;
    run(process);
    life->running = NULL;
    return true;
}

void world_process_end(world_process *process) {
    world_census *census = process->life->census;
    census->memory_eligible += process->memory.eligible_count;
    census->memory_failed += process->memory.failed_count;
    process->memory.eligible_count = process->memory.failed_count = 0;
    memory_end(&process->memory);
    process->is_up = false;
    process->engine = NULL;
    process->start_ns = world_now_ns(process->life) + world_below(process->life, RETRY_MAX_NS);
}

world_wire *world_wire_new(world_life *life) {
    if (life->wire_count == WORLD_WIRES_MAX) {
        return NULL;
    }
    world_wire *wire = &life->wires[life->wire_count++];
    model_init(&wire->way[0]);
    model_init(&wire->way[1]);
    wire->is_bound = false;
    return wire;
}

/* ---- what the seed chooses ------------------------------------------------------------------- */

/* Errors are rare where they can be, but not in every life: what they hide is seen in others. Where
 * the system is rough, most of what is begun fails; else they meet work that goes on. */
static uint16_t choose_rate(world_life *life, sim_fault fault, uint16_t preset) {
    uint32_t dice = world_below(life, 12);
    uint32_t amount = world_below(life, 1000);
    if (fault == SIM_CANCEL_STUCK || preset < 100) {
        bool is_seldom_met = fault == SIM_RESET || fault == SIM_OS_CONNECT || fault == SIM_STALL ||
                             fault == SIM_OS_WRITE;
        uint32_t some = life->is_rough ? 150 + amount / 5 : 25 + amount / 20;
        return (uint16_t)(dice < (is_seldom_met ? 5u : 3u) ? some : 0);
    }
    uint32_t rate = dice < 3 ? 0 : amount * 2 * preset / 1000 + preset / 2;
    return (uint16_t)(rate < 1000 ? rate : 1000);
}

static void choose_kernel(world_life *life, sim_options *sim) {
    static const uint64_t delays_ns[] = {50 * SL_NS_PER_US, SL_NS_PER_MS, 5 * SL_NS_PER_MS};
    sim_options_hostile(sim, life->plan->seed);
    life->is_rough = world_one_in(life, 3);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        uint16_t rate = choose_rate(life, (sim_fault)i, sim->per_mille[i]);
        bool is_off = (life->plan->faults_off >> i & 1) != 0;
        sim->per_mille[i] = is_off ? 0 : rate;
    }
    life->has_resets = sim->per_mille[SIM_RESET] != 0 || sim->per_mille[SIM_OS_CONNECT] != 0;
    sim->delay_max_ns = delays_ns[world_below(life, 3)];
    sim->ignored_min_ns = SL_NS_PER_MS;
    sim->ignored_max_ns = (world_one_in(life, 3) ? 5000 : 100) * SL_NS_PER_MS;
    sim->windows_pipes = world_one_in(life, 2);
    sim->pipe_capacity = world_one_in(life, 3) ? 700 : 65536;
    sim->tcp_capacity = world_one_in(life, 3) ? 5000 : 131072;
    sim->peer_busy_count = world_below(life, 2);
    sim->handles_max = world_one_in(life, 8) ? 24 + world_below(life, 40) : 1u << 18;
    sim->on_trace = world_on_trace;
    sim->user = life;
}

static void choose_limits(world_life *life, sl_limits *limits) {
    static const uint32_t small[] = {4096, 10000, 65536};
    static const uint32_t graces_ms[] = {10, 50, 1000};
    sl_limits_default(limits);
    limits->fragment_bytes = small[world_below(life, 3)];
    limits->stream_chunk_bytes = small[world_below(life, 3)];
    limits->receive_buffer_bytes = small[world_below(life, 3)];
    limits->idle_buffer_bytes = world_one_in(life, 2) ? 0 : 4096;
    limits->payload_bytes = world_one_in(life, 2) ? 65536 : 1048576;
    limits->credit_operations = world_one_in(life, 2) ? 16 : 64;
    limits->credit_bytes = 1048576;
    limits->unresponsive_ns = 500 * SL_MSEC << world_below(life, 3);
    limits->ping_interval_ns = limits->unresponsive_ns / (3 + world_below(life, 3));
    limits->call_grace_ns = graces_ms[world_below(life, 3)] * SL_MSEC;
    limits->close_grace_ns = world_below(life, 3) * 100 * SL_MSEC;
    limits->drain_grace_ns = world_below(life, 3) * 20 * SL_MSEC;
    limits->hello_timeout_ns = SL_SEC;
    limits->no_progress_ns = SL_SEC << world_below(life, 3);
    limits->zombies = world_one_in(life, 3) ? 2 : 64;
}

static void choose_acts(world_life *life) {
    static const uint32_t standard[ACT_COUNT] = {
#define X(name, weight, does) (weight),
        WORLD_ACT_TABLE(X)
#undef X
    };
    life->has_pairs = !world_one_in(life, 4);
    for (unsigned i = 0; i < ACT_COUNT; i++) {
        uint32_t dice = world_below(life, 12);
        uint32_t weight = standard[i];
        if (i >= ACT_CLIENT_KILL) {
            weight *= dice < 4 ? 1 + dice : 0;
        } else if (i >= ACT_CANCEL) {
            weight *= dice < 2 ? 0 : dice < 5 ? 3 : 1;
        }
        if (i == ACT_PAIR && !life->has_pairs) {
            weight = 0;
        }
        life->weights[i] = weight;
        life->weight_sum += weight;
    }
}

static void choose(world_life *life, sim_options *sim) {
    static const uint32_t largest[] = {32, 2000, 20000, 100000};
    static const uint32_t ends[] = {2, 4, WORLD_ENDS_MAX};
    static const uint32_t alls[] = {1, 1, 2, 4};
    choose_stream(life, STEP_STREAM | UINT32_MAX);
    choose_kernel(life, sim);
    choose_limits(life, &life->limits);
    choose_acts(life);
    life->largest = largest[world_below(life, 4)];
    life->ends_max = ends[world_below(life, 3)];
    life->all_in = alls[world_below(life, 4)];
    life->timeout_max_ns = sim->delay_max_ns * (1 + world_below(life, 8));
    life->step_max_ns = sim->delay_max_ns / 2 << world_below(life, 4);
    life->client_count = 1 + world_below(life, WORLD_CLIENTS_MAX);
    life->server.worker_count = 1 + world_below(life, WORLD_WORKERS_MAX);
    uint32_t rate = world_one_in(life, 3) ? 60 + world_below(life, 80) : 0;
    bool is_off = (life->plan->faults_off >> WORLD_NO_MEMORY & 1) != 0;
    life->no_memory_per_mille = (uint16_t)(is_off ? 0 : rate);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void process_init(world_life *life, world_process *process, const char *name) {
    process->life = life;
    process->name = name;
}

/* Who is down and may come back does; who was halted goes on. */
static void wake_processes(world_life *life) {
    uint64_t now_ns = world_now_ns(life);
    world_server *server = &life->server;
    if (!server->process.is_up && now_ns >= server->process.start_ns) {
        (void)server_start(server);
    } else if (server->process.is_halted && now_ns >= server->process.resume_ns) {
        server_halt(server, false);
    }
    for (uint32_t i = 0; i < life->client_count; i++) {
        world_client *client = &life->clients[i];
        if (!client->process.is_up && now_ns >= client->process.start_ns) {
            (void)client_start(client);
        } else if (client->process.is_halted && now_ns >= client->process.resume_ns) {
            client_halt(client, false);
        }
    }
}

static uint64_t process_deadline_ns(const world_process *process, uint64_t own_ns) {
    if (!process->is_up) {
        return process->start_ns;
    }
    return process->is_halted ? process->resume_ns : own_ns;
}

static uint64_t next_deadline_ns(world_life *life) {
    const world_process *server = &life->server.process;
    uint64_t first_ns = process_deadline_ns(server, server_deadline_ns(&life->server));
    for (uint32_t i = 0; i < life->client_count; i++) {
        world_client *client = &life->clients[i];
        uint64_t own_ns = process_deadline_ns(&client->process, client_deadline_ns(client));
        first_ns = own_ns < first_ns ? own_ns : first_ns;
    }
    return first_ns;
}

/* One turn: time moves to what comes next, and who has something to do does it. */
static void turn(world_life *life, uint64_t until_ns) {
    uint64_t deadline_ns = next_deadline_ns(life);
    until_ns = deadline_ns < until_ns ? deadline_ns : until_ns;
    if (until_ns > world_now_ns(life)) {
        (void)sim_world_step(life->world, until_ns);
    }
    wake_processes(life);
    uint32_t which = world_turn_dice(life) % (life->client_count + 1);
    for (uint32_t i = 0; i <= life->client_count; i++) {
        if (which == life->client_count) {
            server_step(&life->server);
            which = 0;
        } else {
            client_step(&life->clients[which++]);
        }
    }
    peers_step(life);
}

/* All calls end by their time. The first of these is remembered: it is never put forward. */
static void check_calls(world_life *life) {
    uint64_t now_ns = world_now_ns(life);
    while (life->first_open < life->call_count && life->calls[life->first_open].has_ended) {
        life->first_open++;
    }
    if (now_ns <= sl_clock_after_ns(life->check_ns, WORLD_SLACK_NS)) {
        return;
    }
    life->check_ns = SL_CLOCK_NEVER;
    for (uint32_t i = life->first_open; i < life->call_count; i++) {
        const world_call *call = &life->calls[i];
        if (call->has_ended) {
            continue;
        }
        bool is_halted = call->client != NULL && call->client->process.is_halted;
        bool is_in_time =
            is_halted || now_ns <= sl_clock_after_ns(call->end_by_ns, WORLD_SLACK_NS);
        if (!is_in_time) {
            world_say(life, "call %u should have ended by %f ms", i,
                      (double)call->end_by_ns / SL_NS_PER_MS);
        }
        EXPECT(is_in_time);
        life->check_ns = call->end_by_ns < life->check_ns ? call->end_by_ns : life->check_ns;
    }
}

static void run_until(world_life *life, uint64_t end_ns) {
    for (unsigned i = 0; world_now_ns(life) < end_ns; i++) {
        turn(life, end_ns);
        if (i % CHECK_EVERY == 0) {
            check_calls(life);
        }
    }
    check_calls(life);
}

/* ---- fate ------------------------------------------------------------------------------------ */

static uint64_t halt_ns(world_life *life) {
    uint64_t max_ns = world_one_in(life, 3) ? HALT_MAX_NS : 20 * SL_NS_PER_MS;
    return 1 + sl_random_seeded_u64(&life->random) % max_ns;
}

/* At once, or at one of its next calls of the kernel. */
static void kill_soon(world_process *process) {
    if (world_one_in(process->life, 3)) {
        process->on_kill(process);
    } else {
        process->dies_in = 1 + world_below(process->life, 30);
    }
}

static void jump(world_life *life) {
    uint64_t since_ns = world_now_ns(life);
    life->clock.now_ns += halt_ns(life);
    for (uint32_t i = 0; i < life->client_count; i++) {
        client_excuse(&life->clients[i], since_ns);
    }
}

static void fate_acts(world_life *life, world_act act, world_client *client) {
    world_server *server = &life->server;
    bool is_client = act == ACT_CLIENT_KILL || act == ACT_CLIENT_HALT;
    world_process *process = is_client ? &client->process : &server->process;
    if (act == ACT_CLOCK_JUMP) {
        jump(life);
    } else if (!process->is_up || process->is_halted) {
        return;
    } else if (act == ACT_CLIENT_KILL || act == ACT_BROKER_KILL) {
        kill_soon(process);
    } else if (act == ACT_BROKER_STOP) {
        server_stop(server);
    } else {
        process->resume_ns = world_now_ns(life) + halt_ns(life);
        if (is_client) {
            client_halt(client, true);
        } else {
            server_halt(server, true);
        }
    }
    life->acts_seen |= 1u << act;
    life->census->acts[act]++;
    world_say(life, "%s: %s", process->name, world_act_name(act));
}

static world_act choose_act(world_life *life) {
    uint32_t dice = world_below(life, life->weight_sum);
    unsigned act = 0;
    while (dice >= life->weights[act]) {
        dice -= life->weights[act++];
    }
    return (world_act)act;
}

static void act_once(world_life *life, uint32_t ordinal) {
    choose_stream(life, ordinal);
    world_act act = choose_act(life);
    world_client *client = &life->clients[world_below(life, life->client_count)];
    if (is_left_out(life->plan, ordinal) || !world_may(life, act)) {
        return;
    }
    if (act >= ACT_CLIENT_KILL) {
        fate_acts(life, act, client);
        return;
    }
    life->acts_seen |= 1u << act;
    life->census->acts[act]++;
    if (act >= ACT_PEER_CONNECT) {
        peers_act(life, act);
    } else if (client->process.is_up && !client->process.is_halted) {
        calls_act(client, act);
    }
}

/* ---- a life ---------------------------------------------------------------------------------- */

static void begin(world_life *life) {
    sim_options sim;
    choose(life, &sim);
    sl_clock_manual_init(&life->clock, SL_NS_PER_S);
    sl_random_seeded_init(&life->core_random, life->plan->seed);
    life->world = sim_world_create(&sim, &life->clock);
    sim_options_gentle(&life->shared, 1);
    life->shared.world = life->world;
    static const char *const names[WORLD_CLIENTS_MAX] = {"client 0", "client 1", "client 2"};
    process_init(life, &life->server.process, "broker");
    process_init(life, &life->peers_process, "peers");
    for (uint32_t i = 0; i < life->client_count; i++) {
        process_init(life, &life->clients[i].process, names[i]);
        life->clients[i].number = i;
    }
    life->is_acting = true;
    peers_start(life);
    wake_processes(life);
}

/* Some handles to begin with: the faults come afterwards. */
static void warm_up(world_life *life) {
    static const world_act acts[] = {ACT_PAIR, ACT_LISTEN, ACT_CONNECT, ACT_PAIR};
    uint16_t *rates = sim_world_options(life->world)->per_mille;
    uint16_t later[SIM_FAULT_COUNT];
    choose_stream(life, STEP_STREAM | UINT64_C(1) << 34);
    memcpy(later, rates, sizeof(later));
    if (!world_one_in(life, 4)) {
        memset(rates, 0, sizeof(later));
    }
    life->is_warming = true;
    for (unsigned round = 0; round < SL_ARRAY_COUNT(acts); round++) {
        for (uint32_t i = 0; i < life->client_count; i++) {
            if (life->clients[i].process.is_up &&
                (life->has_pairs || acts[round] != ACT_PAIR)) {
                calls_act(&life->clients[i], acts[round]);
            }
        }
        peers_act(life, ACT_PEER_CONNECT);
    }
    uint64_t most_ns = WARM_DELAYS * sim_world_options(life->world)->delay_max_ns;
    uint64_t end_ns = world_now_ns(life) + most_ns;
    while (world_now_ns(life) < end_ns && (life->call_count < 2 || life->first_open < 2)) {
        turn(life, end_ns);
        check_calls(life);
    }
    life->is_warming = false;
    memcpy(rates, later, sizeof(later));
}

static void act_all(world_life *life) {
    for (uint32_t step = 0; step < life->plan->steps; step++) {
        choose_stream(life, STEP_STREAM | step);
        uint32_t count = world_below(life, WORLD_STEP_ACTS + 1);
        for (uint32_t k = 0; k < count; k++) {
            act_once(life, step * WORLD_STEP_ACTS + k);
        }
        choose_stream(life, STEP_STREAM | step | UINT64_C(1) << 32);
        uint64_t until_ns = world_now_ns(life) + world_below(life, (uint32_t)life->step_max_ns);
        do {
            turn(life, until_ns);
        } while (world_now_ns(life) < until_ns);
        check_calls(life);
    }
}

/* The faults stop, everybody runs, and the kernel is quick. */
static void calm(world_life *life) {
    life->is_acting = false;
    sim_world_counters(life->world, &life->kernel);
    sim_world_calm(life->world);
    sim_world_options(life->world)->handles_max = 1u << 18;
    sim_world_options(life->world)->delay_max_ns = CALM_DELAY_NS;
    uint64_t now_ns = world_now_ns(life);
    world_process *processes[WORLD_CLIENTS_MAX + 1] = {&life->server.process};
    for (uint32_t i = 0; i < life->client_count; i++) {
        processes[i + 1] = &life->clients[i].process;
    }
    for (uint32_t i = 0; i <= life->client_count; i++) {
        processes[i]->memory.fail_per_mille = 0;
        processes[i]->dies_in = 0;
        processes[i]->start_ns = now_ns; /* who is halted sleeps on */
    }
    world_say(life, "---- the faults stop");
}

/* When nobody is halted any more. */
static uint64_t last_resume_ns(const world_life *life) {
    const world_process *server = &life->server.process;
    uint64_t last_ns = world_now_ns(life);
    last_ns = server->is_halted && server->resume_ns > last_ns ? server->resume_ns : last_ns;
    for (uint32_t i = 0; i < life->client_count; i++) {
        const world_process *client = &life->clients[i].process;
        last_ns = client->is_halted && client->resume_ns > last_ns ? client->resume_ns : last_ns;
    }
    return last_ns;
}

/* Nothing is begun or cancelled any more: what can end does. */
static void settle(world_life *life) {
    calm(life);
    run_until(life, last_resume_ns(life) + SETTLE_NS);
    peers_settle(life);
    for (uint32_t i = 0; i < life->client_count; i++) {
        calls_check_waiting(&life->clients[i]);
    }
    for (unsigned round = 0; round < HARVESTS; round++) {
        for (uint32_t i = 0; i < life->client_count; i++) {
            calls_harvest(&life->clients[i]);
        }
        run_until(life, world_now_ns(life) + HARVEST_NS);
    }
    for (uint32_t i = 0; i < life->client_count; i++) {
        calls_check_waiting(&life->clients[i]);
    }
    peers_check(life);
}

static bool is_over(world_life *life) {
    bool is_over = server_is_empty(&life->server);
    for (uint32_t i = 0; i < life->client_count; i++) {
        const world_client *client = &life->clients[i];
        is_over = is_over && client->process.is_up && client->open_count == 0 &&
                  client->core.operation_count == 0;
    }
    return is_over;
}

/* Without the connections' end: what is closed is closed at the broker, too. */
static void end_calls(world_life *life) {
    uint64_t end_ns = world_now_ns(life) + END_NS;
    do {
        for (uint32_t i = 0; i < life->client_count; i++) {
            if (life->clients[i].process.is_up) {
                calls_end(&life->clients[i]);
            }
        }
        turn(life, world_now_ns(life) + SL_NS_PER_S);
        EXPECT(world_now_ns(life) < end_ns);
    } while (!is_over(life));
    check_calls(life);
}

static void finish(world_life *life) {
    peers_hang_up(life);
    for (uint32_t i = 0; i < life->client_count; i++) {
        client_finish(&life->clients[i]);
    }
    server_finish(&life->server);
    peers_finish(life);
    for (uint32_t i = 0; i < life->wire_count; i++) {
        for (unsigned side = 0; side < 2; side++) {
            model_check(&life->wires[i].way[side]);
            life->census->streams_whole += life->wires[i].way[side].is_whole;
        }
    }
}

void world_live(world_life *life, const world_plan *plan, world_census *census, bool is_traced) {
    memset(life, 0, offsetof(world_life, peers));
    life->plan = plan;
    life->census = census;
    life->is_traced = is_traced;
    begin(life);
    warm_up(life);
    act_all(life);
    choose_stream(life, STEP_STREAM | UINT64_C(1) << 33);
    settle(life);
    world_say(life, "---- all is cancelled and closed");
    end_calls(life);
    life->is_ending = true;
    finish(life);
    census_life(census, life, sim_world_hash(life->world));
    sim_world_destroy(life->world);
    blocks_clear();
}
