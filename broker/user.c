/*
 * user.c - see user.h.
 *
 * A user's place is the first free one from where his identity hashes to. Two workers that meet him
 * at the same time both prepare an entry; one of them sets the pointer, the other finds it set and
 * drops its own. So nobody waits for anybody, and there are never two entries of one user.
 */
#include "broker/user.h"

#include <string.h>

static void init(broker_user *user, const broker_user_limits *limits) {
    atomic_init(&user->zombies, 0);
    atomic_init(&user->descriptors, 0);
    engine_share_init(&user->share);
    book_init(&user->memory, limits->memory_bytes);
    book_init(&user->sessions, limits->sessions);
    book_init(&user->handles, limits->handles);
}

static void check_empty(const broker_user *user) {
    SL_CHECK(atomic_load(&user->descriptors) == 0 && atomic_load(&user->zombies) == 0 &&
                 engine_share_given_up(&user->share) == 0,
             "what is charged to a user is given back");
    book_check_empty(&user->memory);
    book_check_empty(&user->sessions);
    book_check_empty(&user->handles);
}

void users_init(broker_users *users, sl_account *account, const broker_user_limits *limits) {
    users->account = account;
    users->limits = *limits;
    memset(&users->others.identity, 0, sizeof(users->others.identity));
    init(&users->others, limits);
    memcpy(users->others.text, "others", sizeof("others"));
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        atomic_init(&users->places[i], NULL);
    }
}

void users_deinit(broker_users *users) {
    check_empty(&users->others);
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        broker_user *user = atomic_load_explicit(&users->places[i], memory_order_acquire);
        if (user != NULL) {
            check_empty(user);
            sl_account_free(users->account, user, sizeof(*user));
        }
    }
}

/* FNV-1a. Who fills the table with users that fall together has that many users. */
uint32_t users_hash(const engine_identity *identity) {
    uint32_t mixed = 2166136261u;
    for (uint32_t i = 0; i < identity->length; i++) {
        mixed = (mixed ^ identity->bytes[i]) * 16777619u;
    }
    return mixed;
}

static broker_user *create(broker_users *users, const engine_identity *identity) {
    broker_user *user = sl_account_alloc(users->account, sizeof(*user));
    if (user != NULL) {
        user->identity = *identity;
        init(user, &users->limits);
        engine_identity_text(identity, user->text);
    }
    return user;
}

int users_find(broker_users *users, const engine_identity *identity, broker_user **ret_user) {
    broker_user *made = NULL;
    broker_user *found = NULL;
    uint32_t start = users_hash(identity);
    for (uint32_t i = 0; i < BROKER_USERS_MAX && found == NULL; i++) {
        _Atomic(broker_user *) *place = &users->places[(start + i) % BROKER_USERS_MAX];
        broker_user *there = atomic_load_explicit(place, memory_order_acquire);
        if (there == NULL) {
            made = made != NULL ? made : create(users, identity);
            if (made == NULL) {
                return SLUICE_ENOMEM;
            }
            if (atomic_compare_exchange_strong_explicit(place, &there, made, memory_order_acq_rel,
                                                        memory_order_acquire)) {
                *ret_user = made;
                return SLUICE_OK;
            }
        }
        if (engine_identity_equal(&there->identity, identity)) {
            found = there;
        }
    }
    if (made != NULL) { /* another worker was faster */
        sl_account_free(users->account, made, sizeof(*made));
    }
    *ret_user = found != NULL ? found : &users->others;
    return SLUICE_OK;
}
