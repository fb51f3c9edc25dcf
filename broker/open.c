/*
 * open.c - pair, connect, listen.
 *
 * Each goes to the engine at once, on behalf of the session's user: what may block in the system
 * (a path, looking up a host) waits there for one of the opener threads, whose shares are users'
 * (engine_share). A host is looked up, then its addresses are tried in order.
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

/* The user's, whichever session asks. */
static engine_behalf behalf_of(const broker_op *op) {
    const broker_session *session = op->session;
    return (engine_behalf){.share = &session->user->share, .rights = session->rights};
}

static void look_up(broker_op *op) {
    open_scratch *opening = opening_of(op);
    engine_behalf behalf = behalf_of(op);
    submitted(op,
              engine_resolve(op->session->worker->engine, opening->name.name, opening->name.port,
                             opening->addresses, RESOLVED_MAX, &behalf, &op->target, &op->request));
}

static void connect_next(broker_op *op) {
    open_scratch *opening = opening_of(op);
    engine_behalf behalf = behalf_of(op);
    engine_address *address = &opening->addresses[opening->next++];
    submitted(op, engine_connect(op->session->worker->engine, address, SL_CLOCK_NEVER, &behalf,
                                 &op->target, &op->request));
}

static void listen_on_all(broker_op *op) {
    open_scratch *opening = opening_of(op);
    engine_behalf behalf = behalf_of(op);
    engine_listen_options options = {.backlog = opening->backlog};
    uint32_t count = opening->name.kind == SL_ADDRESS_TCP ? opening->count : 1;
    submitted(op, engine_listen(op->session->worker->engine, opening->addresses, count, &options,
                                &behalf, &op->target, &op->request));
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
        op->target.on_completion = on_completion;
        status = sl_address_parse(address, &opening->name, &reason);
        if (status == SLUICE_OK && opening->name.kind == SL_ADDRESS_PIPE) {
            status = pipe_name_address(opening->name.name, &opening->addresses[0], &reason);
        }
    }
    if (status != SLUICE_OK) {
        op_refuse(op, status, reason.text[0] != '\0' ? &reason : NULL);
    }
    return status;
}

void open_pair(broker_op *op) {
    engine_behalf behalf = behalf_of(op);
    behalf.pair_bytes = op->reserved_pages == 1 ? PIPES_SMALL_BYTES : 0;
    op->target.on_completion = on_completion;
    submitted(op, engine_pair(op->session->worker->engine, &behalf, &op->target, &op->request));
}

void open_connect(broker_op *op, const char *address) {
    if (prepare(op, address) != SLUICE_OK) {
        return;
    }
    if (opening_of(op)->name.kind == SL_ADDRESS_TCP) {
        look_up(op);
    } else {
        connect_next(op);
    }
}

void open_listen(broker_op *op, const char *address, uint32_t backlog) {
    if (prepare(op, address) != SLUICE_OK) {
        return;
    }
    open_scratch *opening = opening_of(op);
    opening->backlog = backlog;
    if (opening->name.kind == SL_ADDRESS_TCP) {
        look_up(op);
    } else {
        listen_on_all(op);
    }
}

/* ---- going on ---- */

static void on_resolved(broker_op *op, const engine_completion *completion) {
    open_scratch *opening = opening_of(op);
    opening->count = completion->count;
    if (op->state == OP_CANCELLING) {
        op_finish(op, op->cause, 0);
    } else if (completion->count == 0) {
        op_finish(op, SLUICE_ENOTFOUND, 0);
    } else if (op->kind == SL_REQUEST_LISTEN) {
        listen_on_all(op);
    } else {
        connect_next(op);
    }
}

/* The only limit that an open meets after it was taken in. */
static void refuse_share(broker_op *op) {
    sl_reason reason;
    int status = sl_limit_reached(&reason, SL_LIMIT_USER, "opens_given_up",
                                  worker_limits(op->session->worker)->opens_given_up);
    op_refuse(op, status, &reason);
}

static void on_failed(broker_op *op, const engine_completion *completion) {
    if (completion->kind == ENGINE_CONNECT && op->cause == 0) {
        open_scratch *opening = opening_of(op);
        if (opening->next < opening->count) {
            connect_next(op);
            return;
        }
    }
    if (completion->status == SLUICE_EQUOTA) {
        refuse_share(op);
        return;
    }
    bool was_asked = completion->status == SLUICE_ECANCELED && op->cause != 0;
    if (completion->detail != NULL && !was_asked) {
        sl_reason reason;
        int status = sl_reason_set(&reason, completion->status, "address", completion->detail);
        op->os_error = completion->os_error;
        op_refuse(op, status, &reason);
        return;
    }
    op_finish(op, was_asked ? op->cause : completion->status, completion->os_error);
}

static void on_opened(broker_op *op, const engine_completion *completion) {
    broker_handle *first = handle_open(op, completion->opened[0]);
    if (completion->opened[1] != NULL) {
        broker_handle *second = handle_open(op, completion->opened[1]);
        first->partner = second;
        second->partner = first;
        first->pages = second->pages = op->reserved_pages;
        op->reserved_pages = 0;
    }
    op_finish(op, SLUICE_OK, 0);
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_op *op = SL_CONTAINER_OF(target, struct broker_op, target);
    broker_session *session = op->session;
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
}

void open_abandon(broker_op *op) {
    SL_CHECK(op->is_pinned, "only what the system has is abandoned");
    op_finish(op, SLUICE_EABANDONED, 0);
}
