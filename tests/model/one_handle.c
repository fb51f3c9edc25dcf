/*
 * one_handle.c - set-up, actions and the loop that chooses among them: see one_handle.h.
 *
 * Every run has a session of its own, so that ids, and with them every byte, are the same on the
 * same path. Choices inside the kernel (how does this request's step end?) come through
 * sim_options.choose, and only for requests of the handle.
 */
#include "tests/model/one_handle.h"

#include <stdio.h>
#include <string.h>

#include "broker/pipe_name.h"
#include "tests/engine/listen_now.h"

#define ACTIONS_MAX 64u
#define ROUNDS_MAX  10000u
#define TIMERS_NS   (10 * SL_NS_PER_S) /* later ones are not waited for */

typedef enum action_kind { ACT_POLL, ACT_KERNEL, ACT_OP, ACT_EVENT } action_kind;

typedef struct action {
    action_kind kind;
    sim_event *fires;
    model_event event;
    unsigned which;
} action;

const char *model_op_name(model_op_kind kind) {
    static const char *const names[] = {"read", "read-all", "write", "half-close", "accept"};
    return names[kind];
}

static const char *event_name(model_event event) {
    static const char *const names[] = {"cancel",      "time",  "data",      "peer takes",
                                        "peer closes", "close", "disconnect"};
    return names[event];
}

/* ---- whose is it ---- */

broker_session *model_session(model *m) {
    sl_list *node = sl_list_first(&m->worker->all_sessions);
    return node != NULL ? SL_LIST_ENTRY(node, broker_session, in_worker) : NULL;
}

bool model_is_ours(const model *m, const engine_request *request) {
    const engine_handle *handle = request->handle;
    if (request->worker != m->worker->engine || handle == NULL || handle == m->worker->listener) {
        return false;
    }
    sl_list *all = &((model *)m)->worker->all_sessions;
    for (sl_list *node = all->next; node != all; node = node->next) {
        if (SL_LIST_ENTRY(node, broker_session, in_worker)->pipe == handle) {
            return false;
        }
    }
    return true;
}

static bool is_error(sim_fault fault) {
    return fault == SIM_CANCEL_ERROR || (fault >= SIM_OS_LISTEN && fault <= SIM_OS_HALF_CLOSE);
}

static uint64_t on_choice(void *user, const engine_request *request, sim_fault fault,
                          uint64_t bound) {
    model *m = user;
    if (request == NULL || !model_is_ours(m, request) ||
        (is_error(fault) && m->errors == m->scenario->errors_max)) {
        return 0;
    }
    unsigned answer = choices_next(&m->choices, 2); /* an amount: the least or the most */
    answer = answer == 0 ? 0 : (unsigned)bound - 1;
    m->errors += is_error(fault) && answer != 0;
    m->has_read_error = m->has_read_error || (fault == SIM_OS_READ && answer != 0);
    if (m->is_loud) {
        printf("    %s of %s: %u of %u\n",
               fault < SIM_FAULT_COUNT ? sim_fault_name(fault) : "amount",
               engine_kind_name(request->kind), answer, (unsigned)bound);
    }
    return answer;
}

/* The request that an event is about, or NULL: a listener's. */
static engine_request *request_of(sim_event *event) {
    switch (event->type) {
    case SIM_EVENT_STEP: return &SL_CONTAINER_OF(event, sim_request, step)->request;
    case SIM_EVENT_ABORT: return &SL_CONTAINER_OF(event, sim_request, abort)->request;
    case SIM_EVENT_DEAL: break;
    }
    return NULL;
}

static bool is_chosen(model *m, sim_event *event) {
    if (event->type == SIM_EVENT_DEAL) {
        engine_handle *listener = &SL_CONTAINER_OF(event, sim_handle, deal)->handle;
        return listener->worker == m->worker->engine && listener != m->worker->listener;
    }
    return model_is_ours(m, request_of(event));
}

/* ---- what goes on by itself ---- */

static bool fire_other(model *m) {
    sl_heap *events = &m->rig.world->events;
    for (uint32_t i = 0; i < events->used; i++) {
        sl_heap_node *node = events->entries[i].node;
        sim_event *event = node != NULL ? SL_CONTAINER_OF(node, sim_event, node) : NULL;
        if (event == NULL || is_chosen(m, event)) {
            continue;
        }
        engine_request *request = request_of(event);
        if (!m->is_holding || (request != NULL && request->worker == m->rig.worker)) {
            sim_fire(m->rig.world, event);
            return true;
        }
    }
    return false;
}

static void collect_replies(model *m) {
    for (unsigned i = 0; i < m->sent_count; i++) {
        model_op *op = &m->ops[i];
        if (client_has(m->client, op->id)) {
            EXPECT(!op->has_reply); /* exactly one end */
            EXPECT(client_await(m->client, op->id, &op->reply));
            model_check_reply(m, i);
            op->has_reply = true;
        }
    }
    if (m->close_id != 0 && client_has(m->client, m->close_id)) {
        EXPECT(!m->is_closed);
        EXPECT(client_await(m->client, m->close_id, &m->close_reply));
        m->is_closed = true;
        model_check_closed(m);
    }
}

void model_settle(model *m) {
    for (unsigned i = 0;; i++) {
        EXPECT(i < ROUNDS_MAX);
        bool goes_on = fire_other(m);
        goes_on = model_poll_peers(m) || goes_on;
        if (m->rig.worker->ready.first != NULL) {
            rig_poll_clients(&m->rig);
            goes_on = true;
        }
        if (!goes_on) {
            break;
        }
    }
    collect_replies(m);
}

/* ---- actions ---- */

static bool may(const model *m, model_event event) {
    return m->events < m->scenario->events_max && m->used[event] < m->scenario->each_max[event];
}

static void add(action *actions, unsigned *count, action one) {
    EXPECT(*count < ACTIONS_MAX);
    actions[(*count)++] = one;
}

static void add_event(action *actions, unsigned *count, model_event event, unsigned which) {
    add(actions, count, (action){.kind = ACT_EVENT, .event = event, .which = which});
}

static void add_queue(model *m, engine_queue *queue, action *actions, unsigned *count) {
    (void)m;
    for (sl_list *node = queue->started.next; node != &queue->started; node = node->next) {
        sim_request *request = sim_request_of(SL_LIST_ENTRY(node, engine_request, link));
        if (sl_heap_contains(&request->step.node)) {
            add(actions, count, (action){.kind = ACT_KERNEL, .fires = &request->step});
        }
        if (sl_heap_contains(&request->abort.node)) {
            add(actions, count, (action){.kind = ACT_KERNEL, .fires = &request->abort});
        }
    }
}

/* What the kernel could do next with the session's handles. */
static void add_kernel(model *m, action *actions, unsigned *count) {
    broker_session *session = model_session(m);
    uint32_t cursor = 0;
    broker_handle *handle;
    if (session == NULL || m->events == m->scenario->events_max) {
        return;
    }
    while ((handle = sl_slots_next(&session->handles, &cursor)) != NULL) {
        sim_handle *os = sim_handle_of(handle->os);
        add_queue(m, &handle->os->queue[ENGINE_IN], actions, count);
        add_queue(m, &handle->os->queue[ENGINE_OUT], actions, count);
        if (sl_heap_contains(&os->deal.node)) {
            add(actions, count, (action){.kind = ACT_KERNEL, .fires = &os->deal});
        }
    }
}

/* Frames that the client could send. */
static void add_frames(model *m, action *actions, unsigned *count) {
    if (m->is_gone) {
        return;
    }
    if (m->sent_count < m->scenario->op_count) {
        add(actions, count, (action){.kind = ACT_OP});
    }
    for (unsigned i = 0; i < m->sent_count && m->events < m->scenario->events_max; i++) {
        if (!m->ops[i].is_cancelled && m->scenario->each_max[MODEL_CANCEL] > 0) {
            add_event(actions, count, MODEL_CANCEL, i);
        }
    }
    if (may(m, MODEL_CLOSE)) {
        add_event(actions, count, MODEL_CLOSE, 0);
    }
}

static void add_peer(model *m, action *actions, unsigned *count) {
    const model_peer *peer = model_open_peer(m);
    if (may(m, MODEL_DATA_COMES) && (m->is_listener ? true : peer != NULL && !peer->is_writing)) {
        add_event(actions, count, MODEL_DATA_COMES, 0);
    }
    if (may(m, MODEL_PEER_TAKES) && peer != NULL && !peer->is_reading && !m->is_listener) {
        add_event(actions, count, MODEL_PEER_TAKES, 0);
    }
    if (may(m, MODEL_PEER_CLOSES) && peer != NULL) {
        add_event(actions, count, MODEL_PEER_CLOSES, 0);
    }
}

static bool has_work(model *m) {
    return m->worker->engine->ready.first != NULL || broker_worker_is_busy(m->rig.broker, 0) ||
           broker_worker_deadline_ns(m->rig.broker, 0) <= m->rig.manual.now_ns;
}

/* Has nothing come but what says that the session's replies are out, or its connection closed? */
static bool has_only_replies(model *m) {
    broker_session *session = model_session(m);
    engine_ready *ready = m->worker->engine->ready.first;
    if (session == NULL || ready == NULL ||
        broker_worker_deadline_ns(m->rig.broker, 0) <= m->rig.manual.now_ns) {
        return false;
    }
    for (; ready != NULL; ready = ready->next) {
        const engine_request *request =
            ready->is_handle ? NULL : SL_CONTAINER_OF(ready, engine_request, ready);
        bool is_reply =
            request != NULL && request->kind == ENGINE_WRITE && request->handle == session->pipe;
        bool is_closed = request == NULL && session->pipe != NULL && ready == &session->pipe->ready;
        if (!is_reply && !is_closed) {
            return false;
        }
    }
    return true;
}

static unsigned list_actions(model *m, action *actions) {
    unsigned count = 0;
    if (m->is_holding) {
        add_frames(m, actions, &count);
        return count;
    }
    if (has_work(m)) {
        add(actions, &count, (action){.kind = ACT_POLL});
        if (m->late == m->scenario->late_max) {
            return count;
        }
    }
    add_kernel(m, actions, &count);
    add_frames(m, actions, &count);
    add_peer(m, actions, &count);
    uint64_t due_ns = broker_worker_deadline_ns(m->rig.broker, 0);
    uint64_t now_ns = m->rig.manual.now_ns;
    if (may(m, MODEL_TIME) && due_ns > now_ns && due_ns - now_ns < TIMERS_NS) {
        add_event(actions, &count, MODEL_TIME, 0);
    }
    if (may(m, MODEL_DISCONNECT) && !m->is_gone) {
        add_event(actions, &count, MODEL_DISCONNECT, 0);
    }
    return count;
}

static void send_op(model *m) {
    unsigned i = m->sent_count++;
    uint64_t timeout_ns = model_timeout_ns(i);
    model_op *op = &m->ops[i];
    sl_request request = {.kind = SL_REQUEST_HALF_CLOSE};
    uint8_t bytes[MODEL_WRITE];
    for (unsigned k = 0; k < MODEL_WRITE; k++) {
        bytes[k] = (uint8_t)(0x10 * (i + 1) + k);
    }
    switch (m->scenario->ops[i]) {
    case MODEL_OP_READ:
        op->id = start_read(m->client, m->handle, MODEL_READ, false, timeout_ns);
        return;
    case MODEL_OP_READ_ALL:
        op->id = start_read(m->client, m->handle, MODEL_READ_ALL, true, timeout_ns);
        return;
    case MODEL_OP_WRITE:
        op->id = start_write(m->client, m->handle, bytes, MODEL_WRITE, timeout_ns);
        return;
    case MODEL_OP_ACCEPT:
        request.kind = SL_REQUEST_ACCEPT;
        request.as.accept.listener = m->handle;
        request.as.accept.timeout_ns = timeout_ns;
        break;
    default:
        request.as.half_close.handle = m->handle;
        request.as.half_close.timeout_ns = timeout_ns;
        break;
    }
    request.id = op->id = client_id(m->client);
    client_send(m->client, &request, NULL, 0);
}

/* The client sends something: does it arrive alone, or with what is sent next? */
static void choose_burst(model *m) {
    action actions[ACTIONS_MAX];
    unsigned count = 0;
    m->is_holding = false;
    add_frames(m, actions, &count);
    m->is_holding = count > 0 && m->scenario->has_bursts && choices_next(&m->choices, 2) == 1;
}

static void do_event(model *m, const action *chosen) {
    model_peer *peer = model_open_peer(m);
    switch (chosen->event) {
    case MODEL_CANCEL:
        m->ops[chosen->which].is_cancelled = true;
        send_cancel(m->client, m->ops[chosen->which].id);
        break;
    case MODEL_TIME: m->rig.manual.now_ns = broker_worker_deadline_ns(m->rig.broker, 0); break;
    case MODEL_DATA_COMES: model_peer_sends(m); break;
    case MODEL_PEER_TAKES: model_peer_read(m, peer); break;
    case MODEL_PEER_CLOSES: model_peer_close(m, peer); break;
    case MODEL_CLOSE:
        m->sent_before_close = m->sent_count;
        m->close_id = start_close(m->client, m->handle);
        break;
    default:
        m->is_gone = true;
        client_hang_up(m->client);
        break;
    }
    m->used[chosen->event]++;
    m->events++;
    if (chosen->event == MODEL_CANCEL || chosen->event == MODEL_CLOSE) {
        choose_burst(m);
    }
}

static void tell(const model *m, const action *chosen) {
    if (!m->is_loud) {
        return;
    }
    if (chosen->kind == ACT_POLL) {
        puts("  the worker looks");
    } else if (chosen->kind == ACT_OP) {
        printf("  %s (operation %u)\n", model_op_name(m->scenario->ops[m->sent_count]),
               m->sent_count);
    } else if (chosen->kind == ACT_EVENT) {
        printf("  %s %u\n", event_name(chosen->event), chosen->which);
    } else {
        const engine_request *request = request_of(chosen->fires);
        printf("  the kernel: %s%s\n",
               request != NULL ? engine_kind_name(request->kind) : "a connection",
               chosen->fires->type == SIM_EVENT_ABORT ? ", cancelled" : "");
    }
}

static void look(model *m) {
    EXPECT(rig_worker_step(&m->rig, 0));
    model_check_look(m);
}

static void act(model *m, const action *chosen) {
    tell(m, chosen);
    m->steps++;
    m->late = chosen->kind != ACT_POLL && !m->is_holding && has_work(m) ? m->late + 1 : 0;
    switch (chosen->kind) {
    case ACT_POLL: look(m); break;
    case ACT_KERNEL:
        m->events++;
        sim_fire(m->rig.world, chosen->fires);
        break;
    case ACT_OP:
        send_op(m);
        choose_burst(m);
        break;
    default: do_event(m, chosen); break;
    }
    model_settle(m);
    while (!m->is_holding && has_only_replies(m)) {
        look(m);
        model_settle(m);
    }
}

/* ---- a run ---- */

static void set_chosen(model *m, bool is_chosen_by_us) {
    sim_options *options = sim_world_options(m->rig.world);
    options->is_frozen = is_chosen_by_us;
    options->choose = is_chosen_by_us ? on_choice : NULL;
    options->user = m;
    memset(options->per_mille, 0, sizeof(options->per_mille));
    if (is_chosen_by_us) {
        memcpy(options->per_mille, m->scenario->per_mille, sizeof(options->per_mille));
    }
}

static void await_peer(model *m, engine_handle **handle) {
    uint64_t since_ns = 0;
    while (*handle == NULL) {
        rig_wait(&m->rig, &since_ns);
        (void)model_poll_peers(m);
    }
}

/* The client's handle: a connection to our listener, or a listener. */
static void make_handle(model *m) {
    raw_reply reply;
    sl_request request = {.id = client_id(m->client), .kind = SL_REQUEST_CONNECT};
    sim_options *options = sim_world_options(m->rig.world);
    if (m->is_listener) {
        EXPECT(call_address(m->client, SL_REQUEST_LISTEN, "pipe:" MODEL_LISTEN_NAME, &reply) ==
               SLUICE_OK);
    } else {
        size_t capacity = options->pipe_capacity;
        options->pipe_capacity = MODEL_PIPE;
        m->arrived = NULL;
        EXPECT(engine_accept(m->peers_listener, NULL, NULL) == SLUICE_OK);
        request.as.connect.address = "pipe:" MODEL_STREAM_NAME;
        client_send(m->client, &request, NULL, 0);
        await_peer(m, &m->arrived);
        options->pipe_capacity = capacity;
        m->peers[0].os = m->arrived;
        m->peers[0].was_connected = true;
        EXPECT(client_await(m->client, request.id, &reply) && reply.status == SLUICE_OK);
    }
    m->handle = reply.opened[0];
    reply_free(&reply);
}

static void begin(model *m) {
    memset(m->ops, 0, sizeof(m->ops));
    memset(m->peers, 0, sizeof(m->peers));
    memset(m->used, 0, sizeof(m->used));
    m->sent_count = 0;
    m->events = m->late = m->errors = 0;
    m->close_id = 0;
    m->is_closed = m->is_holding = m->is_gone = m->has_read_error = false;
    m->is_listener = m->scenario->ops[0] == MODEL_OP_ACCEPT;
    m->client = client_open(&m->rig);
    make_handle(m);
    set_chosen(m, true);
    m->is_exploring = true;
    model_settle(m);
    while (has_work(m)) { /* what is left of the set-up */
        EXPECT(rig_worker_step(&m->rig, 0));
        model_settle(m);
    }
}

bool model_run(model *m, bool merges) {
    bool is_whole = true;
    begin(m);
    for (;;) {
        action actions[ACTIONS_MAX];
        if (merges && !choices_is_replay(&m->choices) && !m->is_holding &&
            !choices_is_new(&m->choices, model_fingerprint(m))) {
            is_whole = false;
            break;
        }
        unsigned count = list_actions(m, actions);
        if (count == 0) {
            break;
        }
        act(m, &actions[choices_next(&m->choices, count)]);
    }
    bool is_exact = m->is_exact;
    m->is_exact = false;
    m->last_state = model_fingerprint(m);
    m->is_exact = is_exact;
    m->is_exploring = false;
    m->is_holding = false;
    model_settle(m);
    set_chosen(m, false);
    model_end(m);
    return is_whole;
}

void model_open(model *m) {
    sim_options sim;
    sl_limits limits;
    engine_address address;
    memset(m, 0, sizeof(*m));
    choices_init(&m->choices);
    sim_options_gentle(&sim, 1);
    memset(sim.per_mille, 0, sizeof(sim.per_mille));
    sim.delay_min_ns = sim.delay_max_ns = 0;
    sim.batch_ns = sim.poll_cost_ns = 0;
    sl_limits_default(&limits);
    limits.no_progress_ns = 86400 * SL_NS_PER_S;
    limits.handles = 16; /* small tables: a run is short */
    limits.sessions = 4;
    rig_options options = {.sim = &sim, .limits = &limits};
    rig_open(&m->rig, &options);
    m->worker = &m->rig.broker->workers[0];
    EXPECT(engine_worker_create(m->rig.engine, &m->peers_worker) == SLUICE_OK);
    EXPECT(pipe_name_address(MODEL_STREAM_NAME, &address, NULL) == SLUICE_OK);
    EXPECT(listen_now(m->peers_worker, &address, 1, NULL, &m->peers_listener) == SLUICE_OK);
}

void model_close(model *m) {
    uint64_t since_ns = 0;
    EXPECT(engine_close(m->peers_listener, NULL) == SLUICE_OK);
    (void)model_poll_peers(m);
    while (engine_worker_destroy(m->peers_worker) != SLUICE_OK) {
        rig_wait(&m->rig, &since_ns);
        (void)model_poll_peers(m);
    }
    rig_close(&m->rig);
    choices_deinit(&m->choices);
}
