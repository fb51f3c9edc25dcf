/*
 * message.h - requests, responses and events as plain structures, and their way to bytes and back.
 *
 * sluice.proto is the reference for every field: meaning, unit, range. No protobuf-c type shows
 * here; copying a dozen fields costs next to nothing, and broker and client see one checked shape.
 *
 * Memory: decoding uses an arena (sl_message_arena_init) and no heap. Text and rows of a decoded
 * message live in it until the next decode with that arena: a worker or an I/O thread has one, and
 * handles a message before it decodes the next. Encoding only reads.
 *
 * Statuses of decoding: SLUICE_OK; SLUICE_EPROTOCOL (end the session); from requests also another
 * one: answer it, the session lives. Then `id` and `kind` are set, the rest is not. (ENOTSUP with
 * id 0 is a notice of a later version: nobody waits for an answer.)
 */
#ifndef SLUICE_PROTO_MESSAGE_H
#define SLUICE_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/arena.h"
#include "proto/limits.h"
#include "proto/reason.h"
#include "proto/stream.h"

/* The budget of a decoder. What fits a frame and passes the checks fits it with room to spare. */
#define SL_MESSAGE_ARENA_BYTES       (320u * 1024)
#define SL_MESSAGE_ARENA_ALLOCATIONS 4096u

/* SLUICE_OK, SLUICE_ENOMEM. End it with sl_arena_deinit. */
int sl_message_arena_init(sl_arena *arena, sl_account *account);

/* ---- requests ---- */

/* The numbers are those of Request.kind. */
typedef enum sl_request_kind {
    SL_REQUEST_NONE = 0, /* a kind that this code does not know */
    SL_REQUEST_READ = 2,
    SL_REQUEST_WRITE = 3,
    SL_REQUEST_WRITE_DATA = 4,
    SL_REQUEST_CANCEL = 5,
    SL_REQUEST_CLOSE = 6,
    SL_REQUEST_PAIR = 7,
    SL_REQUEST_ACCEPT = 8,
    SL_REQUEST_CONNECT = 9,
    SL_REQUEST_LISTEN = 10,
    SL_REQUEST_HALF_CLOSE = 11,
    SL_REQUEST_ACKNOWLEDGE_TORN = 12,
    SL_REQUEST_PING = 13,
    SL_REQUEST_STREAM_READ = 14,
    SL_REQUEST_HELLO = 16,
    SL_REQUEST_STATUS = 17,
    SL_REQUEST_OPS = 18,
    SL_REQUEST_STREAM_CANCEL = 19,
    SL_REQUEST_LEAVE = 20
} sl_request_kind;

#define SL_REQUEST_KIND_COUNT 21 /* one more than the highest number */

/* What holds for every request of a kind. */
enum {
    SL_REQUEST_IS_KNOWN = 1,
    SL_REQUEST_IS_ANSWERED = 2,  /* one reply, perhaps in several frames */
    SL_REQUEST_TAKES_CREDIT = 4, /* one operation, and its payload bytes, until answered */
    SL_REQUEST_HAS_PAYLOAD = 8,  /* its frame may carry a payload */
    SL_REQUEST_IS_CANCELLABLE = 16,
    SL_REQUEST_HAS_NO_ID = 32
};
unsigned sl_request_traits(sl_request_kind kind);

/* "read", "write_data", ...; "unknown" for a number that is none. */
const char *sl_request_kind_name(sl_request_kind kind);

typedef enum sl_ops_filter { SL_OPS_FILTER_ALL = 0, SL_OPS_FILTER_STUCK = 1 } sl_ops_filter;

typedef struct sl_hello_request {
    uint32_t version_min;
    uint32_t version_max;
    const char *client_name;
    sl_session_limits limits; /* 0 = any */
    uint64_t process_id;
} sl_hello_request;

typedef struct sl_ops_request {
    uint64_t cursor;
    uint64_t min_age_ns;
    uint32_t limit; /* 0 = SL_OPS_ROWS_MAX */
    sl_ops_filter filter;
} sl_ops_request;

typedef struct sl_request {
    uint64_t id;
    sl_request_kind kind;
    union {
        sl_hello_request hello;
        struct {
            uint64_t handle;
            uint64_t timeout_ns;
            uint32_t max_bytes;
            bool all;
        } read;
        struct {
            uint64_t handle;
            uint64_t timeout_ns;
            uint32_t length_bytes;
        } write;
        struct {
            uint64_t target_id;
        } cancel;
        struct {
            uint64_t handle;
            uint64_t grace_ns;
        } close;
        struct {
            uint64_t timeout_ns;
            bool read_ahead;
        } pair;
        struct {
            uint64_t listener;
            uint64_t timeout_ns;
            bool read_ahead;
        } accept;
        struct {
            const char *address;
            uint64_t timeout_ns;
            bool read_ahead;
        } connect;
        struct {
            const char *address;
            uint32_t backlog;
            uint64_t timeout_ns;
        } listen;
        struct {
            uint64_t handle;
            uint64_t timeout_ns;
        } half_close;
        struct {
            uint64_t handle;
        } acknowledge_torn;
        sl_ops_request ops;
        struct {
            uint64_t handle;
            sl_stream_read read;
        } stream_read;
        struct {
            uint64_t handle;
            sl_stream_direction direction;
            sl_stream_cancel cancel;
        } stream_cancel;
    } as;
} sl_request;

/* The payload bytes for which a request takes credit: a read's max_bytes, a write's length. */
uint32_t sl_request_credit_bytes(const sl_request *request);

/* Is it a sensible request, within the session's limits, with a payload of that length in its first
 * frame? The broker asks this of what it decodes, the client of what it is about to send.
 * SLUICE_OK, EPROTOCOL, EINVAL, ENOTSUP, EBADHANDLE, ENAMETOOLONG, with the reason. */
int sl_request_check(const sl_request *request, uint32_t payload_length,
                     const sl_session_limits *limits, sl_reason *ret_reason);

/* From the control bytes of a frame. Also checks. Statuses: see the top, and sl_request_check. */
int sl_request_decode(const uint8_t *control, size_t control_length, uint32_t payload_length,
                      const sl_session_limits *limits, sl_arena *arena, sl_request *ret_request,
                      sl_reason *ret_reason);

/* Header and control message of a frame; the payload goes behind. ret_length: bytes written.
 * SLUICE_OK; ETOOLARGE (does not fit `size`, or a frame); EINVAL (a kind that is none). */
int sl_request_encode(const sl_request *request, uint32_t payload_length, uint8_t *buffer,
                      size_t size, size_t *ret_length);

/* No request is longer, header included. */
#define SL_REQUEST_BYTES_MAX 928

/* ---- responses and events ---- */

/* The numbers are those of Response.body. */
typedef enum sl_response_kind {
    SL_RESPONSE_PLAIN = 0, /* no body, or one that this code does not know */
    SL_RESPONSE_OPENED = 8,
    SL_RESPONSE_EVENT = 9,
    SL_RESPONSE_DATA = 10,
    SL_RESPONSE_HELLO = 16,
    SL_RESPONSE_STATUS = 17,
    SL_RESPONSE_OPS = 18
} sl_response_kind;

/* The numbers are those of Event.kind. */
typedef enum sl_event_kind {
    SL_EVENT_NONE = 0, /* one that this code does not know: ignore it */
    SL_EVENT_DRAINING = 1,
    SL_EVENT_GOODBYE = 2
} sl_event_kind;

/* What a handle can do: the numbers of OpenedHandle.can, which are the engine's. */
enum {
    SL_CAN_READ = 1,
    SL_CAN_WRITE = 2,
    SL_CAN_HALF_CLOSE = 4,
    SL_CAN_ACCEPT = 8,
    SL_CAN_DATAGRAM = 16
};

typedef struct sl_opened_handle {
    uint64_t handle;
    uint32_t can;
    const char *local_address; /* NULL or "" = none */
} sl_opened_handle;

typedef struct sl_hello_reply {
    uint32_t version; /* 0 with EVERSION */
    uint32_t version_min;
    uint32_t version_max;
    uint64_t session_id;
    uint64_t epoch;
    sl_session_limits limits;
    const char *broker_version;
    const char *engine_name;
    uint64_t close_grace_ns;
    uint64_t ping_interval_ns;
    uint64_t unresponsive_ns;
} sl_hello_reply;

typedef struct sl_status_reply {
    const char *broker_version;
    const char *engine_name;
    uint64_t process_id;
    uint64_t uptime_ns;
    uint32_t workers;
    uint32_t sessions;
    uint64_t handles;
    uint64_t operations;
    uint64_t zombies;
    uint64_t memory_bytes;
    uint64_t operations_started;
    uint64_t operations_finished;
    uint64_t cancels;
    uint64_t sessions_started;
    uint64_t protocol_violations;
    bool draining;
    const char *user;
    uint64_t user_zombies;
    bool sees_all;
    uint64_t stray_packets;
    uint64_t opens_given_up;
    uint64_t user_opens_given_up;
} sl_status_reply;

typedef enum sl_operation_state {
    SL_OPERATION_UNSPECIFIED = 0,
    SL_OPERATION_QUEUED = 1,
    SL_OPERATION_STARTED = 2,
    SL_OPERATION_CANCELLING = 3,
    SL_OPERATION_ZOMBIE = 4
} sl_operation_state;

/* "queued", ...; "unknown" for a number that is none. */
const char *sl_operation_state_name(sl_operation_state state);

typedef struct sl_ops_row {
    uint64_t session_id;
    const char *client_name;
    uint64_t process_id;
    uint64_t operation_id;
    uint64_t handle;
    sl_request_kind kind;
    sl_operation_state state;
    uint64_t age_ns;
    uint64_t remaining_ns; /* 0 = no deadline */
    uint64_t length_bytes;
    uint64_t done_bytes;
    uint32_t worker;
    bool stuck;
    const char *user;
} sl_ops_row;

typedef struct sl_event_message {
    sl_event_kind kind;
    uint64_t grace_ns;  /* DRAINING */
    int status;         /* GOODBYE */
    const char *detail; /* GOODBYE; NULL or "" = none */
} sl_event_message;

typedef struct sl_response {
    uint64_t id; /* 0: an event, Data; or something of a later version, to be ignored */
    int status;
    uint32_t os_error;
    uint64_t done;
    uint64_t in_doubt;
    bool more;          /* a fragment of a read; further frames follow, this one has no outcome */
    const char *detail; /* for people; NULL or "" = none */
    sl_response_kind kind;
    union {
        struct {
            uint32_t count; /* 1 to SL_OPENED_MAX */
            sl_opened_handle handles[SL_OPENED_MAX];
        } opened;
        sl_event_message event;
        sl_hello_reply hello;
        sl_status_reply status;
        struct {
            const sl_ops_row *rows; /* at most SL_OPS_ROWS_MAX */
            uint32_t count;
            uint64_t next_cursor;
        } ops;
        struct {
            uint64_t handle;
            sl_stream_data data; /* its length is the payload's */
        } data;
    } as;
} sl_response;

/* A plain SLUICE_OK. `as` is left as it is: clearing it costs more than encoding a plain one. */
static inline void sl_response_init(sl_response *response, uint64_t id) {
    memset(response, 0, offsetof(sl_response, as));
    response->id = id;
}

/* From the control bytes of a frame. SLUICE_OK or EPROTOCOL with the reason. */
int sl_response_decode(const uint8_t *control, size_t control_length, uint32_t payload_length,
                       sl_arena *arena, sl_response *ret_response, sl_reason *ret_reason);

/* As sl_request_encode. EINVAL also: a text or a number of rows over its constant in limits.h. */
int sl_response_encode(const sl_response *response, uint32_t payload_length, uint8_t *buffer,
                       size_t size, size_t *ret_length);

/* No response of that kind is longer, header included, payload and detail not: what the broker
 * reserves when it accepts a request (I8). */
#define SL_RESPONSE_BYTES_PLAIN   64 /* and DATA */
#define SL_RESPONSE_BYTES_DETAIL  (SL_DETAIL_BYTES + 4) /* added by a detail */
#define SL_RESPONSE_BYTES_OPENED  1216
#define SL_RESPONSE_BYTES_EVENT   384
#define SL_RESPONSE_BYTES_HELLO   384
#define SL_RESPONSE_BYTES_STATUS  608
#define SL_RESPONSE_BYTES_OPS_ROW 400
#define SL_RESPONSE_BYTES_OPS(row_count) \
    (SL_RESPONSE_BYTES_PLAIN + 32 + (row_count)*SL_RESPONSE_BYTES_OPS_ROW)

#endif
