/*
 * writes.h - the world of the outgoing direction: both sides' real machines (client/stream/writers,
 * broker/stream/outgoing and budget), two FIFO channels between them, a kernel and a peer, for one
 * handle or for two that share a pool. Everything that can happen is a move (search.h).
 *
 * A byte is (write, index). A message carries one byte at most, a kernel request a few.
 */
#ifndef SLUICE_TESTS_MODEL_WRITES_H
#define SLUICE_TESTS_MODEL_WRITES_H

#include "broker/stream/outgoing.h"
#include "client/stream/writers.h"
#include "tests/model/streams.h"

#define WRITES_HANDLES_MAX 2u
#define WRITES_MAX         5u /* of a handle, its end included */
#define WRITES_CHANNEL_MAX 24u
#define WRITES_PIECES_MAX  16u
#define WRITES_OFFSETS_MAX 32u
#define WRITES_KERNEL_MAX  4u

/* What is tried. Writes are numbered from 0; bit i of a set is write i. */
typedef struct writes_scenario {
    const char *name;
    streams_size size;
    unsigned handles;
    uint8_t lengths[WRITES_MAX]; /* of a handle's writes */
    unsigned count;
    unsigned early;      /* so many are started at first, the others at any moment */
    uint8_t cancellable; /* set: the program may cancel them, once, at any moment */
    uint8_t ends;        /* set: these are half-closes */
    uint8_t floor_bytes;
    uint8_t window_bytes; /* above the floor, at most */
    uint8_t pool_bytes;
    uint8_t kernel_bytes; /* in one request */
    bool is_exact;        /* an abort says exactly what is out (Linux) */
    bool joins;           /* requests may hold bytes of two writes */
    bool gives_up;        /* a caller may leave before the broker's answer */
    bool acknowledges;    /* the program may acknowledge a torn stream */
    bool has_error;       /* the kernel may fail a request, once */
    bool closes;          /* the program may close the handle at any moment */
    bool is_lost;         /* the broker may be lost at any moment */
} writes_scenario;

typedef enum writes_message_kind {
    MESSAGE_WRITE,
    MESSAGE_CANCEL,
    MESSAGE_CLOSE,
    MESSAGE_WRITTEN,
    MESSAGE_CLOSED
} writes_message_kind;

typedef struct writes_message {
    writes_message_kind kind;
    uint8_t which; /* the byte of a Write */
    uint8_t index;
    union {
        sl_stream_write write;
        sl_stream_cancel cancel;
        sl_stream_written written;
        sl_stream_closed closed;
    } as;
} writes_message;

typedef struct writes_channel {
    writes_message messages[WRITES_CHANNEL_MAX];
    unsigned count;
} writes_channel;

typedef struct writes_byte {
    uint8_t which;
    uint8_t index;
} writes_byte;

/* What the program knows, and has done. */
typedef struct writes_call {
    uint8_t received; /* bytes of it that the peer has */
    bool is_started;
    bool is_cancelled;
    bool is_over; /* its caller knows the outcome */
    bool has_given_up;
    uint8_t acked; /* so many calls before it had been acknowledged when it was started */
    int8_t status;
    uint8_t done;
    uint8_t in_doubt;
} writes_call;

typedef struct writes_handle {
    writers client;
    outgoing broker;
    writer writers[WRITES_MAX];
    outgoing_piece pieces[WRITES_PIECES_MAX];
    bool piece_used[WRITES_PIECES_MAX];
    writes_call calls[WRITES_MAX];
    writes_byte kernel[WRITES_KERNEL_MAX];
    uint8_t kernel_length;
    bool kernel_has_end;
    bool is_asked; /* the kernel is to give its request back */
    bool peer_has_end;
    bool has_failed; /* the kernel has had its error */
    bool is_closing;
    bool is_closed;
    bool is_lost;
    uint8_t taken_at_close;
} writes_handle;

/* Its fingerprint takes what is valid of it (writes_fingerprint). */
typedef struct writes_wire {
    writes_channel to_broker;
    writes_channel to_client;
    writes_byte content[WRITES_OFFSETS_MAX]; /* by offset, of what the broker keeps */
} writes_wire;

typedef struct writes_world {
    budget pool;
    writes_handle handles[WRITES_HANDLES_MAX];
    writes_wire wires[WRITES_HANDLES_MAX];
} writes_world;

extern const writes_scenario *writes_scenario_now;
extern bool writes_is_loud; /* says what happens */

void writes_begin(void *world);
unsigned writes_count_moves(void *world, unsigned *ret_forced);
void writes_move(void *world, unsigned index, choices *c);
uint64_t writes_fingerprint(const void *world);

/* writes_check.c: at any state; at a byte's arrival; at the peer's end of file; when Closed is
 * said; at a call's end. */
void writes_check(void *world, bool is_at_rest);
void writes_check_byte(const writes_handle *h, writes_byte byte);
void writes_check_end(const writes_handle *h);
void writes_check_closed(const writes_handle *h);
void writes_check_over(const writes_handle *h, unsigned which);

#endif
