/*
 * output.c - what a session has to say, one write at a time.
 *
 * Operations that have ended queue here and are encoded only when the connection takes them: as
 * many as fit the output buffer go out in one write. Large payloads are sent from where they lie,
 * gathered between their headers, at most one fragment's worth a write and in turn with each other,
 * so that another reply waits behind one fragment at most. A client that takes nothing makes
 * nothing grow.
 */
#include <string.h>

#include "base/failpoint.h"
#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/reply.h"
#include "proto/frame.h"

#define SEGMENTS_MAX (2u * SESSION_HELD_MAX + 1)
#define DATA_BYTES_MAX (16u * 1024) /* of a stream, in turn with the others */
#define BULK_HEADER  (SL_RESPONSE_BYTES_PLAIN + SL_RESPONSE_BYTES_DETAIL)

/* A write that is being put together: pieces of the output buffer, and payloads between them. */
typedef struct output_gather {
    engine_buffer buffers[SEGMENTS_MAX];
    unsigned count;
    uint32_t begin; /* of the piece of the output buffer that is not in `buffers` yet */
    uint32_t payload_bytes;
} output_gather;

static void on_completion(broker_target *target, const engine_completion *completion);

int output_init(broker_session *session, sl_reason *ret_reason) {
    session_output *output = &session->output;
    output->target.on_completion = on_completion;
    return chunk_take(session, SESSION_OUTPUT_BYTES, &output->chunk, ret_reason);
}

static void drop_held(session_output *output) {
    while (output->held_count > 0) {
        chunk_drop(output->held[--output->held_count]);
    }
}

void output_deinit(broker_session *session) {
    session_output *output = &session->output;
    SL_CHECK(!output->is_writing, "what is sent outlives its write");
    SL_CHECK(sl_list_is_empty(&output->replies) && sl_list_is_empty(&output->bulk),
             "a session ends without replies");
    drop_held(output);
    chunk_drop(output->chunk);
    output->chunk = NULL;
}

static void push(session_output *output, broker_op *op) {
    sl_list_push_back(reply_is_bulk(op) ? &output->bulk : &output->replies, &op->link);
}

void output_take(broker_op *op) {
    broker_session *session = op->session;
    if (session_can_reply(session)) {
        push(&session->output, op);
    } else {
        (void)op_answered(op); /* those behind it end with their session */
    }
}

/* Its last frame is encoded. */
static void answered(session_output *output, broker_op *op) {
    broker_op *next = op_answered(op);
    if (next != NULL) {
        push(output, next);
        session_wants_flush(next->session);
    }
}

/* The reply that names these handles is encoded: Data may follow. */
static void announce(broker_op *op) {
    for (unsigned i = 0; i < op->opened_count; i++) {
        broker_handle *handle = handle_find(op->session, op->opened[i]);
        if (handle != NULL) {
            reading_announce(handle);
        }
    }
}

static bool is_empty(const broker_session *session) {
    const session_output *output = &session->output;
    bool has_data = !sl_list_is_empty(&output->telling) && session->state == SESSION_OPEN;
    bool owes_nothing = sl_list_is_empty(&output->replies) && sl_list_is_empty(&output->bulk) &&
                        !has_data && !output->owes_draining && !output->owes_goodbye;
    return (owes_nothing || output->has_said_goodbye) && !output->is_writing;
}

static uint8_t *place(session_output *output) {
    return output->chunk->bytes + output->length;
}

static size_t room(const session_output *output) {
    return output->chunk->size - output->length;
}

static void encode_small(broker_session *session) {
    session_output *output = &session->output;
    for (;;) {
        sl_list *node = sl_list_first(&output->replies);
        if (node == NULL) {
            return;
        }
        broker_op *op = SL_LIST_ENTRY(node, struct broker_op, link);
        if (room(output) < reply_bytes_max(op) + BULK_HEADER) {
            return;
        }
        output->length +=
            (uint32_t)reply_encode(op, op->data_length, true, place(output), room(output));
        if (op->data_length > 0) {
            memcpy(place(output), op_data(op), op->data_length);
            output->length += op->data_length;
        }
        announce(op);
        answered(output, op);
    }
}

static void add_segment(output_gather *gather, const uint8_t *bytes, size_t length) {
    if (length > 0) {
        SL_CHECK(gather->count < SEGMENTS_MAX, "a write has a limited number of pieces");
        gather->buffers[gather->count++] = (engine_buffer){bytes, length};
    }
}

/* Sends `length` bytes of a chunk behind what is in the output buffer so far. */
static void add_held(session_output *output, output_gather *gather, broker_chunk *chunk,
                     const uint8_t *bytes, size_t length) {
    add_segment(gather, output->chunk->bytes + gather->begin, output->length - gather->begin);
    gather->begin = output->length;
    add_segment(gather, bytes, length);
    output->held[output->held_count++] = chunk_share(chunk);
    gather->payload_bytes += (uint32_t)length;
}

/* The next frame of a large reply. false: it has to wait for the next write. */
static bool encode_bulk(broker_session *session, broker_op *op, output_gather *gather) {
    session_output *output = &session->output;
    uint32_t fragment_bytes = session->limits.fragment_bytes;
    if (op->kind == SL_REQUEST_OPS) {
        add_held(output, gather, op->data, op_data(op), op->data_length); /* it is a frame */
        answered(output, op);
        return true;
    }
    sl_fragment fragment = sl_fragment_at(op->data_length, op->sent, fragment_bytes);
    if (room(output) < BULK_HEADER ||
        (gather->payload_bytes > 0 && gather->payload_bytes + fragment.length > fragment_bytes)) {
        return false;
    }
    output->length +=
        (uint32_t)reply_encode(op, fragment.length, fragment.is_last, place(output), room(output));
    add_held(output, gather, op->data, op_data(op) + op->sent, fragment.length);
    if (fragment.is_last) {
        answered(output, op);
    } else {
        op->sent += fragment.length;
        sl_list_remove(&op->link);
        sl_list_push_back(&output->bulk, &op->link);
    }
    return true;
}

/* The next Data of a stream. */
static void encode_data(broker_session *session, broker_handle *handle, output_gather *gather) {
    session_output *output = &session->output;
    uint32_t most = session->limits.fragment_bytes;
    most = most < DATA_BYTES_MAX ? most : DATA_BYTES_MAX;
    sl_response response = {.kind = SL_RESPONSE_DATA};
    broker_chunk *chunk;
    const uint8_t *bytes;
    response.as.data.handle = handle->id;
    reading_tell(handle, most, &response.as.data.data, &chunk, &bytes);
    uint32_t length = response.as.data.data.length;
    size_t encoded;
    int status =
        sl_response_encode(&response, length, place(output), room(output), &encoded);
    SL_CHECK(status == SLUICE_OK, "there is room for a Data");
    output->length += (uint32_t)encoded;
    if (length > OP_SMALL_BYTES || length > room(output)) {
        add_held(output, gather, chunk, bytes, length);
    } else if (length > 0) {
        memcpy(place(output), bytes, length);
        output->length += length;
    }
    reading_told(handle);
}

static void encode_streams(broker_session *session, output_gather *gather) {
    session_output *output = &session->output;
    sl_list *node;
    while (session->state == SESSION_OPEN && (node = sl_list_first(&output->telling)) != NULL &&
           output->held_count < SESSION_HELD_MAX && room(output) >= BULK_HEADER) {
        encode_data(session, SL_CONTAINER_OF(reading_of(node), broker_handle, reading), gather);
    }
}

static void encode_events(broker_session *session) {
    session_output *output = &session->output;
    if (output->owes_draining) {
        broker_worker *worker = session->worker;
        uint64_t due_ns = worker->drain_timer.node.deadline_ns;
        uint64_t grace_ns = due_ns > worker->now_ns ? due_ns - worker->now_ns : 0;
        output->owes_draining = false;
        output->length += (uint32_t)reply_encode_draining(grace_ns, place(output), room(output));
    }
}

static void encode_goodbye(broker_session *session) {
    session_output *output = &session->output;
    if (output->owes_goodbye && sl_list_is_empty(&output->replies) &&
        sl_list_is_empty(&output->bulk) && room(output) >= SL_RESPONSE_BYTES_EVENT) {
        output->owes_goodbye = false;
        output->has_said_goodbye = true;
        output->length += (uint32_t)reply_encode_goodbye(
            session->leave_status, session->leave_reason.text, place(output), room(output));
    }
}

static void encode_bulks(broker_session *session, output_gather *gather) {
    session_output *output = &session->output;
    while (output->held_count < SESSION_HELD_MAX) {
        sl_list *node = sl_list_first(&output->bulk);
        if (node == NULL || !encode_bulk(session, SL_LIST_ENTRY(node, broker_op, link), gather)) {
            break;
        }
    }
}

/* Puts the next write together. Small replies leave room for a piece of something else; large ones
 * and streams go first in turn. */
static void encode(broker_session *session, output_gather *gather) {
    session_output *output = &session->output;
    output->length = 0;
    if (output->has_said_goodbye) {
        return;
    }
    encode_events(session);
    encode_small(session);
    output->bulk_is_first = !output->bulk_is_first;
    if (output->bulk_is_first) {
        encode_bulks(session, gather);
        encode_streams(session, gather);
    } else {
        encode_streams(session, gather);
        encode_bulks(session, gather);
    }
    encode_goodbye(session);
    add_segment(gather, output->chunk->bytes + gather->begin, output->length - gather->begin);
}

/* Watches that the client takes something (session_end.c). */
static void watch(broker_session *session) {
    broker_worker *worker = session->worker;
    session->output.since_ns = worker->now_ns;
    session->output.taken = 0;
    if (session->state == SESSION_OPEN && !sl_heap_contains(&session->timer.node)) {
        session_watch_progress(session);
    }
}

/* Leaving, or draining and nothing left to do: is it time to close? */
static void leave_further(broker_session *session) {
    if (!is_empty(session)) {
        return;
    }
    if (session->state == SESSION_LEAVING) {
        session_end(session, session->leave_status);
    } else if (session->live_count == 0 && worker_is_draining(session->worker) &&
               (session->has_left || !session->has_streams ||
                session->worker->state >= WORKER_CUT)) {
        session_leave(session, SLUICE_ESHUTDOWN, "the broker is stopping");
    }
}

void output_flush(broker_session *session) {
    session_output *output = &session->output;
    if (output->is_writing || session->state == SESSION_CLOSING) {
        return;
    }
    output_gather gather = {.count = 0};
    encode(session, &gather);
    if (gather.count == 0) {
        leave_further(session);
        return;
    }
    int status = SL_FAILPOINT(broker, send);
    if (status == SLUICE_OK) {
        status = engine_write(session->pipe, gather.buffers, gather.count, &output->target,
                              &output->write);
    }
    if (status != SLUICE_OK) {
        drop_held(output);
        session_end(session, status);
        return;
    }
    output->is_writing = true;
    watch(session);
    SL_FAILPOINT_PASS(broker, sent);
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_session *session = SL_CONTAINER_OF(target, struct broker_session, output.target);
    session_output *output = &session->output;
    output->is_writing = false;
    drop_held(output);
    if (session->state == SESSION_CLOSING) {
        session_wants_reap(session);
    } else if (completion->status != SLUICE_OK) {
        session_end(session, completion->status);
    } else {
        session_wants_flush(session);
    }
}
