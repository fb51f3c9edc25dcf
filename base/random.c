/*
 * random.c - the seeded generator: xoshiro256** (Blackman and Vigna, prng.di.unimi.it, public
 * domain), its state filled by splitmix64 as its authors advise. For tests, jitter and the
 * simulator; nothing secret comes from it. Bytes are the little-endian form of its numbers on every
 * machine, so that a seed replays anywhere.
 */
#include "base/random.h"

#include "base/check.h"

static uint64_t rotate_left(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

uint64_t sl_random_seeded_u64(sl_random_seeded *random) {
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static void seeded_fill(sl_random *random, void *bytes, size_t count) {
    sl_random_seeded *seeded = SL_CONTAINER_OF(random, sl_random_seeded, random);
    unsigned char *out = bytes;
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        number = i % 8 == 0 ? sl_random_seeded_u64(seeded) : number >> 8;
        out[i] = (unsigned char)(number & 0xff);
    }
}

void sl_random_seeded_init(sl_random_seeded *random, uint64_t seed) {
    random->random.fill = seeded_fill;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(random->state); i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        random->state[i] = z ^ z >> 31;
    }
}

uint32_t sl_random_seeded_below(sl_random_seeded *random, uint32_t bound) {
    SL_CHECK(bound > 0, "a random number below 0 does not exist");
    /* Lemire's multiply and shift; the few low products that would favour some results are redrawn.
     * They are below `bound`, so that the division is hardly ever needed. */
    uint64_t product = (sl_random_seeded_u64(random) >> 32) * bound;
    if ((uint32_t)(product & UINT32_MAX) < bound) {
        uint32_t unfair_below = (uint32_t)(0u - bound) % bound;
        while ((uint32_t)(product & UINT32_MAX) < unfair_below) {
            product = (sl_random_seeded_u64(random) >> 32) * bound;
        }
    }
    return (uint32_t)(product >> 32);
}
