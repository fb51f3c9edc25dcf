/*
 * kernel.c - see kernel.h.
 */
#include "broker/kernel.h"

#include "broker/charge.h"
#include "engine/buffers.h"

#define LOOK_BYTES (64u * 1024) /* of a handle's writes: so much may be charged unseen */
#define LOOK_NS    SL_NS_PER_S
#define LOOKS_MAX  256u                /* in one wake: each is a system call of 0.2 us */
#define MORE_NS    (20 * SL_NS_PER_MS) /* the next of them */
#define FLOW_BYTES (4u * 1024 * 1024)  /* more has to come before the buffer grows again */

/* What the first write is going to give to the kernel, and has paid for. */
static uint64_t still_to_send(const broker_handle *handle) {
    const sl_list *first = handle->writers.next;
    if (first == &handle->writers) {
        return 0;
    }
    const broker_op *op = SL_LIST_ENTRY(first, struct broker_op, link);
    return op->has_paid ? op->length - op->done : 0;
}

static void stop_looking(broker_handle *handle) {
    broker_worker *worker = handle->session->worker;
    if (sl_list_is_linked(&handle->in_unsent)) {
        sl_list_remove(&handle->in_unsent);
        worker->unsent_count--;
        if (worker->unsent_count == 0) {
            deadline_clear(worker, &worker->unsent_timer);
        }
    }
}

/* Gives back what the peer has taken. */
static void look(broker_handle *handle) {
    uint64_t bytes;
    if (handle->state == HANDLE_OPEN && engine_unsent(handle->os, &bytes) == SLUICE_OK) {
        uint64_t needed = bytes + still_to_send(handle);
        if (needed < handle->unsent_bytes) {
            charge_give(&handle->charge, handle->unsent_bytes - needed);
            handle->unsent_bytes = needed;
        }
    }
}

/* The longest unseen ones first. */
static void look_at_some(broker_worker *worker) {
    uint32_t count = worker->unsent_count < LOOKS_MAX ? worker->unsent_count : LOOKS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        sl_list *node = sl_list_pop_front(&worker->unsent);
        broker_handle *handle = SL_LIST_ENTRY(node, broker_handle, in_unsent);
        sl_list_push_back(&worker->unsent, node);
        look(handle);
        if (handle->unsent_bytes == 0) {
            stop_looking(handle);
        }
    }
}

static void on_due(broker_timer *timer) {
    broker_worker *worker = SL_CONTAINER_OF(timer, broker_worker, unsent_timer);
    uint64_t pause_ns = worker->unsent_count > LOOKS_MAX ? MORE_NS : LOOK_NS;
    look_at_some(worker);
    if (worker->unsent_count > 0) {
        deadline_set(worker, timer, sl_clock_after_ns(worker->now_ns, pause_ns));
    }
}

void kernel_init(broker_worker *worker) {
    sl_list_init(&worker->unsent);
    worker->unsent_count = 0;
    worker->unsent_timer.on_due = on_due;
}

int kernel_pay_write(broker_handle *handle, broker_op *op, sl_reason *ret_reason) {
    broker_session *session = handle->session;
    broker_worker *worker = session->worker;
    uint64_t bytes = op->length + ENGINE_SEND_BYTES;
    if (op->has_paid || !engine_sends_more(handle->os)) {
        return SLUICE_OK;
    }
    if (handle->unsent_bytes >= LOOK_BYTES) {
        look(handle);
    }
    if (!charge_take(&handle->charge, session, bytes)) {
        look_at_some(worker);
        if (!charge_take(&handle->charge, session, bytes)) {
            return charge_refused(session, ret_reason);
        }
    }
    handle->unsent_bytes += bytes;
    op->has_paid = true;
    if (!sl_list_is_linked(&handle->in_unsent)) {
        sl_list_push_back(&worker->unsent, &handle->in_unsent);
        worker->unsent_count++;
        if (worker->unsent_count == 1) {
            deadline_set(worker, &worker->unsent_timer, sl_clock_after_ns(worker->now_ns, LOOK_NS));
        }
    }
    return SLUICE_OK;
}

void kernel_received(broker_handle *handle, size_t bytes) {
    handle->flowed_bytes += bytes;
    if (!handle->is_flowing || (handle->is_wide && handle->flowed_bytes < FLOW_BYTES)) {
        return;
    }
    uint32_t step = engine_receive_step(handle->os);
    if (step > 0 && charge_take_extra(&handle->charge, handle->session, step)) {
        handle->is_wide = true;
        handle->flowed_bytes = 0;
        engine_widen(handle->os);
    }
}

void kernel_release(broker_handle *handle) {
    stop_looking(handle);
}
