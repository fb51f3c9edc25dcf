/*
 * fuzz.h - one input is a program: its bytes, read from the front, are the choices that a target
 * makes. When they run out, everything reads as 0 and the target winds up.
 *
 * A target is one function, LLVMFuzzerTestOneInput (libFuzzer's name). The preset linux-fuzz links
 * it with libFuzzer; every other one with replay.c, which runs the inputs of the corpus as a test.
 * A broken expectation aborts; so does a sanitizer.
 */
#ifndef SLUICE_TESTS_FUZZ_FUZZ_H
#define SLUICE_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define FUZZ_EXPECT(condition) SL_CHECK(condition, "a fuzz target")

typedef struct fuzz_input {
    const uint8_t *bytes;
    size_t left;
} fuzz_input;

static inline uint8_t fuzz_u8(fuzz_input *in) {
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->bytes++;
}

static inline uint32_t fuzz_u16(fuzz_input *in) {
    uint32_t low = fuzz_u8(in);
    return low | (uint32_t)fuzz_u8(in) << 8;
}

static inline uint64_t fuzz_u64(fuzz_input *in) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)fuzz_u8(in) << (8 * i);
    }
    return value;
}

/* Up to `wanted` bytes of the input; ret_count says how many there were. */
static inline const uint8_t *fuzz_take(fuzz_input *in, size_t wanted, size_t *ret_count) {
    const uint8_t *at = in->bytes;
    *ret_count = wanted < in->left ? wanted : in->left;
    in->bytes += *ret_count;
    in->left -= *ret_count;
    return at;
}

/* A copy of exactly that size, so that a sanitizer sees a byte too far. Free it. */
static inline uint8_t *fuzz_exact(const uint8_t *bytes, size_t count) {
    uint8_t *copy = malloc(count > 0 ? count : 1);
    FUZZ_EXPECT(copy != NULL);
    memcpy(copy, bytes, count);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
