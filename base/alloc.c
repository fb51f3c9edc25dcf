/*
 * alloc.c - injected memory with books.
 *
 * Owner: an account belongs to the object whose memory it counts; its source outlives it. Thread:
 * any. The counters are relaxed atomics: they order nothing, they only add up, and the limit is
 * enforced by a compare-and-swap on used_bytes, so that it holds exactly under contention too.
 * The charge comes before the allocation and is taken back if the source refuses (DESIGN I7).
 */
#include "base/alloc.h"

#include <stdlib.h>

#include "base/check.h"

static void *system_acquire(sl_allocator *source, size_t size_bytes) {
    (void)source;
    return calloc(1, size_bytes);
}

static void system_release(sl_allocator *source, void *memory, size_t size_bytes) {
    (void)source;
    (void)size_bytes;
    free(memory);
}

sl_allocator *sl_allocator_system(void) {
    static sl_allocator system_allocator = {system_acquire, system_release};
    return &system_allocator;
}

void sl_account_init(sl_account *account, sl_allocator *source, const char *name,
                     size_t limit_bytes) {
    account->source = source;
    account->name = name;
    account->limit_bytes = limit_bytes;
    atomic_init(&account->used_bytes, 0);
    atomic_init(&account->peak_bytes, 0);
    atomic_init(&account->acquired_count, 0);
    atomic_init(&account->released_count, 0);
    atomic_init(&account->refused_count, 0);
}

void sl_account_deinit(sl_account *account) {
    SL_CHECK(atomic_load(&account->used_bytes) == 0, "an owner returns all its memory");
    account->source = NULL;
}

/* Adds to the books unless that goes over the limit. */
static bool charge(sl_account *account, size_t size_bytes) {
    size_t used = atomic_load_explicit(&account->used_bytes, memory_order_relaxed);
    do {
        if (used > account->limit_bytes || size_bytes > account->limit_bytes - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&account->used_bytes, &used, used + size_bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    size_t now_used = used + size_bytes;
    size_t peak = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed);
    while (peak < now_used &&
           !atomic_compare_exchange_weak_explicit(&account->peak_bytes, &peak, now_used,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return true;
}

void *sl_account_alloc(sl_account *account, size_t size_bytes) {
    SL_CHECK(size_bytes > 0, "an allocation has a size");
    if (!charge(account, size_bytes)) {
        atomic_fetch_add_explicit(&account->refused_count, 1, memory_order_relaxed);
        return NULL;
    }
    void *memory = account->source->acquire(account->source, size_bytes);
    if (memory == NULL) {
        atomic_fetch_sub_explicit(&account->used_bytes, size_bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&account->refused_count, 1, memory_order_relaxed);
        return NULL;
    }
    atomic_fetch_add_explicit(&account->acquired_count, 1, memory_order_relaxed);
    return memory;
}

void sl_account_free(sl_account *account, void *memory, size_t size_bytes) {
    if (memory == NULL) {
        return;
    }
    size_t used = atomic_fetch_sub_explicit(&account->used_bytes, size_bytes, memory_order_relaxed);
    SL_CHECK(used >= size_bytes, "an owner frees what it was given, with the size it asked for");
    atomic_fetch_add_explicit(&account->released_count, 1, memory_order_relaxed);
    account->source->release(account->source, memory, size_bytes);
}

static void *failpoint_acquire(sl_allocator *source, size_t size_bytes) {
    sl_alloc_failpoint *failpoint = SL_CONTAINER_OF(source, sl_alloc_failpoint, allocator);
    uint64_t attempt = atomic_fetch_add(&failpoint->acquire_count, 1) + 1;
    if (failpoint->fail_at != 0 && (attempt == failpoint->fail_at ||
                                    (attempt > failpoint->fail_at && failpoint->from_then_on))) {
        atomic_fetch_add(&failpoint->failed_count, 1);
        return NULL;
    }
    return failpoint->next->acquire(failpoint->next, size_bytes);
}

static void failpoint_release(sl_allocator *source, void *memory, size_t size_bytes) {
    sl_alloc_failpoint *failpoint = SL_CONTAINER_OF(source, sl_alloc_failpoint, allocator);
    failpoint->next->release(failpoint->next, memory, size_bytes);
}

void sl_alloc_failpoint_init(sl_alloc_failpoint *failpoint, sl_allocator *next, uint64_t fail_at,
                             bool from_then_on) {
    failpoint->allocator.acquire = failpoint_acquire;
    failpoint->allocator.release = failpoint_release;
    failpoint->next = next;
    atomic_init(&failpoint->acquire_count, 0);
    atomic_init(&failpoint->failed_count, 0);
    failpoint->fail_at = fail_at;
    failpoint->from_then_on = from_then_on;
}
