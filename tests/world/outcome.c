/*
 * outcome.c - what must hold when a call ends.
 */
#include <stdio.h>
#include <string.h>

#include "tests/client/returns.h"
#include "tests/world/calls.h"

/* After these nothing more comes. */
static bool ends_reading(int32_t status) {
    switch (status) {
    case SLUICE_EEOF:
    case SLUICE_ERESET:
    case SLUICE_EOS:
    case SLUICE_EOSLIMIT:
    case SLUICE_EBROKENPIPE:
    case SLUICE_EBROKERLOST:
    case SLUICE_EUNRESPONSIVE:
    case SLUICE_ESTALE: return true;
    default: return false;
    }
}

/* An acceptor learns which connection it has got. */
static void bind(world_life *life, world_end *end, uint8_t number) {
    EXPECT(number < life->wire_count);
    world_wire *wire = &life->wires[number];
    EXPECT(!wire->is_bound);
    wire->is_bound = true;
    end->wire = wire;
    end->side = 1;
}

static void hand_over(world_client *client, world_call *call) {
    world_life *life = life_of(client);
    const uint8_t *bytes = call->taken;
    uint64_t count = call->result.done;
    world_end *end = call->end;
    if (end->wire == NULL && count != 0) {
        bind(life, end, *bytes++);
        count--;
    }
    life->census->bytes += count;
    if (end->wire != NULL) {
        model_take(in_of(end), bytes, count);
        if (ends_reading(call->result.status)) {
            model_reader_ends(in_of(end), call->result.status == SLUICE_EEOF);
        }
    }
    memory_give(&client->process.memory, call->taken);
    call->taken = NULL;
    end->busy--;
}

/* Reads end in any order; the stream's order is that of their beginnings. */
static void check_reads(world_client *client, world_end *end) {
    sl_list *node;
    while ((node = sl_list_first(&end->reads)) != NULL) {
        world_call *call = SL_LIST_ENTRY(node, world_call, read_link);
        if (!call->has_ended) {
            return;
        }
        sl_list_remove(node);
        hand_over(client, call);
    }
}

static void end_read(world_client *client, world_call *call) {
    EXPECT(call->result.done <= call->length);
    EXPECT(call->result.status == SLUICE_OK || call->result.done < call->length ||
           call->length == 0);
    EXPECT(call->result.status != SLUICE_OK || call->length == 0 || call->result.done != 0);
    EXPECT(call->result.status != SLUICE_OK || !call->is_all || call->result.done == call->length);
    call->taken = memory_take(&client->process.memory, call->result.done);
    memcpy(call->taken, call->bytes, call->result.done);
    call->end->busy++; /* until it is handed over */
    check_reads(client, call->end);
}

/* Behind a write of which it is not certain what went out none succeeds, until that is
 * acknowledged. (Where the broker did not answer in time it is the client that is not certain; the
 * broker knows better, and goes on.) */
static void check_torn(world_end *end, uint32_t number, const world_call *call) {
    const sluice_result *result = &call->result;
    bool is_torn = (result->done > 0 && result->done < call->length) || result->in_doubt > 0;
    EXPECT(result->status != SLUICE_OK || end->torn == 0 || number < end->torn);
    if (is_torn && !call->was_detached && number >= end->acknowledged &&
        (end->torn == 0 || number < end->torn)) {
        end->torn = number + 1;
    }
}

static void end_write(world_client *client, const world_call *call) {
    const sluice_result *result = &call->result;
    world_census *census = life_of(client)->census;
    bool is_ok = result->status == SLUICE_OK;
    census->in_doubt += result->in_doubt != 0;
    EXPECT(is_ok == (result->done == call->length));
    check_torn(call->end, (uint32_t)(call - life_of(client)->calls), call);
    if (call->is_name) {
        call->end->wait_name = false;
        call->end->owes_name = !is_ok && result->in_doubt == 0;
        call->end->has_ended_writing = result->in_doubt != 0; /* has the peer got it? */
    } else {
        model_write_end(out_of(call->end), call->write_index, is_ok, result->done,
                        result->in_doubt);
    }
}

static void use_handle(world_end *end, sluice_handle handle, bool can_read, bool can_write) {
    end->handle = handle;
    end->can_read = can_read;
    end->can_write = can_write;
}

/* The places were kept when it began. */
static void end_opening(world_client *client, world_call *call) {
    world_life *life = life_of(client);
    const sluice_result *result = &call->result;
    EXPECT((result->status == SLUICE_OK) == (result->handle_count != 0));
    if (result->handle_count == 0) {
        return;
    }
    world_end *end = client_end_new(client);
    EXPECT(end != NULL && result->handle_count == (call->kind == SL_REQUEST_PAIR ? 2u : 1u));
    end->wire = call->wire;
    bool is_listener = call->kind == SL_REQUEST_LISTEN;
    bool is_pair = call->kind == SL_REQUEST_PAIR;
    use_handle(end, result->handles[0], !is_listener, !is_listener && !is_pair);
    end->is_listener = is_listener;
    if (is_listener) {
        (void)snprintf(end->address, sizeof(end->address), "%s", (const char *)call->bytes);
    }
    end->owes_name = call->kind == SL_REQUEST_CONNECT;
    if (is_pair) {
        world_end *writer = client_end_new(client);
        EXPECT(writer != NULL);
        use_handle(writer, result->handles[1], false, true);
        writer->wire = call->wire;
        writer->side = 1;
        writer->wire->is_bound = true;
    }
    world_say(life, "%s:   handle %d", client->process.name, (int)(end - client->ends));
}

/* Whose outcome it would be. */
static client_call public_call(sl_request_kind kind) {
    static const client_call calls[SL_REQUEST_KIND_COUNT] = {
        [SL_REQUEST_PAIR] = CLIENT_CALL_pair,
        [SL_REQUEST_LISTEN] = CLIENT_CALL_listen,
        [SL_REQUEST_ACCEPT] = CLIENT_CALL_accept,
        [SL_REQUEST_CONNECT] = CLIENT_CALL_connect,
        [SL_REQUEST_READ] = CLIENT_CALL_read,
        [SL_REQUEST_WRITE] = CLIENT_CALL_write,
        [SL_REQUEST_HALF_CLOSE] = CLIENT_CALL_half_close,
        [SL_REQUEST_CLOSE] = CLIENT_CALL_close,
        [SL_REQUEST_ACKNOWLEDGE_TORN] = CLIENT_CALL_acknowledge_torn,
        [SL_REQUEST_PING] = CLIENT_CALL_ping,
        [SL_REQUEST_STATUS] = CLIENT_CALL_broker_status,
        [SL_REQUEST_OPS] = CLIENT_CALL_ops,
    };
    return calls[kind];
}

static void check_outcome(const world_client *client, const world_call *call) {
    const world_life *life = client->process.life;
    int32_t status = call->result.status;
    EXPECT(status <= 0 && -status < SLUICE_STATUS_COUNT);
    EXPECT(world_now_ns(life) <= sl_clock_after_ns(call->end_by_ns, WORLD_SLACK_NS));
    EXPECT(status != SLUICE_ECANCELED || call->is_cancelled || life->is_ending);
    /* Only a system's own idea of how long a connect takes needs no timeout of ours. */
    EXPECT(status != SLUICE_ETIMEDOUT || call->has_timeout || call->kind == SL_REQUEST_CONNECT ||
           client->core.down_status == SLUICE_ETIMEDOUT);
    EXPECT(status != SLUICE_OK || !call->is_stale);
    EXPECT(status != SLUICE_EPROTOCOL && status != SLUICE_EINVAL && status != SLUICE_EVERSION);
    /* A handle that the application has not closed is never unknown. */
    EXPECT(status != SLUICE_EBADHANDLE || call->end == NULL);
    EXPECT(status != SLUICE_ENOMEM || life->no_memory_per_mille != 0);
    EXPECT(status == SLUICE_OK || call->result.handle_count == 0);
    /* The public calls for these two have no twin that could be cancelled. */
    bool is_alone = call->kind == SL_REQUEST_STATUS || call->kind == SL_REQUEST_OPS;
    EXPECT(returns_is_legal(public_call(call->kind), status) ||
           (is_alone && status == SLUICE_ECANCELED));
}

void calls_finished(world_client *client, client_operation *op) {
    world_life *life = life_of(client);
    world_call *call = op->user;
    EXPECT(!call->has_ended && call->client == client); /* exactly one outcome */
    call->has_ended = true;
    call->result = op->result;
    call->was_detached = op->is_detached;
    world_say(life, "%s:   call %d ends: %s, done %llu, in doubt %llu", client->process.name,
              (int)(call - life->calls), sl_status_name(call->result.status),
              (unsigned long long)call->result.done, (unsigned long long)call->result.in_doubt);
    check_outcome(client, call);
    census_call(life->census, call->kind, call->result.status);
    client->open_count--;
    if (call->kind == SL_REQUEST_READ) {
        end_read(client, call);
    } else if (call->kind == SL_REQUEST_WRITE) {
        end_write(client, call);
    } else if (call_opens(call->kind)) {
        end_opening(client, call);
    } else if (call->kind == SL_REQUEST_CLOSE && call->result.status == SLUICE_ENOMEM) {
        call->end->handle = call->closed; /* nothing was done */
    } else if (call->kind == SL_REQUEST_CLOSE && call->result.status == SLUICE_OK) {
        client->closed = call->closed;
    }
    if (call->end != NULL) {
        call->end->busy--;
    }
    memory_give(&client->process.memory, call->bytes);
    call->bytes = NULL;
    if (life->is_acting && world_may(life, ACT_INSIDE) && world_one_in(life, 6)) {
        static const world_act inside[] = {ACT_READ, ACT_READ, ACT_WRITE, ACT_CANCEL, ACT_CLOSE,
                                           ACT_ACCEPT};
        life->is_inside = true;
        calls_act(client, inside[world_below(life, SL_ARRAY_COUNT(inside))]);
        life->is_inside = false;
    }
}
