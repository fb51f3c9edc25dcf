/*
 * start.c - the asynchronous calls of sluice.h, cancel and release.
 */
#include "base/failpoint.h"
#include "client/session.h"

static int32_t start(sluice_session *session, const client_arguments *arguments,
                     sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    if (session == NULL || on_done == NULL) {
        return SLUICE_EINVAL;
    }
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    sl_atomic_u64 *count = &session->delivery.undelivered_count;
    if (atomic_fetch_add(count, 1) >= CLIENT_UNDELIVERED_MAX) {
        atomic_fetch_sub(count, 1);
        return SLUICE_EQUOTA;
    }
    client_operation *op;
    int status = client_prepare(session, arguments, false, &op);
    if (status != SLUICE_OK) {
        atomic_fetch_sub(count, 1);
        return status;
    }
    op->on_done = on_done;
    op->user = user;
    if (ret_operation != NULL) {
        client_operation_hold(op);
        atomic_store_explicit(&op->is_released, false, memory_order_relaxed);
        if (!op->holds_session) {
            client_session_hold(op);
        }
        *ret_operation = op;
    }
    status = client_post(op);
    if (status != SLUICE_OK) {
        if (ret_operation != NULL) {
            *ret_operation = NULL;
            client_pool_drop(op);
        }
        client_unprepare(op);
        atomic_fetch_sub(count, 1);
    }
    return status;
}

int32_t sluice_pair_start(sluice_session *session, uint64_t timeout_ns, sluice_callback on_done,
                          void *user, sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_PAIR, .timeout_ns = timeout_ns};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_listen_start(sluice_session *session, const char *address, uint32_t backlog,
                            uint64_t timeout_ns, sluice_callback on_done, void *user,
                            sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_LISTEN, .timeout_ns = timeout_ns, .address = address,
                          .backlog = backlog};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_accept_start(sluice_session *session, sluice_handle listener, uint64_t timeout_ns,
                            sluice_callback on_done, void *user,
                            sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_ACCEPT, .timeout_ns = timeout_ns, .handle = listener};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_connect_start(sluice_session *session, const char *address, uint64_t timeout_ns,
                             sluice_callback on_done, void *user,
                             sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_CONNECT, .timeout_ns = timeout_ns,
                          .address = address};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_read_start(sluice_session *session, sluice_handle handle, void *buffer,
                          uint32_t length, uint32_t flags, uint64_t timeout_ns,
                          sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_READ, .timeout_ns = timeout_ns, .handle = handle,
                          .in = buffer, .length = length, .flags = flags};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_write_start(sluice_session *session, sluice_handle handle, const void *bytes,
                           uint32_t length, uint64_t timeout_ns, sluice_callback on_done,
                           void *user, sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_WRITE, .timeout_ns = timeout_ns, .handle = handle,
                          .out = bytes, .length = length};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_half_close_start(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                                sluice_callback on_done, void *user,
                                sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_HALF_CLOSE, .timeout_ns = timeout_ns,
                          .handle = handle};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_close_start(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                           sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_CLOSE, .timeout_ns = timeout_ns, .handle = handle};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_acknowledge_torn_start(sluice_session *session, sluice_handle handle,
                                      uint64_t timeout_ns, sluice_callback on_done, void *user,
                                      sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_ACKNOWLEDGE_TORN, .timeout_ns = timeout_ns,
                          .handle = handle};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_ping_start(sluice_session *session, uint64_t timeout_ns, sluice_callback on_done,
                          void *user, sluice_operation **ret_operation) {
    client_arguments a = {.kind = SL_REQUEST_PING, .timeout_ns = timeout_ns};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_cancel(sluice_operation *operation) {
    if (operation == NULL) {
        return SLUICE_EINVAL;
    }
    sluice_session *session = operation->session;
    if (client_session_is_forked(session)) {
        return SLUICE_EFORKED;
    }
    int status = SL_FAILPOINT(client, cancel);
    if (status != SLUICE_OK) {
        return status;
    }
    atomic_fetch_add(&session->posting_count, 1);
    if (!atomic_load(&session->is_closed) && !atomic_load(&operation->is_finished)) {
        client_core_cancel(session->worker, operation);
    }
    atomic_fetch_sub(&session->posting_count, 1);
    return SLUICE_OK;
}

void sluice_release(sluice_operation *operation) {
    /* In a forked child memory is the child's own copy, and its locks may be held for ever. */
    if (operation != NULL && !client_session_is_forked(operation->session)) {
        atomic_store(&operation->is_released, true);
        client_pool_drop(operation);
    }
}
