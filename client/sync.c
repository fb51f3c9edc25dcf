/*
 * sync.c - the synchronous calls of sluice.h.
 */
#include <string.h>

#include "client/detail.h"
#include "client/session.h"

/* What every caller must have room for: size, status. */
#define RESULT_BYTES_MIN  8u
#define OPS_ROW_BYTES_MAX 4096u

static void copy_result(const sluice_result *from, sluice_result *to) {
    if (to != NULL) {
        uint32_t size = to->size;
        uint32_t head = offsetof(sluice_result, detail);
        memcpy(to, from, size < head ? size : head);
        to->size = size;
        if (size > head) { /* only the text itself: most calls have none */
            uint32_t room = size - head;
            client_detail_copy(to->detail, room < SLUICE_DETAIL_BYTES ? room : SLUICE_DETAIL_BYTES,
                               from->detail);
        }
    }
}

static int check_size(uint32_t size, const char *name, const char *type, size_t right,
                      sl_reason *ret_reason) {
    return size >= RESULT_BYTES_MIN
               ? SLUICE_OK
               : sl_reason_sizeof(ret_reason, SLUICE_EINVAL, name, size, type, right);
}

/* Ends a call that has not begun; its result, if it has one, says the same. */
static int32_t end_unbegun(client_call call, int status, const sl_reason *reason,
                           sluice_result *ret_result) {
    sluice_result result = {.size = sizeof(result), .status = status};
    if (status != SLUICE_OK) {
        client_detail_copy(result.detail, sizeof(result.detail),
                           client_failure_words(status, reason->text));
    }
    copy_result(&result, ret_result);
    return client_return(call, status, reason);
}

static int32_t call(sluice_session *session, const client_arguments *arguments,
                    sluice_result *ret_result) {
    sl_reason reason;
    reason.text[0] = '\0';
    int status = ret_result == NULL ? SLUICE_OK
                                    : check_size(ret_result->size, "ret_result->size",
                                                 "sluice_result", sizeof(*ret_result), &reason);
    if (status != SLUICE_OK) { /* there is no room in it to say so */
        return client_return(arguments->call, status, &reason);
    }
    client_operation *op = NULL;
    status = client_do(session, arguments, &op, &reason);
    if (op == NULL) {
        return end_unbegun(arguments->call, status, &reason, ret_result);
    }
    copy_result(&op->result, ret_result);
    if (status != SLUICE_OK) {
        (void)client_fail(arguments->call, status, op->result.os_error, op->result.detail);
    }
    client_pool_drop(op);
    return status;
}

/* A call that opens handles: somebody must get to know them. */
static int32_t call_opening(sluice_session *session, const client_arguments *arguments,
                            sluice_result *ret_result) {
    sl_reason reason;
    if (ret_result == NULL) {
        (void)sl_reason_set(&reason, SLUICE_EINVAL, "ret_result",
                            "is NULL, and nobody would know the handles that the call opens");
        return client_return(arguments->call, SLUICE_EINVAL, &reason);
    }
    if (ret_result->size < offsetof(sluice_result, can)) {
        (void)sl_reason_sizeof(&reason, SLUICE_EINVAL, "ret_result->size", ret_result->size,
                               "sluice_result", sizeof(*ret_result));
        return client_return(arguments->call, SLUICE_EINVAL, &reason);
    }
    return call(session, arguments, ret_result);
}

int32_t sluice_pair(sluice_session *session, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {
        .call = CLIENT_CALL_pair, .kind = SL_REQUEST_PAIR, .timeout_ns = timeout_ns};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_listen(sluice_session *session, const char *address, uint32_t backlog,
                      uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_listen,
                          .kind = SL_REQUEST_LISTEN,
                          .timeout_ns = timeout_ns,
                          .address = address,
                          .backlog = backlog};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_accept(sluice_session *session, sluice_handle listener, uint64_t timeout_ns,
                      sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_accept,
                          .kind = SL_REQUEST_ACCEPT,
                          .timeout_ns = timeout_ns,
                          .handle = listener};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_connect(sluice_session *session, const char *address, uint64_t timeout_ns,
                       sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_connect,
                          .kind = SL_REQUEST_CONNECT,
                          .timeout_ns = timeout_ns,
                          .address = address};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_read(sluice_session *session, sluice_handle handle, void *buffer, uint32_t length,
                    uint32_t flags, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_read,
                          .kind = SL_REQUEST_READ,
                          .timeout_ns = timeout_ns,
                          .handle = handle,
                          .in = buffer,
                          .length = length,
                          .flags = flags};
    return call(session, &a, ret_result);
}

int32_t sluice_write(sluice_session *session, sluice_handle handle, const void *bytes,
                     uint32_t length, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_write,
                          .kind = SL_REQUEST_WRITE,
                          .timeout_ns = timeout_ns,
                          .handle = handle,
                          .out = bytes,
                          .length = length};
    return call(session, &a, ret_result);
}

int32_t sluice_half_close(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                          sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_half_close,
                          .kind = SL_REQUEST_HALF_CLOSE,
                          .timeout_ns = timeout_ns,
                          .handle = handle};
    return call(session, &a, ret_result);
}

int32_t sluice_close(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                     sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_close,
                          .kind = SL_REQUEST_CLOSE,
                          .timeout_ns = timeout_ns,
                          .handle = handle};
    return call(session, &a, ret_result);
}

int32_t sluice_acknowledge_torn(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                                sluice_result *ret_result) {
    client_arguments a = {.call = CLIENT_CALL_acknowledge_torn,
                          .kind = SL_REQUEST_ACKNOWLEDGE_TORN,
                          .timeout_ns = timeout_ns,
                          .handle = handle};
    return call(session, &a, ret_result);
}

int32_t sluice_ping(sluice_session *session, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {
        .call = CLIENT_CALL_ping, .kind = SL_REQUEST_PING, .timeout_ns = timeout_ns};
    return call(session, &a, ret_result);
}

int32_t sluice_local_address(sluice_session *session, sluice_handle handle, char *buffer,
                             uint32_t size) {
    client_arguments a = {.call = CLIENT_CALL_local_address,
                          .local = CLIENT_LOCAL_ADDRESS,
                          .timeout_ns = SLUICE_NO_TIMEOUT,
                          .handle = handle,
                          .in = buffer,
                          .length = size};
    if (buffer == NULL) {
        return client_fail(a.call, SLUICE_EINVAL, 0, "buffer: is NULL");
    }
    return call(session, &a, NULL);
}

int32_t sluice_broker_status(sluice_session *session, uint64_t timeout_ns,
                             sluice_broker_info *ret_info) {
    sl_reason reason;
    int status = ret_info == NULL ? sl_reason_set(&reason, SLUICE_EINVAL, "ret_info", "is NULL")
                                  : check_size(ret_info->size, "ret_info->size",
                                               "sluice_broker_info", sizeof(*ret_info), &reason);
    if (status != SLUICE_OK) {
        return client_return(CLIENT_CALL_broker_status, status, &reason);
    }
    client_arguments a = {.call = CLIENT_CALL_broker_status,
                          .kind = SL_REQUEST_STATUS,
                          .timeout_ns = timeout_ns,
                          .in = ret_info,
                          .length = ret_info->size};
    return call(session, &a, NULL);
}

static int check_query(const sluice_ops_query *query, sl_reason *ret_reason) {
    const int status = SLUICE_EINVAL;
    if (query == NULL) {
        return SLUICE_OK;
    }
    if (query->size < sizeof(*query)) {
        return sl_reason_sizeof(ret_reason, status, "query->size", query->size, "sluice_ops_query",
                                sizeof(*query));
    }
    if (query->row_size == 0 || query->row_size > OPS_ROW_BYTES_MAX) {
        return sl_reason_sizeof(ret_reason, status, "query->row_size", query->row_size,
                                "sluice_ops_row", sizeof(sluice_ops_row));
    }
    if (query->filter > SLUICE_OPS_STUCK) {
        return sl_reason_range(ret_reason, status, "query->filter", query->filter, SLUICE_OPS_ALL,
                               SLUICE_OPS_STUCK);
    }
    return SLUICE_OK;
}

static int check_page(const sluice_ops_row *rows, uint32_t capacity, const uint32_t *count,
                      const uint64_t *next_cursor, sl_reason *ret_reason) {
    const char *missing = rows == NULL          ? "ret_rows"
                          : count == NULL       ? "ret_count"
                          : next_cursor == NULL ? "ret_next_cursor"
                                                : NULL;
    if (missing != NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, missing, "is NULL");
    }
    if (capacity == 0) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "capacity",
                             "is 0; a page has room for 1 row at least");
    }
    return SLUICE_OK;
}

int32_t sluice_ops(sluice_session *session, const sluice_ops_query *query, uint64_t timeout_ns,
                   sluice_ops_row *ret_rows, uint32_t capacity, uint32_t *ret_count,
                   uint64_t *ret_next_cursor) {
    sl_reason reason;
    reason.text[0] = '\0';
    int status = check_page(ret_rows, capacity, ret_count, ret_next_cursor, &reason);
    if (status == SLUICE_OK) {
        status = check_query(query, &reason);
    }
    if (status != SLUICE_OK) {
        return client_return(CLIENT_CALL_ops, status, &reason);
    }
    client_arguments a = {.call = CLIENT_CALL_ops,
                          .kind = SL_REQUEST_OPS,
                          .timeout_ns = timeout_ns,
                          .in = ret_rows,
                          .length = capacity,
                          .query = query,
                          .row_size = query == NULL ? sizeof(*ret_rows) : query->row_size};
    client_operation *op = NULL;
    status = client_do(session, &a, &op, &reason);
    if (op == NULL) {
        return client_return(a.call, status, &reason);
    }
    if (status == SLUICE_OK) {
        *ret_count = op->row_count;
        *ret_next_cursor = op->cursor;
    } else {
        (void)client_fail(a.call, status, op->result.os_error, op->result.detail);
    }
    client_pool_drop(op);
    return status;
}
