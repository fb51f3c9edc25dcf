/*
 * client.c - a program's process: the real client core, and the application's view of its handles.
 */
#include <string.h>

#include "tests/client/no_launch.h"
#include "tests/world/world.h"

#define END_NS (120 * SL_NS_PER_S)
/* After it was stopped a client first listens: client/watch.c. */
#define LISTEN_NS (100 * SL_NS_PER_MS)

/* ---- the core's hooks ------------------------------------------------------------------------ */

static void on_retired(void *user, client_operation *op) {
    world_client *client = user;
    if (op->has_credit) {
        op->has_credit = false;
        client_credit_give(&client->credit, op->credit_bytes);
    }
}

static void on_dropped(void *user, client_operation *op) {
    world_client *client = user;
    if (client_operation_drop(op)) {
        memory_give(&client->process.memory, op);
    }
}

static void on_finished(void *user, client_operation *op) {
    calls_finished(user, op);
    on_dropped(user, op); /* the reference that came along */
}

static void on_connection(void *user) {
    world_client *client = user;
    world_life *life = client->process.life;
    if (client->core.phase == CLIENT_READY) {
        client_credit_set(&client->credit, client->core.hello.limits.credit_operations,
                          client->core.hello.limits.credit_bytes);
        world_say(life, "%s: connected", client->process.name);
        return;
    }
    life->census->losses++;
    world_say(life, "%s: no connection any more: %s", client->process.name,
              sl_status_name(client->core.down_status));
    for (uint32_t i = 0; i < WORLD_ENDS_MAX; i++) {
        world_end *end = &client->ends[i];
        end->is_lost = end->handle != 0 && world_one_in(life, 2); /* not noticed */
        end->handle = end->is_lost ? end->handle : 0;
    }
}

/* ---- handles --------------------------------------------------------------------------------- */

world_end *client_end_new(world_client *client) {
    for (uint32_t i = 0; i < client->process.life->ends_max; i++) {
        world_end *end = &client->ends[i];
        if (end->handle == 0 && end->busy == 0 && sl_list_is_empty(&end->reads)) {
            memset(end, 0, sizeof(*end));
            sl_list_init(&end->reads);
            return end;
        }
    }
    return NULL;
}

/* ---- life and death -------------------------------------------------------------------------- */

static void forget_ends(world_client *client) {
    for (uint32_t i = 0; i < WORLD_ENDS_MAX; i++) {
        world_end *end = &client->ends[i];
        memset(end, 0, sizeof(*end));
        sl_list_init(&end->reads);
    }
}

static void on_kill(world_process *process) {
    world_client *client = (world_client *)process;
    world_say(process->life, "%s: dies", process->name);
    sim_engine_kill(process->engine);
    calls_die(client);
    forget_ends(client); /* its credit is not given back: the library would complain */
    world_process_end(process);
}

static int start_core(world_client *client) {
    static const uint64_t graces_ns[] = {100 * SL_NS_PER_US, 500 * SL_NS_PER_US, SL_NS_PER_MS,
                                         20 * SL_NS_PER_MS, SL_NS_PER_S};
    world_life *life = client->process.life;
    client->call_grace_ns = graces_ns[world_below(life, SL_ARRAY_COUNT(graces_ns))];
    const client_settings settings = {.mode = SLUICE_MODE_SERVICE,
                                      .endpoint = "broker",
                                      .client_name = client->process.name,
                                      .open_timeout_ns = 2 * SL_NS_PER_S,
                                      .call_grace_ns = client->call_grace_ns};
    const client_hooks hooks = {client,    on_finished,      on_retired,   on_dropped,
                                no_launch, no_launch_has_ended, on_connection};
    sl_account_init(&client->account, &client->process.memory.allocator, "client", SIZE_MAX);
    return client_core_init(&client->core, client->worker, &life->clock.clock,
                            &life->core_random.random, &client->account, &settings, &hooks);
}

/* The parts in turn; what was made before is undone when one fails. */
static int start_parts(world_client *client) {
    world_process *process = &client->process;
    world_life *life = process->life;
    engine_options options = {.allocator = &process->memory.allocator,
                              .clock = &life->clock.clock,
                              .backend_options = &life->shared};
    int status = engine_create(&engine_backend_sim, &options, &process->engine);
    if (status != SLUICE_OK) {
        return status;
    }
    status = engine_worker_create(process->engine, &client->worker);
    if (status == SLUICE_OK) {
        status = start_core(client);
        if (status != SLUICE_OK) {
            EXPECT(engine_worker_destroy(client->worker) == SLUICE_OK);
        }
    }
    if (status != SLUICE_OK) {
        EXPECT(engine_destroy(process->engine, 0) == SLUICE_OK);
    }
    return status;
}

bool client_start(world_client *client) {
    world_process *process = &client->process;
    world_process_start(process);
    process->on_kill = on_kill;
    forget_ends(client);
    client->closed = 0;
    int status = start_parts(client);
    world_say(process->life, "%s: starts: %s", process->name, sl_status_name(status));
    if (status != SLUICE_OK) {
        EXPECT(status == SLUICE_ENOMEM && process->life->is_acting);
        EXPECT(process->memory.used_count == 0);
        world_process_end(process);
        return false;
    }
    world_process_owns(process, client->worker);
    client_credit_init(&client->credit);
    client_credit_set(&client->credit, 16, 1048576);
    process->is_up = true;
    client->due_ns = client_core_deadline_ns(&client->core);
    return true;
}

void client_excuse(world_client *client, uint64_t since_ns) {
    world_life *life = client->process.life;
    uint64_t now_ns = world_now_ns(life);
    uint64_t at_least_ns = now_ns + LISTEN_NS;
    client->excused_ns = at_least_ns;
    for (uint32_t i = life->first_open; i < life->call_count; i++) {
        world_call *call = &life->calls[i];
        if (call->client != client || call->has_ended) {
            continue;
        }
        if (call->operation->state == CLIENT_OPERATION_NEW) { /* not seen: its time begins now */
            call->end_by_ns = sl_clock_after_ns(call->end_by_ns, now_ns - since_ns);
        }
        if (call->end_by_ns < at_least_ns) {
            call->end_by_ns = at_least_ns;
        }
    }
}

void client_halt(world_client *client, bool is_halted) {
    client->process.is_halted = is_halted;
    sim_worker_halt(client->worker, is_halted);
    if (is_halted) {
        client->process.halted_ns = world_now_ns(client->process.life);
    } else {
        client_excuse(client, client->process.halted_ns);
    }
    world_say(client->process.life, "%s: %s", client->process.name,
              is_halted ? "is halted" : "goes on");
}

bool client_is_ready(const world_client *client) {
    return client->process.is_up && !client->process.is_halted &&
           client->core.phase == CLIENT_READY;
}

/* ---- its turn -------------------------------------------------------------------------------- */

/* To the core it looks as if it had waited in the kernel until now. */
static void run_core(world_process *process) {
    world_client *client = (world_client *)process;
    client_core_run(&client->core, world_now_ns(process->life));
    client->due_ns = client_core_deadline_ns(&client->core);
}

void client_step(world_client *client) {
    world_process *process = &client->process;
    if (!process->is_up || process->is_halted) {
        return;
    }
    if (sim_worker_has_work(client->worker) ||
        client->due_ns <= world_now_ns(process->life) || world_turn_dice(process->life) == 0) {
        (void)world_process_run(process, run_core);
    }
}

uint64_t client_deadline_ns(const world_client *client) {
    return client->process.is_up ? client->due_ns : SL_CLOCK_NEVER;
}

static void check_core(const client_core *core) {
    EXPECT(core->handles.used == 0 && core->timers.count == 0 && core->wire_count == 0);
    EXPECT(core->credit_used == 0 && core->credit_bytes_used == 0 && core->close_count == 0);
    EXPECT(sl_list_is_empty(&core->all) && sl_list_is_empty(&core->cancels));
    EXPECT(sl_list_is_empty(&core->requests) && sl_list_is_empty(&core->fragments));
    EXPECT(core->ping_operation == NULL && sl_list_is_empty(&core->pings));
}

void client_finish(world_client *client) {
    world_life *life = client->process.life;
    uint64_t end_ns = world_now_ns(life) + END_NS;
    check_core(&client->core);
    client_core_stop(&client->core);
    while (!client_core_is_idle(&client->core) ||
           engine_worker_destroy(client->worker) != SLUICE_OK) {
        EXPECT(world_now_ns(life) < end_ns);
        (void)sim_world_step(life->world, world_now_ns(life) + SL_NS_PER_MS);
        server_step(&life->server);
        peers_step(life);
        client_core_run(&client->core, world_now_ns(life));
    }
    client_core_deinit(&client->core);
    client_credit_deinit(&client->credit);
    sl_account_deinit(&client->account);
    EXPECT(engine_destroy(client->process.engine, 0) == SLUICE_OK);
    calls_die(client); /* only the application's own is left */
    EXPECT(client->process.memory.used_count == 0);
    world_process_end(&client->process);
}
