/*
 * handle.h - an open pipe end, socket or listener of a session.
 *
 * READING. One standing receive at most, into the handle's own chunk, armed when somebody wants
 * data and left armed when the reader goes away. Readers wait in a queue and are served from the
 * chunk; its end (end of file or an error) is latched, served after the bytes and then to every
 * later read.
 * WRITING. A queue; the first is sent stream_chunk_bytes at a time. A write that ended in the
 * middle leaves the stream torn: those behind it end ETORN.
 * ACCEPTING. A queue of accepts, one standing accept of the system's, and the connection that came
 * when nobody waited any more.
 * CLOSING. close.c.
 */
#ifndef SLUICE_BROKER_HANDLE_H
#define SLUICE_BROKER_HANDLE_H

#include "broker/op.h"
#include "broker/stream/reading.h"

typedef enum handle_state {
    HANDLE_OPEN,
    HANDLE_CLOSING,
    HANDLE_ZOMBIE /* closing, and gone for the client; charged once, with the close it waits for */
} handle_state;

struct broker_handle {
    broker_session *session;
    engine_handle *os;
    uint64_t id;
    unsigned can;
    handle_state state;
    broker_charge charge; /* its price; and what the kernel holds beyond that */

    broker_reading reading; /* or, while it is read by requests: */
    bool has_requests;      /* it was */

    /* receive.c */
    broker_target receive_target;
    sl_list readers;
    broker_op *last_answer; /* the last read that has ended and is not answered yet (op.c) */
    broker_chunk *chunk;
    uint32_t start; /* of the bytes that nobody has taken */
    uint32_t end;
    uint32_t armed_bytes;
    bool is_armed;
    bool is_flowing;        /* the last receive filled its buffer: use a large one */
    sl_list in_starving;    /* its reads wait for a buffer (charge.h) */
    uint8_t descriptors;    /* counted for it (descriptors.h) */
    uint8_t pages;          /* of a pair's pipe: of the end that is closed last (pipes.h) */
    broker_handle *partner; /* the other end of a pair, while both are open */

    /* kernel.c */
    uint64_t unsent_bytes; /* charged for what is written */
    bool is_wide;          /* and for a larger receive buffer */
    uint64_t flowed_bytes; /* received since it became larger */
    sl_list in_unsent;     /* worker.unsent, while something is charged for what is written */

    int end_status; /* latched; 0 = none */
    uint32_t end_os_error;

    /* transmit.c */
    broker_target write_target;
    sl_list writers;
    broker_op *writing; /* has a request in the engine */
    engine_request_id write_request;
    bool is_torn;
    bool is_half_closed;

    /* accept.c */
    broker_target accept_target;
    sl_list accepters;
    engine_handle *ready; /* a connection for the next accept */
    bool is_accepting;

    /* close.c */
    broker_target close_target;
    broker_op *closer;
    uint64_t closed_ns; /* when it began to close */
    broker_zombie zombie;
};

/* Takes an engine's handle into the session's table, on a promise of `op` (quota.h). */
broker_handle *handle_open(broker_op *op, engine_handle *os);

/* The open or closing handle with that id, or NULL: absent, foreign and closed ones are alike. */
broker_handle *handle_find(broker_session *session, uint64_t id);

/* receive.c */
void handle_read(broker_handle *handle, broker_op *op);
/* Those of a session that wait for a buffer and may have one now go on. */
void receive_feed(broker_session *session);
void handle_release_buffer(broker_handle *handle);

/* transmit.c */
void handle_write(broker_handle *handle, broker_op *op); /* also a half-close */
/* More bytes of it have arrived. */
void handle_continue_write(broker_op *op);
/* Ends a write that has no request in the engine, and tears the stream if need be. */
void handle_end_write(broker_op *op, int status, uint32_t os_error);
void handle_abandon_write(broker_op *op);

/* accept.c */
void handle_accept(broker_handle *handle, broker_op *op);

/* close.c */
/* Refuse, cancel (with that cause), drain, close, retire. `closer` is answered then; or NULL. */
void handle_close(broker_handle *handle, broker_op *closer, uint64_t grace_ns, int cause);
/* One that was opened for a session that is ending, and will not come to it, is closed. */
void handle_close_if_late(broker_handle *handle);
/* It takes too long: a zombie from now on. */
void handle_mark_zombie(broker_handle *handle);

#endif
