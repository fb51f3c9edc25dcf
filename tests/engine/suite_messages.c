/*
 * suite_messages.c - engine_post from other threads while the worker is busy or asleep, and the
 * deadline of engine_poll: reached, and never early.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/rig.h"

#define POSTERS           4
#define IN_FLIGHT         64 /* messages of one poster */
#define DEADLINES         20
#define WAKES_PER_MESSAGE 5
#define WAKE_SPINS_MAX    500
#define WAKE_LIMIT_NS     (UINT64_C(10) * SL_NS_PER_S)
#define OWN_ROUNDS        200
#define STARVE_POLLS_MAX  20000 /* the simulator's clock moves with every 16th poll only */
#define LOOK_POLLS_MAX    3 /* one hands the write over, one sees that the read has ended */
#define LATE_MAX_NS       (UINT64_C(5) * SL_NS_PER_S)

/* ---- messages from four threads -------------------------------------------------------------- */

typedef struct parcel {
    engine_message message;
    uint32_t poster;
    uint32_t number;
    sl_atomic_bool posted; /* until it was delivered */
} parcel;

typedef struct poster {
    engine_worker *worker;
    uint32_t index;
    uint32_t count;
    uint32_t next; /* the worker's: the number that must come next */
    t_thread thread;
    parcel parcels[IN_FLIGHT];
} poster;

static void run_poster(void *context) {
    poster *p = context;
    for (uint32_t i = 0; i < p->count; i++) {
        parcel *mine = &p->parcels[i % IN_FLIGHT];
        while (atomic_load(&mine->posted)) {
            sl_thread_yield();
        }
        atomic_store(&mine->posted, true);
        mine->poster = p->index;
        mine->number = i;
        mine->message.user = mine;
        engine_post(p->worker, &mine->message);
    }
}

static void take_message(poster *posters, const engine_completion *c) {
    EXPECT(c->id == 0 && c->handle == NULL);
    parcel *taken = c->user;
    EXPECT(c->message == &taken->message);
    EXPECT_INT(taken->number, posters[taken->poster].next); /* in order, none lost, none twice */
    posters[taken->poster].next++;
    EXPECT(atomic_load(&taken->posted));
    atomic_store(&taken->posted, false);
}

typedef struct traffic {
    engine_handle *ends[2];
    uint8_t buffer[16384];
    uint64_t transfers;
    unsigned pending;
    bool closing;
} traffic;

static void traffic_submit(traffic *t, engine_kind kind) {
    engine_buffer bytes = {.bytes = pattern_at(1, 0), .length = sizeof(t->buffer)};
    if (kind == ENGINE_READ) {
        EXPECT_STATUS(engine_read(t->ends[0], t->buffer, sizeof(t->buffer), NULL, NULL), SLUICE_OK);
    } else {
        EXPECT_STATUS(engine_write(t->ends[1], &bytes, 1, NULL, NULL), SLUICE_OK);
    }
    t->pending++;
}

/* Each transfer that ends starts the next. */
static void traffic_take(traffic *t, const engine_completion *c) {
    EXPECT(c->status == SLUICE_OK || t->closing);
    t->pending--;
    t->transfers++;
    if (!t->closing) {
        traffic_submit(t, c->kind);
    }
}

static void traffic_close(traffic *t) {
    t->closing = true;
    EXPECT_STATUS(engine_close(t->ends[0], NULL), SLUICE_OK);
    EXPECT_STATUS(engine_close(t->ends[1], NULL), SLUICE_OK);
    t->pending += 2;
}

/* The worker moves bytes while four threads post. */
static void while_busy(void) {
    rig *r = rig_open();
    poster *posters = calloc(POSTERS, sizeof(*posters));
    traffic *t = calloc(1, sizeof(*t));
    uint32_t taken = 0;
    uint32_t total = POSTERS * t_scale(T_COUNT_MESSAGES);
    EXPECT(posters != NULL && t != NULL);
    rig_stream(r, STREAM_PIPE, t->ends);
    traffic_submit(t, ENGINE_READ);
    traffic_submit(t, ENGINE_WRITE);
    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i].worker = r->worker;
        posters[i].index = i;
        posters[i].count = t_scale(T_COUNT_MESSAGES);
        t_thread_start(&posters[i].thread, run_poster, &posters[i]);
    }
    while (taken < total || t->pending > 0) {
        engine_completion batch[16];
        unsigned count = rig_poll(r, batch, SL_ARRAY_COUNT(batch), rig_after_ns(r, T_AWAIT_NS));
        EXPECT(count > 0);
        for (unsigned i = 0; i < count; i++) {
            if (batch[i].kind == ENGINE_MESSAGE) {
                take_message(posters, &batch[i]);
                taken++;
            } else {
                traffic_take(t, &batch[i]);
            }
        }
        if (taken == total && !t->closing) {
            traffic_close(t);
        }
    }
    for (uint32_t i = 0; i < POSTERS; i++) {
        t_thread_join(&posters[i].thread);
        EXPECT_INT(posters[i].next, posters[i].count);
    }
    t_note("  %u messages from %u threads, %llu transfers meanwhile", taken, POSTERS,
           (unsigned long long)t->transfers);
    free(t);
    free(posters);
    rig_close(r);
}

/* ---- waking ---------------------------------------------------------------------------------- */

typedef struct waker {
    engine_worker *worker;
    engine_message message;
    sl_atomic_u32 wanted;
    sl_atomic_bool stop;
} waker;

/* Posts once per `wanted`, after a pause of random length: spinning, so that the post can come at
 * any moment of the worker's way to sleep. */
static void spin_a_while(waker *w, sl_random_seeded *random) {
    for (uint32_t spins = sl_random_seeded_below(random, WAKE_SPINS_MAX); spins > 0; spins--) {
        (void)atomic_load(&w->stop);
    }
}

static void run_waker(void *context) {
    waker *w = context;
    sl_random_seeded random;
    uint32_t posted = 0;
    sl_random_seeded_init(&random, t_seed());
    while (!atomic_load(&w->stop)) {
        if (atomic_load(&w->wanted) == posted) {
            continue;
        }
        posted++;
        spin_a_while(w, &random);
        engine_post(w->worker, &w->message);
    }
}

/* A worker that goes to sleep is woken, however close the post is to its falling asleep. */
static void wakes(void) {
    rig *r = rig_open();
    waker w = {.worker = r->worker};
    t_thread thread;
    sl_random_seeded random;
    w.message.user = &w;
    sl_random_seeded_init(&random, t_seed() + 1);
    t_thread_start(&thread, run_waker, &w);
    for (unsigned i = 0; i < WAKES_PER_MESSAGE * t_scale(T_COUNT_MESSAGES); i++) {
        engine_completion completion;
        atomic_fetch_add(&w.wanted, 1);
        spin_a_while(&w, &random); /* the post may come before the poll, too */
        uint64_t limit_ns = rig_after_ns(r, WAKE_LIMIT_NS);
        if (rig_poll(r, &completion, 1, limit_ns) != 1 || rig_now_ns(r) >= limit_ns) {
            t_fail(__FILE__, __LINE__, "message %u did not wake the worker", i);
        }
        EXPECT(completion.kind == ENGINE_MESSAGE && completion.message == &w.message);
        EXPECT(completion.user == &w);
    }
    atomic_store(&w.stop, true);
    t_thread_join(&thread);
    rig_close(r);
}

/* From its own thread, in order, several per poll; a message may be posted again once delivered. */
static void from_own_thread(void) {
    rig *r = rig_open();
    engine_message messages[10];
    memset(messages, 0, sizeof(messages));
    for (unsigned round = 0; round < OWN_ROUNDS; round++) {
        for (unsigned i = 0; i < SL_ARRAY_COUNT(messages); i++) {
            messages[i].user = &messages[i];
            engine_post(r->worker, &messages[i]);
        }
        EXPECT_INT(r->inbox_count, 0);
        for (unsigned i = 0; i < SL_ARRAY_COUNT(messages); i++) {
            engine_completion completion = rig_await_message(r);
            EXPECT(completion.message == &messages[i] && completion.user == &messages[i]);
            EXPECT_STATUS(completion.status, SLUICE_OK);
        }
    }
    rig_expect_quiet(r);
    rig_close(r);
}

/* Messages that are posted again whenever they are delivered leave room for what ended. */
static void messages_do_not_starve(void) {
    static engine_message messages[64];
    rig *r = rig_open();
    engine_handle *ends[2];
    uint8_t bytes[2] = {0, 0};
    unsigned polls = 0;
    unsigned ended = 0;
    rig_stream(r, STREAM_PAIR, ends);
    memset(messages, 0, sizeof(messages));
    for (unsigned i = 0; i < SL_ARRAY_COUNT(messages); i++) {
        engine_post(r->worker, &messages[i]);
    }
    (void)rig_read(r, ends[0], bytes, 1);
    engine_buffer buffer = {"x", 1};
    EXPECT_STATUS(engine_write(ends[1], &buffer, 1, NULL, NULL), SLUICE_OK);
    for (; ended < 2; polls++) {
        engine_completion completion;
        EXPECT(polls < STARVE_POLLS_MAX);
        EXPECT_INT(rig_poll(r, &completion, 1, rig_after_ns(r, T_AWAIT_NS)), 1);
        if (completion.kind == ENGINE_MESSAGE) {
            engine_post(r->worker, completion.message);
        } else {
            EXPECT_STATUS(completion.status, SLUICE_OK);
            ended++;
        }
    }
    t_note("  2 completions among %zu busy messages took %u polls", SL_ARRAY_COUNT(messages),
           polls);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(messages); i++) {
        (void)rig_await_message(r);
    }
    rig_close_stream(r, ends);
    rig_close(r);
}

/* Behind engine_look, a poll asks the kernel though it has something to deliver already. */
static void look(void) {
    engine_message message = {0};
    engine_completion batch[4];
    rig *r = rig_open();
    engine_handle *ends[2];
    uint8_t byte = 0;
    unsigned polls = 0;
    rig_stream(r, STREAM_PAIR, ends);
    engine_request_id id = rig_read(r, ends[0], &byte, 1);
    engine_request_id write_id = rig_write(r, ends[1], "x", 1);
    bool is_written = false;
    for (bool has_come = false; !has_come; polls++) {
        EXPECT(polls < (t_is_sim() ? STARVE_POLLS_MAX : LOOK_POLLS_MAX));
        engine_post(r->worker, &message);
        engine_look(r->worker);
        unsigned count = rig_poll(r, batch, SL_ARRAY_COUNT(batch), 0);
        for (unsigned i = 0; i < count; i++) {
            has_come = has_come || batch[i].id == id;
            is_written = is_written || batch[i].id == write_id;
        }
    }
    if (!is_written) { /* the reader may learn of it first */
        EXPECT_STATUS(rig_await(r, write_id).status, SLUICE_OK);
    }
    t_note("  a completion behind a message that was there: %u polls", polls);
    rig_close_stream(r, ends);
    rig_close(r);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

static void poll_deadline(void) {
    rig *r = rig_open();
    engine_completion completion;
    uint64_t latest_ns = 0;
    for (unsigned i = 0; i < DEADLINES; i++) {
        uint64_t start_ns = rig_now_ns(r);
        uint64_t delta_ns = (uint64_t)i * i * 137 * SL_NS_PER_US;
        EXPECT_INT(rig_poll(r, &completion, 1, start_ns + delta_ns), 0);
        uint64_t elapsed_ns = rig_now_ns(r) - start_ns;
        EXPECT(elapsed_ns >= delta_ns); /* never early */
        latest_ns = elapsed_ns - delta_ns > latest_ns ? elapsed_ns - delta_ns : latest_ns;
    }
    EXPECT(latest_ns < LATE_MAX_NS);
    EXPECT_INT(rig_poll(r, &completion, 1, 0), 0);
    EXPECT_INT(rig_poll(r, &completion, 1, 1), 0); /* long past */
    t_note("  a poll returns %llu us after its deadline at worst",
           (unsigned long long)(latest_ns / SL_NS_PER_US));
    rig_close(r);
}

/* A deadline with requests pending, and one that a completion beats. */
static void poll_deadline_while_pending(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_completion completion;
    uint8_t byte = 0;
    rig_stream(r, STREAM_TCP, ends);
    engine_request_id id = rig_read(r, ends[0], &byte, 1);
    uint64_t start_ns = rig_now_ns(r);
    EXPECT_INT(rig_poll(r, &completion, 1, start_ns + T_QUIET_NS), 0);
    EXPECT(rig_now_ns(r) - start_ns >= T_QUIET_NS);
    (void)rig_write(r, ends[1], "x", 1);
    start_ns = rig_now_ns(r);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_INT(rig_poll(r, &completion, 1, start_ns + T_AWAIT_NS), 1);
        EXPECT_STATUS(completion.status, SLUICE_OK);
    }
    EXPECT(rig_now_ns(r) - start_ns < T_AWAIT_NS / 2);
    EXPECT(id != 0);
    rig_close_stream(r, ends);
    rig_close(r);
}

static const t_case cases[] = {
    {"while_busy", T_THREADED, while_busy},
    {"wakes", T_THREADED, wakes},
    {"from_own_thread", T_SMOKE, from_own_thread},
    {"messages_do_not_starve", T_SMOKE, messages_do_not_starve},
    {"look", T_SMOKE, look},
    {"poll_deadline", T_SMOKE, poll_deadline},
    {"poll_deadline_while_pending", T_SMOKE, poll_deadline_while_pending},
};

const t_suite suite_messages = {"messages", cases, SL_ARRAY_COUNT(cases)};
