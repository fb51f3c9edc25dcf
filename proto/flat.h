/*
 * flat.h - a short way on and off the wire for messages that are nothing but a few numbers: plain
 * replies, and the requests of every day. Private to proto/ and its tests.
 *
 * protobuf-c takes 100 to 190 ns a message, a good part of what a whole round trip may cost; the
 * short way 13 to 26 ns. It knows one shape: fields 1 to n, in order, all varints. What does not
 * look exactly so (a text, an unknown field, a number out of range) is left to the general way,
 * which decides and finds the words. That both say the same is tested on every input of
 * tests/proto/hostile_test.c.
 */
#ifndef SLUICE_PROTO_FLAT_H
#define SLUICE_PROTO_FLAT_H

#include "proto/message.h"

#define SL_FLAT_FIELDS_MAX 6u
#define SL_FLAT_BYTES_MAX  (SL_FLAT_FIELDS_MAX * 11u) /* a tag of 1 byte, a number of 10 */

/* Bit n of a mask stands for field n. */
typedef struct sl_flat_shape {
    unsigned count;  /* fields 1 to count */
    unsigned narrow; /* those of 32 bits */
    unsigned truth;  /* those that are 0 or 1 */
} sl_flat_shape;

typedef struct sl_flat {
    uint64_t values[SL_FLAT_FIELDS_MAX + 1]; /* by field number; [0] is unused */
} sl_flat;

/* false: of another shape; ask the general way. */
bool sl_flat_read(const uint8_t *bytes, size_t count, const sl_flat_shape *shape,
                  sl_flat *ret_flat);

/* Writes what is not 0, in order, as protobuf does. Returns the length. */
size_t sl_flat_write(const sl_flat *flat, unsigned count, uint8_t bytes[SL_FLAT_BYTES_MAX]);

/* One number, at most 10 bytes: how many were read (0: it does not end) or written. */
size_t sl_varint_read(const uint8_t *bytes, size_t count, uint64_t *ret_value);
size_t sl_varint_write(uint64_t value, uint8_t bytes[10]);

/* The general way for every message: what message.h's functions do when the short way says no. */
int sl_request_decode_general(const uint8_t *control, size_t control_length,
                              uint32_t payload_length, const sl_session_limits *limits,
                              sl_arena *arena, sl_request *ret_request, sl_reason *ret_reason);
int sl_request_encode_general(const sl_request *request, uint32_t payload_length, uint8_t *buffer,
                              size_t size, size_t *ret_length);
int sl_response_decode_general(const uint8_t *control, size_t control_length,
                               uint32_t payload_length, sl_arena *arena, sl_response *ret_response,
                               sl_reason *ret_reason);
int sl_response_encode_general(const sl_response *response, uint32_t payload_length,
                               uint8_t *buffer, size_t size, size_t *ret_length);

/* What holds for every response, whichever way it came; and for every Data. */
int sl_response_check_data(const sl_response *response, sl_reason *ret_reason);
int sl_response_check(const sl_response *response, uint32_t payload_length, sl_reason *ret_reason);

#endif
