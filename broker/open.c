/*
 * open.c - pair, connect, listen.
 *
 * Each goes to the engine at once, on behalf of the session's user: what may block in the system
 * (a path, looking up a host) waits there for one of the opener threads, whose shares are users'
 * (engine_share). A host is looked up, then its addresses are tried in order, each but the last for
 * its share of the time: so one that is silent does not keep the others from their turn.
 * When an operation has ended before its request comes back (EABANDONED, the session's end), what
 * the request opened is closed here.
 */
#include "broker/open.h"

#include "base/status.h"
#include "base/text.h"
#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/orphan.h"
#include "broker/pipe_name.h"
#include "broker/quota.h"
#include "proto/address.h"

#define RESOLVED_MAX 8u /* addresses of a host; DESCRIPTORS_LISTENER counts them */
/* For an address behind which there are others, however much time is left: a peer far away answers
 * in less, also when the first packet was lost (RFC 6298: it is sent again after 1 s). */
#define ATTEMPT_MAX_NS (2 * SL_NS_PER_S)

/* In op->data, from the request's start until its last request came back. */
typedef struct open_scratch {
    sl_address name;
    engine_address addresses[RESOLVED_MAX];
    uint32_t count;
    uint32_t next;
    uint32_t backlog;
    int statuses[RESOLVED_MAX]; /* of the attempts that have failed */
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

/* When the next address has had its turn. The last has all the time that the operation has. */
static uint64_t attempt_deadline_ns(const broker_op *op) {
    const open_scratch *opening = opening_of(op);
    uint64_t now_ns = op->session->worker->now_ns;
    if (opening->next + 1 >= opening->count) {
        return SL_CLOCK_NEVER;
    }
    uint64_t left_ns = op->deadline_ns > now_ns ? op->deadline_ns - now_ns : 0;
    uint64_t share_ns = left_ns / (opening->count - opening->next);
    return sl_clock_after_ns(now_ns, share_ns < ATTEMPT_MAX_NS ? share_ns : ATTEMPT_MAX_NS);
}

static void connect_next(broker_op *op) {
    open_scratch *opening = opening_of(op);
    engine_behalf behalf = behalf_of(op);
    uint64_t deadline_ns = attempt_deadline_ns(op);
    engine_address *address = &opening->addresses[opening->next++];
    submitted(op, engine_connect(op->session->worker->engine, address, deadline_ns, &behalf,
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
    int status = chunk_take(op->session, sizeof(open_scratch), &op->data, &reason);
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

/* Of a host with several addresses: how many were tried, and what came of each. */
static void describe_attempts(const open_scratch *opening, const char *detail,
                              sl_reason *ret_reason) {
    sl_text text;
    sl_text_init(&text, ret_reason->text, sizeof(ret_reason->text) - 1);
    sl_text_append(&text, "address: ");
    sl_text_append_u64(&text, opening->next);
    sl_text_append(&text, " of the host's ");
    sl_text_append_u64(&text, opening->count);
    sl_text_append(&text, " were tried");
    for (uint32_t i = 0; i < opening->next; i++) {
        const engine_address *tried = &opening->addresses[i];
        sl_address shown;
        if (tried->family == ENGINE_ADDRESS_IPV4) {
            sl_address_from_ipv4(&shown, tried->ip, tried->port);
        } else {
            sl_address_from_ipv6(&shown, tried->ip, tried->scope_id, tried->port);
        }
        sl_text_append(&text, i == 0 ? ": " : ", ");
        sl_text_append(&text, shown.name);
        sl_text_append(&text, " ");
        sl_text_append(&text, sl_status_name(opening->statuses[i]));
    }
    if (detail != NULL) {
        sl_text_append(&text, "; the last: ");
        sl_text_append(&text, detail);
    }
    ret_reason->text[text.length] = '\0';
}

static void on_failed(broker_op *op, const engine_completion *completion) {
    open_scratch *opening = completion->kind == ENGINE_CONNECT ? opening_of(op) : NULL;
    bool has_next = opening != NULL && opening->next < opening->count;
    /* With other addresses behind it, the end of an attempt is no outcome. */
    bool was_asked = op->cause != 0 && (completion->status == SLUICE_ECANCELED || has_next);
    int status = was_asked ? op->cause : completion->status;
    if (opening != NULL) {
        opening->statuses[opening->next - 1] = status;
    }
    if (has_next && !was_asked) {
        connect_next(op);
        return;
    }
    if (status == SLUICE_EQUOTA) {
        refuse_share(op);
        return;
    }
    sl_reason reason;
    const char *detail = was_asked ? NULL : completion->detail;
    bool is_of_many =
        opening != NULL && opening->count > 1 && (!was_asked || status == SLUICE_ETIMEDOUT);
    if (is_of_many) {
        describe_attempts(opening, detail, &reason);
    } else if (detail != NULL) {
        (void)sl_reason_set(&reason, status, "address", detail);
    }
    op->os_error = was_asked ? 0 : completion->os_error; /* else it is another status's */
    op_refuse(op, status, is_of_many || detail != NULL ? &reason : NULL);
}

static void on_opened(broker_op *op, const engine_completion *completion) {
    broker_handle *first = handle_open(op, completion->opened[0]);
    if (completion->opened[1] != NULL) {
        broker_handle *second = handle_open(op, completion->opened[1]);
        first->partner = second;
        second->partner = first;
        first->pages = second->pages = op->reserved_pages;
        op->reserved_pages = 0;
        handle_close_if_late(second);
    }
    handle_close_if_late(first);
    op_finish(op, SLUICE_OK, 0);
}

static void on_completion(broker_target *target, const engine_completion *completion) {
    broker_op *op = SL_CONTAINER_OF(target, struct broker_op, target);
    broker_session *session = op->session;
    if (op->state == OP_ZOMBIE) {
        for (unsigned i = 0; i < 2 && completion->status == SLUICE_OK; i++) {
            if (completion->opened[i] != NULL) {
                orphan_close(session->worker, completion->opened[i]);
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
