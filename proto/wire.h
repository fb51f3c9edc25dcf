/*
 * wire.h - from a peer's bytes to a generated protobuf-c structure, safely. Private to proto/.
 *
 * protobuf-c says only "no" to bytes it does not like, cuts numbers that are too large, ends text
 * at its first NUL, allocates for every unknown field, and merges repeated members in ways of its
 * own. So the bytes are walked first, along the generated descriptors, without allocating: what
 * reaches protobuf-c is well formed, bounded and means one thing, and what does not is named.
 */
#ifndef SLUICE_PROTO_WIRE_H
#define SLUICE_PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "proto/arena.h"
#include "proto/limits.h"
#include "proto/reason.h"
#include "proto/sluice.pb-c.h"

/* Fields of a frame in all, known and unknown, at every level. */
#define SL_WIRE_FIELDS_MAX 2048u
/* Levels of messages: Response, Ops, row, and one to spare. */
#define SL_WIRE_DEPTH_MAX 4u

/* Walks a message. SLUICE_OK; EPROTOCOL: not a message, or over the limits above; EINVAL: a message
 * with a value that no field of ours takes (text that is not UTF-8 or has a NUL, a number that does
 * not fit), the first of which the reason names. */
int sl_wire_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                  sl_reason *ret_reason);

/* Resets the arena, walks the message and unpacks it into the arena. Statuses as above; with EINVAL
 * the message is there all the same, so that its id can be answered. */
int sl_wire_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                   sl_arena *arena, ProtobufCMessage **ret_message, sl_reason *ret_reason);

/* Writes header and message into `buffer`; the payload is the caller's to put behind.
 * SLUICE_OK, or ETOOLARGE: it does not fit `size` or a frame. */
int sl_wire_pack(const ProtobufCMessage *message, uint32_t payload_length, uint8_t *buffer,
                 size_t size, size_t *ret_length);

/* Limits stand in Hello and in its reply. */
sl_session_limits sl_wire_take_limits(const Sluice__Limits *from);
void sl_wire_put_limits(const sl_session_limits *from, Sluice__Limits *to);

#endif
