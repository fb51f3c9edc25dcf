/*
 * close.c - the end of a handle: refuse new work, cancel what is pending, drain, close, retire the
 * id, reply.
 *
 * The engine closes the system's handle only after the last request has come back (R7), and says
 * so. If that takes longer than the grace, the client is answered EABANDONED and the handle is a
 * zombie: kept, counted, shown by `sluice ops --stuck`, and never closed from under its requests
 * (I4).
 */
#include "base/failpoint.h"
#include "broker/handle.h"
#include "broker/kernel.h"
#include "broker/orphan.h"
#include "broker/quota.h"

static void on_completion(broker_target *target, const engine_completion *completion);

static void on_grace_over(broker_timer *timer) {
    broker_op *closer = SL_CONTAINER_OF(timer, struct broker_op, timer);
    SL_FAILPOINT_PASS(broker, deadline);
    handle_mark_zombie(closer->handle);
    op_finish(closer, SLUICE_EABANDONED, 0);
}

static void cancel_all(sl_list *queue, int cause) {
    sl_list *node = queue->next;
    while (node != queue) {
        sl_list *next = node->next;
        op_cancel(SL_LIST_ENTRY(node, broker_op, link), cause);
        node = next;
    }
}

void handle_close(broker_handle *handle, broker_op *closer, uint64_t grace_ns, int cause) {
    broker_worker *worker = handle->session->worker;
    SL_CHECK(handle->state == HANDLE_OPEN, "a handle is closed once");
    SL_FAILPOINT_PASS(broker, close);
    handle->state = HANDLE_CLOSING;
    handle->closed_ns = worker->now_ns;
    cancel_all(&handle->readers, cause);
    cancel_all(&handle->accepters, cause);
    cancel_all(&handle->writers, cause);
    if (handle->ready != NULL) {
        orphan_close(worker, handle->ready);
        handle->ready = NULL;
    }
    if (!handle->is_armed) {
        handle_release_buffer(handle);
    }
    reading_close(handle);
    handle->closer = closer;
    if (closer != NULL) {
        closer->handle = handle;
        closer->is_pinned = true;
        closer->state = OP_STARTED;
        closer->timer.on_due = on_grace_over;
        closer->deadline_ns = sl_clock_after_ns(worker->now_ns, grace_ns);
        deadline_set(worker, &closer->timer, closer->deadline_ns);
    }
    handle->close_target.on_completion = on_completion;
    int status = engine_close(handle->os, &handle->close_target);
    SL_CHECK(status == SLUICE_OK, "a handle is closed by us only");
}

void handle_close_if_late(broker_handle *handle) {
    if (!session_can_reply(handle->session)) {
        handle_close(handle, NULL, 0, SLUICE_ECLOSED);
    }
}

void handle_mark_zombie(broker_handle *handle) {
    if (handle->state != HANDLE_ZOMBIE) {
        SL_CHECK(handle->state == HANDLE_CLOSING, "only a closing handle becomes a zombie");
        handle->state = HANDLE_ZOMBIE;
        zombie_begin(&handle->zombie, handle->session);
    }
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    (void)completion;
    broker_handle *handle = SL_CONTAINER_OF(target, struct broker_handle, close_target);
    broker_session *session = handle->session;
    SL_FAILPOINT_PASS(broker, closed);
    SL_CHECK(!handle->is_armed && handle->writing == NULL && !handle->is_accepting,
             "a handle closes after its last request");
    SL_CHECK(sl_list_is_empty(&handle->readers) && sl_list_is_empty(&handle->writers) &&
                 sl_list_is_empty(&handle->accepters),
             "a closed handle has no operations");
    handle_release_buffer(handle);
    reading_end(handle);
    zombie_end(&handle->zombie);
    broker_op *closer = handle->closer;
    kernel_release(handle);
    quota_close_handle(handle);
    counter_subtract(&session->worker->counters.handles, 1);
    if (closer != NULL && closer->state == OP_ZOMBIE) {
        op_unpin(closer);
    } else if (closer != NULL) {
        closer->is_pinned = false;
        op_finish(closer, SLUICE_OK, 0);
    }
    op_forget_handle(handle);
    sl_slots_release(&session->handles, handle);
    session_wants_reap(session);
}
