/*
 * one_handle_end.c - the end of a run: from any state, everything ends in time and was true.
 *
 * The kernel stops choosing: what is asked is done. Then a client that is still there gets an
 * answer to everything (its last reads show that no byte was lost), peer and client leave, and
 * nothing may be left.
 */
#include "tests/model/one_handle.h"

#include <string.h>

#define LONG_NS (60 * SL_NS_PER_S)

static void step(model *m, uint64_t *since_ns) {
    rig_wait(&m->rig, since_ns);
    model_settle(m);
}

static bool is_reading(model_op_kind kind) {
    return kind == MODEL_OP_READ || kind == MODEL_OP_READ_ALL;
}

/* All that were sent and are not reads, or all. */
static void await_ops(model *m, bool reads_too) {
    uint64_t since_ns = 0;
    for (unsigned i = 0; i < m->sent_count; i++) {
        bool waits = reads_too || !is_reading(m->scenario->ops[i]);
        while (waits && !m->ops[i].has_reply) {
            model_peer_read(m, &m->peers[0]);
            step(m, &since_ns);
        }
    }
}

/* ---- what was read ---- */

/* The peer sends 1, 2, 3: each byte is read once, in order of the reads. Returns how many were. */
static unsigned check_reads(const model *m, const raw_reply *last) {
    unsigned next = 1;
    for (unsigned i = 0; i <= m->sent_count; i++) {
        const raw_reply *reply = last;
        if (i < m->sent_count) {
            if (!is_reading(m->scenario->ops[i]) || !m->ops[i].has_reply) {
                continue;
            }
            reply = &m->ops[i].reply;
            EXPECT(reply->length <= MODEL_READ_ALL);
        }
        EXPECT(reply->length == reply->done);
        for (size_t k = 0; k < reply->length; k++) {
            EXPECT(reply->payload[k] == next);
            next++;
        }
    }
    return next - 1;
}

/* What the stream ends with is told to each later read, and no byte comes behind it. */
static void check_latched(const model *m, const raw_reply *last) {
    int end = SLUICE_OK;
    for (unsigned i = 0; i <= m->sent_count; i++) {
        const raw_reply *reply = i < m->sent_count ? &m->ops[i].reply : last;
        if (i < m->sent_count && (!is_reading(m->scenario->ops[i]) || !m->ops[i].has_reply)) {
            continue;
        }
        bool is_end = reply->status == SLUICE_EEOF || reply->status == SLUICE_ERESET ||
                      reply->status == SLUICE_EOS;
        EXPECT(end == SLUICE_OK || (reply->status != SLUICE_OK && reply->length == 0));
        EXPECT(end == SLUICE_OK || !is_end || reply->status == end);
        end = is_end ? reply->status : end;
    }
}

/* The peer reads what is there. All of it is there: nothing is with the kernel any more. */
static void drain_peer(model *m) {
    model_peer *peer = &m->peers[0];
    uint64_t since_ns = 0;
    while (peer->os != NULL && !peer->is_closing && peer->end_status == SLUICE_OK) {
        sim_handle *os = sim_handle_of(peer->os);
        if (peer->is_reading && sim_stream_in(os)->bytes.count == 0 &&
            rig_counters(&m->rig).zombies == 0) {
            peer->has_all = true;
            return;
        }
        model_peer_read(m, peer);
        step(m, &since_ns);
    }
    peer->has_all = peer->end_status == SLUICE_EEOF;
}

/* The last read takes what is left. */
static void end_stream(model *m) {
    model_peer *peer = &m->peers[0];
    uint64_t since_ns = 0;
    raw_reply last;
    bool was_asked_to_close = m->close_id != 0;
    uint64_t id = start_read(m->client, m->handle, MODEL_BYTES_MAX, true, LONG_NS);
    await_ops(m, false);
    while (peer->is_writing && !client_has(m->client, id)) {
        step(m, &since_ns);
    }
    drain_peer(m);
    model_peer_close(m, peer);
    EXPECT(client_await(m->client, id, &last));
    await_ops(m, true);
    unsigned got = check_reads(m, &last);
    EXPECT(got <= MODEL_DATA);
    check_latched(m, &last);
    EXPECT(!m->has_read_error || last.status == SLUICE_EOS || was_asked_to_close);
    if (last.status == SLUICE_EEOF && !was_asked_to_close) {
        EXPECT(got == peer->sent); /* cancelled reads have lost nothing */
    }
    reply_free(&last);
}

/* ---- what was written ---- */

/* What arrived of each write: between done and done + in_doubt bytes, its first ones. */
static void check_writes(const model *m) {
    const model_peer *peer = &m->peers[0];
    unsigned at = 0;
    for (unsigned i = 0; i < m->sent_count; i++) {
        if (m->scenario->ops[i] != MODEL_OP_WRITE) {
            continue;
        }
        const raw_reply *reply = &m->ops[i].reply;
        unsigned arrived = 0;
        while (at < peer->in_count && arrived < MODEL_WRITE &&
               peer->in[at] == 0x10 * (i + 1) + arrived) {
            at++;
            arrived++;
        }
        if (m->ops[i].has_reply) {
            EXPECT(reply->done + reply->in_doubt <= MODEL_WRITE);
            EXPECT(arrived <= reply->done + reply->in_doubt);
            EXPECT(!peer->has_all || reply->done <= arrived);
            EXPECT(reply->status != SLUICE_OK || reply->done == MODEL_WRITE);
            EXPECT(reply->status != SLUICE_OK || reply->in_doubt == 0);
            EXPECT(reply->status != SLUICE_ETORN || reply->done + reply->in_doubt == 0);
        }
    }
    EXPECT(at == peer->in_count);
}

/* Behind a write that ended in its middle nothing is sent. */
static void check_torn(const model *m) {
    bool is_torn = false;
    for (unsigned i = 0; i < m->sent_count; i++) {
        const raw_reply *reply = &m->ops[i].reply;
        model_op_kind kind = m->scenario->ops[i];
        if (!m->ops[i].has_reply || (kind != MODEL_OP_WRITE && kind != MODEL_OP_HALF_CLOSE)) {
            continue;
        }
        EXPECT(!is_torn || (reply->status != SLUICE_OK && reply->done + reply->in_doubt == 0));
        is_torn =
            is_torn || (kind == MODEL_OP_WRITE &&
                        ((reply->done > 0 && reply->done < MODEL_WRITE) || reply->in_doubt > 0));
    }
}

/* ---- accepts ---- */

/* Accepts that wait are cancelled; everybody who could connect is accepted, by one of those or by
 * one more. */
static void end_listener(model *m) {
    unsigned accepted = 0;
    unsigned connected = 0;
    uint64_t since_ns = 0;
    bool is_open = m->close_id == 0;
    for (unsigned i = 0; i < m->sent_count; i++) {
        send_cancel(m->client, m->ops[i].id);
    }
    await_ops(m, false);
    for (unsigned i = 0; i < m->sent_count; i++) {
        accepted += m->ops[i].reply.status == SLUICE_OK;
        EXPECT(m->ops[i].reply.opened_count == (m->ops[i].reply.status == SLUICE_OK));
    }
    for (unsigned i = 0; i < MODEL_PEERS_MAX; i++) {
        while (m->peers[i].is_connecting) {
            step(m, &since_ns);
        }
        connected += m->peers[i].was_connected;
    }
    EXPECT(accepted <= connected);
    while (is_open && accepted < connected) {
        raw_reply reply;
        EXPECT(call_plain(m->client, SL_REQUEST_ACCEPT, m->handle, &reply) == SLUICE_OK);
        EXPECT(reply.opened_count == 1);
        reply_free(&reply);
        accepted++;
    }
}

/* ---- all of it ---- */

static void leave(model *m) {
    uint64_t since_ns = 0;
    for (unsigned i = 0; i < MODEL_PEERS_MAX; i++) {
        model_peer *peer = &m->peers[i];
        while (peer->is_connecting) {
            step(m, &since_ns);
        }
        while (m->is_gone && !m->is_listener && peer->os != NULL && !peer->is_closing &&
               peer->end_status == SLUICE_OK) { /* to the end that the broker makes */
            model_peer_read(m, peer);
            step(m, &since_ns);
        }
        peer->has_all = peer->has_all || peer->end_status == SLUICE_EEOF;
        model_peer_close(m, peer);
        while (peer->os != NULL) {
            step(m, &since_ns);
        }
    }
}

void model_end(model *m) {
    sim_world_calm(m->rig.world);
    if (!m->is_gone && m->is_listener) {
        end_listener(m);
    } else if (!m->is_gone) {
        end_stream(m);
    }
    if (!m->is_gone && m->close_id != 0) {
        uint64_t since_ns = 0;
        while (!m->is_closed) {
            step(m, &since_ns);
        }
        EXPECT(m->close_reply.status == SLUICE_OK || m->close_reply.status == SLUICE_EABANDONED);
    }
    leave(m);
    if (!m->is_listener) {
        check_writes(m);
        check_torn(m);
    }
    client_close(m->client);
    rig_await_empty(&m->rig);
    for (unsigned i = 0; i < m->sent_count; i++) {
        unsigned status = (unsigned)-m->ops[i].reply.status;
        EXPECT(status < MODEL_STATUSES);
        m->ends[m->scenario->ops[i]][status] += m->ops[i].has_reply;
        reply_free(&m->ops[i].reply);
    }
    reply_free(&m->close_reply);
}
