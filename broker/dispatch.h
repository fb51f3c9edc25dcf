/*
 * dispatch.h - from a frame to the code that acts on it.
 */
#ifndef SLUICE_BROKER_DISPATCH_H
#define SLUICE_BROKER_DISPATCH_H

#include "broker/session.h"
#include "proto/frame.h"

/* Acts on one frame, of which the end may be missing (sl_frame_begin). SLUICE_OK; EBUSY: not yet,
 * there is no memory to answer with (session.is_held); EPROTOCOL with the reason, or ENOMEM: the
 * session must end. */
int dispatch_frame(broker_session *session, const sl_frame *frame, sl_reason *ret_reason);
/* The next bytes of the payload of such a frame, of the request with that id. */
void dispatch_piece(broker_session *session, uint64_t id, const uint8_t *bytes, uint32_t count);

#endif
