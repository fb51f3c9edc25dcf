/*
 * mailbox.h - many threads post, one thread takes: a lock-free intrusive queue.
 *
 * A node belongs to its poster until posted, to the mailbox until taken. Nothing is allocated, so
 * the bound is the number of nodes that exist. Each poster's nodes are taken in the order it posted
 * them.
 */
#ifndef SLUICE_BASE_MAILBOX_H
#define SLUICE_BASE_MAILBOX_H

#include "base/atomic.h"

typedef struct sl_mail {
    struct sl_mail *next;
} sl_mail;

typedef struct sl_mailbox {
    _Atomic(sl_mail *) newest; /* posted, newest first */
} sl_mailbox;

void sl_mailbox_init(sl_mailbox *mailbox);

/* Any thread. Returns true when the mailbox was empty: the poster must then wake the taker. */
bool sl_mailbox_post(sl_mailbox *mailbox, sl_mail *mail);

/* The taker's thread. Takes all there is, oldest first, linked by ->next; NULL when empty. */
sl_mail *sl_mailbox_take_all(sl_mailbox *mailbox);

bool sl_mailbox_is_empty(const sl_mailbox *mailbox);

#endif
