/* clock_posix.c - the system clock on POSIX: CLOCK_MONOTONIC, without the time spent suspended. */
#include "base/clock.h"

#include <time.h>

#include "base/check.h"

static uint64_t system_now_ns(sl_clock *clock) {
    struct timespec now;
    (void)clock;
    SL_CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0, "the system has a monotonic clock");
    return (uint64_t)now.tv_sec * SL_NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t utc_now_ns(sl_clock *clock) {
    struct timespec now;
    (void)clock;
    SL_CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0, "the system knows what the time is");
    return (uint64_t)now.tv_sec * SL_NS_PER_S + (uint64_t)now.tv_nsec;
}

sl_clock *sl_clock_utc(void) {
    static sl_clock utc_clock = {utc_now_ns};
    return &utc_clock;
}

sl_clock *sl_clock_system(void) {
    static sl_clock system_clock = {system_now_ns};
    return &system_clock;
}
