/*
 * credit.c - see credit.h.
 */
#include "client/credit.h"

#include "base/check.h"
#include "base/status.h"

/* `used`: bytes in the lower part, operations in the upper. Both bounds leave room for every thread
 * that takes too much for a moment. */
#define BYTES_BITS 44
#define ONE        (UINT64_C(1) << BYTES_BITS)

void client_credit_init(client_credit *credit) {
    atomic_init(&credit->used, 0);
    atomic_init(&credit->operations_max, 1);
    atomic_init(&credit->bytes_max, 0);
    atomic_init(&credit->waiter_count, 0);
    sl_mutex_init(&credit->lock);
    sl_cond_init(&credit->changed);
}

void client_credit_deinit(client_credit *credit) {
    SL_CHECK(atomic_load(&credit->used) == 0, "all credit is given back when a session ends");
    sl_cond_deinit(&credit->changed);
    sl_mutex_deinit(&credit->lock);
}

/* Also for those who wait: the one that gives looks for them after it has given, and they look at
 * the credit after they have said that they wait. (Sequentially consistent, both.) */
static void wake(client_credit *credit) {
    if (atomic_load(&credit->waiter_count) != 0) {
        sl_mutex_lock(&credit->lock);
        sl_cond_broadcast(&credit->changed);
        sl_mutex_unlock(&credit->lock);
    }
}

void client_credit_set(client_credit *credit, uint64_t operations_max, uint64_t bytes_max) {
    atomic_store(&credit->operations_max, operations_max);
    atomic_store(&credit->bytes_max, bytes_max);
    wake(credit);
}

/* false: it is too much, and has to be given back. */
static bool add(client_credit *credit, uint64_t bytes) {
    uint64_t used = atomic_fetch_add(&credit->used, ONE + bytes) + ONE + bytes;
    return used >> BYTES_BITS <= atomic_load(&credit->operations_max) &&
           (used & (ONE - 1)) <= atomic_load(&credit->bytes_max);
}

int client_credit_take(client_credit *credit, uint64_t bytes) {
    if (!add(credit, bytes)) {
        client_credit_give(credit, bytes);
        return SLUICE_EQUOTA;
    }
    return SLUICE_OK;
}

int client_credit_wait(client_credit *credit, uint64_t bytes, uint64_t deadline_ns) {
    int status = client_credit_take(credit, bytes);
    if (status == SLUICE_OK) {
        return status;
    }
    sl_mutex_lock(&credit->lock);
    atomic_fetch_add(&credit->waiter_count, 1);
    bool in_time = true;
    for (;;) {
        /* A take that fails gives back under the lock, and so wakes the others once too often. */
        status = add(credit, bytes) ? SLUICE_OK : SLUICE_EQUOTA;
        if (status == SLUICE_OK) {
            break;
        }
        atomic_fetch_sub(&credit->used, ONE + bytes);
        if (!in_time) {
            break;
        }
        in_time = sl_cond_wait_until(&credit->changed, &credit->lock, deadline_ns);
    }
    atomic_fetch_sub(&credit->waiter_count, 1);
    sl_mutex_unlock(&credit->lock);
    return status;
}

int client_credit_refused(const client_credit *credit, sl_reason *ret_reason) {
    uint64_t operations_max = atomic_load(&credit->operations_max);
    bool are_many = atomic_load(&credit->used) >> BYTES_BITS >= operations_max;
    return sl_limit_reached(ret_reason, SL_LIMIT_SESSION,
                            are_many ? "credit_operations" : "credit_bytes",
                            are_many ? operations_max : atomic_load(&credit->bytes_max));
}

void client_credit_give(client_credit *credit, uint64_t bytes) {
    atomic_fetch_sub(&credit->used, ONE + bytes);
    wake(credit);
}
