/*
 * link.c - see link.h. What the bytes mean is decided in receive.c and send.c, what the end of a
 * connection means in connect.c.
 */
#include "client/link.h"

#include <string.h>

#include "base/failpoint.h"
#include "client/core.h"

static void destroy(client_link *link) {
    sl_list_remove(&link->link);
    sl_account_free(link->core->account, link, sizeof(*link));
}

/* Without a deadline for the engine, which does not know when this process was stopped: connect.c
 * gives the link up. */
int client_link_create(client_core *core, const char *endpoint, client_link **ret_link) {
    engine_address address;
    int status = SL_FAILPOINT(client, connect);
    if (status == SLUICE_OK) {
        status = engine_address_endpoint(&address, endpoint);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    client_link *link = sl_account_alloc(core->account, sizeof(*link));
    if (link == NULL) {
        return SLUICE_ENOMEM;
    }
    link->core = core;
    sl_list_init(&link->link);
    link->frame_limits.control_bytes = 64 * 1024;
    link->frame_limits.payload_bytes = 64 * 1024;
    status = engine_connect(core->worker, &address, SL_CLOCK_NEVER, NULL, link, &link->connect_id);
    if (status != SLUICE_OK) {
        destroy(link);
        return status;
    }
    link->is_connecting = true;
    *ret_link = link;
    return SLUICE_OK;
}

static int receive_more(client_link *link) {
    if (link->in_begin == link->in_end) {
        link->in_begin = link->in_end = 0;
    }
    int status = engine_read(link->handle, link->in + link->in_end,
                             CLIENT_LINK_IN_BYTES - link->in_end, link, NULL);
    link->is_reading = status == SLUICE_OK;
    return status;
}

int client_link_begin(client_link *link) {
    return receive_more(link);
}

void client_link_pump(client_link *link) {
    if (link->is_writing || link->is_given_up || link->handle == NULL || link->broken_ns != 0) {
        return;
    }
    size_t length = client_send_fill(link->core, link->out, sizeof(link->out));
    if (length == 0) {
        return;
    }
    engine_buffer buffer = {link->out, length};
    SL_FAILPOINT_PASS(client, send);
    int status = engine_write(link->handle, &buffer, 1, link, NULL);
    if (status != SLUICE_OK) {
        client_connect_lost(link->core, status, 0);
        return;
    }
    link->is_writing = true;
}

void client_link_give_up(client_link *link) {
    link->is_given_up = true;
    sl_list_push_back(&link->core->old_links, &link->link);
    if (link->is_connecting) {
        engine_cancel(link->core->worker, link->connect_id);
    } else if (link->handle != NULL) {
        (void)engine_close(link->handle, link);
    } else {
        destroy(link);
    }
}

static void on_connected(client_link *link, const engine_completion *completion) {
    link->is_connecting = false;
    if (!link->is_given_up) {
        client_connect_done(link->core, link, completion);
    } else if (completion->status == SLUICE_OK) {
        link->handle = completion->opened[0];
        (void)engine_close(link->handle, link);
    } else {
        destroy(link);
    }
}

/* Handles the frames that are complete. SLUICE_OK, or why the connection is to end. */
static int receive_frames(client_link *link) {
    for (;;) {
        sl_frame frame;
        size_t needed = 0;
        size_t count = link->in_end - link->in_begin;
        sl_reason reason;
        reason.text[0] = '\0';
        sl_frame_result result = sl_frame_parse(link->in + link->in_begin, count,
                                                &link->frame_limits, &frame, &needed, &reason);
        if (result == SL_FRAME_VIOLATION) {
            client_connect_explain(link->core, reason.text);
            return SLUICE_EPROTOCOL;
        }
        if (result == SL_FRAME_INCOMPLETE) {
            if (link->in_begin + needed > CLIENT_LINK_IN_BYTES) {
                memmove(link->in, link->in + link->in_begin, count);
                link->in_begin = 0;
                link->in_end = count;
            }
            return SLUICE_OK;
        }
        link->in_begin += frame.length;
        client_watch_heard(link->core);
        int status = client_receive_frame(link->core, &frame);
        if (status != SLUICE_OK || link->is_given_up) {
            return status;
        }
    }
}

static void on_read(client_link *link, const engine_completion *completion) {
    link->is_reading = false;
    if (link->is_given_up) {
        return;
    }
    int status = completion->status;
    uint32_t os_error = completion->os_error;
    if (status == SLUICE_OK) {
        link->in_end += completion->bytes;
        status = receive_frames(link);
        if (status == SLUICE_OK && !link->is_given_up) {
            status = receive_more(link);
        }
    } else {
        status = SLUICE_EBROKERLOST;
    }
    if (status != SLUICE_OK && !link->is_given_up) {
        client_connect_lost(link->core, status, os_error);
    }
}

void client_link_on_completion(client_link *link, const engine_completion *completion) {
    switch (completion->kind) {
    case ENGINE_CONNECT: on_connected(link, completion); break;
    case ENGINE_READ: on_read(link, completion); break;
    case ENGINE_WRITE:
        link->is_writing = false;
        /* A failed write is not the end yet: what the broker said before it went may still be
         * read, a Goodbye for example. The read ends the connection, or else watch.c. */
        if (completion->status != SLUICE_OK) {
            link->broken_ns = link->core->now_ns;
            link->broken_os_error = completion->os_error;
        }
        break;
    default:
        SL_CHECK(completion->kind == ENGINE_CLOSE, "a link knows its completions");
        destroy(link);
        break;
    }
}
