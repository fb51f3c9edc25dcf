/*
 * one_handle_state.c - the fingerprint of a state: everything that what comes next can depend on.
 *
 * It covers what the client has been told and may still do, the session with its operations and
 * replies, the handle with its queues and bytes, the engine's requests and what is ready to be
 * delivered in its order, the kernel's side of them, the connection's bytes and flags, the peers,
 * and how long each timer still runs. Left out is what only looks back (counters, times of
 * beginning, the log), what pools keep for reuse, and addresses. That nothing needed is missing is
 * checked by trying small bounds without merging: the same outcomes are found (one_handle_test.c).
 */
#include "tests/model/one_handle.h"

static uint64_t bit(bool is_set, unsigned place) {
    return (uint64_t)is_set << place;
}

static void mix_bytes(uint64_t *f, const uint8_t *bytes, size_t count) {
    choices_mix(f, count);
    for (size_t i = 0; i < count; i++) {
        choices_mix(f, bytes[i]);
    }
}

/* How long it still runs, and how many come before it of those that are due at the same time. */
static void mix_timer(const model *m, uint64_t *f, const broker_timer *timer) {
    const sl_heap *timers = &m->worker->timers;
    if (!sl_heap_contains(&timer->node)) {
        choices_mix(f, UINT64_MAX);
        return;
    }
    const sl_heap_entry *own = &timers->entries[timer->node.position - 1];
    unsigned before = 0;
    for (uint32_t i = 0; i < timers->used; i++) {
        const sl_heap_entry *other = &timers->entries[i];
        before += other->node != NULL && other->deadline_ns == own->deadline_ns &&
                  other->sequence < own->sequence;
    }
    choices_mix(f, (own->deadline_ns - m->rig.manual.now_ns) << 4 | before);
}

static bool goes_to_peer(const model *m, const sim_stream *stream) {
    engine_handle *os = m->is_listener ? NULL : m->peers[0].os;
    return os != NULL && stream == sim_stream_in(sim_handle_of(os));
}

static void mix_stream(const model *m, uint64_t *f, const sim_stream *stream) {
    bool is_counted = !m->is_exact && goes_to_peer(m, stream); /* mix_past says the rest */
    choices_mix(f, stream->bytes.count);
    const sim_chunk *first = is_counted ? NULL : stream->bytes.head;
    for (const sim_chunk *chunk = first; chunk != NULL; chunk = chunk->next) {
        mix_bytes(f, chunk->bytes + chunk->begin, chunk->end - chunk->begin);
    }
    choices_mix(f, stream->fin | bit(stream->reset, 1) | bit(stream->reader_gone, 2));
}

static void mix_request(uint64_t *f, const engine_request *base) {
    const sim_request *request = SL_CONTAINER_OF(base, const sim_request, request);
    choices_mix(f, (uint64_t)base->kind << 8 | (uint64_t)base->state << 4 | base->cancel_asked);
    choices_mix(f, base->length);
    choices_mix(f, base->done);
    if (base->state == ENGINE_REQUEST_DONE) {
        choices_mix(f, (uint64_t)(uint32_t)base->status << 32 | base->os_error);
        choices_mix(f, base->bytes << 32 | base->in_doubt);
        if (base->kind == ENGINE_READ) {
            mix_bytes(f, base->buffer, base->bytes);
        }
    }
    if (base->kind == ENGINE_WRITE && base->length <= MODEL_WRITE) {
        mix_bytes(f, base->buffers[0].bytes, base->length);
    }
    if (base->state == ENGINE_REQUEST_STARTED) {
        choices_mix(f, (uint64_t)request->phase << 3 | (uint64_t)request->is_last_try << 2 |
                           bit(sl_heap_contains(&request->step.node), 1) |
                           sl_heap_contains(&request->abort.node));
        choices_mix(f, sl_list_is_linked(&request->stuck_link));
        choices_mix(f, (uint64_t)(uint32_t)request->fail_status);
        if (request->phase == SIM_PHASE_LATE) {
            choices_mix(f, (uint64_t)(uint32_t)request->late_status << 32 | request->late_bytes);
        }
    }
}

static void mix_requests(uint64_t *f, sl_list *list) {
    for (sl_list *node = list->next; node != list; node = node->next) {
        mix_request(f, SL_LIST_ENTRY(node, engine_request, link));
    }
    choices_mix(f, 0x11);
}

/* A handle of the engine, with the kernel's side of it. */
static void mix_os(const model *m, uint64_t *f, engine_handle *os) {
    sim_handle *handle = sim_handle_of(os);
    choices_mix(f,
                os->open | bit(os->closing, 1) | bit(os->closed, 2) | (uint64_t)os->pending << 8);
    for (unsigned i = 0; i < 2; i++) {
        mix_requests(f, &os->queue[i].started);
        mix_requests(f, &os->queue[i].waiting);
    }
    if (os->open && handle->connection != NULL) {
        const sim_connection *connection = handle->connection;
        choices_mix(f, connection->closed[0] | bit(connection->closed[1], 1));
        mix_stream(m, f, &connection->streams[0]);
        mix_stream(m, f, &connection->streams[1]);
    } else if (os->open) {
        choices_mix(f, handle->queue_count);
        choices_mix(f, sl_heap_contains(&handle->deal.node));
        for (sl_list *node = handle->queue.next; node != &handle->queue; node = node->next) {
            choices_mix(f, SL_LIST_ENTRY(node, sim_connection, link)->closed[0]);
        }
    }
}

/* A handle of the engine, by whose it is. */
static uint64_t name_of(model *m, const engine_handle *os) {
    broker_session *session = model_session(m);
    uint32_t cursor = 0;
    broker_handle *handle;
    while (session != NULL && (handle = sl_slots_next(&session->handles, &cursor)) != NULL) {
        if (handle->os == os) {
            return handle->id;
        }
    }
    if (os == m->worker->listener) {
        return 1;
    }
    return session != NULL && session->pipe == os ? 2 : 3;
}

/* What is ready, in its order. */
static void mix_ready(model *m, uint64_t *f) {
    const engine_worker *worker = m->worker->engine;
    for (engine_ready *ready = worker->ready.first; ready != NULL; ready = ready->next) {
        const engine_handle *handle;
        if (ready->is_handle) {
            handle = SL_CONTAINER_OF(ready, engine_handle, ready);
            choices_mix(f, 0x22);
        } else {
            engine_request *request = SL_CONTAINER_OF(ready, engine_request, ready);
            handle = request->handle;
            mix_request(f, request);
        }
        choices_mix(f, name_of(m, handle));
    }
    choices_mix(f, 0x23);
}

static uint64_t id_of(const broker_op *op) {
    return op != NULL ? op->id : 0;
}

static void mix_op(const model *m, uint64_t *f, const broker_op *op) {
    choices_mix(f, op->id);
    choices_mix(f, (uint64_t)op->kind << 8 | (uint64_t)op->state);
    choices_mix(f, (uint64_t)(uint32_t)op->cause << 32 | (uint32_t)op->status);
    choices_mix(f, (uint64_t)op->length << 32 | op->received);
    choices_mix(f, (uint64_t)op->done << 32 | op->in_doubt);
    choices_mix(f, op->is_all | bit(op->is_pinned, 1) | bit(op->is_answered, 2) |
                       bit(op->has_credit, 3) | bit(op->is_refusal, 4) |
                       bit(op->handle != NULL, 5) | (uint64_t)op->reserved_handles << 8 |
                       (uint64_t)op->opened_count << 16);
    if (op->kind == SL_REQUEST_READ) {
        mix_bytes(f, op_data(op), op->data_length);
    }
    mix_timer(m, f, &op->timer);
    choices_mix(f, id_of(op->next_answer));
    choices_mix(f, op->last_of != NULL);
}

static void mix_ops_of(uint64_t *f, const sl_list *list) {
    for (sl_list *node = list->next; node != list; node = node->next) {
        choices_mix(f, SL_LIST_ENTRY(node, broker_op, link)->id);
    }
    choices_mix(f, 0x33);
}

static void mix_handle(const model *m, uint64_t *f, broker_handle *handle) {
    choices_mix(f, handle->id);
    choices_mix(f, handle->state);
    choices_mix(f, handle->is_armed | bit(handle->is_flowing, 1) | bit(handle->is_torn, 2) |
                       bit(handle->is_accepting, 3) | bit(handle->ready != NULL, 4));
    mix_ops_of(f, &handle->readers);
    mix_ops_of(f, &handle->writers);
    mix_ops_of(f, &handle->accepters);
    choices_mix(f, id_of(handle->writing));
    choices_mix(f, id_of(handle->closer));
    choices_mix(f, id_of(handle->last_answer));
    choices_mix(f, (uint64_t)(uint32_t)handle->end_status);
    if (handle->chunk != NULL) {
        choices_mix(f, (uint64_t)handle->chunk->size << 32 | handle->chunk->references);
        choices_mix(f, handle->end);
        mix_bytes(f, handle->chunk->bytes + handle->start, handle->end - handle->start);
    }
    mix_os(m, f, handle->os);
    if (handle->ready != NULL) {
        mix_os(m, f, handle->ready);
    }
}

static void mix_session(const model *m, uint64_t *f, broker_session *session) {
    session_output *output = &session->output;
    choices_mix(f, session->state);
    choices_mix(f, bit(session->pipe != NULL, 4) | bit(zombie_is(&session->zombie), 3) |
                       sl_list_is_linked(&session->in_runnable) |
                       bit(sl_list_is_linked(&session->in_flushing), 1) |
                       bit(sl_list_is_linked(&session->in_reaping), 2));
    choices_mix(f, session->input.is_reading | bit(output->is_writing, 1));
    mix_bytes(f, session->input.chunk->bytes + session->input.start,
              session->input.end - session->input.start);
    choices_mix(f, session->quota.operations);
    choices_mix(f, session->quota.bytes << 32 | session->quota.handles);
    choices_mix(f, session->quota.shared << 32 | session->quota.refusals);
    mix_ops_of(f, &output->replies);
    mix_ops_of(f, &output->bulk);
    if (session->state == SESSION_CLOSING) { /* else it is for a client that takes no replies */
        mix_timer(m, f, &session->timer);
    }
    if (session->pipe != NULL) {
        mix_os(m, f, session->pipe);
    }
    sl_list *lists[] = {&session->ops, &session->ending};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(lists); i++) {
        for (sl_list *node = lists[i]->next; node != lists[i]; node = node->next) {
            mix_op(m, f, SL_LIST_ENTRY(node, broker_op, in_session));
        }
        choices_mix(f, 0x44);
    }
    uint32_t cursor = 0;
    broker_handle *handle;
    while ((handle = sl_slots_next(&session->handles, &cursor)) != NULL) {
        mix_handle(m, f, handle);
    }
}

static void mix_reply(uint64_t *f, const raw_reply *reply) {
    choices_mix(f, (uint64_t)(uint32_t)reply->status);
    choices_mix(f, reply->done << 32 | reply->in_doubt);
    choices_mix(f, reply->opened_count);
    mix_bytes(f, reply->payload, reply->length);
}

/* Has it ended for good? A zombie has not. */
static bool is_past(model *m, unsigned index) {
    broker_session *session = model_session(m);
    if (session == NULL || !m->ops[index].has_reply) {
        return m->ops[index].has_reply;
    }
    for (sl_list *node = session->ops.next; node != &session->ops; node = node->next) {
        if (SL_LIST_ENTRY(node, broker_op, in_session)->id == m->ops[index].id) {
            return false;
        }
    }
    return true;
}

/* What has been said and sent, as far as what comes is judged by it. */
static void mix_past(model *m, uint64_t *f) {
    model_past past = model_past_of(m);
    choices_mix(f, past.taken << 33 | (uint64_t)(uint32_t)past.read_end << 1 | past.is_torn);
    for (unsigned i = 0; i < m->sent_count; i++) {
        choices_mix(f, m->is_listener || is_past(m, i) ? 0 : model_out(m, i) + 1);
    }
}

static void mix_test(model *m, uint64_t *f) {
    bool must_end = m->has_read_error && m->close_id == 0 && !m->is_gone; /* one_handle_end.c */
    choices_mix(f, bit(must_end, 63) | (uint64_t)m->late << 8 | m->errors);
    choices_mix(f, (uint64_t)m->sent_count << 16 | (uint64_t)m->events << 8 | m->is_gone);
    for (unsigned i = 0; i < MODEL_EVENT_KINDS; i++) {
        choices_mix(f, m->used[i]);
    }
    for (unsigned i = 0; i < m->sent_count; i++) {
        choices_mix(f, m->ops[i].is_cancelled | bit(m->ops[i].has_reply, 1));
        if (m->is_exact && m->ops[i].has_reply) {
            mix_reply(f, &m->ops[i].reply);
        }
    }
    choices_mix(f, (m->close_id != 0) | bit(m->is_closed, 1));
    if (m->is_exact) {
        choices_mix(f, m->is_closed ? (uint64_t)(uint32_t)m->close_reply.status : 0);
    } else {
        mix_past(m, f);
    }
    for (unsigned i = 0; i < MODEL_PEERS_MAX; i++) {
        const model_peer *peer = &m->peers[i];
        choices_mix(f, (peer->os != NULL) | bit(peer->is_connecting, 1) | bit(peer->is_reading, 2) |
                           bit(peer->is_writing, 3) | bit(peer->is_closing, 4) |
                           bit(peer->was_connected, 5));
        choices_mix(f, (uint64_t)peer->sent << 32 | (uint32_t)peer->end_status);
        mix_bytes(f, peer->in, m->is_exact ? peer->in_count : 0);
        if (peer->os != NULL) {
            mix_os(m, f, peer->os);
        }
    }
}

uint64_t model_fingerprint(model *m) {
    uint64_t f = 1;
    broker_session *session = model_session(m);
    mix_test(m, &f);
    mix_ready(m, &f);
    if (session != NULL) {
        mix_session(m, &f, session);
    }
    return f;
}
