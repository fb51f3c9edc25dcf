/*
 * sim_load.c - see sim_load.h. The load has the part of the application and of the library's
 * threads: it makes operations, takes credit, posts, cancels and releases; the core and the broker
 * are the real ones. What the library has given back is freed at once, so that the address
 * sanitizer sees who still touches it.
 */
#include "tests/client/sim_load.h"

#include <stdlib.h>
#include <string.h>

/* What polling in turn may add to a bound on time. */
#define SLACK_NS (10 * SL_NS_PER_MS)
/* Longer than every timeout with its grace, and every delay. */
#define SETTLE_NS (3 * SL_NS_PER_S)
/* Everything must be over by then when it is asked to end. */
#define END_NS (120 * SL_NS_PER_S)

static uint32_t below(load *l, uint32_t bound) {
    return sl_random_seeded_below(&l->random, bound);
}

static bool one_in(load *l, uint32_t count) {
    return below(l, count) == 0;
}

static uint64_t now_ns(const load *l) {
    return l->rig.manual.now_ns;
}

static void *allocate(size_t size) {
    void *memory = calloc(1, size + 1);
    EXPECT(memory != NULL);
    return memory;
}

/* ---- the core's hooks ------------------------------------------------------------------------ */

/* Reads end in any order; the stream's order is that of their beginnings. */
static void check_reads(load *l, load_stream *stream) {
    sl_list *node;
    while ((node = sl_list_first(&stream->reads)) != NULL) {
        load_call *call = SL_LIST_ENTRY(node, load_call, read_link);
        if (!call->has_ended) {
            return;
        }
        sl_list_remove(node);
        model_read(&stream->model, call->taken, &call->result);
        l->counters->bytes += call->result.done;
        free(call->taken);
    }
}

static void take_opened(load *l, const load_call *call) {
    EXPECT(call->result.status == SLUICE_OK || call->result.handle_count == 0);
    if (call->result.handle_count == 0) {
        return;
    }
    EXPECT(l->stream_count < LOAD_STREAMS_MAX);
    load_stream *stream = &l->streams[l->stream_count++];
    memset(stream, 0, sizeof(*stream));
    model_init(&stream->model);
    sl_list_init(&stream->reads);
    stream->is_pair = call->kind == SL_REQUEST_PAIR;
    EXPECT(call->result.handle_count == (stream->is_pair ? 2u : 1u));
    memcpy(stream->ends, call->result.handles, sizeof(stream->ends));
}

static void on_retired(void *user, client_operation *op) {
    load *l = user;
    if (op->has_credit) {
        op->has_credit = false;
        client_credit_give(&l->credit, op->credit_bytes);
    }
}

static void on_dropped(void *user, client_operation *op) {
    (void)user;
    if (client_operation_drop(op)) {
        free(op);
    }
}

static void act(load *l);

static void on_finished(void *user, client_operation *op) {
    load *l = user;
    load_call *call = op->user;
    EXPECT(!call->has_ended); /* exactly one outcome */
    EXPECT(now_ns(l) <= sl_clock_after_ns(call->end_by_ns, SLACK_NS));
    call->has_ended = true;
    call->result = op->result;
    int32_t status = call->result.status;
    EXPECT(status <= 0 && status > -64);
    l->counters->by_status[-status]++;
    l->open_count--;
    EXPECT(status != SLUICE_ECANCELED || call->is_cancelled || l->core.phase == CLIENT_STOPPED);
    EXPECT(status != SLUICE_EPROTOCOL && status != SLUICE_EQUOTA);
    /* A handle that the application has not closed is never unknown. */
    EXPECT(status != SLUICE_EBADHANDLE || call->stream == NULL);
    if (call->kind == SL_REQUEST_READ) {
        EXPECT(call->result.done <= call->length);
        call->taken = allocate(call->length);
        memcpy(call->taken, call->bytes, call->result.done);
        check_reads(l, call->stream);
    } else if (call->kind == SL_REQUEST_WRITE) {
        model_write_end(&call->stream->model, call->write_index, &call->result);
    } else {
        take_opened(l, call);
    }
    free(call->bytes);
    call->bytes = NULL;
    on_dropped(l, op); /* the reference that came along */
    if (l->is_acting && one_in(l, 4)) {
        l->is_inside = true;
        act(l);
        l->is_inside = false;
    }
}

static void on_launch(void *user) {
    (void)user;
    EXPECT(false);
}

static bool has_broker_ended(void *user) {
    (void)user;
    return true;
}

static void on_connection(void *user) {
    load *l = user;
    if (l->core.phase == CLIENT_READY) {
        client_credit_set(&l->credit, l->core.hello.limits.credit_operations,
                          l->core.hello.limits.credit_bytes);
    } else {
        l->counters->losses++;
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static uint64_t any_timeout_ns(load *l) {
    switch (below(l, 8)) {
    case 0:
    case 1:
    case 2: return 1 + below(l, (uint32_t)l->timeout_max_ns);
    case 3: return one_in(l, 8) ? 0 : 1 + below(l, (uint32_t)l->timeout_max_ns / 20);
    case 4: return SL_NS_PER_S;
    default: return SLUICE_NO_TIMEOUT;
    }
}

static uint32_t any_length(load *l) {
    switch (below(l, 8)) {
    case 0: return one_in(l, 2) ? 0 : 1;
    case 1:
    case 2: return 1 + below(l, 20);
    case 3:
    case 4: return 1 + below(l, l->largest / 16);
    case 5:
    case 6: return 1 + below(l, l->largest / 4);
    default: return 1 + below(l, l->largest);
    }
}

/* NULL: no place, or no credit. */
static load_call *begin(load *l, const sl_request *request, uint64_t timeout_ns) {
    if (l->call_count == LOAD_CALLS_MAX) {
        return NULL;
    }
    client_operation *op = allocate(sizeof(*op));
    client_operation_init(op, request->kind, timeout_ns);
    op->request = *request;
    if (client_operation_credit(op, &op->credit_bytes)) {
        if (client_credit_take(&l->credit, op->credit_bytes) != SLUICE_OK) {
            free(op);
            return NULL;
        }
        op->has_credit = true;
    }
    load_call *call = &l->calls[l->call_count++];
    memset(call, 0, sizeof(*call));
    sl_list_init(&call->read_link);
    call->kind = request->kind;
    call->op = op;
    uint64_t end_ns = sl_clock_after_ns(now_ns(l), timeout_ns);
    call->end_by_ns = sl_clock_after_ns(end_ns, l->core.settings.call_grace_ns);
    op->user = call;
    client_operation_hold(op); /* ours */
    l->open_count++;
    l->counters->calls++;
    return call;
}

static void release(load_call *call) {
    if (client_operation_drop(call->op)) {
        free(call->op);
    }
    call->op = NULL;
}

static void post(load *l, load_call *call) {
    if (l->is_inside) {
        client_core_submit_here(&l->core, call->op);
    } else {
        client_core_submit(l->worker, call->op);
    }
    if (one_in(l, 16)) { /* before the core has seen it */
        call->is_cancelled = true;
        client_core_cancel(l->worker, call->op);
    }
    if (one_in(l, 4)) {
        release(call);
    }
}

static load_stream *any_stream(load *l) {
    return l->stream_count == 0 ? NULL : &l->streams[below(l, l->stream_count)];
}

static void ask_read(load *l) {
    load_stream *stream = any_stream(l);
    if (stream == NULL || !stream->is_pair || stream->ends[0] == 0) {
        return;
    }
    uint32_t length = any_length(l);
    sl_request request = {.kind = SL_REQUEST_READ};
    request.as.read.handle = stream->ends[0];
    request.as.read.max_bytes = length;
    request.as.read.all = length > 0 && one_in(l, 3);
    load_call *call = begin(l, &request, any_timeout_ns(l));
    if (call != NULL) {
        call->stream = stream;
        call->length = length;
        call->is_all = request.as.read.all;
        call->bytes = allocate(length);
        call->op->in = call->bytes;
        call->op->in_size = length;
        sl_list_push_back(&stream->reads, &call->read_link);
        post(l, call);
    }
}

static void ask_write(load *l) {
    load_stream *stream = any_stream(l);
    if (stream == NULL || !stream->is_pair || stream->ends[1] == 0 ||
        stream->model.write_count == MODEL_WRITES_MAX) {
        return;
    }
    uint32_t length = any_length(l);
    length = length == 0 ? 1 : length;
    sl_request request = {.kind = SL_REQUEST_WRITE};
    request.as.write.handle = stream->ends[1];
    request.as.write.length_bytes = length;
    load_call *call = begin(l, &request, any_timeout_ns(l));
    if (call != NULL) {
        call->stream = stream;
        call->length = length;
        call->bytes = allocate(length);
        call->write_index = model_write_begin(&stream->model, call->bytes, length);
        call->op->out = call->bytes;
        post(l, call);
    }
}

static void ask_close(load *l, load_stream *stream, unsigned side) {
    sl_request request = {.kind = SL_REQUEST_CLOSE};
    request.as.close.handle = stream->ends[side];
    load_call *call = stream->ends[side] == 0 ? NULL : begin(l, &request, any_timeout_ns(l));
    if (call != NULL) {
        stream->ends[side] = 0;
        post(l, call);
    }
}

static void ask_open(load *l) {
    static const sl_request_kind kinds[] = {SL_REQUEST_PAIR, SL_REQUEST_PAIR, SL_REQUEST_LISTEN,
                                            SL_REQUEST_CONNECT, SL_REQUEST_ACCEPT};
    bool is_any = l->streams_max == LOAD_STREAMS_MAX;
    sl_request request = {.kind = is_any ? kinds[below(l, SL_ARRAY_COUNT(kinds))]
                                         : SL_REQUEST_PAIR};
    uint32_t opening = 0;
    for (uint32_t i = 0; i < l->call_count; i++) {
        opening += !l->calls[i].has_ended && l->calls[i].kind != SL_REQUEST_READ &&
                   l->calls[i].kind != SL_REQUEST_WRITE;
    }
    if (l->stream_count + opening >= l->streams_max) {
        return;
    }
    if (request.kind == SL_REQUEST_LISTEN) {
        request.as.listen.address = "pipe:some";
    } else if (request.kind == SL_REQUEST_CONNECT) {
        request.as.connect.address = "pipe:some";
    } else if (request.kind == SL_REQUEST_ACCEPT) {
        load_stream *stream = any_stream(l);
        if (stream == NULL || stream->is_pair || stream->ends[0] == 0) {
            return;
        }
        request.as.accept.listener = stream->ends[0]; /* or a connection: ENOTSUP */
    }
    load_call *call = begin(l, &request, any_timeout_ns(l));
    if (call != NULL) {
        post(l, call);
    }
}

static void ask_plain(load *l, sl_request_kind kind) {
    sl_request request = {.kind = kind};
    load_stream *stream = any_stream(l);
    if (kind == SL_REQUEST_ACKNOWLEDGE_TORN) {
        if (stream == NULL || stream->ends[1] == 0) {
            return;
        }
        request.as.acknowledge_torn.handle = stream->ends[1];
    }
    load_call *call = begin(l, &request, any_timeout_ns(l));
    if (call != NULL) {
        post(l, call);
    }
}

static void cancel_any(load *l) {
    if (l->call_count != 0) {
        uint32_t recent = l->call_count < 24 ? l->call_count : 24;
        load_call *call = &l->calls[l->call_count - 1 - below(l, recent)];
        if (call->op != NULL) {
            call->is_cancelled = true;
            client_core_cancel(l->worker, call->op);
        }
    }
}

static void act(load *l) {
    uint32_t which = below(l, 32);
    if (which < l->cancels) {
        cancel_any(l);
    } else if (which < 16) {
        ask_read(l);
    } else if (which < 26) {
        ask_write(l);
    } else if (which < 28) {
        ask_plain(l, SL_REQUEST_ACKNOWLEDGE_TORN);
    } else if (which == 28) {
        ask_plain(l, SL_REQUEST_PING);
    } else if (which == 29 && one_in(l, 8) && l->stream_count != 0) {
        ask_close(l, any_stream(l), below(l, 2));
    } else {
        ask_open(l);
    }
}

/* ---- a life ---------------------------------------------------------------------------------- */

static void step(load *l) {
    rig_step(&l->rig);
    client_core_run(&l->core, 0);
    for (uint32_t i = l->first_open; i < l->call_count; i++) {
        const load_call *call = &l->calls[i];
        l->first_open += i == l->first_open && call->has_ended;
        EXPECT(call->has_ended ||
               now_ns(l) <= sl_clock_after_ns(call->end_by_ns, SLACK_NS));
    }
}

/* A world and limits that bring about what is rare: late answers, cut payloads, lost links. */
static void choose_world(load *l, sim_options *sim, sl_limits *limits) {
    static const uint64_t delays_ns[] = {50 * SL_NS_PER_US, SL_NS_PER_MS, 5 * SL_NS_PER_MS};
    static const uint32_t small[] = {4096, 10000, 65536};
    static const uint32_t largest[] = {32, 2000, 20000, 200000};
    static const uint32_t streams[] = {1, 2, LOAD_STREAMS_MAX};
    switch (l->seed % 4) {
    case 0: sim_options_hostile(sim, l->seed); break;
    case 1: sim_options_gentle(sim, l->seed); break;
    default: sim_options_races(sim, l->seed); break;
    }
    sim->delay_max_ns = delays_ns[below(l, 3)];
    l->timeout_max_ns = sim->delay_max_ns * (1 + below(l, 8));
    l->largest = largest[below(l, 4)];
    l->streams_max = streams[below(l, 3)];
    l->cancels = one_in(l, 3) ? 0 : 1 + below(l, 6);
    sl_limits_default(limits);
    limits->fragment_bytes = small[below(l, 3)];
    limits->stream_chunk_bytes = small[below(l, 3)];
    limits->receive_buffer_bytes = small[below(l, 3)];
    limits->idle_buffer_bytes = one_in(l, 2) ? 0 : 4096;
    limits->payload_bytes = one_in(l, 2) ? 65536 : 1048576;
    limits->credit_operations = one_in(l, 2) ? 16 : 64;
    limits->credit_bytes = 1048576;
}

static void open_all(load *l) {
    static const uint64_t graces_ns[] = {100 * SL_NS_PER_US, SL_NS_PER_MS, 20 * SL_NS_PER_MS,
                                         SL_NS_PER_S};
    sim_options sim;
    sl_limits limits;
    choose_world(l, &sim, &limits);
    rig_options options = {.sim = &sim, .limits = &limits};
    rig_open(&l->rig, &options);
    EXPECT(engine_worker_create(l->rig.engine, &l->worker) == SLUICE_OK);
    client_credit_init(&l->credit);
    client_credit_set(&l->credit, 16, 1048576);
    const client_settings settings = {.mode = SLUICE_MODE_SERVICE, .endpoint = "broker",
                                      .client_name = "test", .open_timeout_ns = 2 * SL_NS_PER_S,
                                      .call_grace_ns = graces_ns[below(l, 4)]};
    const client_hooks hooks = {l,         on_finished,      on_retired,   on_dropped,
                                on_launch, has_broker_ended, on_connection};
    EXPECT(client_core_init(&l->core, l->worker, l->rig.clock, &l->rig.random.random,
                            &l->rig.account, &settings, &hooks) == SLUICE_OK);
}

/* No read waits for bytes that are certainly there. */
static void check_waiting(load *l) {
    for (uint32_t i = 0; i < l->stream_count && l->core.phase == CLIENT_READY; i++) {
        sl_list *node = sl_list_first(&l->streams[i].reads);
        const load_call *call = node == NULL ? NULL : SL_LIST_ENTRY(node, load_call, read_link);
        uint64_t needed = call == NULL || !call->is_all ? 1 : call->length;
        EXPECT(call == NULL || model_certain(&l->streams[i].model) < needed);
    }
}

/* Nothing is begun or cancelled any more, and there are no new faults: what can end does. */
static void settle(load *l) {
    sim_world_calm(l->rig.world);
    uint64_t end_ns = now_ns(l) + SETTLE_NS;
    while (l->open_count > 0 && now_ns(l) < end_ns) {
        step(l);
    }
    check_waiting(l);
}

/* Without the connection's end: what is closed is closed at the broker, too. */
static void end_calls(load *l) {
    uint64_t end_ns = now_ns(l) + END_NS;
    broker_counters counters;
    for (;;) {
        for (uint32_t i = l->first_open; i < l->call_count; i++) {
            load_call *call = &l->calls[i];
            if (call->op != NULL && !call->has_ended && !call->is_cancelled) {
                call->is_cancelled = true;
                client_core_cancel(l->worker, call->op);
            }
        }
        for (uint32_t i = 0; i < l->stream_count; i++) {
            ask_close(l, &l->streams[i], 0);
            ask_close(l, &l->streams[i], 1);
        }
        step(l);
        broker_counters_get(l->rig.broker, &counters);
        if (l->open_count == 0 && l->core.operation_count == 0 && counters.handles == 0 &&
            counters.operations == 0) {
            break;
        }
        EXPECT(now_ns(l) < end_ns);
    }
    EXPECT(counters.protocol_violations == 0);
}

static void check_empty(load *l) {
    const client_core *core = &l->core;
    EXPECT(core->handles.used == 0 && core->timers.count == 0 && core->wire_count == 0);
    EXPECT(core->credit_used == 0 && core->credit_bytes_used == 0 && core->close_count == 0);
    EXPECT(sl_list_is_empty(&core->all) && sl_list_is_empty(&core->cancels));
    EXPECT(sl_list_is_empty(&core->requests) && sl_list_is_empty(&core->fragments));
    EXPECT(core->ping_operation == NULL && sl_list_is_empty(&core->pings));
    for (uint32_t i = 0; i < l->stream_count; i++) {
        EXPECT(sl_list_is_empty(&l->streams[i].reads));
        model_check(&l->streams[i].model);
        l->counters->whole += l->streams[i].model.is_whole;
    }
}

static void close_all(load *l) {
    client_core_stop(&l->core);
    uint64_t end_ns = now_ns(l) + END_NS;
    while (!client_core_is_idle(&l->core) || engine_worker_destroy(l->worker) != SLUICE_OK) {
        EXPECT(now_ns(l) < end_ns);
        rig_step(&l->rig);
        client_core_run(&l->core, 0);
    }
    for (uint32_t i = 0; i < l->call_count; i++) {
        if (l->calls[i].op != NULL) {
            release(&l->calls[i]);
        }
    }
    client_core_deinit(&l->core);
    client_credit_deinit(&l->credit);
    rig_await_empty(&l->rig);
    rig_close(&l->rig);
}

void load_run(load *l, uint64_t seed, unsigned steps, load_counters *counters) {
    memset(l, 0, sizeof(*l));
    l->seed = seed;
    l->counters = counters;
    sl_random_seeded_init(&l->random, seed);
    open_all(l);
    bool loses_links = one_in(l, 4);
    l->is_acting = true;
    for (unsigned i = 0; i < steps; i++) {
        for (uint32_t actions = below(l, 6); actions > 0; actions--) {
            act(l);
        }
        if (loses_links) {
            sim_world_options(l->rig.world)->per_mille[SIM_RESET] = one_in(l, 40) ? 500 : 0;
        }
        step(l);
    }
    l->is_acting = false;
    settle(l);
    end_calls(l);
    check_empty(l);
    close_all(l);
}
