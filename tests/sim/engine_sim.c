/*
 * engine_sim.c - the simulated backend: its ops table, and what is common to all requests.
 *
 *   start   decides whether the request will be refused, and schedules its first step
 *   step    (an event) lets it go on: transfers, connects, ... or waits for something (PARKED)
 *   cancel  decides when the cancel takes effect, and schedules that
 *   abort   (an event) the cancel takes effect: the request ends as it can, or fails
 *   wait    moves the clock from event to event until something is ready for this worker
 *
 * Requests belong to the core; a sim_request is its private end. Each has one step and one abort
 * event at most. All ways out lead to sim_request_finish, after which the request, its handle and
 * its connection may be gone: it is the last call of whoever makes it. One thread.
 */
#include <string.h>

#include "tests/sim/sim_world.h"

/* ---- the end of a request -------------------------------------------------------------------- */

static void count_cancelled(sim_counters *counters, int status) {
    if (status == SLUICE_OK || status == SLUICE_EEOF || status == SLUICE_ETRUNCATED) {
        counters->cancel_completed_count++;
    } else if (status == SLUICE_ECANCELED) {
        counters->cancel_aborted_count++;
    } else {
        counters->cancel_error_count++;
    }
}

void sim_request_finish(sim_world *world, sim_request *request, int status, uint32_t os_error,
                        size_t bytes, size_t in_doubt, size_t out) {
    engine_request *base = &request->request;
    SL_CHECK(base->state == ENGINE_REQUEST_STARTED, "only a started request ends");
    SL_CHECK(bytes <= out && out <= bytes + in_doubt, "the simulated kernel tells the truth");
    sim_unschedule(world, &request->step);
    sim_unschedule(world, &request->abort);
    sl_list_remove(&request->stuck_link);
    request->phase = SIM_PHASE_NONE;
    sim_counters *counters = &world->counters;
    counters->finish_count[base->kind]++;
    if (base->cancel_asked) {
        count_cancelled(counters, status);
    }
    if (in_doubt > 0) {
        counters->doubt_count++;
        counters->doubt_bytes += in_doubt;
        counters->doubt_out_bytes += out - bytes;
    }
    sim_trace trace = {.what = SIM_TRACE_FINISH,
                       .status = status,
                       .bytes = bytes,
                       .in_doubt = in_doubt,
                       .value = out};
    sim_record(world, &trace, base->worker, base, base->handle);
    engine_request_finish(base, status, os_error, bytes, in_doubt);
}

void sim_request_complete(sim_world *world, sim_request *request, int status, size_t bytes) {
    if (!request->is_last_try && sim_strikes(world, SIM_LATE)) {
        request->late_status = status;
        request->late_bytes = bytes;
        sim_request_schedule(world, request);
        request->phase = SIM_PHASE_LATE;
        return;
    }
    uint32_t os_error = status == SLUICE_ETRUNCATED ? SIM_EMSGSIZE : 0;
    sim_request_finish(world, request, status, os_error, bytes, 0, bytes);
}

static void request_fail(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    switch (request->request.kind) {
    case ENGINE_READ:
    case ENGINE_RECEIVE_FROM: sim_read_fail(world, request, status, os_error); break;
    case ENGINE_WRITE: sim_write_fail(world, request, status, os_error); break;
    case ENGINE_SEND_TO: sim_send_fail(world, request, status, os_error); break;
    case ENGINE_HALF_CLOSE: sim_half_close_fail(world, request, status, os_error); break;
    case ENGINE_CONNECT: sim_connect_fail(world, request, status, os_error); break;
    default: sim_request_finish(world, request, status, os_error, 0, 0, 0); break;
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

void sim_request_schedule(sim_world *world, sim_request *request) {
    sim_schedule(world, &request->step, SIM_EVENT_STEP);
    request->phase = SIM_PHASE_SCHEDULED;
}

void sim_wake(sim_world *world, sim_handle *handle, engine_direction direction) {
    if (handle == NULL) {
        return;
    }
    engine_request *head = engine_queue_head(&handle->handle.queue[direction]);
    if (head != NULL && sim_request_of(head)->phase == SIM_PHASE_PARKED) {
        sim_request_schedule(world, sim_request_of(head));
    }
}

static bool kind_step(sim_world *world, sim_request *request) {
    switch (request->request.kind) {
    case ENGINE_READ: return sim_read_step(world, request);
    case ENGINE_WRITE: return sim_write_step(world, request);
    case ENGINE_RECEIVE_FROM: return sim_receive_step(world, request);
    case ENGINE_SEND_TO: return sim_send_step(world, request);
    case ENGINE_HALF_CLOSE: return sim_half_close_step(world, request);
    case ENGINE_CONNECT: return sim_connect_step(world, request);
    case ENGINE_LISTEN: return sim_listen_step(world, request);
    case ENGINE_PAIR: return sim_pair_step(world, request);
    case ENGINE_RESOLVE: return sim_resolve_step(world, request);
    default: break;
    }
    SL_CHECK(false, "every kind of request has its step");
    return false;
}

/* From now on choices are about this request; returns whom they were about before. */
static const engine_request *ask_about(sim_world *world, const engine_request *request) {
    const engine_request *before = world->asking;
    world->asking = request;
    return before;
}

/* true = it ended, is LATE, or went back to the core. */
static bool request_step(sim_world *world, sim_request *request) {
    if (request->phase == SIM_PHASE_LATE && request->request.kind != ENGINE_CONNECT) {
        request->is_last_try = true;
        sim_request_complete(world, request, request->late_status, request->late_bytes);
        return true;
    }
    if (request->fail_status != SLUICE_OK) {
        request_fail(world, request, request->fail_status, request->fail_os_error);
        return true;
    }
    if (kind_step(world, request)) {
        return true;
    }
    if (!sl_heap_contains(&request->step.node)) {
        request->phase = SIM_PHASE_PARKED;
    }
    return false;
}

static void record_event(sim_world *world, sim_trace_what what, const sim_request *request,
                         uint64_t value) {
    sim_trace trace = {.what = what, .value = value};
    const engine_request *base = &request->request;
    sim_record(world, &trace, base->worker, base, base->handle);
}

void sim_on_step(sim_world *world, sim_event *event) {
    sim_request *request = SL_CONTAINER_OF(event, sim_request, step);
    SL_CHECK(request->request.state == ENGINE_REQUEST_STARTED, "only a started request goes on");
    record_event(world, SIM_TRACE_EVENT, request, SIM_EVENT_STEP);
    const engine_request *before = ask_about(world, &request->request);
    request_step(world, request);
    world->asking = before;
}

/* ---- start ----------------------------------------------------------------------------------- */

static sim_fault fault_of(engine_kind kind) {
    static const sim_fault faults[ENGINE_KIND_COUNT] = {
        [ENGINE_READ] = SIM_OS_READ,
        [ENGINE_WRITE] = SIM_OS_WRITE,
        [ENGINE_RECEIVE_FROM] = SIM_OS_RECEIVE_FROM,
        [ENGINE_SEND_TO] = SIM_OS_SEND_TO,
        [ENGINE_HALF_CLOSE] = SIM_OS_HALF_CLOSE,
        [ENGINE_LISTEN] = SIM_OS_LISTEN,
        [ENGINE_CONNECT] = SIM_OS_CONNECT,
        [ENGINE_PAIR] = SIM_OS_PAIR,
        [ENGINE_RESOLVE] = SIM_OS_RESOLVE,
    };
    return faults[kind];
}

static void start_accept(sim_world *world, sim_request *request) {
    sim_handle *listener = sim_handle_of(request->request.handle);
    request->phase = SIM_PHASE_NONE; /* the listener's event ends it, or its cancel */
    if (listener->queue_count > 0 && !sl_heap_contains(&listener->deal.node)) {
        sim_schedule(world, &listener->deal, SIM_EVENT_DEAL);
    }
}

/* A read or receive with nothing there. */
static bool must_wait(const engine_request *base) {
    if (base->kind == ENGINE_READ) {
        return !sim_stream_is_readable(sim_stream_in(sim_handle_of(base->handle)));
    }
    return base->kind == ENGINE_RECEIVE_FROM && sim_handle_of(base->handle)->queue_count == 0;
}

static void start_request(engine_worker *worker, engine_request *base) {
    sim_world *world = sim_world_of_worker(worker);
    sim_request *request = sim_request_of(base);
    SL_CHECK(!sl_heap_contains(&request->step.node) && !sl_heap_contains(&request->abort.node),
             "a request that starts has no events left");
    sl_list_init(&request->stuck_link);
    request->is_last_try = false;
    request->fail_status = SLUICE_OK;
    request->connection = NULL;
    world->counters.start_count[base->kind]++;
    record_event(world, SIM_TRACE_START, request, base->length);
    if (base->kind == ENGINE_ACCEPT) {
        start_accept(world, request);
        return;
    }
    if (sim_strikes(world, fault_of(base->kind))) {
        sim_pick_error(world, base->kind, &request->fail_status, &request->fail_os_error);
    }
    if (request->fail_status == SLUICE_OK && must_wait(base)) {
        request->phase = SIM_PHASE_PARKED;
    } else if (sim_strikes(world, SIM_INLINE)) {
        request->phase = SIM_PHASE_NONE;
        request_step(world, request);
    } else {
        sim_request_schedule(world, request);
    }
}

static void sim_start(engine_worker *worker, engine_request *base) {
    sim_world *world = sim_world_of_worker(worker);
    const engine_request *before = ask_about(world, base);
    sim_thread_check(world, worker);
    sim_request_of(base)->issuer = world->thread;
    start_request(worker, base);
    world->asking = before;
}

/* ---- cancel ---------------------------------------------------------------------------------- */

/* What was transferred cannot be called back: most such requests end as if nobody had asked. */
static void abort_late(sim_world *world, sim_request *request) {
    engine_kind kind = request->request.kind;
    bool fails = false;
    if (kind == ENGINE_WRITE || kind == ENGINE_SEND_TO) {
        fails = sim_strikes(world, SIM_WRITE_TORN);
    } else if (kind == ENGINE_CONNECT) {
        fails = !sim_strikes(world, SIM_CANCEL_COMPLETES);
    }
    if (fails) {
        request_fail(world, request, SLUICE_ECANCELED, SIM_ECANCELED);
    }
}

/* The last chance of a cancelled request: true = it took it. */
static bool completes_anyway(sim_world *world, sim_request *request) {
    request->is_last_try = true;
    if (!sim_strikes(world, SIM_CANCEL_COMPLETES)) {
        return false;
    }
    engine_request *base = &request->request;
    if (base->kind == ENGINE_ACCEPT) {
        return engine_queue_head(&base->handle->queue[ENGINE_IN]) == base &&
               sim_deal(world, sim_handle_of(base->handle));
    }
    return request_step(world, request);
}

static void abort_request(sim_world *world, sim_request *request) {
    SL_CHECK(request->request.state == ENGINE_REQUEST_STARTED, "only a started request aborts");
    record_event(world, SIM_TRACE_EVENT, request, SIM_EVENT_ABORT);
    sl_list_remove(&request->stuck_link);
    if (request->phase == SIM_PHASE_LATE) {
        abort_late(world, request);
        return;
    }
    sim_unschedule(world, &request->step);
    if (completes_anyway(world, request)) {
        return;
    }
    sim_unschedule(world, &request->step);
    int status = SLUICE_ECANCELED;
    uint32_t os_error = SIM_ECANCELED;
    if (sim_strikes(world, SIM_CANCEL_ERROR)) {
        sim_pick_error(world, request->request.kind, &status, &os_error);
    }
    request_fail(world, request, status, os_error);
}

void sim_on_abort(sim_world *world, sim_event *event) {
    sim_request *request = SL_CONTAINER_OF(event, sim_request, abort);
    const engine_request *before = ask_about(world, &request->request);
    abort_request(world, request);
    world->asking = before;
}

static void cancel_request(engine_worker *worker, engine_request *base) {
    sim_world *world = sim_world_of_worker(worker);
    sim_request *request = sim_request_of(base);
    const sim_options *options = &world->options;
    world->counters.cancel_count++;
    record_event(world, SIM_TRACE_CANCEL, request, 0);
    if (sim_strikes(world, SIM_CANCEL_STUCK)) {
        sl_list_push_back(&world->stuck, &request->stuck_link);
    } else if (sim_strikes(world, SIM_CANCEL_IGNORED)) {
        uint64_t range_ns = options->ignored_max_ns - options->ignored_min_ns;
        sl_list_push_back(&world->stuck, &request->stuck_link);
        sim_schedule_after(world, &request->abort, SIM_EVENT_ABORT,
                           options->ignored_min_ns + sim_below(world, range_ns + 1));
    } else if (sim_strikes(world, SIM_CANCEL_INLINE)) {
        sim_on_abort(world, &request->abort);
    } else {
        sim_schedule(world, &request->abort, SIM_EVENT_ABORT);
    }
}

static void sim_cancel(engine_worker *worker, engine_request *base) {
    sim_world *world = sim_world_of_worker(worker);
    const engine_request *before = ask_about(world, base);
    sim_thread_check(world, worker);
    if (sim_thread_cancels(world, sim_request_of(base))) {
        cancel_request(worker, base);
    }
    world->asking = before;
}

/* ---- handles --------------------------------------------------------------------------------- */

bool sim_has_descriptors(sim_world *world, uint32_t count) {
    if (world->counters.handles + count <= world->options.handles_max) {
        return true;
    }
    world->counters.exhausted_count++;
    return false;
}

void sim_handle_opened(sim_world *world, engine_handle *handle, unsigned capabilities,
                       unsigned started_max_in) {
    world->counters.handles++;
    sim_trace trace = {.what = SIM_TRACE_OPEN, .value = capabilities};
    sim_record(world, &trace, handle->worker, NULL, handle);
    engine_handle_opened(handle, capabilities, started_max_in);
}

static void sim_release(engine_worker *worker, engine_handle *base) {
    sim_world *world = sim_world_of_worker(worker);
    sim_handle *handle = sim_handle_of(base);
    sim_trace trace = {.what = SIM_TRACE_RELEASE};
    sim_thread_check(world, worker);
    sim_record(world, &trace, worker, NULL, base);
    if (handle->connection != NULL) {
        sim_connection_close_side(world, handle->connection, handle->side);
    } else if ((base->capabilities & ENGINE_CAN_DATAGRAM) != 0) {
        sim_udp_close(world, handle);
    } else {
        sim_listener_close(world, handle);
    }
    handle->connection = NULL;
    handle->binding = NULL;
    world->counters.handles--;
}

static int sim_local_address(engine_handle *base, engine_address *ret_address) {
    sim_world *world = sim_world_of_worker(base->worker);
    sim_handle *handle = sim_handle_of(base);
    const engine_address *address = handle->connection != NULL
                                        ? &handle->connection->local[handle->side]
                                        : &handle->binding->address;
    if (address->family == ENGINE_ADDRESS_NONE || address->family == ENGINE_ADDRESS_PIPE) {
        return SLUICE_ENOTSUP;
    }
    if (sim_strikes(world, SIM_OS_LOCAL_ADDRESS)) {
        return SLUICE_EOS;
    }
    *ret_address = *address;
    return SLUICE_OK;
}

/* The connection of a named pipe, or NULL. */
static sim_connection *pipe_of(engine_handle *base) {
    sim_connection *connection = sim_handle_of(base)->connection;
    return connection != NULL && connection->transport == SIM_TRANSPORT_PIPE ? connection : NULL;
}

static int sim_peer_identity(engine_handle *base, engine_peer *ret_peer) {
    unsigned side = sim_handle_of(base)->side;
    sim_connection *connection = pipe_of(base);
    if (connection == NULL) {
        return SLUICE_ENOTSUP;
    }
    if (side == 1 && connection->peer_busy_count > 0) {
        connection->peer_busy_count--;
        return SLUICE_EBUSY;
    }
    engine_identity_uid(&ret_peer->user, connection->user[1 - side]);
    ret_peer->is_self = connection->engine[0] == connection->engine[1];
    uint32_t nobody = sim_world_of_worker(base->worker)->options.nobody_id;
    ret_peer->is_unmapped = nobody != 0 && connection->user[1 - side] == nobody;
    ret_peer->is_administrator = side == 1 && connection->user[0] == 0;
    return SLUICE_OK;
}

static int sim_peer_is_among(engine_handle *base, const engine_identity *whom, unsigned count,
                             bool *ret_is_among) {
    const sim_connection *connection = pipe_of(base);
    if (connection == NULL) {
        return SLUICE_ENOTSUP;
    }
    engine_identity user;
    engine_identity group;
    engine_identity_uid(&user, connection->user[0]);
    engine_identity_gid(&group, connection->group[0]);
    uint32_t nobody = sim_world_of_worker(base->worker)->options.nobody_id;
    bool has_user = nobody == 0 || connection->user[0] != nobody;
    bool has_group = nobody == 0 || connection->group[0] != nobody;
    *ret_is_among = false;
    for (unsigned i = 0; i < count; i++) {
        *ret_is_among = *ret_is_among || (has_user && engine_identity_equal(&whom[i], &user)) ||
                        (has_group && engine_identity_equal(&whom[i], &group));
    }
    return SLUICE_OK;
}

void sim_engine_become(engine *base, uint32_t user_id, uint32_t group_id) {
    sim_engine *e = SL_CONTAINER_OF(base, sim_engine, engine);
    e->user = user_id;
    e->group = group_id;
}

static int sim_own_identity(engine *base, engine_identity *ret_identity) {
    engine_identity_uid(ret_identity, SL_CONTAINER_OF(base, sim_engine, engine)->user);
    return SLUICE_OK;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void sim_wake_worker(engine_worker *worker) {
    atomic_store(&SL_CONTAINER_OF(worker, sim_worker, worker)->woken, true);
}

static bool is_woken(engine_worker *worker) {
    return atomic_load_explicit(&SL_CONTAINER_OF(worker, sim_worker, worker)->woken,
                                memory_order_relaxed) ||
           !sl_mailbox_is_empty(&worker->mailbox);
}

/* Nothing will ever happen. */
static void report_deadlock(sim_world *world, engine_worker *worker) {
    world->counters.deadlock_count++;
    SL_CHECK(world->options.on_deadlock != NULL,
             "simulated deadlock: a worker waits for ever and nothing is scheduled");
    world->options.on_deadlock(world->options.user, worker);
    SL_CHECK(is_woken(worker), "on_deadlock posts a message to the worker that waits");
}

/* From event to event, until something is ready for this worker, its timers moved (a connect met a
 * busy pipe), or the deadline comes. */
static void wait_until(sim_world *world, engine_worker *worker, uint64_t deadline_ns) {
    uint64_t timer_ns = sl_heap_deadline_ns(&worker->timers);
    bool is_ready = false;
    while (!is_woken(worker) && sl_heap_deadline_ns(&worker->timers) >= timer_ns) {
        if (!is_ready && worker->ready.first != NULL) {
            /* The thread takes a while to wake; more may happen meanwhile. */
            is_ready = true;
            uint64_t batch_ns = sim_below(world, world->options.batch_ns + 1);
            uint64_t until_ns = sl_clock_after_ns(world->clock->now_ns, batch_ns);
            deadline_ns = until_ns < deadline_ns ? until_ns : deadline_ns;
        }
        uint64_t next_ns = sl_heap_deadline_ns(&world->events);
        if (next_ns > deadline_ns) {
            if (deadline_ns > world->clock->now_ns) {
                world->clock->now_ns = deadline_ns;
            }
            return;
        }
        if (next_ns == SL_CLOCK_NEVER) {
            report_deadlock(world, worker);
            return;
        }
        if (next_ns > world->clock->now_ns) {
            world->clock->now_ns = next_ns;
        }
        sim_fire_due(world);
    }
}

static void sim_wait(engine_worker *worker, uint64_t deadline_ns) {
    sim_world *world = sim_world_of_worker(worker);
    sim_thread_check(world, worker);
    if (deadline_ns <= world->clock->now_ns) {
        world->clock->now_ns += world->options.poll_cost_ns;
        sim_fire_due(world);
    } else if (!sim_strikes(world, SIM_WAKE_EARLY)) {
        wait_until(world, worker, deadline_ns);
    }
    atomic_store_explicit(&SL_CONTAINER_OF(worker, sim_worker, worker)->woken, false,
                          memory_order_relaxed);
    sim_trace trace = {.what = SIM_TRACE_WAIT, .value = deadline_ns};
    sim_record(world, &trace, worker, NULL, NULL);
}

/* ---- engines and workers --------------------------------------------------------------------- */

static int sim_engine_open(engine *base) {
    sim_engine *e = SL_CONTAINER_OF(base, sim_engine, engine);
    const sim_options *options = base->backend_options;
    sl_clock_manual probe;
    sl_clock_manual_init(&probe, 0);
    SL_CHECK(base->clock->now_ns == probe.clock.now_ns, "the simulator needs an sl_clock_manual");
    sl_clock_manual *clock = SL_CONTAINER_OF(base->clock, sl_clock_manual, clock);
    e->user = options == NULL ? SIM_USER : options->user_id;
    e->group = options == NULL ? SIM_USER : options->group_id;
    e->owns_world = options == NULL || options->world == NULL;
    e->world = e->owns_world ? sim_world_create(options, clock) : options->world;
    SL_CHECK(e->world->clock == clock, "a world has one clock");
    e->world->engine_count++;
    sl_list_init(&e->endpoints);
    return SLUICE_OK;
}

static void sim_engine_close(engine *base) {
    sim_engine *e = SL_CONTAINER_OF(base, sim_engine, engine);
    e->world->engine_count--;
    if (e->owns_world) {
        sim_world_destroy(e->world);
    }
}

static int sim_worker_open(engine_worker *base) {
    sim_worker *worker = SL_CONTAINER_OF(base, sim_worker, worker);
    sim_world *world = sim_world_of_worker(base);
    sl_list_init(&worker->link);
    sl_list_push_back(&world->workers, &worker->link);
    worker->number = ++world->last_worker_number;
    worker->thread = world->thread;
    return SLUICE_OK;
}

static void sim_worker_close(engine_worker *base) {
    sl_list_remove(&SL_CONTAINER_OF(base, sim_worker, worker)->link);
}

static const engine_ops sim_ops = {
    .engine_size = sizeof(sim_engine),
    .worker_size = sizeof(sim_worker),
    .handle_size = sizeof(sim_handle),
    .request_size = sizeof(sim_request),
    .endpoint_size = sizeof(sim_endpoint),
    .engine_open = sim_engine_open,
    .engine_close = sim_engine_close,
    .worker_open = sim_worker_open,
    .worker_close = sim_worker_close,
    .wake = sim_wake_worker,
    .flush = NULL,
    .wait = sim_wait,
    .start = sim_start,
    .cancel = sim_cancel,
    .udp_open = sim_udp_open,
    .local_address = sim_local_address,
    .peer_identity = sim_peer_identity,
    .peer_is_among = sim_peer_is_among,
    .own_identity = sim_own_identity,
    .endpoint_create = sim_endpoint_create,
    .endpoint_destroy = sim_endpoint_destroy,
    .endpoint_join = sim_endpoint_join,
    .release = sim_release,
};

const engine_backend engine_backend_sim = {
    .name = "sim",
    .is_threaded = false,
    .ops = &sim_ops,
};
