/*
 * operation.h - one call of the application, from its start to the end of the last trace it leaves.
 *
 * Two things end, and not always together: the operation is FINISHED when its outcome is fixed (the
 * application's memory is the application's again, the outcome is delivered once), and RETIRED
 * when the wire does not know it any more (its credit and its id are free). A broker that answers
 * late finds an operation that is finished and not retired: "detached".
 *
 * Threads: the poster fills it in and posts it; from then on the core's thread owns it, except for
 * what is marked atomic. Lifetime: counted (core, delivery, application).
 */
#ifndef SLUICE_CLIENT_OPERATION_H
#define SLUICE_CLIENT_OPERATION_H

#include "base/heap.h"
#include "base/list.h"
#include "base/thread.h"
#include "client/include/sluice/sluice.h"
#include "engine/engine.h"
#include "proto/message.h"

typedef struct client_core client_core;
typedef struct client_entry client_entry;

/* Something for the core's thread to do; posted with client_core_post. */
typedef struct client_mail {
    engine_message message;
    void (*on_core)(client_core *core, struct client_mail *mail);
} client_mail;

typedef enum client_operation_state {
    CLIENT_OPERATION_NEW,     /* not with the core yet */
    CLIENT_OPERATION_WAITING, /* for a connection */
    CLIENT_OPERATION_QUEUED,  /* for its first frame to be sent */
    CLIENT_OPERATION_SENT,    /* the broker may know it: it has a wire id */
    CLIENT_OPERATION_RETIRED
} client_operation_state;

/* What is no request of the protocol; the others are requests. */
typedef enum client_operation_kind {
    CLIENT_REQUEST,
    CLIENT_OPEN,         /* ends when there is a connection */
    CLIENT_LOCAL_ADDRESS /* answered from the handle table */
} client_operation_kind;

typedef struct sluice_operation client_operation;

struct sluice_operation {
    client_mail submit;
    client_mail cancel;
    sl_mail delivery; /* the queue of finished operations */
    sl_atomic_u32 reference_count;
    sl_atomic_bool cancel_posted;
    sl_atomic_bool is_released; /* the application holds no reference any more */
    sl_atomic_bool is_finished; /* for a cancel that comes late */

    /* What is asked. Set by the poster. */
    client_operation_kind kind;
    unsigned call;      /* whose: client_call */
    sl_request request; /* handles are the application's numbers until they are sent */
    char *text;         /* the address that the request points at, ours */
    size_t text_size;
    uint64_t timeout_ns;
    const uint8_t *out;      /* a write's bytes */
    void *in;                /* a read's buffer; where a status, a page or an address goes */
    uint32_t in_size;        /* bytes; rows of a page */
    uint32_t row_size;       /* of a page, as the caller knows it */
    uint64_t local_handle;   /* CLIENT_LOCAL_ADDRESS */
    sluice_callback on_done; /* NULL: synchronous, the waiter is told */
    void *user;

    /* The shell's (session.h). */
    struct sluice_session *session;
    sl_event event; /* of a synchronous call; kept when the operation is used again */
    bool has_event;
    bool has_credit;
    bool holds_session; /* has a reference to it */
    uint32_t credit_bytes;
    struct sluice_operation *next_free;

    /* The core's. */
    client_operation_state state;
    bool is_detached; /* finished, but not retired */
    bool is_internal; /* the core's own: takes no credit, nobody is told */
    bool is_cancelled;
    bool is_recalled; /* the core has cancelled it, to send it again */
    bool is_replied;  /* a reply is being handled: nothing to cancel */
    uint64_t wire_id;
    uint64_t deadline_ns;
    client_entry *entry; /* of the handle, while that is open */
    sl_list link;        /* in `waiting` or a lane */
    sl_list cancel_link; /* in the lane of cancels */
    sl_list all_link;    /* every operation that is not retired */
    sl_list read_link;   /* reads of the handle that are queued or sent */
    sl_heap_node timer;
    uint32_t sent;          /* a write's bytes that are in frames */
    uint32_t received;      /* a read's bytes in the buffer */
    uint32_t wire_received; /* ... that came over the wire for it */
    uint32_t wire_max;      /* a read's max_bytes as sent */
    uint32_t wire_credit_bytes;

    /* The outcome. Written once, before is_finished. */
    uint64_t cursor;      /* of a page */
    uint32_t row_count;   /* of a page */
    sluice_result result; /* the last: client_operation_init leaves the rest of its detail alone */
};

/* The first state of everything but `event`; one reference, the core's. */
void client_operation_init(client_operation *op, sl_request_kind kind, uint64_t timeout_ns);

void client_operation_hold(client_operation *op);
/* true: that was the last reference; the caller frees it. */
bool client_operation_drop(client_operation *op);

/* The payload bytes that it takes credit for; false: it takes none. */
bool client_operation_credit(const client_operation *op, uint32_t *ret_bytes);

/* May the outcome of a finished one be handles that somebody must close? */
static inline bool client_operation_opens(const client_operation *op) {
    return op->request.kind == SL_REQUEST_PAIR || op->request.kind == SL_REQUEST_ACCEPT ||
           op->request.kind == SL_REQUEST_CONNECT || op->request.kind == SL_REQUEST_LISTEN;
}

static inline bool client_operation_is_read(const client_operation *op) {
    return op->kind == CLIENT_REQUEST && op->request.kind == SL_REQUEST_READ;
}

static inline bool client_operation_is_write(const client_operation *op) {
    return op->kind == CLIENT_REQUEST && op->request.kind == SL_REQUEST_WRITE;
}

/* The handle a request is about, where it is kept; NULL = it is about none. */
uint64_t *client_operation_handle(client_operation *op);

#endif
