/*
 * kernel.h - what the operating system's kernel holds for a handle, charged like our own memory.
 *
 * An open handle is charged engine_handle_bytes (charge.c): an idle one can hold no more. What goes
 * beyond is charged when it comes to be:
 *
 *   receiving  the buffer is small until a receive fills what it was given. Then the next size is
 *              charged, and the buffer becomes larger; for good, until the handle closes. That is
 *              for speed, so only half of a book goes to it; who gets nothing goes on, slower
 *   sending    a write is charged before its first byte goes out, or refused (EQUOTA). What the
 *              peer has taken meanwhile is given back when it is seen: before the handle's next
 *              write, when the memory is short, and every second
 *
 * What a handle still had to send when it was closed is nobody's any more: the kernel sends it, and
 * gives it up by itself.
 */
#ifndef SLUICE_BROKER_KERNEL_H
#define SLUICE_BROKER_KERNEL_H

#include "broker/handle.h"

void kernel_init(broker_worker *worker);

/* Before the first byte of a write, once. SLUICE_OK, or EQUOTA with its reason. */
int kernel_pay_write(broker_handle *handle, broker_op *op, sl_reason *ret_reason);
/* So many bytes have come. */
void kernel_received(broker_handle *handle, size_t bytes);
/* The handle has closed: nothing more is looked at. Its charge is its own. */
void kernel_release(broker_handle *handle);

#endif
