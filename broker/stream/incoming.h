/*
 * incoming.h - the broker's side of a handle's incoming direction: what the kernel is asked for,
 * what the client is sent, when a stop or the end is told. docs/protocol.md, "Streams", has its
 * table.
 *
 * Pure, as outgoing.h: the worker tells it what has happened and asks what is due. Bytes are the
 * caller's: it keeps [told, received) until incoming_tell() has said that they go into a frame.
 *
 * A quiet stream waits with an empty receive, which takes no byte and holds no memory. A receive
 * with a buffer takes 4 KiB for nothing and more from the session's pool, while there is some.
 *
 * Thread: the handle's worker.
 */
#ifndef SLUICE_BROKER_STREAM_INCOMING_H
#define SLUICE_BROKER_STREAM_INCOMING_H

#include "broker/stream/budget.h"
#include "proto/reason.h"
#include "proto/stream.h"

typedef struct incoming_rules {
    uint64_t floor_bytes;   /* of a receive's buffer: every handle can have so much */
    uint64_t window_bytes;  /* up_to <= taken + so much: the largest ring */
    uint64_t output_bytes;  /* received and not told, at most */
    uint64_t receive_bytes; /* of one receive, at most */
    bool waits_with_buffer; /* a stream that flows waits with a buffer (pipes of IOCP) */
    bool never_waits; /* a receive with a buffer is a try (Linux): OK with 0 bytes is "none" */
} incoming_rules;

/* What the worker has to do: bits of incoming_due(). */
enum {
    INCOMING_WAIT = 1,    /* submit an empty receive: incoming_begin_wait() */
    INCOMING_RECEIVE = 2, /* submit one with a buffer: incoming_begin_receive() */
    INCOMING_ABORT = 4,   /* cancel that one: incoming_aborting(); once */
    INCOMING_UNWAIT = 8,  /* cancel the empty one: incoming_unwaiting(); once, by a close */
    INCOMING_TIMER = 16,  /* incoming_abandon() ends the wait for what was cancelled */
    INCOMING_TELL = 32    /* incoming_tell() has a Data */
};

typedef struct incoming {
    const incoming_rules *rules;
    budget *pool;
    budget_share share;
    uint64_t received;  /* from the kernel */
    uint64_t told;      /* to the client */
    uint64_t up_to;     /* the client's grant */
    uint64_t taken;     /* by the program, as far as the client has said */
    uint64_t in_kernel; /* a receive with a buffer of so many bytes; 0 = none */
    int status;         /* the end, behind `received`; OK: not known */
    uint32_t os_error;
    bool has_ahead;   /* without read-ahead a grant lapses when a receive brings bytes */
    bool is_waiting;  /* an empty receive is with the kernel */
    bool is_readable; /* an empty receive has found bytes, and none was taken since */
    bool has_more;    /* the last receive was full */
    bool is_fresh;    /* no receive with a buffer has looked since the last Read */
    bool is_notify;   /* the client is to hear when a read would not wait */
    bool is_stopping; /* a Cancel is not answered */
    bool is_looking;  /* it waits for one receive that looks */
    bool is_aborted;  /* the receive was or is to be cancelled */
    bool is_abort_due;
    bool is_reclaimed; /* its buffer was wanted elsewhere: it waits with an empty one next */
    bool is_end_told;
    bool is_zombie; /* what is with the kernel was given up: its bytes are dropped */
    bool is_closing;
    bool is_unwait_due;
    bool is_abandoned; /* Closed does not wait for the kernel */
    bool wants_reset;  /* bytes were dropped that the program had not taken */
} incoming;

/* How a receive came back: bytes, or a status. ECANCELED only if it was to be cancelled; an empty
 * one is OK when there are bytes, and has the end's status when it is the end and there
 * are none. */
typedef struct incoming_result {
    uint64_t bytes;
    int status;
    uint32_t os_error;
} incoming_result;

/* up_to: what both sides begin with, 0 without read-ahead. */
void incoming_init(incoming *i, const incoming_rules *rules, budget *pool, bool has_ahead,
                   uint64_t up_to);
/* The kernel has let go. */
void incoming_deinit(incoming *i);

/* From the client. OK, or EPROTOCOL with ret_reason: end the session. */
int incoming_take_read(incoming *i, const sl_stream_read *read, sl_reason *ret_reason);
int incoming_take_cancel(incoming *i, sl_reason *ret_reason);
/* Close: `taken` is what the program has consumed. The end of a session without one gives what the
 * client may have taken, so that only what is certainly unread resets: `told`. */
int incoming_close(incoming *i, const sl_stream_close *close, sl_reason *ret_reason);

unsigned incoming_due(const incoming *i);
void incoming_begin_wait(incoming *i);
/* INCOMING_RECEIVE: so long a buffer may be. */
uint64_t incoming_room(const incoming *i);
/* The length of the receive: as much, and not more than most_bytes. */
uint64_t incoming_begin_receive(incoming *i, uint64_t most_bytes);
void incoming_aborting(incoming *i);
void incoming_unwaiting(incoming *i);
void incoming_finish_wait(incoming *i, const incoming_result *result);
void incoming_finish_receive(incoming *i, const incoming_result *result);
void incoming_abandon(incoming *i);
/* The pool is wanted elsewhere: a receive that waits with a buffer may be cancelled. */
void incoming_reclaim(incoming *i);

/* INCOMING_TELL: with at most so many bytes, which are the caller's at [at, at + length). */
sl_stream_data incoming_tell(incoming *i, uint32_t most_bytes);
/* May Closed be said, as far as this direction goes, and with a reset? */
bool incoming_closed(const incoming *i, bool *ret_is_abandoned, bool *ret_wants_reset);

#endif
