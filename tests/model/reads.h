/*
 * reads.h - the world of the incoming direction: both sides' real machines (client/stream/readers,
 * broker/stream/incoming and budget), two FIFO channels between them, a kernel and a peer, for one
 * handle or for two that share a pool. Everything that can happen is a move (search.h).
 *
 * The peer's bytes are numbered; byte n belongs at offset n.
 */
#ifndef SLUICE_TESTS_MODEL_READS_H
#define SLUICE_TESTS_MODEL_READS_H

#include "broker/stream/incoming.h"
#include "client/stream/readers.h"
#include "tests/model/streams.h"

#define READS_HANDLES_MAX 2u
#define READS_MAX         4u /* calls of a handle */
#define READS_CHANNEL_MAX 16u
#define READS_BYTES_MAX   12u

/* What is tried; sets are of calls, bit i is call i. */
typedef struct reads_scenario {
    const char *name;
    streams_size size;
    unsigned handles;
    uint8_t sends; /* bytes of the peer */
    bool ends;     /* the peer may end the stream */
    bool has_ahead;
    uint8_t capacity;
    uint8_t lengths[READS_MAX]; /* of a handle's read calls */
    unsigned count;
    uint8_t alls;  /* set: they want all */
    uint8_t tries; /* set: they do not wait */
    uint8_t floor_bytes;
    uint8_t pool_bytes;
    uint8_t output_bytes;
    uint8_t tell_bytes; /* of one Data */
    uint8_t stops;      /* for an export, at most */
    uint8_t watches;    /* for readiness, at most */
    bool waits_with_buffer;
    bool never_waits; /* as Linux */
    bool reclaims;
    bool puts_back;
    bool has_error;
    bool closes;
    bool is_lost;
    bool is_stubborn; /* a cancel may be ignored until the broker's timer */
} reads_scenario;

typedef enum reads_message_kind {
    MESSAGE_READ,
    MESSAGE_CANCEL_READ,
    MESSAGE_CLOSE_READ,
    MESSAGE_DATA,
    MESSAGE_CLOSED_READ
} reads_message_kind;

typedef struct reads_message {
    reads_message_kind kind;
    uint8_t first; /* number of the first byte of a Data */
    union {
        sl_stream_read read;
        sl_stream_close close;
        sl_stream_data data;
    } as;
} reads_message;

typedef struct reads_channel {
    reads_message messages[READS_CHANNEL_MAX];
    unsigned count;
} reads_channel;

typedef struct reads_call {
    bool is_started;
    bool is_over;
    bool is_cancelled;
    int8_t status;
    uint8_t done;
} reads_call;

typedef struct reads_handle {
    readers client;
    incoming broker;
    reader readers[READS_MAX];
    reads_call calls[READS_MAX];
    uint8_t sent;                     /* by the peer */
    uint8_t kernel;                   /* number of the next byte that the kernel gives */
    uint8_t position;                 /* of the program in the stream */
    uint8_t length;                   /* of the receive in the kernel; 0 = none */
    uint8_t content[READS_BYTES_MAX]; /* by offset, of what the broker has */
    uint8_t stops;
    uint8_t watches;
    bool is_waiting;         /* an empty receive is in the kernel */
    bool is_asked;           /* the receive is to come back */
    bool is_unasked;         /* the empty one, too */
    bool had_bytes;          /* when the receive was begun there was something: it will bring it */
    bool has_looked_in_vain; /* the broker has looked since the last Read: nothing was there */
    bool peer_has_ended;
    bool is_watching;
    bool has_put_back;
    bool has_failed;
    bool is_closing;
    bool is_closed;
    bool is_lost;
    bool was_abandoned;
} reads_handle;

typedef struct reads_wire {
    reads_channel to_broker;
    reads_channel to_client;
} reads_wire;

typedef struct reads_world {
    budget pool;
    reads_handle handles[READS_HANDLES_MAX];
    reads_wire wires[READS_HANDLES_MAX];
} reads_world;

extern const reads_scenario *reads_scenario_now;
extern bool reads_is_loud;

void reads_begin(void *world);
unsigned reads_count_moves(void *world, unsigned *ret_forced);
void reads_move(void *world, unsigned index, choices *c);
uint64_t reads_fingerprint(const void *world);

/* reads_check.c: at any state; when a call is over; when Closed is said. */
void reads_check(void *world, bool is_at_rest);
void reads_check_over(const reads_handle *h, unsigned which);
void reads_check_closed(const reads_handle *h, bool wants_reset);

#endif
