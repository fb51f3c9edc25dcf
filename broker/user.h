/*
 * user.h - the users whose clients this broker has seen, and what is charged to each of them over
 * all workers.
 *
 * The only thing that workers share while they work, and they share it without a lock (user.c). A
 * session holds its user's entry; an entry that no session holds, and to which nothing is charged
 * any more, is the next newcomer's when there is no free one. Entries that were in use are not
 * freed while a worker runs: an opener that still gives something back finds its share. More users
 * at once than there are places are charged to one common account, with everybody else who came
 * then: that bounds the memory, and is to nobody's advantage.
 */
#ifndef SLUICE_BROKER_USER_H
#define SLUICE_BROKER_USER_H

#include "broker/book.h"
#include "broker/types.h"

#define BROKER_USERS_MAX 1024u /* of different users at a time */

typedef struct broker_user {
    engine_identity identity;  /* nobody: the common account; constant while a session holds it */
    uint32_t place;            /* in the table */
    sl_atomic_u64 descriptors; /* of the process (descriptors.h) */
    sl_atomic_u64 pipe_pages;  /* of its pairs (pipes.h) */
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
    sl_atomic_u64 latest; /* entered last (user.c) */
    sl_atomic_u64 words[BROKER_USERS_MAX];
    sl_atomic_u32 hashes[BROKER_USERS_MAX]; /* of the entries */
    broker_user *entries[BROKER_USERS_MAX]; /* NULL: never used; written by who has the place */
} broker_users;

void users_init(broker_users *users, sl_account *account, const broker_user_limits *limits);
/* When no worker runs any more. */
void users_deinit(broker_users *users);

/* For a table. Equal for equal identities only, mostly. */
uint32_t users_hash(const engine_identity *identity);

/* Any worker; does not wait. The session holds it until users_release. SLUICE_OK, ENOMEM. */
int users_find(broker_users *users, const engine_identity *identity, broker_user **ret_user);
/* Once, when nothing of the session is charged to it any more. The common account is nobody's. */
void users_release(broker_users *users, broker_user *user);

#endif
