/* test_clock.c - the system clock never goes back, the manual clock stands still. */
#include "unit.h"

#include <inttypes.h>

#include "base/clock.h"

#define READS   200000
#define THREADS 4

static void test_manual_clock_moves_only_by_hand(void **state) {
    sl_clock_manual manual;
    (void)state;
    sl_clock_manual_init(&manual, 5 * SL_NS_PER_S);
    assert_true(sl_clock_now_ns(&manual.clock) == 5 * SL_NS_PER_S);
    assert_true(sl_clock_now_ns(&manual.clock) == 5 * SL_NS_PER_S);
    manual.now_ns += 17;
    assert_true(sl_clock_now_ns(&manual.clock) == 5 * SL_NS_PER_S + 17);
}

static void test_deadlines_saturate(void **state) {
    (void)state;
    assert_true(sl_clock_after_ns(10, 5) == 15);
    assert_true(sl_clock_after_ns(10, SL_CLOCK_NEVER) == SL_CLOCK_NEVER);
    assert_true(sl_clock_after_ns(SL_CLOCK_NEVER - 1, 1) == SL_CLOCK_NEVER);
    assert_true(sl_clock_after_ns(SL_CLOCK_NEVER - 2, 1) == SL_CLOCK_NEVER - 1);
    assert_true(sl_clock_after_ns(SL_CLOCK_NEVER, 1) == SL_CLOCK_NEVER);
}

typedef struct reader {
    sl_atomic_u64 *latest; /* what any thread has read so far */
    uint64_t smallest_step_ns;
    unsigned went_back;
} reader;

/* A time published before we read the clock must not be later than what we read. */
static void read_clock(void *context) {
    reader *self = context;
    uint64_t last_ns = 0;
    for (int i = 0; i < READS; i++) {
        uint_fast64_t seen_ns = atomic_load(self->latest);
        uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
        if (now_ns < seen_ns || now_ns < last_ns) {
            self->went_back++;
        }
        if (last_ns != 0 && now_ns != last_ns && now_ns - last_ns < self->smallest_step_ns) {
            self->smallest_step_ns = now_ns - last_ns;
        }
        last_ns = now_ns;
        while (seen_ns < now_ns && !atomic_compare_exchange_weak(self->latest, &seen_ns, now_ns)) {
        }
    }
}

static void test_system_clock_is_monotonic_across_threads(void **state) {
    sl_atomic_u64 latest;
    sl_thread threads[THREADS];
    reader readers[THREADS];
    (void)state;
    atomic_init(&latest, 0);
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (reader){.latest = &latest, .smallest_step_ns = UINT64_MAX};
        unit_thread_start(&threads[i], read_clock, &readers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        sl_thread_join(&threads[i]);
        assert_int_equal(readers[i].went_back, 0);
        assert_true(readers[i].smallest_step_ns < SL_NS_PER_MS);
    }
    assert_true(sl_clock_now_ns(sl_clock_system()) > start_ns);
    print_message("system clock: smallest step %" PRIu64 " ns\n", readers[0].smallest_step_ns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manual_clock_moves_only_by_hand),
        cmocka_unit_test(test_deadlines_saturate),
        cmocka_unit_test(test_system_clock_is_monotonic_across_threads),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
