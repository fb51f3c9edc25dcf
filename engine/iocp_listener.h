/*
 * iocp_listener.h - listeners on the completion port: what pipes (iocp_pipe.c) and TCP
 * (iocp_accept.c) have in common, in iocp_listener.c. Nobody else includes it.
 *
 * A listener has instances: each has a pipe or a socket, and is with the kernel until a client has
 * come, or waits in `connected` for an accept, or is empty. An accept that waits is only a request
 * in its queue. So cancelling an accept involves no kernel and loses no connection (R5), and
 * accepts are served in order.
 */
#ifndef SLUICE_ENGINE_IOCP_LISTENER_H
#define SLUICE_ENGINE_IOCP_LISTENER_H

#include "engine/iocp.h"

typedef struct iocp_instance {
    iocp_op op;
    sl_list link;  /* in listener->connected */
    HANDLE os;     /* the client's pipe or SOCKET; NULL: empty */
    iocp_file *file; /* pipes: its */
    HANDLE target; /* where the operation was asked: the pipe, or the listening socket */
    struct iocp_listener *listener;
    unsigned place; /* index in listener->places */
} iocp_instance;

/* Where clients come to: a pipe's name, or one of a TCP listener's sockets. */
typedef struct iocp_place {
    SOCKET socket;   /* TCP */
    iocp_file *file; /* TCP: its */
    int family;      /* TCP */
    unsigned in_kernel_count;
} iocp_place;

typedef struct iocp_listener_ops {
    iocp_type type;
    /* Instances are refilled at once, not only when an accept waits: a pipe has clients only where
     * it has an instance; a socket keeps them in its backlog. */
    bool is_eager;
    /* Gives an empty instance what it needs (os, target). 0 or an error. */
    DWORD (*open)(iocp_instance *instance);
    /* Begins to wait for a client. 0: the kernel has it. ERROR_PIPE_CONNECTED: one is there. */
    DWORD (*wait)(iocp_instance *instance, void (*on_packet)(iocp_op *op, DWORD bytes));
    /* Does that code of a packet mean that a client is there? */
    bool (*is_client)(DWORD code);
    /* Makes the handle open. 0, or an error with nothing changed. */
    DWORD (*give)(iocp_instance *instance, engine_handle *handle);
    /* Closes instance->os. */
    void (*close)(iocp_instance *instance);
    /* Closes what belongs to the listener as a whole. */
    void (*deinit)(struct iocp_listener *listener);
} iocp_listener_ops;

typedef struct iocp_listener {
    const iocp_listener_ops *ops;
    iocp_handle *owner;
    sl_list connected;
    unsigned in_kernel_count; /* of all places */
    DWORD last_error;
    bool serving;
    bool closing;
    const iocp_name *name; /* pipes: own_name, or the endpoint's */
    iocp_name own_name;
    unsigned place_count;
    iocp_place places[ENGINE_LISTEN_ADDRESSES_MAX];
    unsigned instance_count;
    iocp_instance instances[];
} iocp_listener;

/* With one place, to which all instances belong, and no instance open. NULL: no memory. */
iocp_listener *engine_iocp_listener_create(iocp_handle *h, const iocp_listener_ops *ops,
                                           unsigned instance_count);
/* Nothing of it is in the kernel. */
void engine_iocp_listener_destroy(iocp_listener *listener);

/* Makes the handle an open listener. */
void engine_iocp_listener_opened(iocp_listener *listener);

/* Puts an open instance to wait. */
void engine_iocp_instance_arm(iocp_instance *instance);
/* Arms what is empty. Stops at the first that cannot be had. */
void engine_iocp_listener_refill(iocp_listener *listener);

#endif
