/*
 * call.c - from the arguments of a call to an operation with credit, and the wait for its outcome.
 *
 * A waiting caller trusts the core's watch: every operation ends within its deadline and the grace,
 * whatever the broker does, so the wait itself needs no clock. Until then the operation may point
 * into the caller's memory, and after that it does not.
 */
#include <string.h>

#include "base/failpoint.h"
#include "client/session.h"

static int copy_address(client_operation *op, const char *address, const char **ret_text,
                        sl_reason *ret_reason) {
    size_t length = address == NULL ? 0 : strlen(address);
    if (length == 0) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "address",
                             address == NULL ? "is NULL; give \"pipe:NAME\" or \"tcp:HOST:PORT\""
                                             : "is empty; give \"pipe:NAME\" or "
                                               "\"tcp:HOST:PORT\"");
    }
    if (length > SL_ADDRESS_BYTES) {
        return sl_reason_range(ret_reason, SLUICE_ENAMETOOLONG, "the address's length in bytes",
                               length, 1, SL_ADDRESS_BYTES);
    }
    op->text_size = length + 1;
    op->text = sl_account_alloc(&op->session->account, op->text_size);
    if (op->text == NULL) {
        return SLUICE_ENOMEM;
    }
    memcpy(op->text, address, op->text_size);
    *ret_text = op->text;
    return SLUICE_OK;
}

static int check_memory(const void *memory, uint32_t length, const char *name,
                        sl_reason *ret_reason) {
    if (memory == NULL && length != 0) {
        return sl_reason_value(ret_reason, SLUICE_EINVAL, name, "is NULL, and length is not 0",
                               length);
    }
    return SLUICE_OK;
}

static int fill_read(client_operation *op, const client_arguments *a, sl_reason *ret_reason) {
    if ((a->flags & ~(uint32_t)SLUICE_READ_ALL) != 0) {
        return sl_reason_value(ret_reason, SLUICE_EINVAL, "flags",
                               "there is none but SLUICE_READ_ALL, which is 1", a->flags);
    }
    bool all = (a->flags & SLUICE_READ_ALL) != 0;
    if (a->length > SL_MIB && all) {
        return sl_reason_range(ret_reason, SLUICE_ETOOLARGE, "length", a->length, 0, SL_MIB);
    }
    op->in = a->in;
    op->in_size = a->length > SL_MIB ? (uint32_t)SL_MIB : a->length;
    op->request.as.read.max_bytes = op->in_size;
    op->request.as.read.all = all;
    return check_memory(a->in, a->length, "buffer", ret_reason);
}

static int fill_write(client_operation *op, const client_arguments *a, sl_reason *ret_reason) {
    if (a->length > SL_MIB) {
        return sl_reason_range(ret_reason, SLUICE_ETOOLARGE, "length", a->length, 0, SL_MIB);
    }
    op->out = a->out;
    op->request.as.write.length_bytes = a->length;
    return check_memory(a->out, a->length, "bytes", ret_reason);
}

static void fill_ops(client_operation *op, const client_arguments *a) {
    uint32_t limit = a->length < SL_OPS_ROWS_MAX ? a->length : SL_OPS_ROWS_MAX;
    op->in = a->in;
    op->in_size = limit;
    op->row_size = a->row_size;
    op->request.as.ops.limit = limit;
    if (a->query != NULL) {
        op->request.as.ops.cursor = a->query->cursor;
        op->request.as.ops.min_age_ns = a->query->min_age_ns;
        op->request.as.ops.filter = (sl_ops_filter)a->query->filter;
    }
}

static int fill(client_operation *op, const client_arguments *a, sl_reason *ret_reason) {
    uint64_t *handle = client_operation_handle(op);
    op->call = a->call;
    op->kind = a->local;
    op->in = a->in;
    op->in_size = a->length;
    if (a->local != CLIENT_REQUEST) {
        op->local_handle = a->handle;
        return SLUICE_OK;
    }
    if (handle != NULL) {
        *handle = a->handle;
    }
    switch (a->kind) {
    case SL_REQUEST_READ: return fill_read(op, a, ret_reason);
    case SL_REQUEST_WRITE: return fill_write(op, a, ret_reason);
    case SL_REQUEST_LISTEN:
        op->request.as.listen.backlog = a->backlog;
        return copy_address(op, a->address, &op->request.as.listen.address, ret_reason);
    case SL_REQUEST_CONNECT:
        return copy_address(op, a->address, &op->request.as.connect.address, ret_reason);
    case SL_REQUEST_OPS: fill_ops(op, a); return SLUICE_OK;
    default: return SLUICE_OK;
    }
}

static int take_credit(client_operation *op, bool may_wait, sl_reason *ret_reason) {
    uint32_t bytes;
    if (!client_operation_credit(op, &bytes)) {
        return SLUICE_OK;
    }
    client_credit *credit = &op->session->credit;
    int status = client_credit_take(credit, bytes, ret_reason);
    if (status != SLUICE_OK && may_wait) {
        sl_clock *clock = sl_clock_system();
        uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(clock), op->timeout_ns);
        status = client_credit_wait(credit, bytes, deadline_ns, ret_reason);
        if (op->timeout_ns != SLUICE_NO_TIMEOUT) {
            uint64_t now_ns = sl_clock_now_ns(clock);
            op->timeout_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        }
    }
    op->has_credit = status == SLUICE_OK;
    op->credit_bytes = bytes;
    return status;
}

int client_prepare(sluice_session *session, const client_arguments *arguments, bool may_wait,
                   client_operation **ret_op, sl_reason *ret_reason) {
    int status = SL_FAILPOINT(client, submit);
    if (status != SLUICE_OK) {
        return status;
    }
    client_operation *op = client_pool_take(session, arguments->kind, arguments->timeout_ns);
    if (op == NULL) {
        return SLUICE_ENOMEM;
    }
    status = fill(op, arguments, ret_reason);
    if (status == SLUICE_OK) {
        status = take_credit(op, may_wait, ret_reason);
    }
    if (status != SLUICE_OK) {
        client_pool_drop(op);
        return status;
    }
    *ret_op = op;
    return SLUICE_OK;
}

void client_unprepare(client_operation *op) {
    if (op->has_credit) {
        op->has_credit = false;
        client_credit_give(&op->session->credit, op->credit_bytes);
    }
    client_pool_drop(op);
}

static int refuse_closed(sl_reason *ret_reason) {
    return sl_reason_set(ret_reason, SLUICE_ECLOSED, "session", "is being closed");
}

/* sluice_session_close sets is_closed, then waits until nobody is in here: so nothing is posted
 * behind its own stop mail. */
int client_post(client_operation *op, sl_reason *ret_reason) {
    sluice_session *session = op->session;
    if (client_session_is_io_thread(session)) { /* the stop mail has yet to be taken in */
        if (atomic_load(&session->is_closed)) {
            return refuse_closed(ret_reason);
        }
        client_core_submit_here(&session->core, op);
        return SLUICE_OK;
    }
    atomic_fetch_add(&session->posting_count, 1);
    bool is_closed = atomic_load(&session->is_closed);
    if (!is_closed) {
        client_core_submit(session->worker, op);
    }
    atomic_fetch_sub(&session->posting_count, 1);
    SL_FAILPOINT_PASS(client, submitted);
    return is_closed ? refuse_closed(ret_reason) : SLUICE_OK;
}

int client_do(sluice_session *session, const client_arguments *arguments, client_operation **ret_op,
              sl_reason *ret_reason) {
    int status = client_check_session(session, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    status = client_inline_check("start the call, and go on in the callback of that", ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    client_operation *op;
    status = client_prepare(session, arguments, true, &op, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    if (!op->has_event) {
        status = sl_event_init(&op->event);
        op->has_event = status == SLUICE_OK;
        if (!op->has_event) {
            (void)sl_reason_set(ret_reason, status, "the call",
                                "the system has no event to wait on");
        }
    }
    if (status == SLUICE_OK) {
        status = client_post(op, ret_reason);
    }
    if (status != SLUICE_OK) {
        client_unprepare(op);
        return status;
    }
    /* The core has a reference until it has told the outcome, and a new one for us from then on. */
    (void)sl_event_wait_until(&op->event, SL_CLOCK_NEVER);
    *ret_op = op;
    return op->result.status;
}
