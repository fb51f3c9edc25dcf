/*
 * reading.h - the incoming direction of a handle that is read as a stream: what its state machine
 * (incoming.h) says is due, asked of the engine, and what has come of it.
 *
 *     engine -> reading.c -> session.output.telling -> output.c: Data
 *     dispatch.c: StreamRead, StreamCancel -> reading.c
 *
 * A handle is read as a stream from its open on (with read-ahead) or from its first StreamRead on;
 * until then, and only then, by requests (receive.c). What was received and is not sent yet lies in
 * one chunk; the next receive waits until that is sent.
 *
 * Thread: the handle's worker.
 */
#ifndef SLUICE_BROKER_STREAM_READING_H
#define SLUICE_BROKER_STREAM_READING_H

#include "broker/stream/incoming.h"
#include "broker/types.h"

typedef struct broker_reading {
    incoming state;
    broker_target wait_target;    /* of the empty receive */
    broker_target receive_target; /* of one with a buffer */
    engine_request_id wait_request;
    engine_request_id receive_request;
    broker_chunk *chunk; /* of the receive; then of what has come and is not told */
    uint32_t start;      /* of that */
    sl_list in_telling;  /* session.output.telling: it has something to say */
    sl_list in_stopping; /* worker.stopping: what it has cancelled is not back */
    uint64_t stopping_ns; /* since when */
    bool is_open;
    bool is_announced; /* the client knows the handle's number; before that no Data goes out */
    bool is_flowing;   /* the last receive filled its buffer: use a large one */
} broker_reading;

/* A session's memory for receives beyond what every handle can have. */
void reading_pool_init(budget *pool);
/* The worker's. */
void reading_init(broker_worker *worker);
void reading_deinit(broker_worker *worker);

/* has_ahead: 4 KiB are granted without a message. The handle has no request for bytes. */
void reading_open(broker_handle *handle, bool has_ahead);
/* OK, or EPROTOCOL with ret_reason: the client broke the rules. */
int reading_take_read(broker_handle *handle, const sl_stream_read *read, sl_reason *ret_reason);
int reading_take_cancel(broker_handle *handle, sl_reason *ret_reason);
/* The handle begins to close: no Data goes out any more. */
void reading_close(broker_handle *handle);
/* The system has let go of the handle. */
void reading_end(broker_handle *handle);

/* The reply that tells the client of the handle is on its way. */
void reading_announce(broker_handle *handle);
/* Memory has come free. */
void reading_continue(broker_handle *handle);

/* The next Data of a handle that is in session.output.telling, with at most so many bytes. They lie
 * at *ret_bytes in *ret_chunk, untouched until reading_told says that they were copied, or that the
 * chunk is shared. It leaves the list; or reading_told puts it at the end. */
void reading_tell(broker_handle *handle, uint32_t most_bytes, sl_stream_data *ret_data,
                  broker_chunk **ret_chunk, const uint8_t **ret_bytes);
void reading_told(broker_handle *handle);

static inline broker_reading *reading_of(const sl_list *in_telling) {
    return SL_LIST_ENTRY(in_telling, broker_reading, in_telling);
}

#endif
