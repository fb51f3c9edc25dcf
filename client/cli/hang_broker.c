/*
 * hang_broker.c - hangtest through the broker: each worker has a session of its own. See hang.h.
 *
 * The same calls are made in two ways, in turn: synchronous ones, and asynchronous ones whose
 * callbacks are counted, which is how a completion that comes twice or never would show. One more
 * session, `control`, reads the broker's books before and after.
 */
#include <sluice/sluice.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "client/cli/hang.h"
#include "client/cli/session.h"

#define CHECK_BYTES 64u
#define SETUP_NS    (10 * SL_NS_PER_S)
#define SETTLE_NS   (10 * SL_NS_PER_S)

typedef struct broker_worker {
    sluice_session *session;
    sluice_handle socket, peer; /* mixed: two ends of a TCP connection */
    sluice_operation *receive;
    hang_call receive_call;
    sl_event received;
    int receive_status; /* of the start */
    char receive_buffer[CHECK_BYTES];
} broker_worker;

static sluice_session *session_of(const hang_lane *lane) {
    return ((broker_worker *)lane->worker->io_state)->session;
}

/* ---- asynchronous calls, counted ----------------------------------------------------------- */

static void on_done(void *user, sluice_operation *operation, const sluice_result *result) {
    hang_call *call = user;
    (void)operation;
    if (!atomic_exchange(&call->armed, false)) {
        atomic_fetch_add(&call->lane->doubled, 1);
        return;
    }
    call->status = result->status;
    atomic_store(&call->done, result->done);
    atomic_store(&call->in_doubt, result->in_doubt);
    atomic_fetch_add(&call->lane->completions, 1);
    sl_event_set(&call->lane->completed);
}

static hang_call *arm(hang_lane *lane) {
    hang_call *call = &lane->calls[lane->next_call++ % HANG_CALLS];
    atomic_store(&call->armed, true);
    return call;
}

/* After a _start with that status: its outcome. */
static int wait_for(hang_call *call, int status, uint64_t *ret_done) {
    if (status != SLUICE_OK) {
        atomic_store(&call->armed, false);
        return status;
    }
    atomic_fetch_add(&call->lane->started, 1);
    (void)sl_event_wait_until(&call->lane->completed, SL_CLOCK_NEVER);
    *ret_done = atomic_load(&call->done);
    atomic_fetch_add(&call->lane->bytes_in_doubt, atomic_load(&call->in_doubt));
    return call->status;
}

static int broker_read(hang_lane *lane, uint64_t end, void *buffer, uint32_t bytes,
                       uint64_t *ret_done) {
    if (lane->worker->asynchronous) {
        hang_call *call = arm(lane);
        int status = sluice_read_start(session_of(lane), end, buffer, bytes, 0, SLUICE_NO_TIMEOUT,
                                       on_done, call, NULL);
        return wait_for(call, status, ret_done);
    }
    sluice_result result = {.size = sizeof(result)};
    int status = sluice_read(session_of(lane), end, buffer, bytes, 0, SLUICE_NO_TIMEOUT, &result);
    *ret_done = result.done;
    return status;
}

static int broker_write(hang_lane *lane, uint64_t end, const void *data, uint32_t bytes,
                        uint64_t *ret_done) {
    if (lane->worker->asynchronous) {
        hang_call *call = arm(lane);
        int status = sluice_write_start(session_of(lane), end, data, bytes, SLUICE_NO_TIMEOUT,
                                        on_done, call, NULL);
        return wait_for(call, status, ret_done);
    }
    sluice_result result = {.size = sizeof(result)};
    int status = sluice_write(session_of(lane), end, data, bytes, SLUICE_NO_TIMEOUT, &result);
    *ret_done = result.done;
    atomic_fetch_add(&lane->bytes_in_doubt, result.in_doubt);
    return status;
}

static int broker_pair(hang_lane *lane, hang_ends *ret_ends) {
    sluice_result result = {.size = sizeof(result)};
    int status = sluice_pair(session_of(lane), SLUICE_NO_TIMEOUT, &result);
    if (status == SLUICE_OK) {
        ret_ends->reader = result.handles[0];
        ret_ends->writer = result.handles[1];
    }
    return status;
}

static int broker_close_end(hang_lane *lane, uint64_t end) {
    return sluice_close(session_of(lane), end, SLUICE_NO_TIMEOUT, NULL);
}

static void broker_forget(hang_worker *worker) {
    (void)worker;
}

/* ---- mixed --------------------------------------------------------------------------------- */

static void on_received(void *user, sluice_operation *operation, const sluice_result *result) {
    broker_worker *state = user;
    (void)operation;
    hang_lane *lane = state->receive_call.lane;
    if (!atomic_exchange(&state->receive_call.armed, false)) {
        atomic_fetch_add(&lane->doubled, 1);
        return;
    }
    state->receive_call.status = result->status;
    atomic_fetch_add(&lane->completions, 1);
    sl_event_set(&state->received);
}

static int broker_receive_start(hang_lane *reader) {
    broker_worker *state = reader->worker->io_state;
    state->receive_call.lane = reader;
    atomic_store(&state->receive_call.armed, true);
    state->receive_status =
        sluice_read_start(state->session, state->socket, state->receive_buffer, CHECK_BYTES, 0,
                          SLUICE_NO_TIMEOUT, on_received, state, &state->receive);
    if (state->receive_status == SLUICE_OK) {
        atomic_fetch_add(&reader->started, 1);
    }
    return state->receive_status;
}

static int broker_receive_cancel(hang_lane *closer) {
    broker_worker *state = closer->worker->io_state;
    return state->receive_status == SLUICE_OK ? sluice_cancel(state->receive)
                                              : state->receive_status;
}

static int broker_receive_wait(hang_lane *closer) {
    broker_worker *state = closer->worker->io_state;
    if (state->receive_status != SLUICE_OK) {
        return state->receive_status;
    }
    (void)sl_event_wait_until(&state->received, SL_CLOCK_NEVER);
    sluice_release(state->receive);
    state->receive = NULL;
    return state->receive_call.status;
}

/* After so many cancelled receives: what is sent now arrives, all of it. */
static int broker_socket_check(hang_worker *worker) {
    broker_worker *state = worker->io_state;
    sluice_result result = {.size = sizeof(result)};
    char sent[CHECK_BYTES], came[CHECK_BYTES];
    for (unsigned i = 0; i < CHECK_BYTES; i++) {
        sent[i] = (char)('A' + i);
    }
    int status = sluice_write(state->session, state->peer, sent, CHECK_BYTES, SETUP_NS, NULL);
    if (status == SLUICE_OK) {
        status = sluice_read(state->session, state->socket, came, CHECK_BYTES, SLUICE_READ_ALL,
                             SETUP_NS, &result);
    }
    if (status == SLUICE_OK && memcmp(sent, came, CHECK_BYTES) != 0) {
        status = SLUICE_EPROTOCOL;
    }
    return status;
}

static int make_socket(broker_worker *state) {
    sluice_result listener = {.size = sizeof(listener)};
    sluice_result result = {.size = sizeof(result)};
    char address[544];
    int status = sluice_listen(state->session, "tcp:127.0.0.1:0", 1, SETUP_NS, &listener);
    if (status != SLUICE_OK) {
        return status;
    }
    status = sluice_local_address(state->session, listener.handles[0], address, sizeof(address));
    if (status == SLUICE_OK) {
        status = sluice_connect(state->session, address, SETUP_NS, &result);
        state->socket = result.handles[0];
    }
    if (status == SLUICE_OK) {
        status = sluice_accept(state->session, listener.handles[0], SETUP_NS, &result);
        state->peer = result.handles[0];
    }
    (void)sluice_close(state->session, listener.handles[0], SETUP_NS, NULL);
    return status;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static int broker_open_worker(hang_test *test, hang_worker *worker) {
    sl_allocator *heap = sl_allocator_system();
    broker_worker *state = heap->acquire(heap, sizeof(*state));
    if (state == NULL) {
        return SLUICE_ENOMEM;
    }
    worker->io_state = state;
    sluice_open_options options = {.size = sizeof(options)};
    char name[64];
    (void)snprintf(name, sizeof(name), "sluice hangtest %u", worker->index);
    options.mode = SLUICE_MODE_SERVICE;
    options.delivery =
        test->options.delivery[0] == 'i' ? SLUICE_DELIVERY_INLINE : SLUICE_DELIVERY_THREAD;
    options.endpoint = test->endpoint[0] != '\0' ? test->endpoint : NULL;
    options.client_name = name;
    options.expected_user = test->options.broker_user;
    int status = sl_event_init(&state->received);
    if (status == SLUICE_OK) {
        status = sluice_open(&options, &state->session);
    }
    if (status == SLUICE_OK && test->is_mixed) {
        status = make_socket(state);
    }
    return status;
}

static void broker_close_worker(hang_worker *worker) {
    broker_worker *state = worker->io_state;
    if (state == NULL) {
        return;
    }
    sluice_handle handles[] = {state->socket, state->peer};
    for (size_t i = 0; i < 2 && state->session != NULL; i++) {
        if (handles[i] != 0) {
            (void)sluice_close(state->session, handles[i], SETUP_NS, NULL);
        }
    }
    (void)sluice_session_close(state->session);
    sl_event_deinit(&state->received);
    sl_allocator_system()->release(sl_allocator_system(), state, sizeof(*state));
    worker->io_state = NULL;
}

static void read_books(hang_test *test, hang_books *ret_books) {
    sluice_broker_info info = {.size = sizeof(info)};
    *ret_books = (hang_books){0};
    if (sluice_broker_status(test->control, SETUP_NS, &info) != SLUICE_OK) {
        return;
    }
    *ret_books = (hang_books){
        .known = true,
        .handles = info.handles,
        .operations = info.operations,
        .zombies = info.zombies,
        .memory_bytes = info.memory_bytes,
        .sessions = info.sessions,
        .started = info.operations_started,
        .finished = info.operations_finished,
        .cancels = info.cancels,
        .violations = info.protocol_violations,
    };
}

int hang_broker_open(hang_test *test) {
    session_choice choice = {.endpoint = test->options.endpoint,
                             .broker_user = test->options.broker_user,
                             .broker_path = test->options.broker_path,
                             .is_private = test->options.is_private,
                             .client_name = "sluice hangtest"};
    sluice_session *session;
    int status = session_open("hangtest", &choice, &session);
    if (status != SLUICE_OK) {
        return status;
    }
    test->control = session;
    sluice_session_info info = {.size = sizeof(info)};
    (void)sluice_session_get_info(session, &info);
    (void)snprintf(test->endpoint, sizeof(test->endpoint), "%s", info.endpoint);
    read_books(test, &test->at_start);
    return test->at_start.known ? SLUICE_OK : SLUICE_EBROKERLOST;
}

static bool is_settled(const hang_test *test, const hang_books *books) {
    return books->sessions <= test->at_start.sessions && books->handles <= test->at_start.handles &&
           books->operations <= test->at_start.operations;
}

/* The sessions' connections end one by one; the broker tells when it has noticed. */
void hang_broker_settle(hang_test *test, hang_books *ret_books) {
    uint64_t until_ns = sl_clock_now_ns(sl_clock_system()) + SETTLE_NS;
    sl_event pause;
    read_books(test, ret_books);
    if (sl_event_init(&pause) != SLUICE_OK) {
        return;
    }
    while (ret_books->known && !is_settled(test, ret_books) &&
           sl_clock_now_ns(sl_clock_system()) < until_ns) {
        (void)sl_event_wait_until(&pause, sl_clock_now_ns(sl_clock_system()) + 10 * SL_NS_PER_MS);
        read_books(test, ret_books);
    }
    sl_event_deinit(&pause);
}

void hang_broker_close(hang_test *test) {
    (void)sluice_session_close(test->control);
    test->control = NULL;
}

const hang_io hang_io_broker = {
    .name = "broker",
    .has_asynchronous = true,
    .open_worker = broker_open_worker,
    .close_worker = broker_close_worker,
    .pair = broker_pair,
    .read = broker_read,
    .write = broker_write,
    .close = broker_close_end,
    .forget = broker_forget,
    .receive_start = broker_receive_start,
    .receive_cancel = broker_receive_cancel,
    .receive_wait = broker_receive_wait,
    .socket_check = broker_socket_check,
};
