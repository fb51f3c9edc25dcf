/*
 * introspect.c - Status: a sum of counters. Ops: a page of the tables of operations.
 *
 * A worker's table is read by that worker only. So a query travels: it is a message, filled in by
 * one worker after the other and sent home in between. The operation that asked is pinned while its
 * query is away. Each stop looks at SCAN_MAX operations at most; a page may be short. The cursor is
 * {worker, place in its table}.
 */
#include "broker/introspect.h"

#include <string.h>

#define SCAN_MAX 4096u

struct broker_query {
    broker_letter letter;
    broker_op *op;
    broker_worker *home;
    uint32_t worker_index; /* where to look next */
    uint32_t place;
    bool is_full; /* the page is, or enough was looked at */
    sl_ops_filter filter;
    uint32_t limit;
    uint64_t min_age_ns;
    uint32_t count;
    size_t length; /* of the reply */
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

static void add_row(broker_query *query, const broker_worker *here, const broker_op *op) {
    static const sl_operation_state states[] = {
        [OP_QUEUED] = SL_OPERATION_QUEUED,
        [OP_STARTED] = SL_OPERATION_STARTED,
        [OP_CANCELLING] = SL_OPERATION_CANCELLING,
        [OP_ZOMBIE] = SL_OPERATION_ZOMBIE,
    };
    uint64_t age_ns = here->now_ns - op->started_ns;
    if (op->state == OP_ENDED || age_ns < query->min_age_ns || op == query->op ||
        (query->filter == SL_OPS_FILTER_STUCK && !is_stuck(op))) {
        return;
    }
    char *name = query->names[query->count];
    memcpy(name, op->session->name, sizeof(op->session->name));
    bool has_deadline = op->deadline_ns != SL_CLOCK_NEVER && op->deadline_ns > here->now_ns;
    query->rows[query->count++] = (sl_ops_row){
        .session_id = op->session->id,
        .client_name = name,
        .process_id = op->session->process_id,
        .operation_id = op->id,
        .handle = op->handle_id,
        .kind = op->kind,
        .state = states[op->state],
        .age_ns = age_ns,
        .remaining_ns = has_deadline ? op->deadline_ns - here->now_ns : 0,
        .length_bytes = op->length,
        .done_bytes = op->done,
        .worker = here->index,
        .stuck = is_stuck(op),
    };
}

/* Looks at this worker's operations. */
static void scan(broker_query *query, broker_worker *here) {
    for (uint32_t i = 0; query->count < query->limit; i++) {
        if (i == SCAN_MAX) {
            query->is_full = true;
            return;
        }
        broker_op *op = sl_slots_next(&here->ops, &query->place);
        if (op == NULL) {
            query->worker_index++;
            query->place = 0;
            return;
        }
        add_row(query, here, op);
    }
    query->is_full = true;
}

static void finish(broker_query *query) {
    broker_op *op = query->op;
    bool is_last = query->worker_index >= query->home->broker->worker_count;
    uint64_t cursor = (uint64_t)query->worker_index << 32 | query->place;
    sl_response response = {.id = op->id, .kind = SL_RESPONSE_OPS};
    response.as.ops.rows = query->rows;
    response.as.ops.count = query->count;
    response.as.ops.next_cursor = is_last ? 0 : cursor;
    int status =
        sl_response_encode(&response, 0, query->reply, sizeof(query->reply), &query->length);
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

void introspect_ops(broker_op *op, const sl_request *request) {
    broker_worker *home = op->session->worker;
    op->data = chunk_take(&home->chunks, sizeof(broker_query));
    if (op->data == NULL) {
        op_finish(op, SLUICE_ENOMEM, 0);
        return;
    }
    broker_query *query = query_of(op);
    memset(query, 0, offsetof(struct broker_query, rows));
    query->letter.message.user = &query->letter;
    query->letter.on_delivery = on_delivery;
    query->op = op;
    query->home = home;
    query->worker_index = (uint32_t)(request->as.ops.cursor >> 32);
    query->place = (uint32_t)request->as.ops.cursor;
    query->filter = request->as.ops.filter;
    query->limit = request->as.ops.limit != 0 ? request->as.ops.limit : SL_OPS_ROWS_MAX;
    query->min_age_ns = request->as.ops.min_age_ns;
    op->state = OP_STARTED;
    advance(query);
}

const uint8_t *introspect_reply(const broker_op *op, size_t *ret_length) {
    const broker_query *query = query_of(op);
    *ret_length = query->length;
    return query->reply;
}

void introspect_status(const broker_worker *worker, sl_status_reply *ret_status) {
    const broker *b = worker->broker;
    broker_counters sum;
    broker_counters_get(b, &sum);
    *ret_status = (sl_status_reply){
        .broker_version = b->version,
        .engine_name = broker_engine_name(b),
        .process_id = b->options.process_id,
        .uptime_ns = worker->now_ns - b->started_ns,
        .workers = sum.workers,
        .sessions = (uint32_t)sum.sessions,
        .handles = sum.handles,
        .operations = sum.operations,
        .zombies = sum.zombies,
        .memory_bytes = sum.memory_bytes,
        .operations_started = sum.operations_started,
        .operations_finished = sum.operations_finished,
        .cancels = sum.cancels,
        .sessions_started = sum.sessions_started,
        .protocol_violations = sum.protocol_violations,
        .draining = sum.is_draining,
    };
}
