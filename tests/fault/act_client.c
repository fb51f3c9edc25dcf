/*
 * act_client.c - what the client library does while something fails; see level_client.c.
 */
#include "tests/fault/act_client.h"

#include <stdio.h>
#include <string.h>

#include "base/thread.h"

#define TIMEOUT_NS (40 * SL_NS_PER_S)
/* No call waits for a timeout: what takes so long has lost its answer. */
#define PROMPT_NS  (20 * SL_NS_PER_S)
#define LOOK_NS    (50 * SL_NS_PER_MS)

/* sluice.h: what each can return beside what it names. */
#define LEGAL_ALL \
    (S(ETIMEDOUT) | S(EINVAL) | S(ENOMEM) | S(EQUOTA) | S(EBROKERLOST) | S(EUNRESPONSIVE) | \
     S(ESHUTDOWN) | S(EPROTOCOL) | S(ESTALE) | S(EBADHANDLE) | S(EFORKED))
#define LEGAL_OPEN \
    (S(ENOBROKER) | S(EACCESS) | S(EUNTRUSTED) | S(EVERSION) | S(ETIMEDOUT) | \
     S(EUNRESPONSIVE) | S(ESHUTDOWN) | S(EQUOTA) | S(EPROTOCOL) | S(ENAMETOOLONG) | S(EINVAL) | \
     S(ENOMEM) | S(EOSLIMIT) | S(EOS))
/* ... where it has to connect again first. */
#define LEGAL_AGAIN   (LEGAL_ALL | LEGAL_OPEN)
#define LEGAL_PAIR    (LEGAL_AGAIN | S(EOSLIMIT) | S(EOS))
#define LEGAL_ACCEPT  (LEGAL_ALL | S(ECLOSED) | S(EACCESS) | S(EOSLIMIT) | S(EOS))
#define LEGAL_LISTEN \
    (LEGAL_AGAIN | S(EUNREACHABLE) | S(EADDRINUSE) | S(EADDRNOTAVAIL) | S(ENAMETAKEN) | \
     S(ENAMETOOLONG) | S(EACCESS) | S(ENOTFOUND) | S(ENOTSUP) | S(EOSLIMIT) | S(EOS))
#define LEGAL_CONNECT \
    (LEGAL_AGAIN | S(EREFUSED) | S(ENOTFOUND) | S(EUNREACHABLE) | S(EACCESS) | S(ERESET) | \
     S(ENAMETOOLONG) | S(ENOTSUP) | S(EOSLIMIT) | S(EOS))
#define LEGAL_READ \
    (LEGAL_ALL | S(EEOF) | S(ECLOSED) | S(ERESET) | S(ENOTSUP) | S(EOSLIMIT) | S(EOS))
#define LEGAL_WRITE \
    (LEGAL_ALL | S(EBROKENPIPE) | S(ECLOSED) | S(ERESET) | S(ETORN) | S(ENOTSUP) | \
     S(EOSLIMIT) | S(EOS))
#define LEGAL_CLOSE (LEGAL_ALL | S(ECLOSED) | S(EABANDONED))

/* ---- calls ----------------------------------------------------------------------------------- */

/* One that takes long has lost its answer, and only its timeout ended it. */
static uint64_t began_ns;

static void begin(void) {
    began_ns = script_now_ns();
}

static bool check_is(client_act *a, const char *what, int status, int good, uint64_t legal) {
    if (script_now_ns() - began_ns > PROMPT_NS) {
        fprintf(stderr, "fault: %s took %u ms: %s\n", what,
                (unsigned)((script_now_ns() - began_ns) / SL_NS_PER_MS), sl_status_name(status));
        EXPECT(!"a prompt answer");
    }
    script_expect_legal(what, status, legal);
    if (status != good && !a->has_failed) {
        a->has_failed = true;
        a->failed_at = what;
        a->failed_with = status;
    }
    begin();
    return status == good;
}

static bool check(client_act *a, const char *what, int status, uint64_t legal) {
    return check_is(a, what, status, SLUICE_OK, legal);
}

bool act_client_open(client_act *a, uint32_t mode, uint32_t delivery, sluice_session **ret) {
    char why[SLUICE_DETAIL_BYTES];
    sluice_open_options options = {.size = sizeof(options), .mode = mode, .delivery = delivery,
                                   .endpoint = a->endpoint, .client_name = "fault",
                                   .ret_detail = why, .detail_size = sizeof(why)};
    if (delivery == SLUICE_DELIVERY_POLL) {
        options.client_name = NULL; /* the program's own */
    }
    if (mode == SLUICE_MODE_PRIVATE) {
        options.private_log = act_log_path;
    }
    begin();
    bool is_open = check(a, "sluice_open", sluice_open(&options, ret), LEGAL_OPEN);
    EXPECT(is_open == (*ret != NULL));
    return is_open;
}

void act_client_close(client_act *a, sluice_session *session) {
    begin();
    EXPECT(check(a, "sluice_session_close", sluice_session_close(session), 0));
}

bool act_client_is_served(const char *endpoint) {
    sluice_session *session;
    sluice_result opened = {.size = sizeof(opened)};
    client_act a = {.endpoint = endpoint};
    char got[2] = "";
    if (!act_client_open(&a, SLUICE_MODE_SERVICE, SLUICE_DELIVERY_THREAD, &session)) {
        return false;
    }
    bool is_good =
        sluice_pair(session, SCRIPT_WAIT_NS, &opened) == SLUICE_OK &&
        sluice_write(session, opened.handles[1], "ok", 2, SCRIPT_WAIT_NS, NULL) == SLUICE_OK &&
        sluice_read(session, opened.handles[0], got, sizeof(got), SLUICE_READ_ALL, SCRIPT_WAIT_NS,
                    NULL) == SLUICE_OK;
    EXPECT(!is_good || memcmp(got, "ok", sizeof(got)) == 0);
    act_client_close(&a, session);
    return is_good;
}

/* A handle that was opened is closed; with its session it goes in any case. */
static void close_handle(client_act *a, sluice_handle handle) {
    if (handle != 0) {
        (void)check(a, "sluice_close", sluice_close(a->session, handle, TIMEOUT_NS, NULL),
                    LEGAL_CLOSE);
    }
}

static sluice_result fresh(void) {
    return (sluice_result){.size = sizeof(sluice_result)};
}

/* ---- acts ------------------------------------------------------------------------------------ */

#define BIG  200000u
#define MANY 200u

static uint8_t out[BIG];
static uint8_t in[BIG];

static void open_and_close(client_act *a) {
    sluice_session *session;
    sluice_session_info info = {.size = sizeof(info)};
    if (act_client_open(a, SLUICE_MODE_SERVICE, SLUICE_DELIVERY_THREAD, &session)) {
        EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
        (void)check(a, "sluice_ping", sluice_ping(session, TIMEOUT_NS, NULL), LEGAL_AGAIN);
        act_client_close(a, session);
    }
}

static void on_done(void *user, sluice_operation *operation, const sluice_result *result) {
    client_act *a = user;
    (void)operation;
    a->status = result->status;
    atomic_fetch_add(&a->callbacks, 1); /* the last: whoever waits looks at it first */
}

/* Exactly one callback, soon. */
static void await_callback(client_act *a, const char *what, int good, uint64_t legal,
                           bool dispatches) {
    uint64_t end_ns = script_now_ns() + PROMPT_NS;
    begin();
    while (atomic_load(&a->callbacks) == 0) {
        if (script_now_ns() >= end_ns) {
            fprintf(stderr, "fault: %s has not ended\n", what);
            EXPECT(!"a callback comes");
        }
        if (dispatches) {
            script_wait_for_waitable(a->session, PROMPT_NS);
            EXPECT(sluice_dispatch(a->session, 0, NULL) == SLUICE_OK);
        }
        sl_thread_yield();
    }
    EXPECT(atomic_load(&a->callbacks) == 1);
    atomic_store(&a->callbacks, 0);
    (void)check_is(a, what, a->status, good, legal);
}

static void poll_delivery(client_act *a) {
    sluice_session *own = a->session;
    if (act_client_open(a, SLUICE_MODE_SERVICE, SLUICE_DELIVERY_POLL, &a->session)) {
        for (unsigned i = 0; i < 2; i++) {
            begin();
            if (check(a, "sluice_ping_start", sluice_ping_start(a->session, TIMEOUT_NS, on_done, a,
                                                                NULL), LEGAL_AGAIN)) {
                await_callback(a, "a ping", SLUICE_OK, LEGAL_AGAIN, true);
            }
        }
        act_client_close(a, a->session);
    }
    a->session = own;
}

/* A read that nothing comes for is cancelled. */
static void cancel_a_read(client_act *a, sluice_handle handle) {
    sluice_operation *operation = NULL;
    begin();
    if (check(a, "sluice_read_start",
              sluice_read_start(a->session, handle, in, 100, 0, SLUICE_NO_TIMEOUT, on_done, a,
                                &operation),
              LEGAL_READ)) {
        EXPECT(sluice_cancel(operation) == SLUICE_OK);
        await_callback(a, "a cancelled read", SLUICE_ECANCELED, LEGAL_READ | S(ECANCELED), false);
        sluice_release(operation);
    }
}

/* `done` is certain, `in_doubt` more may be out: what is read lies between the two. */
static void transfer(client_act *a, sluice_handle reader, sluice_handle writer, uint32_t length) {
    sluice_result wrote = fresh();
    sluice_result got = fresh();
    sluice_operation *operation = NULL;
    for (uint32_t i = 0; i < BIG && out[1] == 0; i++) {
        out[BIG - 1 - i] = (uint8_t)((BIG - 1 - i) * 11 + 1);
    }
    begin();
    if (length > 60000) { /* more than a pipe holds: it waits for its reader */
        if (!check(a, "sluice_write_start",
                   sluice_write_start(a->session, writer, out, length, TIMEOUT_NS, on_done, a,
                                      &operation),
                   LEGAL_WRITE)) {
            return;
        }
    } else if (!check(a, "sluice_write",
                      sluice_write(a->session, writer, out, length, TIMEOUT_NS, &wrote),
                      LEGAL_WRITE)) {
        EXPECT(wrote.done + wrote.in_doubt <= length);
        (void)check(a, "sluice_acknowledge_torn",
                    sluice_acknowledge_torn(a->session, writer, TIMEOUT_NS, NULL), LEGAL_READ);
        return;
    }
    uint32_t total = 0;
    uint64_t end_ns = script_now_ns() + PROMPT_NS;
    while (total < length && !a->has_failed) {
        begin();
        got = fresh();
        int status = sluice_read(a->session, reader, in, length - total, 0, LOOK_NS, &got);
        EXPECT(got.done <= length - total && memcmp(in, out + total, got.done) == 0);
        total += (uint32_t)got.done;
        if (status != SLUICE_ETIMEDOUT) {
            (void)check(a, "sluice_read", status, LEGAL_READ);
        } else if (atomic_load(&a->callbacks) > 0 && a->status != SLUICE_OK) {
            break; /* nothing more will come */
        }
        EXPECT(script_now_ns() < end_ns);
    }
    if (length > 60000) {
        if (total < length) { /* its reader gives up, if it can; else the writer */
            close_handle(a, reader);
            EXPECT(sluice_cancel(operation) == SLUICE_OK);
        }
        await_callback(a, "a write", SLUICE_OK, LEGAL_WRITE | S(ECANCELED), false);
        sluice_release(operation);
    }
}

static void pair(client_act *a) {
    sluice_result opened = fresh();
    begin();
    if (!check(a, "sluice_pair", sluice_pair(a->session, TIMEOUT_NS, &opened), LEGAL_PAIR)) {
        return;
    }
    transfer(a, opened.handles[0], opened.handles[1], 1000);
    if (!a->has_failed) {
        cancel_a_read(a, opened.handles[0]);
    }
    if (!a->has_failed) {
        transfer(a, opened.handles[0], opened.handles[1], BIG);
    }
    close_handle(a, opened.handles[1]);
    if (!a->has_failed) {
        begin();
        (void)check_is(a, "sluice_read",
                       sluice_read(a->session, opened.handles[0], in, 1, 0, TIMEOUT_NS, NULL),
                       SLUICE_EEOF, LEGAL_READ);
    }
    close_handle(a, opened.handles[0]);
}

static void connection(client_act *a, const char *listen_at) {
    char address[544];
    sluice_result listener = fresh();
    sluice_result near = fresh();
    sluice_result far = fresh();
    begin();
    if (!check(a, "sluice_listen", sluice_listen(a->session, listen_at, 0, TIMEOUT_NS, &listener),
               LEGAL_LISTEN)) {
        return;
    }
    (void)snprintf(address, sizeof(address), "%s", listen_at);
    bool is_tcp = strncmp(listen_at, "tcp:", 4) == 0;
    if (is_tcp && !check(a, "sluice_local_address",
                         sluice_local_address(a->session, listener.handles[0], address,
                                              sizeof(address)),
                         S(EINVAL) | S(ENOTSUP) | S(EBADHANDLE) | S(ESTALE))) {
        close_handle(a, listener.handles[0]);
        return;
    }
    if (check(a, "sluice_connect", sluice_connect(a->session, address, TIMEOUT_NS, &near),
              LEGAL_CONNECT) &&
        check(a, "sluice_accept",
              sluice_accept(a->session, listener.handles[0], TIMEOUT_NS, &far), LEGAL_ACCEPT)) {
        transfer(a, far.handles[0], near.handles[0], 3000);
        if (act_pipes_half_close || is_tcp) {
            (void)check(a, "sluice_half_close",
                        sluice_half_close(a->session, near.handles[0], TIMEOUT_NS, NULL),
                        LEGAL_WRITE);
        }
    }
    close_handle(a, near.handle_count > 0 ? near.handles[0] : 0);
    close_handle(a, far.handle_count > 0 ? far.handles[0] : 0);
    close_handle(a, listener.handles[0]);
}

static void tcp(client_act *a) {
    connection(a, "tcp:localhost:0");
}

static void named_pipe(client_act *a) {
    char address[ENGINE_PIPE_NAME_BYTES + sizeof("pipe:")];
    script_client_pipe(address, sizeof(address));
    connection(a, address);
}

static void on_many(void *user, sluice_operation *operation, const sluice_result *result) {
    client_act *a = user;
    (void)operation;
    script_expect_legal("one of many reads", result->status, LEGAL_READ | S(ECANCELED));
    atomic_fetch_add(&a->callbacks, 1);
}

/* So many that tables grow; all end with their handle. */
static void many_reads(client_act *a) {
    sluice_result opened = fresh();
    uint32_t started = 0;
    begin();
    if (!check(a, "sluice_pair", sluice_pair(a->session, TIMEOUT_NS, &opened), LEGAL_PAIR)) {
        return;
    }
    while (started < MANY && !a->has_failed) {
        started += check(a, "sluice_read_start",
                         sluice_read_start(a->session, opened.handles[0], in, 100, 0, TIMEOUT_NS,
                                           on_many, a, NULL),
                         LEGAL_READ);
    }
    close_handle(a, opened.handles[1]);
    close_handle(a, opened.handles[0]);
    uint64_t end_ns = script_now_ns() + PROMPT_NS;
    uint64_t close_ns = script_now_ns() + PROMPT_NS / 40;
    while (atomic_load(&a->callbacks) < started) {
        EXPECT(script_now_ns() < end_ns);
        sl_thread_yield();
        if (a->has_failed && script_now_ns() > close_ns) {
            return; /* the closes failed, too: the session's own close ends them */
        }
    }
    EXPECT(atomic_load(&a->callbacks) == started);
}

/* The private broker that lies beside us; AUTO finds no service first. */
static void private_broker(client_act *a) {
    sluice_session *session;
    const char *service = a->endpoint;
    a->endpoint = "/nowhere/at-all";
    script_private_begin();
    for (unsigned i = 0; i < 2; i++) {
        if (act_client_open(a, i == 0 ? SLUICE_MODE_PRIVATE : SLUICE_MODE_AUTO,
                            SLUICE_DELIVERY_THREAD, &session)) {
            sluice_session_info info = {.size = sizeof(info)};
            EXPECT(sluice_session_get_info(session, &info) == SLUICE_OK);
            EXPECT(info.mode == SLUICE_MODE_PRIVATE && info.broker_process_id != 0);
            act_client_close(a, session);
        }
    }
    a->endpoint = service;
}

/* A thread's first failure: it makes room for what there is to say, or says that there is none. */
static void fail_first(void *context) {
    client_act *a = context;
    EXPECT(sluice_cancel(NULL) == SLUICE_EINVAL);
    const sluice_error *error = sluice_last_error();
    EXPECT(error->status == SLUICE_EINVAL || error->status == SLUICE_ENOMEM);
    EXPECT(error->detail[0] != '\0');
    a->has_failed = a->has_failed || error->status != SLUICE_EINVAL;
}

static void last_error(client_act *a) {
    sl_thread thread;
    if (sl_thread_start(&thread, "failing", fail_first, a) != SLUICE_OK) {
        a->has_failed = true;
        return;
    }
    sl_thread_join(&thread);
}

const client_act_row client_acts[] = {
    {"open and close", false, open_and_close},
    {"delivery by poll", false, poll_delivery},
    {"last error", false, last_error},
    {"pair", true, pair},
    {"many reads", true, many_reads},
    {"tcp", true, tcp},
    {"named pipe", true, named_pipe},
    {"private broker", false, private_broker},
};
const unsigned client_act_count = SL_ARRAY_COUNT(client_acts);
