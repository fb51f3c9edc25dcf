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
/* Longer than the longest delay of the kernel, a stall. */
#define LULL_NS (700 * SL_NS_PER_MS)
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

/* ---- time ------------------------------------------------------------------------------------ */

static void process_init(world_life *life, world_process *process, const char *name) {
    process->life = life;
    process->name = name;
}

/* The clients', and then the broker's. */
static world_process *process_at(world_life *life, uint32_t index) {
    return index < life->client_count ? &life->clients[index].process : &life->server.process;
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
    choose_stream(life, STEP_STREAM | UINT32_MAX);
    world_choose(life, &sim);
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

/* What can go on does; what still waits has a reason. */
static void wait_and_check(world_life *life) {
    run_until(life, last_resume_ns(life) + LULL_NS);
    for (uint32_t i = 0; i < life->client_count; i++) {
        calls_check_waiting(&life->clients[i]);
    }
}

/* It has no faults and no limits any more, and is quick. */
static void calm_kernel(world_life *life) {
    sim_options *options = sim_world_options(life->world);
    sim_world_calm(life->world);
    options->handles_max = 1u << 18;
    options->delay_max_ns = CALM_DELAY_NS;
}

/* In the middle of a life nothing is begun for a while and nothing fails. */
static void lull(world_life *life) {
    sim_options *options = sim_world_options(life->world);
    sim_options before = *options;
    uint32_t dies_in[WORLD_CLIENTS_MAX + 1];
    for (uint32_t i = 0; i <= life->client_count; i++) {
        world_process *process = process_at(life, i);
        dies_in[i] = process->dies_in;
        process->dies_in = 0;
        process->memory.fail_per_mille = 0;
    }
    life->is_acting = false;
    calm_kernel(life);
    world_say(life, "---- a lull");
    wait_and_check(life);
    life->is_acting = true;
    for (uint32_t i = 0; i <= life->client_count; i++) {
        world_process *process = process_at(life, i);
        process->dies_in = dies_in[i];
        process->memory.fail_per_mille = life->no_memory_per_mille;
    }
    *options = before;
    world_say(life, "---- the lull is over");
}

static void act_all(world_life *life) {
    for (uint32_t step = 0; step < life->plan->steps; step++) {
        if (life->lull_steps != 0 && step % life->lull_steps == life->lull_steps - 1) {
            choose_stream(life, STEP_STREAM | step | UINT64_C(1) << 35);
            lull(life);
        }
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
    calm_kernel(life);
    uint64_t now_ns = world_now_ns(life);
    for (uint32_t i = 0; i <= life->client_count; i++) {
        world_process *process = process_at(life, i);
        process->memory.fail_per_mille = 0;
        process->dies_in = 0;
        process->start_ns = now_ns; /* who is halted sleeps on */
    }
    world_say(life, "---- the faults stop");
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
