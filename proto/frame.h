/*
 * frame.h - where a frame begins and ends: u32 control length, u32 payload length (both little
 * endian), the control message, the payload.
 *
 * Nothing here keeps state, allocates or copies: the caller gives the bytes it has so far, as one
 * contiguous piece, and is told that a frame is complete, how many bytes it takes to be so, or that
 * there is no frame. Lengths are compared with the limits as soon as the 8 bytes are there: before
 * anybody makes room for them.
 */
#ifndef SLUICE_PROTO_FRAME_H
#define SLUICE_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/reason.h"

#define SL_FRAME_HEADER_BYTES 8u

typedef struct sl_frame_limits {
    uint32_t control_bytes; /* at most */
    uint32_t payload_bytes; /* at most: a session's fragment_bytes */
} sl_frame_limits;

/* Pointers into the caller's bytes. */
typedef struct sl_frame {
    const uint8_t *control;
    uint32_t control_length;
    uint32_t payload_length;
    uint32_t payload_missing; /* 0; else it was begun (sl_frame_begin), and so much is to come */
    const uint8_t *payload;
    size_t length; /* of the whole frame with its header: where the next one begins */
} sl_frame;

typedef enum sl_frame_result {
    SL_FRAME_COMPLETE,
    SL_FRAME_INCOMPLETE,
    SL_FRAME_VIOLATION /* end the session; the bytes that follow mean nothing */
} sl_frame_result;

/* COMPLETE: ret_frame is set. INCOMPLETE: ret_needed is the number of bytes, counted from `bytes`,
 * that are needed to get further: 8 for the header, then the whole frame. VIOLATION: ret_reason is
 * set (it may be NULL). */
sl_frame_result sl_frame_parse(const uint8_t *bytes, size_t count, const sl_frame_limits *limits,
                               sl_frame *ret_frame, size_t *ret_needed, sl_reason *ret_reason);

/* For one who has no room for a whole frame, after INCOMPLETE: true when the control message is
 * there; ret_frame has what there is of the payload. ret_needed is what it takes for that. */
bool sl_frame_begin(const uint8_t *bytes, size_t count, sl_frame *ret_frame, size_t *ret_needed);

/* Writes a header. Whoever writes one has kept to the limits. */
void sl_frame_header(uint8_t header[SL_FRAME_HEADER_BYTES], uint32_t control_length,
                     uint32_t payload_length);

/* A part of a payload that is sent in several frames. */
typedef struct sl_fragment {
    uint32_t offset;
    uint32_t length;
    bool is_last;
} sl_fragment;

/* The fragment at `offset` <= total of a payload, none longer than `fragment_bytes` > 0. A payload
 * of 0 bytes has one fragment, which is empty and the last. */
sl_fragment sl_fragment_at(uint32_t total, uint32_t offset, uint32_t fragment_bytes);

#endif
