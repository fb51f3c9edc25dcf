/*
 * sync.c - the synchronous calls of sluice.h.
 */
#include <string.h>

#include "client/detail.h"
#include "client/session.h"

/* What every caller must have room for: size, status. */
#define RESULT_BYTES_MIN 8u

static bool is_sized(const sluice_result *result) {
    return result == NULL || result->size >= RESULT_BYTES_MIN;
}

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

static int32_t call(sluice_session *session, const client_arguments *arguments,
                    sluice_result *ret_result) {
    if (!is_sized(ret_result)) {
        return SLUICE_EINVAL;
    }
    client_operation *op = NULL;
    int status = client_call(session, arguments, &op);
    if (op != NULL) {
        copy_result(&op->result, ret_result);
        client_pool_drop(op);
    } else {
        sluice_result result = {.size = sizeof(result), .status = status};
        copy_result(&result, ret_result);
    }
    return status;
}

/* A call that opens handles: somebody must get to know them. */
static int32_t call_opening(sluice_session *session, const client_arguments *arguments,
                            sluice_result *ret_result) {
    if (ret_result == NULL || ret_result->size < offsetof(sluice_result, can)) {
        return SLUICE_EINVAL;
    }
    return call(session, arguments, ret_result);
}

int32_t sluice_pair(sluice_session *session, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_PAIR, .timeout_ns = timeout_ns};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_listen(sluice_session *session, const char *address, uint32_t backlog,
                      uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_LISTEN, .timeout_ns = timeout_ns, .address = address,
                          .backlog = backlog};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_accept(sluice_session *session, sluice_handle listener, uint64_t timeout_ns,
                      sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_ACCEPT, .timeout_ns = timeout_ns, .handle = listener};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_connect(sluice_session *session, const char *address, uint64_t timeout_ns,
                       sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_CONNECT, .timeout_ns = timeout_ns,
                          .address = address};
    return call_opening(session, &a, ret_result);
}

int32_t sluice_read(sluice_session *session, sluice_handle handle, void *buffer, uint32_t length,
                    uint32_t flags, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_READ, .timeout_ns = timeout_ns, .handle = handle,
                          .in = buffer, .length = length, .flags = flags};
    return call(session, &a, ret_result);
}

int32_t sluice_write(sluice_session *session, sluice_handle handle, const void *bytes,
                     uint32_t length, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_WRITE, .timeout_ns = timeout_ns, .handle = handle,
                          .out = bytes, .length = length};
    return call(session, &a, ret_result);
}

int32_t sluice_half_close(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                          sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_HALF_CLOSE, .timeout_ns = timeout_ns,
                          .handle = handle};
    return call(session, &a, ret_result);
}

int32_t sluice_close(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                     sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_CLOSE, .timeout_ns = timeout_ns, .handle = handle};
    return call(session, &a, ret_result);
}

int32_t sluice_acknowledge_torn(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                                sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_ACKNOWLEDGE_TORN, .timeout_ns = timeout_ns,
                          .handle = handle};
    return call(session, &a, ret_result);
}

int32_t sluice_ping(sluice_session *session, uint64_t timeout_ns, sluice_result *ret_result) {
    client_arguments a = {.kind = SL_REQUEST_PING, .timeout_ns = timeout_ns};
    return call(session, &a, ret_result);
}

int32_t sluice_local_address(sluice_session *session, sluice_handle handle, char *buffer,
                             uint32_t size) {
    client_arguments a = {.local = CLIENT_LOCAL_ADDRESS, .timeout_ns = SLUICE_NO_TIMEOUT,
                          .handle = handle, .in = buffer, .length = size};
    return buffer == NULL ? SLUICE_EINVAL : call(session, &a, NULL);
}

int32_t sluice_broker_status(sluice_session *session, uint64_t timeout_ns,
                             sluice_broker_info *ret_info) {
    if (ret_info == NULL || ret_info->size < RESULT_BYTES_MIN) {
        return SLUICE_EINVAL;
    }
    client_arguments a = {.kind = SL_REQUEST_STATUS, .timeout_ns = timeout_ns, .in = ret_info,
                          .length = ret_info->size};
    return call(session, &a, NULL);
}

int32_t sluice_ops(sluice_session *session, const sluice_ops_query *query, uint64_t timeout_ns,
                   sluice_ops_row *ret_rows, uint32_t capacity, uint32_t *ret_count,
                   uint64_t *ret_next_cursor) {
    if (ret_rows == NULL || ret_count == NULL || ret_next_cursor == NULL || capacity == 0 ||
        (query != NULL && (query->size < sizeof(*query) || query->row_size == 0 ||
                           query->row_size > 4096 || query->filter > SLUICE_OPS_STUCK))) {
        return SLUICE_EINVAL;
    }
    client_arguments a = {.kind = SL_REQUEST_OPS, .timeout_ns = timeout_ns, .in = ret_rows,
                          .length = capacity, .query = query,
                          .row_size = query == NULL ? sizeof(*ret_rows) : query->row_size};
    client_operation *op = NULL;
    int status = client_call(session, &a, &op);
    if (op != NULL) {
        if (status == SLUICE_OK) {
            *ret_count = op->row_count;
            *ret_next_cursor = op->cursor;
        }
        client_pool_drop(op);
    }
    return status;
}
