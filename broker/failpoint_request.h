/*
 * failpoint_request.h - failpoints by RPC: the one request that only test builds know.
 *
 * Number 1000 of Request.kind (sluice.proto reserves it for tests) is a message whose field 1 is a
 * configuration (base/failpoint.h). The answer is OK, and its detail tells which worker took it:
 * from then on that worker passes all points. So whoever wants to let go of a worker that waits
 * keeps a session on another one. EINVAL's detail says what is wrong with the text. A broker
 * without failpoints answers ENOTSUP, as to every request that it does not know.
 */
#ifndef SLUICE_BROKER_FAILPOINT_REQUEST_H
#define SLUICE_BROKER_FAILPOINT_REQUEST_H

#include "broker/session.h"
#include "proto/frame.h"
#include "proto/message.h"

#define FAILPOINT_REQUEST_KIND 1000u

#ifdef SLUICE_FAILPOINTS
/* true: it was that request, and is answered. */
bool failpoint_request(broker_session *session, const sl_request *request, const sl_frame *frame);
#else
#define failpoint_request(session, request, frame) false
#endif

#endif
