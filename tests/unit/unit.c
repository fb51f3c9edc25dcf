/* unit.c - see unit.h. */
#include "unit.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/status.h"

uint64_t unit_deadline_ns(uint64_t delta_ns) {
    return sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), delta_ns);
}

void unit_random_init(sl_random_seeded *random, const char *test_name) {
    uint64_t seed = 0;
    const char *given = getenv("SLUICE_SEED");
    if (given != NULL) {
        seed = strtoull(given, NULL, 0);
    } else {
        sl_random_system()->fill(sl_random_system(), &seed, sizeof(seed));
    }
    print_message("%s: SLUICE_SEED=0x%016" PRIx64 "\n", test_name, seed);
    sl_random_seeded_init(random, seed);
}

void unit_thread_start(sl_thread *ret_thread, sl_thread_fn run, void *context) {
    assert_int_equal(sl_thread_start(ret_thread, "unit", run, context), SLUICE_OK);
}

void unit_memory_init(unit_memory *memory, uint64_t fail_at, bool from_then_on) {
    sl_alloc_failpoint_init(&memory->failpoint, sl_allocator_system(), fail_at, from_then_on);
    sl_account_init(&memory->account, &memory->failpoint.allocator, "unit", SIZE_MAX);
}

void unit_memory_deinit(unit_memory *memory) {
    assert_int_equal(atomic_load(&memory->account.used_bytes), 0);
    assert_int_equal(atomic_load(&memory->account.acquired_count),
                     atomic_load(&memory->account.released_count));
    sl_account_deinit(&memory->account);
}
