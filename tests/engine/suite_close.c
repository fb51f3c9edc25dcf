/*
 * suite_close.c - closing (R7): with every kind of request pending, twice, inside a batch; the
 * order of completions; listeners whose accepts are pending, many thousand times, with clients
 * that connect at that moment.
 */
#include <string.h>

#include "tests/engine/rig.h"

#define LANE        5
#define PENDING     3
#define ACCEPTS_MAX 4

/* Submitting on a closing handle is refused, and gives no completion. */
static void expect_refused(engine_handle *handle) {
    engine_buffer bytes = {.bytes = "x", .length = 1};
    engine_address address;
    uint8_t byte;
    engine_request_id id = 12345;
    engine_address_loopback(&address, 9);
    EXPECT_STATUS(engine_close(handle, NULL), SLUICE_ECLOSED);
    EXPECT_STATUS(engine_read(handle, &byte, 1, NULL, &id), SLUICE_ECLOSED);
    EXPECT_STATUS(engine_write(handle, &bytes, 1, NULL, &id), SLUICE_ECLOSED);
    EXPECT_STATUS(engine_half_close(handle, NULL, &id), SLUICE_ECLOSED);
    EXPECT_STATUS(engine_accept(handle, NULL, &id), SLUICE_ECLOSED);
    EXPECT_STATUS(engine_receive_from(handle, &byte, 1, NULL, NULL, &id), SLUICE_ECLOSED);
    EXPECT_STATUS(engine_send_to(handle, &bytes, 1, &address, NULL, &id), SLUICE_ECLOSED);
    EXPECT_INT(id, 12345); /* outputs are written on success only */
}

static void close_idle(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        int mark = 0;
        rig_stream(r, (stream_kind)kind, ends);
        EXPECT_STATUS(engine_close(ends[0], &mark), SLUICE_OK);
        expect_refused(ends[0]);
        EXPECT_INT(r->inbox_count, 0);
        engine_completion completion = rig_await_closed(r, ends[0]);
        EXPECT(completion.user == &mark && completion.id == 0);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        EXPECT_STATUS(engine_close(ends[0], NULL), SLUICE_ECLOSED); /* valid until the next poll */
        rig_expect_quiet(r);
        rig_close_handle(r, ends[1]);
    }
    rig_close(r);
}

/* Waits until the handle is closed: the requests before it, each once; the close comes last. */
static void expect_drained(rig *r, engine_handle *handle, const engine_request_id *ids,
                           unsigned count, bool may_succeed) {
    engine_completion closed = rig_await_closed(r, handle);
    EXPECT_STATUS(closed.status, SLUICE_OK);
    for (unsigned i = 0; i < count; i++) {
        EXPECT(rig_has(r, ids[i])); /* delivered before the close */
        engine_completion completion = rig_await(r, ids[i]);
        EXPECT(completion.handle == handle);
        if (completion.status == SLUICE_OK && may_succeed) {
            if (completion.opened[0] != NULL) {
                rig_close_handle(r, completion.opened[0]);
            }
        } else if (!t_is_sim()) {
            EXPECT_STATUS(completion.status, SLUICE_ECANCELED);
        } else {
            EXPECT(completion.status < 0);
        }
    }
}

static void close_stream_pending(rig *r, stream_kind kind, bool poll_first) {
    engine_handle *ends[2];
    uint8_t bytes[PENDING];
    engine_request_id reads[PENDING];
    engine_request_id writes[PENDING + 1];
    rig_stream(r, kind, ends);
    if (poll_first) {
        writes[PENDING] = rig_fill(r, ends[1], LANE);
    } else {
        writes[PENDING] = rig_write(r, ends[1], pattern_at(LANE, 0), PATTERN_BLOCK);
    }
    for (unsigned i = 0; i < PENDING; i++) {
        writes[i] = rig_write(r, ends[1], "abc", 3);
    }
    EXPECT_STATUS(engine_close(ends[1], NULL), SLUICE_OK);
    expect_refused(ends[1]);
    expect_drained(r, ends[1], writes, PENDING + 1, true);
    rig_close_handle(r, ends[0]);
    rig_stream(r, kind, ends);
    for (unsigned i = 0; i < PENDING; i++) {
        reads[i] = rig_read(r, ends[0], &bytes[i], i == 0 ? 0 : 1);
    }
    if (poll_first) {
        (void)rig_pump(r, 0);
    }
    EXPECT_STATUS(engine_close(ends[0], NULL), SLUICE_OK);
    expect_refused(ends[0]);
    expect_drained(r, ends[0], reads, PENDING, false);
    rig_close_handle(r, ends[1]);
}

static void close_listener_pending(rig *r, stream_kind kind, bool poll_first) {
    engine_request_id ids[PENDING];
    engine_handle *listener = rig_listener(r, kind);
    for (unsigned i = 0; i < PENDING; i++) {
        EXPECT_STATUS(engine_accept(listener, NULL, &ids[i]), SLUICE_OK);
    }
    if (poll_first) {
        (void)rig_pump(r, 0);
    }
    r->listeners[kind] = NULL;
    EXPECT_STATUS(engine_close(listener, NULL), SLUICE_OK);
    expect_drained(r, listener, ids, PENDING, false);
}

static void close_udp_pending(rig *r, bool poll_first) {
    engine_address address;
    engine_handle *udp = NULL;
    engine_request_id ids[PENDING];
    uint8_t bytes[PENDING];
    engine_address from[PENDING];
    engine_address_loopback(&address, 0);
    EXPECT_STATUS(engine_udp_open(r->worker, &address, &udp), SLUICE_OK);
    for (unsigned i = 0; i < PENDING; i++) {
        EXPECT_STATUS(engine_receive_from(udp, &bytes[i], 1, &from[i], NULL, &ids[i]), SLUICE_OK);
    }
    if (poll_first) {
        (void)rig_pump(r, 0);
    }
    EXPECT_STATUS(engine_close(udp, NULL), SLUICE_OK);
    expect_refused(udp);
    expect_drained(r, udp, ids, PENDING, false);
}

static void close_half_close_pending(rig *r) {
    engine_handle *ends[2];
    engine_request_id ids[2];
    rig_stream(r, STREAM_TCP, ends);
    ids[0] = rig_fill(r, ends[1], LANE);
    EXPECT_STATUS(engine_half_close(ends[1], NULL, &ids[1]), SLUICE_OK);
    EXPECT_STATUS(engine_close(ends[1], NULL), SLUICE_OK);
    expect_drained(r, ends[1], ids, 2, true);
    rig_close_handle(r, ends[0]);
}

/* Every kind of request is pending when its handle is closed. */
static void close_everything_pending(void) {
    rig *r = rig_open();
    for (unsigned i = 0; i < t_scale(T_COUNT_CLOSE_ROUNDS); i++) {
        bool poll_first = i % 2 == 0;
        for (int kind = 0; kind < STREAM_KINDS; kind++) {
            t_phase(stream_names[kind]);
            close_stream_pending(r, (stream_kind)kind, poll_first && i < 6);
            if (kind != STREAM_PAIR) {
                t_phase(kind == STREAM_PIPE ? "pipe listener" : "tcp listener");
                close_listener_pending(r, (stream_kind)kind, poll_first);
            }
        }
        t_phase("udp");
        close_udp_pending(r, poll_first);
        if (i < 4) {
            t_phase("half-close");
            close_half_close_pending(r);
        }
    }
    rig_close(r);
}

/* Requests that have no handle cannot be closed; they end by cancel, also on the way out. */
static void close_while_connecting(void) {
    rig *r = rig_open();
    engine_handle *listener = rig_listener(r, STREAM_PIPE);
    engine_request_id ids[4];
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_STATUS(engine_connect(r->worker, &r->addresses[STREAM_PIPE],
                                     rig_after_ns(r, SL_NS_PER_S), NULL, NULL, &ids[i]),
                      SLUICE_OK);
    }
    r->listeners[STREAM_PIPE] = NULL;
    rig_close_handle(r, listener);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t byte;
        engine_completion completion = rig_await(r, ids[i]);
        if (completion.status == SLUICE_OK) { /* it was in the backlog: dropped, and sees it */
            int status = rig_await(r, rig_read(r, completion.opened[0], &byte, 1)).status;
            EXPECT(status == SLUICE_EEOF || status == SLUICE_ERESET);
            rig_close_handle(r, completion.opened[0]);
        } else {
            EXPECT(completion.status == SLUICE_ENOTFOUND || completion.status == SLUICE_EREFUSED ||
                   completion.status == SLUICE_ETIMEDOUT || completion.status == SLUICE_ERESET);
        }
    }
    rig_close(r);
}

/* ---- accepts that are cancelled by closing their listener ------------------------------------ */

typedef struct accept_tally {
    unsigned closes; /* of listeners, that cancelled at least one accept */
    unsigned canceled;
    unsigned accepted;
    unsigned connected;
    unsigned refused;
    unsigned ended; /* clients that connected and then saw the end */
} accept_tally;

/* The client of a closed listener: it failed to connect, or it sees the end, or it was accepted. */
static void settle_client(rig *r, engine_request_id id, accept_tally *tally, unsigned accepted) {
    uint8_t byte;
    engine_completion completion = rig_await(r, id);
    if (completion.status != SLUICE_OK) {
        EXPECT(completion.status == SLUICE_ECANCELED || completion.status == SLUICE_ENOTFOUND ||
               completion.status == SLUICE_EREFUSED || completion.status == SLUICE_ERESET ||
               completion.status == SLUICE_ETIMEDOUT);
        EXPECT(completion.opened[0] == NULL);
        tally->refused++;
        return;
    }
    tally->connected++;
    /* An accepted handle was closed already, a dropped one was closed with the listener. */
    int status = rig_await(r, rig_read(r, completion.opened[0], &byte, 1)).status;
    EXPECT(status == SLUICE_EEOF || status == SLUICE_ERESET);
    tally->ended += accepted == 0;
    rig_close_handle(r, completion.opened[0]);
}

/* One listener with pending accepts is closed; `clients` connects race with that. */
static void close_accepting(rig *r, stream_kind kind, unsigned clients, unsigned polls,
                            accept_tally *tally) {
    engine_address address;
    engine_handle *listener = NULL;
    engine_request_id accepts[ACCEPTS_MAX];
    engine_request_id connects[2] = {0};
    unsigned count = polls == 0 ? ACCEPTS_MAX : 1; /* one in the kernel, or a queue of them */
    unsigned canceled = tally->canceled;
    engine_listen_options options = {.backlog = 2};
    unsigned accepted = 0;
    if (kind == STREAM_PIPE) {
        address = t_pipe_address();
    } else {
        engine_address_loopback(&address, 0);
    }
    EXPECT_STATUS(rig_listen(r, &address, 1, &options, &listener), SLUICE_OK);
    if (kind == STREAM_TCP) {
        EXPECT_STATUS(engine_handle_local_address(listener, &address), SLUICE_OK);
    }
    for (unsigned i = 0; i < count; i++) {
        EXPECT_STATUS(engine_accept(listener, NULL, &accepts[i]), SLUICE_OK);
    }
    for (unsigned i = 0; i < clients; i++) {
        EXPECT_STATUS(engine_connect(r->worker, &address, rig_after_ns(r, SL_NS_PER_S), NULL, NULL,
                                     &connects[i]),
                      SLUICE_OK);
    }
    for (unsigned i = 0; i < polls; i++) {
        (void)rig_pump(r, 0);
    }
    EXPECT_STATUS(engine_close(listener, NULL), SLUICE_OK);
    (void)rig_await_closed(r, listener);
    for (unsigned i = 0; i < count; i++) {
        EXPECT(rig_has(r, accepts[i]));
        engine_completion completion = rig_await(r, accepts[i]);
        if (completion.status == SLUICE_OK) {
            accepted++;
            rig_close_handle(r, completion.opened[0]);
        } else {
            EXPECT_STATUS(completion.status, SLUICE_ECANCELED);
            EXPECT(completion.opened[0] == NULL);
            tally->canceled++;
        }
    }
    EXPECT(accepted <= clients);
    tally->closes += tally->canceled > canceled;
    tally->accepted += accepted;
    for (unsigned i = 0; i < clients; i++) {
        engine_cancel(r->worker, connects[i]); /* a busy or vanished name is not waited for */
        settle_client(r, connects[i], tally, accepted);
    }
}

static void accept_close(stream_kind kind, unsigned wanted) {
    rig *r = rig_open();
    accept_tally tally = {0};
    sl_random_seeded random;
    sl_random_seeded_init(&random, t_seed());
    while (tally.closes < wanted) {
        unsigned chance = sl_random_seeded_below(&random, 4);
        unsigned clients = chance == 0 ? 1 + sl_random_seeded_below(&random, 2) : 0;
        close_accepting(r, kind, clients, sl_random_seeded_below(&random, 4), &tally);
    }
    t_note("  %s: %u closes cancelled %u accepts, %u were accepted; %u clients connected (%u to "
           "listeners that accepted none), %u failed",
           stream_names[kind], tally.closes, tally.canceled, tally.accepted, tally.connected,
           tally.ended, tally.refused);
    rig_close(r);
}

static void accept_close_pipe(void) {
    accept_close(STREAM_PIPE, t_scale(T_COUNT_ACCEPT_CLOSE));
}

static void accept_close_tcp(void) {
    accept_close(STREAM_TCP, t_scale(T_COUNT_ACCEPT_CLOSE) / 10);
}

static const t_case cases[] = {
    {"close_idle", T_SMOKE, close_idle},
    {"close_everything_pending", 0, close_everything_pending},
    {"close_while_connecting", T_SMOKE, close_while_connecting},
    {"accept_close_pipe", 0, accept_close_pipe},
    {"accept_close_tcp", 0, accept_close_tcp},
};

const t_suite suite_close = {"close", cases, SL_ARRAY_COUNT(cases)};
