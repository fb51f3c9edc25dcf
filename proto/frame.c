/* frame.c - see frame.h. */
#include "proto/frame.h"

#include "base/check.h"

static uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void put_u32(uint8_t *bytes, uint32_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
    bytes[2] = (uint8_t)(value >> 16);
    bytes[3] = (uint8_t)(value >> 24);
}

sl_frame_result sl_frame_parse(const uint8_t *bytes, size_t count, const sl_frame_limits *limits,
                               sl_frame *ret_frame, size_t *ret_needed, sl_reason *ret_reason) {
    if (count < SL_FRAME_HEADER_BYTES) {
        *ret_needed = SL_FRAME_HEADER_BYTES;
        return SL_FRAME_INCOMPLETE;
    }
    uint32_t control_length = get_u32(bytes);
    uint32_t payload_length = get_u32(bytes + 4);
    if (control_length == 0 || control_length > limits->control_bytes) {
        (void)sl_reason_range(ret_reason, 0, "frame control length", control_length, 1,
                              limits->control_bytes);
        return SL_FRAME_VIOLATION;
    }
    if (payload_length > limits->payload_bytes) {
        (void)sl_reason_range(ret_reason, 0, "frame payload length", payload_length, 0,
                              limits->payload_bytes);
        return SL_FRAME_VIOLATION;
    }
    size_t length = SL_FRAME_HEADER_BYTES + (size_t)control_length + payload_length;
    if (count < length) {
        *ret_needed = length;
        return SL_FRAME_INCOMPLETE;
    }
    *ret_frame = (sl_frame){
        .control = bytes + SL_FRAME_HEADER_BYTES,
        .control_length = control_length,
        .payload_length = payload_length,
        .payload = bytes + SL_FRAME_HEADER_BYTES + control_length,
        .length = length,
    };
    return SL_FRAME_COMPLETE;
}

bool sl_frame_begin(const uint8_t *bytes, size_t count, sl_frame *ret_frame, size_t *ret_needed) {
    SL_CHECK(count >= SL_FRAME_HEADER_BYTES, "the lengths were looked at");
    uint32_t control_length = get_u32(bytes);
    uint32_t payload_length = get_u32(bytes + 4);
    size_t begun = SL_FRAME_HEADER_BYTES + (size_t)control_length;
    size_t length = begun + payload_length;
    SL_CHECK(count < length, "the frame is not complete");
    *ret_needed = begun;
    if (count < begun) {
        return false;
    }
    *ret_frame = (sl_frame){
        .control = bytes + SL_FRAME_HEADER_BYTES,
        .control_length = control_length,
        .payload_length = payload_length,
        .payload_missing = (uint32_t)(length - count),
        .payload = bytes + begun,
        .length = count,
    };
    return true;
}

void sl_frame_header(uint8_t header[SL_FRAME_HEADER_BYTES], uint32_t control_length,
                     uint32_t payload_length) {
    put_u32(header, control_length);
    put_u32(header + 4, payload_length);
}

sl_fragment sl_fragment_at(uint32_t total, uint32_t offset, uint32_t fragment_bytes) {
    SL_CHECK(offset <= total && fragment_bytes > 0, "a fragment lies within its payload");
    uint32_t rest = total - offset;
    uint32_t length = rest < fragment_bytes ? rest : fragment_bytes;
    return (sl_fragment){.offset = offset, .length = length, .is_last = length == rest};
}
