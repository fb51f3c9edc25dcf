/* clock.c - the clock that stands still until it is moved. See clock.h. */
#include "base/clock.h"

#include "base/check.h"

static uint64_t manual_now_ns(sl_clock *clock) {
    return SL_CONTAINER_OF(clock, sl_clock_manual, clock)->now_ns;
}

void sl_clock_manual_init(sl_clock_manual *clock, uint64_t now_ns) {
    clock->clock.now_ns = manual_now_ns;
    clock->now_ns = now_ns;
}
