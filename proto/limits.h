/*
 * limits.h - the one table of limits: name, default, range, unit, sentence.
 *
 * The broker's configuration, the Hello of a session, `sluiced --help` and docs/protocol.md all
 * come from it (a test compares the page). Everything has a limit: what is not here is a constant
 * below, or the engine's (engine.h).
 */
#ifndef SLUICE_PROTO_LIMITS_H
#define SLUICE_PROTO_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/reason.h"

#define SL_KIB  UINT64_C(1024)
#define SL_MIB  (UINT64_C(1024) * 1024)
#define SL_GIB  (UINT64_C(1024) * 1024 * 1024)
#define SL_MSEC UINT64_C(1000000) /* nanoseconds */
#define SL_SEC  UINT64_C(1000000000)

typedef enum sl_unit { SL_UNIT_NS, SL_UNIT_BYTES, SL_UNIT_COUNT } sl_unit;

/* X(name, default, min, max, unit, sentence); the unit is the end of the name where it has one. */
#define SL_LIMITS_TABLE(X) \
    X(call_grace_ns, SL_SEC, 10 * SL_MSEC, 60 * SL_SEC, NS, \
      "a call returns at the latest this long after its deadline") \
    X(close_grace_ns, 5 * SL_SEC, 0, 600 * SL_SEC, NS, \
      "a close waits this long for the system to let go, then answers EABANDONED") \
    X(drain_grace_ns, 5 * SL_SEC, 0, 600 * SL_SEC, NS, \
      "a stopping broker lets operations run this long before it cancels them") \
    X(ping_interval_ns, SL_SEC, 100 * SL_MSEC, 60 * SL_SEC, NS, \
      "a client that waits and has heard nothing for this long sends a ping") \
    X(unresponsive_ns, 5 * SL_SEC, 500 * SL_MSEC, 600 * SL_SEC, NS, \
      "a client that waits and has heard nothing for this long gives the broker up") \
    X(hello_timeout_ns, 5 * SL_SEC, 100 * SL_MSEC, 60 * SL_SEC, NS, \
      "a new connection has this long for its Hello") \
    X(no_progress_ns, 60 * SL_SEC, SL_SEC, 86400 * SL_SEC, NS, \
      "a session whose client takes no byte of its replies for so long is ended") \
    X(control_bytes, 64 * SL_KIB, 4 * SL_KIB, 64 * SL_KIB, BYTES, \
      "the control message of a frame, at most") \
    X(fragment_bytes, 64 * SL_KIB, 4 * SL_KIB, 64 * SL_KIB, BYTES, \
      "the payload of a frame, at most") \
    X(payload_bytes, SL_MIB, 64 * SL_KIB, SL_MIB, BYTES, "the bytes of one read or write in all") \
    X(stream_chunk_bytes, 64 * SL_KIB, 4 * SL_KIB, SL_MIB, BYTES, \
      "the part of a stream write that is with the system at a time") \
    X(receive_buffer_bytes, 64 * SL_KIB, 4 * SL_KIB, SL_MIB, BYTES, \
      "the receive buffer of a handle through which data flows") \
    X(idle_buffer_bytes, 4 * SL_KIB, 0, 64 * SL_KIB, BYTES, \
      "the receive buffer of an idle handle; 0 = it waits with an empty read") \
    X(credit_operations, 1024, 16, 65536, COUNT, "unanswered requests of a session, at most") \
    X(credit_bytes, 16 * SL_MIB, SL_MIB, SL_GIB, BYTES, \
      "the payload bytes of these requests together, at most") \
    X(memory_bytes, SL_GIB, 16 * SL_MIB, 1024 * SL_GIB, BYTES, \
      "memory that the broker and the kernel hold for all its sessions together") \
    X(user_memory_bytes, 256 * SL_MIB, SL_MIB, 1024 * SL_GIB, BYTES, \
      "memory that it holds for the sessions of one user; not used where only one may connect") \
    X(handles, 16384, 16, 65536, COUNT, "open handles of a session") \
    X(user_handles, 65536, 16, 1048576, COUNT, "open handles of a user, in all sessions together") \
    X(sessions, 4096, 1, 65536, COUNT, "sessions of the broker") \
    X(user_sessions, 1024, 1, 65536, COUNT, "sessions of a user") \
    X(opener_threads, 8, 1, 64, COUNT, \
      "threads of each kind (look-ups, paths, giving paths up); a user gets half of those free") \
    X(opens_given_up, 8, 1, 64, COUNT, \
      "look-ups of a user that ended by deadline or cancel and still occupy a thread; paths, too") \
    X(zombies, 64, 1, 4096, COUNT, \
      "handles and requests of a user that ended, but that the system does not let go of")

/* The limits in force. Members are named as in the table. */
typedef struct sl_limits {
#define X(name, standard, min, max, unit, sentence) uint64_t name;
    SL_LIMITS_TABLE(X)
#undef X
} sl_limits;

typedef struct sl_limit_info {
    const char *name;
    const char *sentence;
    uint64_t standard; /* the default */
    uint64_t min;
    uint64_t max;
    sl_unit unit;
    size_t offset; /* of its member in sl_limits */
} sl_limit_info;

/* Constants of the protocol: not configurable, the same in every session. Text without its NUL. */
#define SL_CLIENT_NAME_BYTES 64  /* Hello.client_name */
#define SL_ADDRESS_BYTES     800 /* an address as text */
#define SL_LOCAL_ADDRESS_BYTES 512 /* one that is told, which is never a pipe's */
#define SL_DETAIL_BYTES      256 /* Response.detail */
#define SL_VERSION_BYTES     64  /* a version or an engine's name as text */
#define SL_USER_BYTES        183 /* a user as text: a SID's longest */
#define SL_BACKLOG_MAX       65535 /* the most that Windows takes [docs: listen] */
#define SL_OPS_ROWS_MAX      64 /* of one page */
#define SL_OPS_PENDING_MAX   16 /* pages of a session that are asked for and not answered */
#define SL_OPENED_MAX        2  /* handles that one request opens */

void sl_limits_default(sl_limits *ret_limits);

/* The index-th row, or NULL past the end. */
const sl_limit_info *sl_limit_at(size_t index);

/* The row of that name, or NULL. A name may leave out its unit: "close_grace". */
const sl_limit_info *sl_limit_find(const char *name);

uint64_t sl_limit_get(const sl_limits *limits, const sl_limit_info *info);

/* SLUICE_OK, or EINVAL (unknown name, out of range) with the reason. */
int sl_limits_set(sl_limits *limits, const char *name, uint64_t value, sl_reason *ret_reason);

/* All ranges, and what has to hold between limits. SLUICE_OK, or EINVAL with the reason. */
int sl_limits_check(const sl_limits *limits, sl_reason *ret_reason);

/* A value with its unit: "5 s", "100 ms", "64 KiB", "1,024". Writes a NUL; returns the text. */
#define SL_LIMIT_TEXT_BYTES 32
const char *sl_limit_text(uint64_t value, sl_unit unit, char text[SL_LIMIT_TEXT_BYTES]);

/* ---- the reason of an EQUOTA ---- */

typedef enum sl_limit_owner { SL_LIMIT_SESSION, SL_LIMIT_USER, SL_LIMIT_BROKER } sl_limit_owner;

/* Every EQUOTA says which limit it was, so that somebody can do something about it: "the session's
 * limit credit_operations of 1,024 is reached". `name` as in the table, or that of a constant.
 * Returns SLUICE_EQUOTA; reason may be NULL. */
int sl_limit_reached(sl_reason *reason, sl_limit_owner owner, const char *name, uint64_t value);

/* ---- what a session agrees on ---- */

/* The part of the limits that Hello is about. As a wish: 0 = any. */
typedef struct sl_session_limits {
    uint32_t control_bytes;
    uint32_t fragment_bytes;
    uint32_t payload_bytes;
    uint32_t credit_operations;
    uint64_t credit_bytes;
    uint32_t handles;
} sl_session_limits;

/* What a client that wishes for `wanted` gets from a broker with these limits: the wish, but not
 * more than the broker's limit and not less than the table's minimum; any = the broker's limit. */
void sl_limits_grant(const sl_limits *broker, const sl_session_limits *wanted,
                     sl_session_limits *ret_granted);

/* For the client: is what a broker says it granted possible at all? SLUICE_OK, or EPROTOCOL. */
int sl_session_limits_check(const sl_session_limits *granted, sl_reason *ret_reason);

#endif
