/*
 * descriptors.h - the process's descriptors, where the system gives a limited number of them: what
 * is for handles, and what is kept back, so that one client cannot take the last one and nobody
 * could connect any more.
 *
 *     limit = the broker's own | connections | handles | kept for connections | kept for the small
 *
 * Sessions are refused when nothing is left but the broker's own; handles while so many must stay
 * free for new connections; and handles of a session that has many already while so many more must
 * stay free for sessions that have few. That protects the sessions of one user from each other, but
 * nobody from a user with many sessions: where several users may connect, each gets at most half of
 * what the others leave. Counted, not looked up: a handle is what it may cost the system at most.
 * Workers share the counts, without a lock; two that ask at once may both be refused. Windows has
 * no such limit: nothing is refused there.
 */
#ifndef SLUICE_BROKER_DESCRIPTORS_H
#define SLUICE_BROKER_DESCRIPTORS_H

#include "base/atomic.h"
#include "proto/limits.h"

#define DESCRIPTORS_OWN        40u  /* log, control loop, endpoint, standard streams; rounded up */
#define DESCRIPTORS_OWN_WORKER 8u   /* a worker's own, and connections it has not looked at yet */
/* Without these a broker cannot do its work (sluiced.streams counts what it has open): */
#define DESCRIPTORS_LEAST        24u /* its own; 17 are open with libuv 1.44 */
#define DESCRIPTORS_LEAST_WORKER 4u  /* a worker's; 3 are open, and one waits to be greeted */
#define DESCRIPTORS_LEAST_CLIENT 8u  /* connects, has a pair, listens */
#define DESCRIPTORS_SESSION    2u   /* a connection, and the watch of its process */
#define DESCRIPTORS_SESSIONS   256u /* kept for connections; of a small limit an eighth */
#define DESCRIPTORS_SMALL      1024u /* kept for sessions with few handles, what these cost
                                        themselves included; of a small limit a quarter */
#define DESCRIPTORS_FEW        16u  /* so many handles are few */
/* A listener's sockets, one for each address of its host (open.c) or one and the lock of its name,
 * and a connection that waits in the engine and here. */
#define DESCRIPTORS_LISTENER 10u

typedef struct broker_descriptors {
    uint64_t process_limit;
    uint64_t limit;  /* for sessions and handles together; 0 = there is none */
    bool has_shares; /* several users may connect */
    uint64_t kept_sessions;
    uint64_t kept_small;
    sl_atomic_u64 in_use;
} broker_descriptors;

/* With fewer a broker should not start: it would greet nobody. */
uint64_t descriptors_needed(uint32_t worker_count);

/* process_limit 0 = none is known; else at least what is needed. */
void descriptors_init(broker_descriptors *descriptors, uint64_t process_limit,
                      uint32_t worker_count, bool has_shares);

/* `users` counts what a user has of them (user.h). SLUICE_OK or EQUOTA. For a connection: */
int descriptors_take_session(broker_descriptors *descriptors, sl_atomic_u64 *users,
                             sl_reason *ret_reason);
/* For what opens handles, in a session that has `handles` already. */
int descriptors_take_handles(broker_descriptors *descriptors, sl_atomic_u64 *users, uint32_t count,
                             uint32_t handles, sl_reason *ret_reason);
void descriptors_release(broker_descriptors *descriptors, sl_atomic_u64 *users, uint32_t count);
/* A connection is another user's than was thought: it is on both users' accounts until it is taken
 * from one. SLUICE_OK or EQUOTA. */
int descriptors_take_share(broker_descriptors *descriptors, sl_atomic_u64 *users,
                           sl_reason *ret_reason);
void descriptors_give_share(sl_atomic_u64 *users);
/* At the broker's end. */
void descriptors_check_empty(const broker_descriptors *descriptors);

#endif
