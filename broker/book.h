/*
 * book.h - how much of something is taken of a limit, by any number of workers at once.
 *
 * The books of a user and of the whole broker. No lock: `used` grows only by a compare-and-swap
 * from a value that has been seen to leave room, so it is never above the limit, not for a moment,
 * whoever takes at the same time; and nothing has to be rolled back that another one could have
 * seen. What was taken is recorded by the one who took it, in memory of one worker only (a
 * session's drawn_bytes and has_place, an operation's reserved_handles); it is given back in the
 * same step in which that record is cleared, so never twice. The order of two workers' changes
 * means nothing: all accesses are relaxed.
 */
#ifndef SLUICE_BROKER_BOOK_H
#define SLUICE_BROKER_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/check.h"

typedef struct broker_book {
    sl_atomic_u64 used;
    uint64_t limit;
} broker_book;

static inline void book_init(broker_book *book, uint64_t limit) {
    atomic_init(&book->used, 0);
    book->limit = limit;
}

static inline uint64_t book_used(const broker_book *book) {
    return atomic_load_explicit(&book->used, memory_order_relaxed);
}

/* false: that would be more than the limit, and nothing is taken. */
static inline bool book_take(broker_book *book, uint64_t amount) {
    uint_fast64_t used = atomic_load_explicit(&book->used, memory_order_relaxed);
    do {
        if (used > book->limit || amount > book->limit - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&book->used, &used, used + amount,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static inline void book_give(broker_book *book, uint64_t amount) {
    uint64_t used = atomic_fetch_sub_explicit(&book->used, amount, memory_order_relaxed);
    SL_CHECK(used >= amount, "what is given back was taken");
}

static inline void book_check_empty(const broker_book *book) {
    SL_CHECK(book_used(book) == 0, "all that was taken has been given back");
}

#endif
