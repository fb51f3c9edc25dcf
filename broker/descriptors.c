/*
 * descriptors.c - see descriptors.h.
 */
#include "broker/descriptors.h"

#include "base/check.h"

static uint64_t at_most(uint64_t value, uint64_t most) {
    return value < most ? value : most;
}

static uint64_t at_least(uint64_t value, uint64_t least) {
    return value > least ? value : least;
}

static uint64_t least_own(uint32_t worker_count) {
    return DESCRIPTORS_LEAST + DESCRIPTORS_LEAST_WORKER * (uint64_t)worker_count;
}

uint64_t descriptors_needed(uint32_t worker_count) {
    return least_own(worker_count) + DESCRIPTORS_LEAST_CLIENT;
}

void descriptors_init(broker_descriptors *d, uint64_t process_limit, uint32_t worker_count) {
    uint64_t own = DESCRIPTORS_OWN + DESCRIPTORS_OWN_WORKER * (uint64_t)worker_count;
    atomic_init(&d->in_use, 0);
    own = at_most(own, process_limit / 2); /* many processors and a small limit: share them */
    own = at_least(own, least_own(worker_count));
    d->limit = process_limit == 0 ? 0 : process_limit - at_most(own, process_limit - 1);
    d->kept_sessions = at_most(d->limit / 8, DESCRIPTORS_SESSIONS);
    d->kept_small = at_most(d->limit / 4, DESCRIPTORS_SMALL);
}

/* Takes them if `kept` are free afterwards. */
static bool take(broker_descriptors *d, uint32_t count, uint64_t kept) {
    uint64_t before = atomic_fetch_add_explicit(&d->in_use, count, memory_order_relaxed);
    if (d->limit != 0 && before + count + kept > d->limit) {
        descriptors_release(d, count);
        return false;
    }
    return true;
}

bool descriptors_take_session(broker_descriptors *d) {
    return take(d, DESCRIPTORS_SESSION, 0);
}

bool descriptors_take_handles(broker_descriptors *d, uint32_t count, uint32_t handles) {
    return take(d, count, d->kept_sessions + (handles >= DESCRIPTORS_FEW ? d->kept_small : 0));
}

void descriptors_release(broker_descriptors *d, uint32_t count) {
    uint64_t before = atomic_fetch_sub_explicit(&d->in_use, count, memory_order_relaxed);
    SL_CHECK(before >= count, "a descriptor is given back once");
}

void descriptors_check_empty(const broker_descriptors *d) {
    SL_CHECK(atomic_load(&d->in_use) == 0, "a broker ends without descriptors of its clients");
}
