/*
 * peer.h - who a session's client is, whether it is let in, what it may see, what it is charged.
 */
#ifndef SLUICE_BROKER_PEER_H
#define SLUICE_BROKER_PEER_H

#include "broker/session.h"

/* Before it is asked: nobody, on the common account. */
void peer_init(broker_session *session);
/* When nothing is charged for it any more. */
void peer_release_user(broker_session *session);
void peer_deinit(broker_session *session);

/* Asks the engine who the client is, and decides. SLUICE_OK: it is let in, and known for as long as
 * the session lives. EBUSY: the system tells only when something was read; ask again then. EACCESS:
 * refused, and logged; the reason is for the client. ENOMEM, with a reason. */
int peer_admit(broker_session *session, sl_reason *ret_reason);

/* Hello: who could not be told before can be told now. SLUICE_OK; EQUOTA: it is one more than its
 * user may have; EACCESS, EBUSY, ENOMEM. */
int peer_admit_late(broker_session *session, sl_reason *ret_reason);

/* May `viewer` be shown what belongs to the other session? Any worker: what is compared does not
 * change while a session is open. */
bool peer_sees(const broker_session *viewer, const broker_session *other);

#endif
