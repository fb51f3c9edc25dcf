/*
 * user.h - the users whose clients this broker has seen, and what is charged to each of them over
 * all workers.
 *
 * The only thing that workers share while they work, and they share it without a lock: a table of
 * pointers that are set once, from NULL, by whoever meets a user first, and never changed. What
 * they point at is written before it is published; only its books change, atomically (book.h).
 * Nobody is ever taken out, so the table has an end: who finds it full is charged to one common
 * account, with everybody else who came that late. That bounds the memory, and is to nobody's
 * advantage.
 */
#ifndef SLUICE_BROKER_USER_H
#define SLUICE_BROKER_USER_H

#include "broker/book.h"
#include "broker/types.h"

#define BROKER_USERS_MAX 1024u /* of different users, from the broker's start to its end */

typedef struct broker_user {
    engine_identity identity;  /* nobody: the common account */
    sl_atomic_u64 descriptors; /* of the process (descriptors.h) */
    sl_atomic_u32 zombies;     /* handles and requests that the system does not let go */
    broker_book memory;        /* bytes (charge.h) */
    broker_book sessions;
    broker_book handles;
    engine_share share; /* of the engine's openers */
    char text[ENGINE_IDENTITY_TEXT_BYTES];
} broker_user;

/* What each may have. */
typedef struct broker_user_limits {
    uint64_t memory_bytes;
    uint64_t sessions;
    uint64_t handles;
} broker_user_limits;

typedef struct broker_users {
    sl_account *account;
    broker_user_limits limits;
    broker_user others; /* the common account; also of clients before it is known who they are */
    _Atomic(broker_user *) places[BROKER_USERS_MAX];
} broker_users;

void users_init(broker_users *users, sl_account *account, const broker_user_limits *limits);
/* When no worker runs any more. */
void users_deinit(broker_users *users);

/* For a table. Equal for equal identities only, mostly. */
uint32_t users_hash(const engine_identity *identity);

/* Any worker; does not wait. SLUICE_OK, ENOMEM. */
int users_find(broker_users *users, const engine_identity *identity, broker_user **ret_user);

#endif
