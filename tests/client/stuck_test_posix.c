/*
 * stuck_test_posix.c - sluice_open returns in time although the system does not: an exec that does
 * not come back, a file system that does not answer, a broker that is halted.
 *
 *     client_stuck_test PATH-OF-SLUICED
 *
 * An exec waits while somebody holds a lease on the program (fcntl(2), F_SETLEASE): so does any
 * user's virus scanner. A FUSE mount whose daemon says nothing needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/errand.h"
#include "tests/client/outside_posix.h"
#include "tests/client/rig.h"
#include "tests/client/runtime_posix.h"

#define TIMEOUT_NS     (SL_NS_PER_S / 2)
#define LIMIT_NS       (TIMEOUT_NS + SL_NS_PER_S + SL_NS_PER_S / 4)
#define PATH_BYTES     200
#define ENDPOINT_BYTES (PATH_BYTES + sizeof("/sluice/broker"))

static const char *broker_path;

/* Opens with `why`, and looks at the time that takes. */
static int32_t open_in_time(sluice_open_options *options, char why[SLUICE_DETAIL_BYTES],
                            sluice_session **ret_session) {
    options->size = sizeof(*options);
    options->open_timeout_ns = TIMEOUT_NS;
    options->ret_detail = why;
    options->detail_size = SLUICE_DETAIL_BYTES;
    uint64_t began_ns = rig_now_ns();
    int32_t status = sluice_open(options, ret_session);
    assert_true(rig_now_ns() - began_ns < LIMIT_NS);
    return status;
}

static void await_errands(void) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (client_errand_left_count() != 0 && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    assert_int_equal(client_errand_left_count(), 0);
}

/* ---- an exec that does not come back --------------------------------------------------------- */

static char leased[PATH_BYTES];

/* A copy of sluiced whose exec waits for us. */
static int lease_program(void) {
    char command[PATH_BYTES * 3];
    (void)snprintf(leased, sizeof(leased), "%s/sluiced", runtime_path);
    (void)snprintf(command, sizeof(command), "cp '%s' '%s'", broker_path, leased);
    assert_int_equal(system(command), 0);
    int fd = open(leased, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
        (void)close(fd);
        return -1; /* a file system without leases */
    }
    return fd;
}

/* A private broker's start; the path may be cut. */
static void expect_waits_for(const char *why, const char *what, const char *path) {
    char wanted[SLUICE_DETAIL_BYTES * 2];
    (void)snprintf(wanted, sizeof(wanted),
                   "the system has not started the private broker in time; it is still %s%s", what,
                   path);
    size_t length = strlen(why);
    assert_true(length > strlen(wanted) - strlen(path) && length <= strlen(wanted));
    wanted[length] = '\0';
    assert_string_equal(why, wanted);
}

/* It is killed where it stands, as far as the system lets it; what comes back late ends, and
 * nothing is left of it. Another session, opened meanwhile, does not notice. */
static void test_exec_does_not_come_back(void **state) {
    sluice_session *session = NULL;
    sluice_session *other = NULL;
    char why[SLUICE_DETAIL_BYTES];
    (void)state;
    int fd = lease_program();
    if (fd < 0) {
        skip();
    }
    for (unsigned i = 0; i < 2; i++) {
        sluice_open_options options = {.mode = SLUICE_MODE_PRIVATE, .broker_path = leased};
        assert_int_equal(open_in_time(&options, why, &session), SLUICE_ETIMEDOUT);
        expect_waits_for(why, "starting ", leased);
    }
    sluice_open_options good = {
        .size = sizeof(good), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
    assert_int_equal(sluice_open(&good, &other), SLUICE_OK);
    assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    (void)close(fd);
    await_errands();
    assert_true(outside_await_count(leased, 0));
    assert_int_equal(sluice_ping(other, RIG_LONG_NS, NULL), SLUICE_OK);
    assert_int_equal(sluice_session_close(other), SLUICE_OK);
    assert_int_equal(runtime_count(), 0);
    assert_int_equal(unlink(leased), 0);
}

/* ---- a file system that does not answer ------------------------------------------------------ */

static int device = -1;
static char hung[PATH_BYTES];

/* Over a folder that is there. */
static bool mount_over(const char *path) {
    char options[PATH_BYTES];
    device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
    if (device < 0 || mount("hung", path, "fuse", 0, options) != 0) {
        (void)close(device);
        return false;
    }
    return true;
}

static void unmount_from(const char *path) {
    (void)close(device); /* what waits for it fails now */
    (void)umount2(path, MNT_FORCE | MNT_DETACH);
}

static bool mount_hung(void) {
    (void)snprintf(hung, sizeof(hung), "%s/hung", runtime_path);
    if (mkdir(hung, 0700) != 0 || !mount_over(hung)) {
        (void)rmdir(hung);
        return false;
    }
    return true;
}

static void unmount_hung(void) {
    unmount_from(hung);
    assert_int_equal(rmdir(hung), 0);
}

/* An endpoint there; false: it takes root to have one. */
static bool hang_endpoint(char ret_endpoint[ENDPOINT_BYTES]) {
    if (geteuid() != 0 || !mount_hung()) {
        return false;
    }
    (void)snprintf(ret_endpoint, ENDPOINT_BYTES, "%s/sluice/broker", hung);
    return true;
}

static void test_endpoint_on_a_hung_file_system(void **state) {
    sluice_session *session = NULL;
    char endpoint[ENDPOINT_BYTES];
    char why[SLUICE_DETAIL_BYTES];
    (void)state;
    if (!hang_endpoint(endpoint)) {
        skip();
    }
    sluice_open_options options = {.mode = SLUICE_MODE_SERVICE, .endpoint = endpoint};
    assert_int_equal(open_in_time(&options, why, &session), SLUICE_ETIMEDOUT);
    assert_string_equal(why, "the endpoint's folder was not looked at in time: its file system "
                             "does not answer, or the timeout is too short");
    assert_int_equal(client_errand_left_count(), 1);
    options.expected_user = "uid 0"; /* then nobody asks whose the folder is */
    assert_int_equal(open_in_time(&options, why, &session), SLUICE_ETIMEDOUT);
    unmount_hung();
    await_errands();
}

/* The user's runtime folder says nothing. Nobody has to know where a private broker listens, so it
 * goes elsewhere, in a part of the time; and as long as the first look there has not come back, no
 * other is sent. */
static void test_private_beside_a_hung_runtime(void **state) {
    const uint32_t modes[] = {SLUICE_MODE_PRIVATE, SLUICE_MODE_AUTO};
    (void)state;
    if (geteuid() != 0 || !mount_hung()) {
        skip();
    }
    assert_int_equal(setenv("XDG_RUNTIME_DIR", hung, 1), 0);
    for (unsigned i = 0; i < 2 * (CLIENT_ERRANDS_LEFT_MAX + 1); i++) {
        sluice_session *session = NULL;
        char why[SLUICE_DETAIL_BYTES];
        sluice_session_info info = {.size = sizeof(info)};
        sluice_open_options options = {.mode = modes[i % 2], .broker_path = broker_path};
        assert_int_equal(open_in_time(&options, why, &session), SLUICE_OK);
        assert_string_equal(why, "");
        assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
        assert_int_equal(info.mode, SLUICE_MODE_PRIVATE);
        assert_non_null(strstr(info.endpoint, "/tmp/sluice-0/p-")); /* which place it is */
        assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), SLUICE_OK);
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
        /* That at the service's default endpoint, and that at the place. */
        assert_int_equal(client_errand_left_count(), i == 0 ? 1 : 2);
    }
    unmount_hung();
    await_errands();
    assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime_path, 1), 0);
    for (unsigned i = 0; i < 2; i++) { /* it answers again */
        sluice_session *session = NULL;
        char why[SLUICE_DETAIL_BYTES];
        sluice_session_info info = {.size = sizeof(info)};
        sluice_open_options options = {.mode = modes[i], .broker_path = broker_path};
        assert_int_equal(open_in_time(&options, why, &session), SLUICE_OK);
        assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
        assert_ptr_equal(strstr(info.endpoint, runtime_path), info.endpoint);
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
    }
    assert_int_equal(runtime_count(), 0);
}

/* The private broker's folder is on a file system that has fallen silent: its end is waited for in
 * time, and what it leaves behind is cleared away when there is an answer again. */
static void test_close_on_a_hung_file_system(void **state) {
    char folder[PATH_BYTES];
    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s/sluice", runtime_path);
    for (unsigned i = 0; i < 2; i++) {
        sluice_session *session = NULL;
        sluice_session_info info = {.size = sizeof(info)};
        sluice_open_options options = {
            .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
        assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
        assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
        if (i == 0 && (geteuid() != 0 || !mount_over(folder))) {
            assert_int_equal(sluice_session_close(session), SLUICE_OK);
            skip();
        }
        uint64_t began_ns = rig_now_ns();
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
        assert_true(rig_now_ns() - began_ns < SL_NS_PER_S + SL_NS_PER_S / 4);
        assert_true(outside_is_gone(info.broker_process_id));
        if (i == 0) {
            assert_int_equal(client_errand_left_count(), 1);
            unmount_from(folder);
            await_errands();
        }
    }
    assert_int_equal(runtime_count(), 0);
}

/* What the start waits for is told by its path: the log, or the program. */
static void test_start_on_a_hung_file_system(void **state) {
    (void)state;
    if (geteuid() != 0 || !mount_hung()) {
        skip();
    }
    for (unsigned i = 0; i < 2; i++) {
        char path[PATH_BYTES + sizeof("/sluiced")];
        char why[SLUICE_DETAIL_BYTES];
        sluice_session *session = NULL;
        (void)snprintf(path, sizeof(path), "%s/%s", hung, i == 0 ? "log" : "sluiced");
        sluice_open_options options = {.mode = SLUICE_MODE_PRIVATE,
                                       .broker_path = i == 0 ? broker_path : path,
                                       .private_log = i == 0 ? path : NULL};
        assert_int_equal(open_in_time(&options, why, &session), SLUICE_ETIMEDOUT);
        expect_waits_for(why, i == 0 ? "opening private_log: " : "starting ", path);
    }
    unmount_hung();
    await_errands();
    assert_int_equal(runtime_count(), 0);
}

/* ---- too many -------------------------------------------------------------------------------- */

/* What does not come back is counted, and there is an end to it. */
static void test_too_many(void **state) {
    sluice_session *session = NULL;
    char endpoint[ENDPOINT_BYTES];
    char why[SLUICE_DETAIL_BYTES];
    (void)state;
    if (!hang_endpoint(endpoint)) {
        skip();
    }
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = endpoint,
                                   .open_timeout_ns = SL_NS_PER_MS,
                                   .ret_detail = why,
                                   .detail_size = sizeof(why)};
    for (unsigned i = 0; i < CLIENT_ERRANDS_LEFT_MAX; i++) {
        assert_int_equal(sluice_open(&options, &session), SLUICE_ETIMEDOUT);
    }
    assert_int_equal(sluice_open(&options, &session), SLUICE_EOSLIMIT);
    assert_non_null(strstr(why, "do not come back"));
    unmount_hung();
    await_errands();
}

/* ---- halted brokers -------------------------------------------------------------------------- */

static void test_halted_from_the_start(void **state) {
    static const char *const scripts[] = {
        "#!/bin/sh\nkill -STOP $$\n",
        "#!/bin/sh\ntrap '' TERM HUP INT\nwhile :; do sleep 0.1; done\n",
    };
    char path[PATH_BYTES];
    char why[SLUICE_DETAIL_BYTES];
    sluice_session *session = NULL;
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/script", runtime_path);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(scripts); i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(scripts[i], file) >= 0 && fclose(file) == 0);
        assert_int_equal(chmod(path, 0700), 0);
        sluice_open_options options = {.mode = SLUICE_MODE_PRIVATE, .broker_path = path};
        assert_int_equal(open_in_time(&options, why, &session), SLUICE_ENOBROKER);
        assert_int_equal(runtime_count(), 0);
    }
    assert_int_equal(unlink(path), 0);
}

static void test_close_in_every_state(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        sluice_session *session = NULL;
        sluice_result pair = {.size = sizeof(pair)};
        sluice_session_info info = {.size = sizeof(info)};
        sluice_open_options options = {
            .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
        assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
        assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
        assert_int_equal(sluice_pair(session, RIG_LONG_NS, &pair), SLUICE_OK);
        if (i > 0) {
            assert_int_equal(kill((pid_t)info.broker_process_id, i == 1 ? SIGSTOP : SIGKILL), 0);
        }
        uint64_t began_ns = rig_now_ns();
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
        assert_true(rig_now_ns() - began_ns < SL_NS_PER_S + SL_NS_PER_S / 4);
        assert_true(outside_is_gone(info.broker_process_id));
        assert_int_equal(runtime_count(), 0);
    }
}

/* ---- process 1 ------------------------------------------------------------------------------- */

#define FIRST_NUMBER 2 /* so small that threads of a new namespace get them soon */
#define LAST_NUMBER  6

/* Process 1 of a new pid namespace, whose threads get the numbers 2, 3 and so on. What was cached
 * of its parent's, a small one too, must not be taken for one of them. */
static int be_forked_into_namespace(void) {
    int status = -1;
    if (sl_thread_self() == 0 || unshare(CLONE_NEWPID) != 0) {
        return 77;
    }
    pid_t inner = fork();
    if (inner == 0) {
        int failures = 0;
        for (int i = 0; i < 8; i++) {
            sluice_session *session = NULL;
            sluice_open_options options = {
                .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
            failures += sluice_open(&options, &session) != SLUICE_OK ||
                        sluice_ping(session, RIG_LONG_NS, NULL) != SLUICE_OK ||
                        sluice_session_close(session) != SLUICE_OK;
        }
        _exit(failures == 0 ? 0 : 1);
    }
    (void)waitpid(inner, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

/* A process of that number in a namespace of its own, in which nothing is cached yet. */
static int run_numbered(pid_t number) {
    int status = -1;
    pid_t next = 0;
    while (next >= 0 && next < number) {
        next = fork();
        if (next == 0) {
            if (getpid() < number) {
                _exit(0);
            }
            (void)execl("/proc/self/exe", "stuck", "namespace", broker_path, (char *)NULL);
            _exit(2);
        }
        (void)waitpid(next, &status, 0);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static int run_in_namespace(pid_t number) {
    int status = -1;
    pid_t outer = fork();
    assert_true(outer >= 0);
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) != 0) {
            _exit(77);
        }
        pid_t first = fork();
        if (first == 0) {
            _exit(run_numbered(number));
        }
        (void)waitpid(first, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
    }
    assert_int_equal(waitpid(outer, &status, 0), outer);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_new_pid_namespace(void **state) {
    (void)state;
    if (!RIG_THREADS_AFTER_FORK) {
        skip();
    }
    for (pid_t number = FIRST_NUMBER; number <= LAST_NUMBER; number++) {
        int status = run_in_namespace(number);
        if (status == 77) {
            skip(); /* only root may */
        }
        assert_int_equal(status, 0);
    }
}

static int set_up(void **state) {
    (void)state;
    return runtime_make("stuck");
}

static int tear_down(void **state) {
    (void)state;
    return runtime_remove();
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "namespace") == 0) {
        broker_path = argv[2];
        _exit(
            be_forked_into_namespace()); /* /proc knows other numbers: nothing for a leak checker */
    }
    broker_path = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_in_every_state),
        cmocka_unit_test(test_halted_from_the_start),
        cmocka_unit_test(test_exec_does_not_come_back),
        cmocka_unit_test(test_endpoint_on_a_hung_file_system),
        cmocka_unit_test(test_private_beside_a_hung_runtime),
        cmocka_unit_test(test_close_on_a_hung_file_system),
        cmocka_unit_test(test_start_on_a_hung_file_system),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_new_pid_namespace),
    };
    (void)signal(SIGIO, SIG_IGN); /* somebody waits for our lease: that is the point */
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
