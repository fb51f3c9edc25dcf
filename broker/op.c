/*
 * op.c - operations: made, found by id, ended, given back.
 *
 * They live in a table of the worker, whose order listings follow; a session finds its own by
 * the client's id, in a table of buckets with a seed of its own, so that no client can choose ids
 * that fall together.
 */
#include "broker/op.h"

#include <string.h>

#include "base/failpoint.h"
#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/quota.h"

#define BUCKETS_MAX 65536u

/* ---- by id ---- */

static uint32_t bucket_of(const broker_session *session, uint64_t id) {
    uint64_t mixed = (id ^ session->hash_seed) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 29;
    mixed *= UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(mixed >> 32) & (session->bucket_count - 1);
}

broker_op *op_find(broker_session *session, uint64_t id) {
    broker_op *found = session->buckets[bucket_of(session, id)];
    while (found != NULL && found->id != id) {
        found = found->next_in_bucket;
    }
    return found;
}

/* More buckets when there are twice as many operations. Without memory the chains get longer. */
static void grow_buckets(broker_session *session) {
    uint32_t old_count = session->bucket_count;
    if (session->op_count < old_count * 2 || old_count >= BUCKETS_MAX) {
        return;
    }
    sl_account *account = &session->memory.account;
    broker_op **old = session->buckets;
    broker_op **grown = sl_account_alloc(account, old_count * 4 * sizeof(*grown));
    if (grown == NULL) {
        return;
    }
    session->buckets = grown;
    session->bucket_count = old_count * 4;
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            broker_op *moved = old[i];
            old[i] = moved->next_in_bucket;
            broker_op **bucket = &grown[bucket_of(session, moved->id)];
            moved->next_in_bucket = *bucket;
            *bucket = moved;
        }
    }
    sl_account_free(account, old, old_count * sizeof(*old));
}

static void insert(broker_op *op) {
    broker_session *session = op->session;
    grow_buckets(session);
    uint32_t bucket = bucket_of(session, op->id);
    op->next_in_bucket = session->buckets[bucket];
    session->buckets[bucket] = op;
}

static void remove_id(broker_op *removed) {
    broker_op **place = &removed->session->buckets[bucket_of(removed->session, removed->id)];
    while (*place != removed) {
        SL_CHECK(*place != NULL, "an unanswered operation is found by its id");
        place = &(*place)->next_in_bucket;
    }
    *place = removed->next_in_bucket;
}

/* ---- making and giving back ---- */

int op_create(broker_session *session, uint64_t id, sl_request_kind kind, broker_op **ret_op) {
    broker_worker *worker = session->worker;
    if (op_find(session, id) != NULL) {
        return SLUICE_EPROTOCOL;
    }
    void *entry;
    sl_slot_id slot;
    int status = deadline_reserve(worker);
    if (status != SLUICE_OK) {
        return SLUICE_ENOMEM;
    }
    if (sl_slots_take(&worker->ops, &entry, &slot) != SLUICE_OK) {
        deadline_unreserve(worker);
        return SLUICE_ENOMEM;
    }
    broker_op *op = entry;
    /* Without the small bytes: whoever uses them knows how many there are. */
    memset(op, 0, offsetof(struct broker_op, small));
    op->session = session;
    op->id = id;
    op->kind = kind;
    op->started_ns = worker->now_ns;
    op->deadline_ns = SL_CLOCK_NEVER;
    status = charge_take_op(op);
    if (status != SLUICE_OK) {
        sl_slots_release(&worker->ops, op);
        deadline_unreserve(worker);
        return status;
    }
    sl_list_init(&op->in_session);
    sl_list_init(&op->link);
    sl_list_push_back(&session->ops, &op->in_session);
    insert(op);
    session->op_count++;
    session->live_count++;
    counter_add(&worker->counters.operations, 1);
    counter_add(&worker->counters.operations_started, 1);
    *ret_op = op;
    return SLUICE_OK;
}

static void give_back(broker_op *op) {
    broker_session *session = op->session;
    broker_worker *worker = session->worker;
    SL_CHECK(op->state >= OP_ENDED && op->is_answered && !op->is_pinned,
             "an operation is given back when it is answered and nothing refers to it");
    SL_CHECK(op->reserved_handles == 0, "it has given back what it held");
    zombie_end(&op->zombie);
    quota_release_query(op);
    chunk_drop(op->data);
    op->data = NULL;
    charge_give_op(op);
    sl_list_remove(&op->in_session);
    deadline_unreserve(worker);
    session->op_count--;
    sl_slots_release(&worker->ops, op);
    session_wants_reap(session);
}

/* ---- the end ---- */

/* A handle's reads are answered in the order in which they ended, each whole before the next one
 * begins, and its close after them: their bytes are the stream's, whatever the size of the replies,
 * and a client that has given one of them up must know what its late bytes are followed by. true:
 * it is this one's turn; false: it waits behind another. */
static bool takes_turn(broker_op *op, broker_handle *handle) {
    if ((op->kind != SL_REQUEST_READ && op->kind != SL_REQUEST_CLOSE) || handle == NULL) {
        return true;
    }
    broker_op *before = handle->last_answer;
    handle->last_answer = op;
    op->last_of = handle;
    if (before != NULL) {
        before->next_answer = op;
        before->last_of = NULL;
    }
    return before == NULL;
}

/* Whose turn it is then, or NULL. */
static broker_op *give_turn(broker_op *op) {
    broker_op *next = op->next_answer;
    if (op->last_of != NULL) {
        op->last_of->last_answer = NULL;
        op->last_of = NULL;
    }
    op->next_answer = NULL;
    return next;
}

void op_forget_handle(broker_handle *handle) {
    if (handle->last_answer != NULL) {
        handle->last_answer->last_of = NULL;
        handle->last_answer = NULL;
    }
}

void op_finish(broker_op *op, int status, uint32_t os_error) {
    broker_session *session = op->session;
    broker_worker *worker = session->worker;
    SL_CHECK(op->state < OP_ENDED, "an operation ends once");
    SL_FAILPOINT_PASS(broker, finish);
    deadline_clear(worker, &op->timer);
    sl_list_remove(&op->link);
    if (status == SLUICE_EQUOTA && !op->has_detail && !op->is_pinned && op->data_length == 0) {
        /* A charge that failed gave its reason already; only the engine's own tables are left. */
        (void)sl_limit_reached(&op->small.reason, SL_LIMIT_BROKER, "worker_entries",
                               WORKER_ENTRIES);
        op->has_detail = true;
    }
    broker_handle *handle = op->handle;
    op->handle = NULL;
    op->status = status;
    op->os_error = os_error;
    op->state = op->is_pinned ? OP_ZOMBIE : OP_ENDED;
    /* A stuck close is its handle's zombie, not one more; and a query that is away comes home. */
    if (op->is_pinned && op->kind != SL_REQUEST_CLOSE && op->kind != SL_REQUEST_OPS) {
        zombie_begin(&op->zombie, session);
    }
    quota_release_handles(op);
    session->live_count--;
    counter_subtract(&worker->counters.operations, 1);
    counter_add(&worker->counters.operations_finished, 1);
    if (!session_can_reply(session) || takes_turn(op, handle)) {
        sl_list_push_back(&worker->ended, &op->link);
        session_wants_flush(session);
    }
}

void op_refuse(broker_op *op, int status, const sl_reason *reason) {
    if (reason != NULL && op->data_length == 0) {
        op->small.reason = *reason;
        op->has_detail = true;
    }
    op_finish(op, status, op->os_error);
}

broker_op *op_answered(broker_op *op) {
    SL_CHECK(!op->is_answered, "an operation is answered once");
    sl_list_remove(&op->link);
    remove_id(op);
    quota_release(op);
    op->is_answered = true;
    broker_op *next = give_turn(op);
    if (!op->is_pinned) {
        give_back(op);
    }
    return next;
}

void op_unpin(broker_op *op) {
    SL_CHECK(op->is_pinned, "what is unpinned was pinned");
    op->is_pinned = false;
    op->request = 0;
    if (op->is_answered) {
        give_back(op);
    }
}
