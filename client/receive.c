/*
 * receive.c - one frame from the broker: which operation it is about, and what it says.
 *
 * The broker is trusted to be the broker, not to be free of faults: what breaks the protocol ends
 * the connection (EPROTOCOL), and nothing it says makes the library touch memory it should not.
 */
#include <string.h>

#include "base/failpoint.h"
#include "client/core.h"
#include "client/detail.h"
#include "client/handles.h"

/* What the broker says makes no sense. Returns the status. */
static int violate(client_core *core, const char *where, const char *what) {
    sl_reason reason;
    int status = sl_reason_set(&reason, SLUICE_EPROTOCOL, where, what);
    client_connect_explain(core, reason.text);
    return status;
}

static int on_event(client_core *core, const sl_response *response) {
    if (response->kind == SL_RESPONSE_EVENT && response->as.event.kind == SL_EVENT_GOODBYE) {
        client_connect_explain(core, response->as.event.detail);
        bool is_ours = core->phase == CLIENT_READY || core->phase == CLIENT_GREETING;
        if (is_ours && response->as.event.status == SLUICE_EPROTOCOL) {
            return SLUICE_EPROTOCOL;
        }
        int32_t status = response->as.event.status;
        if (core->phase == CLIENT_GREETING &&
            (status == SLUICE_EACCESS || status == SLUICE_EQUOTA || status == SLUICE_ESHUTDOWN)) {
            return status; /* not for this user, no room for one session more, or stopping */
        }
        return SLUICE_EBROKERLOST;
    }
    return SLUICE_OK; /* draining: new requests are refused one by one */
}

/* ---- handles --------------------------------------------------------------------------------- */

static int close_all_late(client_core *core, const sl_response *response, uint32_t from) {
    for (uint32_t i = from; i < response->as.opened.count; i++) {
        int status = client_core_close_late(core, response->as.opened.handles[i].handle);
        if (status != SLUICE_OK) {
            return status; /* ending the connection closes them, too */
        }
    }
    return SLUICE_OK;
}

/* There is no memory for a handle: the call fails, and opens nothing. */
static int close_opened(client_core *core, client_operation *op, const sl_response *response) {
    for (uint32_t i = 0; i < op->result.handle_count; i++) {
        client_entry *entry;
        if (client_handles_find(core, op->result.handles[i], &entry, NULL) == SLUICE_OK) {
            client_handles_close(core, entry);
        }
        op->result.handles[i] = 0;
        op->result.can[i] = 0;
    }
    op->result.handle_count = 0;
    return close_all_late(core, response, 0);
}

static int on_opened(client_core *core, client_operation *op, const sl_response *response,
                     int *ret_status) {
    uint32_t expected = op->request.kind == SL_REQUEST_PAIR ? 2 : 1;
    if (response->kind != SL_RESPONSE_OPENED || response->as.opened.count != expected) {
        return violate(core, "Response.opened", "is not what was asked for");
    }
    if (op->is_detached) {
        return close_all_late(core, response, 0);
    }
    for (uint32_t i = 0; i < expected; i++) {
        const sl_opened_handle *opened = &response->as.opened.handles[i];
        int status = client_handles_open(core, opened, &op->result.handles[i]);
        if (status != SLUICE_OK) {
            *ret_status = status;
            return close_opened(core, op, response);
        }
        op->result.can[i] = opened->can;
        op->result.handle_count = i + 1;
    }
    return SLUICE_OK;
}

/* ---- looking inside -------------------------------------------------------------------------- */

static int on_status(client_core *core, client_operation *op, const sl_response *response) {
    if (response->kind != SL_RESPONSE_STATUS) {
        return violate(core, "Response.status", "is missing");
    }
    const sl_status_reply *from = &response->as.status;
    sluice_broker_info info = {
        .size = op->in_size,
        .workers = from->workers,
        .sessions = from->sessions,
        .draining = from->draining,
        .process_id = from->process_id,
        .uptime_ns = from->uptime_ns,
        .handles = from->handles,
        .operations = from->operations,
        .zombies = from->zombies,
        .memory_bytes = from->memory_bytes,
        .operations_started = from->operations_started,
        .operations_finished = from->operations_finished,
        .cancels = from->cancels,
        .sessions_started = from->sessions_started,
        .protocol_violations = from->protocol_violations,
        .stray_packets = from->stray_packets,
        .user_zombies = from->user_zombies,
        .sees_all = from->sees_all,
        .opens_given_up = from->opens_given_up,
        .user_opens_given_up = from->user_opens_given_up,
    };
    client_text_copy(info.user, sizeof(info.user), from->user);
    client_text_copy(info.broker_version, sizeof(info.broker_version), from->broker_version);
    client_text_copy(info.engine_name, sizeof(info.engine_name), from->engine_name);
    if (!op->is_detached) {
        memcpy(op->in, &info, op->in_size < sizeof(info) ? op->in_size : sizeof(info));
    }
    return SLUICE_OK;
}

static void copy_row(const sl_ops_row *from, void *to, size_t size) {
    sluice_ops_row row = {
        .session_id = from->session_id,
        .process_id = from->process_id,
        .operation_id = from->operation_id,
        .handle = from->handle,
        .age_ns = from->age_ns,
        .remaining_ns = from->remaining_ns,
        .length_bytes = from->length_bytes,
        .done_bytes = from->done_bytes,
        .worker = from->worker,
        .state = (uint32_t)from->state,
        .stuck = from->stuck,
        .kind = (uint32_t)from->kind,
    };
    client_text_copy(row.kind_name, sizeof(row.kind_name), sl_request_kind_name(from->kind));
    client_text_copy(row.client_name, sizeof(row.client_name), from->client_name);
    client_text_copy(row.user, sizeof(row.user), from->user);
    memset(to, 0, size);
    memcpy(to, &row, size < sizeof(row) ? size : sizeof(row));
}

static int on_ops(client_core *core, client_operation *op, const sl_response *response) {
    if (response->kind != SL_RESPONSE_OPS || response->as.ops.count > op->in_size) {
        return violate(core, "Response.ops", "is missing, or has more rows than were asked for");
    }
    if (op->is_detached) {
        return SLUICE_OK;
    }
    for (uint32_t i = 0; i < response->as.ops.count; i++) {
        copy_row(&response->as.ops.rows[i], (uint8_t *)op->in + (size_t)i * op->row_size,
                 op->row_size);
    }
    op->row_count = response->as.ops.count;
    op->cursor = response->as.ops.next_cursor;
    return SLUICE_OK;
}

/* ---- replies --------------------------------------------------------------------------------- */

/* Bytes of a read. Never more than were asked for. */
static int on_payload(client_core *core, client_operation *op, const sl_frame *frame) {
    if (frame->payload_length == 0) {
        return SLUICE_OK;
    }
    if (!client_operation_is_read(op) || frame->payload_length > op->wire_max - op->wire_received) {
        return violate(core, "frame payload", "has more bytes than were asked for");
    }
    op->wire_received += frame->payload_length;
    return client_handles_take(core, op, frame->payload, frame->payload_length);
}

/* What a reply says, or whose trouble it is. */
static const char *find_detail(const sl_response *response, int status) {
    if (response->detail != NULL && response->detail[0] != '\0') {
        return response->detail;
    }
    switch (status) {
    case SLUICE_ENOMEM: return "the broker has no memory for it";
    case SLUICE_EOSLIMIT:
        return "the system gives the broker no more descriptors, ports or buffers";
    case SLUICE_EOS: return "the system refused the broker; os_error says what";
    default: return NULL;
    }
}

static void end_as_told(client_core *core, client_operation *op, int status,
                        const sl_response *response) {
    if (status != SLUICE_OK) {
        client_core_explain(op, find_detail(response, status));
    }
    client_core_end(core, op, status, response->os_error);
}

/* How a read ends whose bytes may have come from elsewhere, and gone elsewhere. */
static void end_read(client_core *core, client_operation *op, const sl_response *response) {
    bool is_served = client_handles_is_served(op);
    bool is_missing = (response->status == SLUICE_OK && op->wire_received != 0) ||
                      (response->status == SLUICE_ECANCELED && op->is_recalled);
    if (op->is_detached || (op->in_size != 0 && is_served)) {
        client_core_end(core, op, SLUICE_OK, 0);
    } else if (is_served || !is_missing) {
        end_as_told(core, op, response->status, response);
    } else if (atomic_load(&op->cancel_posted) || op->entry == NULL) {
        client_core_end(core, op, op->entry == NULL ? SLUICE_ECLOSED : SLUICE_ECANCELED, 0);
    } else {
        client_core_resend(core, op);
    }
}

/* What the kind of the request makes of the reply. Not SLUICE_OK: give the connection up. A reply
 * with which nothing can be done changes the operation's status. */
static int on_outcome(client_core *core, client_operation *op, const sl_response *response,
                      int *ret_status) {
    bool is_ok = response->status == SLUICE_OK;
    switch (op->request.kind) {
    case SL_REQUEST_READ:
        return response->done == op->wire_received
                   ? SLUICE_OK
                   : violate(core, "Response.done", "is not what the read has brought");
    case SL_REQUEST_WRITE:
        if (response->done > op->request.as.write.length_bytes ||
            response->in_doubt > op->request.as.write.length_bytes - response->done) {
            return violate(core, "Response.done", "has more bytes than the write");
        }
        if (!op->is_detached) {
            op->result.done = response->done;
            op->result.in_doubt = response->in_doubt;
        }
        return SLUICE_OK;
    case SL_REQUEST_CLOSE:
        if (op->entry != NULL) {
            client_handles_close(core, op->entry);
            op->entry = NULL;
        }
        return SLUICE_OK;
    case SL_REQUEST_STATUS: return is_ok ? on_status(core, op, response) : SLUICE_OK;
    case SL_REQUEST_OPS: return is_ok ? on_ops(core, op, response) : SLUICE_OK;
    default:
        return is_ok && client_operation_opens(op) ? on_opened(core, op, response, ret_status)
                                                   : SLUICE_OK;
    }
}

/* The last frame of a reply. */
static int on_reply(client_core *core, client_operation *op, const sl_response *response) {
    if (response->status > 0) {
        return violate(core, "Response.status", "is none");
    }
    op->is_replied = true;
    int outcome = response->status;
    int status = on_outcome(core, op, response, &outcome);
    if (status != SLUICE_OK) {
        op->is_replied = false;
        return status;
    }
    if (client_operation_is_read(op)) {
        end_read(core, op, response);
    } else {
        end_as_told(core, op, outcome, response);
    }
    return SLUICE_OK;
}

int client_receive_frame(client_core *core, const sl_frame *frame) {
    sl_response response;
    sl_reason reason;
    SL_FAILPOINT_PASS(client, receive);
    reason.text[0] = '\0';
    int status = sl_response_decode(frame->control, frame->control_length, frame->payload_length,
                                    &core->arena, &response, &reason);
    if (status != SLUICE_OK) {
        client_connect_explain(core, reason.text);
        return status;
    }
    if (response.id == 0) {
        return on_event(core, &response);
    }
    if (core->phase == CLIENT_GREETING) {
        if (response.id != core->ping_id) {
            return violate(core, "Response.id", "is not that of the Hello");
        }
        core->ping_id = 0;
        client_connect_greeted(core, &response);
        return SLUICE_OK;
    }
    client_operation *op = client_wire_find(core, response.id);
    if (op == NULL) {
        if (response.id != core->ping_id || core->ping_id == 0) {
            return violate(core, "Response.id", "no request has it");
        }
        core->ping_id = 0; /* the watch's own */
        return SLUICE_OK;
    }
    status = on_payload(core, op, frame);
    if (status != SLUICE_OK) {
        return status;
    }
    if (response.more) {
        return client_operation_is_read(op)
                   ? SLUICE_OK
                   : violate(core, "Response.more", "and the request is no read");
    }
    return on_reply(core, op, &response);
}
