/*
 * credit.c - see credit.h.
 */
#include "client/credit.h"

#include "base/check.h"
#include "base/status.h"

/* `used`: bytes in the lower part, operations in the upper. */
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

/* The name of what is too little for one operation more with so many bytes, and how much there is
 * of it; NULL: there is enough. */
static const char *find_lack(client_credit *credit, uint64_t used, uint64_t bytes,
                             uint64_t *ret_max) {
    *ret_max = atomic_load(&credit->operations_max);
    if (used >> BYTES_BITS >= *ret_max) {
        return "credit_operations";
    }
    *ret_max = atomic_load(&credit->bytes_max);
    return (used & (ONE - 1)) + bytes > *ret_max ? "credit_bytes" : NULL;
}

/* Nothing is taken to see whether it is too much: for that moment others would be refused. */
int client_credit_take(client_credit *credit, uint64_t bytes, sl_reason *ret_reason) {
    uint64_t used = atomic_load(&credit->used);
    uint64_t max;
    do {
        const char *lack = find_lack(credit, used, bytes, &max);
        if (lack != NULL) {
            return sl_limit_reached(ret_reason, SL_LIMIT_SESSION, lack, max);
        }
    } while (!atomic_compare_exchange_weak(&credit->used, &used, used + ONE + bytes));
    return SLUICE_OK;
}

int client_credit_wait(client_credit *credit, uint64_t bytes, uint64_t deadline_ns,
                       sl_reason *ret_reason) {
    sl_mutex_lock(&credit->lock);
    atomic_fetch_add(&credit->waiter_count, 1);
    bool in_time = true;
    int status;
    while ((status = client_credit_take(credit, bytes, ret_reason)) != SLUICE_OK && in_time) {
        in_time = sl_cond_wait_until(&credit->changed, &credit->lock, deadline_ns);
    }
    atomic_fetch_sub(&credit->waiter_count, 1);
    sl_mutex_unlock(&credit->lock);
    return status;
}

void client_credit_give(client_credit *credit, uint64_t bytes) {
    atomic_fetch_sub(&credit->used, ONE + bytes);
    wake(credit);
}
