/*
 * private_test_posix.c - the real broker as a private one, its end, and fork.
 *
 *     client_private_test PATH-OF-SLUICED
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/outside_posix.h"
#include "tests/client/rig.h"

static const char *broker_path;

static sluice_session *open_private(uint64_t *ret_broker) {
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
    sluice_session *session = NULL;
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    assert_int_equal(info.mode, SLUICE_MODE_PRIVATE);
    assert_true(info.broker_process_id != 0);
    *ret_broker = info.broker_process_id;
    return session;
}

static void test_closed(void **state) {
    (void)state;
    uint64_t broker;
    sluice_session *session = open_private(&broker);
    assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), 0);
    assert_int_equal(sluice_session_close(session), 0);
    assert_true(outside_is_gone(broker));
}

/* What the library waits for before it connects: one byte, and then the broker takes in. */
static void test_sign_of_life(void **state) {
    (void)state;
    char folder[] = "/tmp/sluice-sign-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int life[2];
    char byte = 0;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/b", folder);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life), 0);
    char for_whom[24], line[24];
    (void)snprintf(for_whom, sizeof(for_whom), "%ld", (long)getpid());
    (void)snprintf(line, sizeof(line), "fd:%d", life[1]);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)fcntl(life[1], F_SETFD, 0);
        (void)execl(broker_path, broker_path, "run", "--private-for", for_whom, "--life-line", line,
                    "--endpoint", address.sun_path, (char *)NULL);
        _exit(127);
    }
    (void)close(life[1]);
    assert_int_equal(read(life[0], &byte, 1), 1); /* the test's time limit ends this */
    assert_int_equal(byte, 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
    (void)close(life[0]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)rmdir(folder); /* a private broker does that */
}

/* The program goes on when it closes a session: the broker does not say that it has ended. */
static void test_log_of_closed(void **state) {
    (void)state;
    static char text[4096];
    char path[] = "/tmp/sluice-private-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = broker_path,
                                   .private_log = path,
                                   .private_log_level = SLUICE_LOG_INFO};
    sluice_session *session = NULL;
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    assert_true(outside_is_gone(info.broker_process_id));
    ssize_t length = read(fd, text, sizeof(text) - 1);
    assert_true(length > 0);
    (void)close(fd);
    (void)unlink(path);
    print_message("%s", text);
    assert_non_null(strstr(text, "the session of this private broker has been closed"));
    assert_null(strstr(text, "the client of this private broker has ended"));
}

/* A FIFO that nobody reads takes no log: that is said, and no thread waits for a reader. */
static void test_log_is_a_fifo(void **state) {
    (void)state;
    static char text[4096];
    char detail[SLUICE_DETAIL_BYTES];
    char folder[] = "/tmp/sluice-private-fifo-XXXXXX";
    char path[sizeof(folder) + 8];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = broker_path,
                                   .private_log = path,
                                   .private_log_level = SLUICE_LOG_INFO,
                                   .ret_detail = detail,
                                   .detail_size = sizeof(detail)};
    sluice_session *session = NULL;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EINVAL);
    assert_non_null(strstr(detail, "private_log cannot be opened: nobody reads that FIFO: "));
    assert_non_null(strstr(detail, path));
    int reader = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    assert_true(read(reader, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "listening"));
    (void)close(reader);
    (void)unlink(path);
    (void)rmdir(folder);
}

/* Killed in the middle of a call; the next call that opens something gets a new one. */
static void test_broker_killed(void **state) {
    (void)state;
    uint64_t broker;
    uint64_t next;
    sluice_session *session = open_private(&broker);
    sluice_result result = {.size = sizeof(result)};
    rig_tally tally;
    static char bytes[8];
    memset(&tally, 0, sizeof(tally));
    assert_int_equal(sluice_pair(session, RIG_LONG_NS, &result), 0);
    assert_int_equal(sluice_read_start(session, result.handles[0], bytes, 8, 0, SLUICE_NO_TIMEOUT,
                                       rig_count, &tally, NULL),
                     0);
    /* Answered behind the read: the read is with the broker, not on its way to be found stale. */
    assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), 0);
    assert_int_equal(kill((pid_t)broker, SIGKILL), 0);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_EBROKERLOST);
    assert_int_equal(sluice_read(session, result.handles[0], bytes, 8, 0, RIG_LONG_NS, NULL),
                     SLUICE_ESTALE);
    assert_int_equal(sluice_pair(session, RIG_LONG_NS, &result), 0);
    sluice_session_info info = {.size = sizeof(info)};
    assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    next = info.broker_process_id;
    assert_true(next != broker);
    assert_int_equal(sluice_session_close(session), 0);
    assert_true(outside_is_gone(next));
}

static void on_alarm(int number) {
    (void)number;
}

/* A halted broker is ended, too, although signals of the host's own interrupt the wait for it. */
static void test_broker_halted(void **state) {
    (void)state;
    uint64_t broker;
    struct sigaction action = {.sa_handler = on_alarm}; /* system calls are not taken up again */
    struct sigaction before;
    struct itimerval often = {{0, 5000}, {0, 5000}};
    struct itimerval never = {{0, 0}, {0, 0}};
    char lock[sizeof(((sluice_session_info *)NULL)->endpoint) + 8];
    sluice_session_info info = {.size = sizeof(info)};
    sluice_session *session = open_private(&broker);
    assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
    (void)snprintf(lock, sizeof(lock), "%s.lock", info.endpoint);
    assert_int_equal(access(info.endpoint, F_OK) + access(lock, F_OK), 0);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(kill((pid_t)broker, SIGSTOP), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(sluice_session_close(session), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_true(outside_has_ended(broker));
    assert_int_not_equal(access(info.endpoint, F_OK), 0); /* and nothing is left of it */
    assert_int_not_equal(access(lock, F_OK), 0);
}

static sl_atomic_u32 child_signals;

static void on_child(int number) {
    (void)number;
    atomic_fetch_add(&child_signals, 1);
}

/* The program sees no child that is not its own: not by wait, not by a signal; and what it collects
 * does not disturb the library. */
static void test_broker_is_no_child(void **state) {
    (void)state;
    uint64_t broker;
    siginfo_t info;
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    struct sigaction before;
    assert_int_equal(sigaction(SIGCHLD, &action, &before), 0);
    sluice_session *session = open_private(&broker);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(waitpid((pid_t)broker, NULL, WNOHANG), -1);
    pid_t own = fork();
    if (own == 0) {
        _exit(3);
    }
    assert_int_equal(wait(NULL), own); /* as `while (wait(NULL) > 0);` does */
    assert_int_equal(wait(NULL), -1);
    assert_int_equal(kill((pid_t)broker, SIGKILL), 0);
    assert_true(outside_is_gone(broker));
    assert_int_equal(sluice_session_close(session), 0);
    assert_int_equal(atomic_load(&child_signals), 1); /* its own child's */
    assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);
}

/* The client is killed, while a child of its fork lives on with its descriptors. */
static void test_client_killed(void **state) {
    (void)state;
    int tell[2];
    uint64_t broker = 0;
    pid_t grandchild = 0;
    assert_int_equal(pipe(tell), 0);
    pid_t child = fork();
    if (child == 0) {
        sluice_session *session = open_private(&broker);
        pid_t forked = fork();
        if (forked == 0) {
            for (;;) {
                (void)pause();
            }
        }
        (void)!write(tell[1], &broker, sizeof(broker));
        (void)!write(tell[1], &forked, sizeof(forked));
        (void)sluice_ping(session, RIG_LONG_NS, NULL);
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(tell[0], &broker, sizeof(broker)), sizeof(broker));
    assert_int_equal(read(tell[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
    assert_int_equal(kill(child, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(outside_is_gone(broker));
    assert_int_equal(kill(grandchild, SIGKILL), 0);
    (void)close(tell[0]);
    (void)close(tell[1]);
}

static void test_forked(void **state) {
    (void)state;
    uint64_t broker;
    sluice_session *session = open_private(&broker);
    sluice_operation *operation = NULL;
    static char byte;
    rig_tally tally;
    memset(&tally, 0, sizeof(tally));
    sluice_result result = {.size = sizeof(result)};
    assert_int_equal(sluice_pair(session, RIG_LONG_NS, &result), 0);
    assert_int_equal(sluice_read_start(session, result.handles[0], &byte, 1, 0, SLUICE_NO_TIMEOUT,
                                       rig_count, &tally, &operation),
                     0);
    pid_t child = fork();
    if (child == 0) {
        bool good = sluice_ping(session, RIG_LONG_NS, NULL) == SLUICE_EFORKED &&
                    sluice_cancel(operation) == SLUICE_EFORKED &&
                    sluice_session_close(session) == SLUICE_EFORKED &&
                    sluice_ping_start(session, 1, rig_count, NULL, NULL) == SLUICE_EFORKED &&
                    sluice_waitable(session, &broker) == SLUICE_EFORKED;
        sluice_release(operation);
        sluice_session *own = NULL; /* a child may have a session of its own */
        sluice_open_options options = {
            .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
        if (good && RIG_THREADS_AFTER_FORK) {
            good = sluice_open(&options, &own) == SLUICE_OK &&
                   sluice_ping(own, RIG_LONG_NS, NULL) == SLUICE_OK &&
                   sluice_session_close(own) == SLUICE_OK;
        }
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(sluice_write(session, result.handles[1], "x", 1, RIG_LONG_NS, NULL), 0);
    assert_true(rig_wait(&tally, 1));
    assert_int_equal(tally.last.status, SLUICE_OK);
    sluice_release(operation);
    assert_int_equal(sluice_session_close(session), 0);
}

int main(int argc, char **argv) {
    broker_path = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_sign_of_life),
        cmocka_unit_test(test_log_of_closed),
        cmocka_unit_test(test_log_is_a_fifo),
        cmocka_unit_test(test_broker_killed),
        cmocka_unit_test(test_broker_halted),
        cmocka_unit_test(test_broker_is_no_child),
        cmocka_unit_test(test_client_killed),
        cmocka_unit_test(test_forked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
