/*
 * fork_test_posix.c - a service, and programs that fork: a child that lives on with its parent's
 * descriptors keeps neither the session nor its handles.
 *
 *     client_fork_test PATH-OF-SLUICED
 *     client_fork_test --wait             another program, which a parent becomes by exec
 *
 * The children wait until they are killed: a broker that does not see the end of their parent's
 * session waits in vain, and the test fails.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/outside_posix.h"
#include "tests/client/rig.h"

#define PAIRS   5
#define NUMBERS 256 /* descriptors looked at */
#define ALARM_S 60u /* a forgotten process ends by itself */

static const char *broker_path;
static char endpoint[64];
static pid_t broker;
static sluice_session *watcher;

static sluice_session *open_service(uint32_t delivery) {
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_SERVICE,
                                   .delivery = delivery,
                                   .endpoint = endpoint};
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

static bool are_open(const int *fds, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (fcntl(fds[i], F_GETFD) < 0) {
            return false;
        }
    }
    return true;
}

/* No handler of fork's runs in these. What the library had, it leaves alone: the child may have
 * closed it and have something else by that number. */
static pid_t fork_by(bool is_raw) {
    return is_raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : _Fork();
}

/* Reused numbers stay open; sessions of a child's own are its own, and not its child's. */
static bool is_raw_child_well(sluice_session *session, bool is_raw) {
    int own[NUMBERS];
    (void)alarm(ALARM_S);
    (void)close_range(STDERR_FILENO + 1, UINT_MAX, 0);
    for (int i = 0; i < NUMBERS; i++) {
        own[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (sluice_ping(session, RIG_LONG_NS, NULL) != SLUICE_EFORKED ||
        sluice_session_close(session) != SLUICE_EFORKED || !are_open(own, NUMBERS)) {
        return false;
    }
    pid_t next = fork_by(is_raw);
    if (next == 0) {
        _exit(sluice_ping(session, RIG_LONG_NS, NULL) == SLUICE_EFORKED ? 0 : 1);
    }
    int status = -1;
    return waitpid(next, &status, 0) == next && status == 0;
}

static void test_raw_child(void **state) {
    (void)state;
    for (int is_raw = 0; is_raw < 2; is_raw++) {
        sluice_session *session = open_service(SLUICE_DELIVERY_THREAD);
        pid_t child = fork_by(is_raw != 0);
        if (child == 0) {
            _exit(is_raw_child_well(session, is_raw != 0) ? 0 : 1);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(sluice_ping(session, RIG_LONG_NS, NULL), SLUICE_OK);
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
        assert_true(comes_to(1, 0));
    }
}

/* Who reads the program's standard error would wait for the child to end: it has no copy. */
static void test_log(void **state) {
    int log[2];
    int go[2];
    char byte;
    (void)state;
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = broker_path,
                                   .private_log_handle = (uint64_t)log[1]};
    sluice_session *session = NULL;
    assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
    pid_t child = fork();
    if (child == 0) {
        (void)close(log[1]);
        (void)!write(go[1], "", 1);
        wait_to_be_killed();
    }
    assert_int_equal(read(go[0], &byte, 1), 1);
    assert_int_equal(sluice_session_close(session), SLUICE_OK);
    (void)close(log[1]);
    struct pollfd reader = {.fd = log[0], .events = POLLIN};
    assert_int_equal(poll(&reader, 1, (int)(RIG_SLACK_NS / SL_NS_PER_MS)), 1);
    assert_int_equal(read(log[0], &byte, 1), 0);
    end(child);
    (void)close(log[0]);
    (void)close(go[0]);
    (void)close(go[1]);
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

/* ---- a parent that becomes another program, and its child lives on --------------------------- */

/* What a parent has found out, and its child. */
typedef struct becoming {
    pid_t child;
    bool is_child_well;
    uint64_t broker; /* a private one */
    char endpoint[sizeof(((sluice_session_info *)NULL)->endpoint)];
} becoming;

static void note_open(bool ret_is_open[NUMBERS]) {
    for (int fd = 0; fd < NUMBERS; fd++) {
        ret_is_open[fd] = fcntl(fd, F_GETFD) >= 0;
    }
}

/* In the child: `library` has numbers of the parent's session. Some of them are free now; what the
 * child opens there stays open, whatever it calls, and in a child of its own as well. */
static bool is_child_well(sluice_session *session, const bool library[NUMBERS]) {
    int own[NUMBERS];
    unsigned count = 0;
    int fd;
    while (count < NUMBERS && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < NUMBERS) {
        if (fd < 0) {
            return false;
        }
        own[count++] = fd;
    }
    bool has_reused = false;
    for (unsigned i = 0; i < count; i++) {
        has_reused = has_reused || library[own[i]];
    }
    bool is_well = has_reused && sluice_session_close(session) == SLUICE_EFORKED;
    pid_t next = fork();
    if (next == 0) {
        _exit(are_open(own, count) ? 0 : 1);
    }
    int status = -1;
    return waitpid(next, &status, 0) == next && status == 0 && is_well && are_open(own, count);
}

/* In a process of the test's: its starter sees that it has told nothing. */
static void must(bool is_so) {
    if (!is_so) {
        _exit(1);
    }
}

/* Opens a session, forks, and becomes another program. Does not come back. */
static void become_other(bool is_private, bool kills_broker, int tell) {
    bool before[NUMBERS];
    bool library[NUMBERS];
    int child_tells[2];
    becoming b;
    memset(&b, 0, sizeof(b));
    (void)alarm(ALARM_S); /* exec keeps it: alarm(2) */
    must(pipe(child_tells) == 0);
    note_open(before);
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
    sluice_session *session = NULL;
    if (is_private) {
        must(sluice_open(&options, &session) == SLUICE_OK);
    } else {
        session = open_service(SLUICE_DELIVERY_THREAD);
    }
    open_pairs(session);
    note_open(library);
    for (int fd = 0; fd < NUMBERS; fd++) {
        library[fd] = library[fd] && !before[fd];
    }
    sluice_session_info info = {.size = sizeof(info)};
    must(sluice_session_get_info(session, &info) == SLUICE_OK);
    b.broker = info.broker_process_id;
    memcpy(b.endpoint, info.endpoint, sizeof(b.endpoint));
    b.child = fork();
    if (b.child == 0) {
        bool is_well = is_child_well(session, library);
        (void)!write(child_tells[1], &is_well, sizeof(is_well));
        wait_to_be_killed();
    }
    (void)!read(child_tells[0], &b.is_child_well, sizeof(b.is_child_well));
    if (kills_broker) {
        (void)kill((pid_t)b.broker, SIGKILL);
    }
    (void)!write(tell, &b, sizeof(b));
    (void)execl("/proc/self/exe", "client_fork_test", "--wait", (char *)NULL);
    _exit(1);
}

static pid_t start_becoming(bool is_private, bool kills_broker, becoming *ret) {
    int tell[2];
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        become_other(is_private, kills_broker, tell[1]);
    }
    assert_int_equal(read(tell[0], ret, sizeof(*ret)), sizeof(*ret));
    (void)close(tell[0]);
    (void)close(tell[1]);
    return parent;
}

static void end_becoming(pid_t parent, const becoming *b) {
    assert_true(b->is_child_well);
    assert_int_equal(waitpid(parent, NULL, WNOHANG), 0); /* both live */
    assert_int_equal(kill(b->child, 0), 0);
    assert_int_equal(kill(b->child, SIGKILL), 0);
    end(parent);
}

static void test_other_program(void **state) {
    (void)state;
    becoming b;
    pid_t parent = start_becoming(false, false, &b);
    assert_true(comes_to(1, 0));
    end_becoming(parent, &b);
}

static void test_other_program_private(void **state) {
    (void)state;
    becoming b;
    pid_t parent = start_becoming(true, false, &b);
    assert_true(outside_is_gone(b.broker));
    assert_int_not_equal(access(b.endpoint, F_OK), 0);
    end_becoming(parent, &b);
}

/* Its broker was killed, and left its folder: nobody has the lock any more, so that a next launch,
 * ours or another test's, clears it away. */
static void test_other_program_folder(void **state) {
    (void)state;
    becoming b;
    pid_t parent = start_becoming(true, true, &b);
    assert_true(outside_is_gone(b.broker));
    *strrchr(b.endpoint, '/') = '\0';
    sluice_open_options options = {
        .size = sizeof(options), .mode = SLUICE_MODE_PRIVATE, .broker_path = broker_path};
    uint64_t deadline_ns = rig_now_ns() + RIG_SLACK_NS;
    do { /* until exec */
        sluice_session *session = NULL;
        assert_int_equal(sluice_open(&options, &session), SLUICE_OK);
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
    } while (access(b.endpoint, F_OK) == 0 && rig_now_ns() < deadline_ns);
    assert_int_not_equal(access(b.endpoint, F_OK), 0);
    end_becoming(parent, &b);
}

int main(int argc, char **argv) {
    broker_path = argc > 1 ? argv[1] : NULL;
    if (argc > 1 && strcmp(argv[1], "--wait") == 0) {
        wait_to_be_killed();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_closed_by_the_child),
        cmocka_unit_test(test_raw_child),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_other_program),
        cmocka_unit_test(test_other_program_private),
        cmocka_unit_test(test_other_program_folder),
    };
    return cmocka_run_group_tests(tests, start_broker, stop_broker);
}
