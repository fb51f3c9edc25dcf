/*
 * stream.h - the messages of the data plane "Streams" (docs/protocol.md, "Streams"), as the two
 * sides' state machines see them: without the handle, which says which machine is meant, and
 * without the bytes, which are their owner's.
 *
 * Offsets count a direction's bytes from the open of the handle. No message of these has an id.
 */
#ifndef SLUICE_PROTO_STREAM_H
#define SLUICE_PROTO_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/* What each side may do before anything was said about it. */
#define SL_STREAM_FLOOR_BYTES  4096u
#define SL_STREAM_WINDOW_BYTES (1024u * 1024u) /* more is never granted to one handle at a time */

/* The numbers are those of StreamDirection. */
typedef enum sl_stream_direction {
    SL_STREAM_READING = 1,
    SL_STREAM_WRITING = 2
} sl_stream_direction;

/* ---- the outgoing direction: the client writes ---- */

/* Client to broker. length bytes follow, which may be none. */
typedef struct sl_stream_write {
    uint64_t at;      /* offset of the first byte: where the last Write ended */
    uint64_t waiting; /* bytes that the client would like to send behind these */
    uint32_t length;
    bool begins; /* the first byte is the first one of a client's write */
    bool last;   /* the last byte is the last one of a client's write */
    bool end;    /* half-close when all bytes before are out */
    bool now;    /* somebody waits for Written */
} sl_stream_write;

/* Broker to client. Cumulative: the latest one says all. */
typedef struct sl_stream_written {
    uint64_t total;    /* so many bytes are certainly with the kernel */
    uint64_t next;     /* with stopped: where the client goes on */
    uint64_t up_to;    /* so far the client may send */
    uint64_t in_doubt; /* behind total, may be out: with stopped or a status */
    int status;        /* not OK: final for the direction */
    uint32_t os_error;
    bool stopped; /* answers a Cancel */
    bool ended;   /* the half-close has run */
} sl_stream_written;

/* Client to broker, for one direction. Writing: the range of the write that is cancelled; from = to
 * gives grant back or takes an `end` back. Reading: both 0. */
typedef struct sl_stream_cancel {
    uint64_t from;
    uint64_t to;
} sl_stream_cancel;

/* ---- the incoming direction: the client reads ---- */

/* Client to broker. */
typedef struct sl_stream_read {
    uint64_t up_to; /* so far the broker may send */
    uint64_t taken; /* so many bytes the program has consumed */
    bool notify;    /* say when a read would not wait */
} sl_stream_read;

/* Broker to client. length bytes follow, which may be none. */
typedef struct sl_stream_data {
    uint64_t at;
    uint32_t length;
    int status; /* EEOF or an error: the end, behind the bytes; final */
    uint32_t os_error;
    bool stopped; /* answers a Cancel: nothing comes behind it but what is granted anew */
} sl_stream_data;

/* ---- the end of both ---- */

typedef struct sl_stream_close {
    uint64_t taken;
    bool abort; /* with a reset, where the protocol has one */
} sl_stream_close;

/* The last message about a handle. */
typedef struct sl_stream_closed {
    uint64_t total;
    uint64_t in_doubt;
    int status; /* OK; EABANDONED: the system did not let go in time */
} sl_stream_closed;

#endif
