/*
 * act_engine.c - the engine alone: what it starts and ends with, anonymous pipes, streams by name
 * and by TCP, datagrams, messages. Endpoints: act_endpoint.c. Openers: act_opener.c.
 */
#include <string.h>

#include "base/thread.h"
#include "engine/buffers.h"
#include "tests/fault/act.h"

/* ---- start and stop -------------------------------------------------------------------------- */

static void start(script *s) {
    engine_options options = {.allocator = s->allocator, .max_requests = 512, .max_handles = 512,
                              .may_fork = true};
    EXPECT(s->engine == NULL && s->worker == NULL);
    act_openers_start();
    if (!script_check(s, "engine_create", engine_create(engine_backend_find(NULL), &options,
                                                        &s->engine),
                      S(ENOMEM) | S(EOSLIMIT) | S(EOS))) {
        s->engine = NULL;
        return;
    }
    script_engine_opened(s->engine);
    if (!script_check(s, "engine_worker_create", engine_worker_create(s->engine, &s->worker),
                      S(ENOMEM) | S(EOSLIMIT) | S(EOS) | S(EINVAL))) {
        s->worker = NULL;
        EXPECT(engine_destroy(s->engine, SL_NS_PER_S) == SLUICE_OK);
        s->engine = NULL;
        return;
    }
    (void)sl_thread_cpu_count();
    (void)sl_thread_pin(0);
    int sliced = sl_thread_set_slice(SL_THREAD_SLICE_MIN_NS);
    EXPECT(sliced == SLUICE_OK || sliced == SLUICE_ENOTSUP);
}

static void stop(script *s) {
    engine_counters counters;
    engine_worker_counters(s->worker, &counters);
    EXPECT(counters.handles == 0 && counters.requests == 0 && counters.closing == 0);
    EXPECT(counters.submitted_count == counters.completed_count);
    EXPECT(counters.handles_opened_count == counters.handles_closed_count);
    EXPECT(s->inbox_count == 0 && s->accepted == s->ended);
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    while (engine_worker_destroy(s->worker) != SLUICE_OK) { /* a late answer of an opener */
        EXPECT(script_now_ns() < end_ns);
        script_pump(s, SL_NS_PER_MS);
        EXPECT(s->inbox_count == 0);
    }
    s->worker = NULL;
    EXPECT(engine_destroy(s->engine, 10 * SL_NS_PER_S) == SLUICE_OK); /* checks the accounts */
    s->engine = NULL;
}

/* ---- streams --------------------------------------------------------------------------------- */

#define PORT_TRIES 8u
#define BIG (1u << 20) /* more than a pipe or a socket pair holds, unless it is read */

static uint8_t out[BIG];
static uint8_t in[BIG];

static void fill_pattern(void) {
    for (size_t i = 0; i < BIG && out[1] == 0; i++) {
        out[BIG - 1 - i] = (uint8_t)((BIG - 1 - i) * 7 + ((BIG - 1 - i) >> 9) + 1);
    }
}

engine_request_id act_read(script *s, engine_handle *handle, void *buffer, size_t length) {
    engine_request_id id = 0;
    return script_submitted(s, "engine_read", engine_read(handle, buffer, length, NULL, &id)) ? id
                                                                                              : 0;
}

engine_request_id act_write(script *s, engine_handle *handle, const void *bytes, size_t length,
                            unsigned parts) {
    engine_buffer buffers[ENGINE_GATHER_MAX];
    engine_request_id id = 0;
    for (unsigned i = 0; i < parts; i++) {
        buffers[i].bytes = (const uint8_t *)bytes + i * (length / parts);
        buffers[i].length = i + 1 < parts ? length / parts : length - i * (length / parts);
    }
    return script_submitted(s, "engine_write",
                            engine_write(handle, buffers, parts, NULL, &id))
               ? id
               : 0;
}

/* What is certainly out, and what may be. */
typedef struct account {
    size_t sent;
    size_t in_doubt;
    size_t got;
} account;

static bool end_write(script *s, engine_request_id id, account *a) {
    if (id == 0) {
        return false;
    }
    engine_completion done = script_await(s, id);
    a->sent += done.bytes;
    a->in_doubt += done.in_doubt;
    s->has_failed = s->has_failed || done.status != SLUICE_OK;
    return done.status == SLUICE_OK;
}

/* The next bytes of the pattern. */
static bool end_read(script *s, engine_request_id id, account *a, int *ret_status) {
    engine_completion done = script_await(s, id);
    EXPECT(memcmp(in, out + a->got, done.bytes) == 0);
    a->got += done.bytes;
    *ret_status = done.status;
    return done.status == SLUICE_OK;
}

/* Reads to the end of the stream, once its writer has closed: between what was certain and that
 * with what was in doubt. A read that failed may have lost the rest. */
static void drain(script *s, engine_handle *reader, account *a) {
    int status = SLUICE_OK;
    while (status == SLUICE_OK) {
        engine_request_id id = act_read(s, reader, in, 65536);
        if (id == 0) {
            return;
        }
        (void)end_read(s, id, a, &status);
    }
    s->has_failed = s->has_failed || status != SLUICE_EEOF;
    if (status == SLUICE_EEOF) {
        EXPECT(a->got >= a->sent && a->got <= a->sent + a->in_doubt);
    }
}

/* A read of what a write under way brings; when that fails, nothing may come any more. */
static void read_beside(script *s, engine_handle *reader, engine_request_id write, account *a) {
    int status;
    engine_request_id id = act_read(s, reader, in, 65536);
    if (id == 0) {
        return;
    }
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    while (!script_has(s, id) && !script_has(s, write)) {
        EXPECT(script_now_ns() < end_ns);
        script_pump(s, SL_NS_PER_MS);
    }
    if (!script_has(s, id) && script_status(s, write) != SLUICE_OK) {
        engine_cancel(s->worker, id);
    }
    s->has_failed = !end_read(s, id, a, &status) || s->has_failed;
}

/* As large as it becomes, and then looked at while what follows is read. */
static void let_grow(script *s, engine_handle *reader, engine_handle *writer) {
    uint64_t unsent = 0;
    while (engine_receive_step(reader) > 0) {
        engine_widen(reader);
    }
    if (engine_sends_more(writer)) {
        (void)script_check(s, "engine_unsent", engine_unsent(writer, &unsent), S(ENOTSUP));
    }
}

/* Zero-byte reads, pending reads, cancels, gathered writes, a writer that has to wait. */
static void use_stream(script *s, engine_handle *reader, engine_handle *writer, account *a) {
    int status;
    engine_request_id look = act_read(s, reader, NULL, 0);
    engine_request_id idle = look != 0 ? act_read(s, reader, in, 100) : 0;
    script_pump(s, 0);
    if (idle != 0) {
        engine_cancel(s->worker, idle);
        (void)script_await_is(s, idle, SLUICE_ECANCELED);
    }
    if (!end_write(s, act_write(s, writer, out, 1000, 1), a) ||
        !end_write(s, act_write(s, writer, out + 1000, 1000, 3), a)) {
        s->has_failed = true;
    }
    if (look != 0) { /* it may still wait, when nothing was written */
        if (a->sent == 0) {
            engine_cancel(s->worker, look);
        }
        (void)script_await_is(s, look, SLUICE_OK);
    }
    if (s->has_failed) {
        return;
    }
    while (a->got < a->sent && !s->has_failed) {
        engine_request_id id = act_read(s, reader, in, 1500);
        s->has_failed = id == 0 || !end_read(s, id, a, &status);
    }
    let_grow(s, reader, writer);
    /* More than fits: the writer waits for the reader. */
    engine_request_id big = s->has_failed ? 0 : act_write(s, writer, out + 2000, BIG - 4000, 2);
    if (big == 0) {
        return;
    }
    script_pump(s, 0);
    while (!script_has(s, big) && !s->has_failed) {
        read_beside(s, reader, big, a);
    }
    engine_cancel(s->worker, big); /* it is over, or its reader is */
    (void)end_write(s, big, a);
}

void act_stream(script *s, engine_handle *reader, engine_handle *writer, bool half_closes) {
    account a = {0, 0, 0};
    engine_request_id id = 0;
    fill_pattern();
    use_stream(s, reader, writer, &a);
    if (half_closes && script_submitted(s, "engine_half_close",
                                        engine_half_close(writer, NULL, &id))) {
        (void)script_await_is(s, id, SLUICE_OK);
    }
    if (!half_closes || s->has_failed) {
        script_close(s, writer);
        writer = NULL;
    }
    drain(s, reader, &a);
    if (writer != NULL) {
        script_close(s, writer);
    }
}

static void pair(script *s) {
    engine_request_id id = 0;
    engine_behalf small = {.pair_bytes = 4096};
    if (!script_submitted(s, "engine_pair", engine_pair(s->worker, &small, NULL, &id))) {
        return;
    }
    engine_completion opened = script_await(s, id);
    s->has_failed = opened.status != SLUICE_OK;
    if (!s->has_failed) {
        act_stream(s, opened.opened[0], opened.opened[1], true);
        script_close(s, opened.opened[0]);
    }
}

/* ---- connections ----------------------------------------------------------------------------- */

engine_request_id act_connect(script *s, const engine_address *address) {
    engine_request_id id = 0;
    uint64_t deadline_ns = script_now_ns() + SCRIPT_WAIT_NS / 2;
    return script_submitted(s, "engine_connect",
                            engine_connect(s->worker, address, deadline_ns, NULL, NULL, &id))
               ? id
               : 0;
}

static engine_handle *accept_one(script *s, engine_handle *listener, int *ret_status) {
    engine_request_id id = 0;
    *ret_status = SLUICE_EQUOTA;
    if (!script_submitted(s, "engine_accept", engine_accept(listener, NULL, &id))) {
        return NULL;
    }
    engine_completion done = script_await(s, id);
    *ret_status = done.status;
    s->has_failed = s->has_failed || done.status != SLUICE_OK;
    return done.status == SLUICE_OK ? done.opened[0] : NULL;
}

bool act_meet(script *s, engine_handle *listener, const engine_address *address, bool tries_again,
              engine_handle *ret_ends[2]) {
    int status;
    ret_ends[0] = ret_ends[1] = NULL;
    engine_request_id connect = act_connect(s, address);
    if (connect == 0) {
        return false;
    }
    engine_completion near = script_await(s, connect);
    s->has_failed = s->has_failed || near.status != SLUICE_OK;
    if (near.status != SLUICE_OK) {
        return false;
    }
    ret_ends[0] = near.opened[0];
    ret_ends[1] = accept_one(s, listener, &status);
    if (status == SLUICE_EOSLIMIT && tries_again) { /* the connection waits for this one */
        ret_ends[1] = accept_one(s, listener, &status);
    }
    return ret_ends[1] != NULL;
}

#define LEGAL_PEER (S(ENOTSUP) | S(ECLOSED) | S(EBUSY) | S(EACCESS) | S(EOSLIMIT) | S(EOS))

/* Who is there is known of a pipe that has a name; of an accepted one only after a read. */
static void look_at_peers(script *s, engine_handle *ends[2]) {
    engine_peer peer;
    engine_identity whom;
    bool is_among = false;
    account a = {0, 0, 0};
    int status;
    if (script_check(s, "engine_peer_identity", engine_peer_identity(ends[0], &peer),
                     LEGAL_PEER)) {
        EXPECT(peer.user.kind != ENGINE_IDENTITY_NONE);
    }
    fill_pattern();
    (void)end_write(s, act_write(s, ends[0], out, 1, 1), &a);
    engine_request_id id = a.sent == 1 ? act_read(s, ends[1], in, 1) : 0;
    if (id == 0 || !end_read(s, id, &a, &status)) {
        s->has_failed = true;
        return;
    }
    if (script_check(s, "engine_peer_identity", engine_peer_identity(ends[1], &peer),
                     LEGAL_PEER)) {
        EXPECT(peer.user.kind != ENGINE_IDENTITY_NONE);
    }
    /* Nobody's, so that all of the peer's groups are looked at. */
    EXPECT(engine_identity_parse(act_nobody, &whom) == SLUICE_OK);
    (void)script_check(s, "engine_peer_is_among",
                       engine_peer_is_among(ends[1], &whom, 1, &is_among), LEGAL_PEER);
    EXPECT(!is_among);
    (void)script_check(s, "engine_watch_peer", engine_watch_peer(ends[1]), LEGAL_PEER);
}

/* A connection that a failed accept has left is this one's: then it was no idle one. */
static void end_idle_accept(script *s, engine_request_id id) {
    engine_completion done = script_await(s, id);
    s->has_failed = s->has_failed || done.status != SLUICE_ECANCELED;
    if (done.status == SLUICE_OK) {
        script_close(s, done.opened[0]);
    }
}

/* Pending accepts: one cancelled, one that the close of its listener ends. */
void act_close_listener(script *s, engine_handle *listener) {
    engine_request_id idle[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        if (script_submitted(s, "engine_accept", engine_accept(listener, NULL, &idle[i]))) {
            script_pump(s, 0);
        }
    }
    if (idle[0] != 0) {
        engine_cancel(s->worker, idle[0]);
        end_idle_accept(s, idle[0]);
    }
    script_close(s, listener);
    if (idle[1] != 0) {
        end_idle_accept(s, idle[1]);
    }
}

/* Nobody is there any more; unless somebody else has just been given that port. */
static void connect_in_vain(script *s, const engine_address *address) {
    engine_request_id id = act_connect(s, address);
    if (id != 0) {
        engine_completion done = script_await(s, id);
        script_close(s, done.opened[0]);
        s->has_failed = s->has_failed ||
                        (done.status != SLUICE_EREFUSED && done.status != SLUICE_OK);
    }
}

static void use_listener(script *s, engine_handle *listener, const engine_address *address,
                         bool half_closes) {
    engine_handle *ends[2];
    engine_address bound = *address;
    bool is_tcp = address->family != ENGINE_ADDRESS_PIPE;
    if (is_tcp && !script_check(s, "engine_handle_local_address",
                                engine_handle_local_address(listener, &bound),
                                S(ECLOSED) | S(ENOTSUP) | S(EOS))) {
        script_close(s, listener);
        return;
    }
    bool tries_again = !is_tcp || address->port != 0; /* else it closes with what is left */
    if (act_meet(s, listener, &bound, tries_again, ends)) {
        if (!is_tcp) {
            look_at_peers(s, ends);
        }
        act_stream(s, ends[1], ends[0], half_closes);
        ends[0] = NULL;
    }
    script_close(s, ends[0]);
    script_close(s, ends[1]);
    if (s->has_failed && !tries_again) {
        script_close(s, listener); /* with what a failed accept has left */
    } else {
        act_close_listener(s, listener);
    }
    if (is_tcp && !s->has_failed) {
        connect_in_vain(s, &bound);
    }
}

int act_listen(script *s, const engine_address *addresses, unsigned count,
               const engine_listen_options *options, engine_handle **ret_listener) {
    engine_request_id id = 0;
    int status = engine_listen(s->worker, addresses, count, options, NULL, NULL, &id);
    if (!script_submitted(s, "engine_listen", status)) {
        return status;
    }
    engine_completion completion = script_await(s, id);
    *ret_listener = completion.opened[0];
    return completion.status;
}

static void use_connection(script *s, const engine_address *addresses, unsigned count,
                           const engine_listen_options *options, bool half_closes) {
    engine_handle *listener;
    if (script_check(s, "engine_listen",
                     act_listen(s, addresses, count, options, &listener), S_OPEN)) {
        use_listener(s, listener, &addresses[0], half_closes);
    }
}

static void named_pipe(script *s) {
    const engine_listen_options options = {.access = act_access};
    engine_address address = script_pipe_address();
    script_leave_stale_name(&address);
    use_connection(s, &address, 1, &options, act_pipes_half_close);
}

static void old_kernels_pipe(script *s) {
    engine_address address = script_pipe_address();
    script_take_rights(true);
    use_connection(s, &address, 1, NULL, act_pipes_half_close);
    script_take_rights(false);
}

static void tcp(script *s) {
    engine_address address;
    engine_address_loopback(&address, 0);
    use_connection(s, &address, 1, NULL, true);
}

static void tcp_several(script *s) {
    engine_address addresses[2];
    engine_address_loopback(&addresses[0], 0);
    engine_address_loopback(&addresses[1], 0);
    addresses[1].ip[3] = 2;
    use_connection(s, addresses, 2, NULL, true);
}

/* A port of the system's choice that is free again; over IPv6, where there is one. */
static bool find_port(script *s, engine_address *ret_address) {
    static const uint8_t loopback[16] = {[15] = 1};
    engine_handle *first;
    engine_address_ipv6(ret_address, loopback, 0, 0);
    int status = act_listen(s, ret_address, 1, NULL, &first);
    if (status == SLUICE_EADDRNOTAVAIL || status == SLUICE_ENOTSUP) {
        engine_address_loopback(ret_address, 0);
        status = act_listen(s, ret_address, 1, NULL, &first);
    }
    if (!script_check(s, "engine_listen", status, S_OPEN)) {
        return false;
    }
    bool is_known = script_check(s, "engine_handle_local_address",
                                 engine_handle_local_address(first, ret_address),
                                 S(ECLOSED) | S(ENOTSUP) | S(EOS));
    script_close(s, first);
    return is_known;
}

static void tcp_known_port(script *s) {
    engine_address address;
    engine_handle *listener;
    int status = SLUICE_EADDRINUSE;
    for (unsigned i = 0; i < PORT_TRIES && status == SLUICE_EADDRINUSE; i++) {
        if (!find_port(s, &address)) {
            return;
        }
        /* Another process may have been given it just now. */
        status = act_listen(s, &address, 1, NULL, &listener);
    }
    if (script_check(s, "engine_listen", status, S_OPEN)) {
        use_listener(s, listener, &address, true);
    }
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void exchange_datagrams(script *s, engine_handle *from, engine_handle *to,
                               const engine_address *address) {
    static const size_t rooms[] = {100, 5}; /* whole, and cut */
    fill_pattern();
    for (unsigned i = 0; i < SL_ARRAY_COUNT(rooms); i++) {
        const engine_buffer parts[] = {{out, 6}, {out + 6, 4}};
        engine_address sender;
        engine_request_id receive = 0;
        engine_request_id send = 0;
        if (!script_submitted(s, "engine_receive_from",
                              engine_receive_from(to, in, rooms[i], &sender, NULL, &receive))) {
            return;
        }
        script_pump(s, 0);
        bool is_sent =
            script_submitted(s, "engine_send_to",
                             engine_send_to(from, parts, 2, address, NULL, &send)) &&
            script_await_is(s, send, SLUICE_OK);
        if (!is_sent) {
            engine_cancel(s->worker, receive);
        }
        engine_completion done = script_await(s, receive);
        bool is_cut = rooms[i] < 10;
        s->has_failed = s->has_failed ||
                        done.status != (is_cut ? SLUICE_ETRUNCATED : SLUICE_OK);
        if (done.status == SLUICE_OK || done.status == SLUICE_ETRUNCATED) {
            EXPECT(done.bytes == (is_cut ? 5 : 10) && memcmp(in, out, done.bytes) == 0);
        }
    }
}

static void datagrams(script *s) {
    engine_handle *ends[2] = {NULL, NULL};
    engine_address addresses[2];
    bool is_open = true;
    for (unsigned i = 0; i < 2 && is_open; i++) {
        engine_address any;
        engine_address_loopback(&any, 0);
        is_open = script_check(s, "engine_udp_open", engine_udp_open(s->worker, &any, &ends[i]),
                               S_OPEN) &&
                  script_check(s, "engine_handle_local_address",
                               engine_handle_local_address(ends[i], &addresses[i]),
                               S(ECLOSED) | S(ENOTSUP) | S(EOS));
    }
    if (is_open) {
        exchange_datagrams(s, ends[0], ends[1], &addresses[1]);
    }
    script_close(s, ends[0]);
    script_close(s, ends[1]);
}

/* ---- messages -------------------------------------------------------------------------------- */

typedef struct poster {
    engine_worker *worker;
    engine_message messages[4];
} poster;

static void post_all(void *context) {
    poster *p = context;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(p->messages); i++) {
        engine_post(p->worker, &p->messages[i]);
    }
}

static unsigned take_messages(script *s) {
    unsigned count = 0;
    for (unsigned i = 0; i < s->inbox_count;) {
        if (s->inbox[i].kind == ENGINE_MESSAGE) {
            s->inbox[i] = s->inbox[--s->inbox_count];
            count++;
        } else {
            i++;
        }
    }
    return count;
}

static void messages(script *s) {
    static poster p;
    sl_thread thread;
    memset(&p, 0, sizeof(p));
    p.worker = s->worker;
    if (!script_check(s, "sl_thread_start",
                      sl_thread_start(&thread, "fault-poster", post_all, &p),
                      S(ENOMEM) | S(EOSLIMIT))) {
        return;
    }
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    for (unsigned count = 0; count < SL_ARRAY_COUNT(p.messages);) {
        EXPECT(script_now_ns() < end_ns);
        script_pump(s, SCRIPT_WAIT_NS); /* a lost wake-up shows */
        count += take_messages(s);
    }
    EXPECT(script_now_ns() < end_ns);
    sl_thread_join(&thread);
}

/* What nobody sets is awaited until its deadline, and no longer. */
static void events(script *s) {
    sl_event event;
    uint64_t until_ns = script_now_ns() + SL_NS_PER_MS;
    if (!script_check(s, "sl_event_init", sl_event_init(&event), S(EOSLIMIT))) {
        return;
    }
    EXPECT(!sl_event_wait_until(&event, until_ns));
    EXPECT(script_now_ns() >= until_ns && script_now_ns() < until_ns + SCRIPT_WAIT_NS);
    sl_event_deinit(&event);
}

const script_act engine_acts[] = {
    {"start", start},
    {"pair", pair},
    {"named pipe", named_pipe},
    {"late connect", act_late_connect},
    {"old kernel's pipe", old_kernels_pipe},
    {"tcp", tcp},
    {"tcp, several addresses", tcp_several},
    {"tcp, known port", tcp_known_port},
    {"datagrams", datagrams},
    {"for a peer", act_behalf},
    {"endpoint", act_endpoint},
    {"endpoint, crowded", act_crowded_endpoint},
    {"endpoint, no memory", act_poor_endpoint},
    {"resolve", act_resolve},
    {"messages", messages},
    {"events", events},
    {"stop", stop},
};
const unsigned engine_act_count = SL_ARRAY_COUNT(engine_acts);
