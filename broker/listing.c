/*
 * listing.c - Ops: a page of the tables of operations, and of what is
 * left of sessions that have ended; only of those that the asking client may see (peer.h).
 *
 * A worker's table is read by that worker only. So a query travels: it is a message, filled in by
 * one worker after the other and sent home in between. The operation that asked is pinned while its
 * query is away. Each stop looks at SCAN_MAX entries at most; a page may be short. The cursor is
 * {worker, section, place}: section 0 is the worker's table of operations, n the handles of the
 * n-th session in its table, where place 0 is the session's connection.
 */
#include "broker/listing.h"

#include <string.h>

#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/peer.h"
#include "broker/quota.h"

#define SCAN_MAX      4096u
#define SECTION_BITS  24u
#define SECTION_SHIFT 32u
#define WORKER_SHIFT  (SECTION_SHIFT + SECTION_BITS)

struct broker_query {
    broker_letter letter;
    broker_op *op;
    broker_worker *home;
    uint32_t worker_index; /* where to look next */
    uint32_t section;
    uint32_t place;
    uint32_t looked_at; /* at this stop */
    bool is_full;       /* the page is, or enough was looked at */
    sl_ops_filter filter;
    uint32_t limit;
    uint64_t min_age_ns;
    uint32_t count;
    sl_ops_row rows[SL_OPS_ROWS_MAX];
    char names[SL_OPS_ROWS_MAX][SL_CLIENT_NAME_BYTES + 1];
    uint8_t reply[SL_RESPONSE_BYTES_OPS(SL_OPS_ROWS_MAX)];
};

static broker_query *query_of(const broker_op *op) {
    return (broker_query *)(void *)op->data->bytes;
}

static bool is_stuck(const broker_op *op) {
    return op->state == OP_ZOMBIE || op->state == OP_CANCELLING;
}

/* A row about this session, or NULL: there is none of that age to be shown. */
static sl_ops_row *add_row(broker_query *query, const broker_session *session,
                           uint64_t started_ns) {
    const broker_worker *here = session->worker;
    uint64_t age_ns = here->now_ns - started_ns;
    if (age_ns < query->min_age_ns || !peer_sees(query->op->session, session)) {
        return NULL;
    }
    char *name = query->names[query->count];
    memcpy(name, session->name, sizeof(session->name));
    sl_ops_row *row = &query->rows[query->count++];
    *row = (sl_ops_row){
        .session_id = session->id,
        .client_name = name,
        .user = session->user->text,
        .process_id = session->process_id,
        .age_ns = age_ns,
        .worker = here->index,
    };
    return row;
}

static void add_op(broker_query *query, const broker_op *op) {
    static const sl_operation_state states[] = {
        [OP_QUEUED] = SL_OPERATION_QUEUED,
        [OP_STARTED] = SL_OPERATION_STARTED,
        [OP_CANCELLING] = SL_OPERATION_CANCELLING,
        [OP_ZOMBIE] = SL_OPERATION_ZOMBIE,
    };
    if (op->state == OP_ENDED || op == query->op ||
        (query->filter == SL_OPS_FILTER_STUCK && !is_stuck(op))) {
        return;
    }
    sl_ops_row *row = add_row(query, op->session, op->started_ns);
    if (row != NULL) {
        uint64_t now_ns = op->session->worker->now_ns;
        bool has_deadline = op->deadline_ns != SL_CLOCK_NEVER && op->deadline_ns > now_ns;
        row->operation_id = op->id;
        row->handle = op->handle_id;
        row->kind = op->kind;
        row->state = states[op->state];
        row->remaining_ns = has_deadline ? op->deadline_ns - now_ns : 0;
        row->length_bytes = op->length;
        row->done_bytes = op->done;
        row->stuck = is_stuck(op);
    }
}

/* What has no operation any more: a close that nobody asked for, and nobody waits for. */
static void add_remains(broker_query *query, const broker_session *session, uint64_t handle,
                        uint64_t closed_ns) {
    sl_ops_row *row = add_row(query, session, closed_ns);
    if (row != NULL) {
        row->handle = handle;
        row->kind = SL_REQUEST_CLOSE;
        row->state = SL_OPERATION_ZOMBIE;
        row->stuck = true;
    }
}

/* One more entry may be looked at, and shown. */
static bool may_look(broker_query *query) {
    query->is_full = query->count >= query->limit || query->looked_at >= SCAN_MAX;
    query->looked_at++;
    return !query->is_full;
}

/* true: to the end of the table. */
static bool scan_ops(broker_query *query, broker_worker *here) {
    while (may_look(query)) {
        broker_op *op = sl_slots_next(&here->ops, &query->place);
        if (op == NULL) {
            return true;
        }
        add_op(query, op);
    }
    return false;
}

/* true: to the end of the session's handles. Zombies of one that lives have their close's row. */
static bool scan_session(broker_query *query, broker_session *session) {
    if (session->state != SESSION_CLOSING) {
        return true;
    }
    if (query->place == 0) {
        if (!may_look(query)) {
            return false;
        }
        query->place = 1;
        if (zombie_is(&session->zombie)) {
            add_remains(query, session, 0, session->closed_ns);
        }
    }
    while (may_look(query)) {
        uint32_t at = query->place - 1;
        broker_handle *handle = sl_slots_next(&session->handles, &at);
        if (handle == NULL) {
            return true;
        }
        query->place = at + 1;
        if (handle->state == HANDLE_ZOMBIE && handle->closer == NULL) {
            add_remains(query, session, handle->id, handle->closed_ns);
        }
    }
    return false;
}

/* true: to the end of the worker's sessions. */
static bool scan_remains(broker_query *query, broker_worker *here) {
    while (may_look(query)) {
        uint32_t at = query->section - 1;
        broker_session *session = sl_slots_next(&here->sessions, &at);
        if (session == NULL) {
            return true;
        }
        if (at != query->section) { /* the one of the page before is gone */
            query->section = at;
            query->place = 0;
        }
        if (!scan_session(query, session)) {
            return false;
        }
        query->section = at + 1;
        query->place = 0;
    }
    return false;
}

/* Looks at this worker's operations, then at what is left of its sessions. */
static void scan(broker_query *query, broker_worker *here) {
    query->looked_at = 0;
    if (query->section == 0 && scan_ops(query, here)) {
        query->section = 1;
        query->place = 0;
    }
    if (query->section != 0 && !query->is_full && scan_remains(query, here)) {
        query->worker_index++;
        query->section = 0;
        query->place = 0;
    }
}

static void finish(broker_query *query) {
    broker_op *op = query->op;
    bool is_last = query->worker_index >= query->home->broker->worker_count;
    uint64_t cursor = (uint64_t)query->worker_index << WORKER_SHIFT |
                      (uint64_t)query->section << SECTION_SHIFT | query->place;
    sl_response response = {.id = op->id, .kind = SL_RESPONSE_OPS};
    response.as.ops.rows = query->rows;
    response.as.ops.count = query->count;
    response.as.ops.next_cursor = is_last ? 0 : cursor;
    size_t length = 0;
    int status = sl_response_encode(&response, 0, query->reply, sizeof(query->reply), &length);
    if (status == SLUICE_OK) {
        op->data_at = (uint32_t)(query->reply - op->data->bytes);
        op->data_length = (uint32_t)length;
    }
    op_finish(op, status, 0);
}

/* At home: goes on with the next worker, or ends. */
static void advance(broker_query *query) {
    broker *b = query->home->broker;
    while (!query->is_full && query->worker_index < b->worker_count) {
        broker_worker *next = &b->workers[query->worker_index];
        if (next == query->home) {
            scan(query, next);
        } else if (atomic_load_explicit(&next->is_open, memory_order_acquire)) {
            query->op->is_pinned = true;
            engine_post(next->engine, &query->letter.message);
            return;
        } else {
            query->worker_index++;
            query->section = 0;
            query->place = 0;
        }
    }
    finish(query);
}

static void on_delivery(broker_letter *letter, broker_worker *here) {
    broker_query *query = SL_CONTAINER_OF(letter, struct broker_query, letter);
    if (here != query->home) {
        scan(query, here);
        engine_post(query->home->engine, &letter->message);
        return;
    }
    broker_op *op = query->op;
    if (op->state >= OP_ENDED) {
        op_unpin(op); /* and the query with it */
        return;
    }
    op->is_pinned = false;
    advance(query);
}

static void begin(broker_op *op) {
    broker_worker *home = op->session->worker;
    const sl_ops_request asked = op->small.ops;
    sl_reason reason;
    int status = quota_take_query(op, &reason);
    if (status == SLUICE_OK) {
        status = chunk_take(op->session, sizeof(broker_query), &op->data, &reason);
    }
    if (status != SLUICE_OK) {
        op_refuse(op, status, status == SLUICE_EQUOTA ? &reason : NULL);
        return;
    }
    broker_query *query = query_of(op);
    memset(query, 0, offsetof(struct broker_query, rows));
    query->letter.message.user = &query->letter;
    query->letter.on_delivery = on_delivery;
    query->op = op;
    query->home = home;
    query->worker_index = (uint32_t)(asked.cursor >> WORKER_SHIFT);
    query->section = (uint32_t)(asked.cursor >> SECTION_SHIFT) & ((1u << SECTION_BITS) - 1);
    query->place = (uint32_t)asked.cursor;
    query->filter = asked.filter;
    query->limit = asked.limit != 0 ? asked.limit : SL_OPS_ROWS_MAX;
    query->min_age_ns = asked.min_age_ns;
    op->state = OP_STARTED;
    advance(query);
}

void listing_begin_all(broker_worker *worker) {
    sl_list *node;
    while ((node = sl_list_pop_front(&worker->asking)) != NULL) {
        begin(SL_LIST_ENTRY(node, broker_op, link));
    }
}
