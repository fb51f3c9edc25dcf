/*
 * case_listeners.c - listeners that are closed while an accept waits on them: 20,000 with --long.
 * Closing a pipe's listener with a ConnectNamedPipe pending is what hung Go programs. Each accept
 * ends once, at once; the name is free for the next listener; nothing is left.
 *
 * Four threads, a name each. In turn the close comes right behind the accept, or when the broker
 * has the accept, or while somebody connects: then the accept may have got the connection.
 */
#include <stdio.h>

#include "tests/integration/place.h"

#define THREADS    4u
#define COUNT      2000u
#define COUNT_SLOW 400u /* with a sanitizer, or Wine */
#define COUNT_LONG 20000u
#define HANG_NS    (30 * SL_NS_PER_S)
#define NAME_BYTES (PLACE_ENDPOINT_BYTES + 16)

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

typedef struct acceptor {
    sluice_session *session;
    char address[NAME_BYTES];
    uint32_t count;
    sl_event ended;
    sl_atomic_u32 ends; /* of this accept */
    sluice_result result;
    uint32_t canceled, accepted;
    uint64_t slowest_ns;
    sl_thread thread;
} acceptor;

static void on_accept(void *user, sluice_operation *operation, const sluice_result *result) {
    acceptor *a = user;
    (void)operation;
    EXPECT(atomic_fetch_add(&a->ends, 1) == 0);
    a->result = *result;
    sl_event_set(&a->ended);
}

static void close_handle(acceptor *a, sluice_handle handle) {
    EXPECT(sluice_close(a->session, handle, HANG_NS, NULL) == SLUICE_OK);
}

static void close_accepting(acceptor *a, uint32_t turn) {
    sluice_result listener = {.size = sizeof(listener)};
    sluice_result visitor = {.size = sizeof(visitor)};
    int32_t connected = SLUICE_ECANCELED;
    atomic_store(&a->ends, 0);
    EXPECT(sluice_listen(a->session, a->address, 1, HANG_NS, &listener) == SLUICE_OK);
    EXPECT(sluice_accept_start(a->session, listener.handles[0], SLUICE_NO_TIMEOUT, on_accept, a,
                               NULL) == SLUICE_OK);
    if (turn % 4 == 1) {
        EXPECT(sluice_ping(a->session, HANG_NS, NULL) == SLUICE_OK); /* the broker has it */
    } else if (turn % 4 == 3) {
        connected = sluice_connect(a->session, a->address, HANG_NS, &visitor);
        EXPECT(connected == SLUICE_OK);
    }
    uint64_t start_ns = place_now_ns();
    close_handle(a, listener.handles[0]);
    EXPECT(sl_event_wait_until(&a->ended, sl_clock_after_ns(start_ns, HANG_NS)));
    uint64_t took_ns = place_now_ns() - start_ns;
    a->slowest_ns = took_ns > a->slowest_ns ? took_ns : a->slowest_ns;
    if (a->result.status == SLUICE_OK) {
        EXPECT(connected == SLUICE_OK);
        close_handle(a, a->result.handles[0]);
        a->accepted++;
    } else {
        EXPECT(a->result.status == SLUICE_ECLOSED);
        a->canceled++;
    }
    if (connected == SLUICE_OK) {
        close_handle(a, visitor.handles[0]);
    }
}

static void run_acceptor(void *context) {
    acceptor *a = context;
    for (uint32_t i = 0; i < a->count; i++) {
        close_accepting(a, i);
    }
}

static bool is_empty(const sluice_broker_info *info) {
    /* operations: the one that asks */
    return info->handles == 0 && info->zombies == 0 && info->operations <= 1;
}

void case_listeners(place *at) {
    static acceptor acceptors[THREADS];
    char name[PLACE_ENDPOINT_BYTES];
    uint32_t count = at->is_long                         ? COUNT_LONG
                     : IS_SANITIZED || process_is_wine() ? COUNT_SLOW : COUNT;
    uint32_t canceled = 0;
    uint32_t accepted = 0;
    uint64_t slowest_ns = 0;
    process_endpoint(name, sizeof(name), 1);
    place_start_broker(at, 2, NULL);
    sluice_session *session = place_open(at->endpoint, "listeners");
    for (uint32_t i = 0; i < THREADS; i++) {
        acceptor *a = &acceptors[i];
        a->session = session;
        a->count = count / THREADS;
        (void)snprintf(a->address, sizeof(a->address), "pipe:%s-%u", name, i);
        EXPECT(sl_event_init(&a->ended) == 0);
        EXPECT(sl_thread_start(&a->thread, "acceptor", run_acceptor, a) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        acceptor *a = &acceptors[i];
        sl_thread_join(&a->thread);
        sl_event_deinit(&a->ended);
        canceled += a->canceled;
        accepted += a->accepted;
        slowest_ns = a->slowest_ns > slowest_ns ? a->slowest_ns : slowest_ns;
    }
    place_await(session, is_empty);
    printf("figure: %u listeners closed, %u accepts cancelled, %u had a connection; the slowest "
           "%.1f ms\n",
           canceled + accepted, canceled, accepted, (double)slowest_ns / 1e6);
    EXPECT(canceled + accepted == count && canceled >= count / 2);
    EXPECT(sluice_session_close(session) == SLUICE_OK);
    place_stop_broker(at);
}
