/*
 * transmit.c - writing: a handle's queue of writes and half-closes, one request of the engine at a
 * time, and the truth about what went out.
 *
 * `done` bytes are certainly out; when a request fails, its in_doubt is ours. A stream is torn when
 * a write ends with 0 < done < length or anything in doubt; what is queued behind it, and later
 * writes, end ETORN unsent until the client acknowledges. A half-close waits for the writes before
 * it; on a torn stream it is refused too: the peer would take the end for a good one.
 */
#include "broker/handle.h"
#include "broker/kernel.h"

static void pump(broker_handle *handle);
static void on_completion(broker_target *target, const engine_completion *completion);

static const uint8_t *bytes_of(const broker_op *op) {
    return op->length <= OP_SMALL_BYTES ? op->small.bytes : op->data->bytes;
}

/* Ends a write or half-close, and sees whether it tore the stream. */
static void end_write(broker_handle *handle, broker_op *op, int status, uint32_t os_error) {
    if ((op->done > 0 && op->done < op->length) || op->in_doubt > 0) {
        handle->is_torn = true;
    }
    if (status == SLUICE_EBROKENPIPE && handle->is_half_closed) { /* the peer may well be there */
        sl_reason reason;
        (void)sl_reason_set(&reason, status, "handle", "its writing was ended by a half-close");
        op->os_error = os_error;
        op_refuse(op, status, &reason);
    } else {
        op_finish(op, status, os_error);
    }
}

void handle_end_write(broker_op *op, int status, uint32_t os_error) {
    broker_handle *handle = op->handle;
    bool was_first = handle->writers.next == &op->link;
    end_write(handle, op, status, os_error);
    if (was_first) {
        pump(handle);
    }
}

void handle_abandon_write(broker_op *op) {
    broker_handle *handle = op->handle;
    SL_CHECK(handle->writing == op && op->is_pinned, "only what the system has is abandoned");
    if (op->kind == SL_REQUEST_WRITE) {
        uint64_t most = worker_limits(op->session->worker)->stream_chunk_bytes;
        uint32_t left = op->received - op->done;
        op->in_doubt = left < most ? left : (uint32_t)most;
    }
    end_write(handle, op, SLUICE_EABANDONED, 0);
    pump(handle);
}

/* Sends the next part of the first write. true: look at the next one; false: wait. */
static bool pump_first(broker_handle *handle, broker_op *op) {
    if (handle->is_torn) {
        end_write(handle, op, SLUICE_ETORN, 0);
        return true;
    }
    int status;
    handle->write_target.on_completion = on_completion;
    if (op->kind == SL_REQUEST_HALF_CLOSE) {
        status = engine_half_close(handle->os, &handle->write_target, &handle->write_request);
    } else {
        if (op->done == op->length) {
            end_write(handle, op, SLUICE_OK, 0);
            return true;
        }
        uint64_t most = worker_limits(op->session->worker)->stream_chunk_bytes;
        uint32_t count = op->received - op->done;
        if (count == 0) {
            return false; /* the client has not sent it yet */
        }
        sl_reason reason;
        if (kernel_pay_write(handle, op, &reason) != SLUICE_OK) {
            op_refuse(op, SLUICE_EQUOTA, &reason);
            return true;
        }
        engine_buffer buffer = {bytes_of(op) + op->done, count < most ? count : (size_t)most};
        status =
            engine_write(handle->os, &buffer, 1, &handle->write_target, &handle->write_request);
    }
    if (status != SLUICE_OK) {
        end_write(handle, op, status, 0);
        return true;
    }
    handle->writing = op;
    op->is_pinned = true;
    op->state = OP_STARTED;
    return false;
}

/* Nothing more is sent of a session that ends: what still queues is about to be cancelled. */
static void pump(broker_handle *handle) {
    while (handle->state == HANDLE_OPEN && session_can_reply(handle->session)) {
        sl_list *node = sl_list_first(&handle->writers);
        broker_op *op = node != NULL ? SL_LIST_ENTRY(node, struct broker_op, link) : NULL;
        if (op == NULL || op == handle->writing) {
            return;
        }
        /* Behind a zombie nothing is sent, but what is refused need not wait for it. */
        if ((handle->writing != NULL && !handle->is_torn) || !pump_first(handle, op)) {
            return;
        }
    }
}

void handle_write(broker_handle *handle, broker_op *op) {
    sl_list_push_back(&handle->writers, &op->link);
    pump(handle);
}

void handle_continue_write(broker_op *op) {
    if (op->handle->writers.next == &op->link) {
        pump(op->handle);
    }
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_handle *handle = SL_CONTAINER_OF(target, struct broker_handle, write_target);
    broker_op *op = handle->writing;
    SL_CHECK(op != NULL, "a write's completion belongs to a write");
    handle->writing = NULL;
    handle->write_request = 0;
    if (op->state == OP_ZOMBIE) {
        op_unpin(op); /* I3: the late packet goes no further */
        pump(handle);
        return;
    }
    op->is_pinned = false;
    op->done += (uint32_t)completion->bytes;
    SL_CHECK(op->done <= op->length, "no more is written than was asked for");
    bool is_whole = op->done == op->length;
    bool is_ok = completion->status == SLUICE_OK;
    if (is_ok && op->kind == SL_REQUEST_HALF_CLOSE) {
        handle->is_half_closed = true;
    }
    if (is_whole && (is_ok || op->length > 0)) { /* also when it was cancelled too late */
        end_write(handle, op, SLUICE_OK, 0);
    } else if (!is_ok) {
        op->in_doubt = (uint32_t)completion->in_doubt;
        bool was_asked = completion->status == SLUICE_ECANCELED && op->cause != 0;
        end_write(handle, op, was_asked ? op->cause : completion->status, completion->os_error);
    } else if (op->state == OP_CANCELLING) {
        end_write(handle, op, op->cause, 0);
    }
    pump(handle);
}
