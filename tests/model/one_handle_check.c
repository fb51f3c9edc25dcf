/*
 * one_handle_check.c - what must hold whenever the worker has looked, not only at the end: each
 * operation that has not ended will be ended in time, and for the reason that came first; what is
 * told to be closed is closed.
 *
 * It looks into the broker: a search whose clock moves from timer to timer never gets to a deadline
 * that nobody has set a timer for.
 */
#include <string.h>

#include "broker/op.h"
#include "tests/model/one_handle.h"

uint64_t model_timeout_ns(unsigned index) {
    static const uint64_t timeouts_ns[MODEL_OPS_MAX] = {MODEL_FIRST_NS, 0, MODEL_THIRD_NS};
    return timeouts_ns[index];
}

/* Its worker wakes by then, if nothing comes before. */
static void expect_wake(model *m, uint64_t by_ns) {
    EXPECT(broker_worker_deadline_ns(m->rig.broker, 0) <= by_ns);
}

static void check_op(model *m, model_op *op, uint64_t timeout_ns) {
    const broker_op *at_broker = op_find(model_session(m), op->id);
    uint64_t now_ns = m->rig.manual.now_ns;
    if (at_broker == NULL || at_broker->state >= OP_ENDED) {
        return; /* its reply is on its way */
    }
    EXPECT(op->cause == 0 || at_broker->cause == op->cause); /* the first wins */
    op->cause = at_broker->cause;
    if (op->due_ns == 0) { /* the broker has just heard of it */
        op->due_ns = timeout_ns != 0 ? now_ns + timeout_ns : SL_CLOCK_NEVER;
    }
    if (at_broker->state == OP_CANCELLING) {
        expect_wake(m, now_ns + worker_limits(m->worker)->call_grace_ns / 2);
    } else {
        expect_wake(m, op->due_ns);
    }
}

void model_check_look(model *m) {
    broker_session *session = model_session(m);
    for (unsigned i = 0; i < m->sent_count && session != NULL; i++) {
        if (!m->ops[i].has_reply) {
            check_op(m, &m->ops[i], model_timeout_ns(i));
        }
    }
}

static bool is_cause(int status) {
    return status == SLUICE_ECANCELED || status == SLUICE_ETIMEDOUT || status == SLUICE_ECLOSED;
}

/* ---- what is out ---- */

/* The bytes that have left by the handle, in their order, as far as they were not dropped. */
static unsigned bytes_out(const model *m, uint8_t bytes[2 * MODEL_BYTES_MAX]) {
    const model_peer *peer = &m->peers[0];
    unsigned count = peer->in_count;
    memcpy(bytes, peer->in, count);
    if (peer->os == NULL || m->is_listener) {
        return count;
    }
    const sim_chunk *chunk = sim_stream_in(sim_handle_of(peer->os))->bytes.head;
    for (; chunk != NULL; chunk = chunk->next) {
        EXPECT(chunk->end - chunk->begin <= MODEL_BYTES_MAX);
        memcpy(bytes + count, chunk->bytes + chunk->begin, chunk->end - chunk->begin);
        count += chunk->end - chunk->begin;
    }
    return count;
}

unsigned model_out(const model *m, unsigned index) {
    uint8_t bytes[2 * MODEL_BYTES_MAX];
    unsigned count = bytes_out(m, bytes);
    unsigned out = 0;
    for (unsigned i = 0; i < count; i++) {
        out += bytes[i] >> 4 == index + 1;
    }
    return out;
}

/* Each write's first bytes, write after write: whatever is dropped is dropped at the end. */
static void check_order(const model *m) {
    uint8_t bytes[2 * MODEL_BYTES_MAX];
    unsigned count = bytes_out(m, bytes);
    for (unsigned i = 0; i < count; i++) {
        bool goes_on = i > 0 && bytes[i] == bytes[i - 1] + 1;
        bool begins = (bytes[i] & 0xf) == 0 && (i == 0 || bytes[i] > bytes[i - 1]);
        EXPECT(goes_on || begins);
    }
}

/* ---- replies ---- */

static bool is_sending(model_op_kind kind) {
    return kind == MODEL_OP_WRITE || kind == MODEL_OP_HALF_CLOSE;
}

static void check_sent(const model *m, unsigned index) {
    const raw_reply *reply = &m->ops[index].reply;
    const model_peer *peer = &m->peers[0];
    uint64_t most = reply->done + reply->in_doubt;
    unsigned out = model_out(m, index);
    bool is_write = m->scenario->ops[index] == MODEL_OP_WRITE;
    EXPECT(most <= (is_write ? MODEL_WRITE : 0));
    EXPECT(reply->status != SLUICE_OK || most == reply->done);
    EXPECT(reply->status != SLUICE_OK || !is_write || reply->done == MODEL_WRITE);
    EXPECT(reply->status != SLUICE_ETORN || most == 0);
    EXPECT(out <= most);
    EXPECT(reply->done <= out || peer->os == NULL || peer->is_closing); /* it drops them */
    check_order(m);
    for (unsigned i = 0; i < index; i++) { /* nothing goes out before those in front of it */
        bool is_past = !is_sending(m->scenario->ops[i]) || m->ops[i].has_reply;
        EXPECT(is_past || (reply->status != SLUICE_OK && most == 0));
    }
}

static bool tears(const model_op *op) {
    const raw_reply *reply = &op->reply;
    return (reply->done > 0 && reply->done < MODEL_WRITE) || reply->in_doubt > 0;
}

static bool ends_stream(int status) {
    return status == SLUICE_EEOF || status == SLUICE_ERESET || status == SLUICE_EOS;
}

model_past model_past_of(const model *m) {
    model_past past = {0};
    for (unsigned i = 0; i < m->sent_count; i++) {
        const model_op *op = &m->ops[i];
        model_op_kind kind = m->scenario->ops[i];
        if (!op->has_reply) {
            continue;
        }
        if (is_sending(kind)) {
            past.is_torn = past.is_torn || (kind == MODEL_OP_WRITE && tears(op));
            continue;
        }
        past.taken += op->reply.length + op->reply.opened_count;
        if (kind != MODEL_OP_ACCEPT && ends_stream(op->reply.status)) {
            past.read_end = op->reply.status;
        }
    }
    return past;
}

void model_check_reply(model *m, unsigned index) {
    model_op *op = &m->ops[index];
    const raw_reply *reply = &op->reply;
    model_past past = model_past_of(m); /* without this one */
    EXPECT(op->cause == 0 || !is_cause(reply->status) || reply->status == op->cause);
    if (m->is_exploring && is_sending(m->scenario->ops[index])) {
        check_sent(m, index);
        EXPECT(!past.is_torn || (reply->status != SLUICE_OK && reply->done + reply->in_doubt == 0));
    } else if (m->is_exploring) {
        for (size_t k = 0; k < reply->length; k++) {
            EXPECT(reply->payload[k] == past.taken + k + 1);
        }
        EXPECT(past.read_end == SLUICE_OK || (reply->status != SLUICE_OK && reply->length == 0));
        EXPECT(past.read_end == SLUICE_OK || !ends_stream(reply->status) ||
               reply->status == past.read_end);
    }
    if (m->is_exploring && m->outcomes != NULL) {
        uint64_t outcome = (uint64_t)index << 8 | (uint64_t)m->scenario->ops[index];
        choices_mix(&outcome, (uint64_t)(uint32_t)reply->status << 32 | (uint32_t)reply->length);
        choices_mix(&outcome, reply->done << 32 | reply->in_doubt);
        (void)choices_is_new(m->outcomes, outcome);
    }
}

void model_check_closed(model *m) {
    broker_session *session = model_session(m);
    for (unsigned i = 0; i < m->sent_before_close; i++) {
        EXPECT(m->ops[i].has_reply);
    }
    EXPECT(m->close_reply.status == SLUICE_OK || m->close_reply.status == SLUICE_EABANDONED);
    if (m->close_reply.status == SLUICE_OK && session != NULL) {
        EXPECT(sl_slots_find(&session->handles, m->handle) == NULL);
    }
}
