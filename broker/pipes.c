/*
 * pipes.c - see pipes.h.
 */
#include "broker/pipes.h"

#include "base/check.h"
#include "base/status.h"

void pipes_init(broker_pipes *pipes, uint64_t limit) {
    pipes->limit = limit;
    atomic_init(&pipes->in_use, 0);
}

static void take_from(sl_atomic_u64 *in_use, uint32_t pages) {
    uint64_t before = atomic_fetch_sub_explicit(in_use, pages, memory_order_relaxed);
    SL_CHECK(before >= pages, "a page is given back once");
}

void pipes_release(broker_pipes *pipes, sl_atomic_u64 *users, uint32_t pages) {
    take_from(&pipes->in_use, pages);
    take_from(users, pages);
}

/* Takes them if the user then has no more than that part of its share. */
static bool take(broker_pipes *pipes, sl_atomic_u64 *users, uint32_t pages, uint32_t part,
                 uint64_t *ret_share) {
    uint64_t all = atomic_fetch_add_explicit(&pipes->in_use, pages, memory_order_relaxed);
    uint64_t mine = atomic_fetch_add_explicit(users, pages, memory_order_relaxed);
    uint64_t others = all > mine ? all - mine : 0; /* other workers count meanwhile */
    *ret_share = others < pipes->limit ? (pipes->limit - others) / 2 : 0;
    if (mine + pages > *ret_share / part) {
        pipes_release(pipes, users, pages);
        return false;
    }
    return true;
}

int pipes_take(broker_pipes *pipes, sl_atomic_u64 *users, uint8_t *ret_pages,
               sl_reason *ret_reason) {
    uint64_t share;
    if (pipes->limit == 0) {
        *ret_pages = 0;
    } else if (take(pipes, users, PIPES_PAGES, 2, &share)) {
        *ret_pages = PIPES_PAGES;
    } else if (take(pipes, users, 1, 1, &share)) {
        *ret_pages = 1;
    } else {
        return sl_limit_reached(ret_reason, SL_LIMIT_USER, "pipe_pages", share);
    }
    return SLUICE_OK;
}

void pipes_check_empty(const broker_pipes *pipes) {
    SL_CHECK(atomic_load(&pipes->in_use) == 0, "a broker ends without pipes of its clients");
}
