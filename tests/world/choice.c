/*
 * choice.c - what the seed chooses for a whole life: what its kernel does, its limits, how much of
 * what is done.
 */
#include "tests/world/world.h"

/* Where lives that get on meet it less than the others. */
static bool is_seldom_met(sim_fault fault) {
    return fault == SIM_RESET || fault == SIM_OS_CONNECT || fault == SIM_STALL ||
           fault == SIM_OS_WRITE || fault == SIM_OS_READ || fault == SIM_OS_PAIR ||
           fault == SIM_OS_LOCAL_ADDRESS || fault == SIM_OS_RESOLVE;
}

/* Errors are rare where they can be, but not in every life: what they hide is seen in others. Where
 * the system is rough, most of what is begun fails; else they meet work that goes on. */
static uint16_t choose_rate(world_life *life, sim_fault fault, uint16_t preset) {
    uint32_t dice = world_below(life, 12);
    uint32_t amount = world_below(life, 1000);
    if (fault == SIM_CANCEL_STUCK || preset < 100) {
        uint32_t some = life->is_rough ? 150 + amount / 5 : 50 + amount / 20;
        return (uint16_t)(dice < (is_seldom_met(fault) ? 5u : 3u) ? some : 0);
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

void world_choose(world_life *life, sim_options *sim) {
    static const uint32_t largest[] = {32, 2000, 20000, 100000};
    static const uint32_t ends[] = {2, 4, WORLD_ENDS_MAX};
    static const uint32_t alls[] = {1, 1, 2, 4};
    static const uint32_t lulls[] = {0, 34, 20, 10};
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
    life->lull_steps = lulls[world_below(life, SL_ARRAY_COUNT(lulls))];
}
