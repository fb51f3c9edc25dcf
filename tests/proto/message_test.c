/* message_test.c - every message there and back, and every refusal with its sentence. */
#include "proto/flat.h"
#include "tests/proto/proto_test.h"

/* ---- there and back ---- */

static void assert_same_text(const char *left, const char *right) {
    assert_string_equal(left != NULL ? left : "", right != NULL ? right : "");
}

static void assert_same_limits(const sl_session_limits *left, const sl_session_limits *right) {
    assert_int_equal(left->control_bytes, right->control_bytes);
    assert_int_equal(left->fragment_bytes, right->fragment_bytes);
    assert_int_equal(left->payload_bytes, right->payload_bytes);
    assert_int_equal(left->credit_operations, right->credit_operations);
    assert_int_equal(left->credit_bytes, right->credit_bytes);
    assert_int_equal(left->handles, right->handles);
}

static void assert_same_request(const sl_request *left, const sl_request *right) {
    assert_int_equal(left->id, right->id);
    assert_int_equal(left->kind, right->kind);
    switch (left->kind) {
    case SL_REQUEST_HELLO:
        assert_int_equal(left->as.hello.version_min, right->as.hello.version_min);
        assert_int_equal(left->as.hello.version_max, right->as.hello.version_max);
        assert_same_text(left->as.hello.client_name, right->as.hello.client_name);
        assert_same_limits(&left->as.hello.limits, &right->as.hello.limits);
        assert_int_equal(left->as.hello.process_id, right->as.hello.process_id);
        break;
    case SL_REQUEST_CONNECT:
        assert_same_text(left->as.connect.address, right->as.connect.address);
        assert_int_equal(left->as.connect.timeout_ns, right->as.connect.timeout_ns);
        break;
    case SL_REQUEST_LISTEN:
        assert_same_text(left->as.listen.address, right->as.listen.address);
        assert_int_equal(left->as.listen.backlog, right->as.listen.backlog);
        assert_int_equal(left->as.listen.timeout_ns, right->as.listen.timeout_ns);
        break;
    default: /* no pointers, and both were zeroed */
        assert_memory_equal(&left->as, &right->as, sizeof(left->as));
        break;
    }
}

static void every_request_survives(void **state) {
    test_decoder *decoder = *state;
    const sl_request *request = NULL;
    unsigned kinds_seen = 0;
    for (size_t i = 0; (request = sample_request(i)) != NULL; i++) {
        uint32_t payload_length = sample_request_payload(request);
        uint8_t bytes[SL_REQUEST_BYTES_MAX];
        size_t length = 0;
        assert_int_equal(sl_request_encode(request, payload_length, bytes, sizeof(bytes), &length),
                         SLUICE_OK);
        /* The exact size does, one byte less does not. */
        size_t again = 0;
        assert_int_equal(sl_request_encode(request, payload_length, bytes, length, &again),
                         SLUICE_OK);
        assert_int_equal(again, length);
        assert_int_equal(sl_request_encode(request, payload_length, bytes, length - 1, &again),
                         SLUICE_ETOOLARGE);
        assert_int_equal(sl_request_encode(request, payload_length, bytes, 7, &again),
                         SLUICE_ETOOLARGE);
        uint8_t general[SL_REQUEST_BYTES_MAX];
        assert_int_equal(
            sl_request_encode_general(request, payload_length, general, sizeof(general), &again),
            SLUICE_OK);
        assert_int_equal(again, length);
        assert_memory_equal(general, bytes, length);
        sl_frame frame;
        size_t needed = 0;
        assert_int_equal(
            sl_frame_parse(bytes, length, &decoder->frame_limits, &frame, &needed, NULL),
            payload_length > 0 ? SL_FRAME_INCOMPLETE : SL_FRAME_COMPLETE);
        sl_request decoded;
        memset(&decoded, 0, sizeof(decoded));
        sl_reason reason = {""};
        int status = sl_request_decode(bytes + 8, length - 8, payload_length, &decoder->limits,
                                       &decoder->arena, &decoded, &reason);
        assert_string_equal(reason.text, "");
        assert_int_equal(status, SLUICE_OK);
        sl_request expected;
        memset(&expected, 0, sizeof(expected));
        expected = *request;
        assert_same_request(&decoded, &expected);
        kinds_seen |= 1u << request->kind;
    }
    for (unsigned kind = 0; kind < SL_REQUEST_KIND_COUNT; kind++) {
        bool is_known = sl_request_traits((sl_request_kind)kind) != 0;
        assert_int_equal((kinds_seen >> kind & 1) != 0, is_known);
    }
}

static void assert_same_status(const sl_status_reply *left, const sl_status_reply *right) {
    assert_same_text(left->broker_version, right->broker_version);
    assert_same_text(left->engine_name, right->engine_name);
    assert_int_equal(left->process_id, right->process_id);
    assert_int_equal(left->uptime_ns, right->uptime_ns);
    assert_int_equal(left->workers, right->workers);
    assert_int_equal(left->sessions, right->sessions);
    assert_int_equal(left->handles, right->handles);
    assert_int_equal(left->operations, right->operations);
    assert_int_equal(left->zombies, right->zombies);
    assert_int_equal(left->memory_bytes, right->memory_bytes);
    assert_int_equal(left->operations_started, right->operations_started);
    assert_int_equal(left->operations_finished, right->operations_finished);
    assert_int_equal(left->cancels, right->cancels);
    assert_int_equal(left->sessions_started, right->sessions_started);
    assert_int_equal(left->protocol_violations, right->protocol_violations);
    assert_int_equal(left->stray_packets, right->stray_packets);
    assert_int_equal(left->draining, right->draining);
    assert_same_text(left->user, right->user);
    assert_int_equal(left->user_zombies, right->user_zombies);
    assert_int_equal(left->sees_all, right->sees_all);
    assert_int_equal(left->opens_given_up, right->opens_given_up);
    assert_int_equal(left->user_opens_given_up, right->user_opens_given_up);
}

static void assert_same_hello(const sl_hello_reply *left, const sl_hello_reply *right) {
    assert_int_equal(left->version, right->version);
    assert_int_equal(left->version_min, right->version_min);
    assert_int_equal(left->version_max, right->version_max);
    assert_int_equal(left->session_id, right->session_id);
    assert_int_equal(left->epoch, right->epoch);
    assert_same_limits(&left->limits, &right->limits);
    assert_same_text(left->broker_version, right->broker_version);
    assert_same_text(left->engine_name, right->engine_name);
    assert_int_equal(left->close_grace_ns, right->close_grace_ns);
    assert_int_equal(left->ping_interval_ns, right->ping_interval_ns);
    assert_int_equal(left->unresponsive_ns, right->unresponsive_ns);
}

static void assert_same_row(const sl_ops_row *left, const sl_ops_row *right) {
    assert_int_equal(left->session_id, right->session_id);
    assert_same_text(left->client_name, right->client_name);
    assert_int_equal(left->process_id, right->process_id);
    assert_int_equal(left->operation_id, right->operation_id);
    assert_int_equal(left->handle, right->handle);
    assert_int_equal(left->kind, right->kind);
    assert_int_equal(left->state, right->state);
    assert_int_equal(left->age_ns, right->age_ns);
    assert_int_equal(left->remaining_ns, right->remaining_ns);
    assert_int_equal(left->length_bytes, right->length_bytes);
    assert_int_equal(left->done_bytes, right->done_bytes);
    assert_int_equal(left->worker, right->worker);
    assert_int_equal(left->stuck, right->stuck);
    assert_same_text(left->user, right->user);
}

static void assert_same_response(const sl_response *left, const sl_response *right) {
    assert_int_equal(left->id, right->id);
    assert_int_equal(left->status, right->status);
    assert_int_equal(left->os_error, right->os_error);
    assert_int_equal(left->done, right->done);
    assert_int_equal(left->in_doubt, right->in_doubt);
    assert_int_equal(left->more, right->more);
    assert_same_text(left->detail, right->detail);
    assert_int_equal(left->kind, right->kind);
    switch (left->kind) {
    case SL_RESPONSE_PLAIN: break;
    case SL_RESPONSE_OPENED:
        assert_int_equal(left->as.opened.count, right->as.opened.count);
        for (uint32_t i = 0; i < left->as.opened.count; i++) {
            const sl_opened_handle *a = &left->as.opened.handles[i];
            const sl_opened_handle *b = &right->as.opened.handles[i];
            assert_int_equal(a->handle, b->handle);
            assert_int_equal(a->can, b->can);
            assert_same_text(a->local_address, b->local_address);
        }
        break;
    case SL_RESPONSE_EVENT:
        assert_int_equal(left->as.event.kind, right->as.event.kind);
        assert_int_equal(left->as.event.grace_ns, right->as.event.grace_ns);
        assert_int_equal(left->as.event.status, right->as.event.status);
        assert_same_text(left->as.event.detail, right->as.event.detail);
        break;
    case SL_RESPONSE_DATA:
        assert_int_equal(left->as.data.handle, right->as.data.handle);
        assert_int_equal(left->as.data.data.at, right->as.data.data.at);
        assert_int_equal(left->as.data.data.length, right->as.data.data.length);
        assert_int_equal(left->as.data.data.status, right->as.data.data.status);
        assert_int_equal(left->as.data.data.os_error, right->as.data.data.os_error);
        assert_int_equal(left->as.data.data.stopped, right->as.data.data.stopped);
        break;
    case SL_RESPONSE_HELLO: assert_same_hello(&left->as.hello, &right->as.hello); break;
    case SL_RESPONSE_STATUS: assert_same_status(&left->as.status, &right->as.status); break;
    case SL_RESPONSE_OPS:
        assert_int_equal(left->as.ops.count, right->as.ops.count);
        assert_int_equal(left->as.ops.next_cursor, right->as.ops.next_cursor);
        for (uint32_t i = 0; i < left->as.ops.count; i++) {
            assert_same_row(&left->as.ops.rows[i], &right->as.ops.rows[i]);
        }
        break;
    }
}

/* What the broker reserves for a response must do for the longest. */
static size_t reserved_bytes(const sl_response *response) {
    size_t detail = response->detail != NULL ? SL_RESPONSE_BYTES_DETAIL : 0;
    switch (response->kind) {
    case SL_RESPONSE_DATA:
    case SL_RESPONSE_PLAIN: return SL_RESPONSE_BYTES_PLAIN + detail;
    case SL_RESPONSE_OPENED: return SL_RESPONSE_BYTES_OPENED + detail;
    case SL_RESPONSE_EVENT: return SL_RESPONSE_BYTES_EVENT + detail;
    case SL_RESPONSE_HELLO: return SL_RESPONSE_BYTES_HELLO + detail;
    case SL_RESPONSE_STATUS: return SL_RESPONSE_BYTES_STATUS + detail;
    case SL_RESPONSE_OPS: return SL_RESPONSE_BYTES_OPS(response->as.ops.count) + detail;
    }
    return 0;
}

static void every_response_survives(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[SL_RESPONSE_BYTES_OPS(SL_OPS_ROWS_MAX)];
    const sl_response *response = NULL;
    for (size_t i = 0; (response = sample_response(i)) != NULL; i++) {
        uint32_t payload_length = sample_response_payload(response);
        size_t length = 0;
        assert_int_equal(
            sl_response_encode(response, payload_length, bytes, reserved_bytes(response), &length),
            SLUICE_OK);
        size_t again = 0;
        assert_int_equal(sl_response_encode(response, payload_length, bytes, length, &again),
                         SLUICE_OK);
        assert_int_equal(again, length);
        assert_int_equal(sl_response_encode(response, payload_length, bytes, length - 1, &again),
                         SLUICE_ETOOLARGE);
        static uint8_t general[SL_RESPONSE_BYTES_OPS(SL_OPS_ROWS_MAX)];
        assert_int_equal(
            sl_response_encode_general(response, payload_length, general, sizeof(general), &again),
            SLUICE_OK);
        assert_int_equal(again, length);
        assert_memory_equal(general, bytes, length);
        sl_response decoded;
        sl_reason reason = {""};
        int status = sl_response_decode(bytes + 8, length - 8, payload_length, &decoder->arena,
                                        &decoded, &reason);
        assert_string_equal(reason.text, "");
        assert_int_equal(status, SLUICE_OK);
        assert_same_response(&decoded, response);
    }
}

static void what_is_too_long_is_not_encoded(void **state) {
    (void)state;
    uint8_t bytes[64];
    size_t length = 0;
    char detail[SL_DETAIL_BYTES + 2];
    memset(detail, 'd', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    sl_response response = {.id = 1, .detail = detail};
    assert_int_equal(sl_response_encode(&response, 0, bytes, sizeof(bytes), &length),
                     SLUICE_EINVAL);
    response = (sl_response){.id = 1, .kind = SL_RESPONSE_OPS};
    response.as.ops.count = SL_OPS_ROWS_MAX + 1;
    assert_int_equal(sl_response_encode(&response, 0, bytes, sizeof(bytes), &length),
                     SLUICE_EINVAL);
    response = (sl_response){.id = 1, .kind = SL_RESPONSE_OPENED};
    response.as.opened.count = SL_OPENED_MAX + 1;
    assert_int_equal(sl_response_encode(&response, 0, bytes, sizeof(bytes), &length),
                     SLUICE_EINVAL);
    response = (sl_response){.id = 1, .kind = (sl_response_kind)77};
    assert_int_equal(sl_response_encode(&response, 0, bytes, sizeof(bytes), &length),
                     SLUICE_EINVAL);
    sl_request request = {.id = 1, .kind = SL_REQUEST_NONE};
    assert_int_equal(sl_request_encode(&request, 0, bytes, sizeof(bytes), &length), SLUICE_EINVAL);
}

/* ---- refusals ---- */

typedef struct refusal {
    sl_request request;
    uint32_t payload_length;
    int status;
    const char *reason;
} refusal;

static const refusal refusals[] = {
    {{.id = 0, .kind = SL_REQUEST_PING}, 0, SLUICE_EPROTOCOL, "Request.id: 0 is no id"},
    {{.id = 5, .kind = SL_REQUEST_CANCEL, .as.cancel = {1}},
     0,
     SLUICE_EPROTOCOL,
     "Request.id: a cancel has none"},
    {{.id = 0, .kind = SL_REQUEST_CANCEL},
     0,
     SLUICE_EPROTOCOL,
     "Request.cancel.target_id: 0 names no request"},
    {{.id = 5, .kind = SL_REQUEST_STREAM_READ, .as.stream_read = {1, {0}}},
     0,
     SLUICE_EPROTOCOL,
     "Request.id: a stream message has none"},
    {{.kind = SL_REQUEST_STREAM_READ},
     0,
     SLUICE_EPROTOCOL,
     "Request.stream_read.handle: 0 is no handle"},
    {{.kind = SL_REQUEST_STREAM_READ, .as.stream_read = {1, {0}}},
     1,
     SLUICE_EPROTOCOL,
     "stream_read: a payload behind a request that has none"},
    {{.kind = SL_REQUEST_STREAM_CANCEL, .as.stream_cancel = {0, SL_STREAM_READING, {0}}},
     0,
     SLUICE_EPROTOCOL,
     "Request.stream_cancel.handle: 0 is no handle"},
    {{.kind = SL_REQUEST_STREAM_CANCEL, .as.stream_cancel = {1, (sl_stream_direction)3, {0}}},
     0,
     SLUICE_EPROTOCOL,
     "Request.stream_cancel.direction: is neither 1, READ, nor 2, WRITE (3)"},
    {{.kind = SL_REQUEST_STREAM_CANCEL, .as.stream_cancel = {1, SL_STREAM_READING, {0, 7}}},
     0,
     SLUICE_EPROTOCOL,
     "Request.stream_cancel.from: and to are 0 for READ (0)"},
    {{.kind = SL_REQUEST_STREAM_CANCEL, .as.stream_cancel = {1, SL_STREAM_WRITING, {8, 7}}},
     0,
     SLUICE_EPROTOCOL,
     "Request.stream_cancel.from: is more than to (8)"},
    {{.id = 1, .kind = SL_REQUEST_PING},
     1,
     SLUICE_EPROTOCOL,
     "ping: a payload behind a request that has none"},
    {{.id = 1, .kind = SL_REQUEST_WRITE_DATA},
     0,
     SLUICE_EPROTOCOL,
     "Request.write_data: a fragment without payload"},
    {{.id = 1, .kind = SL_REQUEST_WRITE, .as.write = {1, 0, 5}},
     6,
     SLUICE_EPROTOCOL,
     "Request.write: payload length: 6 is out of range: 0 to 5"},
    {{.id = 1, .kind = SL_REQUEST_WRITE, .as.write = {1, 0, 1048577}},
     5,
     SLUICE_EINVAL,
     "bytes of a write: 1048577 is out of range: 0 to 1048576"},
    {{.id = 1, .kind = SL_REQUEST_WRITE, .as.write = {0, 0, 5}},
     5,
     SLUICE_EBADHANDLE,
     "handle: 0 is no handle"},
    {{.id = 1, .kind = SL_REQUEST_READ, .as.read = {0, 0, 5, false}},
     0,
     SLUICE_EBADHANDLE,
     "handle: 0 is no handle"},
    {{.id = 1, .kind = SL_REQUEST_READ, .as.read = {1, 0, UINT32_MAX, false}},
     0,
     SLUICE_EINVAL,
     "bytes of a read: 4294967295 is out of range: 0 to 1048576"},
    {{.id = 1, .kind = SL_REQUEST_CLOSE},
     0,
     SLUICE_EBADHANDLE,
     "handle: 0 is no handle"},
    {{.id = 1, .kind = SL_REQUEST_ACCEPT},
     0,
     SLUICE_EBADHANDLE,
     "listener: 0 is no handle"},
    {{.id = 1, .kind = SL_REQUEST_HALF_CLOSE},
     0,
     SLUICE_EBADHANDLE,
     "handle: 0 is no handle"},
    {{.id = 1, .kind = SL_REQUEST_ACKNOWLEDGE_TORN},
     0,
     SLUICE_EBADHANDLE,
     "handle: 0 is no handle"},
    {{.id = 1, .kind = SL_REQUEST_CONNECT, .as.connect = {"", 0, false}},
     0,
     SLUICE_EINVAL,
     "address: is empty"},
    {{.id = 1, .kind = SL_REQUEST_CONNECT, .as.connect = {"tcp:h:0", 0, false}},
     0,
     SLUICE_EINVAL,
     "address: port 0 cannot be connected to"},
    {{.id = 1, .kind = SL_REQUEST_CONNECT, .as.connect = {"udp:h:1", 0, false}},
     0,
     SLUICE_EINVAL,
     "address: want pipe:NAME, tcp:HOST:PORT or tcp:[IPV6]:PORT"},
    {{.id = 1, .kind = SL_REQUEST_LISTEN, .as.listen = {"pipe:a", 65536, 0}},
     0,
     SLUICE_EINVAL,
     "backlog: 65536 is out of range: 0 to 65535"},
    {{.id = 1, .kind = SL_REQUEST_LISTEN, .as.listen = {"pipe:", 0, 0}},
     0,
     SLUICE_EINVAL,
     "address: the name is empty"},
    {{.id = 1, .kind = SL_REQUEST_HELLO, .as.hello = {1, 1, "", {0}, 0}},
     0,
     SLUICE_EINVAL,
     "client_name: is empty"},
    {{.id = 1, .kind = SL_REQUEST_HELLO, .as.hello = {1, 1, text_of_256, {0}, 0}},
     0,
     SLUICE_EINVAL,
     "client_name: 256 bytes, at most 64"},
    {{.id = 1, .kind = SL_REQUEST_OPS, .as.ops = {0, 0, 65, SL_OPS_FILTER_ALL}},
     0,
     SLUICE_EINVAL,
     "rows: 65 is out of range: 0 to 64"},
    {{.id = 1, .kind = SL_REQUEST_OPS, .as.ops = {0, 0, 0, (sl_ops_filter)2}},
     0,
     SLUICE_ENOTSUP,
     "filter: this broker knows 0, all, and 1, the stuck ones, but not this (2)"},
};

static void refused_requests_are_told_why(void **state) {
    test_decoder *decoder = *state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const refusal *it = &refusals[i];
        uint8_t bytes[1024];
        size_t length = 0;
        assert_int_equal(
            sl_request_encode(&it->request, it->payload_length, bytes, sizeof(bytes), &length),
            SLUICE_OK);
        sl_request decoded;
        sl_reason reason = {""};
        assert_int_equal(sl_request_decode(bytes + 8, length - 8, it->payload_length,
                                           &decoder->limits, &decoder->arena, &decoded, &reason),
                         it->status);
        assert_string_equal(reason.text, it->reason);
        if (it->status != SLUICE_EPROTOCOL) {
            assert_int_equal(decoded.id, it->request.id);
            assert_int_equal(decoded.kind, it->request.kind);
        }
        assert_int_equal(sl_request_check(&it->request, it->payload_length, &decoder->limits, NULL),
                         it->status);
    }
}

typedef struct wire_case {
    const char *bytes; /* a literal; its length is `length` */
    size_t length;
    int status;
    const char *reason; /* NULL: whatever it is */
} wire_case;

#define BYTES(literal) (literal), sizeof(literal) - 1

static const wire_case wire_cases[] = {
    /* Well formed, but of no known kind: with fields of the future, or with nothing. */
    {BYTES("\x08\x07"), SLUICE_ENOTSUP, "request: of no kind that this broker knows"},
    {BYTES("\x08\x07\xa2\x02\x02\x08\x01"), SLUICE_ENOTSUP, NULL},
    {BYTES("\x08\x07\xa2\x02\x02\x00\xff\x6a\x00"), SLUICE_OK, NULL},
    {BYTES("\x08\x07\x6a\x04\x38\x01\x42\x00"), SLUICE_OK, NULL},
    {BYTES("\x08\x07\x6a\x05\x3d"
           "abcd"),
     SLUICE_OK, NULL},
    {BYTES("\x08\x07\x6a\x09\x39"
           "abcdefgh"),
     SLUICE_OK, NULL},
    /* Not well formed. */
    {BYTES("\x08"), SLUICE_EPROTOCOL, "Request.id: a number that does not end"},
    {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), SLUICE_EPROTOCOL,
     "Request.id: a number that does not end"},
    {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), SLUICE_EPROTOCOL, NULL},
    {BYTES("\x00\x01"), SLUICE_EPROTOCOL, "Request: a field's tag that makes no sense"},
    {BYTES("\x80"), SLUICE_EPROTOCOL, "Request: a field's tag that makes no sense"},
    {BYTES("\xff\xff\xff\xff\xff\x01\x00"), SLUICE_EPROTOCOL, NULL},
    {BYTES("\x88\x80\x80\x80\x80\x00\x07\x6a\x00"), SLUICE_EPROTOCOL,
     "Request: protobuf-c does not accept it"},
    {BYTES("\x0a\x00"), SLUICE_EPROTOCOL, "Request.id: bytes where a number belongs"},
    {BYTES("\x09"
           "abcdefgh"),
     SLUICE_EPROTOCOL, "Request.id: a fixed-width number in a field that has none"},
    {BYTES("\x68\x01"), SLUICE_EPROTOCOL, "Request.ping: a number where bytes belong"},
    {BYTES("\x6b\x6c"), SLUICE_EPROTOCOL, "Request.ping: a wire type that is not in use"},
    {BYTES("\x6f"), SLUICE_EPROTOCOL, "Request.ping: a wire type that is not in use"},
    {BYTES("\x08\x07\x6a\x01"), SLUICE_EPROTOCOL,
     "Request.ping: a length that reaches beyond the end"},
    {BYTES("\x6a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), SLUICE_EPROTOCOL,
     "Request.ping: a length that reaches beyond the end"},
    {BYTES("\x08\x07\x12\x02\x08"), SLUICE_EPROTOCOL,
     "Request.read: a length that reaches beyond the end"},
    {BYTES("\x08\x07\x12\x01\x08"), SLUICE_EPROTOCOL,
     "Request.read.handle: a number that does not end"},
    {BYTES("\x3d"
           "abc"),
     SLUICE_EPROTOCOL, NULL},
    /* Protobuf would merge or replace these. */
    {BYTES("\x08\x07\x6a\x00\x6a\x00"), SLUICE_EPROTOCOL,
     "Request.ping: a second member of a oneof"},
    {BYTES("\x08\x07\x6a\x00\x12\x00"), SLUICE_EPROTOCOL,
     "Request.read: a second member of a oneof"},
    {BYTES("\x08\x07\x82\x01\x07\x1a\x01n\x22\x00\x22\x00"), SLUICE_EPROTOCOL,
     "Request.hello.limits: the same message twice"},
    /* Well formed, with values no field takes: these can be answered. */
    {BYTES("\x08\x07\x4a\x08\x0a\x06"
           "pipe:\0"),
     SLUICE_EINVAL, "address: a NUL byte in text"},
    {BYTES("\x08\x07\x4a\x09\x0a\x07"
           "pipe:\xc0\x80"),
     SLUICE_EINVAL, "address: text that is not UTF-8"},
    {BYTES("\x08\x07\x52\x0a\x0a\x08"
           "pipe:\xed\xa0\x80"),
     SLUICE_EINVAL, "address: text that is not UTF-8"},
    {BYTES("\x08\x07\x52\x08\x0a\x06"
           "pipe:\xe2"),
     SLUICE_EINVAL, "address: text that is not UTF-8"},
    {BYTES("\x08\x07\x12\x08\x08\x01\x10\x80\x80\x80\x80\x10"), SLUICE_EINVAL,
     "max_bytes: a number that does not fit 32 bits"},
    {BYTES("\x08\x07\x12\x04\x08\x01\x18\x02"), SLUICE_EINVAL,
     "all: a truth value that is neither 0 nor 1"},
    {BYTES("\x08\x07\x92\x01\x06\x20\xff\xff\xff\xff\x0f"), SLUICE_EINVAL,
     "filter: an enumeration's value that does not fit 31 bits"},
    /* ... unless nothing answers such a message. */
    {BYTES("\x72\x04\x08\x01\x20\x02"), SLUICE_EPROTOCOL,
     "notify: a truth value that is neither 0 nor 1"},
    /* Of two faults that can be answered, the one in the bytes; a violation goes first. */
    {BYTES("\x08\x07\x12\x02\x18\x02"), SLUICE_EINVAL,
     "all: a truth value that is neither 0 nor 1"},
    {BYTES("\x12\x02\x18\x02"), SLUICE_EPROTOCOL, "Request.id: 0 is no id"},
};

static void bytes_that_are_no_request(void **state) {
    test_decoder *decoder = *state;
    for (size_t i = 0; i < sizeof(wire_cases) / sizeof(wire_cases[0]); i++) {
        const wire_case *it = &wire_cases[i];
        uint8_t *exact = malloc(it->length);
        memcpy(exact, it->bytes, it->length);
        sl_request decoded = {0};
        sl_reason reason = {""};
        int status = sl_request_decode(exact, it->length, 0, &decoder->limits, &decoder->arena,
                                       &decoded, &reason);
        free(exact);
        if (it->reason != NULL) {
            assert_string_equal(reason.text, it->reason);
        }
        assert_int_equal(status, it->status);
        assert_int_equal(decoded.id, status == SLUICE_EPROTOCOL ? decoded.id : 7);
    }
}

static void bytes_that_are_no_response(void **state) {
    test_decoder *decoder = *state;
    static const struct {
        const char *bytes;
        size_t length;
        uint32_t payload_length;
        int status;
        const char *reason;
    } cases[] = {
        /* What a later broker may send. */
        {BYTES("\x08\x01\x10\xff\xff\x0f\xa2\x02\x00"), 0, SLUICE_OK, ""}, /* status -131072 */
        {BYTES("\xa2\x02\x00"), 3, SLUICE_OK, ""},
        {BYTES("\x4a\x02\x1a\x00"), 0, SLUICE_OK, ""},
        {BYTES("\x4a\x00"), 0, SLUICE_OK, ""},
        /* What no broker may send. */
        {BYTES("\x08\x01\x10\x02"), 0, SLUICE_EPROTOCOL, "Response.status: is above 0"},
        {BYTES("\x08\x01"), 1, SLUICE_EPROTOCOL,
         "Response: payload length: 1 is out of range: 0 to 0"},
        {BYTES("\x08\x01\x30\x01"), 0, SLUICE_EPROTOCOL,
         "Response.more: without an id or without payload"},
        {BYTES("\x08\x01\x20\x01\x30\x01"), 1, SLUICE_EPROTOCOL,
         "Response.more: together with an outcome"},
        {BYTES("\x08\x01\x4a\x00"), 0, SLUICE_EPROTOCOL, "Response.event: an event has no id"},
        {BYTES("\x08\x01\x42\x00"), 0, SLUICE_EPROTOCOL,
         "Response.opened: handles: 0 is out of range: 1 to 2"},
        {BYTES("\x08\x01\x42\x02\x0a\x00"), 0, SLUICE_EPROTOCOL,
         "Response.opened.handles.handle: 0 is no handle"},
        {BYTES("\x08\x01\x42\x0c\x0a\x02\x08\x01\x0a\x02\x08\x01\x0a\x02\x08\x01"), 0,
         SLUICE_EPROTOCOL, "Response.opened: handles: 3 is out of range: 1 to 2"},
        {BYTES("\x08\x01\x82\x01\x00"), 0, SLUICE_EPROTOCOL,
         "Response.hello: version, session_id or epoch is missing"},
        {BYTES("\x4a\x04\x12\x02\x08\x02"), 0, SLUICE_EPROTOCOL,
         "Response.event.goodbye.status: is above 0"},
        {BYTES("\x08\x01\x3a\x01\x00"), 0, SLUICE_EPROTOCOL, "Response.detail: a NUL byte in text"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sl_response response;
        sl_reason reason = {""};
        int status =
            sl_response_decode((const uint8_t *)cases[i].bytes, cases[i].length,
                               cases[i].payload_length, &decoder->arena, &response, &reason);
        assert_string_equal(reason.text, cases[i].reason);
        assert_int_equal(status, cases[i].status);
    }
}

static int set_up(void **state) {
    static test_decoder decoder;
    samples_init();
    decoder_init(&decoder);
    *state = &decoder;
    return 0;
}

static int tear_down(void **state) {
    decoder_deinit(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_survives),
        cmocka_unit_test(every_response_survives),
        cmocka_unit_test(what_is_too_long_is_not_encoded),
        cmocka_unit_test(refused_requests_are_told_why),
        cmocka_unit_test(bytes_that_are_no_request),
        cmocka_unit_test(bytes_that_are_no_response),
    };
    return cmocka_run_group_tests_name("proto_message", tests, set_up, tear_down);
}
