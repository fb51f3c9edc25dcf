/*
 * suite_port_win.c - the port rule (engine/iocp.h): packets that nobody's operation brought.
 *
 * They are posted to the worker's port with numbers of every kind: garbage, those of other handles,
 * those of operations that have ended. None does anything but be counted, and the operations that
 * are pending end once, by their own packets. A program of its own (CMakeLists.txt), because the
 * audit takes each packet for the kernel's.
 */
#include <string.h>

#include "engine/iocp_listener.h"
#include "tests/engine/rig.h"

#define ROUNDS 40 /* more packets in all than the worker takes at a time */

typedef struct forger {
    rig *r;
    HANDLE port;
    engine_handle *pipe[2];
    engine_handle *tcp[2];
    engine_handle *listener;
    engine_request_id pipe_read;
    engine_request_id tcp_read;
    engine_request_id accept;
    uint8_t pipe_byte;
    uint8_t tcp_byte;
    uint64_t forged;
    /* of what has gone */
    ULONG_PTR stale_key;
    OVERLAPPED *stale_overlapped;
} forger;

static ULONG_PTR key_of(engine_handle *handle) {
    return (ULONG_PTR)engine_iocp_handle(handle)->file->key;
}

static OVERLAPPED *overlapped_of(rig *r, engine_request_id id) {
    engine_request *request = sl_slots_find(&r->worker->requests, id);
    EXPECT(request != NULL && engine_iocp_request(request)->op.in_kernel);
    return &engine_iocp_request(request)->op.overlapped;
}

static void forge(forger *f, ULONG_PTR key, OVERLAPPED *overlapped) {
    EXPECT(PostQueuedCompletionStatus(f->port, 1, key, overlapped));
    f->forged++;
}

static void open_all(forger *f) {
    rig *r = f->r;
    f->port = SL_CONTAINER_OF(r->worker, iocp_worker, worker)->port;
    rig_stream(r, STREAM_PIPE, f->pipe);
    /* A connection that is closed again: its key and its operation are stale. */
    rig_stream(r, STREAM_TCP, f->tcp);
    engine_request_id read = rig_read(r, f->tcp[0], &f->tcp_byte, 1);
    f->stale_overlapped = overlapped_of(r, read);
    f->stale_key = key_of(f->tcp[0]);
    rig_send(r, f->tcp[1], "s", 1);
    EXPECT_INT(rig_await_status(r, read, SLUICE_OK), 1);
    rig_close_stream(r, f->tcp);
    rig_stream(r, STREAM_TCP, f->tcp);
    f->listener = rig_listener(r, STREAM_TCP);
    EXPECT_STATUS(engine_accept(f->listener, NULL, &f->accept), SLUICE_OK);
    f->pipe_read = rig_read(r, f->pipe[0], &f->pipe_byte, 1);
    f->tcp_read = rig_read(r, f->tcp[0], &f->tcp_byte, 1);
}

static void forge_all(forger *f) {
    iocp_listener *listener = engine_iocp_handle(f->listener)->listener;
    OVERLAPPED *accept = &listener->instances[0].op.overlapped;
    OVERLAPPED *pipe_read = overlapped_of(f->r, f->pipe_read);
    OVERLAPPED *tcp_read = overlapped_of(f->r, f->tcp_read);
    ULONG_PTR pipe_key = key_of(f->pipe[0]);
    ULONG_PTR tcp_key = key_of(f->tcp[0]);
    EXPECT(listener->instances[0].op.in_kernel);
    /* a live key, and no operation of its */
    forge(f, pipe_key, (OVERLAPPED *)(uintptr_t)1);
    forge(f, pipe_key, (OVERLAPPED *)UINTPTR_MAX);
    forge(f, pipe_key, NULL);
    forge(f, pipe_key, (OVERLAPPED *)((char *)pipe_read + 8));
    forge(f, pipe_key, tcp_read);
    forge(f, tcp_key, pipe_read);
    forge(f, tcp_key, accept);
    forge(f, key_of(f->pipe[1]), pipe_read);
    forge(f, (ULONG_PTR)listener->places[0].file->key, pipe_read);
    forge(f, pipe_key, f->stale_overlapped);
    /* somebody's operation, and no key of it */
    forge(f, f->stale_key, f->stale_overlapped);
    forge(f, f->stale_key, pipe_read);
    forge(f, 1, pipe_read);
    forge(f, UINTPTR_MAX, tcp_read);
    forge(f, (ULONG_PTR)pipe_read, pipe_read);
    forge(f, (ULONG_PTR)f->pipe[0], pipe_read);
    /* the key of a wake-up */
    forge(f, 0, pipe_read);
    forge(f, 0, accept);
    forge(f, 0, (OVERLAPPED *)(uintptr_t)1);
}

/* What is pending is so still, and ends by what it waits for, once. */
static void end_all(forger *f) {
    rig *r = f->r;
    uint64_t until_ns = rig_after_ns(r, T_AWAIT_NS);
    while (rig_counters(r).stray_count < f->forged && rig_now_ns(r) < until_ns) {
        EXPECT_INT(rig_pump(r, 0), 0);
    }
    rig_expect_quiet(r);
    EXPECT_INT(rig_counters(r).stray_count, f->forged);
    EXPECT_INT(engine_worker_strays(r->worker), f->forged);
    rig_send(r, f->pipe[1], "p", 1);
    EXPECT_INT(rig_await_status(r, f->pipe_read, SLUICE_OK), 1);
    EXPECT_INT(f->pipe_byte, 'p');
    rig_send(r, f->tcp[1], "t", 1);
    EXPECT_INT(rig_await_status(r, f->tcp_read, SLUICE_OK), 1);
    EXPECT_INT(f->tcp_byte, 't');
    engine_handle *ends[2];
    ends[1] = rig_connect(r, STREAM_TCP);
    engine_completion completion = rig_await(r, f->accept);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    ends[0] = completion.opened[0];
    rig_close_stream(r, ends);
    rig_expect_quiet(r);
}

static void forged_packets(void) {
    forger f = {.r = rig_open()};
    open_all(&f);
    for (unsigned i = 0; i < ROUNDS; i++) {
        forge_all(&f);
    }
    end_all(&f);
    t_note("  %u forged packets, none believed", (unsigned)f.forged);
    rig_close_stream(f.r, f.pipe);
    rig_close_stream(f.r, f.tcp);
    EXPECT_INT(rig_counters(f.r).stray_count, f.forged);
    rig_close(f.r);
}

/* While cancels and closes are under way: the last packet is still the kernel's own. */
static void forged_at_the_end(void) {
    forger f = {.r = rig_open()};
    open_all(&f);
    forge_all(&f);
    engine_cancel(f.r->worker, f.pipe_read);
    EXPECT_STATUS(engine_close(f.tcp[0], f.r), SLUICE_OK);
    forge_all(&f);
    rig_await_status(f.r, f.pipe_read, SLUICE_ECANCELED);
    rig_await_status(f.r, f.tcp_read, SLUICE_ECANCELED);
    (void)rig_await_closed(f.r, f.tcp[0]);
    rig_close_handle(f.r, f.tcp[1]);
    engine_cancel(f.r->worker, f.accept);
    rig_await_status(f.r, f.accept, SLUICE_ECANCELED);
    rig_close_stream(f.r, f.pipe);
    rig_expect_quiet(f.r);
    EXPECT_INT(rig_counters(f.r).stray_count, f.forged);
    rig_close(f.r);
}

static const t_case cases[] = {
    {"forged_packets", 0, forged_packets},
    {"forged_at_the_end", 0, forged_at_the_end},
};

const t_suite suite_port = {"port", cases, SL_ARRAY_COUNT(cases)};
