/*
 * pool.c - operations that are used again: no heap in steady state, and no new event per call.
 */
#include "client/session.h"

static void destroy(sluice_session *session, client_operation *op) {
    if (op->has_event) {
        sl_event_deinit(&op->event);
    }
    sl_account_free(&session->account, op, sizeof(*op));
}

client_operation *client_pool_take(sluice_session *session, sl_request_kind kind,
                                   uint64_t timeout_ns) {
    sl_mutex_lock(&session->pool_lock);
    client_operation *op = session->pool;
    if (op != NULL) {
        session->pool = op->next_free;
        session->pool_count--;
    }
    sl_mutex_unlock(&session->pool_lock);
    if (op == NULL) {
        op = sl_account_alloc(&session->account, sizeof(*op));
        if (op == NULL) {
            return NULL;
        }
    }
    client_operation_init(op, kind, timeout_ns);
    op->session = session;
    atomic_fetch_add_explicit(&session->reference_count, 1, memory_order_relaxed);
    return op;
}

void client_pool_drop(client_operation *op) {
    if (!client_operation_drop(op)) {
        return;
    }
    sluice_session *session = op->session;
    sl_account_free(&session->account, op->text, op->text_size);
    op->text = NULL;
    sl_mutex_lock(&session->pool_lock);
    bool is_kept = session->pool_count < CLIENT_POOL_MAX;
    if (is_kept) {
        op->next_free = session->pool;
        session->pool = op;
        session->pool_count++;
    }
    sl_mutex_unlock(&session->pool_lock);
    if (!is_kept) {
        destroy(session, op);
    }
    client_session_drop(session);
}

void client_pool_clear(sluice_session *session) {
    while (session->pool != NULL) {
        client_operation *op = session->pool;
        session->pool = op->next_free;
        destroy(session, op);
    }
    session->pool_count = 0;
}
