/* samples.c - a decoder, and messages of every kind. */
#include "tests/proto/proto_test.h"

char text_of_64[65];
char text_of_256[257];
char address_of_512[513];
static char user_of_183[184];

static sl_ops_row rows[SL_OPS_ROWS_MAX];

void decoder_init(test_decoder *decoder) {
    sl_account_init(&decoder->account, sl_allocator_system(), "decoder", SIZE_MAX);
    assert_int_equal(sl_message_arena_init(&decoder->arena, &decoder->account), SLUICE_OK);
    sl_limits limits;
    sl_limits_default(&limits);
    sl_session_limits any = {0};
    sl_limits_grant(&limits, &any, &decoder->limits);
    decoder->frame_limits =
        (sl_frame_limits){decoder->limits.control_bytes, decoder->limits.fragment_bytes};
}

void decoder_deinit(test_decoder *decoder) {
    assert_int_equal(decoder->account.acquired_count, 1);
    assert_int_equal(decoder->account.peak_bytes, SL_MESSAGE_ARENA_BYTES);
    assert_true(decoder->arena.peak_bytes <= SL_MESSAGE_ARENA_BYTES);
    sl_arena_deinit(&decoder->arena);
    sl_account_deinit(&decoder->account);
}

void samples_init(void) {
    memset(text_of_64, 'n', 64);
    memset(text_of_256, 'd', 256);
    memset(address_of_512, 'a', 512);
    memset(user_of_183, 'u', 183);
    for (size_t i = 0; i < SL_OPS_ROWS_MAX; i++) {
        rows[i] = (sl_ops_row){
            .session_id = UINT64_MAX,
            .client_name = text_of_64,
            .process_id = UINT64_MAX,
            .operation_id = UINT64_MAX,
            .handle = UINT64_MAX,
            .kind = (sl_request_kind)INT32_MAX,
            .state = (sl_operation_state)INT32_MAX,
            .age_ns = UINT64_MAX,
            .remaining_ns = UINT64_MAX,
            .length_bytes = UINT64_MAX,
            .done_bytes = UINT64_MAX,
            .worker = UINT32_MAX,
            .stuck = true,
            .user = user_of_183,
        };
    }
}

static const sl_request requests[] = {
    {.id = 1,
     .kind = SL_REQUEST_HELLO,
     .as.hello = {1, 3, "demo", {4096, 8192, 65536, 16, 1048576, 32}, 4711}},
    {.id = 1, .kind = SL_REQUEST_HELLO, .as.hello = {0, 0, "d\xc3\xa9mo", {0}, 0}},
    {.id = UINT64_MAX,
     .kind = SL_REQUEST_HELLO,
     .as.hello = {UINT32_MAX,
                  UINT32_MAX,
                  text_of_64,
                  {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX},
                  UINT64_MAX}},
    {.id = 2, .kind = SL_REQUEST_PAIR, .as.pair = {0, false}},
    {.id = 2, .kind = SL_REQUEST_PAIR, .as.pair = {UINT64_MAX, false}},
    {.id = 3, .kind = SL_REQUEST_LISTEN, .as.listen = {"pipe:demo", 0, 0}},
    {.id = 3, .kind = SL_REQUEST_LISTEN, .as.listen = {"tcp:127.0.0.1:0", 64, UINT64_MAX}},
    {.id = 4, .kind = SL_REQUEST_ACCEPT, .as.accept = {0x100000001, 5, false}},
    {.id = 5, .kind = SL_REQUEST_CONNECT, .as.connect = {"tcp:[::1]:80", 1000000000, false}},
    {.id = 6, .kind = SL_REQUEST_READ, .as.read = {0x100000001, 30, 65536, true}},
    {.id = 6, .kind = SL_REQUEST_READ, .as.read = {UINT64_MAX, UINT64_MAX, 1048576, false}},
    {.id = 6, .kind = SL_REQUEST_READ, .as.read = {1, 0, 0, false}},
    {.id = 7, .kind = SL_REQUEST_WRITE, .as.write = {0x100000002, 0, 2}},
    {.id = 7, .kind = SL_REQUEST_WRITE, .as.write = {UINT64_MAX, UINT64_MAX, 1048576}},
    {.id = 7, .kind = SL_REQUEST_WRITE, .as.write = {1, 0, 0}},
    {.id = 7, .kind = SL_REQUEST_WRITE_DATA},
    {.id = 8, .kind = SL_REQUEST_HALF_CLOSE, .as.half_close = {9, 10}},
    {.id = 9, .kind = SL_REQUEST_ACKNOWLEDGE_TORN, .as.acknowledge_torn = {11}},
    {.id = 0, .kind = SL_REQUEST_CANCEL, .as.cancel = {UINT64_MAX}},
    {.id = 10, .kind = SL_REQUEST_CLOSE, .as.close = {12, 13}},
    {.id = 11, .kind = SL_REQUEST_PING},
    {.id = 12, .kind = SL_REQUEST_STATUS},
    {.id = 13, .kind = SL_REQUEST_OPS, .as.ops = {14, 15, 64, SL_OPS_FILTER_STUCK}},
    {.id = 13, .kind = SL_REQUEST_OPS, .as.ops = {0}},
    {.id = 2, .kind = SL_REQUEST_PAIR, .as.pair = {0, true}},
    {.id = 4, .kind = SL_REQUEST_ACCEPT, .as.accept = {UINT64_MAX, UINT64_MAX, true}},
    {.id = 5, .kind = SL_REQUEST_CONNECT, .as.connect = {"pipe:x", 0, true}},
    {.kind = SL_REQUEST_LEAVE},
    {.kind = SL_REQUEST_STREAM_READ, .as.stream_read = {1, {0, 0, false}}},
    {.kind = SL_REQUEST_STREAM_READ, .as.stream_read = {257, {65536, 4096, true}}},
    {.kind = SL_REQUEST_STREAM_READ,
     .as.stream_read = {UINT64_MAX, {UINT64_MAX, UINT64_MAX, true}}},
    {.kind = SL_REQUEST_STREAM_CANCEL, .as.stream_cancel = {257, SL_STREAM_READING, {0, 0}}},
    {.kind = SL_REQUEST_STREAM_CANCEL,
     .as.stream_cancel = {UINT64_MAX, SL_STREAM_WRITING, {1, UINT64_MAX}}},
};

static const sl_response responses[] = {
    {.id = 1},
    {.id = 2, .more = true},
    {.id = 2, .done = 1048576},
    {.id = UINT64_MAX,
     .status = INT32_MIN,
     .os_error = UINT32_MAX,
     .done = UINT64_MAX,
     .in_doubt = UINT64_MAX,
     .detail = text_of_256},
    {.id = UINT64_MAX,
     .status = INT32_MIN,
     .os_error = UINT32_MAX,
     .done = UINT64_MAX,
     .in_doubt = UINT64_MAX},
    {.id = 3,
     .kind = SL_RESPONSE_HELLO,
     .as.hello = {1,
                  1,
                  2,
                  3,
                  4,
                  {65536, 65536, 1048576, 1024, 16777216, 16384},
                  "0.1.0",
                  "epoll",
                  5000000000,
                  1000000000,
                  5000000000}},
    {.id = UINT64_MAX,
     .status = SLUICE_EVERSION,
     .kind = SL_RESPONSE_HELLO,
     .as.hello = {UINT32_MAX,
                  UINT32_MAX,
                  UINT32_MAX,
                  UINT64_MAX,
                  UINT64_MAX,
                  {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX},
                  text_of_64,
                  text_of_64,
                  UINT64_MAX,
                  UINT64_MAX,
                  UINT64_MAX}},
    {.id = 4, .kind = SL_RESPONSE_OPENED, .as.opened = {1, {{7, SL_CAN_ACCEPT, "tcp:[::]:9"}}}},
    {.id = UINT64_MAX,
     .kind = SL_RESPONSE_OPENED,
     .as.opened = {2,
                   {{UINT64_MAX, UINT32_MAX, address_of_512},
                    {UINT64_MAX, UINT32_MAX, address_of_512}}}},
    {.id = UINT64_MAX,
     .kind = SL_RESPONSE_STATUS,
     .as.status = {text_of_64, text_of_64, UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX,
                   UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                   UINT64_MAX, UINT64_MAX, UINT64_MAX, true, user_of_183, UINT64_MAX, true,
                   UINT64_MAX, UINT64_MAX, UINT64_MAX}},
    {.id = 5,
     .kind = SL_RESPONSE_STATUS,
     .as.status = {"0.1.0", "iocp", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, false,
                   "uid 1000", 14, false, 15, 16, 17}},
    {.id = 6, .kind = SL_RESPONSE_OPS, .as.ops = {NULL, 0, 0}},
    {.id = 6, .kind = SL_RESPONSE_OPS, .as.ops = {rows, 1, 77}},
    {.id = UINT64_MAX, .kind = SL_RESPONSE_OPS, .as.ops = {rows, SL_OPS_ROWS_MAX, UINT64_MAX}},
    {.kind = SL_RESPONSE_EVENT, .as.event = {SL_EVENT_DRAINING, UINT64_MAX, 0, NULL}},
    {.kind = SL_RESPONSE_EVENT, .as.event = {SL_EVENT_GOODBYE, 0, SLUICE_EPROTOCOL, "no Hello"}},
    {.kind = SL_RESPONSE_EVENT, .as.event = {SL_EVENT_GOODBYE, 0, INT32_MIN, text_of_256}},
    {.kind = SL_RESPONSE_DATA, .as.data = {257, {.at = 0, .length = 17}}},
    {.kind = SL_RESPONSE_DATA, .as.data = {1, {4096, 0, SLUICE_EEOF, 0, false}}},
    {.kind = SL_RESPONSE_DATA,
     .as.data = {UINT64_MAX, {UINT64_MAX, 65536, INT32_MIN, UINT32_MAX, true}}},
};

const sl_request *sample_request(size_t index) {
    return index < sizeof(requests) / sizeof(requests[0]) ? &requests[index] : NULL;
}

const sl_response *sample_response(size_t index) {
    return index < sizeof(responses) / sizeof(responses[0]) ? &responses[index] : NULL;
}

uint32_t sample_request_payload(const sl_request *request) {
    if (request->kind == SL_REQUEST_WRITE) {
        return request->as.write.length_bytes > 65536 ? 65536 : request->as.write.length_bytes;
    }
    return request->kind == SL_REQUEST_WRITE_DATA ? 17 : 0;
}

uint32_t sample_response_payload(const sl_response *response) {
    if (response->more) {
        return 65536;
    }
    if (response->kind == SL_RESPONSE_DATA) {
        return response->as.data.data.length;
    }
    return response->done > 65536 ? 65536 : (uint32_t)response->done;
}
