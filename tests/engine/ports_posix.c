/*
 * ports_posix.c - a connect and a listener for which the system has no local port, and a connect
 * for which it has no local address (Linux): to the kernel a connect's are both EADDRNOTAVAIL, and
 * not the same to a program.
 *
 * The real thing takes a network of its own: a namespace with two ports. Who may make none sees
 * those tests skipped by name; the others bend the call table.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/epoll.h"
#include "tests/engine/listen_now.h"

#define AWAIT_NS (UINT64_C(20) * SL_NS_PER_S)
#define NO_RIGHT 77 /* exit code: this user may not make a namespace */

enum { PORTS = 2 };

typedef struct rig {
    engine *engine;
    engine_worker *worker;
} rig;

static void open_rig(rig *r) {
    assert_int_equal(engine_create(engine_backend_find(NULL), NULL, &r->engine), 0);
    assert_int_equal(engine_worker_create(r->engine, &r->worker), 0);
}

static engine_completion await(const rig *r) {
    engine_completion completion = {.status = 1};
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), AWAIT_NS);
    assert_int_equal(engine_poll(r->worker, &completion, 1, deadline_ns), 1);
    return completion;
}

static engine_completion connect_to(const rig *r, const engine_address *address) {
    assert_int_equal(engine_connect(r->worker, address, SL_CLOCK_NEVER, NULL, NULL, NULL), 0);
    return await(r);
}

static void close_handle(const rig *r, engine_handle *handle) {
    assert_int_equal(engine_close(handle, NULL), 0);
    (void)await(r);
}

static void close_rig(rig *r) {
    assert_int_equal(engine_worker_destroy(r->worker), 0);
    assert_int_equal(engine_destroy(r->engine, 0), 0);
}

/* ---- a network of two ports ------------------------------------------------------------------ */

static bool put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    (void)close(fd);
    return is_good;
}

/* false: not for this user. */
static bool enter_network(void) {
    struct ifreq loopback;
    memset(&loopback, 0, sizeof(loopback));
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        return false;
    }
    (void)strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    (void)close(fd);
    return is_up && put("/proc/sys/net/ipv4/ip_local_port_range", "50000 50001");
}

/* Runs `use` in a process with a network of its own; it ends with 0 if all is right. */
static void in_network(int (*use)(void)) {
    pid_t child = fork();
    if (child == 0) {
        _exit(enter_network() ? use() : NO_RIGHT);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_RIGHT) {
        print_message("  skipped: this user may not make a network of its own\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A failure says its line, for the process that waits. */
#define STEP(condition) \
    do { \
        if (!(condition)) { \
            return __LINE__ & 0x7f; \
        } \
    } while (0)

static int use_up_ports(void) {
    rig r;
    engine_address address;
    engine_handle *listener = NULL;
    engine_handle *connected[PORTS];
    open_rig(&r);
    engine_address_loopback(&address, 7777);
    STEP(listen_now(r.worker, &address, 1, NULL, &listener) == 0);
    for (int i = 0; i < PORTS; i++) {
        engine_completion one = connect_to(&r, &address);
        STEP(one.status == SLUICE_OK);
        connected[i] = one.opened[0];
    }
    engine_completion none = connect_to(&r, &address);
    STEP(none.status == SLUICE_EOSLIMIT && none.os_error == EADDRNOTAVAIL);
    STEP(none.detail != NULL && strcmp(none.detail, ENGINE_DETAIL_NO_PORT) == 0);
    close_handle(&r, listener); /* so that these leave no TIME_WAIT: they are reset */
    close_handle(&r, connected[0]);
    close_handle(&r, connected[1]);
    close_rig(&r);
    return 0;
}

/* Also for a listener that leaves the choice to the system: no port was named that is in use. */
static int listen_on_all(void) {
    rig r;
    engine_address address;
    engine_handle *listeners[PORTS];
    open_rig(&r);
    engine_address_loopback(&address, 0);
    for (int i = 0; i < PORTS; i++) {
        STEP(listen_now(r.worker, &address, 1, NULL, &listeners[i]) == 0);
    }
    STEP(engine_listen(r.worker, &address, 1, NULL, NULL, NULL, NULL) == 0);
    engine_completion none = await(&r);
    STEP(none.status == SLUICE_EOSLIMIT && none.os_error == EADDRINUSE);
    STEP(none.detail != NULL && strcmp(none.detail, ENGINE_DETAIL_NO_PORT) == 0);
    close_handle(&r, listeners[0]);
    close_handle(&r, listeners[1]);
    close_rig(&r);
    return 0;
}

static int have_no_source(void) {
    static const uint8_t far[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    static const uint8_t near[16] = {[15] = 1};
    rig r;
    engine_address address;
    open_rig(&r);
    engine_address_ipv6(&address, far, 0, 80);
    STEP(connect_to(&r, &address).status == SLUICE_EUNREACHABLE);
    (void)put("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    engine_address_ipv6(&address, near, 0, 80);
    STEP(connect_to(&r, &address).status == SLUICE_EUNREACHABLE);
    close_rig(&r);
    return 0;
}

static void test_no_port(void **state) {
    (void)state;
    in_network(use_up_ports);
}

static void test_no_port_to_listen(void **state) {
    (void)state;
    in_network(listen_on_all);
}

static void test_no_source(void **state) {
    (void)state;
    in_network(have_no_source);
}

/* ---- by the call table ----------------------------------------------------------------------- */

static bool has_datagrams;

static int refuse_connect(int fd, const struct sockaddr *address, socklen_t length) {
    int type = 0;
    socklen_t size = sizeof(type);
    (void)address;
    (void)length;
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (type == SOCK_DGRAM && has_datagrams) {
        return 0;
    }
    errno = EADDRNOTAVAIL;
    return -1;
}

static void test_bent(void **state) {
    (void)state;
    rig r;
    engine_address address;
    int (*real)(int, const struct sockaddr *, socklen_t) = engine_epoll_calls.connect;
    engine_epoll_calls.connect = refuse_connect; /* this thread is the only one */
    open_rig(&r);
    engine_address_loopback(&address, 7777);
    has_datagrams = true;
    assert_int_equal(connect_to(&r, &address).status, SLUICE_EOSLIMIT);
    has_datagrams = false;
    assert_int_equal(connect_to(&r, &address).status, SLUICE_EUNREACHABLE);
    close_rig(&r);
    engine_epoll_calls.connect = real;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_port),
        cmocka_unit_test(test_no_port_to_listen),
        cmocka_unit_test(test_no_source),
        cmocka_unit_test(test_bent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
