/*
 * random.h - injected randomness: the system's, or a seeded generator that replays.
 */
#ifndef SLUICE_BASE_RANDOM_H
#define SLUICE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct sl_random sl_random;
struct sl_random {
    void (*fill)(sl_random *random, void *bytes, size_t count);
};

/* Unpredictable bytes from the operating system (getrandom(2), RtlGenRandom). Thread-safe,
 * static, never freed; aborts if the system has none to give. Windows may open a device on first
 * use: call it once at start-up, not first on a worker. */
sl_random *sl_random_system(void);

/* A small fast generator (xoshiro256**): a seed gives the same bytes everywhere. One thread. */
typedef struct sl_random_seeded {
    sl_random random;
    uint64_t state[4];
} sl_random_seeded;

void sl_random_seeded_init(sl_random_seeded *random, uint64_t seed);
uint64_t sl_random_seeded_u64(sl_random_seeded *random);
/* Uniform in [0, bound); bound > 0. */
uint32_t sl_random_seeded_below(sl_random_seeded *random, uint32_t bound);

#endif
