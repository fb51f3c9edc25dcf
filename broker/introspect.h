/*
 * introspect.h - what the broker says about itself: Status and Ops.
 */
#ifndef SLUICE_BROKER_INTROSPECT_H
#define SLUICE_BROKER_INTROSPECT_H

#include "broker/op.h"

/* Gathers a page of operations, which may take a message to each other worker; then the operation
 * ends, its reply encoded (introspect_reply). */
void introspect_ops(broker_op *op, const sl_request *request);

/* The whole frame of an Ops reply that succeeded: bytes in op->data. */
const uint8_t *introspect_reply(const broker_op *op, size_t *ret_length);

/* What this session is told. */
void introspect_status(const broker_session *session, sl_status_reply *ret_status);

#endif
