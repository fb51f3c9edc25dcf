/*
 * clock.h - an injected monotonic clock that does not count the time the system sleeps.
 *
 * Times are uint64_t nanoseconds since an arbitrary start; a deadline is an absolute time on that
 * clock. SL_CLOCK_NEVER is the deadline that never comes. Thread-safe.
 * Linux: CLOCK_MONOTONIC (clock_gettime(2): does not count suspend).
 * Windows: QueryUnbiasedInterruptTimePrecise (docs: unbiased = without sleep and hibernation).
 */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

#define SL_CLOCK_NEVER UINT64_MAX
#define SL_NS_PER_US   UINT64_C(1000)
#define SL_NS_PER_MS   UINT64_C(1000000)
#define SL_NS_PER_S    UINT64_C(1000000000)

typedef struct sl_clock sl_clock;
struct sl_clock {
    uint64_t (*now_ns)(sl_clock *clock);
};

static inline uint64_t sl_clock_now_ns(sl_clock *clock) {
    return clock->now_ns(clock);
}

/* now + delta_ns, saturating at SL_CLOCK_NEVER. */
static inline uint64_t sl_clock_after_ns(uint64_t now_ns, uint64_t delta_ns) {
    return delta_ns >= SL_CLOCK_NEVER - now_ns ? SL_CLOCK_NEVER : now_ns + delta_ns;
}

/* The operating system's clock. Static, never freed. */
sl_clock *sl_clock_system(void);

/* What the time is: nanoseconds since the beginning of 1970, UTC. For people; it may jump, and no
 * deadline is counted on it. Static, never freed.
 * Linux: CLOCK_REALTIME. Windows: GetSystemTimePreciseAsFileTime (docs: Windows 8 and later). */
sl_clock *sl_clock_utc(void);

/* A clock that stands still until it is moved, for tests and the simulator. One thread. */
typedef struct sl_clock_manual {
    sl_clock clock;
    uint64_t now_ns;
} sl_clock_manual;

void sl_clock_manual_init(sl_clock_manual *clock, uint64_t now_ns);

#endif
