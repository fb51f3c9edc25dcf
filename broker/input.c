/*
 * input.c - a session's standing read, its receive buffer, and the frames in it.
 *
 * One read is always armed unless complete frames still wait to be acted on, which happens on the
 * next wake: FRAMES_MAX and BYTES_MAX bound the work of a session per wake. The buffer follows the
 * traffic, from INPUT_BYTES_MIN to what the largest frame needs; an idle session has a small one.
 */
#include <string.h>

#include "broker/dispatch.h"
#include "broker/session.h"
#include "broker/worker.h"

#define INPUT_BYTES_MIN 4096u
#define INPUT_BYTES_MAX (256u * 1024)
#define FRAMES_MAX      32u
#define BYTES_MAX       (64u * 1024)

static void on_completion(broker_target *target, const engine_completion *completion);

int input_init(broker_session *session) {
    session_input *input = &session->input;
    input->target.on_completion = on_completion;
    input->wanted = INPUT_BYTES_MIN;
    input->chunk = chunk_take(&session->worker->chunks, INPUT_BYTES_MIN);
    return input->chunk != NULL ? SLUICE_OK : SLUICE_ENOMEM;
}

void input_deinit(broker_session *session) {
    SL_CHECK(!session->input.is_reading, "a buffer outlives its read");
    chunk_drop(session->input.chunk);
    session->input.chunk = NULL;
}

/* Makes the buffer `size` bytes long or longer, with what is in it at its front. */
static int resize(broker_session *session, uint32_t size) {
    session_input *input = &session->input;
    broker_chunk *fresh = chunk_take(&session->worker->chunks, size);
    if (fresh == NULL) {
        return SLUICE_ENOMEM;
    }
    memcpy(fresh->bytes, input->chunk->bytes + input->start, input->end - input->start);
    chunk_drop(input->chunk);
    input->chunk = fresh;
    input->end -= input->start;
    input->start = 0;
    return SLUICE_OK;
}

/* Room for at least `needed` bytes from input->start on. */
static int make_room(broker_session *session, size_t needed) {
    session_input *input = &session->input;
    if (input->start == input->end) {
        input->start = input->end = 0;
        if (needed <= input->wanted && input->chunk->size / 4 >= input->wanted) {
            return resize(session, input->wanted);
        }
    }
    if (needed < input->wanted && input->chunk->size < input->wanted) {
        needed = input->wanted;
    }
    if (needed > input->chunk->size) {
        return resize(session, (uint32_t)needed);
    }
    if (needed > input->chunk->size - input->start || input->end == input->chunk->size) {
        memmove(input->chunk->bytes, input->chunk->bytes + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    return SLUICE_OK;
}

/* Acts on complete frames. SLUICE_OK: all that were there, *ret_needed tells how many bytes the
 * next one takes; EBUSY: more than one wake's share was there; otherwise the session must end. */
static int parse(broker_session *session, size_t *ret_needed, sl_reason *ret_reason) {
    session_input *input = &session->input;
    uint32_t begin = input->start;
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

void session_run(broker_session *session) {
    sl_reason reason = {""};
    size_t needed = SL_FRAME_HEADER_BYTES;
    if (session->state >= SESSION_LEAVING) {
        return;
    }
    int status = parse(session, &needed, &reason);
    if (session->state >= SESSION_LEAVING) {
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
    if (status == SLUICE_OK) {
        status = make_room(session, needed);
    }
    if (status != SLUICE_OK) {
        session_leave(session, status, "out of memory");
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
    session_run(session);
}
