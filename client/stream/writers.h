/*
 * writers.h - the library's side of a handle's outgoing direction: the program's writes as ranges
 * of one stream, what is sent next, what a stop's answer means for each. docs/protocol.md,
 * "Streams", has its state table.
 *
 * Pure: it does no I/O, allocates nothing and calls nobody. Its caller starts writes, cancels them,
 * hands in what the broker says, and asks what to send (writers_next). A writer is the caller's
 * memory and the machine's until it comes back from writers_ended() with its outcome.
 *
 * Thread: whoever holds the stream's lock.
 */
#ifndef SLUICE_CLIENT_STREAM_WRITERS_H
#define SLUICE_CLIENT_STREAM_WRITERS_H

#include "base/list.h"
#include "proto/reason.h"
#include "proto/stream.h"

/* One write call, or the half-close (length 0, is_end). */
typedef struct writer {
    sl_list link;
    uint64_t length;
    uint64_t sent; /* bytes of it that the broker has or had, as the numbering is now */
    uint64_t base; /* offset of its first byte; valid when sent > 0, or of an end that is_sent */
    bool is_end;
    bool is_sent;      /* an end: the broker has it */
    bool is_cancelled; /* with bytes at the broker: waits for a stop's answer */
    bool is_told;      /* it ended for its caller before the answer (writers_give_up) */
    int cancel_status; /* what it ends with, if it was cancelled */
    int status;        /* how it ended */
    uint64_t done;     /* certainly out */
    uint64_t in_doubt; /* further bytes that may be out */
} writer;

typedef struct writers {
    uint64_t floor_bytes;
    uint64_t sent;  /* offset of the next byte to send */
    uint64_t total; /* what the broker said */
    uint64_t up_to;
    uint64_t told_to;        /* so far the broker knows of bytes that wait */
    uint64_t unsent;         /* bytes of all open writers that are not sent */
    sl_list open;            /* in the order of the stream */
    sl_list ended;           /* for writers_ended() */
    sl_stream_cancel cancel; /* to be sent: is_cancel_due */
    bool is_cancel_due;
    bool is_stopping; /* a Cancel is due or not answered: nothing is sent */
    bool is_torn;     /* a write ended in part or in doubt: until writers_acknowledge() */
    bool is_ended;    /* the half-close has run */
    bool is_closed;   /* the handle is being closed: nothing is sent */
    int status;       /* not OK: final */
} writers;

typedef enum writers_kind { WRITERS_NOTHING, WRITERS_WRITE, WRITERS_CANCEL } writers_kind;

/* What to put on the wire: write's length bytes from `offset` of `from` (NULL: no bytes). */
typedef struct writers_output {
    writers_kind kind;
    sl_stream_write write;
    sl_stream_cancel cancel;
    writer *from;
    uint64_t offset;
} writers_output;

void writers_init(writers *w, uint64_t floor_bytes);
/* Nothing is open and nothing waits to be fetched. */
void writers_deinit(writers *w);

/* A write of length bytes; it may have ended when this returns. */
void writers_start(writers *w, writer *write, uint64_t length);
/* The half-close, behind all writes so far. */
void writers_start_end(writers *w, writer *end);
/* By its caller (ECANCELED) or its deadline (ETIMEDOUT): exact at once if nothing of it was sent,
 * else after the broker's answer. */
void writers_cancel(writers *w, writer *write, int status);
/* A cancelled one that does not wait for the answer any longer: its status, done and in_doubt hold
 * now, and it comes from writers_ended() later, is_told. */
void writers_give_up(writers *w, writer *write);
/* The program knows that the stream is torn. */
void writers_acknowledge(writers *w);
/* Nothing is sent any more; Closed ends what is open. */
void writers_close(writers *w);

/* The next message, with at most `most` bytes. It is sent: what it says is part of the state. */
writers_kind writers_next(writers *w, uint32_t most_bytes, writers_output *ret_output);

/* From the broker. OK, or EPROTOCOL with ret_reason: give the session up. */
int writers_take_written(writers *w, const sl_stream_written *written, sl_reason *ret_reason);
int writers_take_closed(writers *w, const sl_stream_closed *closed, sl_reason *ret_reason);
/* The broker is lost: what was sent and not confirmed is in doubt. */
void writers_lose(writers *w, int status);

/* One that has ended, or NULL. */
writer *writers_ended(writers *w);

#endif
