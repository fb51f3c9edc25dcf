/*
 * op.h - a client's operation, from acceptance to its answer.
 *
 *            accepted -> QUEUED -> STARTED -> CANCELLING -> ENDED   -> answered, given back
 *                                                        -> ZOMBIE  -> answered, kept until the
 *                                                                     system lets go, given back
 *
 * op_finish() is the only end. It says nothing to anybody: the operation goes on a list of its
 * worker, whose turn hands it to its session (output_take). There it is the memory of its own reply
 * (I8), so that a client which does not read costs no more than what it was granted. It is given
 * back when the last frame of the reply is encoded, or, if the system still holds a request of it
 * (I3, I4), when that comes back: its late result never reaches the client.
 */
#ifndef SLUICE_BROKER_OP_H
#define SLUICE_BROKER_OP_H

#include "broker/session.h"
#include "broker/worker.h"
#include "broker/zombie.h"

#define OP_SMALL_BYTES SL_REASON_BYTES

typedef enum op_state { OP_QUEUED, OP_STARTED, OP_CANCELLING, OP_ENDED, OP_ZOMBIE } op_state;

struct broker_op {
    broker_session *session;
    broker_op *next_in_bucket;
    sl_list in_session; /* session.ops, until given back */
    sl_list link; /* a handle's queue; then its worker's list of what has ended; then replies */
    broker_charge charge; /* for itself, and for handles that it was promised */
    broker_zombie zombie;
    broker_timer timer;    /* deadline; then grace */
    broker_target target;  /* of its own requests: pair, connect, listen, look-up */
    broker_handle *handle; /* NULL: none, or the operation has ended */
    uint64_t handle_id;    /* for people */
    uint64_t id;
    uint64_t started_ns;
    uint64_t deadline_ns;
    engine_request_id request; /* 0: none of its own in the engine */
    sl_request_kind kind;
    op_state state;
    int cause; /* why it was cancelled; the first wins; 0 = it was not */
    int status;
    uint32_t os_error;
    uint32_t credit_bytes;
    uint32_t shared_bytes; /* quota_take_shared */
    uint32_t length;       /* asked for */
    uint32_t received;     /* of a write, from the client */
    uint32_t done;
    uint32_t in_doubt;
    uint32_t sent; /* of a reply's payload */
    uint8_t opened_count;
    uint8_t reserved_handles;
    uint8_t reserved_descriptors; /* for these */
    uint8_t reserved_pages;       /* of a pair's pipe (pipes.h) */
    bool is_all;
    bool reads_ahead; /* an open: what it opens is read as a stream, with read-ahead */
    bool has_paid; /* a write: for what the kernel will hold of it (kernel.c) */
    bool has_credit;
    bool is_refusal; /* counted in session.refusals */
    bool is_pinned;  /* the engine, or another worker, still refers to it */
    bool is_answered;
    bool has_detail; /* in small */
    bool holds_query;
    bool is_reserved;       /* it has a place of the session's reserve, and no charge (charge.h) */
    broker_op *next_answer; /* a read of the same handle that is answered after this one */
    broker_handle *last_of; /* the handle whose last unanswered read this is */
    uint64_t opened[SL_OPENED_MAX];
    broker_chunk *data; /* a write's bytes; a read's; scratch of a connect; rows */
    uint32_t data_at;
    uint32_t data_length; /* of a read's bytes, in data or small */
    union {
        uint8_t bytes[OP_SMALL_BYTES];
        sl_reason reason;
        sl_ops_request ops; /* what is asked for (listing.c) */
    } small;
};

/* Takes an operation for a request, unless the id is in use or there is no memory to answer with
 * (then the session ends: SLUICE_EPROTOCOL, SLUICE_ENOMEM), or the session must wait until an
 * answer has gone out (EBUSY). */
int op_create(broker_session *session, uint64_t id, sl_request_kind kind, broker_op **ret_op);

/* The operation of that id that has not been answered, or NULL. */
broker_op *op_find(broker_session *session, uint64_t id);

/* ---- cancel.c ---- */

/* Counts from now; 0 = none. */
void op_set_timeout(broker_op *op, uint64_t timeout_ns);
/* Asks it to end. Only marks and asks; the first cause wins. */
void op_cancel(broker_op *op, int cause);

/* ---- the end ---- */

/* The only end: it goes on its worker's list. */
void op_finish(broker_op *op, int status, uint32_t os_error);
/* ... with words. */
void op_refuse(broker_op *op, int status, const sl_reason *reason);

/* Its reply is encoded, or will never be. Returns the operation whose turn it is now to be
 * answered, if one had to wait for this; else NULL. */
broker_op *op_answered(broker_op *op);
/* The handle is gone; what its reads say still goes out in its order. */
void op_forget_handle(broker_handle *handle);
/* What referred to it lets go. */
void op_unpin(broker_op *op);

/* A read's bytes. */
static inline const uint8_t *op_data(const broker_op *op) {
    return op->data != NULL ? ((const broker_chunk *)op->data)->bytes + op->data_at
                            : op->small.bytes;
}

#endif
