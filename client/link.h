/*
 * link.h - one connection to the broker: bytes in, bytes out.
 *
 * A link owns its buffers and lives until the engine has closed its handle, so that a connection
 * that does not let go stands in nobody's way. At most one read and one write are with the engine.
 */
#ifndef SLUICE_CLIENT_LINK_H
#define SLUICE_CLIENT_LINK_H

#include "base/list.h"
#include "engine/engine.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/message.h"

struct client_core;

/* A write takes this much at most: a fragment, its header, and small frames before it. */
#define CLIENT_LINK_OUT_BYTES (64u * 1024 + 16u * 1024)
/* The largest frame. */
#define CLIENT_LINK_IN_BYTES (SL_FRAME_HEADER_BYTES + 128u * 1024)

typedef struct client_link {
    struct client_core *core;
    sl_list link; /* in core->old_links */
    engine_handle *handle;
    engine_request_id connect_id;
    bool is_connecting;
    bool is_reading;
    bool is_writing;
    bool is_given_up;   /* closed, or to be closed as soon as it has connected */
    uint64_t broken_ns; /* when a write failed: nothing is sent any more; 0 = none has */
    uint32_t broken_os_error;
    sl_frame_limits frame_limits;
    size_t in_begin; /* received bytes that are not handled */
    size_t in_end;
    uint8_t in[CLIENT_LINK_IN_BYTES];
    uint8_t out[CLIENT_LINK_OUT_BYTES];
} client_link;

/* Starts to connect, until it is given up. SLUICE_OK: client_connect_done will be called. */
int client_link_create(struct client_core *core, const char *endpoint, client_link **ret_link);

/* It has connected: read from now on. SLUICE_OK, or a status of the engine. */
int client_link_begin(client_link *link);

/* Sends what is due, if nothing is being sent. */
void client_link_pump(client_link *link);

/* Closes it. It frees itself when the engine has let go. */
void client_link_give_up(client_link *link);

/* A completion whose user is this link. */
void client_link_on_completion(client_link *link, const engine_completion *completion);

#endif
