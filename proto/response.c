/*
 * response.c - responses and events: off the wire with the checks a client makes, and onto it.
 *
 * Nothing that a broker of a later version may add is an error here: unknown kinds of body and
 * event, unknown statuses and states pass as they are.
 */
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "proto/flat.h"
#include "proto/message.h"
#include "proto/sluice.pb-c.h"
#include "proto/wire.h"

#define SAME_NUMBER(ours, theirs) \
    _Static_assert((int)(ours) == (int)(theirs), #ours ": the number of sluice.proto")
SAME_NUMBER(SL_RESPONSE_PLAIN, SLUICE__RESPONSE__BODY__NOT_SET);
SAME_NUMBER(SL_RESPONSE_OPENED, SLUICE__RESPONSE__BODY_OPENED);
SAME_NUMBER(SL_RESPONSE_EVENT, SLUICE__RESPONSE__BODY_EVENT);
SAME_NUMBER(SL_RESPONSE_DATA, SLUICE__RESPONSE__BODY_DATA);
SAME_NUMBER(SL_STREAM_READING, SLUICE__STREAM_DIRECTION__STREAM_DIRECTION_READ);
SAME_NUMBER(SL_STREAM_WRITING, SLUICE__STREAM_DIRECTION__STREAM_DIRECTION_WRITE);
SAME_NUMBER(SL_RESPONSE_HELLO, SLUICE__RESPONSE__BODY_HELLO);
SAME_NUMBER(SL_RESPONSE_STATUS, SLUICE__RESPONSE__BODY_STATUS_REPLY);
SAME_NUMBER(SL_RESPONSE_OPS, SLUICE__RESPONSE__BODY_OPS);
SAME_NUMBER(SL_EVENT_DRAINING, SLUICE__EVENT__KIND_DRAINING);
SAME_NUMBER(SL_EVENT_GOODBYE, SLUICE__EVENT__KIND_GOODBYE);
SAME_NUMBER(SL_OPERATION_QUEUED, SLUICE__OPERATION_STATE__OPERATION_STATE_QUEUED);
SAME_NUMBER(SL_OPERATION_STARTED, SLUICE__OPERATION_STATE__OPERATION_STATE_STARTED);
SAME_NUMBER(SL_OPERATION_CANCELLING, SLUICE__OPERATION_STATE__OPERATION_STATE_CANCELLING);
SAME_NUMBER(SL_OPERATION_ZOMBIE, SLUICE__OPERATION_STATE__OPERATION_STATE_ZOMBIE);

int sl_message_arena_init(sl_arena *arena, sl_account *account) {
    return sl_arena_init(arena, account, SL_MESSAGE_ARENA_BYTES, SL_MESSAGE_ARENA_ALLOCATIONS);
}

const char *sl_operation_state_name(sl_operation_state state) {
    switch (state) {
    case SL_OPERATION_QUEUED: return "queued";
    case SL_OPERATION_STARTED: return "started";
    case SL_OPERATION_CANCELLING: return "cancelling";
    case SL_OPERATION_ZOMBIE: return "zombie";
    case SL_OPERATION_UNSPECIFIED: break;
    }
    return "unknown";
}

/* ---- off the wire ---- */

static int violation(sl_reason *reason, const char *where, const char *what) {
    return sl_reason_set(reason, SLUICE_EPROTOCOL, where, what);
}

static int take_opened(const Sluice__Opened *from, sl_response *to, sl_reason *reason) {
    if (from->n_handles < 1 || from->n_handles > SL_OPENED_MAX) {
        return sl_reason_range(reason, SLUICE_EPROTOCOL, "Response.opened: handles",
                               from->n_handles, 1, SL_OPENED_MAX);
    }
    to->as.opened.count = (uint32_t)from->n_handles;
    for (size_t i = 0; i < from->n_handles; i++) {
        const Sluice__OpenedHandle *handle = from->handles[i];
        if (handle->handle == 0) {
            return violation(reason, "Response.opened.handles.handle", "0 is no handle");
        }
        to->as.opened.handles[i] =
            (sl_opened_handle){handle->handle, handle->can, handle->local_address};
    }
    return SLUICE_OK;
}

static int take_hello(const Sluice__HelloReply *from, sl_response *to, sl_reason *reason) {
    sl_hello_reply *hello = &to->as.hello;
    *hello = (sl_hello_reply){
        .version = from->version,
        .version_min = from->version_min,
        .version_max = from->version_max,
        .session_id = from->session_id,
        .epoch = from->epoch,
        .broker_version = from->broker_version,
        .engine_name = from->engine_name,
        .close_grace_ns = from->close_grace_ns,
        .ping_interval_ns = from->ping_interval_ns,
        .unresponsive_ns = from->unresponsive_ns,
    };
    if (from->limits != NULL) {
        hello->limits = sl_wire_take_limits(from->limits);
    }
    if (to->status != SLUICE_OK) {
        return SLUICE_OK; /* no session: only the versions mean something */
    }
    if (hello->version == 0 || hello->session_id == 0 || hello->epoch == 0) {
        return violation(reason, "Response.hello", "version, session_id or epoch is missing");
    }
    if (hello->ping_interval_ns == 0 || hello->unresponsive_ns <= hello->ping_interval_ns) {
        return violation(reason, "Response.hello", "ping_interval_ns and unresponsive_ns disagree");
    }
    return sl_session_limits_check(&hello->limits, reason);
}

static void take_status(const Sluice__StatusReply *from, sl_response *to) {
    to->as.status = (sl_status_reply){
        .broker_version = from->broker_version,
        .engine_name = from->engine_name,
        .process_id = from->process_id,
        .uptime_ns = from->uptime_ns,
        .workers = from->workers,
        .sessions = from->sessions,
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
        .draining = from->draining != 0,
        .user = from->user,
        .user_zombies = from->user_zombies,
        .sees_all = from->sees_all != 0,
        .opens_given_up = from->opens_given_up,
        .user_opens_given_up = from->user_opens_given_up,
    };
}

static sl_ops_row take_row(const Sluice__OpsRow *from) {
    return (sl_ops_row){
        .session_id = from->session_id,
        .client_name = from->client_name,
        .process_id = from->process_id,
        .operation_id = from->operation_id,
        .handle = from->handle,
        .kind = (sl_request_kind)from->kind,
        .state = (sl_operation_state)from->state,
        .age_ns = from->age_ns,
        .remaining_ns = from->remaining_ns,
        .length_bytes = from->length_bytes,
        .done_bytes = from->done_bytes,
        .worker = from->worker,
        .stuck = from->stuck != 0,
        .user = from->user,
    };
}

static int take_ops(const Sluice__OpsReply *from, sl_arena *arena, sl_response *to,
                    sl_reason *reason) {
    if (from->n_rows > SL_OPS_ROWS_MAX) {
        return sl_reason_range(reason, SLUICE_EPROTOCOL, "Response.ops: rows", from->n_rows, 0,
                               SL_OPS_ROWS_MAX);
    }
    sl_ops_row *rows = sl_arena_alloc(arena, (from->n_rows + 1) * sizeof(*rows));
    if (rows == NULL) {
        return violation(reason, "Response.ops", "needs more memory than a message may");
    }
    for (size_t i = 0; i < from->n_rows; i++) {
        rows[i] = take_row(from->rows[i]);
    }
    to->as.ops.rows = rows;
    to->as.ops.count = (uint32_t)from->n_rows;
    to->as.ops.next_cursor = from->next_cursor;
    return SLUICE_OK;
}

static int take_event(const Sluice__Event *from, sl_response *to, sl_reason *reason) {
    to->as.event = (sl_event_message){.kind = (sl_event_kind)from->kind_case, .detail = ""};
    if (to->id != 0) {
        return violation(reason, "Response.event", "an event has no id");
    }
    if (from->kind_case == SLUICE__EVENT__KIND_DRAINING) {
        to->as.event.grace_ns = from->draining->grace_ns;
    } else if (from->kind_case == SLUICE__EVENT__KIND_GOODBYE) {
        to->as.event.status = from->goodbye->status;
        to->as.event.detail = from->goodbye->detail;
        if (from->goodbye->status > 0) {
            return violation(reason, "Response.event.goodbye.status", "is above 0");
        }
    }
    return SLUICE_OK;
}

int sl_response_check_data(const sl_response *response, sl_reason *reason) {
    if (response->id != 0 || response->status != SLUICE_OK || response->os_error != 0 ||
        response->done != 0 || response->in_doubt != 0 || response->more) {
        return violation(reason, "Response.data", "together with an id or an outcome");
    }
    if (response->as.data.handle == 0) {
        return violation(reason, "Response.data.handle", "0 is no handle");
    }
    if (response->as.data.data.status > 0) {
        return violation(reason, "Response.data.status", "is above 0");
    }
    return SLUICE_OK;
}

static int take_data(const Sluice__Data *from, uint32_t payload_length, sl_response *to,
                     sl_reason *reason) {
    to->as.data.handle = from->handle;
    to->as.data.data = (sl_stream_data){.at = from->at,
                                        .length = payload_length,
                                        .status = from->status,
                                        .os_error = from->os_error,
                                        .stopped = from->stopped != 0};
    return sl_response_check_data(to, reason);
}

int sl_response_check(const sl_response *response, uint32_t payload_length, sl_reason *reason) {
    if (response->status > 0) {
        return violation(reason, "Response.status", "is above 0");
    }
    if (response->more) {
        if (response->id == 0 || payload_length == 0) {
            return violation(reason, "Response.more", "without an id or without payload");
        }
        if (response->status != SLUICE_OK || response->done != 0 ||
            response->kind != SL_RESPONSE_PLAIN) {
            return violation(reason, "Response.more", "together with an outcome");
        }
    } else if (response->id != 0 && payload_length > response->done) {
        return sl_reason_range(reason, SLUICE_EPROTOCOL, "Response: payload length", payload_length,
                               0, response->done);
    }
    return SLUICE_OK;
}

int sl_response_decode_general(const uint8_t *control, size_t control_length,
                               uint32_t payload_length, sl_arena *arena, sl_response *ret_response,
                               sl_reason *ret_reason) {
    ProtobufCMessage *message = NULL;
    if (sl_wire_unpack(&sluice__response__descriptor, control, control_length, arena, &message,
                       ret_reason) != SLUICE_OK) {
        return SLUICE_EPROTOCOL;
    }
    const Sluice__Response *from = (const Sluice__Response *)message;
    sl_response response = {
        .id = from->id,
        .status = from->status,
        .os_error = from->os_error,
        .done = from->done,
        .in_doubt = from->in_doubt,
        .more = from->more != 0,
        .detail = from->detail,
        .kind = (sl_response_kind)from->body_case,
    };
    int status = sl_response_check(&response, payload_length, ret_reason);
    if (status == SLUICE_OK) {
        switch (response.kind) {
        case SL_RESPONSE_PLAIN: break;
        case SL_RESPONSE_OPENED: status = take_opened(from->opened, &response, ret_reason); break;
        case SL_RESPONSE_EVENT: status = take_event(from->event, &response, ret_reason); break;
        case SL_RESPONSE_DATA:
            status = take_data(from->data, payload_length, &response, ret_reason);
            break;
        case SL_RESPONSE_HELLO: status = take_hello(from->hello, &response, ret_reason); break;
        case SL_RESPONSE_STATUS: take_status(from->status_reply, &response); break;
        case SL_RESPONSE_OPS: status = take_ops(from->ops, arena, &response, ret_reason); break;
        }
    }
    if (status == SLUICE_OK) {
        *ret_response = response;
    }
    return status;
}

/* ---- onto the wire ---- */

/* The generated structures of any one response, on the encoder's stack. */
typedef struct wire_response {
    Sluice__Response response;
    union {
        struct {
            Sluice__Opened opened;
            Sluice__OpenedHandle handles[SL_OPENED_MAX];
            Sluice__OpenedHandle *pointers[SL_OPENED_MAX];
        } opened;
        struct {
            Sluice__Event event;
            Sluice__Draining draining;
            Sluice__Goodbye goodbye;
        } event;
        struct {
            Sluice__HelloReply hello;
            Sluice__Limits limits;
        } hello;
        Sluice__StatusReply status;
        Sluice__Data data;
        struct {
            Sluice__OpsReply ops;
            Sluice__OpsRow rows[SL_OPS_ROWS_MAX];
            Sluice__OpsRow *pointers[SL_OPS_ROWS_MAX];
        } ops;
    } as;
} wire_response;

/* Text for a generated structure, which only reads it; false when it is longer than it may be. */
static bool put_text(const char *from, size_t max_bytes, char **to) {
    if (from == NULL) {
        return true; /* init has put the empty text there */
    }
    *to = (char *)(uintptr_t)from;
    return strlen(from) <= max_bytes;
}

static bool put_opened(const sl_response *from, wire_response *to) {
    Sluice__Opened *opened = &to->as.opened.opened;
    sluice__opened__init(opened);
    to->response.opened = opened;
    if (from->as.opened.count > SL_OPENED_MAX) {
        return false;
    }
    opened->handles = to->as.opened.pointers;
    opened->n_handles = from->as.opened.count;
    for (uint32_t i = 0; i < from->as.opened.count; i++) {
        const sl_opened_handle *handle = &from->as.opened.handles[i];
        Sluice__OpenedHandle *wire = &to->as.opened.handles[i];
        sluice__opened_handle__init(wire);
        wire->handle = handle->handle;
        wire->can = handle->can;
        if (!put_text(handle->local_address, SL_LOCAL_ADDRESS_BYTES, &wire->local_address)) {
            return false;
        }
        to->as.opened.pointers[i] = wire;
    }
    return true;
}

static bool put_event(const sl_response *from, wire_response *to) {
    const sl_event_message *event = &from->as.event;
    Sluice__Event *wire = &to->as.event.event;
    sluice__event__init(wire);
    to->response.event = wire;
    wire->kind_case = (Sluice__Event__KindCase)event->kind;
    if (event->kind == SL_EVENT_DRAINING) {
        sluice__draining__init(&to->as.event.draining);
        to->as.event.draining.grace_ns = event->grace_ns;
        wire->draining = &to->as.event.draining;
        return true;
    }
    sluice__goodbye__init(&to->as.event.goodbye);
    to->as.event.goodbye.status = event->status;
    wire->goodbye = &to->as.event.goodbye;
    return event->kind == SL_EVENT_GOODBYE &&
           put_text(event->detail, SL_DETAIL_BYTES, &to->as.event.goodbye.detail);
}

static bool put_hello(const sl_response *from, wire_response *to) {
    const sl_hello_reply *hello = &from->as.hello;
    Sluice__HelloReply *wire = &to->as.hello.hello;
    sluice__hello_reply__init(wire);
    to->response.hello = wire;
    wire->version = hello->version;
    wire->version_min = hello->version_min;
    wire->version_max = hello->version_max;
    wire->session_id = hello->session_id;
    wire->epoch = hello->epoch;
    wire->close_grace_ns = hello->close_grace_ns;
    wire->ping_interval_ns = hello->ping_interval_ns;
    wire->unresponsive_ns = hello->unresponsive_ns;
    sl_wire_put_limits(&hello->limits, &to->as.hello.limits);
    wire->limits = &to->as.hello.limits;
    return put_text(hello->broker_version, SL_VERSION_BYTES, &wire->broker_version) &&
           put_text(hello->engine_name, SL_VERSION_BYTES, &wire->engine_name);
}

static bool put_status(const sl_response *from, wire_response *to) {
    const sl_status_reply *status = &from->as.status;
    Sluice__StatusReply *wire = &to->as.status;
    sluice__status_reply__init(wire);
    to->response.status_reply = wire;
    wire->process_id = status->process_id;
    wire->uptime_ns = status->uptime_ns;
    wire->workers = status->workers;
    wire->sessions = status->sessions;
    wire->handles = status->handles;
    wire->operations = status->operations;
    wire->zombies = status->zombies;
    wire->memory_bytes = status->memory_bytes;
    wire->operations_started = status->operations_started;
    wire->operations_finished = status->operations_finished;
    wire->cancels = status->cancels;
    wire->sessions_started = status->sessions_started;
    wire->protocol_violations = status->protocol_violations;
    wire->stray_packets = status->stray_packets;
    wire->draining = status->draining;
    wire->user_zombies = status->user_zombies;
    wire->sees_all = status->sees_all;
    wire->opens_given_up = status->opens_given_up;
    wire->user_opens_given_up = status->user_opens_given_up;
    return put_text(status->user, SL_USER_BYTES, &wire->user) &&
           put_text(status->broker_version, SL_VERSION_BYTES, &wire->broker_version) &&
           put_text(status->engine_name, SL_VERSION_BYTES, &wire->engine_name);
}

static bool put_row(const sl_ops_row *from, Sluice__OpsRow *to) {
    sluice__ops_row__init(to);
    to->session_id = from->session_id;
    to->process_id = from->process_id;
    to->operation_id = from->operation_id;
    to->handle = from->handle;
    to->kind = (uint32_t)from->kind;
    to->state = (Sluice__OperationState)from->state;
    to->age_ns = from->age_ns;
    to->remaining_ns = from->remaining_ns;
    to->length_bytes = from->length_bytes;
    to->done_bytes = from->done_bytes;
    to->worker = from->worker;
    to->stuck = from->stuck;
    return put_text(from->client_name, SL_CLIENT_NAME_BYTES, &to->client_name) &&
           put_text(from->user, SL_USER_BYTES, &to->user);
}

static bool put_ops(const sl_response *from, wire_response *to) {
    Sluice__OpsReply *ops = &to->as.ops.ops;
    sluice__ops_reply__init(ops);
    to->response.ops = ops;
    if (from->as.ops.count > SL_OPS_ROWS_MAX) {
        return false;
    }
    ops->next_cursor = from->as.ops.next_cursor;
    ops->rows = to->as.ops.pointers;
    ops->n_rows = from->as.ops.count;
    for (uint32_t i = 0; i < from->as.ops.count; i++) {
        to->as.ops.pointers[i] = &to->as.ops.rows[i];
        if (!put_row(&from->as.ops.rows[i], &to->as.ops.rows[i])) {
            return false;
        }
    }
    return true;
}

static bool put_data(const sl_response *from, wire_response *to) {
    const sl_stream_data *data = &from->as.data.data;
    Sluice__Data *wire = &to->as.data;
    sluice__data__init(wire);
    to->response.data = wire;
    wire->handle = from->as.data.handle;
    wire->at = data->at;
    wire->status = data->status;
    wire->os_error = data->os_error;
    wire->stopped = data->stopped;
    return true;
}

static bool put_body(const sl_response *from, wire_response *to) {
    switch (from->kind) {
    case SL_RESPONSE_PLAIN: return true;
    case SL_RESPONSE_OPENED: return put_opened(from, to);
    case SL_RESPONSE_EVENT: return put_event(from, to);
    case SL_RESPONSE_DATA: return put_data(from, to);
    case SL_RESPONSE_HELLO: return put_hello(from, to);
    case SL_RESPONSE_STATUS: return put_status(from, to);
    case SL_RESPONSE_OPS: return put_ops(from, to);
    }
    return false;
}

int sl_response_encode_general(const sl_response *response, uint32_t payload_length,
                               uint8_t *buffer, size_t size, size_t *ret_length) {
    wire_response wire;
    sluice__response__init(&wire.response);
    wire.response.id = response->id;
    wire.response.status = response->status;
    wire.response.os_error = response->os_error;
    wire.response.done = response->done;
    wire.response.in_doubt = response->in_doubt;
    wire.response.more = response->more;
    wire.response.body_case = (Sluice__Response__BodyCase)response->kind;
    if (!put_text(response->detail, SL_DETAIL_BYTES, &wire.response.detail) ||
        !put_body(response, &wire)) {
        return SLUICE_EINVAL;
    }
    return sl_wire_pack(&wire.response.base, payload_length, buffer, size, ret_length);
}
