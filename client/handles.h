/*
 * handles.h - the application's handles, and the bytes that came too late for the read that asked.
 *
 * A handle of the application is {connection, generation, index}: 16, 31 and 17 bits. So one of an
 * earlier connection is told from one that never was, and nothing has to be kept for it.
 *
 * Late data: when a read's time is up and the broker has not answered, the read ends, and its
 * answer may still bring bytes. They are the stream's next bytes and must not be lost: they go to
 * the oldest read that waits on the handle, or to the handle's stash, from which later reads are
 * served first. So bytes belong to the stream, not to the request that brought them; a read whose
 * own bytes went to an older one is sent again.
 */
#ifndef SLUICE_CLIENT_HANDLES_H
#define SLUICE_CLIENT_HANDLES_H

#include "client/core.h"

#define CLIENT_HANDLE_INDEX_BITS 17u
#define CLIENT_HANDLES_MAX       (1u << CLIENT_HANDLE_INDEX_BITS)

struct client_entry {
    uint64_t broker; /* the broker's number */
    uint32_t can;
    bool is_closing;
    char *address; /* NULL = none */
    size_t address_size;
    sl_list reads; /* client_operation.read_link: queued or sent, oldest first */
    uint8_t *stash;
    size_t stash_size; /* allocated */
    size_t stash_begin;
    size_t stash_end;
};

/* SLUICE_OK, ENOMEM, EQUOTA: then nothing was taken, and the broker's handle is to be closed. */
int client_handles_open(client_core *core, const sl_opened_handle *opened, uint64_t *ret_handle);
/* SLUICE_OK; ESTALE, EBADHANDLE. */
int client_handles_find(client_core *core, uint64_t handle, client_entry **ret_entry,
                        sl_reason *ret_reason);
void client_handles_close(client_core *core, client_entry *entry);
/* The connection is over: all of them. */
void client_handles_close_all(client_core *core);

/* Bytes for a read that is on the wire; detached or not. SLUICE_OK, ENOMEM. */
int client_handles_take(client_core *core, client_operation *op, const uint8_t *bytes,
                        size_t count);
/* Serves a read from the stash as far as that goes. true: nothing more is needed. */
bool client_handles_serve(client_core *core, client_operation *op);

/* Has a read what it asked for? */
bool client_handles_is_served(const client_operation *op);

#endif
