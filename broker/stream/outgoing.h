/*
 * outgoing.h - the broker's side of a handle's outgoing direction: what the client may send, what
 * the kernel gets next, what the client is told. docs/protocol.md, "Streams", has its state table.
 *
 * Pure: it does no I/O, allocates nothing and calls nobody above it. Its caller, the worker, tells
 * it what has happened and asks afterwards what is due (outgoing_due): a request for the kernel, a
 * cancel of that request, a timer, a Written, a Closed. Bytes are the caller's: it lends a piece
 * for each Write, and the piece comes back (outgoing_spent) when its bytes are out or dropped.
 *
 * Thread: the handle's worker.
 */
#ifndef SLUICE_BROKER_STREAM_OUTGOING_H
#define SLUICE_BROKER_STREAM_OUTGOING_H

#include "base/list.h"
#include "broker/stream/budget.h"
#include "proto/reason.h"
#include "proto/stream.h"

/* What differs between platforms and between tests. */
typedef struct outgoing_rules {
    uint64_t floor_bytes;  /* up_to >= total + so much, whatever the pool holds */
    uint64_t window_bytes; /* at most granted above the floor */
    uint64_t kernel_bytes; /* at most with the kernel */
    bool joins_writes;     /* a kernel request may hold bytes of two client writes: where a cancel
                              is exact (Linux), never where it leaves a doubt (IOCP) */
} outgoing_rules;

/* The bytes of one Write, before its payload in the caller's memory. */
typedef struct outgoing_piece {
    sl_list link;
    uint64_t at;
    uint32_t length;
    bool begins;
} outgoing_piece;

typedef enum outgoing_end { OUT_END_NONE, OUT_END_WAITS, OUT_END_RUNS, OUT_END_DONE } outgoing_end;

/* What the worker has to do: bits of outgoing_due(). */
enum {
    OUTGOING_SUBMIT = 1, /* outgoing_begin() has a request for the kernel */
    OUTGOING_ABORT = 2,  /* cancel the kernel's request: outgoing_aborting(); once */
    OUTGOING_TIMER = 4,  /* what was asked for is not back yet: outgoing_abandon() ends the wait */
    OUTGOING_TELL = 8,   /* a Written, with the next frame of the session */
    OUTGOING_TELL_NOW = 16 /* a Written, now */
};

typedef struct outgoing {
    const outgoing_rules *rules;
    budget *pool;       /* of the session: what is granted above the floor */
    budget_share share; /* this handle's */
    uint64_t total;     /* with the kernel, certainly */
    uint64_t taken;     /* received from the client and kept: [total, taken) is here */
    uint64_t up_to;     /* the grant; up_to >= total + floor until the direction is final */
    uint64_t wanted_to; /* where the client's waiting bytes end */
    uint64_t in_kernel; /* so many bytes from total on are with the kernel; 0 = none */
    uint64_t in_doubt;  /* behind total: told with the stop, or with the final status */
    sl_list pieces;     /* of [total, taken), and of what a zombie holds */
    sl_list spent;      /* given back */
    outgoing_end end;
    int status; /* not OK: final */
    uint32_t os_error;
    bool is_stopping;   /* a Cancel is not answered */
    bool is_stop_ready; /* its answer is known */
    bool is_aborted;    /* the kernel was or is to be asked to give its request back */
    bool is_abort_due;
    bool is_zombie; /* what is with the kernel was given up */
    bool is_told;   /* the client knows total, up_to, status and the end */
    bool is_urgent;
    bool is_closing;
    bool is_abandoned; /* Closed does not wait for the kernel */
    bool has_dropped;  /* accepted bytes were dropped unwritten by the close */
} outgoing;

/* For the kernel: length bytes at `at`, or the half-close. */
typedef struct outgoing_request {
    uint64_t at;
    uint64_t length;
    bool is_end;
} outgoing_request;

/* How a request came back. ECANCELED only if outgoing_due() asked for the abort. */
typedef struct outgoing_result {
    uint64_t done;     /* certainly out */
    uint64_t in_doubt; /* behind those, may be out */
    int status;
    uint32_t os_error;
} outgoing_result;

void outgoing_init(outgoing *o, const outgoing_rules *rules, budget *pool);
/* The direction holds nothing any more: no piece, no request, no grant. */
void outgoing_deinit(outgoing *o);

/* From the client. OK, or EPROTOCOL with ret_reason: end the session. The piece is the machine's
 * until it is spent; NULL for a Write without bytes. */
int outgoing_take_write(outgoing *o, const sl_stream_write *write, outgoing_piece *piece,
                        sl_reason *ret_reason);
int outgoing_take_cancel(outgoing *o, const sl_stream_cancel *cancel, sl_reason *ret_reason);
/* Close, or the end of the session: drops what is queued and asks the kernel to let go. */
void outgoing_close(outgoing *o);

unsigned outgoing_due(const outgoing *o);
/* OUTGOING_SUBMIT: the request is with the kernel from now on. */
outgoing_request outgoing_begin(outgoing *o);
/* OUTGOING_ABORT: the kernel is asked now. */
void outgoing_aborting(outgoing *o);
/* The request is back; a zombie's, too. */
void outgoing_finish(outgoing *o, const outgoing_result *result);
/* OUTGOING_TIMER: what was asked for did not come back in time. */
void outgoing_abandon(outgoing *o);

/* OUTGOING_TELL, OUTGOING_TELL_NOW: what to say. */
sl_stream_written outgoing_tell(outgoing *o);
/* May Closed be said, as far as this direction goes, and what does it say? */
bool outgoing_closed(const outgoing *o, sl_stream_closed *ret_closed);
/* A piece that is not needed any more, or NULL. */
outgoing_piece *outgoing_spent(outgoing *o);

/* A pool's turn has granted more (budget_serve): the client is to hear of it. */
outgoing *outgoing_of_share(budget_share *share);
void outgoing_grant(outgoing *o, uint64_t bytes);
/* What the client would like above its grant, as far as one handle may have it. */
uint64_t outgoing_wants(const outgoing *o);

#endif
