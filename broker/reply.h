/*
 * reply.h - from an operation that has ended to the frame that says so.
 */
#ifndef SLUICE_BROKER_REPLY_H
#define SLUICE_BROKER_REPLY_H

#include "broker/op.h"

/* Is its payload sent from where it lies, in frames of its own turn? */
bool reply_is_bulk(const broker_op *op);

/* The most that its next frame takes in the output buffer. */
size_t reply_bytes_max(const broker_op *op);

/* Encodes header and control message of the next frame: `payload_length` bytes of payload follow,
 * `is_last` = it tells the outcome. Returns its length. */
size_t reply_encode(const broker_op *op, uint32_t payload_length, bool is_last, uint8_t *buffer,
                    size_t size);

/* Events. */
size_t reply_encode_draining(uint64_t grace_ns, uint8_t *buffer, size_t size);
size_t reply_encode_goodbye(int status, const char *detail, uint8_t *buffer, size_t size);

#endif
