/*
 * sim_net.c - names and addresses: who holds them, listeners and their backlogs, connects, accepts,
 * host names.
 *
 * A binding is a pipe name or a port that is taken. A listener belongs to one binding; the binding
 * of an endpoint has several and deals connections to them in turn; a listener on several addresses
 * has the first's, and the others lead there. A connection is made by the
 * connecting side's step: its far side waits in a listener's backlog until the listener's deal
 * event gives it to the first accept. One thread.
 */
#include <string.h>

#include "tests/sim/sim_world.h"

/* ---- addresses ------------------------------------------------------------------------------- */

sim_place sim_place_of(const engine_address *address) {
    static const uint8_t loopback6[16] = {[15] = 1};
    const uint8_t *ip = address->ip;
    if (engine_address_is_any(address)) {
        return SIM_PLACE_LOCAL;
    }
    if (address->family == ENGINE_ADDRESS_IPV6) {
        bool is_local = memcmp(ip, loopback6, 16) == 0 || (ip[0] == 0xfd && ip[1] == 0);
        return is_local ? SIM_PLACE_LOCAL : SIM_PLACE_UNREACHABLE;
    }
    if (ip[0] == 127 || ip[0] == 10) {
        return SIM_PLACE_LOCAL;
    }
    bool is_silent = ip[0] == 203 && ip[1] == 0 && ip[2] == 113;
    return is_silent ? SIM_PLACE_SILENT : SIM_PLACE_UNREACHABLE;
}

static sl_list *bucket_of(sim_world *world, sim_transport transport,
                          const engine_address *address) {
    uint32_t hash = (uint32_t)transport * 31u + address->port;
    if (address->family == ENGINE_ADDRESS_PIPE) {
        for (const char *c = address->pipe; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * 16777619u;
        }
        hash ^= hash >> 16;
    }
    return &world->bindings[hash % SIM_BUCKETS];
}

static bool same_place(const engine_address *a, const engine_address *b) {
    if (a->family != b->family) {
        return false;
    }
    if (a->family == ENGINE_ADDRESS_PIPE) {
        return strcmp(a->pipe, b->pipe) == 0;
    }
    return a->port == b->port && (memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 ||
                                  engine_address_is_any(a) || engine_address_is_any(b));
}

sim_binding *sim_binding_find(sim_world *world, sim_transport transport,
                              const engine_address *address) {
    sl_list *bucket = bucket_of(world, transport, address);
    for (sl_list *node = bucket->next; node != bucket; node = node->next) {
        sim_binding *binding = SL_LIST_ENTRY(node, sim_binding, link);
        bool is_there = same_place(&binding->address, address) ||
                        (binding->is_dual && address->family == ENGINE_ADDRESS_IPV4 &&
                         address->port == binding->address.port);
        if (binding->transport == transport && is_there) {
            return binding->first;
        }
    }
    return NULL;
}

/* A port nobody listens on, in turn; 0 = none left. */
static uint16_t pick_port(sim_world *world, sim_transport transport, engine_address address) {
    for (uint32_t i = 0; i < SIM_PORT_COUNT; i++) {
        address.port = (uint16_t)(SIM_PORT_FIRST + world->next_port);
        world->next_port = (world->next_port + 1) % SIM_PORT_COUNT;
        if (sim_binding_find(world, transport, &address) == NULL) {
            return address.port;
        }
    }
    return 0;
}

/* Has somebody IPv4's side of a binding that is to be for both protocols? */
static bool is_ipv4_taken(sim_world *world, sim_transport transport, uint16_t port) {
    static const uint8_t any[4];
    engine_address address;
    engine_address_ipv4(&address, any, port);
    return sim_binding_find(world, transport, &address) != NULL;
}

int sim_binding_create(sim_world *world, sim_transport transport, const engine_address *address,
                       bool is_dual, sim_binding **ret_binding, uint32_t *ret_os_error) {
    bool is_pipe = transport == SIM_TRANSPORT_PIPE;
    if (!is_pipe && sim_place_of(address) != SIM_PLACE_LOCAL) {
        *ret_os_error = SIM_EADDRNOTAVAIL;
        return SLUICE_EADDRNOTAVAIL;
    }
    engine_address taken = *address;
    if (!is_pipe && taken.port == 0) {
        taken.port = pick_port(world, transport, taken);
    }
    bool is_full = !is_pipe && taken.port == 0;
    if (is_full || sim_binding_find(world, transport, &taken) != NULL ||
        (is_dual && is_ipv4_taken(world, transport, taken.port))) {
        *ret_os_error = SIM_EADDRINUSE;
        return is_pipe ? SLUICE_ENAMETAKEN : SLUICE_EADDRINUSE;
    }
    sim_binding *binding = sl_account_alloc(&world->account, sizeof(*binding));
    SL_CHECK(binding != NULL, "the simulated kernel has memory");
    sl_list_init(&binding->link);
    sl_list_init(&binding->listeners);
    binding->first = binding;
    binding->next = NULL;
    binding->is_dual = is_dual;
    binding->transport = transport;
    binding->address = taken;
    sl_list_push_back(bucket_of(world, transport, &taken), &binding->link);
    world->counters.bindings++;
    *ret_binding = binding;
    return SLUICE_OK;
}

void sim_binding_destroy(sim_world *world, sim_binding *binding) {
    while (binding != NULL) {
        sim_binding *next = binding->next;
        sl_list_remove(&binding->link);
        world->counters.bindings--;
        sl_account_free(&world->account, binding, sizeof(*binding));
        binding = next;
    }
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* Of a pipe as on Windows: the smaller one finds more. */
static uint32_t backlog_of(const engine_listen_options *options, bool is_pipe) {
    uint32_t most = is_pipe ? ENGINE_PIPE_BACKLOG_MAX : ENGINE_BACKLOG_MAX;
    if (options->backlog == 0) {
        return is_pipe ? ENGINE_PIPE_BACKLOG_DEFAULT : ENGINE_BACKLOG_DEFAULT;
    }
    return options->backlog < most ? options->backlog : most;
}

/* May a name or port be taken now? */
static int may_open(sim_world *world, sim_fault fault, uint32_t descriptors,
                    uint32_t *ret_os_error) {
    int status = SLUICE_OK;
    if (sim_strikes(world, fault)) {
        sim_pick_error(world, ENGINE_CLOSE, &status, ret_os_error);
    } else if (!sim_has_descriptors(world, descriptors)) {
        status = SLUICE_EOSLIMIT;
        *ret_os_error = SIM_EMFILE;
    }
    return status;
}

static void listener_open(sim_world *world, sim_handle *listener, sim_binding *binding,
                          uint32_t backlog) {
    listener->binding = binding;
    listener->connection = NULL;
    sl_list_init(&listener->listener_link);
    sl_list_push_back(&binding->listeners, &listener->listener_link);
    sl_list_init(&listener->queue);
    listener->queue_count = 0;
    listener->queue_max = backlog;
    unsigned started_max = world->options.accepts_started;
    sim_handle_opened(world, &listener->handle, ENGINE_CAN_ACCEPT,
                      started_max > 0 ? started_max : 1);
}

static int open_binding(engine_worker *worker, const engine_address *address, bool is_dual,
                        unsigned backlog, uintptr_t *ret_socket) {
    sim_binding *binding = NULL;
    int status = sim_binding_create(sim_world_of_worker(worker), SIM_TRANSPORT_TCP, address,
                                    is_dual, &binding, &worker->os_error);
    (void)backlog; /* one queue for all addresses: the listener's */
    if (status == SLUICE_OK) {
        *ret_socket = (uintptr_t)binding;
    }
    return status;
}

static int port_of_binding(engine_worker *worker, uintptr_t socket, uint16_t *ret_port) {
    (void)worker;
    *ret_port = ((const sim_binding *)socket)->address.port;
    return SLUICE_OK;
}

static void close_binding(engine_worker *worker, uintptr_t socket) {
    sim_binding_destroy(sim_world_of_worker(worker), (sim_binding *)socket);
}

static int bind_all(engine_worker *worker, const engine_address *addresses, unsigned count,
                    const engine_listen_options *options, sim_binding **ret_first) {
    static const engine_sockets_ops ops = {
        .open = open_binding, .port = port_of_binding, .close = close_binding};
    engine_sockets sockets;
    int status = engine_sockets_open(worker, &ops, addresses, count, options, &sockets);
    if (status != SLUICE_OK) {
        return status;
    }
    sim_binding *first = (sim_binding *)sockets.sockets[0];
    for (unsigned i = 1; i < sockets.count; i++) {
        sim_binding *binding = (sim_binding *)sockets.sockets[i];
        binding->first = first;
        binding->next = first->next;
        first->next = binding;
    }
    *ret_first = first;
    return SLUICE_OK;
}

static int listen_at(sim_world *world, engine_request *base, uint32_t *ret_os_error) {
    bool is_pipe = base->address.family == ENGINE_ADDRESS_PIPE;
    sim_binding *binding = NULL;
    if (!sim_has_descriptors(world, 1)) {
        *ret_os_error = SIM_EMFILE;
        return SLUICE_EOSLIMIT;
    }
    base->worker->os_error = 0;
    int status = is_pipe ? sim_binding_create(world, SIM_TRANSPORT_PIPE, &base->address, false,
                                              &binding, &base->worker->os_error)
                         : bind_all(base->worker, base->listen_addresses, base->listen_count,
                                    &base->listen, &binding);
    *ret_os_error = base->worker->os_error;
    if (status == SLUICE_OK) {
        listener_open(world, sim_handle_of(base->opening[0]), binding,
                      backlog_of(&base->listen, is_pipe));
    }
    return status;
}

bool sim_listen_step(sim_world *world, sim_request *request) {
    uint32_t os_error = 0;
    int status = listen_at(world, &request->request, &os_error);
    sim_request_finish(world, request, status, status != SLUICE_OK ? os_error : 0, 0, 0, 0);
    return true;
}

int sim_endpoint_create(engine_endpoint *base, const engine_listen_options *options,
                        const char **ret_detail) {
    (void)ret_detail;
    sim_world *world = sim_world_of(base->engine);
    sim_endpoint *endpoint = SL_CONTAINER_OF(base, sim_endpoint, endpoint);
    uint32_t os_error = 0;
    int status = may_open(world, SIM_OS_ENDPOINT, 0, &os_error);
    if (status == SLUICE_OK) {
        status = sim_binding_create(world, SIM_TRANSPORT_PIPE, &base->address, false,
                                    &endpoint->binding, &os_error);
    }
    endpoint->backlog = backlog_of(options, true);
    sl_list_init(&endpoint->link);
    if (status == SLUICE_OK) {
        sl_list_push_back(&SL_CONTAINER_OF(base->engine, sim_engine, engine)->endpoints,
                          &endpoint->link);
    }
    return status;
}

void sim_endpoint_destroy(engine_endpoint *base) {
    sim_endpoint *endpoint = SL_CONTAINER_OF(base, sim_endpoint, endpoint);
    sl_list_remove(&endpoint->link);
    sim_binding_destroy(sim_world_of(base->engine), endpoint->binding);
}

int sim_endpoint_join(engine_endpoint *base, engine_worker *worker, engine_handle *handle) {
    sim_world *world = sim_world_of_worker(worker);
    sim_endpoint *endpoint = SL_CONTAINER_OF(base, sim_endpoint, endpoint);
    int status = may_open(world, SIM_OS_JOIN, 1, &worker->os_error);
    if (status == SLUICE_OK) {
        listener_open(world, sim_handle_of(handle), endpoint->binding, endpoint->backlog);
    }
    return status;
}

void sim_listener_close(sim_world *world, sim_handle *listener) {
    sim_unschedule(world, &listener->deal);
    sl_list *node;
    while ((node = sl_list_pop_front(&listener->queue)) != NULL) {
        sim_connection_close_side(world, SL_LIST_ENTRY(node, sim_connection, link), 1);
    }
    listener->queue_count = 0;
    sl_list_remove(&listener->listener_link);
    if (listener->handle.endpoint == NULL) {
        sim_binding_destroy(world, listener->binding);
    }
}

/* The next listener in turn that has room, or NULL. */
static sim_handle *pick_listener(sim_binding *binding) {
    sl_list *head = &binding->listeners;
    for (sl_list *node = head->next; node != head; node = node->next) {
        sim_handle *listener = SL_LIST_ENTRY(node, sim_handle, listener_link);
        if (listener->queue_count < listener->queue_max) {
            sl_list_remove(node);
            sl_list_push_back(head, node);
            return listener;
        }
    }
    return NULL;
}

static void schedule_deal(sim_world *world, sim_handle *listener) {
    if (listener->queue_count > 0 && !sl_heap_contains(&listener->deal.node)) {
        sim_schedule(world, &listener->deal, SIM_EVENT_DEAL);
    }
}

bool sim_deal(sim_world *world, sim_handle *listener) {
    engine_request *head = engine_queue_head(&listener->handle.queue[ENGINE_IN]);
    if (head == NULL || listener->queue_count == 0) {
        return false;
    }
    sim_request *request = sim_request_of(head);
    sim_trace trace = {.what = SIM_TRACE_EVENT, .value = SIM_EVENT_DEAL};
    sim_record(world, &trace, head->worker, head, head->handle);
    int status = SLUICE_OK;
    uint32_t os_error = 0;
    const engine_request *before = world->asking;
    world->asking = head;
    bool fails = sim_strikes(world, SIM_OS_ACCEPT);
    world->asking = before;
    if (fails) {
        sim_pick_error(world, ENGINE_ACCEPT, &status, &os_error);
    } else if (!sim_has_descriptors(world, 1)) {
        status = SLUICE_EOSLIMIT;
        os_error = SIM_EMFILE;
    } else {
        sl_list *node = sl_list_pop_front(&listener->queue);
        listener->queue_count--;
        sim_connection_attach(world, SL_LIST_ENTRY(node, sim_connection, link), 1,
                              head->opening[0]);
    }
    schedule_deal(world, listener); /* for the accepts behind it */
    sim_request_finish(world, request, status, os_error, 0, 0, 0);
    return true;
}

/* ---- connect --------------------------------------------------------------------------------- */

static void set_owner(sim_connection *connection, unsigned side, engine *base) {
    const sim_engine *e = SL_CONTAINER_OF(base, sim_engine, engine);
    connection->engine[side] = base;
    connection->user[side] = e->user;
    connection->group[side] = e->group;
}

/* A connection whose far side is in the listener's backlog. */
static sim_connection *reach(sim_world *world, sim_handle *listener, const sim_request *request) {
    const engine_address *to = &request->request.address;
    sim_transport transport = listener->binding->transport;
    sim_connection *connection = sim_connection_create(world, transport);
    set_owner(connection, 0, request->request.worker->engine);
    set_owner(connection, 1, listener->handle.worker->engine);
    connection->peer_busy_count = world->options.peer_busy_count;
    if (transport == SIM_TRANSPORT_TCP) {
        static const uint8_t loopback6[16] = {[15] = 1};
        engine_address from;
        engine_address_loopback(&from, 0);
        if (to->family == ENGINE_ADDRESS_IPV6) {
            engine_address_ipv6(&from, loopback6, 0, 0);
        }
        from.port = pick_port(world, transport, from);
        connection->local[0] = from;
        connection->local[1] = *to;
    }
    sl_list_push_back(&listener->queue, &connection->link);
    listener->queue_count++;
    schedule_deal(world, listener);
    return connection;
}

static sim_transport transport_of(const engine_address *address) {
    return address->family == ENGINE_ADDRESS_PIPE ? SIM_TRANSPORT_PIPE : SIM_TRANSPORT_TCP;
}

void sim_connect_fail(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    const engine_address *to = &request->request.address;
    if (request->phase == SIM_PHASE_LATE) {
        sim_connection_close_side(world, request->connection, 0);
    } else if (sim_strikes(world, SIM_CONNECT_GHOST)) {
        sim_binding *binding = sim_binding_find(world, transport_of(to), to);
        sim_handle *listener = binding != NULL ? pick_listener(binding) : NULL;
        if (listener != NULL) {
            sim_connection_close_side(world, reach(world, listener, request), 0);
        }
    }
    sim_request_finish(world, request, status, os_error, 0, 0, 0);
}

static bool connected(sim_world *world, sim_request *request) {
    sim_connection_attach(world, request->connection, 0, request->request.opening[0]);
    sim_request_finish(world, request, SLUICE_OK, 0, 0, 0, 0);
    return true;
}

static bool refuse(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    sim_request_finish(world, request, status, os_error, 0, 0, 0);
    return true;
}

/* No room in any backlog. A pipe is tried again by the core, a TCP packet by the sending kernel. */
static bool meet_busy(sim_world *world, sim_request *request) {
    engine_request *base = &request->request;
    if (base->address.family != ENGINE_ADDRESS_PIPE) {
        if (!request->is_last_try) {
            sim_schedule_after(world, &request->step, SIM_EVENT_STEP, SIM_TCP_RETRY_NS);
            request->phase = SIM_PHASE_SCHEDULED;
        }
        return false;
    }
    if (base->cancel_asked) {
        return refuse(world, request, SLUICE_ECANCELED, SIM_ECANCELED);
    }
    request->phase = SIM_PHASE_NONE;
    world->counters.retry_count++;
    sim_trace trace = {.what = SIM_TRACE_RETRY};
    sim_record(world, &trace, base->worker, base, NULL);
    engine_request_retry(base);
    return true;
}

bool sim_connect_step(sim_world *world, sim_request *request) {
    if (request->phase == SIM_PHASE_LATE) {
        return connected(world, request);
    }
    const engine_address *to = &request->request.address;
    bool is_pipe = to->family == ENGINE_ADDRESS_PIPE;
    sim_place place = is_pipe ? SIM_PLACE_LOCAL : sim_place_of(to);
    if (place == SIM_PLACE_SILENT) {
        return false;
    }
    if (place == SIM_PLACE_UNREACHABLE) {
        return refuse(world, request, SLUICE_EUNREACHABLE, SIM_ENETUNREACH);
    }
    sim_binding *binding = sim_binding_find(world, transport_of(to), to);
    if (binding == NULL) {
        return is_pipe ? refuse(world, request, SLUICE_ENOTFOUND, SIM_ENOENT)
                       : refuse(world, request, SLUICE_EREFUSED, SIM_ECONNREFUSED);
    }
    if (is_pipe && !request->is_last_try && sim_strikes(world, SIM_CONNECT_BUSY)) {
        return meet_busy(world, request);
    }
    if (!sim_has_descriptors(world, 1)) {
        return refuse(world, request, SLUICE_EOSLIMIT, SIM_EMFILE);
    }
    sim_handle *listener = pick_listener(binding);
    if (listener == NULL) {
        return meet_busy(world, request);
    }
    if (binding->address.is_endpoint != to->is_endpoint) { /* seen when it has connected */
        request->request.detail = to->is_endpoint ? ENGINE_DETAIL_PIPE : ENGINE_DETAIL_ENDPOINT;
        sim_connection_close_side(world, reach(world, listener, request), 0);
        return refuse(world, request, to->is_endpoint ? SLUICE_EUNTRUSTED : SLUICE_EACCESS, 0);
    }
    request->connection = reach(world, listener, request);
    if (!request->is_last_try && sim_strikes(world, SIM_LATE)) {
        sim_request_schedule(world, request);
        request->phase = SIM_PHASE_LATE;
        return true;
    }
    return connected(world, request);
}

/* ---- host names ------------------------------------------------------------------------------ */

/* "a.b.c.d" */
static bool parse_ipv4(const char *text, uint8_t ret_ip[4]) {
    for (unsigned i = 0; i < 4; i++) {
        unsigned value = 0;
        unsigned digits = 0;
        while (*text >= '0' && *text <= '9' && digits < 3) {
            value = value * 10 + (unsigned)(*text++ - '0');
            digits++;
        }
        if (digits == 0 || value > 255 || *text != (i < 3 ? '.' : '\0')) {
            return false;
        }
        ret_ip[i] = (uint8_t)value;
        text++;
    }
    return true;
}

/* What is built in: one or two addresses. */
static uint32_t built_in(const char *host, engine_address ret_addresses[2]) {
    static const uint8_t loopback6[16] = {[15] = 1};
    static const uint8_t any[16];
    uint8_t ip[4];
    if (parse_ipv4(host, ip)) {
        engine_address_ipv4(&ret_addresses[0], ip, 0);
        return 1;
    }
    if (strcmp(host, "::1") == 0) {
        engine_address_ipv6(&ret_addresses[0], loopback6, 0, 0);
        return 1;
    }
    if (strcmp(host, "::") == 0) {
        engine_address_ipv6(&ret_addresses[0], any, 0, 0);
        return 1;
    }
    if (strcmp(host, "localhost") == 0) {
        engine_address_loopback(&ret_addresses[0], 0);
        engine_address_ipv6(&ret_addresses[1], loopback6, 0, 0);
        return 2;
    }
    return 0;
}

bool sim_resolve_step(sim_world *world, sim_request *request) {
    engine_request *base = &request->request;
    engine_address known[2];
    const engine_address *addresses = known;
    uint32_t count = built_in(base->host, known);
    for (uint32_t i = 0; i < world->options.host_count && count == 0; i++) {
        if (strcmp(world->options.hosts[i].name, base->host) == 0) {
            addresses = world->options.hosts[i].addresses;
            count = world->options.hosts[i].address_count;
        }
    }
    if (count == 0) {
        return refuse(world, request, SLUICE_ENOTFOUND, SIM_ENOENT);
    }
    count = count < base->address_capacity ? count : base->address_capacity;
    for (uint32_t i = 0; i < count; i++) {
        base->ret_addresses[i] = addresses[i];
        base->ret_addresses[i].port = base->port;
    }
    base->address_count = count;
    sim_request_complete(world, request, SLUICE_OK, 0);
    return true;
}
