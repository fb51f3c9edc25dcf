/*
 * delivery.h - how a finished operation gets to its callback or its waiting caller.
 *
 * The I/O thread puts finished operations into a mailbox; a thread of the library, or the
 * application in sluice_dispatch, takes them out in that order. INLINE has no mailbox.
 */
#ifndef SLUICE_CLIENT_DELIVERY_H
#define SLUICE_CLIENT_DELIVERY_H

#include "client/operation.h"

typedef struct client_delivery {
    uint32_t mode; /* SLUICE_DELIVERY_* */
    bool is_open;
    sl_mailbox finished;
    /* THREAD */
    sl_thread thread;
    sl_event event;
    sl_atomic_bool is_stopping;
    /* POLL */
    uint64_t waitable;
    sl_mail *taken; /* the dispatching thread's */
    sl_atomic_bool is_dispatching;
    sl_atomic_u64 undelivered_count; /* callbacks that are to come */
    /* The thread that runs a callback now; 0 = none. */
    sl_atomic_u64 callback_thread_id;
    sl_list registered; /* registry.c */
} client_delivery;

/* SLUICE_OK, EINVAL, EOSLIMIT, ENOMEM. */
int client_delivery_open(client_delivery *delivery, uint32_t mode);
/* Runs what is due, and ends. Nothing is put in any more. Not from a callback. */
void client_delivery_close(client_delivery *delivery);

/* The I/O thread: op's outcome is fixed; takes over a reference. */
void client_delivery_put(client_delivery *delivery, client_operation *op);

/* Is this thread inside a callback of this session? */
bool client_delivery_is_callback(const client_delivery *delivery);
/* POLL: another thread is in sluice_dispatch. */
bool client_delivery_is_dispatching(client_delivery *delivery);

/* sluice_dispatch. */
int client_delivery_dispatch(client_delivery *delivery, uint32_t max, uint32_t *ret_count);

#endif
