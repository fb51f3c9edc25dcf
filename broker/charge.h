/*
 * charge.h - what a session makes the broker hold, charged to its user and to the broker before
 * anything is allocated (I7).
 *
 * What takes memory holds a broker_charge (types.h): the session and its tables, an operation, a
 * handle, a buffer. It is taken by that and given back by that, once.
 *
 * Buffers and tables are charged to the byte; an operation, a handle and the session itself at a
 * price that covers what they need in the worker's tables and in the engine; and a handle what the
 * kernel holds for it (kernel.h). A session draws on its user's book and the broker's in batches,
 * so that steady traffic touches neither.
 *
 * Who is at the limit is told so, and never stuck:
 *   - a request that needs memory is refused with EQUOTA, by an operation out of the session's
 *     reserve; when that is used up, nothing is parsed until one of those answers has gone out;
 *   - a Close of an open handle is paid for with the handle;
 *   - each handle pays for a smallest buffer: a receive that cannot have what it wants gets that,
 *     or waits, with the session's others, until a reply has gone out that refers to one;
 *   - a frame that is larger than the input buffer goes through it in pieces (input.c).
 */
#ifndef SLUICE_BROKER_CHARGE_H
#define SLUICE_BROKER_CHARGE_H

#include "broker/op.h"

#define CHARGE_SPARE_BYTES 1024u /* a handle's smallest buffer */
#define CHARGE_RESERVE_OPS 16u   /* answers that a session can always give */

void charge_init(broker_session *session);
/* Everything has been given back. */
void charge_deinit(broker_session *session);

/* The session itself, with its reserve; before anything else. SLUICE_OK or EQUOTA. */
int charge_begin(broker_session *session, sl_reason *ret_reason);
/* It belongs to another user than was thought (peer.c). SLUICE_OK; EQUOTA: nothing has changed. */
int charge_change_user(broker_session *session, struct broker_user *from, struct broker_user *to,
                       sl_reason *ret_reason);

/* Which limit refused the session last. Returns EQUOTA. */
int charge_refused(const broker_session *session, sl_reason *ret_reason);
/* Was a table of its account refused by a limit, and not by the system? Asked once. */
bool charge_was_refused(broker_session *session);

/* The charge grows by so many bytes of the payer's. false: over a limit (charge_refused). */
bool charge_take(broker_charge *charge, broker_session *payer, uint64_t bytes);
/* The same for what may be done without: at most half of a book goes to that. */
bool charge_take_extra(broker_charge *charge, broker_session *payer, uint64_t bytes);
/* Gives some of it back. */
void charge_give(broker_charge *charge, uint64_t bytes);
/* Gives back all that it has; harmless if that is nothing. */
void charge_end(broker_charge *charge);
/* Another one of the same payer's holds so much of it from now on. */
void charge_move(broker_charge *to, broker_charge *from, uint64_t bytes);

/* For a buffer of CHARGE_SPARE_BYTES, of what the handles have paid. false: all are in use. */
bool charge_take_spare(broker_charge *charge, broker_session *session);
void charge_give_spare(broker_charge *charge);

/* An operation, charged or out of the reserve. SLUICE_OK; EBUSY: when an answer has gone out. */
int charge_take_op(broker_op *op);
void charge_give_op(broker_op *op);

/* What so many handles cost. Taken by the operation that they are promised to. */
uint64_t charge_handle_bytes(const broker_session *session, uint32_t count);
/* One of them is open: it holds its charge itself, and its smallest buffer may be used. */
void charge_open_handle(broker_handle *handle, broker_op *op);
/* `op`, out of the reserve, is the Close that it paid for. */
void charge_pay_close(broker_handle *handle, broker_op *op);
void charge_close_handle(broker_handle *handle);

/* Its reads wait for a buffer. */
void charge_starve(broker_handle *handle);
/* Something may be there for those who wait: in the worker's next turn (receive_feed). */
void charge_tell_starving(broker_session *session);

#endif
