/*
 * dispatch.c - one table: a kind of request, the states of a session in which it is allowed, what
 * acts on it. What is not in the table is refused (default deny).
 *
 * A request goes: decode and check (proto) -> allowed now? -> an operation, which is the memory of
 * its answer -> credit -> still accepting work? -> its handler. A handler only looks things up and
 * charges; what it starts is in receive.c, transmit.c, accept.c, open.c, close.c, listing.c.
 */
#include "broker/dispatch.h"

#include <string.h>

#include "base/failpoint.h"
#include "broker/charge.h"
#include "broker/failpoint_request.h"
#include "broker/handle.h"
#include "broker/open.h"
#include "broker/peer.h"
#include "broker/quota.h"
#include "broker/stream/reading.h"
#include "proto/version.h"

/* A request that is being dispatched. */
typedef struct dispatch_input {
    const sl_request *request;
    const sl_frame *frame;
    sl_reason *reason; /* of a violation */
} dispatch_input;

/* What is wrong with a handle. */
static const char *refusal(int status, unsigned can) {
    if (status == SLUICE_EBADHANDLE) {
        return "not one that this session has open";
    }
    if (status == SLUICE_ECLOSED) {
        return "is being closed";
    }
    return (can & ENGINE_CAN_READ) != 0         ? "cannot be read"
           : (can & ENGINE_CAN_WRITE) != 0      ? "cannot be written"
           : (can & ENGINE_CAN_HALF_CLOSE) != 0 ? "cannot be half-closed, only closed"
                                                : "is no listener";
}

/* The open handle that a request names, if it can do that; otherwise the operation has ended. */
static broker_handle *find(broker_op *op, uint64_t id, unsigned can) {
    broker_handle *found = handle_find(op->session, id);
    op->handle_id = id;
    int status = SLUICE_OK;
    if (found == NULL) {
        status = SLUICE_EBADHANDLE;
    } else if (found->state != HANDLE_OPEN) {
        status = SLUICE_ECLOSED;
    } else if ((found->can & can) != can) {
        status = SLUICE_ENOTSUP;
    }
    if (status != SLUICE_OK) {
        sl_reason reason;
        (void)sl_reason_set(&reason, status, "handle", refusal(status, can));
        op_refuse(op, status, &reason);
        return NULL;
    }
    op->handle = found;
    return found;
}

static bool promise(broker_op *op, uint32_t count) {
    sl_reason reason;
    int status = quota_promise_handles(op, count, &reason);
    if (status != SLUICE_OK) {
        op_refuse(op, status, status == SLUICE_EQUOTA ? &reason : NULL);
    }
    return status == SLUICE_OK;
}

/* ---- handles ---- */

static void on_read(broker_op *op, const dispatch_input *in) {
    broker_handle *handle = find(op, in->request->as.read.handle, ENGINE_CAN_READ);
    if (handle != NULL && handle->reading.is_open) {
        sl_reason reason;
        (void)sl_reason_set(&reason, SLUICE_EINVAL, "handle", "is read as a stream");
        op_refuse(op, SLUICE_EINVAL, &reason);
    } else if (handle != NULL) {
        op->length = in->request->as.read.max_bytes;
        op->is_all = in->request->as.read.all;
        op_set_timeout(op, in->request->as.read.timeout_ns);
        handle_read(handle, op);
    }
}

/* Some more of a write's bytes, for which it has room. */
static void take_bytes(broker_op *op, const uint8_t *bytes, uint32_t count) {
    uint8_t *to = op->length > OP_SMALL_BYTES ? op->data->bytes : op->small.bytes;
    SL_CHECK(count <= op->length - op->received, "a write gets no more than it asked for");
    if (count > 0) {
        memcpy(to + op->received, bytes, count);
        op->received += count;
    }
}

/* Those of the frame that are there; the others come by dispatch_piece. */
static void take_payload(broker_op *op, const sl_frame *frame) {
    take_bytes(op, frame->payload, frame->payload_length - frame->payload_missing);
}

static void on_write(broker_op *op, const dispatch_input *in) {
    broker_handle *handle = find(op, in->request->as.write.handle, ENGINE_CAN_WRITE);
    if (handle == NULL) {
        return;
    }
    sl_reason reason = {""};
    op->length = in->request->as.write.length_bytes;
    if (op->length > OP_SMALL_BYTES) {
        int status = chunk_take(op->session, op->length, &op->data, &reason);
        if (status != SLUICE_OK) {
            op_refuse(op, status, status == SLUICE_EQUOTA ? &reason : NULL);
            return;
        }
    }
    take_payload(op, in->frame);
    op_set_timeout(op, in->request->as.write.timeout_ns);
    handle_write(handle, op);
}

static int on_write_data(broker_session *session, const dispatch_input *in) {
    broker_op *op = op_find(session, in->request->id);
    if (op == NULL || op->kind != SL_REQUEST_WRITE || op->state >= OP_ENDED) {
        return SLUICE_OK; /* it was on its way when the write ended */
    }
    if (in->frame->payload_length > op->length - op->received) {
        return sl_reason_set(in->reason, SLUICE_EPROTOCOL, "Request.write_data",
                             "more than length_bytes");
    }
    take_payload(op, in->frame);
    handle_continue_write(op);
    return SLUICE_OK;
}

void dispatch_piece(broker_session *session, uint64_t id, const uint8_t *bytes, uint32_t count) {
    broker_op *op = op_find(session, id);
    if (op != NULL && op->kind == SL_REQUEST_WRITE && op->state < OP_ENDED) {
        take_bytes(op, bytes, count);
        handle_continue_write(op);
    }
}

static void on_half_close(broker_op *op, const dispatch_input *in) {
    broker_handle *handle = find(op, in->request->as.half_close.handle, ENGINE_CAN_HALF_CLOSE);
    if (handle != NULL) {
        op_set_timeout(op, in->request->as.half_close.timeout_ns);
        handle_write(handle, op);
    }
}

static void on_acknowledge_torn(broker_op *op, const dispatch_input *in) {
    broker_handle *handle = find(op, in->request->as.acknowledge_torn.handle, ENGINE_CAN_WRITE);
    if (handle != NULL) {
        handle->is_torn = false;
        op_finish(op, SLUICE_OK, 0);
    }
}

static void on_close(broker_op *op, const dispatch_input *in) {
    broker_handle *handle = find(op, in->request->as.close.handle, 0);
    if (handle != NULL) {
        uint64_t most = worker_limits(op->session->worker)->close_grace_ns;
        quota_keep_close(op, handle);
        uint64_t wish = in->request->as.close.grace_ns;
        handle_close(handle, op, wish != 0 && wish < most ? wish : most, SLUICE_ECLOSED);
    }
}

static void on_accept(broker_op *op, const dispatch_input *in) {
    broker_handle *handle = find(op, in->request->as.accept.listener, ENGINE_CAN_ACCEPT);
    op->reads_ahead = in->request->as.accept.read_ahead;
    if (handle != NULL && promise(op, 1)) {
        op_set_timeout(op, in->request->as.accept.timeout_ns);
        handle_accept(handle, op);
    }
}

static void on_pair(broker_op *op, const dispatch_input *in) {
    op->reads_ahead = in->request->as.pair.read_ahead;
    if (promise(op, 2)) {
        op_set_timeout(op, in->request->as.pair.timeout_ns);
        open_pair(op);
    }
}

static void on_connect(broker_op *op, const dispatch_input *in) {
    op->reads_ahead = in->request->as.connect.read_ahead;
    if (promise(op, 1)) {
        op_set_timeout(op, in->request->as.connect.timeout_ns);
        open_connect(op, in->request->as.connect.address);
    }
}

static void on_listen(broker_op *op, const dispatch_input *in) {
    if (promise(op, 1)) {
        op_set_timeout(op, in->request->as.listen.timeout_ns);
        open_listen(op, in->request->as.listen.address, in->request->as.listen.backlog);
    }
}

/* ---- streams ---- */

/* What a message that stands names: a handle that the client has and can read. Anything else it
 * knows better. */
static broker_handle *find_stream(broker_session *session, uint64_t id, const dispatch_input *in,
                                  const char *where) {
    broker_handle *found = handle_find(session, id);
    if (found == NULL || found->state != HANDLE_OPEN) {
        (void)sl_reason_value(in->reason, SLUICE_EPROTOCOL, where,
                              "not one that this session has open", id);
        return NULL;
    }
    if ((found->can & ENGINE_CAN_READ) == 0) {
        (void)sl_reason_value(in->reason, SLUICE_EPROTOCOL, where, "cannot be read", id);
        return NULL;
    }
    session->has_streams = true;
    return found;
}

static int on_stream_read(broker_session *session, const dispatch_input *in) {
    broker_handle *handle = find_stream(session, in->request->as.stream_read.handle, in,
                                        "Request.stream_read.handle");
    if (handle == NULL) {
        return SLUICE_EPROTOCOL;
    }
    return reading_take_read(handle, &in->request->as.stream_read.read, in->reason);
}

static int on_stream_cancel(broker_session *session, const dispatch_input *in) {
    broker_handle *handle = find_stream(session, in->request->as.stream_cancel.handle, in,
                                        "Request.stream_cancel.handle");
    if (handle == NULL) {
        return SLUICE_EPROTOCOL;
    }
    if (in->request->as.stream_cancel.direction != SL_STREAM_READING) {
        return sl_reason_set(in->reason, SLUICE_EPROTOCOL, "Request.stream_cancel.direction",
                             "nothing is written as a stream yet");
    }
    counter_add(&session->worker->counters.cancels, 1);
    return reading_take_cancel(handle, in->reason);
}

static int on_leave(broker_session *session, const dispatch_input *in) {
    (void)in;
    session->has_left = true;
    session_wants_flush(session);
    return SLUICE_OK;
}

/* ---- the session ---- */

static int on_cancel(broker_session *session, const dispatch_input *in) {
    broker_op *op = op_find(session, in->request->as.cancel.target_id);
    counter_add(&session->worker->counters.cancels, 1);
    if (SL_FAILPOINT(broker, cancel) != SLUICE_OK) {
        return SLUICE_OK;
    }
    if (op != NULL && (sl_request_traits(op->kind) & SL_REQUEST_IS_CANCELLABLE) != 0) {
        op_cancel(op, SLUICE_ECANCELED);
    }
    return SLUICE_OK;
}

static void on_ping(broker_op *op, const dispatch_input *in) {
    (void)in;
    op_finish(op, SLUICE_OK, 0);
}

static void on_hello(broker_op *op, const dispatch_input *in) {
    broker_session *session = op->session;
    const sl_hello_request *hello = &in->request->as.hello;
    sl_version_range ours = {SL_VERSION_MIN, SL_VERSION_MAX};
    sl_version_range theirs = {hello->version_min, hello->version_max};
    uint32_t version;
    sl_reason reason = {"the system does not tell who you are"};
    int status = sl_version_choose(ours, theirs, &version, &reason);
    if (status != SLUICE_OK) {
        op_refuse(op, status, &reason);
        session_leave(session, 0, "no version in common");
        return;
    }
    /* Something was read by now: whoever could not be told before can be told now. */
    status = session->is_admitted ? SLUICE_OK : peer_admit_late(session, &reason);
    if (status == SLUICE_EQUOTA) {
        op_refuse(op, status, &reason);
        session_leave(session, 0, "over a limit");
        return;
    }
    if (status != SLUICE_OK) {
        status = status == SLUICE_ENOMEM ? status : SLUICE_EACCESS;
        op_refuse(op, status, &reason);
        session_leave(session, 0, reason.text);
        return;
    }
    session->state = SESSION_OPEN;
    deadline_clear(session->worker, &session->timer);
    sl_limits_grant(worker_limits(session->worker), &hello->limits, &session->limits);
    strncpy(session->name, hello->client_name, sizeof(session->name) - 1);
    if (session->process_id == 0) {
        session->process_id = hello->process_id;
    }
    op_finish(op, SLUICE_OK, 0);
    if (worker_is_draining(session->worker)) {
        session_drain(session);
    }
}

static void on_status(broker_op *op, const dispatch_input *in) {
    (void)in;
    op_finish(op, SLUICE_OK, 0); /* filled in when it is encoded (reply.c) */
}

static void on_ops(broker_op *op, const dispatch_input *in) {
    op->small.ops = in->request->as.ops;
    sl_list_push_back(&op->session->worker->asking, &op->link);
}

/* ---- the table ---- */

enum { NEW = 1u << SESSION_NEW, OPEN = 1u << SESSION_OPEN };

typedef struct dispatch_entry {
    unsigned states; /* in which it is allowed; 0 = never */
    bool is_work;    /* refused while draining */
    void (*on_request)(broker_op *op, const dispatch_input *in);
    int (*on_notice)(broker_session *session, const dispatch_input *in); /* what is not answered */
} dispatch_entry;

static const dispatch_entry table[SL_REQUEST_KIND_COUNT] = {
    [SL_REQUEST_NONE] = {OPEN, false, NULL, NULL}, /* is answered ENOTSUP */
    [SL_REQUEST_READ] = {OPEN, true, on_read, NULL},
    [SL_REQUEST_WRITE] = {OPEN, true, on_write, NULL},
    [SL_REQUEST_WRITE_DATA] = {OPEN, false, NULL, on_write_data},
    [SL_REQUEST_CANCEL] = {OPEN, false, NULL, on_cancel},
    [SL_REQUEST_CLOSE] = {OPEN, false, on_close, NULL},
    [SL_REQUEST_PAIR] = {OPEN, true, on_pair, NULL},
    [SL_REQUEST_ACCEPT] = {OPEN, true, on_accept, NULL},
    [SL_REQUEST_CONNECT] = {OPEN, true, on_connect, NULL},
    [SL_REQUEST_LISTEN] = {OPEN, true, on_listen, NULL},
    [SL_REQUEST_HALF_CLOSE] = {OPEN, true, on_half_close, NULL},
    [SL_REQUEST_ACKNOWLEDGE_TORN] = {OPEN, false, on_acknowledge_torn, NULL},
    [SL_REQUEST_PING] = {OPEN, false, on_ping, NULL},
    [SL_REQUEST_HELLO] = {NEW, false, on_hello, NULL},
    [SL_REQUEST_STATUS] = {OPEN, false, on_status, NULL},
    [SL_REQUEST_OPS] = {OPEN, false, on_ops, NULL},
    [SL_REQUEST_STREAM_READ] = {OPEN, false, NULL, on_stream_read},
    [SL_REQUEST_STREAM_CANCEL] = {OPEN, false, NULL, on_stream_cancel},
    [SL_REQUEST_LEAVE] = {OPEN, false, NULL, on_leave},
};

/* Charges for it. SLUICE_OK: go on. EQUOTA: it has ended, refused. EPROTOCOL. */
static int charge(broker_op *op, const dispatch_input *in, int status) {
    bool takes_credit = (sl_request_traits(op->kind) & SL_REQUEST_TAKES_CREDIT) != 0;
    if (status == SLUICE_OK && takes_credit) {
        status = op->is_reserved
                     ? charge_refused(op->session, in->reason)
                     : quota_take_credit(op, sl_request_credit_bytes(in->request), in->reason);
        if (status == SLUICE_OK) {
            return SLUICE_OK;
        }
    }
    if (quota_take_refusal(op) != SLUICE_OK) {
        return sl_reason_set(in->reason, SLUICE_EPROTOCOL, "replies", "the client takes none");
    }
    if (status != SLUICE_OK) {
        op_refuse(op, status, in->reason);
        return SLUICE_EQUOTA;
    }
    return SLUICE_OK;
}

static int dispatch_request(broker_session *session, const dispatch_entry *entry,
                            const dispatch_input *in, int status) {
    const sl_request *request = in->request;
    broker_op *op;
    int created = op_create(session, request->id, request->kind, &op);
    if (created == SLUICE_EPROTOCOL) {
        return sl_reason_value(in->reason, created, "Request.id", "is in use", request->id);
    }
    if (created != SLUICE_OK) {
        return created;
    }
    int charged = charge(op, in, status);
    if (charged == SLUICE_EQUOTA && session->state == SESSION_NEW) {
        session_leave(session, 0, "a bad Hello");
    }
    if (charged != SLUICE_OK) {
        return charged == SLUICE_EQUOTA ? SLUICE_OK : charged;
    }
    if (entry->is_work && worker_is_draining(session->worker)) {
        op_finish(op, SLUICE_ESHUTDOWN, 0);
        return SLUICE_OK;
    }
    int refused = entry->is_work ? SL_FAILPOINT(broker, submit) : SLUICE_OK;
    if (refused != SLUICE_OK) {
        op_finish(op, refused, 0);
        return SLUICE_OK;
    }
    entry->on_request(op, in);
    SL_FAILPOINT_PASS(broker, submitted);
    return SLUICE_OK;
}

int dispatch_frame(broker_session *session, const sl_frame *frame, sl_reason *ret_reason) {
    sl_request request;
    int status = sl_request_decode(frame->control, frame->control_length, frame->payload_length,
                                   &session->limits, &session->worker->arena, &request, ret_reason);
    if (status == SLUICE_EPROTOCOL) {
        return status;
    }
    session->input.rest_id = request.id;
    dispatch_input in = {&request, frame, ret_reason};
    const dispatch_entry *entry = &table[request.kind];
    if ((entry->states & (1u << session->state)) == 0) {
        return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, sl_request_kind_name(request.kind),
                             "is not allowed now");
    }
    if (entry->on_notice != NULL) {
        return status == SLUICE_OK ? entry->on_notice(session, &in) : SLUICE_OK;
    }
    if (request.id == 0) {
        return SLUICE_OK; /* a notice of a later version */
    }
    if (failpoint_request(session, &request, frame)) {
        return SLUICE_OK;
    }
    if (status == SLUICE_OK && entry->on_request == NULL) {
        status = SLUICE_ENOTSUP;
    }
    return dispatch_request(session, entry, &in, status);
}
