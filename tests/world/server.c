/*
 * server.c - the broker's process: the real core, its workers stepped one by one.
 */
#include <string.h>

#include "broker/worker.h"
#include "tests/world/world.h"

#define JOIN_TRIES_MAX 1000u
#define END_NS         (120 * SL_NS_PER_S)

static void on_kill(world_process *process) {
    world_server *server = (world_server *)process;
    world_say(process->life, "broker: dies");
    sim_engine_kill(process->engine);
    server->core = NULL;
    world_process_end(process);
}

/* It did not come so far as to have an engine of use. */
static void give_up(world_server *server) {
    if (server->core != NULL) {
        sim_engine_kill(server->core->engine);
        server->core = NULL;
    } else {
        EXPECT(server->process.memory.used_count == 0); /* what fails leaves nothing */
    }
    world_process_end(&server->process);
}

static int open_workers(world_server *server) {
    for (uint32_t i = 0; i < server->worker_count; i++) {
        int status;
        unsigned tries = 0;
        do { /* a simulated system may refuse */
            status = broker_worker_open(server->core, i);
        } while (status != SLUICE_OK && ++tries < JOIN_TRIES_MAX);
        if (status != SLUICE_OK) {
            return status;
        }
        world_process_owns(&server->process, server->core->workers[i].engine);
        server->has_ended[i] = false;
        server->due_ns[i] = 0;
    }
    return SLUICE_OK;
}

static uint64_t memory_bytes(const world_server *server) {
    broker_counters counters;
    broker_counters_get(server->core, &counters);
    return counters.memory_bytes;
}

bool server_start(world_server *server) {
    world_process *process = &server->process;
    world_life *life = process->life;
    broker_options options;
    broker_options_init(&options);
    world_process_start(process);
    process->on_kill = on_kill;
    options.backend = &engine_backend_sim;
    options.backend_options = &life->shared;
    options.endpoint = "broker";
    options.worker_count = server->worker_count;
    options.clock = &life->clock.clock;
    options.random = &life->core_random.random;
    options.version = "world";
    options.allocator = &process->memory.allocator;
    options.limits = life->limits;
    server->core = NULL;
    server->is_stopping = false;
    int status = broker_create(&options, &server->core);
    if (status == SLUICE_OK) {
        status = open_workers(server);
    }
    world_say(life, "broker: starts: %s", sl_status_name(status));
    if (status != SLUICE_OK) {
        EXPECT(life->is_acting);
        give_up(server);
        return false;
    }
    process->engine = server->core->engine;
    process->is_up = true;
    server->memory_bytes = memory_bytes(server);
    return true;
}

void server_halt(world_server *server, bool is_halted) {
    server->process.is_halted = is_halted;
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (!server->has_ended[i]) {
            sim_worker_halt(server->core->workers[i].engine, is_halted);
        }
    }
    world_say(server->process.life, "broker: %s", is_halted ? "is halted" : "goes on");
}

void server_stop(world_server *server) {
    server->is_stopping = true;
    broker_drain(server->core, world_one_in(server->process.life, 2) ? 0 : SL_CLOCK_NEVER);
}

/* All workers have ended: so does the process, and nothing is left of it. */
static void exit_clean(world_server *server) {
    broker_end end;
    EXPECT(broker_has_ended(server->core, &end) && end.stuck_count == 0);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        EXPECT(broker_worker_close(server->core, i) == SLUICE_OK);
    }
    EXPECT(broker_destroy(server->core, 0) == SLUICE_OK);
    EXPECT(server->process.memory.used_count == 0);
    server->core = NULL;
    world_say(server->process.life, "broker: has ended");
    world_process_end(&server->process);
}

static void step_workers(world_process *process) {
    world_server *server = (world_server *)process;
    uint64_t now_ns = world_now_ns(process->life);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (server->has_ended[i]) {
            continue;
        }
        if (server->due_ns[i] <= now_ns ||
            sim_worker_has_work(server->core->workers[i].engine) ||
            world_turn_dice(process->life) == 0) {
            server->has_ended[i] = !broker_worker_step(server->core, i, 0);
            bool is_busy = broker_worker_is_busy(server->core, i);
            server->due_ns[i] = is_busy ? 0 : broker_worker_deadline_ns(server->core, i);
        }
    }
}

void server_step(world_server *server) {
    world_process *process = &server->process;
    if (!process->is_up || process->is_halted || !world_process_run(process, step_workers)) {
        return;
    }
    bool has_ended = true;
    for (uint32_t i = 0; i < server->worker_count; i++) {
        has_ended = has_ended && server->has_ended[i];
    }
    broker_end end;
    if (has_ended) {
        exit_clean(server);
    } else if (broker_has_ended(server->core, &end) && end.stuck_count > 0) {
        EXPECT(!process->life->is_ending); /* nothing is stuck any more */
        process->life->census->stuck_ends++;
        on_kill(process); /* as the program does: it says so and exits */
    }
}

uint64_t server_deadline_ns(const world_server *server) {
    uint64_t first_ns = SL_CLOCK_NEVER;
    for (uint32_t i = 0; server->process.is_up && i < server->worker_count; i++) {
        if (!server->has_ended[i] && server->due_ns[i] < first_ns) {
            first_ns = server->due_ns[i];
        }
    }
    return first_ns;
}

bool server_is_empty(const world_server *server) {
    broker_counters counters;
    if (!server->process.is_up || server->is_stopping) {
        return false;
    }
    broker_counters_get(server->core, &counters);
    return counters.handles == 0 && counters.operations == 0;
}

void server_finish(world_server *server) {
    world_life *life = server->process.life;
    uint64_t end_ns = world_now_ns(life) + END_NS;
    broker_counters counters;
    do {
        EXPECT(world_now_ns(life) < end_ns);
        (void)sim_world_step(life->world, world_now_ns(life) + SL_NS_PER_MS);
        server_step(server);
        peers_step(life);
        broker_counters_get(server->core, &counters);
    } while (counters.sessions != 0);
    EXPECT(counters.handles == 0 && counters.operations == 0 && counters.zombies == 0);
    EXPECT(counters.operations_started == counters.operations_finished);
    EXPECT(counters.protocol_violations == 0);
    /* A table that could not be made smaller for want of memory stays until the worker ends. */
    EXPECT(counters.memory_bytes == server->memory_bytes || life->no_memory_per_mille != 0);
    broker_drain(server->core, 0);
    while (server->process.is_up) {
        EXPECT(world_now_ns(life) < end_ns);
        (void)sim_world_step(life->world, world_now_ns(life) + SL_NS_PER_MS);
        server_step(server);
        peers_step(life);
    }
}
