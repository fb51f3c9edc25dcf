/*
 * calls.c - what a program calls.
 */
#include <stdio.h>
#include <string.h>

#include "tests/world/calls.h"

#define BURST_MAX    8u
#define READS_MAX    6u /* that wait at a handle: they hold credit that writes need */
#define RECENT_CALLS 24u /* a cancel is for one of these */
/* A page of operations is asked for with a few rows. */
#define PAGE_ROWS 4u

/* ---- how a call begins ----------------------------------------------------------------------- */

static uint64_t any_timeout_ns(world_life *life) {
    switch (world_below(life, 8)) {
    case 0:
    case 1:
    case 2: return 1 + world_below(life, (uint32_t)life->timeout_max_ns);
    case 3: {
        uint32_t soon_ns = 1 + world_below(life, (uint32_t)life->timeout_max_ns / 20);
        return world_one_in(life, 8) ? 0 : soon_ns;
    }
    case 4: return SL_NS_PER_S;
    default: return SLUICE_NO_TIMEOUT;
    }
}

static uint32_t any_length(world_life *life) {
    uint32_t largest = life->largest;
    switch (world_below(life, 8)) {
    case 0: return world_one_in(life, 2) ? 0 : 1;
    case 1:
    case 2:
    case 3: return 1 + world_below(life, 20);
    case 4: return 1 + world_below(life, largest / 16);
    case 5:
    case 6: return 1 + world_below(life, largest / 4);
    default: return 1 + world_below(life, largest);
    }
}

void call_release(world_client *client, world_call *call) {
    if (call->op != NULL && client_operation_drop(call->op)) {
        memory_give(&client->process.memory, call->op);
    }
    call->op = NULL;
}

/* NULL: no place, or no credit. */
world_call *call_begin(world_client *client, const sl_request *request, world_end *end,
                         uint32_t length) {
    world_life *life = life_of(client);
    if (life->call_count == WORLD_CALLS_MAX) {
        return NULL;
    }
    bool is_any = life->is_acting && !life->is_warming;
    uint64_t timeout_ns = is_any ? any_timeout_ns(life) : SLUICE_NO_TIMEOUT;
    client_operation *op = memory_take(&client->process.memory, sizeof(*op));
    client_operation_init(op, request->kind, timeout_ns);
    op->request = *request;
    if (client_operation_credit(op, &op->credit_bytes)) {
        if (client_credit_take(&client->credit, op->credit_bytes, NULL) != SLUICE_OK) {
            life->census->refused_credit++;
            memory_give(&client->process.memory, op);
            return NULL;
        }
        op->has_credit = true;
    }
    world_call *call = &life->calls[life->call_count++];
    memset(call, 0, offsetof(world_call, result));
    sl_list_init(&call->read_link);
    call->client = client;
    call->kind = request->kind;
    call->op = op;
    call->operation = op;
    call->end = end;
    call->length = length;
    call->bytes = memory_take(&client->process.memory, length + 1);
    call->has_timeout = timeout_ns != SLUICE_NO_TIMEOUT;
    uint64_t end_ns = sl_clock_after_ns(world_now_ns(life), timeout_ns);
    end_ns = sl_clock_after_ns(end_ns, client->call_grace_ns);
    call->end_by_ns = end_ns > client->excused_ns ? end_ns : client->excused_ns;
    life->check_ns = call->end_by_ns < life->check_ns ? call->end_by_ns : life->check_ns;
    op->user = call;
    client_operation_hold(op); /* ours */
    client->open_count++;
    life->census->calls++;
    if (end != NULL) {
        end->busy++;
    }
    world_say(life, "%s: call %d: %s, handle %d, %u bytes, timeout %lld us", client->process.name,
              (int)(call - life->calls), sl_request_kind_name(request->kind),
              end == NULL ? -1 : (int)(end - client->ends), length,
              timeout_ns == SLUICE_NO_TIMEOUT ? -1LL : (long long)(timeout_ns / SL_NS_PER_US));
    return call;
}

void call_cancel(world_client *client, world_call *call) {
    call->is_cancelled = true;
    world_say(life_of(client), "%s: cancels call %d", client->process.name,
              (int)(call - life_of(client)->calls));
    client_core_cancel(client->worker, call->op);
}

void call_post(world_client *client, world_call *call) {
    world_life *life = life_of(client);
    if (life->is_inside) {
        client_core_submit_here(&client->core, call->op);
    } else {
        client_core_submit(client->worker, call->op);
    }
    if (life->is_acting && !life->is_warming && world_one_in(life, 16) &&
        world_may(life, ACT_CANCEL)) {
        call_cancel(client, call); /* before the core has seen it */
    }
    /* What has neither a handle nor a timeout only ends by a cancel. */
    if (world_one_in(life, 4) && (call->end != NULL || call->end_by_ns != SL_CLOCK_NEVER)) {
        call_release(client, call);
    }
}

/* ---- the calls ------------------------------------------------------------------------------- */

static world_end *any_end(world_client *client) {
    world_life *life = life_of(client);
    return &client->ends[world_below(life, life->ends_max)];
}

static bool fits(const world_end *end, world_act act) {
    if (end->handle == 0) {
        return false;
    }
    switch (act) {
    case ACT_READ: return end->can_read && end->busy < READS_MAX;
    case ACT_WRITE: return end->can_write;
    case ACT_HALF_CLOSE:
    case ACT_ACKNOWLEDGE:
        return end->can_write && end->wire != NULL && !end->owes_name && !end->wait_name;
    default: return true;
    }
}

/* One for which that can be done, beginning there; or NULL. */
static world_end *fitting_end(world_client *client, world_act act, uint32_t which) {
    const world_life *life = life_of(client);
    for (uint32_t i = 0; i < life->ends_max; i++) {
        world_end *end = &client->ends[which];
        if (fits(end, act)) {
            return end;
        }
        which = which + 1 < life->ends_max ? which + 1 : 0;
    }
    return NULL;
}

/* Places that openings under way will need. */
bool call_has_places(world_client *client, uint32_t count) {
    world_life *life = life_of(client);
    for (uint32_t i = life->first_open; i < life->call_count; i++) {
        const world_call *call = &life->calls[i];
        if (call->client == client && !call->has_ended) {
            count += call->kind == SL_REQUEST_PAIR ? 2u : call_opens(call->kind);
        }
    }
    uint32_t places = 0;
    for (uint32_t i = 0; i < life->ends_max; i++) {
        const world_end *end = &client->ends[i];
        places += end->handle == 0 && end->busy == 0 && sl_list_is_empty(&end->reads);
    }
    return count <= places;
}

void call_read(world_client *client, world_end *end, uint32_t length, bool is_all) {
    sl_request request = {.kind = SL_REQUEST_READ};
    request.as.read.handle = end->handle;
    request.as.read.max_bytes = length;
    request.as.read.all = is_all && length > 0;
    world_call *call = call_begin(client, &request, end, length);
    if (call != NULL) {
        call->is_all = request.as.read.all;
        call->op->in = call->bytes;
        call->op->in_size = length;
        sl_list_push_back(&end->reads, &call->read_link);
        call_post(client, call);
    }
}

static world_call *begin_write(world_client *client, world_end *end, uint32_t length) {
    sl_request request = {.kind = SL_REQUEST_WRITE};
    request.as.write.handle = end->handle;
    request.as.write.length_bytes = length;
    world_call *call = call_begin(client, &request, end, length);
    if (call != NULL) {
        call->op->out = call->bytes;
    }
    return call;
}

/* Which wire it is goes before all else; nothing behind it until it is certain. */
static void say_name(world_client *client, world_end *end) {
    world_call *call = begin_write(client, end, WORLD_NAME_BYTES);
    if (call != NULL) {
        call->bytes[0] = (uint8_t)(end->wire - life_of(client)->wires);
        call->is_name = true;
        end->owes_name = false;
        end->wait_name = true;
        call_post(client, call);
    }
}

static void ask_write(world_client *client, world_end *end) {
    if (end->owes_name) {
        say_name(client, end);
        return;
    }
    if (end->wait_name || end->wire == NULL || end->has_ended_writing ||
        out_of(end)->write_count == MODEL_WRITES_MAX) {
        return;
    }
    uint32_t length = any_length(life_of(client));
    length = length == 0 ? 1 : length;
    world_call *call = begin_write(client, end, length);
    if (call != NULL) {
        call->write_index = model_write_begin(out_of(end), call->bytes, length);
        call_post(client, call);
    }
}

void call_close(world_client *client, world_end *end) {
    sl_request request = {.kind = SL_REQUEST_CLOSE};
    request.as.close.handle = end->handle;
    world_call *call = call_begin(client, &request, end, 0);
    if (call != NULL) {
        call->closed = end->handle;
        end->handle = 0;
        call_post(client, call);
    }
}

static void ask_plain(world_client *client, world_act act, world_end *end) {
    sl_request request = {.kind = act == ACT_PING ? SL_REQUEST_PING : SL_REQUEST_HALF_CLOSE};
    if (act == ACT_HALF_CLOSE) {
        request.as.half_close.handle = end->handle;
        end->has_ended_writing = true;
    } else if (act == ACT_ACKNOWLEDGE) {
        end->acknowledged = life_of(client)->call_count;
        end->torn = 0;
        request.kind = SL_REQUEST_ACKNOWLEDGE_TORN;
        request.as.acknowledge_torn.handle = end->handle;
    }
    world_call *call = call_begin(client, &request, act == ACT_PING ? NULL : end, 0);
    if (call != NULL) {
        call_post(client, call);
    }
}

/* Whatever lives in its place now must not be meant. */
static void ask_stale(world_client *client) {
    sl_request request = {.kind = SL_REQUEST_ACKNOWLEDGE_TORN};
    request.as.acknowledge_torn.handle = client->closed;
    world_call *call = client->closed == 0 ? NULL : call_begin(client, &request, NULL, 0);
    if (call != NULL) {
        call->is_stale = true;
        call_post(client, call);
    }
}

static void ask_look(world_client *client) {
    bool is_page = world_one_in(life_of(client), 2);
    uint32_t size = is_page ? PAGE_ROWS * sizeof(sluice_ops_row) : sizeof(sluice_broker_info);
    sl_request request = {.kind = is_page ? SL_REQUEST_OPS : SL_REQUEST_STATUS};
    if (is_page) {
        request.as.ops.limit = PAGE_ROWS;
    }
    world_call *call = call_begin(client, &request, NULL, size);
    if (call != NULL) {
        call->op->in = call->bytes;
        call->op->in_size = is_page ? PAGE_ROWS : size;
        call->op->row_size = sizeof(sluice_ops_row);
        call_post(client, call);
    }
}

const world_end *calls_listener(world_life *life, world_client **ret_client) {
    uint32_t first = world_below(life, life->client_count);
    for (uint32_t i = 0; i < life->client_count; i++) {
        world_client *client = &life->clients[(first + i) % life->client_count];
        for (uint32_t k = 0; k < life->ends_max; k++) {
            if (client->ends[k].is_listener && client->ends[k].handle != 0) {
                *ret_client = client;
                return &client->ends[k];
            }
        }
    }
    return NULL;
}

/* Where one may connect: a peer's listener, or that of a client. */
static const char *any_address(world_client *client) {
    world_life *life = life_of(client);
    world_client *owner;
    const world_end *listener = calls_listener(life, &owner);
    if (listener != NULL && world_one_in(life, 3)) {
        return listener->address;
    }
    static const char *const places[] = {"pipe:/peer", "tcp:127.0.0.1:7000", "tcp:localhost:7000",
                                         "pipe:/nobody", "tcp:127.0.0.1:9",
                                         "tcp:203.0.113.1:7000", "tcp:no.such.host:1",
                                         "tcp:198.51.100.1:7000"};
    uint32_t dice = life->is_warming ? world_below(life, 8) : world_below(life, 16);
    return places[dice < 4 ? 0 : dice < 10 ? 1 : dice - 8];
}

static void ask_open(world_client *client, world_act act) {
    world_life *life = life_of(client);
    sl_request request = {.kind = SL_REQUEST_PAIR};
    world_end *listener = NULL;
    char address[sizeof(listener->address)] = "";
    if (act == ACT_ACCEPT) {
        listener = any_end(client);
        if (listener->handle == 0 || (!listener->is_listener && !world_one_in(life, 16))) {
            return;
        }
        request.kind = SL_REQUEST_ACCEPT;
        request.as.accept.listener = listener->handle; /* or a connection: ENOTSUP */
    }
    if (!call_has_places(client, act == ACT_PAIR ? 2 : 1)) {
        return;
    }
    world_wire *wire = NULL;
    if (act == ACT_PAIR || act == ACT_CONNECT) {
        wire = world_wire_new(life);
        if (wire == NULL) {
            return;
        }
    }
    if (act == ACT_CONNECT) {
        request.kind = SL_REQUEST_CONNECT;
        (void)snprintf(address, sizeof(address), "%s", any_address(client));
    } else if (act == ACT_LISTEN) {
        request.kind = SL_REQUEST_LISTEN;
        unsigned number = world_below(life, WORLD_CLIENTS_MAX);
        (void)snprintf(address, sizeof(address),
                       world_one_in(life, 2) ? "pipe:/c%u" : "tcp:127.0.0.1:710%u", number);
    }
    world_call *call = call_begin(client, &request, listener, sizeof(address));
    if (call == NULL) {
        return;
    }
    memcpy(call->bytes, address, sizeof(address));
    if (act == ACT_CONNECT) {
        call->op->request.as.connect.address = (const char *)call->bytes;
    } else if (act == ACT_LISTEN) {
        call->op->request.as.listen.address = (const char *)call->bytes;
    }
    call->wire = wire;
    call_post(client, call);
}

static void cancel_any(world_client *client) {
    world_life *life = life_of(client);
    uint32_t recent = life->call_count < RECENT_CALLS ? life->call_count : RECENT_CALLS;
    if (recent == 0) {
        return;
    }
    world_call *call = &life->calls[life->call_count - 1 - world_below(life, recent)];
    if (call->client == client && call->op != NULL) {
        call_cancel(client, call);
    }
}

/* true: there may be more of it. */
static bool act_on_end(world_client *client, world_act act, uint32_t which) {
    world_life *life = life_of(client);
    world_end *end = fitting_end(client, act, which);
    if (end == NULL) {
        return false;
    }
    if (end->is_lost && world_one_in(life, 2)) {
        call_close(client, end);
    } else if (act == ACT_READ) {
        uint32_t length = any_length(life);
        call_read(client, end, length, world_one_in(life, life->all_in));
    } else if (act == ACT_WRITE) {
        ask_write(client, end);
    } else if (act == ACT_CLOSE) {
        call_close(client, end);
    } else {
        ask_plain(client, act, end);
    }
    return true;
}

static uint32_t any_place(world_client *client) {
    return world_below(life_of(client), life_of(client)->ends_max);
}

/* Reads and writes come in bursts, all over the place or at one. Who has nothing for it opens
 * something. */
static void act_in_burst(world_client *client, world_act act) {
    world_life *life = life_of(client);
    uint32_t count = 1 + world_below(life, BURST_MAX);
    uint32_t done = 0;
    uint32_t which = any_place(client);
    bool is_scattered = world_one_in(life, 2);
    while (done < count && act_on_end(client, act, which)) {
        which = is_scattered ? any_place(client) : which;
        done++;
    }
    if (done == 0 && !life->is_inside) {
        ask_open(client, life->has_pairs && world_one_in(life, 2) ? ACT_PAIR : ACT_CONNECT);
    }
}

void calls_act(world_client *client, world_act act) {
    switch (act) {
    case ACT_READ:
    case ACT_WRITE: act_in_burst(client, act); break;
    case ACT_CLOSE:
    case ACT_ACKNOWLEDGE:
    case ACT_HALF_CLOSE: (void)act_on_end(client, act, any_place(client)); break;
    case ACT_CANCEL: cancel_any(client); break;
    case ACT_PING: ask_plain(client, act, NULL); break;
    case ACT_STALE: ask_stale(client); break;
    case ACT_LOOK: ask_look(client); break;
    default: ask_open(client, act); break;
    }
}
