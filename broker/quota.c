/*
 * quota.c - the books of a session. Every take has one release: an operation knows what it holds
 * (has_credit, is_refusal, reserved_handles), and a handle of the table is one handle.
 */
#include "broker/quota.h"

#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/user.h"

int quota_take_credit(broker_op *op, uint32_t payload_bytes, sl_reason *ret_reason) {
    session_quota *quota = &op->session->quota;
    const sl_session_limits *limits = &op->session->limits;
    SL_CHECK(!op->has_credit && !op->is_refusal, "an operation takes its credit once");
    if (quota->operations >= limits->credit_operations) {
        return sl_limit_reached(ret_reason, SL_LIMIT_SESSION, "credit_operations",
                                limits->credit_operations);
    }
    if (payload_bytes > limits->credit_bytes - quota->bytes) {
        return sl_limit_reached(ret_reason, SL_LIMIT_SESSION, "credit_bytes", limits->credit_bytes);
    }
    quota->operations++;
    quota->bytes += payload_bytes;
    op->credit_bytes = payload_bytes;
    op->has_credit = true;
    return SLUICE_OK;
}

int quota_take_refusal(broker_op *op) {
    session_quota *quota = &op->session->quota;
    SL_CHECK(!op->has_credit && !op->is_refusal, "an answer is counted once");
    /* Hello and a Ping besides, and one that may be a Close (quota_keep_close). */
    uint64_t limit = (uint64_t)op->session->limits.credit_operations + 3;
    if (quota->refusals >= limit) {
        return SLUICE_EPROTOCOL;
    }
    quota->refusals++;
    op->is_refusal = true;
    return SLUICE_OK;
}

void quota_keep_close(broker_op *op, broker_handle *handle) {
    SL_CHECK(op->is_refusal, "an answer without credit was counted");
    op->is_refusal = false;
    op->session->quota.refusals--;
    charge_pay_close(handle, op);
}

bool quota_take_shared(broker_op *op, uint32_t chunk_bytes) {
    session_quota *quota = &op->session->quota;
    SL_CHECK(op->shared_bytes == 0, "a reply refers to one chunk");
    if (quota->shared > op->session->limits.credit_bytes ||
        chunk_bytes > op->session->limits.credit_bytes - quota->shared) {
        return false;
    }
    quota->shared += chunk_bytes;
    op->shared_bytes = chunk_bytes;
    return true;
}

int quota_take_query(broker_op *op, sl_reason *ret_reason) {
    session_quota *quota = &op->session->quota;
    if (quota->queries >= SL_OPS_PENDING_MAX) {
        return sl_limit_reached(ret_reason, SL_LIMIT_SESSION, "ops_pending", SL_OPS_PENDING_MAX);
    }
    quota->queries++;
    op->holds_query = true;
    return SLUICE_OK;
}

void quota_release_query(broker_op *op) {
    session_quota *quota = &op->session->quota;
    if (op->holds_query) {
        SL_CHECK(quota->queries > 0, "a query is given back once");
        quota->queries--;
        op->holds_query = false;
    }
}

void quota_release(broker_op *op) {
    session_quota *quota = &op->session->quota;
    SL_CHECK(quota->shared >= op->shared_bytes, "what is shared is given back once");
    quota->shared -= op->shared_bytes;
    op->shared_bytes = 0;
    if (op->has_credit) {
        SL_CHECK(quota->operations > 0 && quota->bytes >= op->credit_bytes,
                 "a credit is given back once");
        quota->operations--;
        quota->bytes -= op->credit_bytes;
        op->has_credit = false;
    }
    if (op->is_refusal) {
        SL_CHECK(quota->refusals > 0, "a refusal is given back once");
        quota->refusals--;
        op->is_refusal = false;
    }
}

/* Their memory, and their places in the session's table. SLUICE_OK, EQUOTA, ENOMEM. */
static int pay_for_handles(broker_op *op, uint32_t count, sl_reason *ret_reason) {
    broker_session *session = op->session;
    uint64_t bytes = charge_handle_bytes(session, count);
    if (!charge_take(&op->charge, session, bytes)) {
        return charge_refused(session, ret_reason);
    }
    int status = sl_slots_reserve(&session->handles, session->quota.handles + count);
    if (status != SLUICE_OK) {
        charge_give(&op->charge, bytes);
        return charge_was_refused(session) ? charge_refused(session, ret_reason) : status;
    }
    return SLUICE_OK;
}

/* What the system has a limited number of. SLUICE_OK or EQUOTA. */
static int take_systems(broker_op *op, uint32_t count, uint32_t descriptors,
                        sl_reason *ret_reason) {
    broker_session *session = op->session;
    broker *b = session->worker->broker;
    int status = descriptors_take_handles(&b->descriptors, &session->user->descriptors, descriptors,
                                          session->quota.handles, ret_reason);
    if (status == SLUICE_OK && op->kind == SL_REQUEST_PAIR) {
        SL_CHECK(count == 2, "a pair has two ends");
        status = pipes_take(&b->pipes, &session->user->pipe_pages, &op->reserved_pages, ret_reason);
        if (status != SLUICE_OK) {
            descriptors_release(&b->descriptors, &session->user->descriptors, descriptors);
        }
    }
    return status;
}

int quota_promise_handles(broker_op *op, uint32_t count, sl_reason *ret_reason) {
    broker_session *session = op->session;
    uint64_t zombies = worker_limits(session->worker)->zombies;
    if (count > session->limits.handles - session->quota.handles) {
        return sl_limit_reached(ret_reason, SL_LIMIT_SESSION, "handles", session->limits.handles);
    }
    if (zombie_count(session) >= zombies) {
        return sl_limit_reached(ret_reason, SL_LIMIT_USER, "zombies", zombies);
    }
    if (!book_take(&session->user->handles, count)) {
        return sl_limit_reached(ret_reason, SL_LIMIT_USER, "user_handles",
                                session->user->handles.limit);
    }
    uint32_t descriptors = op->kind == SL_REQUEST_LISTEN ? DESCRIPTORS_LISTENER : count;
    int status = pay_for_handles(op, count, ret_reason);
    if (status == SLUICE_OK) {
        status = take_systems(op, count, descriptors, ret_reason);
        if (status != SLUICE_OK) {
            charge_give(&op->charge, charge_handle_bytes(session, count));
        }
    }
    if (status != SLUICE_OK) {
        book_give(&session->user->handles, count);
        return status;
    }
    session->quota.handles += count;
    op->reserved_handles = (uint8_t)(op->reserved_handles + count);
    op->reserved_descriptors = (uint8_t)(op->reserved_descriptors + descriptors);
    return SLUICE_OK;
}

void quota_release_handles(broker_op *op) {
    SL_CHECK(op->session->quota.handles >= op->reserved_handles, "a promise is given back once");
    op->session->quota.handles -= op->reserved_handles;
    book_give(&op->session->user->handles, op->reserved_handles);
    charge_give(&op->charge, charge_handle_bytes(op->session, op->reserved_handles));
    descriptors_release(&op->session->worker->broker->descriptors, &op->session->user->descriptors,
                        op->reserved_descriptors);
    pipes_release(&op->session->worker->broker->pipes, &op->session->user->pipe_pages,
                  op->reserved_pages);
    op->reserved_handles = 0;
    op->reserved_descriptors = 0;
    op->reserved_pages = 0;
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

void quota_close_handle(broker_handle *handle) {
    broker_session *session = handle->session;
    SL_CHECK(session->quota.handles > 0, "a handle is given back once");
    session->quota.handles--;
    book_give(&session->user->handles, 1);
    descriptors_release(&session->worker->broker->descriptors, &session->user->descriptors,
                        handle->descriptors);
    leave_pair(handle);
    charge_close_handle(handle);
}

void quota_check_empty(const broker_session *session) {
    const session_quota *quota = &session->quota;
    SL_CHECK(quota->operations == 0 && quota->bytes == 0, "a session ends without credit in use");
    SL_CHECK(quota->refusals == 0, "a session ends without refusals");
    SL_CHECK(quota->handles == 0 && session->handles.used == 0, "a session ends without handles");
    SL_CHECK(quota->shared == 0 && quota->queries == 0, "a session ends without buffers");
    SL_CHECK(session->op_count == 0, "a session ends without operations");
}
