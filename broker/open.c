/*
 * open.c - pair, connect, listen.
 *
 * What may block in the system (opening a pipe by name, looking up a host) runs on the engine's
 * opener threads, which all sessions share; a session has opener_pending of them at a time, its
 * other opens wait here for their turn. A host is looked up, then its addresses are tried in order.
 * When an operation has ended before its request comes back (EABANDONED, the session's end), what
 * the request opened is closed here.
 */
#include "broker/open.h"

#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/pipe_name.h"
#include "broker/quota.h"
#include "proto/address.h"

#define RESOLVED_MAX 8u /* addresses of a host; DESCRIPTORS_LISTENER counts them */

/* In op->data, from the request's start until its last request came back. */
typedef struct open_scratch {
    sl_address name;
    engine_address addresses[RESOLVED_MAX];
    uint32_t count;
    uint32_t next;
    uint32_t backlog;
} open_scratch;

static open_scratch *opening_of(const broker_op *op) {
    return (open_scratch *)(void *)op->data->bytes;
}

static void on_completion(broker_target *target, const engine_completion *completion);

/* After a submit: pinned until the completion, or the end. */
static void submitted(broker_op *op, int status) {
    if (status != SLUICE_OK) {
        op->request = 0;
        op_finish(op, status, 0);
        return;
    }
    op->is_pinned = true;
    op->state = OP_STARTED;
}

/* ---- openers ---- */

static void take_opener(broker_op *op) {
    op->session->quota.openers++;
    op->holds_opener = true;
}

static void release_opener(broker_op *op) {
    if (op->holds_opener) {
        SL_CHECK(op->session->quota.openers > 0, "an opener is given back once");
        op->session->quota.openers--;
        op->holds_opener = false;
    }
}

static void start(broker_op *op) {
    engine_worker *worker = op->session->worker->engine;
    take_opener(op);
    int status;
    if (op->kind == SL_REQUEST_PAIR) {
        status = engine_pair(worker, &op->target, &op->request);
    } else {
        open_scratch *opening = opening_of(op);
        if (opening->name.kind == SL_ADDRESS_TCP) {
            status = engine_resolve(worker, opening->name.name, opening->name.port,
                                    opening->addresses, RESOLVED_MAX, &op->target, &op->request);
        } else {
            status = engine_connect(worker, &opening->addresses[0], SL_CLOCK_NEVER, &op->target,
                                    &op->request);
        }
    }
    if (status != SLUICE_OK) {
        release_opener(op);
    }
    submitted(op, status);
}

static void start_next(broker_session *session) {
    uint64_t limit = worker_limits(session->worker)->opener_pending;
    while (session->quota.openers < limit && session_can_reply(session)) {
        sl_list *node = sl_list_pop_front(&session->openings);
        if (node == NULL) {
            return;
        }
        start(SL_LIST_ENTRY(node, broker_op, link));
    }
}

static void enqueue(broker_op *op) {
    op->target.on_completion = on_completion;
    sl_list_push_back(&op->session->openings, &op->link);
    start_next(op->session);
}

/* ---- beginning ---- */

/* SLUICE_OK; ENOMEM, EINVAL, ENAMETOOLONG: the operation has ended. */
static int prepare(broker_op *op, const char *address) {
    sl_reason reason = {""};
    int status = charge_take_chunk(op->session, sizeof(open_scratch), &op->data, &reason);
    if (status == SLUICE_OK) {
        open_scratch *opening = opening_of(op);
        opening->count = 0;
        opening->next = 0;
        status = sl_address_parse(address, &opening->name, &reason);
        if (status == SLUICE_OK && opening->name.kind == SL_ADDRESS_PIPE) {
            status = pipe_name_address(opening->name.name, &opening->addresses[0]);
        }
    }
    if (status != SLUICE_OK) {
        op_refuse(op, status, reason.text[0] != '\0' ? &reason : NULL);
    }
    return status;
}

void open_pair(broker_op *op) {
    enqueue(op);
}

void open_connect(broker_op *op, const char *address) {
    if (prepare(op, address) == SLUICE_OK) {
        enqueue(op);
    }
}

static void listen_now(broker_op *op) {
    broker_worker *worker = op->session->worker;
    open_scratch *opening = opening_of(op);
    engine_listen_options options = {.backlog = opening->backlog};
    engine_handle *os;
    uint32_t count = opening->name.kind == SL_ADDRESS_TCP ? opening->count : 1;
    int status = engine_listen(worker->engine, opening->addresses, count, &options, &os);
    if (status == SLUICE_OK) {
        handle_open(op, os);
        op_finish(op, SLUICE_OK, 0);
    } else {
        op_finish(op, status, engine_worker_os_error(worker->engine));
    }
}

void open_listen(broker_op *op, const char *address, uint32_t backlog) {
    if (prepare(op, address) != SLUICE_OK) {
        return;
    }
    open_scratch *opening = opening_of(op);
    opening->backlog = backlog;
    if (opening->name.kind == SL_ADDRESS_TCP) {
        enqueue(op);
    } else {
        listen_now(op);
    }
}

/* ---- going on ---- */

static void connect_next(broker_op *op) {
    open_scratch *opening = opening_of(op);
    engine_address *address = &opening->addresses[opening->next++];
    submitted(op, engine_connect(op->session->worker->engine, address, SL_CLOCK_NEVER, &op->target,
                                 &op->request));
}

static void on_resolved(broker_op *op, const engine_completion *completion) {
    open_scratch *opening = opening_of(op);
    opening->count = completion->count;
    if (op->state == OP_CANCELLING) {
        op_finish(op, op->cause, 0);
    } else if (completion->count == 0) {
        op_finish(op, SLUICE_ENOTFOUND, 0);
    } else if (op->kind == SL_REQUEST_LISTEN) {
        listen_now(op);
    } else {
        connect_next(op);
    }
}

static void on_failed(broker_op *op, const engine_completion *completion) {
    if (completion->kind == ENGINE_CONNECT && op->cause == 0) {
        open_scratch *opening = opening_of(op);
        if (opening->next < opening->count) {
            connect_next(op);
            return;
        }
    }
    bool was_asked = completion->status == SLUICE_ECANCELED && op->cause != 0;
    if (completion->detail != NULL && !was_asked) {
        sl_reason reason;
        int status = sl_reason_set(&reason, completion->status, "address", completion->detail);
        op_refuse(op, status, &reason);
        return;
    }
    op_finish(op, was_asked ? op->cause : completion->status, completion->os_error);
}

static void on_opened(broker_op *op, const engine_completion *completion) {
    for (unsigned i = 0; i < 2; i++) {
        if (completion->opened[i] != NULL) {
            handle_open(op, completion->opened[i]);
        }
    }
    op_finish(op, SLUICE_OK, 0);
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_op *op = SL_CONTAINER_OF(target, struct broker_op, target);
    broker_session *session = op->session;
    release_opener(op);
    if (op->state == OP_ZOMBIE) {
        for (unsigned i = 0; i < 2 && completion->status == SLUICE_OK; i++) {
            if (completion->opened[i] != NULL) {
                worker_close_orphan(session->worker, completion->opened[i]);
            }
        }
        op_unpin(op);
    } else {
        op->is_pinned = false;
        op->request = 0;
        if (completion->status != SLUICE_OK) {
            on_failed(op, completion);
        } else if (completion->kind == ENGINE_RESOLVE) {
            on_resolved(op, completion);
        } else {
            on_opened(op, completion);
        }
    }
    start_next(session);
}

/* A pipe that is connected to is none: while it is busy it is tried again, until a cancel. */
bool open_is_with_opener(const broker_op *op) {
    return op->holds_opener &&
           (op->kind == SL_REQUEST_PAIR || opening_of(op)->name.kind == SL_ADDRESS_TCP);
}

void open_abandon(broker_op *op) {
    SL_CHECK(op->is_pinned, "only what the system has is abandoned");
    op_finish(op, SLUICE_EABANDONED, 0);
}
