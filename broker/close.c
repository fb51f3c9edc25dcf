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
#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/kernel.h"
#include "broker/peer.h"
#include "broker/worker.h"

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
        worker_close_orphan(worker, handle->ready);
        handle->ready = NULL;
    }
    if (!handle->is_armed) {
        handle_release_buffer(handle);
    }
    handle->closer = closer;
    if (closer != NULL) {
        closer->handle = handle;
        closer->is_pinned = true;
        closer->state = OP_STARTED;
        closer->deadline_ns = sl_clock_after_ns(worker->now_ns, grace_ns);
        deadline_set(worker, &closer->timer, closer->deadline_ns);
    }
    int status = engine_close(handle->os, &handle->close_target);
    SL_CHECK(status == SLUICE_OK, "a handle is closed by us only");
}

void handle_mark_zombie(broker_handle *handle) {
    if (handle->state != HANDLE_ZOMBIE) {
        SL_CHECK(handle->state == HANDLE_CLOSING, "only a closing handle becomes a zombie");
        handle->state = HANDLE_ZOMBIE;
        peer_charge_zombie(handle->session);
    }
}

void handle_abandon_close(broker_op *closer) {
    handle_mark_zombie(closer->handle);
    op_finish(closer, SLUICE_EABANDONED, 0);
}

/* A pipe has its pages until its last end is closed. */
static void leave_pair(broker_handle *handle) {
    broker_session *session = handle->session;
    if (handle->partner != NULL) {
        handle->partner->pages = handle->pages;
        handle->partner->partner = NULL;
    } else {
        pipes_release(&session->worker->broker->pipes, &session->user->pipe_pages, handle->pages);
    }
}

void close_on_completion(broker_target *target, const engine_completion *completion) {
    (void)completion;
    broker_handle *handle = SL_CONTAINER_OF(target, struct broker_handle, close_target);
    broker_session *session = handle->session;
    broker_worker *worker = session->worker;
    SL_FAILPOINT_PASS(broker, closed);
    SL_CHECK(!handle->is_armed && handle->writing == NULL && !handle->is_accepting,
             "a handle closes after its last request");
    SL_CHECK(sl_list_is_empty(&handle->readers) && sl_list_is_empty(&handle->writers) &&
                 sl_list_is_empty(&handle->accepters),
             "a closed handle has no operations");
    handle_release_buffer(handle);
    if (handle->state == HANDLE_ZOMBIE) {
        peer_release_zombie(session);
    }
    broker_op *closer = handle->closer;
    SL_CHECK(session->quota.handles > 0, "a handle is given back once");
    session->quota.handles--;
    book_give(&session->user->handles, 1);
    kernel_release(handle);
    leave_pair(handle);
    charge_close_handle(handle);
    descriptors_release(&worker->broker->descriptors, &session->user->descriptors,
                        handle->descriptors);
    counter_subtract(&worker->counters.handles, 1);
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
