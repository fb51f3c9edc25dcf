/*
 * dispatch.h - from a frame to the code that acts on it.
 */
#ifndef SLUICE_BROKER_DISPATCH_H
#define SLUICE_BROKER_DISPATCH_H

#include "broker/session.h"
#include "proto/frame.h"

/* Acts on one frame. SLUICE_OK; EPROTOCOL with the reason, or ENOMEM (no memory to answer with):
 * the session must end. */
int dispatch_frame(broker_session *session, const sl_frame *frame, sl_reason *ret_reason);

#endif
