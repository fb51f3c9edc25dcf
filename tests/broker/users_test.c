/*
 * users_test.c - several users at one broker: who is let in, who sees what, who is charged for what
 * the system does not let go, and what is left of sessions that have ended. On the simulator, where
 * a client may be anybody; and the table of users itself, with threads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "broker/user.h"
#include "tests/broker/rig.h"

#define WORKERS        3u
#define ROOT           0u
#define OWN            SIM_USER /* the broker's */
#define ALICE          2001u
#define BOB            2002u
#define MALLORY        2003u
#define CREW           500u /* a group */
#define READS          3u
#define ZOMBIES        8u
#define CLOSE_GRACE_NS (500 * SL_NS_PER_MS)
#define SETTLE_NS      (20 * SL_NS_PER_MS)
#define ALWAYS         1000 /* per mille */
#define ROWS_MAX       256u
#define BULK           (1u << 19) /* more than a simulated pipe buffers */

static uint8_t bulk[BULK];
static const broker_user_limits limits = {.memory_bytes = 1, .sessions = 1, .handles = 1};

typedef struct users_rig {
    test_rig rig;
    sim_options sim;
    sl_limits limits;
} users_rig;

static void open_rig(users_rig *u, uint64_t seed, const char *access, const engine_identity *allow,
                     unsigned allow_count) {
    sim_options_gentle(&u->sim, seed);
    sl_limits_default(&u->limits);
    u->limits.close_grace_ns = CLOSE_GRACE_NS;
    u->limits.zombies = ZOMBIES;
    u->limits.no_progress_ns = SL_NS_PER_S;
    rig_options options = {.sim = &u->sim,
                           .limits = &u->limits,
                           .worker_count = WORKERS,
                           .access = access,
                           .allow = allow,
                           .allow_count = allow_count};
    rig_open(&u->rig, &options);
}

static void stick(users_rig *u, uint16_t per_mille) {
    sim_world_options(u->rig.world)->per_mille[SIM_CANCEL_STUCK] = per_mille;
}

static raw_client *open_as(users_rig *u, uint32_t user_id) {
    sim_engine_become(u->rig.engine, user_id, user_id);
    return client_open(&u->rig);
}

static void close_rig(users_rig *u) {
    sim_world_calm(u->rig.world);
    rig_await_empty(&u->rig);
    rig_close(&u->rig);
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct row_list {
    unsigned count;
    sl_ops_row rows[ROWS_MAX];
    char user[SL_USER_BYTES + 1]; /* of the first */
} row_list;

/* All pages, from a cursor on. */
static void list_from(raw_client *c, sl_ops_filter filter, uint32_t limit, uint64_t cursor,
                      row_list *ret_list) {
    sl_request ops = {.kind = SL_REQUEST_OPS};
    raw_reply reply;
    ret_list->count = 0;
    ops.as.ops.filter = filter;
    ops.as.ops.limit = limit;
    ops.as.ops.cursor = cursor;
    do {
        ops.id = client_id(c);
        client_send(c, &ops, NULL, 0);
        EXPECT(client_await(c, ops.id, &reply) && reply.status == SLUICE_OK);
        EXPECT(limit == 0 || reply.row_count <= limit);
        EXPECT(ret_list->count + reply.row_count <= ROWS_MAX);
        memcpy(ret_list->rows + ret_list->count, reply.rows,
               reply.row_count * sizeof(reply.rows[0]));
        if (ret_list->count == 0) {
            memcpy(ret_list->user, reply.user, sizeof(ret_list->user));
        }
        ret_list->count += reply.row_count;
        ops.as.ops.cursor = reply.next_cursor;
        reply_free(&reply);
    } while (ops.as.ops.cursor != 0);
}

static const row_list *list(raw_client *c, sl_ops_filter filter, uint32_t limit) {
    static row_list all;
    list_from(c, filter, limit, 0, &all);
    return &all;
}

static unsigned count_kind(const row_list *all, sl_request_kind kind) {
    unsigned count = 0;
    for (unsigned i = 0; i < all->count; i++) {
        count += all->rows[i].kind == kind;
    }
    return count;
}

static void expect_status(raw_client *c, const char *user, bool sees_all, uint64_t zombies) {
    raw_reply reply;
    EXPECT(call_plain(c, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
    EXPECT(strcmp(reply.user, user) == 0);
    EXPECT(reply.counters.sees_all == sees_all);
    EXPECT(reply.counters.user_zombies == zombies);
    reply_free(&reply);
}

/* ---- who sees what --------------------------------------------------------------------------- */

static raw_client *open_busy(users_rig *u, uint32_t user_id) {
    uint64_t ends[2];
    raw_client *c = open_as(u, user_id);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    for (unsigned i = 0; i < READS; i++) {
        (void)start_read(c, ends[0], 1, false, 0);
    }
    return c;
}

static void test_visibility(uint64_t seed) {
    static const uint32_t ids[] = {ALICE, BOB, ALICE, OWN, ROOT};
    static const char *const names[] = {"uid 2001", "uid 2002", "uid 2001", "uid 1000", "uid 0"};
    static const unsigned seen[] = {2, 1, 2, SL_ARRAY_COUNT(ids), SL_ARRAY_COUNT(ids)};
    users_rig u;
    raw_client *clients[SL_ARRAY_COUNT(ids)];
    open_rig(&u, seed, "0666", NULL, 0);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        clients[i] = open_busy(&u, ids[i]);
    }
    rig_run_for(&u.rig, SETTLE_NS);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        bool is_ruler = ids[i] == OWN || ids[i] == ROOT;
        const row_list *all = list(clients[i], SL_OPS_FILTER_ALL, 0);
        EXPECT(count_kind(all, SL_REQUEST_READ) == seen[i] * READS);
        EXPECT(is_ruler || (all->count == seen[i] * READS && strcmp(all->user, names[i]) == 0));
        EXPECT(list(clients[i], SL_OPS_FILTER_ALL, 1)->count >= seen[i] * READS);
        expect_status(clients[i], names[i], is_ruler, 0);
    }
    /* No cursor of one's own making shows more. */
    row_list all;
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t cursor = i % WORKERS << 56 | i % 7 << 32 | i / 7;
        list_from(clients[1], SL_OPS_FILTER_ALL, 0, i < 190 ? cursor : UINT64_MAX - i, &all);
        EXPECT(all.count <= READS && (all.count == 0 || strcmp(all.user, "uid 2002") == 0));
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        client_close(clients[i]);
    }
    close_rig(&u);
}

/* ---- who is let in --------------------------------------------------------------------------- */

/* SLUICE_OK, or what the broker said, in the reply to Hello or in its Goodbye. */
static int try_as(users_rig *u, uint32_t user_id, uint32_t group_id, bool says_hello) {
    sim_engine_become(u->rig.engine, user_id, group_id);
    raw_client *c = client_connect(&u->rig);
    sl_request hello = {.id = client_id(c), .kind = SL_REQUEST_HELLO};
    raw_reply reply = {.status = SLUICE_OK};
    hello.as.hello.version_min = 1;
    hello.as.hello.version_max = 1;
    hello.as.hello.client_name = "test";
    int status;
    if (says_hello) {
        client_send(c, &hello, NULL, 0);
        status = client_await(c, hello.id, &reply) ? reply.status : client_await_end(c);
        reply_free(&reply);
    } else {
        status = client_await_end(c);
    }
    client_close(c);
    return status;
}

static void test_admission(uint64_t seed) {
    users_rig u;
    engine_identity allow[2];
    engine_identity_uid(&allow[0], ALICE);
    engine_identity_gid(&allow[1], CREW);
    open_rig(&u, seed, "0666", allow, 2);
    EXPECT(try_as(&u, ALICE, ALICE, true) == SLUICE_OK);
    EXPECT(try_as(&u, BOB, CREW, true) == SLUICE_OK);
    EXPECT(try_as(&u, ROOT, ROOT, true) == SLUICE_OK);
    EXPECT(try_as(&u, OWN, OWN, true) == SLUICE_OK);
    /* A user's number is no group's, and the other way round. */
    EXPECT(try_as(&u, MALLORY, ALICE, true) == SLUICE_EACCESS);
    EXPECT(try_as(&u, CREW, MALLORY, true) == SLUICE_EACCESS);
    /* Refused before a byte of its was read. */
    EXPECT(try_as(&u, MALLORY, MALLORY, false) == SLUICE_EACCESS);
    close_rig(&u);
    open_rig(&u, seed, NULL, NULL, 0);
    EXPECT(try_as(&u, OWN, OWN, true) == SLUICE_OK);
    EXPECT(try_as(&u, ALICE, OWN, false) == SLUICE_EACCESS);
    close_rig(&u);
}

/* Who is known only when something was read is looked at again in its Hello; then it must do. */
static void test_late_identity(uint64_t seed) {
    users_rig u;
    engine_identity allow;
    engine_identity_uid(&allow, ALICE);
    open_rig(&u, seed, "0666", &allow, 1);
    sim_world_options(u.rig.world)->peer_busy_count = 1;
    EXPECT(try_as(&u, ALICE, ALICE, true) == SLUICE_OK);
    EXPECT(try_as(&u, MALLORY, MALLORY, true) == SLUICE_EACCESS);
    raw_client *c = open_as(&u, ALICE);
    expect_status(c, "uid 2001", false, 0);
    client_close(c);
    sim_world_options(u.rig.world)->peer_busy_count = 2;
    EXPECT(try_as(&u, ALICE, ALICE, true) == SLUICE_EACCESS);
    close_rig(&u);
}

/* Where our own user has no number of its own, whoever shows the same one may be another user: it
 * is let in where everybody is, by no list, rules nothing, and sees what is its own session's. */
static void test_unmapped(uint64_t seed) {
    users_rig u;
    engine_identity allow;
    engine_identity_uid(&allow, OWN);
    open_rig(&u, seed, "0666", &allow, 1);
    sim_world_options(u.rig.world)->nobody_id = OWN;
    EXPECT(try_as(&u, OWN, OWN, true) == SLUICE_EACCESS);
    EXPECT(try_as(&u, ROOT, ROOT, true) == SLUICE_OK);
    close_rig(&u);
    open_rig(&u, seed, NULL, NULL, 0);
    sim_world_options(u.rig.world)->nobody_id = OWN;
    EXPECT(try_as(&u, OWN, OWN, true) == SLUICE_EACCESS);
    close_rig(&u);
    open_rig(&u, seed, "0666", NULL, 0);
    sim_world_options(u.rig.world)->nobody_id = OWN;
    raw_client *clients[] = {open_busy(&u, OWN), open_busy(&u, OWN), open_busy(&u, ALICE)};
    rig_run_for(&u.rig, SETTLE_NS);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(clients); i++) {
        EXPECT(count_kind(list(clients[i], SL_OPS_FILTER_ALL, 0), SL_REQUEST_READ) == READS);
        expect_status(clients[i], i < 2 ? "uid 1000" : "uid 2001", false, 0);
        client_close(clients[i]);
    }
    close_rig(&u);
}

/* ---- who is charged -------------------------------------------------------------------------- */

/* Leaves one handle with the system. false: the user may have no more handles. */
static bool make_zombie(users_rig *u, raw_client *c) {
    uint64_t ends[2];
    int status = call_pair(c, ends);
    EXPECT(status == SLUICE_OK || status == SLUICE_EQUOTA);
    if (status == SLUICE_OK) {
        uint64_t read = start_read(c, ends[0], 1, false, 0);
        rig_run_for(&u->rig, SETTLE_NS);
        uint64_t close = start_close(c, ends[0]);
        EXPECT(await_status(c, read) == SLUICE_ECLOSED);
        EXPECT(await_status(c, close) == SLUICE_EABANDONED);
    }
    return status == SLUICE_OK;
}

/* Sessions on every worker, one account. */
static void test_zombies(uint64_t seed) {
    users_rig u;
    raw_client *alice[WORKERS];
    uint64_t ends[2];
    unsigned made = 0;
    open_rig(&u, seed, "0666", NULL, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        alice[i] = open_as(&u, ALICE);
    }
    raw_client *bob = open_as(&u, BOB);
    stick(&u, ALWAYS);
    while (make_zombie(&u, alice[made % WORKERS])) {
        EXPECT(++made <= ZOMBIES);
    }
    raw_reply reply;
    EXPECT(call_plain(bob, SL_REQUEST_STATUS, 0, &reply) == SLUICE_OK);
    uint64_t zombies = reply.counters.zombies;
    EXPECT(made >= WORKERS && zombies >= ZOMBIES && reply.counters.user_zombies == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        EXPECT(call_pair(alice[i], ends) == SLUICE_EQUOTA);
        expect_status(alice[i], "uid 2001", false, zombies);
    }
    EXPECT(call_pair(bob, ends) == SLUICE_OK);
    sim_world_calm(u.rig.world);
    uint64_t since_ns = 0;
    while (rig_counters(&u.rig).zombies > 0) {
        rig_wait(&u.rig, &since_ns);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        expect_status(alice[i], "uid 2001", false, 0);
        EXPECT(call_pair(alice[i], ends) == SLUICE_OK);
        client_close(alice[i]);
    }
    client_close(bob);
    close_rig(&u);
}

/* ---- what ended sessions leave behind -------------------------------------------------------- */

/* Rows of that session: its handles, and its connection. */
static void expect_remains(const row_list *all, uint64_t session_id, const uint64_t *handles,
                           unsigned count) {
    unsigned found = 0;
    EXPECT(all->count == count + 1);
    for (unsigned i = 0; i < all->count; i++) {
        const sl_ops_row *row = &all->rows[i];
        EXPECT(row->session_id == session_id);
        EXPECT(row->stuck && row->state == SL_OPERATION_ZOMBIE && row->kind == SL_REQUEST_CLOSE);
        EXPECT(row->operation_id == 0 && row->age_ns >= CLOSE_GRACE_NS);
        for (unsigned k = 0; k < count; k++) {
            found |= row->handle == handles[k] ? 1u << k : 0;
        }
        found |= row->handle == 0 ? 1u << count : 0; /* the connection */
    }
    EXPECT(found == (1u << (count + 1)) - 1);
}

static void test_remains(uint64_t seed) {
    users_rig u;
    uint64_t handles[READS];
    uint64_t ends[2];
    open_rig(&u, seed, "0666", NULL, 0);
    raw_client *witness = open_as(&u, ALICE);
    raw_client *bob = open_as(&u, BOB);
    raw_client *c = open_as(&u, ALICE);
    for (unsigned i = 0; i < READS; i++) {
        handles[i] = call_connect_to(c, witness);
        (void)start_read(c, handles[i], 1, false, 0);
    }
    rig_run_for(&u.rig, SETTLE_NS);
    const row_list *before = list(witness, SL_OPS_FILTER_ALL, 0);
    EXPECT(before->count == READS);
    uint64_t session_id = before->rows[0].session_id;
    stick(&u, ALWAYS);
    /* It takes no replies, so that the broker ends the session over a write to it. */
    client_stop_reading(c, true);
    EXPECT(call_pair(c, ends) == SLUICE_OK);
    (void)start_write(c, ends[1], bulk, BULK, 0);
    (void)start_read(c, ends[0], BULK, true, 0);
    rig_run_for(&u.rig, 4 * SL_NS_PER_S);
    EXPECT(list(bob, SL_OPS_FILTER_STUCK, 0)->count == 0);
    expect_remains(list(witness, SL_OPS_FILTER_STUCK, 0), session_id, handles, READS);
    EXPECT(list(witness, SL_OPS_FILTER_STUCK, 1)->count == READS + 1);
    EXPECT(list(witness, SL_OPS_FILTER_ALL, 2)->count == READS + 1);
    expect_status(witness, "uid 2001", false, rig_counters(&u.rig).zombies);
    stick(&u, 0);
    client_close(c);
    uint64_t since_ns = 0;
    while (rig_counters(&u.rig).zombies > READS) { /* its connection is let go */
        rig_wait(&u.rig, &since_ns);
    }
    EXPECT(list(witness, SL_OPS_FILTER_STUCK, 0)->count == READS);
    sim_world_calm(u.rig.world);
    rig_await_sessions(&u.rig, 2);
    EXPECT(list(witness, SL_OPS_FILTER_STUCK, 0)->count == 0);
    expect_status(witness, "uid 2001", false, 0);
    client_close(bob);
    client_close(witness);
    close_rig(&u);
}

/* ---- the table of users ---------------------------------------------------------------------- */

#define THREADS 4u
#define USERS   200u

typedef struct finder {
    broker_users *users;
    sl_atomic_u32 *ready;
    sl_thread thread;
    broker_user *found[USERS];
} finder;

static void find_all(void *context) {
    finder *f = context;
    atomic_fetch_add(f->ready, 1);
    while (atomic_load(f->ready) < THREADS) {
        sl_thread_yield();
    }
    for (uint32_t i = 0; i < USERS; i++) {
        engine_identity identity;
        engine_identity_uid(&identity, i);
        EXPECT(users_find(f->users, &identity, &f->found[i]) == SLUICE_OK);
    }
}

static void test_same_entry_everywhere(void) {
    static broker_users users;
    static finder finders[THREADS];
    sl_account account;
    sl_atomic_u32 ready;
    atomic_init(&ready, 0);
    sl_account_init(&account, sl_allocator_system(), "users", SIZE_MAX);
    users_init(&users, &account, &limits);
    for (unsigned i = 0; i < THREADS; i++) {
        finders[i].users = &users;
        finders[i].ready = &ready;
        EXPECT(sl_thread_start(&finders[i].thread, "finder", find_all, &finders[i]) == SLUICE_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        sl_thread_join(&finders[i].thread);
        EXPECT(memcmp(finders[i].found, finders[0].found, sizeof(finders[0].found)) == 0);
    }
    EXPECT(account.acquired_count - account.released_count == USERS);
    for (unsigned i = 0; i < THREADS * USERS; i++) {
        users_release(&users, finders[i / USERS].found[i % USERS]);
    }
    users_deinit(&users);
    sl_account_deinit(&account);
}

/* Many more users than places, one after the other and several at once: while a user has a session,
 * whoever finds it finds the same entry. */
#define CROWD   (BROKER_USERS_MAX + 500)
#define COMINGS 20000u

static struct {
    sl_mutex lock;
    unsigned sessions[CROWD];
    broker_user *entries[CROWD];
} seen;

typedef struct comer {
    broker_users *users;
    uint64_t seed;
    unsigned others;
    sl_thread thread;
} comer;

static void come_and_go(void *context) {
    comer *c = context;
    for (unsigned i = 0; i < COMINGS; i++) {
        engine_identity identity;
        broker_user *found = NULL;
        c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t id = (uint32_t)(c->seed >> 33) % (i % 2 == 0 ? CROWD : 7); /* and some often */
        engine_identity_uid(&identity, id);
        EXPECT(users_find(c->users, &identity, &found) == SLUICE_OK);
        c->others += found == &c->users->others;
        EXPECT(engine_identity_equal(&found->identity, &identity));
        EXPECT(book_take(&found->sessions, 1));
        sl_mutex_lock(&seen.lock);
        EXPECT(seen.sessions[id] == 0 || seen.entries[id] == found);
        seen.entries[id] = found;
        seen.sessions[id]++;
        sl_mutex_unlock(&seen.lock);
        if (i % 16 == 0) {
            sl_thread_yield();
        }
        sl_mutex_lock(&seen.lock);
        seen.sessions[id]--;
        sl_mutex_unlock(&seen.lock);
        book_give(&found->sessions, 1);
        users_release(c->users, found);
    }
}

static void test_come_and_go(void) {
    static broker_users users;
    static const broker_user_limits many = {.memory_bytes = 1, .sessions = THREADS, .handles = 1};
    comer comers[THREADS];
    sl_account account;
    sl_mutex_init(&seen.lock);
    sl_account_init(&account, sl_allocator_system(), "users", SIZE_MAX);
    users_init(&users, &account, &many);
    for (unsigned i = 0; i < THREADS; i++) {
        comers[i] = (comer){.users = &users, .seed = i + 1};
        EXPECT(sl_thread_start(&comers[i].thread, "comer", come_and_go, &comers[i]) == SLUICE_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        sl_thread_join(&comers[i].thread);
        EXPECT(comers[i].others == 0);
    }
    EXPECT(account.acquired_count - account.released_count <= BROKER_USERS_MAX);
    users_deinit(&users);
    sl_account_deinit(&account);
    sl_mutex_deinit(&seen.lock);
}

/* A full table has no place; one whose user has nothing any more is the next one's. */
static void test_table_end(void) {
    static broker_users users;
    static broker_user *found[BROKER_USERS_MAX];
    sl_account account;
    sl_alloc_failpoint memory;
    broker_user *late = NULL;
    engine_identity identity;
    sl_alloc_failpoint_init(&memory, sl_allocator_system(), 1, false);
    sl_account_init(&account, &memory.allocator, "users", SIZE_MAX);
    users_init(&users, &account, &limits);
    engine_identity_uid(&identity, 7);
    EXPECT(users_find(&users, &identity, &late) == SLUICE_ENOMEM);
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        engine_identity_uid(&identity, i * 7919);
        EXPECT(users_find(&users, &identity, &found[i]) == SLUICE_OK);
        EXPECT(engine_identity_equal(&found[i]->identity, &identity));
    }
    for (uint32_t i = 0; i < 100; i++) {
        engine_identity_uid(&identity, 1000000000u + i);
        EXPECT(users_find(&users, &identity, &late) == SLUICE_OK && late == &users.others);
        users_release(&users, late);
    }
    engine_identity_uid(&identity, 0); /* who was there stays */
    EXPECT(users_find(&users, &identity, &late) == SLUICE_OK && late == found[0]);
    users_release(&users, late);
    /* Two have no session any more; one of them is still charged for something. */
    engine_identity_uid(&identity, 1000000000u);
    EXPECT(book_take(&found[5]->handles, 1));
    users_release(&users, found[5]);
    EXPECT(users_find(&users, &identity, &late) == SLUICE_OK && late == &users.others);
    users_release(&users, found[6]);
    EXPECT(users_find(&users, &identity, &late) == SLUICE_OK && late == found[6]);
    EXPECT(engine_identity_equal(&late->identity, &identity));
    EXPECT(strcmp(late->text, "uid 1000000000") == 0);
    engine_identity_uid(&identity, 6 * 7919);
    EXPECT(users_find(&users, &identity, &found[6]) == SLUICE_OK && found[6] == &users.others);
    engine_identity_uid(&identity, 5 * 7919); /* comes back to what it has */
    EXPECT(users_find(&users, &identity, &found[6]) == SLUICE_OK && found[6] == found[5]);
    book_give(&found[5]->handles, 1);
    EXPECT(account.acquired_count - account.released_count == BROKER_USERS_MAX);
    for (uint32_t i = 0; i < BROKER_USERS_MAX; i++) {
        users_release(&users, i == 6 ? late : found[i]);
    }
    users_deinit(&users);
    sl_account_deinit(&account);
}

/* More users than places, one session each and one after the other, at a whole broker. */
static void test_passers_by(uint64_t seed) {
    users_rig u;
    open_rig(&u, seed, "0666", NULL, 0);
    for (uint32_t i = 0; i < BROKER_USERS_MAX + 50; i++) {
        char text[32];
        raw_client *c = open_as(&u, 10000 + i);
        (void)snprintf(text, sizeof(text), "uid %u", (unsigned)(10000 + i));
        expect_status(c, text, false, 0);
        client_close(c);
        rig_await_sessions(&u.rig, 0);
    }
    close_rig(&u);
}

int main(int argc, char **argv) {
    unsigned seeds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10;
    test_same_entry_everywhere();
    test_table_end();
    test_come_and_go();
    test_passers_by(1);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        printf("seed %u\n", (unsigned)seed);
        test_visibility(seed);
        test_admission(seed);
        test_late_identity(seed);
        test_unmapped(seed);
        test_zombies(seed);
        test_remains(seed);
    }
    puts("ok");
    return 0;
}
