/*
 * alloc.h - injected memory: a source (sl_allocator), owners with budgets (sl_account), and a
 * source that fails on demand (sl_alloc_failpoint).
 *
 * Every allocation has an owner: an account with a name, a limit and counters. Freeing takes the
 * size, so no header is needed and the books are exact. Accounts may be charged from several
 * threads (relaxed atomics); allocation is never on the path of a single request (the engine pools
 * its requests).
 */
#ifndef SLUICE_BASE_ALLOC_H
#define SLUICE_BASE_ALLOC_H

#include "base/atomic.h"

/* Where memory comes from. `acquire` returns zeroed memory aligned for any type, or NULL. */
typedef struct sl_allocator sl_allocator;
struct sl_allocator {
    void *(*acquire)(sl_allocator *source, size_t size_bytes);
    void (*release)(sl_allocator *source, void *memory, size_t size_bytes);
};

/* The C runtime's heap. Static, never freed. */
sl_allocator *sl_allocator_system(void);

/* One owner's books. At deinit everything must be returned (checked). */
typedef struct sl_account {
    sl_allocator *source;
    const char *name;   /* static string, for reports */
    size_t limit_bytes; /* SIZE_MAX: no limit of its own */
    sl_atomic_size used_bytes;
    sl_atomic_size peak_bytes;
    sl_atomic_u64 acquired_count; /* successful allocations since init */
    sl_atomic_u64 released_count;
    sl_atomic_u64 refused_count; /* over the limit or refused by the source */
} sl_account;

void sl_account_init(sl_account *account, sl_allocator *source, const char *name,
                     size_t limit_bytes);
void sl_account_deinit(sl_account *account); /* checks that used_bytes is 0 */

/* Zeroed memory, or NULL when over the limit or out of memory. size_bytes > 0. */
void *sl_account_alloc(sl_account *account, size_t size_bytes);

/* memory may be NULL (then nothing happens); size_bytes is what was asked for. */
void sl_account_free(sl_account *account, void *memory, size_t size_bytes);

/* A source that counts, and fails the Nth acquire (1-based), once or from then on. 0 = never. */
typedef struct sl_alloc_failpoint {
    sl_allocator allocator; /* hand &allocator to accounts */
    sl_allocator *next;
    sl_atomic_u64 acquire_count; /* attempts seen, failed ones included */
    sl_atomic_u64 failed_count;
    uint64_t fail_at;
    bool from_then_on;
} sl_alloc_failpoint;

void sl_alloc_failpoint_init(sl_alloc_failpoint *failpoint, sl_allocator *next, uint64_t fail_at,
                             bool from_then_on);

#endif
