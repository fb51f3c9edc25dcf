/*
 * readers.h - the library's side of a handle's incoming direction: the ring that the broker fills
 * within a grant, and the program's read calls, which are served from it. docs/protocol.md,
 * "Streams", has its state table.
 *
 * Pure, as writers.h. The bytes are the caller's: the ring is memory of capacity_bytes, in which
 * the byte at offset x lies at x modulo the capacity; what the program has put back stands in a
 * buffer of its own in front of it.
 *
 * A read call is local: it takes what is there, or waits in the line; to cancel it is exact and
 * says nothing to the broker, but that a grant which nobody needs any more is taken back when
 * read-ahead is off.
 *
 * Thread: whoever holds the stream's lock.
 */
#ifndef SLUICE_CLIENT_STREAM_READERS_H
#define SLUICE_CLIENT_STREAM_READERS_H

#include "base/list.h"
#include "proto/reason.h"
#include "proto/stream.h"

#define READERS_PUT_BACK_BYTES 65536u /* at most, of a stream */

typedef enum reader_kind {
    READER_SOME, /* ends with the first bytes */
    READER_ALL,  /* ends when it has all */
    READER_TRY   /* ends at once; with read-ahead off the broker is asked first */
} reader_kind;

/* One read call. */
typedef struct reader {
    sl_list link;
    uint64_t length; /* of its buffer, more than 0 */
    uint64_t done;
    reader_kind kind;
    int status; /* how it ended: OK, EEOF, an error; ETIMEDOUT of a try: it would block */
} reader;

typedef struct readers {
    uint64_t capacity_bytes; /* of the ring */
    uint64_t arrived;        /* offset behind the last byte that came */
    uint64_t taken;          /* [taken, arrived) is in the ring */
    uint64_t put_back;       /* bytes in front of it */
    uint64_t up_to;          /* granted; without read-ahead the furthest since the last stop */
    uint64_t asked_to;       /* without read-ahead: by the Read that is_asked */
    uint64_t wanted;         /* by all that wait */
    sl_list line;            /* those that wait, in order */
    sl_list ended;           /* for readers_ended() */
    reader *trying;          /* the try that the broker is asked for, or NULL */
    int status;              /* the end, behind the ring; OK: not known */
    bool has_ahead;          /* read-ahead */
    bool is_asked;           /* without read-ahead: a Read for the line's head is not answered */
    bool is_stopping;        /* a Cancel is due or not answered: no Read is sent */
    bool is_cancel_due;
    bool is_notify_due; /* the program waits for readiness */
    bool is_notify;     /* the broker is asked */
    bool is_closed;
} readers;

typedef enum readers_kind { READERS_NOTHING, READERS_READ, READERS_CANCEL } readers_kind;

typedef struct readers_output {
    readers_kind kind;
    sl_stream_read read;
} readers_output;

/* What a reader takes: front bytes of what was put back, then length bytes of the ring from `at`.
 * They go to its buffer from `offset` on. */
typedef struct readers_copy {
    reader *to;
    uint64_t offset;
    uint64_t front;
    uint64_t at;
    uint64_t length;
} readers_copy;

/* up_to: what both sides begin with, 0 without read-ahead. */
void readers_init(readers *r, uint64_t capacity_bytes, bool has_ahead, uint64_t up_to);
/* Nobody waits, and none is to be fetched. */
void readers_deinit(readers *r);

void readers_start(readers *r, reader *each, uint64_t length, reader_kind kind);
/* By its caller or its deadline: it leaves the line with what it has taken. */
void readers_cancel(readers *r, reader *each, int status);
/* The next copy that can be made, until there is none (false). It is made: taken moves. */
bool readers_serve(readers *r, readers_copy *ret_copy);
/* One that has ended, or NULL. */
reader *readers_ended(readers *r);
/* OK, or EQUOTA: the bytes stand in front of all others. */
int readers_put_back(readers *r, uint64_t length);
/* Would a read call not wait? If it would, the broker is asked to say when not. */
bool readers_watch(readers *r);
/* Nothing more is to be received, until somebody reads again: for an export. */
void readers_stop(readers *r);
/* What to say in Close. Data that comes behind it is dropped; those that wait end ECLOSED. */
sl_stream_close readers_close(readers *r, bool abort);

/* The next message. It is sent: what it says is part of the state. */
readers_kind readers_next(readers *r, readers_output *ret_output);

/* From the broker: its bytes go into the ring at [at, at + length). OK, or EPROTOCOL. */
int readers_take_data(readers *r, const sl_stream_data *data, sl_reason *ret_reason);
/* The broker is lost: what has arrived is served first. */
void readers_lose(readers *r, int status);

#endif
