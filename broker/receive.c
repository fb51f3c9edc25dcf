/*
 * receive.c - reading: the standing receive of a handle, and those who wait for its bytes.
 *
 * A read's bytes are not copied: its reply refers to the handle's chunk, and the rest of the chunk
 * goes on being filled (so that many small reads do not hold a large chunk each). Few bytes are
 * copied into the operation instead; a read of `all` that takes several receives collects them in
 * a chunk of its own, for which it holds credit; and so do others when the session's replies keep
 * too much alive (quota_take_shared).
 */
#include <string.h>

#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/kernel.h"
#include "broker/quota.h"

#define TAIL_BYTES_MIN \
    CHARGE_SPARE_BYTES /* worth receiving into, while replies refer to the front */

#define FEEDS_MAX 64u /* in one wake */

static void on_completion(broker_target *target, const engine_completion *completion);

static uint32_t available(const broker_handle *handle) {
    return handle->end - handle->start;
}

static void rewind_chunk(broker_handle *handle) {
    if (handle->chunk != NULL && handle->start == handle->end && handle->chunk->references == 1 &&
        !handle->is_armed) {
        handle->start = handle->end = 0;
    }
}

void handle_release_buffer(broker_handle *handle) {
    SL_CHECK(!handle->is_armed, "a buffer belongs to the engine while a receive is armed");
    chunk_drop(handle->chunk);
    handle->chunk = NULL;
    handle->start = handle->end = 0;
}

/* Adds `count` bytes to what a read has that gets `most` in the end. SLUICE_OK, EQUOTA, ENOMEM:
 * then it has taken none, also before. */
static int collect(broker_handle *handle, broker_op *op, uint32_t count, uint32_t most,
                   sl_reason *ret_reason) {
    uint8_t *to = op->small.bytes;
    if (most > OP_SMALL_BYTES) {
        if (op->data == NULL) {
            int status = chunk_take(op->session, most, &op->data, ret_reason);
            if (status != SLUICE_OK) {
                return status;
            }
        }
        to = op->data->bytes;
    }
    memcpy(to + op->data_length, handle->chunk->bytes + handle->start, count);
    op->data_length += count;
    return SLUICE_OK;
}

/* Gives *count bytes to a read that gets no more than these; or fewer, where there is no memory for
 * more and the read takes any number. SLUICE_OK, EQUOTA, ENOMEM. */
static int give(broker_handle *handle, broker_op *op, uint32_t *count, sl_reason *ret_reason) {
    if (*count > OP_SMALL_BYTES && quota_take_shared(op, handle->chunk->size)) {
        op->data = chunk_share(handle->chunk);
        op->data_at = handle->start;
        op->data_length = *count;
        return SLUICE_OK;
    }
    int status = collect(handle, op, *count, *count, ret_reason);
    if (status == SLUICE_EQUOTA && !op->is_all) {
        *count = OP_SMALL_BYTES;
        status = collect(handle, op, *count, *count, ret_reason);
    }
    return status;
}

/* true: the read has ended. */
static bool serve(broker_handle *handle, broker_op *op) {
    uint32_t count = available(handle);
    if (count == 0 || op->length == 0) {
        if (count == 0 && handle->end_status == 0) {
            return false;
        }
        int status = count > 0 ? SLUICE_OK : handle->end_status;
        op_finish(op, status, count > 0 ? 0 : handle->end_os_error);
        return true;
    }
    uint32_t wanted = op->length - op->done;
    count = count < wanted ? count : wanted;
    bool is_whole = op->done == 0 && (!op->is_all || count == wanted);
    sl_reason reason;
    int status = is_whole ? give(handle, op, &count, &reason)
                          : collect(handle, op, count, op->length, &reason);
    if (status != SLUICE_OK) {
        op_refuse(op, status, status == SLUICE_EQUOTA ? &reason : NULL);
        return true;
    }
    op->done += count;
    handle->start += count;
    if (op->is_all && op->done < op->length) {
        return serve(handle, op); /* the chunk is empty now: waits, or meets the end */
    }
    op_finish(op, SLUICE_OK, 0);
    return true;
}

/* Finds room for the next receive: where there is no memory for what it wants, the smallest.
 * SLUICE_OK; EBUSY: it must wait for that, too; ENOMEM. */
static int make_room(broker_handle *handle) {
    broker_session *session = handle->session;
    const sl_limits *limits = worker_limits(session->worker);
    uint64_t size = handle->is_flowing ? limits->receive_buffer_bytes : limits->idle_buffer_bytes;
    uint32_t wanted = size < TAIL_BYTES_MIN ? TAIL_BYTES_MIN : (uint32_t)size;
    rewind_chunk(handle);
    bool is_usable = handle->chunk != NULL && handle->chunk->size - handle->end >= TAIL_BYTES_MIN;
    bool is_small = is_usable && handle->end == 0 && handle->chunk->size < wanted;
    if (is_usable && !is_small) {
        return SLUICE_OK;
    }
    broker_chunk *fresh;
    int status = chunk_take(session, wanted, &fresh, NULL);
    if (status == SLUICE_EQUOTA && is_usable) {
        return SLUICE_OK;
    }
    if (status == SLUICE_EQUOTA) {
        status = chunk_take_spare(session, &fresh);
    }
    if (status == SLUICE_EBUSY) {
        handle_release_buffer(handle); /* it may be the one that is waited for */
    }
    if (status != SLUICE_OK) {
        return status;
    }
    handle_release_buffer(handle);
    handle->chunk = fresh;
    return SLUICE_OK;
}

/* Arms the receive, if it is not. With no idle buffer a quiet handle waits with an empty one. */
static int arm(broker_handle *handle, bool has_data) {
    uint64_t idle_bytes = worker_limits(handle->session->worker)->idle_buffer_bytes;
    void *to = NULL;
    uint32_t room = 0;
    if (handle->is_armed) {
        return SLUICE_OK;
    }
    if (idle_bytes > 0 || handle->is_flowing || has_data) {
        int status = make_room(handle);
        if (status != SLUICE_OK) {
            return status;
        }
        to = handle->chunk->bytes + handle->end;
        room = handle->chunk->size - handle->end;
    } else {
        handle_release_buffer(handle);
    }
    handle->receive_target.on_completion = on_completion;
    int status = engine_read(handle->os, to, room, &handle->receive_target, NULL);
    if (status == SLUICE_OK) {
        handle->is_armed = true;
        handle->armed_bytes = room;
    }
    return status;
}

static void serve_all(broker_handle *handle, bool has_data) {
    for (;;) {
        sl_list *node = sl_list_first(&handle->readers);
        if (node == NULL) {
            break;
        }
        broker_op *op = SL_LIST_ENTRY(node, struct broker_op, link);
        if (serve(handle, op)) {
            continue;
        }
        int status = handle->state == HANDLE_OPEN ? arm(handle, has_data) : SLUICE_OK;
        if (status == SLUICE_EBUSY) {
            charge_starve(handle);
        }
        if (status == SLUICE_OK || status == SLUICE_EBUSY) {
            return;
        }
        op_finish(op, status, 0);
    }
    if (!handle->is_armed && available(handle) == 0) {
        handle_release_buffer(handle);
    }
}

/* The one that has waited longest first. One that still gets nothing goes to the front again.
 * Whoever waits for a buffer knows that there is data, or does without a probe. */
void receive_feed(broker_session *session) {
    sl_list *starving = &session->memory.starving;
    for (uint32_t i = 0; i < FEEDS_MAX; i++) {
        sl_list *node = sl_list_pop_front(starving);
        if (node == NULL) {
            return;
        }
        broker_handle *handle = SL_LIST_ENTRY(node, broker_handle, in_starving);
        if (handle->reading.is_open) {
            reading_continue(handle);
        } else {
            serve_all(handle, true);
        }
        if (sl_list_is_linked(&handle->in_starving)) {
            sl_list_remove(&handle->in_starving);
            sl_list_push_front(starving, &handle->in_starving);
            return;
        }
    }
    charge_tell_starving(session); /* the others in the next wake */
}

void handle_read(broker_handle *handle, broker_op *op) {
    handle->has_requests = true;
    sl_list_push_back(&handle->readers, &op->link);
    op->state = OP_STARTED;
    if (handle->readers.next == &op->link) {
        serve_all(handle, false);
    }
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_handle *handle = SL_CONTAINER_OF(target, struct broker_handle, receive_target);
    bool is_probe = handle->armed_bytes == 0;
    handle->is_armed = false;
    if (completion->status == SLUICE_OK) {
        SL_CHECK(completion->bytes <= handle->armed_bytes, "no more arrives than there is room");
        handle->end += (uint32_t)completion->bytes;
        handle->is_flowing = !is_probe && completion->bytes == handle->armed_bytes;
        kernel_received(handle, completion->bytes);
    } else if (handle->state == HANDLE_OPEN) {
        handle->end_status = completion->status;
        handle->end_os_error = completion->os_error;
    }
    serve_all(handle, is_probe);
}
