/*
 * quota.h - what a session may have at a time, charged before anything is made for it (I7).
 *
 *   credit    operations and their payload bytes, from acceptance to the reply (docs/protocol.md)
 *   refusals  answers to what takes no credit (Ping, Close) or was refused, that the client has not
 *             taken: as many as it has credits, then it is a violation. The Close of an open handle
 *             is none: it has that handle's place
 *   shared    received chunks that unanswered replies keep alive, each larger than the bytes of
 *             its reply: as many as the payload credit; then bytes are copied
 *   queries   unanswered Ops, since a page is large
 *   handles   from the promise (a Pair promises two) until the system has let go of them; those of
 *             all sessions of a user have a limit, too
 *   zombies   a new handle is refused while so many handles and requests of its user are stuck, in
 *             all sessions on all workers (user.h); a stuck close is its handle's, and not one
 *             more
 */
#ifndef SLUICE_BROKER_QUOTA_H
#define SLUICE_BROKER_QUOTA_H

#include "broker/op.h"

/* Every EQUOTA comes with its reason: which limit it was (sl_limit_reached). */

/* SLUICE_OK or EQUOTA. */
int quota_take_credit(broker_op *op, uint32_t payload_bytes, sl_reason *ret_reason);
/* SLUICE_OK, or EPROTOCOL: the client takes no answers. */
int quota_take_refusal(broker_op *op);
/* It was that, and is the Close of an open handle: it has that handle's place, for each is closed
 * once. A client may so close all it has, and take the answers later. */
void quota_keep_close(broker_op *op, broker_handle *handle);
/* May its reply refer to a received chunk of that size? false: copy the bytes. */
bool quota_take_shared(broker_op *op, uint32_t chunk_bytes);
/* SLUICE_OK or EQUOTA. */
int quota_take_query(broker_op *op, sl_reason *ret_reason);
/* When its page goes. Harmless if it has none. */
void quota_release_query(broker_op *op);
/* Gives back what an answer costs. Harmless if there is none. */
void quota_release(broker_op *op);

/* Promises `count` handles to an operation. SLUICE_OK, EQUOTA, ENOMEM. */
int quota_promise_handles(broker_op *op, uint32_t count, sl_reason *ret_reason);
/* Gives back the promises that were not kept. */
void quota_release_handles(broker_op *op);

/* Gives back all that an open handle has taken: it has closed. */
void quota_close_handle(broker_handle *handle);

/* At a session's end everything is 0, always. */
void quota_check_empty(const broker_session *session);

#endif
