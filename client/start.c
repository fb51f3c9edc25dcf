/*
 * start.c - the asynchronous calls of sluice.h, cancel and release.
 */
#include "base/failpoint.h"
#include "client/session.h"

static int take_callback(sluice_session *session, sl_reason *ret_reason) {
    sl_atomic_u64 *count = &session->delivery.undelivered_count;
    if (atomic_fetch_add(count, 1) < CLIENT_UNDELIVERED_MAX) {
        return SLUICE_OK;
    }
    atomic_fetch_sub(count, 1);
    return sl_reason_value(ret_reason, SLUICE_EQUOTA, "callbacks",
                           "of as many calls have not run yet as may wait", CLIENT_UNDELIVERED_MAX);
}

/* From here on it may end at any moment, and its callback run. */
static int publish(client_operation *op, sluice_operation **ret_operation, sl_reason *ret_reason) {
    if (ret_operation != NULL) {
        client_operation_hold(op);
        atomic_store_explicit(&op->is_released, false, memory_order_relaxed);
        if (!op->holds_session) {
            client_session_hold(op);
        }
        *ret_operation = op;
    }
    int status = client_post(op, ret_reason);
    if (status != SLUICE_OK) {
        if (ret_operation != NULL) {
            *ret_operation = NULL;
            client_pool_drop(op);
        }
        client_unprepare(op);
    }
    return status;
}

static int try_start(sluice_session *session, const client_arguments *arguments,
                     sluice_callback on_done, void *user, sluice_operation **ret_operation,
                     sl_reason *ret_reason) {
    client_operation *op;
    int status = client_check_session(session, ret_reason);
    if (status == SLUICE_OK && on_done == NULL) {
        status = sl_reason_set(ret_reason, SLUICE_EINVAL, "on_done",
                               "is NULL; a started call says by it that it has ended");
    }
    if (status == SLUICE_OK) {
        status = take_callback(session, ret_reason);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    status = client_prepare(session, arguments, false, &op, ret_reason);
    if (status == SLUICE_OK) {
        op->on_done = on_done;
        op->user = user;
        status = publish(op, ret_operation, ret_reason);
    }
    if (status != SLUICE_OK) {
        atomic_fetch_sub(&session->delivery.undelivered_count, 1);
    }
    return status;
}

static int32_t start(sluice_session *session, const client_arguments *arguments,
                     sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    sl_reason reason;
    reason.text[0] = '\0';
    int status = try_start(session, arguments, on_done, user, ret_operation, &reason);
    return client_return((client_call)(arguments->call + CLIENT_CALL_TWIN), status, &reason);
}

int32_t sluice_pair_start(sluice_session *session, uint64_t timeout_ns, sluice_callback on_done,
                          void *user, sluice_operation **ret_operation) {
    client_arguments a = {
        .call = CLIENT_CALL_pair, .kind = SL_REQUEST_PAIR, .timeout_ns = timeout_ns};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_listen_start(sluice_session *session, const char *address, uint32_t backlog,
                            uint64_t timeout_ns, sluice_callback on_done, void *user,
                            sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_listen,
                          .kind = SL_REQUEST_LISTEN,
                          .timeout_ns = timeout_ns,
                          .address = address,
                          .backlog = backlog};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_accept_start(sluice_session *session, sluice_handle listener, uint64_t timeout_ns,
                            sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_accept,
                          .kind = SL_REQUEST_ACCEPT,
                          .timeout_ns = timeout_ns,
                          .handle = listener};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_connect_start(sluice_session *session, const char *address, uint64_t timeout_ns,
                             sluice_callback on_done, void *user,
                             sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_connect,
                          .kind = SL_REQUEST_CONNECT,
                          .timeout_ns = timeout_ns,
                          .address = address};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_read_start(sluice_session *session, sluice_handle handle, void *buffer,
                          uint32_t length, uint32_t flags, uint64_t timeout_ns,
                          sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_read,
                          .kind = SL_REQUEST_READ,
                          .timeout_ns = timeout_ns,
                          .handle = handle,
                          .in = buffer,
                          .length = length,
                          .flags = flags};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_write_start(sluice_session *session, sluice_handle handle, const void *bytes,
                           uint32_t length, uint64_t timeout_ns, sluice_callback on_done,
                           void *user, sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_write,
                          .kind = SL_REQUEST_WRITE,
                          .timeout_ns = timeout_ns,
                          .handle = handle,
                          .out = bytes,
                          .length = length};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_half_close_start(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                                sluice_callback on_done, void *user,
                                sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_half_close,
                          .kind = SL_REQUEST_HALF_CLOSE,
                          .timeout_ns = timeout_ns,
                          .handle = handle};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_close_start(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                           sluice_callback on_done, void *user, sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_close,
                          .kind = SL_REQUEST_CLOSE,
                          .timeout_ns = timeout_ns,
                          .handle = handle};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_acknowledge_torn_start(sluice_session *session, sluice_handle handle,
                                      uint64_t timeout_ns, sluice_callback on_done, void *user,
                                      sluice_operation **ret_operation) {
    client_arguments a = {.call = CLIENT_CALL_acknowledge_torn,
                          .kind = SL_REQUEST_ACKNOWLEDGE_TORN,
                          .timeout_ns = timeout_ns,
                          .handle = handle};
    return start(session, &a, on_done, user, ret_operation);
}

int32_t sluice_ping_start(sluice_session *session, uint64_t timeout_ns, sluice_callback on_done,
                          void *user, sluice_operation **ret_operation) {
    client_arguments a = {
        .call = CLIENT_CALL_ping, .kind = SL_REQUEST_PING, .timeout_ns = timeout_ns};
    return start(session, &a, on_done, user, ret_operation);
}

static int cancel(sluice_operation *operation, sl_reason *ret_reason) {
    if (operation == NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "operation", "is NULL");
    }
    sluice_session *session = operation->session;
    int status = client_check_session(session, ret_reason);
    if (status == SLUICE_OK) {
        status = SL_FAILPOINT(client, cancel);
    }
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

int32_t sluice_cancel(sluice_operation *operation) {
    sl_reason reason;
    reason.text[0] = '\0';
    return client_return(CLIENT_CALL_cancel, cancel(operation, &reason), &reason);
}

void sluice_release(sluice_operation *operation) {
    /* In a forked child memory is the child's own copy, and its locks may be held for ever. */
    if (operation != NULL && !client_session_is_forked(operation->session)) {
        atomic_store(&operation->is_released, true);
        client_pool_drop(operation);
    }
}
