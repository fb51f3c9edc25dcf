/*
 * session.h - a client's connection: its input, its output, its tables, its limits.
 *
 *     NEW (before Hello) -> OPEN -> LEAVING (nothing is read; what is to be said goes out)
 *                                -> CLOSING (the connection and all handles close) -> gone
 *
 * A session lives on one worker for life. It is gone when its connection is closed, its last handle
 * has been let go by the system and its last operation given back; then all its counters are 0.
 */
#ifndef SLUICE_BROKER_SESSION_H
#define SLUICE_BROKER_SESSION_H

#include "base/slots.h"
#include "broker/worker.h"
#include "broker/stream/budget.h"
#include "broker/zombie.h"
#include "proto/limits.h"

#define SESSION_OUTPUT_BYTES 4096u /* frames of one write, without large payloads */
#define SESSION_HELD_MAX     4u    /* large payloads of one write */
#define SESSION_BUCKETS      16u   /* of the table of ids, to begin with */

struct broker_user;

/* charge.c */
typedef struct session_memory {
    sl_allocator source;  /* of the account: charges, then takes from the worker */
    sl_account account;   /* of the session's tables */
    broker_charge own;    /* what the session itself needs */
    broker_charge tables; /* what comes of its account */
    broker_charge spare;  /* for smallest buffers that are not in use */
    uint64_t used_bytes;  /* by everything that is charged to it */
    uint64_t drawn_bytes; /* from the books of its user and the broker: as much, or a little more */
    uint32_t spares;      /* smallest buffers that its handles have paid for */
    uint32_t spares_used;
    uint32_t reserve_used; /* operations that answer although there is no memory */
    bool was_refused;      /* the account, by a limit */
    sl_limit_owner refused_by;
    sl_list starving; /* handles whose reads wait for a buffer */
} session_memory;

typedef enum session_state {
    SESSION_NEW,
    SESSION_OPEN,
    SESSION_LEAVING,
    SESSION_CLOSING
} session_state;

typedef struct session_input {
    broker_target target;
    bool is_reading;
    broker_chunk *chunk;
    uint32_t start; /* of what is not parsed */
    uint32_t end;
    uint32_t wanted;  /* size of the next buffer: follows the traffic */
    uint32_t rest;    /* of a frame that comes in pieces: payload bytes that are to come */
    uint64_t rest_id; /* whose they are */
} session_input;

typedef struct session_output {
    broker_target target;
    bool is_writing;
    engine_request_id write; /* while is_writing */
    uint32_t length;
    broker_chunk *chunk; /* frames; SESSION_OUTPUT_BYTES, for life */
    broker_chunk *held[SESSION_HELD_MAX];
    uint32_t held_count;
    uint64_t since_ns; /* no progress of the write has been seen since then */
    size_t taken;      /* bytes of it that were out by then */
    sl_list replies;   /* ops to answer, oldest first: small ones */
    sl_list bulk;      /* and those with large payloads, in turn */
    sl_list telling;   /* readings with something to say (reading.h), in turn */
    bool bulk_is_first; /* in this write: `telling` in the next */
    bool owes_draining;
    bool owes_goodbye;
    bool has_said_goodbye; /* the last frame: what ends now is dropped */
} session_output;

/* quota.c */
typedef struct session_quota {
    uint64_t bytes;      /* payload credit in use */
    uint64_t shared;     /* size of the received chunks that replies refer to, each time counted */
    uint32_t operations; /* credit in use */
    uint32_t refusals;   /* answers without credit that wait */
    uint32_t handles;    /* open, or promised to an operation */
    uint32_t queries;    /* Ops */
} session_quota;

struct broker_session {
    broker_worker *worker;
    session_state state;
    uint64_t id;
    sl_list in_worker;
    sl_list in_runnable; /* input left; or, when closing, something left to end */
    sl_list in_flushing;
    uint64_t flush_ns; /* since when it has been there */
    sl_list in_reaping;
    sl_list in_feeding;
    sl_list in_unknown;  /* while it is not known whose it is */
    bool has_streams;    /* it reads some: nobody but the client knows whether it waits ... */
    bool has_left;       /* ... and it said Leave */
    bool is_held;        /* nothing is parsed until an answer has gone out (charge.h) */
    bool has_place;      /* among the broker's sessions, and its user's */
    engine_handle *pipe; /* NULL: closed */
    broker_target close_target;
    broker_zombie zombie; /* the connection does not close */
    broker_timer timer;   /* Hello; no progress; lingering; then the close's grace */
    session_input input;
    session_output output;
    session_quota quota;
    session_memory memory;
    budget receive_pool; /* reading.h */
    sl_session_limits limits;
    sl_slots handles;
    uint32_t close_cursor; /* session_end has closed those before */
    sl_list ops;
    sl_list ending;      /* those that session_end has not come to yet */
    broker_op **buckets; /* by id */
    uint32_t bucket_count;
    uint32_t op_count;   /* not given back */
    uint32_t live_count; /* not ended */
    uint64_t hash_seed;
    /* peer.c; constant from its admission on */
    struct broker_user *user; /* who is charged */
    engine_identity identity;
    engine_rights *rights; /* what it may open; NULL: all that we may, for it is our own user's */
    bool is_admitted;
    bool is_unmapped; /* others may show the same identity (engine_peer) */
    bool sees_all;
    uint64_t process_id; /* told by the system; where it does not, by the client */
    uint64_t closed_ns;  /* when it began to close */
    int leave_status;    /* why it ends; also Goodbye's */
    sl_reason leave_reason;
    char name[SL_CLIENT_NAME_BYTES + 1];
};

/* Takes a fresh connection; on failure it is told why (refusal.h), and closed. */
void session_accept(broker_worker *worker, engine_handle *pipe);

/* What was left over from the wake before: input, or things to end. */
void session_continue(broker_session *session);
/* Gives back what is left of it, if nothing uses it any more. */
void session_reap(broker_session *session);

/* ---- session_end.c ---- */

void session_end_init(broker_session *session);
/* Ends it in order: operations end, what is owed is sent, then Goodbye with this status (0: without
 * one), then it closes. */
void session_leave(broker_session *session, int status, const char *detail);
/* A violation: log, count, Goodbye. */
void session_violation(broker_session *session, const sl_reason *reason);
/* Ends it now: operations are cancelled, everything closes, a bounded number per wake. */
void session_end(broker_session *session, int status);
/* A drain has begun. */
void session_drain(broker_session *session);
/* Ends a bounded number of what a session that is closing still has. */
void session_end_more(broker_session *session);
/* Looks from time to time whether the client takes something of what is being written. */
void session_watch_progress(broker_session *session);

static inline bool session_can_reply(const broker_session *session) {
    return session->state < SESSION_CLOSING;
}

/* ---- what it wants of its worker's turn: it goes on a list (I6) ---- */

/* There is something to say: flush it at the end of this wake. */
static inline void session_wants_flush(broker_session *session) {
    if (!sl_list_is_linked(&session->in_flushing) && session_can_reply(session)) {
        session->flush_ns = session->worker->now_ns;
        sl_list_push_back(&session->worker->flushing, &session->in_flushing);
    }
}

/* It may be over: look at the end of this wake. */
static inline void session_wants_reap(broker_session *session) {
    if (!sl_list_is_linked(&session->in_reaping) && session->state == SESSION_CLOSING) {
        sl_list_push_back(&session->worker->reaping, &session->in_reaping);
    }
}

/* input.c, output.c */
int input_init(broker_session *session, sl_reason *ret_reason);
void input_arm(broker_session *session);
/* Parses and acts on what has been received, a bounded number of frames. */
void input_run(broker_session *session);
void input_deinit(broker_session *session);
int output_init(broker_session *session, sl_reason *ret_reason);
/* An operation of the session has ended: its reply goes out, or nobody hears of it any more. */
void output_take(broker_op *op);
/* Sends what there is to say, if nothing is being sent. */
void output_flush(broker_session *session);
void output_deinit(broker_session *session);

#endif
