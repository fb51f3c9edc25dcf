/*
 * pipes.h - the pages of pipes, where the system gives a user a limited number of them.
 *
 * On Linux a pair is a pipe of 16 pages, and the pages of all of a user's pipes have a limit;
 * beyond it the user's new pipes get 2 pages [pipe(7): pipe-user-pages-soft]. The user is the
 * broker's, whoever's pairs they are. So where several users may connect each gets at most half of
 * what the others leave, as with descriptors (descriptors.h): in pipes of 16 pages until half of
 * that is used, then in pipes of one. Counted without a lock; two that ask at once may both be
 * refused.
 */
#ifndef SLUICE_BROKER_PIPES_H
#define SLUICE_BROKER_PIPES_H

#include "base/atomic.h"
#include "proto/limits.h"

#define PIPES_PAGES       16u   /* of a pipe as the system makes it [pipe(7)] */
#define PIPES_SMALL_BYTES 4096u /* what the other ones are asked to hold: they get one page */

typedef struct broker_pipes {
    uint64_t limit; /* 0 = none, and nothing is counted */
    sl_atomic_u64 in_use;
} broker_pipes;

void pipes_init(broker_pipes *pipes, uint64_t limit);
/* For a pair; `users` counts what its user has (user.h). 0 pages: nothing is counted; 1: a small
 * one. SLUICE_OK or EQUOTA. */
int pipes_take(broker_pipes *pipes, sl_atomic_u64 *users, uint8_t *ret_pages,
               sl_reason *ret_reason);
void pipes_release(broker_pipes *pipes, sl_atomic_u64 *users, uint32_t pages);
/* At the broker's end. */
void pipes_check_empty(const broker_pipes *pipes);

#endif
