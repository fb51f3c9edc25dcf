/*
 * sim_kill.c - a process ends without a word, or is halted: what the kernel does about it.
 *
 * A killed process runs no more code and says nothing; its kernel gives up what it had asked for
 * and closes its handles. The process's own memory (engine, workers, pools) is not touched but for
 * taking it out of the world's lists: its owner frees it as a whole. One thread.
 */
#include "tests/sim/sim_world.h"

static void forget_request(sim_world *world, sim_request *request) {
    engine_request *base = &request->request;
    if (base->state != ENGINE_REQUEST_STARTED) {
        return;
    }
    sim_unschedule(world, &request->step);
    sim_unschedule(world, &request->abort);
    sl_list_remove(&request->stuck_link);
    if (request->phase == SIM_PHASE_LATE && base->kind == ENGINE_CONNECT) {
        sim_connection_close_side(world, request->connection, 0);
    }
    request->phase = SIM_PHASE_NONE;
}

static void kill_worker(sim_world *world, engine_worker *worker) {
    uint32_t cursor = 0;
    engine_request *request;
    while ((request = sl_slots_next(&worker->requests, &cursor)) != NULL) {
        forget_request(world, sim_request_of(request));
    }
    cursor = 0;
    engine_handle *handle;
    while ((handle = sl_slots_next(&worker->handles, &cursor)) != NULL) {
        const sim_handle *h = sim_handle_of(handle);
        if (h->connection != NULL || h->binding != NULL) {
            worker->ops->release(worker, handle);
        }
    }
    worker->ops->worker_close(worker);
}

void sim_engine_kill(engine *base) {
    sim_engine *e = SL_CONTAINER_OF(base, sim_engine, engine);
    sim_world *world = e->world;
    SL_CHECK(!e->owns_world, "who is killed leaves the world behind");
    SL_CHECK(world->firing == 0, "a process is not killed inside the kernel");
    sl_list *node = world->workers.next;
    while (node != &world->workers) {
        engine_worker *worker = &SL_LIST_ENTRY(node, sim_worker, link)->worker;
        node = node->next;
        if (worker->engine == base) {
            kill_worker(world, worker);
        }
    }
    while ((node = sl_list_first(&e->endpoints)) != NULL) {
        sim_endpoint_destroy(&SL_LIST_ENTRY(node, sim_endpoint, link)->endpoint);
    }
    sim_trace trace = {.what = SIM_TRACE_KILL};
    sim_record(world, &trace, NULL, NULL, NULL);
    world->engine_count--;
}

void sim_worker_halt(engine_worker *worker, bool is_halted) {
    SL_CONTAINER_OF(worker, sim_worker, worker)->is_halted = is_halted;
}

bool sim_worker_has_work(engine_worker *worker) {
    const sim_world *world = sim_world_of_worker(worker);
    return sim_worker_has_mail(worker) ||
           sim_worker_timer_ns(worker) <= world->clock->now_ns;
}

void sim_world_stray(sim_world *world) {
    for (sl_list *node = world->workers.next; node != &world->workers; node = node->next) {
        SL_LIST_ENTRY(node, sim_worker, link)->worker.stray_count++;
    }
}

bool sim_world_is_firing(const sim_world *world) {
    return world->firing != 0;
}
