/*
 * descriptors.c - see descriptors.h.
 */
#include "broker/descriptors.h"

#include "base/check.h"
#include "base/status.h"

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

void descriptors_init(broker_descriptors *d, uint64_t process_limit, uint32_t worker_count,
                      bool has_shares) {
    uint64_t own = DESCRIPTORS_OWN + DESCRIPTORS_OWN_WORKER * (uint64_t)worker_count;
    atomic_init(&d->in_use, 0);
    own = at_most(own, process_limit / 2); /* many processors and a small limit: share them */
    own = at_least(own, least_own(worker_count));
    d->process_limit = process_limit;
    d->limit = process_limit == 0 ? 0 : process_limit - at_most(own, process_limit - 1);
    d->has_shares = has_shares;
    d->kept_sessions = at_most(d->limit / 8, DESCRIPTORS_SESSIONS);
    d->kept_small = at_most(d->limit / 4, DESCRIPTORS_SMALL);
}

static void take_from(sl_atomic_u64 *in_use, uint32_t count) {
    uint64_t before = atomic_fetch_sub_explicit(in_use, count, memory_order_relaxed);
    SL_CHECK(before >= count, "a descriptor is given back once");
}

void descriptors_release(broker_descriptors *d, sl_atomic_u64 *users, uint32_t count) {
    take_from(&d->in_use, count);
    take_from(users, count);
}

/* Of a user that has `mine` of the `all` that are in use: half of what the others leave. */
static uint64_t share_of(const broker_descriptors *d, uint64_t all, uint64_t mine) {
    uint64_t others = all - at_most(mine, all); /* other workers count meanwhile */
    return (d->limit - at_most(others, d->limit)) / 2;
}

/* SLUICE_OK; EQUOTA, and nothing has changed. */
static int take_share(broker_descriptors *d, sl_atomic_u64 *users, uint32_t count, uint64_t all,
                      sl_reason *ret_reason) {
    uint64_t mine = atomic_fetch_add_explicit(users, count, memory_order_relaxed);
    uint64_t share = share_of(d, all, mine);
    if (d->limit != 0 && d->has_shares && mine + count > share) {
        take_from(users, count);
        return sl_limit_reached(ret_reason, SL_LIMIT_USER, "descriptors", share);
    }
    return SLUICE_OK;
}

/* Takes them if `kept` are free afterwards, and the user has no more than its share. */
static int take(broker_descriptors *d, sl_atomic_u64 *users, uint32_t count, uint64_t kept,
                sl_reason *ret_reason) {
    uint64_t all = atomic_fetch_add_explicit(&d->in_use, count, memory_order_relaxed);
    int status = take_share(d, users, count, all, ret_reason);
    if (status != SLUICE_OK) {
        take_from(&d->in_use, count);
        return status;
    }
    if (d->limit != 0 && all + count + kept > d->limit) {
        descriptors_release(d, users, count);
        return sl_limit_reached(ret_reason, SL_LIMIT_BROKER, "descriptors", d->process_limit);
    }
    return SLUICE_OK;
}

int descriptors_take_share(broker_descriptors *d, sl_atomic_u64 *users, sl_reason *ret_reason) {
    uint64_t all = atomic_load_explicit(&d->in_use, memory_order_relaxed) - DESCRIPTORS_SESSION;
    return take_share(d, users, DESCRIPTORS_SESSION, all, ret_reason);
}

void descriptors_give_share(sl_atomic_u64 *users) {
    take_from(users, DESCRIPTORS_SESSION);
}

int descriptors_take_session(broker_descriptors *d, sl_atomic_u64 *users, sl_reason *ret_reason) {
    return take(d, users, DESCRIPTORS_SESSION, 0, ret_reason);
}

int descriptors_take_handles(broker_descriptors *d, sl_atomic_u64 *users, uint32_t count,
                             uint32_t handles, sl_reason *ret_reason) {
    uint64_t kept = d->kept_sessions + (handles >= DESCRIPTORS_FEW ? d->kept_small : 0);
    return take(d, users, count, kept, ret_reason);
}

void descriptors_check_empty(const broker_descriptors *d) {
    SL_CHECK(atomic_load(&d->in_use) == 0, "a broker ends without descriptors of its clients");
}
