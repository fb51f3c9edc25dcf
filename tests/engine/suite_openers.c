/*
 * suite_openers.c - what blocks, and whose turn it is: look-ups and paths that never come back keep
 * nobody from opening anything else; shares; what was given up; the close of a path.
 *
 * The openers' work goes through a gate of ours (engine_opener_run): what is held there is inside
 * the system, as far as the engine knows. The simulator has no openers.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/opener.h"
#include "tests/engine/rig.h"

#define POOL     ENGINE_DEFAULT_OPENERS
#define HALF     (POOL / 2)
#define MANY     20u
#define ORDER    8u
#define GIVEN_UP ENGINE_DEFAULT_GIVEN_UP

/* ---- the gate -------------------------------------------------------------------------------- */

static struct {
    sl_mutex lock;
    sl_cond changed;
    unsigned kinds;   /* bits: these are held */
    unsigned inside;  /* held now */
    unsigned permits; /* so many may go on */
    unsigned passed;
    const engine_share *order[ORDER]; /* whose they were, as they came in */
    const engine_share *last; /* who came in last */
    unsigned came;
} gate;

static void run_at_gate(engine_opener_job *job) {
    bool is_held;
    sl_mutex_lock(&gate.lock);
    is_held = (gate.kinds & (1u << job->kind)) != 0;
    if (is_held) {
        if (gate.came < ORDER) {
            gate.order[gate.came] = job->behalf.share;
        }
        gate.last = job->behalf.share;
        gate.came++;
        gate.inside++;
        sl_cond_broadcast(&gate.changed);
        while (gate.kinds != 0 && gate.permits == 0) {
            sl_cond_wait(&gate.changed, &gate.lock);
        }
        gate.permits -= gate.permits > 0;
        gate.inside--;
        gate.passed++;
        sl_cond_broadcast(&gate.changed);
    }
    sl_mutex_unlock(&gate.lock);
    if (is_held && job->kind == ENGINE_OPENER_RESOLVE) {
        job->status = SLUICE_ENOTFOUND; /* no name server is to be asked */
    } else {
        engine_opener_os_run(job);
    }
}

static rig *open_at_gate(const engine_options *options, unsigned kinds) {
    memset(&gate, 0, sizeof(gate));
    sl_mutex_init(&gate.lock);
    sl_cond_init(&gate.changed);
    gate.kinds = kinds;
    engine_opener_run = run_at_gate;
    return rig_open_with(options, SIM_PROFILE_GENTLE);
}

static void close_at_gate(rig *r) {
    rig_close(r);
    engine_opener_run = engine_opener_os_run;
    sl_cond_deinit(&gate.changed);
    sl_mutex_deinit(&gate.lock);
}

static void await_inside(unsigned count) {
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), T_AWAIT_NS);
    sl_mutex_lock(&gate.lock);
    while (gate.inside != count) {
        bool is_in_time = sl_cond_wait_until(&gate.changed, &gate.lock, deadline_ns);
        if (!is_in_time) {
            unsigned inside = gate.inside;
            sl_mutex_unlock(&gate.lock);
            t_fail(__FILE__, __LINE__, "%u are inside, expected %u", inside, count);
        }
    }
    sl_mutex_unlock(&gate.lock);
}

static void open_gate(void) {
    sl_mutex_lock(&gate.lock);
    gate.kinds = 0;
    sl_cond_broadcast(&gate.changed);
    sl_mutex_unlock(&gate.lock);
}

static void let_one_pass(void) {
    sl_mutex_lock(&gate.lock);
    unsigned passed = gate.passed;
    gate.permits++;
    sl_cond_broadcast(&gate.changed);
    while (gate.passed == passed) {
        sl_cond_wait(&gate.changed, &gate.lock);
    }
    sl_mutex_unlock(&gate.lock);
}

/* The openers' books follow what happened at the gate a moment later. */
static void await_given_up(rig *r, uint32_t count) {
    uint64_t deadline_ns = rig_after_ns(r, T_AWAIT_NS);
    while (engine_given_up(r->engine) != count) {
        EXPECT(rig_now_ns(r) < deadline_ns);
        sl_thread_yield();
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static engine_address found[MANY];

static engine_request_id look_up(rig *r, unsigned number, engine_share *share) {
    engine_behalf behalf = {.share = share};
    engine_request_id id = 0;
    EXPECT_STATUS(
        engine_resolve(r->worker, "held.invalid", 1, &found[number % MANY], 1, &behalf, NULL, &id),
        SLUICE_OK);
    return id;
}

/* A pipe that nobody has, and a pair. */
static void open_paths(rig *r, engine_share *share) {
    engine_behalf behalf = {.share = share};
    engine_address name = t_pipe_address();
    engine_request_id id = 0;
    EXPECT_STATUS(engine_connect(r->worker, &name, SL_CLOCK_NEVER, &behalf, NULL, &id), SLUICE_OK);
    rig_await_status(r, id, SLUICE_ENOTFOUND);
    EXPECT_STATUS(engine_pair(r->worker, &behalf, NULL, &id), SLUICE_OK);
    engine_completion pair = rig_await(r, id);
    EXPECT_STATUS(pair.status, SLUICE_OK);
    rig_close_stream(r, pair.opened);
}

static void cancel_now(rig *r, engine_request_id id) {
    uint64_t before_ns = rig_now_ns(r);
    engine_cancel(r->worker, id);
    rig_await_status(r, id, SLUICE_ECANCELED);
    EXPECT(rig_now_ns(r) - before_ns < SL_NS_PER_S);
}

/* Everything that is no look-up by name. */
static void open_the_rest(rig *r) {
    engine_handle *ends[2];
    engine_request_id id = 0;
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        rig_stream(r, (stream_kind)kind, ends);
        rig_close_stream(r, ends);
    }
    EXPECT_STATUS(engine_resolve(r->worker, "127.0.0.1", 7, &found[0], 1, NULL, NULL, &id),
                  SLUICE_OK);
    rig_await_status(r, id, SLUICE_OK);
    EXPECT(found[0].family == ENGINE_ADDRESS_IPV4 && found[0].port == 7);
}

/* ---- look-ups -------------------------------------------------------------------------------- */

/* Four look-ups that never end, then given up: pairs, connects, listeners go on meanwhile. */
static void hung_lookups(void) {
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_RESOLVE);
    engine_request_id ids[HALF];
    for (unsigned i = 0; i < HALF; i++) {
        ids[i] = look_up(r, i, NULL);
    }
    await_inside(HALF);
    open_the_rest(r);
    for (unsigned i = 0; i < HALF; i++) {
        cancel_now(r, ids[i]);
    }
    await_given_up(r, HALF);
    open_the_rest(r);
    t_phase("their places are free again");
    engine_request_id more = look_up(r, 0, NULL);
    await_inside(HALF + 1);
    cancel_now(r, more);
    open_gate();
    await_given_up(r, 0);
    close_at_gate(r);
}

/* What is over the share waits, and ends at once when it is cancelled: nothing of it is left. */
static void share_is_half(void) {
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_RESOLVE);
    engine_share alice;
    engine_share bob;
    engine_request_id ids[2][MANY / 2];
    engine_share_init(&alice);
    engine_share_init(&bob);
    for (unsigned i = 0; i < MANY / 2; i++) {
        ids[0][i] = look_up(r, i, &alice);
    }
    await_inside(HALF);
    rig_expect_quiet(r);
    for (unsigned i = 0; i < MANY / 2; i++) {
        ids[1][i] = look_up(r, MANY / 2 + i, &bob);
    }
    await_inside(HALF + HALF / 2);
    rig_expect_quiet(r);
    EXPECT_INT(gate.inside, HALF + HALF / 2);
    for (unsigned i = HALF / 2; i < MANY / 2; i++) { /* those that wait: no place is for them */
        cancel_now(r, ids[1][i]);
    }
    for (unsigned i = MANY / 2; i-- > 0;) { /* those of alice that wait come first */
        cancel_now(r, ids[0][i]);
    }
    for (unsigned i = 0; i < HALF / 2; i++) {
        cancel_now(r, ids[1][i]);
    }
    await_given_up(r, HALF + HALF / 2);
    EXPECT_INT(engine_share_given_up(&alice), HALF);
    EXPECT_INT(engine_share_given_up(&bob), HALF / 2);
    open_gate();
    await_given_up(r, 0);
    EXPECT_INT(engine_share_given_up(&alice) + engine_share_given_up(&bob), 0);
    close_at_gate(r);
}

/* One place: who has many that wait does not come before who has few. */
static void users_take_turns(void) {
    engine_options options = {.opener_threads = 1};
    rig *r = open_at_gate(&options, 1u << ENGINE_OPENER_RESOLVE);
    engine_share alice;
    engine_share bob;
    engine_request_id ids[ORDER];
    engine_share_init(&alice);
    engine_share_init(&bob);
    for (unsigned i = 0; i < ORDER; i++) {
        ids[i] = look_up(r, i, i < ORDER - 2 ? &alice : &bob);
        if (i == 0) {
            await_inside(1);
        }
    }
    for (unsigned i = 0; i < ORDER; i++) {
        await_inside(1);
        let_one_pass();
        if (i + 1 < ORDER) {
            await_inside(1);
        }
    }
    for (unsigned i = 0; i < ORDER; i++) {
        rig_await_status(r, ids[i], SLUICE_ENOTFOUND);
    }
    unsigned bobs_last = 0;
    for (unsigned i = 0; i < ORDER; i++) {
        bobs_last = gate.order[i] == &bob ? i : bobs_last;
    }
    EXPECT(gate.order[0] == &alice && bobs_last <= 4); /* a a b a b a a a */
    close_at_gate(r);
}

/* So many given up: the share's look-ups are refused, those that wait as well; another's are not,
 * and neither is what needs another pool. */
static void too_many_given_up(void) {
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_RESOLVE);
    engine_share alice;
    engine_share bob;
    engine_share_init(&alice);
    engine_share_init(&bob);
    for (unsigned round = 0; round < GIVEN_UP / HALF; round++) {
        engine_request_id ids[HALF];
        for (unsigned i = 0; i < HALF; i++) {
            ids[i] = look_up(r, i, &alice);
        }
        await_inside((round + 1) * HALF);
        engine_request_id waits = look_up(r, HALF, &alice);
        for (unsigned i = 0; i < HALF; i++) {
            cancel_now(r, ids[i]);
        }
        if (round + 1 == GIVEN_UP / HALF) {
            rig_await_status(r, waits, SLUICE_EQUOTA);
        } else {
            await_inside((round + 1) * HALF + 1);
            engine_cancel(r->worker, waits);
            rig_await_status(r, waits, SLUICE_ECANCELED);
            let_one_pass(); /* any of them: one less is away */
            await_given_up(r, HALF);
        }
    }
    EXPECT_INT(engine_share_given_up(&alice), GIVEN_UP);
    rig_await_status(r, look_up(r, 0, &alice), SLUICE_EQUOTA);
    open_paths(r, &alice);
    engine_request_id bobs = look_up(r, 1, &bob);
    await_inside(GIVEN_UP + 1);
    open_gate();
    rig_await_status(r, bobs, SLUICE_ENOTFOUND);
    await_given_up(r, 0);
    rig_await_status(r, look_up(r, 0, &alice), SLUICE_ENOTFOUND);
    close_at_gate(r);
}

/* Cancelled at every moment of their way. */
static void cancel_races(void) {
    rig *r = open_at_gate(NULL, 0);
    unsigned ended[2] = {0, 0};
    for (unsigned round = 0; round < 300; round++) {
        engine_request_id ids[MANY];
        for (unsigned i = 0; i < MANY; i++) {
            EXPECT_STATUS(
                engine_resolve(r->worker, "localhost", 1, &found[i], 1, NULL, NULL, &ids[i]),
                SLUICE_OK);
        }
        for (unsigned i = 0; i < MANY; i++) {
            if (i % 4 == round % 4) {
                (void)rig_pump(r, 0);
            }
            if (i % 2 == 0) {
                engine_cancel(r->worker, ids[i]);
            }
        }
        for (unsigned i = 0; i < MANY; i++) {
            int status = rig_await(r, ids[i]).status;
            EXPECT(status == SLUICE_OK || (i % 2 == 0 && (status == SLUICE_ECANCELED)) ||
                   status == SLUICE_EQUOTA);
            ended[status == SLUICE_OK]++;
        }
    }
    t_note("  %u look-ups were answered, %u cancelled or refused", ended[1], ended[0]);
    await_given_up(r, 0);
    close_at_gate(r);
}

/* The engine's end does not wait for what nobody wants any more. */
static void destroy_leaves_openers(void) {
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_RESOLVE);
    engine_request_id id = look_up(r, 0, NULL);
    await_inside(1);
    cancel_now(r, id);
    EXPECT_STATUS(engine_worker_destroy(r->worker), SLUICE_OK);
    uint64_t before_ns = rig_now_ns(r);
    EXPECT_STATUS(engine_destroy(r->engine, 20 * SL_NS_PER_MS), SLUICE_EABANDONED);
    EXPECT(rig_now_ns(r) - before_ns < SL_NS_PER_S);
    open_gate();
    EXPECT_STATUS(engine_destroy(r->engine, T_AWAIT_NS), SLUICE_OK);
    free(r);
    engine_opener_run = engine_opener_os_run;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* A name that nobody answers for: its deadline ends the connect, and look-ups go on. */
static void hung_connects(void) {
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_CONNECT);
    engine_address name = t_pipe_address();
    engine_request_id ids[HALF + 1]; /* the last one waits for its turn */
    for (unsigned i = 0; i <= HALF; i++) {
        EXPECT_STATUS(engine_connect(r->worker, &name, rig_after_ns(r, 200 * SL_NS_PER_MS), NULL,
                                     NULL, &ids[i]),
                      SLUICE_OK);
    }
    await_inside(HALF);
    engine_request_id id = 0;
    EXPECT_STATUS(engine_resolve(r->worker, "localhost", 1, &found[0], 1, NULL, NULL, &id),
                  SLUICE_OK);
    rig_await_status(r, id, SLUICE_OK);
    engine_handle *ends[2];
    rig_stream(r, STREAM_PAIR, ends);
    rig_close_stream(r, ends);
    rig_stream(r, STREAM_TCP, ends);
    rig_close_stream(r, ends);
    for (unsigned i = 0; i <= HALF; i++) {
        rig_await_status(r, ids[i], SLUICE_ETIMEDOUT);
    }
    open_gate();
    await_given_up(r, 0);
    close_at_gate(r);
}

/* Taking a path: a cancel ends it at once. What was taken after all is given back. */
static void hung_listen(void) {
    if (os_is_wine() || strcmp(os_name(), "windows") == 0) {
        T_SKIP("a pipe's name is taken without an opener here");
    }
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_LISTEN);
    engine_address name = t_pipe_address();
    engine_request_id id = 0;
    EXPECT_STATUS(engine_listen(r->worker, &name, 1, NULL, NULL, NULL, &id), SLUICE_OK);
    await_inside(1);
    cancel_now(r, id);
    await_given_up(r, 1);
    open_gate();
    await_given_up(r, 0);
    engine_handle *listener = NULL;
    EXPECT_STATUS(rig_listen(r, &name, 1, NULL, &listener), SLUICE_OK);
    rig_close_handle(r, listener);
    close_at_gate(r);
}

/* Giving a path up: the close waits for it, and nothing else does. */
static void hung_close(void) {
    if (os_is_wine() || strcmp(os_name(), "windows") == 0) {
        T_SKIP("a pipe's name ends with its last instance here");
    }
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_DROP);
    engine_address name = t_pipe_address();
    engine_handle *listener = NULL;
    EXPECT_STATUS(rig_listen(r, &name, 1, NULL, &listener), SLUICE_OK);
    EXPECT_STATUS(engine_close(listener, NULL), SLUICE_OK);
    await_inside(1);
    EXPECT_INT(rig_counters(r).closing, 1);
    engine_handle *ends[2];
    rig_stream(r, STREAM_TCP, ends);
    rig_close_stream(r, ends);
    rig_expect_quiet(r);
    open_gate();
    (void)rig_await_closed(r, listener);
    EXPECT_STATUS(rig_listen(r, &name, 1, NULL, &listener), SLUICE_OK);
    rig_close_handle(r, listener);
    close_at_gate(r);
}

static engine_handle *listen_for(rig *r, engine_share *share) {
    engine_behalf behalf = {.share = share};
    engine_address name = t_pipe_address();
    engine_request_id id = 0;
    EXPECT_STATUS(engine_listen(r->worker, &name, 1, NULL, &behalf, NULL, &id), SLUICE_OK);
    engine_completion listening = rig_await(r, id);
    EXPECT_STATUS(listening.status, SLUICE_OK);
    return listening.opened[0];
}

/* Four users whose closes do not return fill the pool that gives paths up: a half, a quarter, and
 * the two last places. A fifth one opens whatever it likes. What it closes waits for its turn, and
 * that comes after one close more of each of the four at most, however many they have. */
static void full_of_closes(void) {
    enum { USERS = 4 };
    if (os_is_wine() || strcmp(os_name(), "windows") == 0) {
        T_SKIP("a pipe's name ends with its last instance here");
    }
    rig *r = open_at_gate(NULL, 1u << ENGINE_OPENER_DROP);
    static const unsigned inside[USERS] = {POOL / 2, POOL * 3 / 4, POOL - 1, POOL};
    engine_share shares[USERS + 1];
    engine_handle *listeners[USERS][POOL];
    for (unsigned i = 0; i <= USERS; i++) {
        engine_share_init(&shares[i]);
    }
    for (unsigned i = 0; i < USERS; i++) {
        for (unsigned k = 0; k < POOL; k++) {
            listeners[i][k] = listen_for(r, &shares[i]);
            EXPECT_STATUS(engine_close(listeners[i][k], NULL), SLUICE_OK);
        }
        await_inside(inside[i]);
        open_paths(r, &shares[i]); /* what is stuck there keeps its own user from none either */
    }
    engine_handle *late = listen_for(r, &shares[USERS]);
    open_paths(r, &shares[USERS]);
    EXPECT_STATUS(engine_close(late, NULL), SLUICE_OK);
    rig_expect_quiet(r);
    EXPECT_INT(rig_counters(r).closing, USERS * POOL + 1);
    unsigned returned = 0;
    while (gate.last != &shares[USERS]) { /* a user's only close that returns may be followed */
        EXPECT(++returned <= USERS);
        let_one_pass();
        await_inside(POOL);
    }
    EXPECT(gate.order[0] == &shares[0] && gate.came == POOL + returned);
    open_gate();
    (void)rig_await_closed(r, late);
    for (unsigned i = 0; i < USERS * POOL; i++) {
        (void)rig_await_closed(r, listeners[i / POOL][i % POOL]);
    }
    close_at_gate(r);
}

/* A server that does not accept: connects that are tried again hold no opener in between. */
static void busy_pipes(void) {
    rig *r = rig_open();
    engine_address name = t_pipe_address();
    engine_listen_options options = {.backlog = 1};
    engine_handle *listener = NULL;
    engine_request_id ids[MANY];
    engine_handle *ends[2];
    EXPECT_STATUS(rig_listen(r, &name, 1, &options, &listener), SLUICE_OK);
    for (unsigned i = 0; i < MANY; i++) {
        EXPECT_STATUS(engine_connect(r->worker, &name, SL_CLOCK_NEVER, NULL, NULL, &ids[i]),
                      SLUICE_OK);
    }
    for (unsigned i = 0; i < 10; i++) {
        rig_stream(r, STREAM_PIPE, ends);
        rig_close_stream(r, ends);
    }
    unsigned connected = 0;
    for (unsigned i = 0; i < MANY; i++) {
        engine_cancel(r->worker, ids[i]);
        engine_completion completion = rig_await(r, ids[i]);
        EXPECT(completion.status == SLUICE_OK || completion.status == SLUICE_ECANCELED);
        if (completion.status == SLUICE_OK) {
            connected++;
            rig_close_handle(r, completion.opened[0]);
        }
    }
    EXPECT(connected < MANY);
    rig_close_handle(r, listener);
    rig_close(r);
}

/* ---- addresses in figures -------------------------------------------------------------------- */

static void figures(void) {
    static const struct {
        const char *text;
        engine_address_family family;
        uint8_t first;
        uint8_t last; /* of the 4 or 16 bytes */
        uint32_t scope_id;
    } good[] = {
        {"127.0.0.1", ENGINE_ADDRESS_IPV4, 127, 1, 0},
        {"0.0.0.0", ENGINE_ADDRESS_IPV4, 0, 0, 0},
        {"255.255.255.255", ENGINE_ADDRESS_IPV4, 255, 255, 0},
        {"::", ENGINE_ADDRESS_IPV6, 0, 0, 0},
        {"::1", ENGINE_ADDRESS_IPV6, 0, 1, 0},
        {"fe80::", ENGINE_ADDRESS_IPV6, 0xfe, 0, 0},
        {"fe80::1%7", ENGINE_ADDRESS_IPV6, 0xfe, 1, 7},
        {"2001:DB8::8:800:200c:417a", ENGINE_ADDRESS_IPV6, 0x20, 0x7a, 0},
        {"1:2:3:4:5:6:7:8", ENGINE_ADDRESS_IPV6, 0, 8, 0},
        {"1:2:3:4:5:6:7::", ENGINE_ADDRESS_IPV6, 0, 0, 0},
        {"::ffff:10.0.0.9", ENGINE_ADDRESS_IPV4, 10, 9, 0},
        {"64:ff9b::192.0.2.33", ENGINE_ADDRESS_IPV6, 0, 33, 0},
    };
    static const char *const names[] = {
        "",
        "1",
        "127.1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        "0x7f.0.0.1",
        "localhost",
        ":",
        ":::",
        "1:",
        ":1",
        "1:::2",
        "1::2::3",
        "12345::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1%4294967296",
        "::1%",
        "fe80::1%nothing-of-that-name",
        "::1.2.3",
        "1.2.3.4::",
        "g::1",
    };
    engine_address address;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(good); i++) {
        memset(&address, 0xaa, sizeof(address));
        t_phase(good[i].text);
        EXPECT(engine_numeric_address(good[i].text, 4711, &address));
        unsigned last = address.family == ENGINE_ADDRESS_IPV4 ? 3 : 15;
        EXPECT_INT(address.family, good[i].family);
        EXPECT_INT(address.port, 4711);
        EXPECT_INT(address.ip[0], good[i].first);
        EXPECT_INT(address.ip[last], good[i].last);
        EXPECT_INT(address.scope_id, good[i].scope_id);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(names); i++) {
        t_phase(names[i]);
        EXPECT(!engine_numeric_address(names[i], 1, &address));
    }
}

/* ---- the suite ------------------------------------------------------------------------------- */

static const t_case cases[] = {
    {"hung_lookups", T_THREADED, hung_lookups},
    {"share_is_half", T_THREADED, share_is_half},
    {"users_take_turns", T_THREADED, users_take_turns},
    {"too_many_given_up", T_THREADED, too_many_given_up},
    {"cancel_races", T_THREADED, cancel_races},
    {"destroy_leaves_openers", T_THREADED, destroy_leaves_openers},
    {"hung_connects", T_THREADED, hung_connects},
    {"hung_listen", T_THREADED, hung_listen},
    {"hung_close", T_THREADED, hung_close},
    {"full_of_closes", T_THREADED, full_of_closes},
    {"busy_pipes", 0, busy_pipes},
    {"figures", T_SMOKE, figures},
};

const t_suite suite_openers = {"openers", cases, SL_ARRAY_COUNT(cases)};
