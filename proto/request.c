/*
 * request.c - requests: one table of kinds; each row takes a kind off the wire, puts it on the
 * wire, and checks it.
 */
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "proto/address.h"
#include "proto/flat.h"
#include "proto/message.h"
#include "proto/sluice.pb-c.h"
#include "proto/wire.h"

/* The generated structures of any one request, on the encoder's stack. */
typedef struct wire_request {
    Sluice__Request request;
    Sluice__Limits limits;
    union {
        Sluice__Read read;
        Sluice__Write write;
        Sluice__WriteData write_data;
        Sluice__Cancel cancel;
        Sluice__Close close;
        Sluice__Pair pair;
        Sluice__Accept accept;
        Sluice__Connect connect;
        Sluice__Listen listen;
        Sluice__HalfClose half_close;
        Sluice__AcknowledgeTorn acknowledge_torn;
        Sluice__Ping ping;
        Sluice__Hello hello;
        Sluice__Status status;
        Sluice__Ops ops;
        Sluice__StreamRead stream_read;
        Sluice__StreamCancel stream_cancel;
        Sluice__Leave leave;
    } as;
} wire_request;

/* ---- each kind: off the wire (take), onto the wire (put) ---- */

static void take_read(const Sluice__Request *from, sl_request *to) {
    to->as.read.handle = from->read->handle;
    to->as.read.max_bytes = from->read->max_bytes;
    to->as.read.all = from->read->all != 0;
    to->as.read.timeout_ns = from->read->timeout_ns;
}

static void put_read(const sl_request *from, wire_request *to) {
    sluice__read__init(&to->as.read);
    to->request.read = &to->as.read;
    to->as.read.handle = from->as.read.handle;
    to->as.read.max_bytes = from->as.read.max_bytes;
    to->as.read.all = from->as.read.all;
    to->as.read.timeout_ns = from->as.read.timeout_ns;
}

static void take_write(const Sluice__Request *from, sl_request *to) {
    to->as.write.handle = from->write->handle;
    to->as.write.length_bytes = from->write->length_bytes;
    to->as.write.timeout_ns = from->write->timeout_ns;
}

static void put_write(const sl_request *from, wire_request *to) {
    sluice__write__init(&to->as.write);
    to->request.write = &to->as.write;
    to->as.write.handle = from->as.write.handle;
    to->as.write.length_bytes = from->as.write.length_bytes;
    to->as.write.timeout_ns = from->as.write.timeout_ns;
}

static void take_nothing(const Sluice__Request *from, sl_request *to) {
    (void)from;
    (void)to;
}

static void put_write_data(const sl_request *from, wire_request *to) {
    (void)from;
    sluice__write_data__init(&to->as.write_data);
    to->request.write_data = &to->as.write_data;
}

static void take_cancel(const Sluice__Request *from, sl_request *to) {
    to->as.cancel.target_id = from->cancel->target_id;
}

static void put_cancel(const sl_request *from, wire_request *to) {
    sluice__cancel__init(&to->as.cancel);
    to->request.cancel = &to->as.cancel;
    to->as.cancel.target_id = from->as.cancel.target_id;
}

static void take_close(const Sluice__Request *from, sl_request *to) {
    to->as.close.handle = from->close->handle;
    to->as.close.grace_ns = from->close->grace_ns;
}

static void put_close(const sl_request *from, wire_request *to) {
    sluice__close__init(&to->as.close);
    to->request.close = &to->as.close;
    to->as.close.handle = from->as.close.handle;
    to->as.close.grace_ns = from->as.close.grace_ns;
}

static void take_pair(const Sluice__Request *from, sl_request *to) {
    to->as.pair.timeout_ns = from->pair->timeout_ns;
    to->as.pair.read_ahead = from->pair->read_ahead != 0;
}

static void put_pair(const sl_request *from, wire_request *to) {
    sluice__pair__init(&to->as.pair);
    to->request.pair = &to->as.pair;
    to->as.pair.timeout_ns = from->as.pair.timeout_ns;
    to->as.pair.read_ahead = from->as.pair.read_ahead;
}

static void take_accept(const Sluice__Request *from, sl_request *to) {
    to->as.accept.listener = from->accept->listener;
    to->as.accept.timeout_ns = from->accept->timeout_ns;
    to->as.accept.read_ahead = from->accept->read_ahead != 0;
}

static void put_accept(const sl_request *from, wire_request *to) {
    sluice__accept__init(&to->as.accept);
    to->request.accept = &to->as.accept;
    to->as.accept.listener = from->as.accept.listener;
    to->as.accept.timeout_ns = from->as.accept.timeout_ns;
    to->as.accept.read_ahead = from->as.accept.read_ahead;
}

static void take_connect(const Sluice__Request *from, sl_request *to) {
    to->as.connect.address = from->connect->address;
    to->as.connect.timeout_ns = from->connect->timeout_ns;
    to->as.connect.read_ahead = from->connect->read_ahead != 0;
}

static void put_connect(const sl_request *from, wire_request *to) {
    sluice__connect__init(&to->as.connect);
    to->request.connect = &to->as.connect;
    to->as.connect.address = (char *)(uintptr_t)from->as.connect.address; /* only read */
    to->as.connect.timeout_ns = from->as.connect.timeout_ns;
    to->as.connect.read_ahead = from->as.connect.read_ahead;
}

static void take_listen(const Sluice__Request *from, sl_request *to) {
    to->as.listen.address = from->listen->address;
    to->as.listen.backlog = from->listen->backlog;
    to->as.listen.timeout_ns = from->listen->timeout_ns;
}

static void put_listen(const sl_request *from, wire_request *to) {
    sluice__listen__init(&to->as.listen);
    to->request.listen = &to->as.listen;
    to->as.listen.address = (char *)(uintptr_t)from->as.listen.address;
    to->as.listen.backlog = from->as.listen.backlog;
    to->as.listen.timeout_ns = from->as.listen.timeout_ns;
}

static void take_half_close(const Sluice__Request *from, sl_request *to) {
    to->as.half_close.handle = from->half_close->handle;
    to->as.half_close.timeout_ns = from->half_close->timeout_ns;
}

static void put_half_close(const sl_request *from, wire_request *to) {
    sluice__half_close__init(&to->as.half_close);
    to->request.half_close = &to->as.half_close;
    to->as.half_close.handle = from->as.half_close.handle;
    to->as.half_close.timeout_ns = from->as.half_close.timeout_ns;
}

static void take_acknowledge_torn(const Sluice__Request *from, sl_request *to) {
    to->as.acknowledge_torn.handle = from->acknowledge_torn->handle;
}

static void put_acknowledge_torn(const sl_request *from, wire_request *to) {
    sluice__acknowledge_torn__init(&to->as.acknowledge_torn);
    to->request.acknowledge_torn = &to->as.acknowledge_torn;
    to->as.acknowledge_torn.handle = from->as.acknowledge_torn.handle;
}

static void put_ping(const sl_request *from, wire_request *to) {
    (void)from;
    sluice__ping__init(&to->as.ping);
    to->request.ping = &to->as.ping;
}

static void put_status(const sl_request *from, wire_request *to) {
    (void)from;
    sluice__status__init(&to->as.status);
    to->request.status = &to->as.status;
}

static void take_ops(const Sluice__Request *from, sl_request *to) {
    to->as.ops.cursor = from->ops->cursor;
    to->as.ops.limit = from->ops->limit;
    to->as.ops.min_age_ns = from->ops->min_age_ns;
    to->as.ops.filter = (sl_ops_filter)from->ops->filter;
}

static void put_ops(const sl_request *from, wire_request *to) {
    sluice__ops__init(&to->as.ops);
    to->request.ops = &to->as.ops;
    to->as.ops.cursor = from->as.ops.cursor;
    to->as.ops.limit = from->as.ops.limit;
    to->as.ops.min_age_ns = from->as.ops.min_age_ns;
    to->as.ops.filter = (Sluice__OpsFilter)from->as.ops.filter;
}

static void take_stream_read(const Sluice__Request *from, sl_request *to) {
    to->as.stream_read.handle = from->stream_read->handle;
    to->as.stream_read.read.up_to = from->stream_read->up_to;
    to->as.stream_read.read.taken = from->stream_read->taken;
    to->as.stream_read.read.notify = from->stream_read->notify != 0;
}

static void put_stream_read(const sl_request *from, wire_request *to) {
    sluice__stream_read__init(&to->as.stream_read);
    to->request.stream_read = &to->as.stream_read;
    to->as.stream_read.handle = from->as.stream_read.handle;
    to->as.stream_read.up_to = from->as.stream_read.read.up_to;
    to->as.stream_read.taken = from->as.stream_read.read.taken;
    to->as.stream_read.notify = from->as.stream_read.read.notify;
}

static void take_stream_cancel(const Sluice__Request *from, sl_request *to) {
    to->as.stream_cancel.handle = from->stream_cancel->handle;
    to->as.stream_cancel.direction = (sl_stream_direction)from->stream_cancel->direction;
    to->as.stream_cancel.cancel.from = from->stream_cancel->from;
    to->as.stream_cancel.cancel.to = from->stream_cancel->to;
}

static void put_stream_cancel(const sl_request *from, wire_request *to) {
    sluice__stream_cancel__init(&to->as.stream_cancel);
    to->request.stream_cancel = &to->as.stream_cancel;
    to->as.stream_cancel.handle = from->as.stream_cancel.handle;
    to->as.stream_cancel.direction =
        (Sluice__StreamDirection)from->as.stream_cancel.direction;
    to->as.stream_cancel.from = from->as.stream_cancel.cancel.from;
    to->as.stream_cancel.to = from->as.stream_cancel.cancel.to;
}

static void put_leave(const sl_request *from, wire_request *to) {
    (void)from;
    sluice__leave__init(&to->as.leave);
    to->request.leave = &to->as.leave;
}

static void take_hello(const Sluice__Request *from, sl_request *to) {
    const Sluice__Hello *hello = from->hello;
    to->as.hello = (sl_hello_request){
        .version_min = hello->version_min,
        .version_max = hello->version_max,
        .client_name = hello->client_name,
        .process_id = hello->process_id,
    };
    if (hello->limits != NULL) {
        to->as.hello.limits = sl_wire_take_limits(hello->limits);
    }
}

static void put_hello(const sl_request *from, wire_request *to) {
    sluice__hello__init(&to->as.hello);
    to->request.hello = &to->as.hello;
    to->as.hello.version_min = from->as.hello.version_min;
    to->as.hello.version_max = from->as.hello.version_max;
    to->as.hello.client_name = (char *)(uintptr_t)from->as.hello.client_name;
    to->as.hello.process_id = from->as.hello.process_id;
    sl_wire_put_limits(&from->as.hello.limits, &to->limits);
    to->as.hello.limits = &to->limits;
}

/* ---- each kind: checks ---- */

typedef struct check_input {
    const sl_request *request;
    uint32_t payload_length;
    const sl_session_limits *limits;
    sl_reason *reason;
} check_input;

/* What a program can do wrong is told in the words of its calls (client/include): it knows no
 * Request.listen.backlog. What breaks the protocol names the message's field. */

static int check_handle(const check_input *in, uint64_t handle, const char *where) {
    if (handle == 0) {
        return sl_reason_set(in->reason, SLUICE_EBADHANDLE, where, "0 is no handle");
    }
    return SLUICE_OK;
}

/* Without its NUL, 1 to max_bytes long. */
static int check_text_length(const check_input *in, const char *text, size_t max_bytes,
                             const char *where) {
    size_t length = text != NULL ? strlen(text) : 0;
    if (length == 0) {
        return sl_reason_set(in->reason, SLUICE_EINVAL, where, "is empty");
    }
    if (length > max_bytes) {
        return sl_reason_too_long(in->reason, SLUICE_EINVAL, where, length, max_bytes);
    }
    return SLUICE_OK;
}

static int check_range(const check_input *in, uint64_t value, uint64_t max, const char *where) {
    if (value > max) {
        return sl_reason_range(in->reason, SLUICE_EINVAL, where, value, 0, max);
    }
    return SLUICE_OK;
}

static int check_read(const check_input *in) {
    int status = check_handle(in, in->request->as.read.handle, "handle");
    if (status != SLUICE_OK) {
        return status;
    }
    return check_range(in, in->request->as.read.max_bytes, in->limits->payload_bytes,
                       "bytes of a read");
}

static int check_write(const check_input *in) {
    uint32_t length = in->request->as.write.length_bytes;
    if (in->payload_length > length) {
        return sl_reason_range(in->reason, SLUICE_EPROTOCOL, "Request.write: payload length",
                               in->payload_length, 0, length);
    }
    int status = check_handle(in, in->request->as.write.handle, "handle");
    if (status != SLUICE_OK) {
        return status;
    }
    return check_range(in, length, in->limits->payload_bytes, "bytes of a write");
}

static int check_write_data(const check_input *in) {
    if (in->payload_length == 0) {
        return sl_reason_set(in->reason, SLUICE_EPROTOCOL, "Request.write_data",
                             "a fragment without payload");
    }
    return SLUICE_OK;
}

static int check_cancel(const check_input *in) {
    if (in->request->as.cancel.target_id == 0) {
        return sl_reason_set(in->reason, SLUICE_EPROTOCOL, "Request.cancel.target_id",
                             "0 names no request");
    }
    return SLUICE_OK;
}

static int check_close(const check_input *in) {
    return check_handle(in, in->request->as.close.handle, "handle");
}

static int check_accept(const check_input *in) {
    return check_handle(in, in->request->as.accept.listener, "listener");
}

static int check_address(const check_input *in, const char *text, const char *where,
                         sl_address *ret_address) {
    int status = check_text_length(in, text, SL_ADDRESS_BYTES, where);
    return status == SLUICE_OK ? sl_address_parse(text, ret_address, in->reason) : status;
}

static int check_connect(const check_input *in) {
    sl_address address;
    int status =
        check_address(in, in->request->as.connect.address, "address", &address);
    if (status == SLUICE_OK && address.kind == SL_ADDRESS_TCP && address.port == 0) {
        return sl_reason_set(in->reason, SLUICE_EINVAL, "address",
                             "port 0 cannot be connected to");
    }
    return status;
}

static int check_listen(const check_input *in) {
    sl_address address;
    int status =
        check_address(in, in->request->as.listen.address, "address", &address);
    if (status != SLUICE_OK) {
        return status;
    }
    return check_range(in, in->request->as.listen.backlog, SL_BACKLOG_MAX,
                       "backlog");
}

static int check_half_close(const check_input *in) {
    return check_handle(in, in->request->as.half_close.handle, "handle");
}

static int check_acknowledge_torn(const check_input *in) {
    return check_handle(in, in->request->as.acknowledge_torn.handle,
                        "handle");
}

static int check_hello(const check_input *in) {
    return check_text_length(in, in->request->as.hello.client_name, SL_CLIENT_NAME_BYTES,
                             "client_name");
}

static int check_ops(const check_input *in) {
    int status = check_range(in, in->request->as.ops.limit, SL_OPS_ROWS_MAX, "rows");
    if (status != SLUICE_OK) {
        return status;
    }
    if (in->request->as.ops.filter > SL_OPS_FILTER_STUCK) {
        return sl_reason_value(in->reason, SLUICE_ENOTSUP, "filter",
                               "this broker knows 0, all, and 1, the stuck ones, but not this",
                               (uint64_t)in->request->as.ops.filter);
    }
    return SLUICE_OK;
}

/* A stream message has no reply that could say so: what is wrong in it is a violation. */
static int check_stream(const check_input *in, uint64_t handle, const char *where) {
    if (handle == 0) {
        return sl_reason_set(in->reason, SLUICE_EPROTOCOL, where, "0 is no handle");
    }
    return SLUICE_OK;
}

static int check_stream_read(const check_input *in) {
    return check_stream(in, in->request->as.stream_read.handle, "Request.stream_read.handle");
}

static int check_stream_cancel(const check_input *in) {
    sl_stream_direction direction = in->request->as.stream_cancel.direction;
    const sl_stream_cancel *cancel = &in->request->as.stream_cancel.cancel;
    if (direction != SL_STREAM_READING && direction != SL_STREAM_WRITING) {
        return sl_reason_value(in->reason, SLUICE_EPROTOCOL, "Request.stream_cancel.direction",
                               "is neither 1, READ, nor 2, WRITE", (uint64_t)direction);
    }
    bool is_range = direction == SL_STREAM_WRITING ? cancel->from <= cancel->to
                                                   : cancel->from == 0 && cancel->to == 0;
    if (!is_range) {
        return sl_reason_value(in->reason, SLUICE_EPROTOCOL, "Request.stream_cancel.from",
                               direction == SL_STREAM_WRITING ? "is more than to"
                                                              : "and to are 0 for READ",
                               cancel->from);
    }
    return check_stream(in, in->request->as.stream_cancel.handle, "Request.stream_cancel.handle");
}

static int check_nothing(const check_input *in) {
    (void)in;
    return SLUICE_OK;
}

/* ---- the table ---- */

typedef struct kind_row {
    const char *name;
    unsigned traits;
    void (*take)(const Sluice__Request *from, sl_request *to);
    void (*put)(const sl_request *from, wire_request *to);
    int (*check)(const check_input *in);
} kind_row;

#define KNOWN    SL_REQUEST_IS_KNOWN
#define ANSWERED (SL_REQUEST_IS_KNOWN | SL_REQUEST_IS_ANSWERED)
#define CREDIT   (ANSWERED | SL_REQUEST_TAKES_CREDIT)
#define WAITS    (CREDIT | SL_REQUEST_IS_CANCELLABLE)
#define PAYLOAD  SL_REQUEST_HAS_PAYLOAD
#define STANDS   (SL_REQUEST_IS_KNOWN | SL_REQUEST_HAS_NO_ID)

/* X(NUMBER, name, traits, take, put, check) */
#define KINDS(X) \
    X(READ, read, WAITS, take_read, put_read, check_read) \
    X(WRITE, write, WAITS | PAYLOAD, take_write, put_write, check_write) \
    X(WRITE_DATA, write_data, KNOWN | PAYLOAD, take_nothing, put_write_data, check_write_data) \
    X(CANCEL, cancel, STANDS, take_cancel, put_cancel, check_cancel) \
    X(CLOSE, close, ANSWERED, take_close, put_close, check_close) \
    X(PAIR, pair, WAITS, take_pair, put_pair, check_nothing) \
    X(ACCEPT, accept, WAITS, take_accept, put_accept, check_accept) \
    X(CONNECT, connect, WAITS, take_connect, put_connect, check_connect) \
    X(LISTEN, listen, WAITS, take_listen, put_listen, check_listen) \
    X(HALF_CLOSE, half_close, WAITS, take_half_close, put_half_close, check_half_close) \
    X(ACKNOWLEDGE_TORN, acknowledge_torn, CREDIT, take_acknowledge_torn, put_acknowledge_torn, \
      check_acknowledge_torn) \
    X(PING, ping, ANSWERED, take_nothing, put_ping, check_nothing) \
    X(HELLO, hello, ANSWERED, take_hello, put_hello, check_hello) \
    X(STATUS, status, CREDIT, take_nothing, put_status, check_nothing) \
    X(OPS, ops, CREDIT, take_ops, put_ops, check_ops) \
    X(STREAM_READ, stream_read, STANDS, take_stream_read, put_stream_read, check_stream_read) \
    X(STREAM_CANCEL, stream_cancel, STANDS, take_stream_cancel, put_stream_cancel, \
      check_stream_cancel) \
    X(LEAVE, leave, STANDS, take_nothing, put_leave, check_nothing)

static const kind_row rows[SL_REQUEST_KIND_COUNT] = {
#define X(NUMBER, name, traits, take, put, check) \
    [SL_REQUEST_##NUMBER] = {#name, traits, take, put, check},
    KINDS(X)
#undef X
};

#define X(NUMBER, name, traits, take, put, check) \
    _Static_assert((int)SL_REQUEST_##NUMBER == (int)SLUICE__REQUEST__KIND_##NUMBER, \
                   #name ": the number of sluice.proto");
KINDS(X)
#undef X

/* NULL for a kind that is none. */
static const kind_row *find_row(sl_request_kind kind) {
    unsigned index = (unsigned)kind;
    return index < SL_REQUEST_KIND_COUNT && rows[index].name != NULL ? &rows[index] : NULL;
}

unsigned sl_request_traits(sl_request_kind kind) {
    const kind_row *row = find_row(kind);
    return row != NULL ? row->traits : 0;
}

const char *sl_request_kind_name(sl_request_kind kind) {
    const kind_row *row = find_row(kind);
    return row != NULL ? row->name : "unknown";
}

uint32_t sl_request_credit_bytes(const sl_request *request) {
    switch (request->kind) {
    case SL_REQUEST_READ: return request->as.read.max_bytes;
    case SL_REQUEST_WRITE: return request->as.write.length_bytes;
    default: return 0;
    }
}

int sl_request_check(const sl_request *request, uint32_t payload_length,
                     const sl_session_limits *limits, sl_reason *ret_reason) {
    const kind_row *row = find_row(request->kind);
    if (row == NULL) {
        return sl_reason_set(ret_reason, SLUICE_ENOTSUP, "request",
                             "of no kind that this broker knows");
    }
    bool has_id = (row->traits & SL_REQUEST_HAS_NO_ID) == 0;
    if (has_id != (request->id != 0)) {
        return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, "Request.id",
                             has_id                              ? "0 is no id"
                             : request->kind == SL_REQUEST_CANCEL ? "a cancel has none"
                                                                  : "a stream message has none");
    }
    if (payload_length > 0 && (row->traits & SL_REQUEST_HAS_PAYLOAD) == 0) {
        return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, row->name,
                             "a payload behind a request that has none");
    }
    check_input in = {request, payload_length, limits, ret_reason};
    return row->check(&in);
}

int sl_request_decode_general(const uint8_t *control, size_t control_length,
                              uint32_t payload_length, const sl_session_limits *limits,
                              sl_arena *arena, sl_request *ret_request, sl_reason *ret_reason) {
    ProtobufCMessage *message = NULL;
    int value_status = sl_wire_unpack(&sluice__request__descriptor, control, control_length, arena,
                                      &message, ret_reason);
    if (message == NULL) {
        return value_status;
    }
    const Sluice__Request *from = (const Sluice__Request *)message;
    ret_request->id = from->id;
    ret_request->kind = (sl_request_kind)from->kind_case;
    const kind_row *row = find_row(ret_request->kind);
    if (row != NULL) {
        row->take(from, ret_request);
    }
    sl_reason reason;
    int status = sl_request_check(ret_request, payload_length, limits, &reason);
    if (status == SLUICE_EPROTOCOL || value_status == SLUICE_OK) {
        if (status != SLUICE_OK && ret_reason != NULL) {
            *ret_reason = reason;
        }
        return status;
    }
    /* With the walk's reason. No answer could say so of a message that stands. */
    bool has_answer = row == NULL || (row->traits & SL_REQUEST_HAS_NO_ID) == 0;
    return has_answer ? value_status : SLUICE_EPROTOCOL;
}

int sl_request_encode_general(const sl_request *request, uint32_t payload_length, uint8_t *buffer,
                              size_t size, size_t *ret_length) {
    const kind_row *row = find_row(request->kind);
    if (row == NULL) {
        return SLUICE_EINVAL;
    }
    wire_request wire;
    sluice__request__init(&wire.request);
    wire.request.id = request->id;
    wire.request.kind_case = (Sluice__Request__KindCase)request->kind;
    row->put(request, &wire);
    return sl_wire_pack(&wire.request.base, payload_length, buffer, size, ret_length);
}
