/*
 * fork_test_posix.c - a service, and programs that fork: a child that lives on with its parent's
 * descriptors keeps neither the session nor its handles.
 *
 *     client_fork_test PATH-OF-SLUICED
 *
 * The children wait until they are killed: a broker that does not see the end of their parent's
 * session waits in vain, and the test fails.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/rig.h"

#define PAIRS   5
#define ALARM_S 60u /* a forgotten process ends by itself */

static const char *broker_path;
static char endpoint[64];
static pid_t broker;
static sluice_session *watcher;

static sluice_session *open_service(uint32_t delivery) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .delivery = delivery, .endpoint = endpoint};
    sluice_session *session = NULL;
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (sluice_open(&options, &session) == SLUICE_ENOBROKER && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    assert_non_null(session);
    return session;
}

static void open_pairs(sluice_session *session) {
    sluice_result pair = {.size = sizeof(pair)};
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(sluice_pair(session, RIG_LONG_NS, &pair), SLUICE_OK);
    }
}

/* Until the broker has so many sessions and handles; false: it never had. */
static bool comes_to(uint32_t sessions, uint64_t handles) {
    sluice_broker_info info = {.size = sizeof(info)};
    uint64_t deadline_ns = rig_now_ns() + SL_NS_PER_S / 2 + RIG_SLACK_NS;
    do {
        assert_int_equal(sluice_broker_status(watcher, RIG_LONG_NS, &info), SLUICE_OK);
    } while ((info.sessions != sessions || info.handles != handles) && rig_now_ns() < deadline_ns);
    return info.sessions == sessions && info.handles == handles;
}

static void wait_to_be_killed(void) {
    (void)alarm(ALARM_S);
    for (;;) {
        (void)pause();
    }
}

static void end(pid_t child) {
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static int start_broker(void **state) {
    (void)state;
    (void)snprintf(endpoint, sizeof(endpoint), "/tmp/sluice-fork-%ld", (long)getpid());
    broker = fork();
    if (broker == 0) {
        (void)alarm(2 * ALARM_S);
        (void)execl(broker_path, broker_path, "run", "--endpoint", endpoint, (char *)NULL);
        _exit(1);
    }
    watcher = open_service(SLUICE_DELIVERY_THREAD);
    return 0;
}

static int stop_broker(void **state) {
    (void)state;
    assert_int_equal(sluice_session_close(watcher), SLUICE_OK);
    assert_int_equal(kill(broker, SIGTERM), 0);
    int status = -1;
    assert_int_equal(waitpid(broker, &status, 0), broker);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void close_with_a_child(uint32_t delivery) {
    sluice_session *session = open_service(delivery);
    open_pairs(session);
    assert_true(comes_to(2, 2 * PAIRS));
    pid_t child = fork();
    if (child == 0) {
        wait_to_be_killed();
    }
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    assert_true(comes_to(1, 0));
    end(child);
}

static void test_closed(void **state) {
    (void)state;
    close_with_a_child(SLUICE_DELIVERY_THREAD);
    close_with_a_child(SLUICE_DELIVERY_POLL);
    close_with_a_child(SLUICE_DELIVERY_INLINE);
}

/* A child that closes its parent's session does the parent no harm. */
static void test_closed_by_the_child(void **state) {
    (void)state;
    sluice_session *session = open_service(SLUICE_DELIVERY_THREAD);
    open_pairs(session);
    pid_t child = fork();
    if (child == 0) {
        _exit(sluice_session_close(session) == SLUICE_EFORKED ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), SLUICE_OK);
    assert_true(comes_to(2, 2 * PAIRS));
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    assert_true(comes_to(1, 0));
}

static void test_killed(void **state) {
    (void)state;
    int tell[2];
    pid_t grandchild = 0;
    assert_int_equal(pipe(tell), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(ALARM_S);
        open_pairs(open_service(SLUICE_DELIVERY_THREAD));
        pid_t forked = fork();
        if (forked != 0) {
            (void)!write(tell[1], &forked, sizeof(forked));
        }
        wait_to_be_killed();
    }
    assert_int_equal(read(tell[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    assert_true(comes_to(2, 2 * PAIRS));
    end(child);
    assert_true(comes_to(1, 0));
    assert_int_equal(kill(grandchild, 0), 0); /* it lives */
    assert_int_equal(kill(grandchild, SIGKILL), 0);
    (void)close(tell[0]);
    (void)close(tell[1]);
}

int main(int argc, char **argv) {
    broker_path = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_closed_by_the_child),
        cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, start_broker, stop_broker);
}
