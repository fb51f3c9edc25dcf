/*
 * closing.c - how all of a program's calls end: with its death, or because it wants them to; and
 * what may still wait when nothing happens any more.
 */
#include <string.h>

#include "tests/world/calls.h"

void calls_die(world_client *client) {
    world_life *life = life_of(client);
    for (uint32_t i = 0; i < life->call_count; i++) {
        world_call *call = &life->calls[i];
        if (call->client != client) {
            continue;
        }
        if (!call->has_ended && call->kind == SL_REQUEST_WRITE && !call->is_name) {
            model_writer_dies(out_of(call->end));
        }
        client->open_count -= !call->has_ended;
        call->has_ended = true;
        call_release(client, call);
        call->client = NULL;
    }
    for (uint32_t i = 0; i < WORLD_ENDS_MAX; i++) {
        const world_end *end = &client->ends[i];
        if (end->wire != NULL && end->can_read) {
            model_reader_ends(in_of(end), false);
        }
    }
}

void calls_end(world_client *client) {
    world_life *life = life_of(client);
    for (uint32_t i = life->first_open; i < life->call_count; i++) {
        world_call *call = &life->calls[i];
        if (call->client == client && call->op != NULL && !call->has_ended &&
            !call->is_cancelled) {
            call_cancel(client, call);
        }
    }
    for (uint32_t i = 0; i < WORLD_ENDS_MAX; i++) {
        world_end *end = &client->ends[i];
        if (end->handle != 0) {
            call_close(client, end);
        }
    }
}

/* The first of them, or NULL. */
static const world_call *open_call(const world_client *client, const world_end *end,
                                   sl_request_kind kind) {
    const world_life *life = client->process.life;
    for (uint32_t i = life->first_open; i < life->call_count; i++) {
        const world_call *call = &life->calls[i];
        if (call->client == client && call->end == end && call->kind == kind &&
            !call->has_ended) {
            return call;
        }
    }
    return NULL;
}

/* An accept for a listener; a read of which it is not known which wire it is on. false: there is no
 * place or no credit, or a read waits for more than a name. */
static bool harvest(world_client *client, world_end *end) {
    if (end->is_listener && open_call(client, end, SL_REQUEST_ACCEPT) == NULL) {
        sl_request request = {.kind = SL_REQUEST_ACCEPT};
        request.as.accept.listener = end->handle;
        world_call *call = NULL;
        if (call_has_places(client, 1)) {
            call = call_begin(client, &request, end, sizeof(end->address));
        }
        if (call != NULL) {
            call_post(client, call);
        }
        return call != NULL;
    }
    if (end->wire != NULL || !end->can_read) {
        return true;
    }
    const world_call *read = open_call(client, end, SL_REQUEST_READ);
    if (read != NULL) {
        return !read->is_all;
    }
    uint32_t before = client->open_count;
    call_read(client, end, WORLD_NAME_BYTES, false);
    return client->open_count != before;
}

void calls_harvest(world_client *client) {
    client->is_harvested = client_is_ready(client);
    for (uint32_t i = 0; client->is_harvested && i < WORLD_ENDS_MAX; i++) {
        world_end *end = &client->ends[i];
        if (end->handle != 0 && !end->is_lost) {
            client->is_harvested = harvest(client, end);
        }
    }
}

bool calls_awaits(const world_client *client, sluice_handle listener) {
    for (uint32_t i = 0; client->is_harvested && i < WORLD_ENDS_MAX; i++) {
        const world_end *end = &client->ends[i];
        if (end->handle == listener && !end->is_lost) {
            return open_call(client, end, SL_REQUEST_ACCEPT) != NULL;
        }
    }
    return false;
}

/* A write that is open at an end of that wire; or NULL. */
static const world_call *waiting_writer(const world_life *life, const world_wire *wire,
                                        unsigned side) {
    for (uint32_t i = life->first_open; i < life->call_count; i++) {
        const world_call *call = &life->calls[i];
        if (call->client != NULL && call->kind == SL_REQUEST_WRITE && !call->has_ended &&
            call->end->wire == wire && call->end->side == side && call->end->handle != 0 &&
            !call->end->is_lost) {
            return call;
        }
    }
    return NULL;
}

void calls_check_waiting(world_client *client) {
    for (uint32_t i = 0; client_is_ready(client) && i < WORLD_ENDS_MAX; i++) {
        world_end *end = &client->ends[i];
        sl_list *node = sl_list_first(&end->reads);
        if (end->handle == 0 || end->is_lost || end->wire == NULL || node == NULL) {
            continue;
        }
        const world_call *call = SL_LIST_ENTRY(node, world_call, read_link);
        uint64_t needed = call->is_all ? call->length : 1;
        EXPECT(model_certain(in_of(end)) < needed);
        EXPECT(waiting_writer(client->process.life, end->wire, 1 - end->side) == NULL);
    }
}

bool calls_write_waits(const world_life *life, const world_wire *wire, unsigned side) {
    return waiting_writer(life, wire, side) != NULL;
}
