/*
 * charge.h - what a session makes the broker hold, charged to its user and to the broker before
 * anything is allocated (I7).
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

/* Bytes that are not ours: the kernel's, for a handle of the session (kernel.c). */
bool charge_take_bytes(broker_session *session, uint64_t bytes);
/* The same for what may be done without: at most half of a book goes to that. */
bool charge_take_extra(broker_session *session, uint64_t bytes);
void charge_give_bytes(broker_session *session, uint64_t bytes);

/* A buffer of the worker's pool, charged as long as it is referred to. SLUICE_OK; EQUOTA with its
 * reason (which may be NULL); ENOMEM. */
int charge_take_chunk(broker_session *session, size_t size_bytes, broker_chunk **ret_chunk,
                      sl_reason *ret_reason);
/* One of CHARGE_SPARE_BYTES that the handles have paid for. SLUICE_OK; EBUSY: all are in use;
 * ENOMEM. */
int charge_take_spare(broker_session *session, broker_chunk **ret_chunk);
/* From chunk_drop. */
void charge_give_chunk(broker_session *session, bool is_spare, size_t size_bytes);

/* An operation, charged or out of the reserve. SLUICE_OK; EBUSY: when an answer has gone out. */
int charge_take_op(broker_op *op);
void charge_give_op(broker_op *op);

/* Handles that are promised. */
bool charge_take_handles(broker_session *session, uint32_t count);
void charge_give_handles(broker_session *session, uint32_t count);
/* One of them is open: its smallest buffer may be used. */
void charge_open_handle(broker_handle *handle);
/* `op`, out of the reserve, is the Close that it paid for. */
void charge_pay_close(broker_handle *handle, broker_op *op);
void charge_close_handle(broker_handle *handle);

/* Its reads wait for a buffer. */
void charge_starve(broker_handle *handle);
/* Those of a session that may have one now go on (worker.c). */
void charge_feed(broker_session *session);

#endif
