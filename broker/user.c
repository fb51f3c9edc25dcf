/*
 * user.c - see user.h.
 *
 * Each place has a word that says what it is: free; taken by one worker, which writes an entry;
 * offered by it; or in use, with the number of sessions that hold it. The word's version changes
 * with every release, so what was seen without a session cannot have had one meanwhile.
 *
 * Two workers may meet the same new user at once, and must not both enter it. What decides is one
 * word, `latest`: the place, and its version, that was entered last. Who wants to enter a user
 * reads it, looks through the table, offers an entry, and exchanges `latest` for that one. If
 * somebody else was faster, the exchange fails, and it looks again: perhaps it was the same user.
 * Who has entered one then says so in the place's word; whoever comes in between does it for it. So
 * nobody ever waits for anybody: one of two always goes on.
 */
#include "broker/user.h"

#include <string.h>

/* Of a place's word: the sessions; what it is; its version. */
#define HOLDERS_MASK UINT64_C(0xFFFFFFFF)
#define PHASE_MASK   (UINT64_C(3) << 32)
#define FREE         (UINT64_C(0) << 32)
#define TAKEN        (UINT64_C(1) << 32)
#define OFFERED      (UINT64_C(2) << 32)
#define IN_USE       (UINT64_C(3) << 32)
#define ONE_VERSION  (UINT64_C(1) << 34)
#define VERSION_MASK (~(ONE_VERSION - 1))

/* `latest`: the version as it is in the place's word, and the place where the word has the rest. */
_Static_assert(BROKER_USERS_MAX <= UINT64_C(1) << 32, "a place's number fits below the version");

static void init(broker_user *user, const broker_user_limits *limits) {
    atomic_init(&user->zombies, 0);
    atomic_init(&user->descriptors, 0);
    atomic_init(&user->pipe_pages, 0);
    engine_share_init(&user->share);
    book_init(&user->memory, limits->memory_bytes);
    book_init(&user->sessions, limits->sessions);
    book_init(&user->handles, limits->handles);
}

/* Nothing is charged to it; the openers have nothing of its either. */
static bool is_empty(const broker_user *user) {
    return atomic_load(&user->descriptors) == 0 && atomic_load(&user->pipe_pages) == 0 &&
           atomic_load(&user->zombies) == 0 && engine_share_given_up(&user->share) == 0 &&
           book_used(&user->memory) == 0 && book_used(&user->sessions) == 0 &&
           book_used(&user->handles) == 0;
}

void users_init(broker_users *users, sl_account *account, const broker_user_limits *limits) {
    users->account = account;
    users->limits = *limits;
    memset(&users->others.identity, 0, sizeof(users->others.identity));
    init(&users->others, limits);
    memcpy(users->others.text, "others", sizeof("others"));
    atomic_init(&users->latest, 0);
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        atomic_init(&users->words[i], FREE);
        atomic_init(&users->hashes[i], 0);
        users->entries[i] = NULL;
    }
}

void users_deinit(broker_users *users) {
    SL_CHECK(is_empty(&users->others), "what is charged to a user is given back");
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        broker_user *user = users->entries[i];
        if (user != NULL) {
            SL_CHECK(is_empty(user) && (atomic_load(&users->words[i]) & HOLDERS_MASK) == 0,
                     "what is charged to a user is given back, and its sessions are gone");
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

static bool exchange(sl_atomic_u64 *word, uint64_t from, uint64_t to) {
    uint_fast64_t expected = from;
    return atomic_compare_exchange_strong(word, &expected, to);
}

/* One session more. false: it is in use no more, or is another's. */
static bool hold(broker_users *users, uint32_t place, const engine_identity *identity) {
    uint64_t word = atomic_load(&users->words[place]);
    while ((word & PHASE_MASK) == IN_USE) {
        if (exchange(&users->words[place], word, word + 1)) {
            if (engine_identity_equal(&users->entries[place]->identity, identity)) {
                return true;
            }
            users_release(users, users->entries[place]);
            return false;
        }
        word = atomic_load(&users->words[place]);
    }
    return false;
}

void users_release(broker_users *users, broker_user *user) {
    if (user != &users->others) {
        uint64_t before = atomic_fetch_add(&users->words[user->place], ONE_VERSION - 1);
        SL_CHECK((before & HOLDERS_MASK) > 0, "a user's session ends once");
    }
}

/* The user's entry, or NULL. */
static broker_user *look_up(broker_users *users, const engine_identity *identity, uint32_t hash) {
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        uint32_t place = (hash + i) % BROKER_USERS_MAX;
        if (atomic_load(&users->hashes[place]) == hash && hold(users, place, identity)) {
            return users->entries[place];
        }
    }
    return NULL;
}

/* A place that is free, or whose user has nothing any more, is taken. false: there is none. */
static bool take_place(broker_users *users, uint32_t start, uint32_t *ret_place,
                       uint64_t *ret_word) {
    for (uint32_t i = 0; i < 2 * BROKER_USERS_MAX; i++) {
        uint32_t place = (start + i) % BROKER_USERS_MAX;
        uint64_t word = atomic_load(&users->words[place]);
        uint64_t taken = ((word & VERSION_MASK) + ONE_VERSION) | TAKEN;
        bool is_free = (word & PHASE_MASK) == FREE;
        bool is_idle = i >= BROKER_USERS_MAX && (word & (PHASE_MASK | HOLDERS_MASK)) == IN_USE &&
                       is_empty(users->entries[place]);
        if ((is_free || is_idle) && exchange(&users->words[place], word, taken)) {
            *ret_place = place;
            *ret_word = taken;
            return true;
        }
    }
    return false;
}

/* A place's word with another meaning, and the same version. */
static uint64_t with(uint64_t word, uint64_t phase, uint32_t holders) {
    return (word & VERSION_MASK) | phase | holders;
}

/* Of whoever has taken it. */
static int write_entry(broker_users *users, uint32_t place, const engine_identity *identity,
                       uint32_t hash) {
    if (users->entries[place] == NULL) {
        broker_user *made = sl_account_alloc(users->account, sizeof(*made));
        if (made == NULL) {
            return SLUICE_ENOMEM;
        }
        init(made, &users->limits);
        made->place = place;
        users->entries[place] = made;
    }
    users->entries[place]->identity = *identity;
    engine_identity_text(identity, users->entries[place]->text);
    atomic_store(&users->hashes[place], hash);
    return SLUICE_OK;
}

/* What was entered last is in use, with its first session. */
static void finish_entry(broker_users *users, uint64_t latest) {
    uint32_t place = (uint32_t)(latest % BROKER_USERS_MAX);
    uint64_t offered = with(latest, OFFERED, 0);
    (void)exchange(&users->words[place], offered, with(latest, IN_USE, 1));
}

/* SLUICE_OK; EBUSY: another one was entered meanwhile; ENOMEM. No place left: *ret_user is NULL. */
static int enter(broker_users *users, uint64_t latest, const engine_identity *identity,
                 uint32_t hash, broker_user **ret_user) {
    uint32_t place;
    uint64_t word;
    *ret_user = NULL;
    if (!take_place(users, hash, &place, &word)) {
        return SLUICE_OK;
    }
    bool was_empty = users->entries[place] == NULL;
    int status = write_entry(users, place, identity, hash);
    if (status == SLUICE_OK) {
        atomic_store(&users->words[place], with(word, OFFERED, 0));
        uint64_t mine = (word & VERSION_MASK) | place;
        status = exchange(&users->latest, latest, mine) ? SLUICE_OK : SLUICE_EBUSY;
        if (status == SLUICE_OK) {
            finish_entry(users, mine);
            *ret_user = users->entries[place];
            return SLUICE_OK;
        }
    }
    if (was_empty) { /* nobody has seen it: that is done in use only */
        sl_account_free(users->account, users->entries[place], sizeof(broker_user));
        users->entries[place] = NULL;
    }
    atomic_store(&users->words[place], with(word, FREE, 0));
    return status;
}

int users_find(broker_users *users, const engine_identity *identity, broker_user **ret_user) {
    uint32_t hash = users_hash(identity);
    int status = SLUICE_EBUSY;
    while (status == SLUICE_EBUSY) {
        uint64_t latest = atomic_load(&users->latest);
        finish_entry(users, latest);
        broker_user *found = look_up(users, identity, hash);
        status = found != NULL ? SLUICE_OK : enter(users, latest, identity, hash, &found);
        if (status == SLUICE_OK) {
            *ret_user = found != NULL ? found : &users->others;
        }
    }
    return status;
}
