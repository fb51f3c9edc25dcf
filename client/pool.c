/*
 * pool.c - operations that are used again: no heap in steady state, and no new event per call.
 *
 * The I/O thread has a small pool of its own, without a lock: an INLINE callback that starts the
 * next call pays no atomic operation for it.
 */
#include "client/session.h"

static void destroy(sluice_session *session, client_operation *op) {
    if (op->has_event) {
        sl_event_deinit(&op->event);
    }
    sl_account_free(&session->account, op, sizeof(*op));
}

static client_operation *pop(client_operation **pool, uint32_t *count) {
    client_operation *op = *pool;
    if (op != NULL) {
        *pool = op->next_free;
        (*count)--;
    }
    return op;
}

static bool push(client_operation **pool, uint32_t *count, uint32_t max, client_operation *op) {
    if (*count >= max) {
        return false;
    }
    op->next_free = *pool;
    *pool = op;
    (*count)++;
    return true;
}

client_operation *client_pool_take(sluice_session *session, sl_request_kind kind,
                                   uint64_t timeout_ns) {
    bool is_io_thread = client_session_is_io_thread(session);
    client_operation *op = is_io_thread ? pop(&session->io_pool, &session->io_pool_count) : NULL;
    if (op == NULL) {
        sl_mutex_lock(&session->pool_lock);
        op = pop(&session->pool, &session->pool_count);
        sl_mutex_unlock(&session->pool_lock);
    }
    if (op == NULL) {
        op = sl_account_alloc(&session->account, sizeof(*op));
        if (op == NULL) {
            return NULL;
        }
    }
    client_operation_init(op, kind, timeout_ns);
    op->session = session;
    if (!is_io_thread) {
        client_session_hold(op);
    }
    return op;
}

static bool keep(sluice_session *session, client_operation *op) {
    if (client_session_is_io_thread(session) &&
        push(&session->io_pool, &session->io_pool_count, CLIENT_IO_POOL_MAX, op)) {
        return true;
    }
    sl_mutex_lock(&session->pool_lock);
    bool is_kept = push(&session->pool, &session->pool_count, CLIENT_POOL_MAX, op);
    sl_mutex_unlock(&session->pool_lock);
    return is_kept;
}

void client_pool_drop(client_operation *op) {
    if (!client_operation_drop(op)) {
        return;
    }
    sluice_session *session = op->session;
    bool holds_session = op->holds_session;
    if (op->text != NULL) {
        sl_account_free(&session->account, op->text, op->text_size);
        op->text = NULL;
    }
    if (!keep(session, op)) {
        destroy(session, op);
    }
    if (holds_session) {
        client_session_drop(session);
    }
}

void client_pool_clear(sluice_session *session) {
    client_operation *op;
    while ((op = pop(&session->pool, &session->pool_count)) != NULL ||
           (op = pop(&session->io_pool, &session->io_pool_count)) != NULL) {
        destroy(session, op);
    }
}
