/*
 * peer.c - the programs at the other ends: on the engine itself, without Sluice. The first two
 * slots listen, the others are connections.
 */
#include <stdio.h>
#include <string.h>

#include "broker/pipe_name.h"
#include "tests/sim/sim_world.h"
#include "tests/world/world.h"

#define LISTENERS    2u
#define PORT         7000u
#define CLIENTS_PORT 7100u
#define BATCH        32u
#define END_NS       (120 * SL_NS_PER_S)
#define DEADLINE_NS  (50 * SL_NS_PER_MS)
#define NAME_BYTES   1u

static model_stream *in_of(const world_peer *peer) {
    return &peer->wire->way[peer->side];
}

static model_stream *out_of(const world_peer *peer) {
    return &peer->wire->way[1 - peer->side];
}

static int number_of(const world_life *life, const world_peer *peer) {
    return (int)(peer - life->peers);
}

static bool is_open(const world_peer *peer) {
    return peer->handle != NULL && !peer->is_closing;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void hang_up(world_peer *peer) {
    if (is_open(peer)) {
        peer->is_closing = true;
        EXPECT(engine_close(peer->handle, peer) == SLUICE_OK);
    }
}

static void cut(world_life *life, world_peer *peer, bool is_whole) {
    peer->is_cut = true;
    if (peer->wire != NULL) {
        model_reader_ends(in_of(peer), is_whole);
    }
    if (world_one_in(life, 2)) {
        hang_up(peer);
    }
}

static void on_closed(world_life *life, world_peer *peer) {
    world_say(life, "peer %d: closed", number_of(life, peer));
    EXPECT(!peer->is_reading && !peer->is_writing && !peer->is_accepting);
    if (peer->wire != NULL) {
        model_reader_ends(in_of(peer), false);
    }
    uint16_t port = peer->port;
    memset(peer, 0, offsetof(world_peer, in));
    peer->port = port;
}

/* ---- reading and writing --------------------------------------------------------------------- */

static void bind(world_life *life, world_peer *peer, uint8_t number) {
    EXPECT(number < life->wire_count);
    peer->wire = &life->wires[number];
    peer->side = 1;
    EXPECT(!peer->wire->is_bound);
    peer->wire->is_bound = true;
}

static void on_read(world_life *life, world_peer *peer, const engine_completion *c) {
    const uint8_t *bytes = peer->in;
    uint64_t count = c->status == SLUICE_OK ? c->bytes : 0;
    peer->is_reading = false;
    if (peer->wire == NULL && count != 0) {
        bind(life, peer, *bytes++);
        count--;
    }
    if (count != 0) {
        model_take(in_of(peer), bytes, count);
        life->census->bytes += count;
    }
    if (c->status != SLUICE_OK && c->status != SLUICE_ECANCELED) {
        cut(life, peer, c->status == SLUICE_EEOF);
    }
}

static void on_written(world_life *life, world_peer *peer, const engine_completion *c) {
    bool is_ok = c->status == SLUICE_OK;
    peer->is_writing = false;
    if (peer->is_name) {
        peer->has_said_name = is_ok;
    } else {
        model_write_end(out_of(peer), peer->write_index, is_ok, c->bytes, c->in_doubt);
    }
    memory_give(&life->peers_process.memory, peer->out);
    peer->out = NULL;
    if (!is_ok && (peer->is_name || c->status != SLUICE_ECANCELED || c->bytes + c->in_doubt > 0)) {
        hang_up(peer); /* it would not know where to go on */
    }
}

static void write_bytes(world_peer *peer, uint32_t length) {
    engine_buffer buffer = {peer->out, length};
    peer->is_writing = true;
    EXPECT(engine_write(peer->handle, &buffer, 1, peer, &peer->write_id) == SLUICE_OK);
}

static void say_name(world_life *life, world_peer *peer) {
    peer->is_name = true;
    peer->out = memory_take(&life->peers_process.memory, NAME_BYTES);
    peer->out[0] = (uint8_t)(peer->wire - life->wires);
    write_bytes(peer, NAME_BYTES);
}

static bool may_write(const world_peer *peer) {
    return is_open(peer) && peer->wire != NULL && !peer->is_writing && !peer->has_ended_writing &&
           (peer->side == 1 || peer->has_said_name);
}

static void write_some(world_life *life, world_peer *peer) {
    if (!may_write(peer) || out_of(peer)->write_count == MODEL_WRITES_MAX) {
        return;
    }
    uint32_t length = 1 + world_below(life, world_one_in(life, 3) ? life->largest : 50);
    peer->is_name = false;
    peer->out = memory_take(&life->peers_process.memory, length);
    peer->write_index = model_write_begin(out_of(peer), peer->out, length);
    write_bytes(peer, length);
}

/* ---- connections ----------------------------------------------------------------------------- */

static world_peer *new_peer(world_life *life) {
    for (unsigned i = LISTENERS; i < WORLD_PEERS_MAX; i++) {
        world_peer *peer = &life->peers[i];
        if (!peer->is_used) {
            memset(peer, 0, offsetof(world_peer, in));
            peer->is_used = true;
            return peer;
        }
    }
    return NULL;
}

static void on_accepted(world_life *life, world_peer *listener, const engine_completion *c) {
    listener->is_accepting = false;
    if (c->status != SLUICE_OK) {
        return;
    }
    world_peer *peer = new_peer(life);
    if (peer == NULL) {
        EXPECT(engine_close(c->opened[0], NULL) == SLUICE_OK);
        return;
    }
    peer->handle = c->opened[0];
    world_say(life, "peer %d: accepted", number_of(life, peer));
}

static void on_connected(world_life *life, world_peer *peer, const engine_completion *c) {
    peer->is_connecting = false;
    world_say(life, "peer %d: connect: %s", number_of(life, peer), sl_status_name(c->status));
    if (c->status != SLUICE_OK) {
        peer->is_used = false;
        return;
    }
    peer->handle = c->opened[0];
    say_name(life, peer);
}

/* Where a client listens, or may have listened. */
static void choose_target(world_life *life, world_peer *peer, engine_address *ret_address) {
    char address[sizeof(((world_end *)0)->address)];
    world_client *owner;
    const world_end *listener = calls_listener(life, &owner);
    if (listener != NULL && !world_one_in(life, 4)) {
        memcpy(address, listener->address, sizeof(address));
        peer->target = owner;
        peer->listener = listener->handle;
    } else {
        (void)snprintf(address, sizeof(address),
                       world_one_in(life, 2) ? "pipe:/c%u" : "tcp:127.0.0.1:710%u",
                       world_below(life, WORLD_CLIENTS_MAX));
    }
    unsigned number = (unsigned)(address[strlen(address) - 1] - '0');
    if (address[0] == 'p') {
        EXPECT(pipe_name_address(strchr(address, ':') + 1, ret_address, NULL) == SLUICE_OK);
    } else {
        engine_address_loopback(ret_address, (uint16_t)(CLIENTS_PORT + number));
    }
}

static void connect_one(world_life *life) {
    world_peer *peer = new_peer(life);
    world_wire *wire = peer == NULL ? NULL : world_wire_new(life);
    if (wire == NULL) {
        if (peer != NULL) {
            peer->is_used = false;
        }
        return;
    }
    engine_address address;
    choose_target(life, peer, &address);
    peer->wire = wire;
    peer->is_connecting = true;
    uint64_t deadline_ns = world_now_ns(life) + DEADLINE_NS;
    EXPECT(engine_connect(life->peers_worker, &address, deadline_ns, NULL, peer,
                          &peer->connect_id) == SLUICE_OK);
}

static void listen_again(world_life *life, world_peer *peer) {
    if (peer->port == 0) {
        EXPECT(pipe_name_address("/peer", &peer->address, NULL) == SLUICE_OK);
    } else {
        engine_address_loopback(&peer->address, peer->port);
    }
    engine_listen_options options = {.backlog = 4};
    peer->is_listening = true;
    EXPECT(engine_listen(life->peers_worker, &peer->address, 1, &options, NULL, peer,
                         &peer->connect_id) == SLUICE_OK);
}

/* A simulated system may refuse. */
static void on_listening(world_peer *peer, const engine_completion *c) {
    peer->is_listening = false;
    peer->handle = c->status == SLUICE_OK ? c->opened[0] : NULL;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void on_completion(world_life *life, const engine_completion *c) {
    world_peer *peer = c->user;
    switch (c->kind) {
    case ENGINE_READ: on_read(life, peer, c); break;
    case ENGINE_WRITE: on_written(life, peer, c); break;
    case ENGINE_ACCEPT: on_accepted(life, peer, c); break;
    case ENGINE_LISTEN: on_listening(peer, c); break;
    case ENGINE_CONNECT: on_connected(life, peer, c); break;
    case ENGINE_CLOSE:
        if (peer != NULL) {
            on_closed(life, peer);
        }
        break;
    case ENGINE_HALF_CLOSE:
        if (c->status != SLUICE_OK) {
            hang_up(peer);
        }
        break;
    default: EXPECT(false);
    }
}

static void go_on(world_life *life) {
    for (unsigned i = 0; i < LISTENERS; i++) {
        world_peer *peer = &life->peers[i];
        if (peer->handle == NULL && !peer->is_listening && life->is_acting) {
            listen_again(life, peer);
        }
        if (is_open(peer) && !peer->is_accepting) {
            peer->is_accepting = true;
            EXPECT(engine_accept(peer->handle, peer, &peer->connect_id) == SLUICE_OK);
        }
    }
    for (unsigned i = LISTENERS; i < WORLD_PEERS_MAX; i++) {
        world_peer *peer = &life->peers[i];
        if (is_open(peer) && !peer->is_reading && !peer->is_stalled && !peer->is_cut) {
            uint32_t room = 1 + world_below(life, WORLD_PEER_BYTES);
            peer->is_reading = true;
            EXPECT(engine_read(peer->handle, peer->in, room, peer, &peer->read_id) == SLUICE_OK);
        }
    }
}

void peers_step(world_life *life) {
    if (!sim_worker_has_work(life->peers_worker)) {
        return;
    }
    engine_completion completions[BATCH];
    unsigned count = engine_poll(life->peers_worker, completions, BATCH, 0);
    for (unsigned i = 0; i < count; i++) {
        on_completion(life, &completions[i]);
    }
    go_on(life);
}

static void cancel_one(world_peer *peer, uint32_t dice, engine_worker *worker) {
    if (peer->is_connecting) {
        engine_cancel(worker, peer->connect_id);
    } else if (peer->is_reading && dice == 0) {
        engine_cancel(worker, peer->read_id);
    } else if (peer->is_writing) {
        engine_cancel(worker, peer->write_id);
    }
}

void peers_act(world_life *life, world_act act) {
    if (act == ACT_PEER_CONNECT) {
        connect_one(life);
        return;
    }
    uint32_t number = LISTENERS + world_below(life, WORLD_PEERS_MAX - LISTENERS);
    world_peer *peer = &life->peers[number];
    world_say(life, "peer %d: %s", number_of(life, peer), world_act_name(act));
    if (act == ACT_PEER_CANCEL) {
        cancel_one(peer, world_below(life, 2), life->peers_worker);
    } else if (!is_open(peer)) {
        return;
    } else if (act == ACT_PEER_WRITE) {
        write_some(life, peer);
    } else if (act == ACT_PEER_STALL) {
        peer->is_stalled = !peer->is_stalled;
    } else if (act == ACT_PEER_CLOSE) {
        hang_up(peer);
    } else if (may_write(peer) &&
               (engine_handle_capabilities(peer->handle) & ENGINE_CAN_HALF_CLOSE) != 0) {
        peer->has_ended_writing = true;
        EXPECT(engine_half_close(peer->handle, peer, NULL) == SLUICE_OK);
    }
    go_on(life);
}

/* ---- the beginning and the end --------------------------------------------------------------- */

void peers_start(world_life *life) {
    world_process *process = &life->peers_process;
    world_process_start(process);
    process->memory.fail_per_mille = 0;
    engine_options options = {.allocator = &process->memory.allocator,
                              .clock = &life->clock.clock,
                              .backend_options = &life->shared};
    EXPECT(engine_create(&engine_backend_sim, &options, &process->engine) == SLUICE_OK);
    EXPECT(engine_worker_create(process->engine, &life->peers_worker) == SLUICE_OK);
    process->is_up = true;
    for (unsigned i = 0; i < WORLD_PEERS_MAX; i++) {
        memset(&life->peers[i], 0, offsetof(world_peer, in));
    }
    life->peers[1].port = PORT;
    go_on(life);
}

void peers_settle(world_life *life) {
    for (unsigned i = LISTENERS; i < WORLD_PEERS_MAX; i++) {
        world_peer *peer = &life->peers[i];
        peer->is_stalled = false;
        if (peer->is_cut) {
            hang_up(peer);
        }
    }
    go_on(life);
}

void peers_check(world_life *life) {
    for (unsigned i = LISTENERS; i < WORLD_PEERS_MAX; i++) {
        const world_peer *peer = &life->peers[i];
        if (is_open(peer) && peer->wire != NULL && !peer->is_cut && peer->wire->is_bound) {
            EXPECT(!calls_write_waits(life, peer->wire, 1 - peer->side)); /* while the peer reads */
        }
        if (!is_open(peer) || !peer->has_said_name || peer->is_cut || peer->wire->is_bound) {
            continue;
        }
        const sim_connection *connection = sim_handle_of(peer->handle)->connection;
        bool is_gone = connection->closed[1] || connection->streams[0].reset;
        EXPECT(is_gone || peer->target == NULL || !calls_awaits(peer->target, peer->listener));
    }
}

void peers_hang_up(world_life *life) {
    for (unsigned i = 0; i < WORLD_PEERS_MAX; i++) {
        world_peer *peer = &life->peers[i];
        hang_up(peer);
        if (peer->is_connecting || peer->is_listening) {
            engine_cancel(life->peers_worker, peer->connect_id);
        }
    }
}

void peers_finish(world_life *life) {
    uint64_t end_ns = world_now_ns(life) + END_NS;
    while (engine_worker_destroy(life->peers_worker) != SLUICE_OK) {
        EXPECT(world_now_ns(life) < end_ns);
        (void)sim_world_step(life->world, world_now_ns(life) + SL_NS_PER_MS);
        peers_hang_up(life); /* what connected late */
        peers_step(life);
    }
    EXPECT(engine_destroy(life->peers_process.engine, 0) == SLUICE_OK);
    EXPECT(life->peers_process.memory.used_count == 0);
    world_process_end(&life->peers_process);
}
