/*
 * input.c - a session's standing read, its receive buffer, and the frames in it.
 *
 * One read is always armed unless complete frames still wait to be acted on, which happens on the
 * next wake: FRAMES_MAX and BYTES_MAX bound the work of a session per wake. The buffer follows the
 * traffic, from INPUT_BYTES_MIN to what the largest frame needs; an idle session has a small one.
 */
#include <string.h>

#include "broker/charge.h"
#include "broker/dispatch.h"
#include "broker/session.h"
#include "broker/worker.h"

#define INPUT_BYTES_MIN 4096u
#define INPUT_BYTES_MAX (256u * 1024)
#define FRAMES_MAX      32u
#define BYTES_MAX       (64u * 1024)

static void on_completion(broker_target *target, const engine_completion *completion);

int input_init(broker_session *session, sl_reason *ret_reason) {
    session_input *input = &session->input;
    input->target.on_completion = on_completion;
    input->wanted = INPUT_BYTES_MIN;
    return chunk_take(session, INPUT_BYTES_MIN, &input->chunk, ret_reason);
}

void input_deinit(broker_session *session) {
    SL_CHECK(!session->input.is_reading, "a buffer outlives its read");
    chunk_drop(session->input.chunk);
    session->input.chunk = NULL;
}

/* Makes the buffer `size` bytes long or longer, with what is in it at its front. */
static int resize(broker_session *session, uint32_t size) {
    session_input *input = &session->input;
    broker_chunk *fresh;
    int status = chunk_take(session, size, &fresh, NULL);
    if (status != SLUICE_OK) {
        return status;
    }
    memcpy(fresh->bytes, input->chunk->bytes + input->start, input->end - input->start);
    chunk_drop(input->chunk);
    input->chunk = fresh;
    input->end -= input->start;
    input->start = 0;
    return SLUICE_OK;
}

/* Room for at least `needed` bytes from input->start on. SLUICE_OK; ENOMEM; EQUOTA: no more than
 * the buffer has, which begins with them. */
static int make_room(broker_session *session, size_t needed) {
    session_input *input = &session->input;
    if (input->start == input->end) {
        input->start = input->end = 0;
        if (needed <= input->wanted && input->chunk->size / 4 >= input->wanted) {
            int status = resize(session, input->wanted);
            return status == SLUICE_EQUOTA ? SLUICE_OK : status; /* it is larger than that */
        }
    }
    size_t size = needed;
    if (needed < input->wanted && input->chunk->size < input->wanted) {
        size = input->wanted;
    }
    if (size > input->chunk->size) {
        int status = resize(session, (uint32_t)size);
        if (status != SLUICE_EQUOTA) {
            return status;
        }
    }
    if (needed > input->chunk->size - input->start || input->end == input->chunk->size) {
        memmove(input->chunk->bytes, input->chunk->bytes + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    return needed > input->chunk->size ? SLUICE_EQUOTA : SLUICE_OK;
}

/* What has come of a payload whose frame has been acted on. */
static void take_rest(broker_session *session) {
    session_input *input = &session->input;
    uint32_t count = input->end - input->start;
    count = count < input->rest ? count : input->rest;
    if (count > 0) {
        dispatch_piece(session, input->rest_id, input->chunk->bytes + input->start, count);
        input->start += count;
        input->rest -= count;
    }
}

/* There is no memory for a buffer that takes the next frame: it is acted on when its control
 * message is there, and its payload is handed on, or dropped, as it comes. So even then a write is
 * refused, and a cancel found behind it. Returns as parse(). */
static int parse_begun(broker_session *session, sl_reason *ret_reason) {
    session_input *input = &session->input;
    sl_frame frame;
    size_t needed;
    const uint8_t *at = input->chunk->bytes + input->start;
    if (!sl_frame_begin(at, input->end - input->start, &frame, &needed)) {
        /* No request is so long; what a later version may add is not worth a buffer for each. */
        return needed <= input->chunk->size ? SLUICE_OK : charge_refused(session, ret_reason);
    }
    int status = dispatch_frame(session, &frame, ret_reason);
    if (status == SLUICE_OK) {
        input->start = input->end = 0; /* it was all there was */
        input->rest = frame.payload_missing;
    }
    return status;
}

/* Acts on complete frames. SLUICE_OK: all that were there, *ret_needed tells how many bytes the
 * next one takes; EBUSY: more than one wake's share was there; otherwise the session must end. */
static int parse(broker_session *session, size_t *ret_needed, sl_reason *ret_reason) {
    session_input *input = &session->input;
    uint32_t begin = input->start;
    take_rest(session);
    for (unsigned i = 0; session->state < SESSION_LEAVING; i++) {
        sl_frame_limits limits = {session->limits.control_bytes, session->limits.fragment_bytes};
        sl_frame frame;
        sl_frame_result result =
            sl_frame_parse(input->chunk->bytes + input->start, input->end - input->start, &limits,
                           &frame, ret_needed, ret_reason);
        if (result == SL_FRAME_INCOMPLETE) {
            return SLUICE_OK;
        }
        if (result == SL_FRAME_VIOLATION) {
            return SLUICE_EPROTOCOL;
        }
        if (i == FRAMES_MAX || input->start - begin >= BYTES_MAX) {
            return SLUICE_EBUSY;
        }
        int status = dispatch_frame(session, &frame, ret_reason);
        if (status != SLUICE_OK) {
            return status;
        }
        input->start += (uint32_t)frame.length;
    }
    return SLUICE_OK;
}

void input_run(broker_session *session) {
    sl_reason reason = {""};
    size_t needed = SL_FRAME_HEADER_BYTES;
    if (session->state >= SESSION_LEAVING) {
        return;
    }
    int status = parse(session, &needed, &reason);
    if (status == SLUICE_OK && session->state < SESSION_LEAVING) {
        status = make_room(session, needed);
        if (status == SLUICE_EQUOTA) {
            status = parse_begun(session, &reason);
        }
    }
    if (session->state >= SESSION_LEAVING || session->is_held) {
        return;
    }
    if (status == SLUICE_EBUSY) {
        sl_list_push_back(&session->worker->runnable, &session->in_runnable);
        return;
    }
    if (status == SLUICE_EPROTOCOL) {
        session_violation(session, &reason);
        return;
    }
    if (status != SLUICE_OK) {
        session_leave(session, status, reason.text[0] != '\0' ? reason.text : "out of memory");
        return;
    }
    input_arm(session);
}

void input_arm(broker_session *session) {
    session_input *input = &session->input;
    int status = engine_read(session->pipe, input->chunk->bytes + input->end,
                             input->chunk->size - input->end, &input->target, NULL);
    if (status == SLUICE_OK) {
        input->is_reading = true;
    } else {
        session_leave(session, status, "the connection cannot be read");
    }
}

/* A buffer that was filled is too small; one that was hardly used is too large. */
static void follow_traffic(session_input *input, size_t bytes) {
    if (bytes == input->chunk->size - input->end) {
        input->wanted = input->wanted >= INPUT_BYTES_MAX / 4 ? INPUT_BYTES_MAX : input->wanted * 4;
    } else if (bytes < input->wanted / 16 && input->wanted > INPUT_BYTES_MIN) {
        input->wanted /= 4;
    }
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_session *session = SL_CONTAINER_OF(target, struct broker_session, input.target);
    session_input *input = &session->input;
    input->is_reading = false;
    if (session->state >= SESSION_LEAVING) {
        return;
    }
    if (completion->status != SLUICE_OK) {
        if (input->end > input->start) {
            (void)sl_reason_set(&session->leave_reason, completion->status, "connection",
                                "it ended in the middle of a frame");
        }
        session_end(session, completion->status); /* EEOF: the client has gone */
        return;
    }
    follow_traffic(input, completion->bytes);
    input->end += (uint32_t)completion->bytes;
    input_run(session);
}
