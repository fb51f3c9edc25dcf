/*
 * frame.c - the frame decoder, fed as a connection feeds it: some bytes, then some more. What it
 * says of a part never contradicts what it says of the whole, and it asks for no byte beyond what
 * the limits allow.
 */
#include "proto/frame.h"
#include "tests/fuzz/fuzz.h"

/* How far the bytes are understood when `pieces` of them are known. Returns frames found. */
static unsigned walk(const uint8_t *bytes, size_t count, const sl_frame_limits *limits,
                     sl_frame_result *ret_last) {
    size_t most = SL_FRAME_HEADER_BYTES + (size_t)limits->control_bytes + limits->payload_bytes;
    unsigned frames = 0;
    for (size_t at = 0;;) {
        uint8_t *exact = fuzz_exact(bytes + at, count - at);
        sl_frame frame;
        size_t needed = 0;
        sl_reason reason = {""};
        *ret_last = sl_frame_parse(exact, count - at, limits, &frame, &needed, &reason);
        if (*ret_last == SL_FRAME_COMPLETE) {
            FUZZ_EXPECT(frame.length >= SL_FRAME_HEADER_BYTES && frame.length <= count - at);
            FUZZ_EXPECT(frame.control_length <= limits->control_bytes);
            FUZZ_EXPECT(frame.payload_length <= limits->payload_bytes);
            FUZZ_EXPECT(frame.control == exact + SL_FRAME_HEADER_BYTES);
            FUZZ_EXPECT(frame.payload == frame.control + frame.control_length);
            FUZZ_EXPECT(frame.length ==
                        SL_FRAME_HEADER_BYTES + frame.control_length + frame.payload_length);
            uint8_t header[SL_FRAME_HEADER_BYTES];
            sl_frame_header(header, frame.control_length, frame.payload_length);
            FUZZ_EXPECT(memcmp(header, exact, sizeof(header)) == 0);
        } else if (*ret_last == SL_FRAME_INCOMPLETE) {
            FUZZ_EXPECT(needed > count - at && needed <= most);
        } else {
            FUZZ_EXPECT(reason.text[0] != '\0' && count - at >= SL_FRAME_HEADER_BYTES);
        }
        free(exact);
        if (*ret_last != SL_FRAME_COMPLETE) {
            return frames;
        }
        at += frame.length;
        frames++;
    }
}

static void check_fragments(fuzz_input *in) {
    uint32_t total = fuzz_u16(in) * 37;
    uint32_t fragment_bytes = 4096 + fuzz_u8(in); /* the limit's minimum, and odd ones */
    uint32_t offset = 0;
    for (;;) {
        sl_fragment fragment = sl_fragment_at(total, offset, fragment_bytes);
        FUZZ_EXPECT(fragment.offset == offset && fragment.length <= fragment_bytes);
        FUZZ_EXPECT(fragment.length > 0 || total == 0);
        offset += fragment.length;
        FUZZ_EXPECT(fragment.is_last == (offset == total));
        if (fragment.is_last) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_input in = {bytes, size};
    sl_frame_limits limits = {.control_bytes = 1 + fuzz_u16(&in), .payload_bytes = fuzz_u16(&in)};
    check_fragments(&in);
    sl_frame_result whole;
    sl_frame_result part = SL_FRAME_INCOMPLETE;
    unsigned frames = walk(in.bytes, in.left, &limits, &whole);
    unsigned seen = 0;
    /* A few cuts only: a long input would take for ever. */
    size_t step = in.left / 16 + 1;
    for (size_t count = 0; count <= in.left; count += step) {
        unsigned now = walk(in.bytes, count, &limits, &part);
        FUZZ_EXPECT(now >= seen && now <= frames);
        FUZZ_EXPECT(part != SL_FRAME_VIOLATION || (whole == SL_FRAME_VIOLATION && now == frames));
        seen = now;
    }
    return 0;
}
