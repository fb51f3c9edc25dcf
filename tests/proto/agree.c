/*
 * agree.c - see agree.h.
 */
#include "tests/proto/agree.h"

#include "base/check.h"
#include "base/status.h"
#include "proto/flat.h"

#define EXPECT(condition) SL_CHECK(condition, "the two ways of decoding agree")

/* A reason tells what is wrong, and nothing when nothing is. */
static void check_verdict(int status, const sl_reason *reason) {
    EXPECT(status <= 0 && status > -SLUICE_STATUS_COUNT);
    EXPECT((reason->text[0] == '\0') == (status == SLUICE_OK));
}

int agree_response(sl_arena *arena, const uint8_t *bytes, size_t length, uint32_t payload_length,
                   sl_response *ret_response, sl_reason *ret_reason) {
    sl_response *response = ret_response;
    *ret_reason = (sl_reason){""};
    int status =
        sl_response_decode_general(bytes, length, payload_length, arena, response, ret_reason);
    uint8_t general[SL_RESPONSE_BYTES_PLAIN];
    size_t general_length = 0;
    bool is_plain =
        status == SLUICE_OK && response->detail[0] == '\0' &&
        (response->kind == SL_RESPONSE_PLAIN || response->kind == SL_RESPONSE_DATA);
    if (is_plain) {
        EXPECT(sl_response_encode_general(response, payload_length, general, sizeof(general),
                                          &general_length) == SLUICE_OK);
    }
    sl_reason other_reason = {""};
    EXPECT(sl_response_decode(bytes, length, payload_length, arena, response, &other_reason) ==
           status);
    EXPECT(strcmp(other_reason.text, ret_reason->text) == 0);
    EXPECT(status == SLUICE_OK || status == SLUICE_EPROTOCOL);
    check_verdict(status, ret_reason);
    if (is_plain) {
        uint8_t flat[SL_RESPONSE_BYTES_PLAIN];
        size_t flat_length = 0;
        EXPECT(sl_response_encode(response, payload_length, flat, sizeof(flat), &flat_length) ==
               SLUICE_OK);
        EXPECT(flat_length == general_length && memcmp(flat, general, flat_length) == 0);
    }
    return status;
}

int agree_request(sl_arena *arena, const sl_session_limits *limits, const uint8_t *bytes,
                  size_t length, uint32_t payload_length, sl_request *ret_request,
                  sl_reason *ret_reason) {
    *ret_request = (sl_request){0};
    *ret_reason = (sl_reason){""};
    int status = sl_request_decode_general(bytes, length, payload_length, limits, arena,
                                           ret_request, ret_reason);
    uint8_t general[SL_REQUEST_BYTES_MAX];
    size_t general_length = 0;
    if (status == SLUICE_OK) {
        EXPECT(sl_request_encode_general(ret_request, payload_length, general, sizeof(general),
                                         &general_length) == SLUICE_OK);
    }
    sl_request general_request = *ret_request;
    sl_reason other_reason = {""};
    EXPECT(sl_request_decode(bytes, length, payload_length, limits, arena, ret_request,
                             &other_reason) == status);
    EXPECT(strcmp(other_reason.text, ret_reason->text) == 0);
    check_verdict(status, ret_reason);
    if (status != SLUICE_EPROTOCOL) {
        EXPECT(ret_request->id == general_request.id && ret_request->kind == general_request.kind);
    }
    if (status == SLUICE_OK) {
        uint8_t flat[SL_REQUEST_BYTES_MAX];
        size_t flat_length = 0;
        EXPECT(sl_request_encode(ret_request, payload_length, flat, sizeof(flat), &flat_length) ==
               SLUICE_OK);
        EXPECT(flat_length == general_length && memcmp(flat, general, flat_length) == 0);
    }
    return status;
}
