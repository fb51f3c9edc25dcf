/*
 * one_handle_peer.c - the far end of the handle: requests of an engine worker of its own, which go
 * on by themselves. Who connects to a listener is a peer, too.
 */
#include "tests/model/one_handle.h"

#include "broker/pipe_name.h"

static void on_peer(model *m, const engine_completion *completion) {
    model_peer *peer = completion->user;
    if (peer == NULL) {
        if (completion->kind == ENGINE_ACCEPT && completion->status == SLUICE_OK) {
            m->arrived = completion->opened[0];
        }
        return;
    }
    switch (completion->kind) {
    case ENGINE_CONNECT:
        peer->is_connecting = false;
        peer->was_connected = completion->status == SLUICE_OK;
        peer->os = peer->was_connected ? completion->opened[0] : NULL;
        break;
    case ENGINE_READ:
        peer->is_reading = false;
        peer->in_count += (unsigned)completion->bytes;
        peer->end_status = completion->status;
        break;
    case ENGINE_WRITE:
        peer->is_writing = false;
        peer->sent += (unsigned)completion->bytes;
        EXPECT(completion->in_doubt == 0);
        break;
    default:
        EXPECT(completion->kind == ENGINE_CLOSE);
        peer->os = NULL;
        break;
    }
}

bool model_poll_peers(model *m) {
    engine_completion batch[16];
    if (m->peers_worker->ready.first == NULL) {
        return false;
    }
    unsigned count = engine_poll(m->peers_worker, batch, 16, 0);
    for (unsigned i = 0; i < count; i++) {
        on_peer(m, &batch[i]);
    }
    return count > 0;
}

void model_peer_read(model *m, model_peer *peer) {
    (void)m;
    if (peer->os != NULL && !peer->is_reading && !peer->is_closing &&
        peer->end_status == SLUICE_OK) {
        EXPECT(engine_read(peer->os, peer->in + peer->in_count, MODEL_BYTES_MAX - peer->in_count,
                           peer, NULL) == SLUICE_OK);
        peer->is_reading = true;
    }
}

void model_peer_close(model *m, model_peer *peer) {
    (void)m;
    if (peer->os != NULL && !peer->is_closing) {
        peer->is_closing = true;
        EXPECT(engine_close(peer->os, peer) == SLUICE_OK);
    }
}

model_peer *model_open_peer(model *m) {
    for (unsigned i = 0; i < MODEL_PEERS_MAX; i++) {
        if (m->peers[i].os != NULL && !m->peers[i].is_closing) {
            return &m->peers[i];
        }
    }
    return NULL;
}

void model_peer_sends(model *m) {
    static const uint8_t data[MODEL_DATA] = {1, 2};
    engine_address address;
    if (m->is_listener) {
        model_peer *peer = &m->peers[m->used[MODEL_DATA_COMES]];
        EXPECT(pipe_name_address(MODEL_LISTEN_NAME, &address, NULL) == SLUICE_OK);
        EXPECT(engine_connect(m->peers_worker, &address, SL_CLOCK_NEVER, NULL, peer, NULL) ==
               SLUICE_OK);
        peer->is_connecting = true;
        return;
    }
    engine_buffer buffer = {data, sizeof(data)};
    EXPECT(engine_write(m->peers[0].os, &buffer, 1, &m->peers[0], NULL) == SLUICE_OK);
    m->peers[0].is_writing = true;
}
