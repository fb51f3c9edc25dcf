/*
 * tally.c - see tally.h. One word holds the count and, above it, the generation of the process that
 * counted: so the first change in a child of fork is one step, and cannot undo another thread's.
 */
#include "client/tally.h"

#include "base/check.h"
#include "client/fork.h"

#define COUNT_MASK UINT64_C(0xffffffff)

static uint64_t own_part(void) {
    return client_fork_generation() << 32;
}

static uint64_t count_in(uint64_t word, uint64_t own) {
    return (word & ~COUNT_MASK) == own ? word & COUNT_MASK : 0;
}

void client_tally_add(client_tally *tally) {
    uint64_t own = own_part();
    uint64_t word = atomic_load(&tally->word);
    while (!atomic_compare_exchange_weak(&tally->word, &word, own | (count_in(word, own) + 1))) {
    }
}

void client_tally_remove(client_tally *tally) {
    uint64_t before = atomic_fetch_sub(&tally->word, 1);
    SL_CHECK(count_in(before, own_part()) != 0, "a process counts its own only");
}

uint32_t client_tally_get(const client_tally *tally) {
    return (uint32_t)count_in(atomic_load(&tally->word), own_part());
}
