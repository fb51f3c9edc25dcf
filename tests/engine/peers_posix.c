/*
 * peers_posix.c - connections whose descriptors a child of a fork has, too (Linux): they end with
 * the process that connected, or with the close of a program that may fork, and not with the child.
 *
 * The child of the peer waits until it is killed: an engine that does not see the end waits in
 * vain, and the test fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/epoll.h"
#include "tests/engine/listen_now.h"

#define AWAIT_NS (UINT64_C(10) * SL_NS_PER_S) /* for what must come */
#define ALARM_S  60u /* a forgotten child ends by itself */

typedef struct rig {
    engine *engine;
    engine_worker *worker;
    engine_handle *listener;
    engine_address address;
} rig;

static engine_completion await(const rig *r) {
    engine_completion completion;
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), AWAIT_NS);
    assert_int_equal(engine_poll(r->worker, &completion, 1, deadline_ns), 1);
    return completion;
}

static int set_up(void **state) {
    rig *r = calloc(1, sizeof(*r));
    const engine_options options = {.may_fork = true};
    char path[100];
    (void)snprintf(path, sizeof(path), "/tmp/sluice-peers-%ld", (long)getpid());
    assert_int_equal(engine_create(engine_backend_find(NULL), &options, &r->engine), 0);
    assert_int_equal(engine_worker_create(r->engine, &r->worker), 0);
    assert_int_equal(engine_address_pipe(&r->address, path), 0);
    assert_int_equal(listen_now(r->worker, &r->address, 1, NULL, &r->listener), 0);
    *state = r;
    return 0;
}

static void close_handle(const rig *r, engine_handle *handle) {
    assert_int_equal(engine_close(handle, NULL), 0);
    assert_int_equal(await(r).kind, ENGINE_CLOSE);
}

static int tear_down(void **state) {
    rig *r = *state;
    close_handle(r, r->listener);
    assert_int_equal(engine_worker_destroy(r->worker), 0);
    assert_int_equal(engine_destroy(r->engine, 0), 0);
    free(r);
    return 0;
}

static int connect_raw(const rig *r) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", r->address.pipe);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

/* ---- the end of a process -------------------------------------------------------------------- */

/* Connects, writes, has a child that keeps the connection and tells its number, and waits. */
static void be_peer(const rig *r, int tell) {
    (void)alarm(ALARM_S);
    int fd = connect_raw(r);
    if (fd < 0 || write(fd, "last", 4) != 4) {
        _exit(1);
    }
    pid_t child = fork();
    if (child != 0 && write(tell, &child, sizeof(child)) != (ssize_t)sizeof(child)) {
        _exit(1);
    }
    (void)alarm(ALARM_S);
    for (;;) {
        (void)pause();
    }
}

static void kill_and_collect(pid_t process) {
    assert_int_equal(kill(process, SIGKILL), 0);
    assert_int_equal(waitpid(process, NULL, 0), process);
}

/* The process dies, before the watch or after it; what it wrote is read, then comes the end. */
static void expect_end(const rig *r, bool is_watched_first) {
    int tell[2];
    pid_t grandchild = 0;
    char bytes[8];
    assert_int_equal(pipe(tell), 0);
    pid_t peer = fork();
    if (peer == 0) {
        be_peer(r, tell[1]);
    }
    assert_int_equal(read(tell[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    assert_int_equal(engine_accept(r->listener, NULL, NULL), 0);
    engine_completion accepted = await(r);
    assert_int_equal(accepted.status, SLUICE_OK);
    engine_handle *handle = accepted.opened[0];
    if (!is_watched_first) {
        kill_and_collect(peer);
    }
    assert_int_equal(engine_watch_peer(handle), SLUICE_OK);
    if (is_watched_first) {
        assert_int_equal(engine_watch_peer(handle), SLUICE_ENOTSUP); /* once */
        kill_and_collect(peer);
    }
    assert_int_equal(engine_read(handle, bytes, sizeof(bytes), NULL, NULL), 0);
    engine_completion last = await(r);
    assert_int_equal(last.status, SLUICE_OK);
    assert_int_equal(last.bytes, 4);
    assert_memory_equal(bytes, "last", 4);
    assert_int_equal(engine_read(handle, bytes, sizeof(bytes), NULL, NULL), 0);
    assert_int_equal(await(r).status, SLUICE_EEOF);
    engine_buffer buffer = {"x", 1};
    assert_int_equal(engine_write(handle, &buffer, 1, NULL, NULL), 0);
    assert_int_equal(await(r).status, SLUICE_EBROKENPIPE);
    close_handle(r, handle);
    assert_int_equal(kill(grandchild, SIGKILL), 0);
    (void)close(tell[0]);
    (void)close(tell[1]);
}

static void test_process_ends(void **state) {
    expect_end(*state, true);
}

static void test_process_has_ended(void **state) {
    expect_end(*state, false);
}

/* A kernel before 6.5. */
static int old_getsockopt(int fd, int level, int name, void *value, socklen_t *length) {
    if (name == 77 /* SO_PEERPIDFD */) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return getsockopt(fd, level, name, value, length);
}

static void test_old_kernel(void **state) {
    int (*real)(int, int, int, void *, socklen_t *) = engine_epoll_calls.getsockopt;
    engine_epoll_calls.getsockopt = old_getsockopt; /* this thread is the only one */
    expect_end(*state, true);
    expect_end(*state, false);
    engine_epoll_calls.getsockopt = real;
}

/* A connection that closes takes its watch along: many of them leave no descriptor behind. */
static void test_watch_goes_along(void **state) {
    rig *r = *state;
    int first = dup(0);
    for (int i = 0; i < 20; i++) {
        int fd = connect_raw(r);
        assert_int_equal(engine_accept(r->listener, NULL, NULL), 0);
        engine_handle *handle = await(r).opened[0];
        assert_int_equal(engine_watch_peer(handle), SLUICE_OK);
        close_handle(r, handle);
        (void)close(fd);
    }
    int last = dup(0);
    assert_int_equal(last, first + 1);
    (void)close(first);
    (void)close(last);
    assert_int_equal(engine_watch_peer(r->listener), SLUICE_ENOTSUP);
}

/* ---- the close of a program that may fork ---------------------------------------------------- */

static void test_closed_with_a_child(void **state) {
    rig *r = *state;
    engine_handle *ends[2] = {NULL, NULL};
    assert_int_equal(engine_accept(r->listener, NULL, NULL), 0);
    assert_int_equal(engine_connect(r->worker, &r->address, SL_CLOCK_NEVER, NULL, NULL, NULL), 0);
    for (int i = 0; i < 2; i++) {
        engine_completion completion = await(r);
        assert_int_equal(completion.status, SLUICE_OK);
        ends[completion.kind == ENGINE_ACCEPT] = completion.opened[0];
    }
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(ALARM_S);
        for (;;) {
            (void)pause();
        }
    }
    char byte;
    close_handle(r, ends[0]);
    assert_int_equal(engine_read(ends[1], &byte, 1, NULL, NULL), 0);
    assert_int_equal(await(r).status, SLUICE_EEOF);
    close_handle(r, ends[1]);
    kill_and_collect(child);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_process_ends), TEST(test_process_has_ended),   TEST(test_old_kernel),
        TEST(test_watch_goes_along), TEST(test_closed_with_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
