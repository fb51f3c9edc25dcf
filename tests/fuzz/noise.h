/*
 * noise.h - what neither side should send: a frame whose control bytes are the input's, or not even
 * a frame.
 */
#ifndef SLUICE_TESTS_FUZZ_NOISE_H
#define SLUICE_TESTS_FUZZ_NOISE_H

#include "proto/frame.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_NOISE_BYTES (SL_FRAME_HEADER_BYTES + UINT8_MAX)

/* Returns the length, which may be 0. */
static inline size_t fuzz_noise(fuzz_input *in, uint8_t ret_bytes[FUZZ_NOISE_BYTES]) {
    size_t count;
    bool is_frame = fuzz_u8(in) & 1;
    const uint8_t *bytes = fuzz_take(in, fuzz_u8(in), &count);
    size_t at = is_frame ? SL_FRAME_HEADER_BYTES : 0;
    if (is_frame) {
        sl_frame_header(ret_bytes, (uint32_t)count, 0);
    }
    if (count > 0) {
        memcpy(ret_bytes + at, bytes, count);
    }
    return at + count;
}

#endif
