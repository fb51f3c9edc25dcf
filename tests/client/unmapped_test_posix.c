/*
 * unmapped_test_posix.c - user namespaces: who has no number there shows 65534, and is not taken
 * for anybody who has that number, by a broker, the library or a look at a file. Only root can make
 * the users and write the map; for others, and where the system allows no user namespaces, the
 * tests are skipped by name.
 *
 *     client_unmapped_test PATH-OF-SLUICED
 *
 * broker_in_namespace: the broker is "nobody" of a container, and lets everybody in. A user from
 * outside asks it for what is the broker's alone. client_in_namespace: a program in a namespace
 * without a map (unshare -U) meets the server of another user; then it starts a broker of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own_dir.h"
#include "tests/client/outside_posix.h"
#include "tests/client/rig.h"

#define NOBODY      65534u
#define FIRST       200000u /* of the numbers outside that are 0 and more inside */
#define BROKER      (FIRST + NOBODY)
#define BROKER_TEXT "uid 265534"
#define INSIDER     4601u /* inside; no user of any system we know */
#define STRANGER    4602u
#define NAMESPACE   CLONE_NEWUSER
#define CHILD_S     120u /* a child ends by itself, should the test not live to stop it */
#define PATH_BYTES  128

static const char *broker_path;
static char place[64];
static pid_t broker; /* 0: none runs */
static pid_t child;
static sluice_session *session;
static bool has_failed;

static const char *in(const char *name) {
    static char paths[8][PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, PATH_BYTES, "%s/%s", place, name);
    return path;
}

/* ---- what is there --------------------------------------------------------------------------- */

static void make_folder(const char *path, mode_t mode, uid_t owner) {
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, owner, owner), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* Accepts by itself, as far as its backlog goes. */
static void make_server(const char *path, mode_t mode, uid_t owner) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(chown(path, owner, owner), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(listen(fd, 8), 0); /* open until the test's end */
}

/* One that every user may run, wherever the build is. */
static void copy_broker(const char *to_path) {
    struct stat info;
    int from = open(broker_path, O_RDONLY | O_CLOEXEC);
    int to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    assert_true(from >= 0 && to >= 0 && fstat(from, &info) == 0);
    for (off_t left = info.st_size; left > 0;) {
        ssize_t count = sendfile(to, from, NULL, (size_t)left);
        assert_true(count > 0);
        left -= count;
    }
    assert_int_equal(fchmod(to, 0755), 0);
    (void)close(from);
    (void)close(to);
}

static int set_up(void **state) {
    (void)state;
    if (geteuid() != 0 || access("/run", W_OK) != 0) {
        return 0;
    }
    (void)snprintf(place, sizeof(place), "/run/sluice-unmapped-%ld", (long)getpid());
    make_folder(place, 0755, 0);
    copy_broker(in("sluiced"));
    return 0;
}

/* Also of a test that failed: nothing of it stays. */
static int tear_down(void **state) {
    (void)state;
    outside_end(&child);
    outside_end(&broker);
    if (place[0] != '\0') {
        outside_remove(place);
    }
    return 0;
}

static void require_namespaces(void) {
    if (place[0] == '\0') {
        print_message("skipped: only root can map the users of a namespace\n");
        skip();
    }
    pid_t trial = fork();
    if (trial == 0) {
        _exit(setuid(STRANGER) == 0 && unshare(NAMESPACE) == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(trial, &status, 0), trial);
    if (status != 0) {
        print_message("skipped: the system allows no user namespaces\n");
        skip();
    }
}

static bool become(uid_t user) {
    return setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0;
}

/* ---- a broker in a namespace ----------------------------------------------------------------- */

static void write_map(pid_t process, const char *name) {
    char path[64];
    char text[64];
    (void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)process, name);
    int length = snprintf(text, sizeof(text), "0 %u 65536\n", FIRST);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, (size_t)length), length);
    (void)close(fd);
}

static void await_text(int fd, const char *awaited) {
    char text[4096] = "";
    size_t length = 0;
    while (strstr(text, awaited) == NULL) {
        struct pollfd more = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&more, 1, (int)(RIG_LONG_NS / SL_NS_PER_MS)), 1);
        ssize_t count = read(fd, text + length, sizeof(text) - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
    }
}

/* Until it says that it listens. */
static void start_broker(const char *endpoint, const char *allowed, const char *also) {
    int log[2];
    int go_on[2];
    char byte = 0;
    assert_int_equal(pipe2(log, O_CLOEXEC) | pipe2(go_on, O_CLOEXEC), 0);
    broker = fork();
    assert_true(broker >= 0);
    if (broker == 0) {
        (void)dup2(log[1], 2);
        if (unshare(NAMESPACE) != 0 || write(log[1], "apart", 5) != 5 ||
            read(go_on[0], &byte, 1) != 1 || !become(NOBODY)) {
            _exit(126);
        }
        (void)execl(in("sluiced"), "sluiced", "run", "--endpoint", endpoint, "--workers", "1",
                    "--allow", allowed, "--allow", also, (char *)NULL);
        _exit(127);
    }
    (void)close(log[1]);
    await_text(log[0], "apart");
    write_map(broker, "uid_map");
    write_map(broker, "gid_map");
    assert_int_equal(write(go_on[1], &byte, 1), 1);
    await_text(log[0], "listening");
    /* The log stays open: it may say what it likes. */
    (void)close(go_on[0]);
    (void)close(go_on[1]);
}

static void stop_broker(void) {
    int status = 0;
    assert_int_equal(kill(broker, SIGTERM), 0);
    assert_int_equal(waitpid(broker, &status, 0), broker);
    broker = 0;
    assert_int_equal(status, 0);
}

/* ---- a client of it -------------------------------------------------------------------------- */

static void expect_status(const char *what, const char *path, int32_t status, int32_t expected,
                          const char *detail, const char *wanted) {
    bool is_good = status == expected && (wanted == NULL || strstr(detail, wanted) != NULL);
    if (!is_good) {
        (void)fprintf(stderr, "%s %s: %s (%s), not %s\n", what, path, sluice_status_name(status),
                      detail, sluice_status_name(expected));
        has_failed = true;
    }
}

static void expect_connect(const char *path, int32_t expected, const char *wanted) {
    char address[PATH_BYTES + 8];
    sluice_result result = {.size = sizeof(result)};
    (void)snprintf(address, sizeof(address), "pipe:%s", path);
    int32_t status = sluice_connect(session, address, RIG_LONG_NS, &result);
    expect_status("connect", path, status, expected, result.detail, wanted);
}

static void expect_listen(const char *path, int32_t expected, const char *wanted) {
    char address[PATH_BYTES + 8];
    sluice_result result = {.size = sizeof(result)};
    (void)snprintf(address, sizeof(address), "pipe:%s", path);
    int32_t status = sluice_listen(session, address, 0, RIG_LONG_NS, &result);
    expect_status("listen", path, status, expected, result.detail, wanted);
}

static int32_t open_session(uint32_t mode, const char *endpoint, const char *expected_user,
                            char ret_why[SLUICE_DETAIL_BYTES]) {
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = mode,
                                   .endpoint = endpoint,
                                   .broker_path = in("sluiced"),
                                   .expected_user = expected_user,
                                   .open_timeout_ns = RIG_LONG_NS,
                                   .ret_detail = ret_why,
                                   .detail_size = SLUICE_DETAIL_BYTES};
    ret_why[0] = '\0';
    return sluice_open(&options, &session);
}

static void expect_open(uint32_t mode, const char *endpoint, const char *user, int32_t expected,
                        const char *wanted) {
    char why[SLUICE_DETAIL_BYTES];
    int32_t status = open_session(mode, endpoint, user, why);
    expect_status("open", endpoint, status, expected, why, wanted);
    if (status != expected) {
        _exit(1);
    }
}

/* In a process of its own, which is that user's. */
static void as_user(uid_t user, void (*act)(void)) {
    int status = 0;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(CHILD_S);
        if (!become(user)) {
            _exit(126);
        }
        act();
        _exit(has_failed ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    child = 0;
    assert_int_equal(status, 0);
}

static void ask_for_brokers_own(void) {
    static const char may_not[] = "may not open that itself";
    expect_open(SLUICE_MODE_SERVICE, in("home/broker"), BROKER_TEXT, SLUICE_OK, NULL);
    expect_connect(in("public"), SLUICE_OK, NULL);
    expect_connect(in("private"), SLUICE_EACCESS, may_not);
    expect_connect(in("closed/server"), SLUICE_EACCESS, may_not);
    expect_listen(in("closed/new"), SLUICE_EACCESS, NULL);
    expect_listen(in("everybodys/new"), SLUICE_EACCESS, "no number");
    (void)sluice_session_close(session);
}

static void be_refused(void) {
    expect_open(SLUICE_MODE_SERVICE, in("home/broker"), BROKER_TEXT, SLUICE_EACCESS, "no number");
}

static void be_let_in(void) {
    expect_open(SLUICE_MODE_SERVICE, in("home/broker"), BROKER_TEXT, SLUICE_OK, NULL);
    expect_connect(in("insiders"), SLUICE_OK, NULL);
    expect_connect(in("private"), SLUICE_EACCESS, NULL);
    (void)sluice_session_close(session);
}

static void broker_in_namespace(void **state) {
    (void)state;
    require_namespaces();
    make_folder(in("home"), 0755, BROKER);
    make_folder(in("closed"), 0700, BROKER);
    make_folder(in("everybodys"), 01777, 0);
    make_server(in("public"), 0666, BROKER);
    make_server(in("private"), 0600, BROKER);
    make_server(in("insiders"), 0600, FIRST + INSIDER);
    assert_int_equal(chmod(in("insiders"), 0606), 0); /* the broker has to get there, too */
    make_server(in("closed/server"), 0666, BROKER);
    start_broker(in("home/broker"), "everyone", "everyone");
    as_user(STRANGER, ask_for_brokers_own);
    stop_broker();
    /* A list names those who have a number; and 65534 is not a number of anybody's. */
    start_broker(in("home/broker"), "uid 4601", "uid 65534");
    as_user(FIRST + INSIDER, be_let_in);
    as_user(STRANGER, be_refused);
    stop_broker();
}

/* ---- a client in a namespace ----------------------------------------------------------------- */

/* A server of the stranger's, marked as a broker's endpoint is (engine.h), which hangs up. */
static void serve(int ready) {
    char path[PATH_BYTES];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)alarm(CHILD_S);
    (void)snprintf(path, sizeof(path), "%s//broker", in("strangers"));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!become(STRANGER) || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, 0666) != 0 || listen(fd, 8) != 0 || write(ready, "ready", 5) != 5) {
        _exit(1);
    }
    for (;;) {
        int client = accept(fd, NULL, NULL);
        (void)close(client);
    }
}

static void expect_text(const char *what, const char *text, const char *expected) {
    if (strcmp(text, expected) != 0) {
        (void)fprintf(stderr, "%s: %s, not %s\n", what, text, expected);
        has_failed = true;
    }
}

/* Which folder is its own is known to the kernel, whatever number the owner shows. */
static void look_for_own_dir(void) {
    char path[SL_OWN_DIR_BYTES];
    char why[SL_OWN_DIR_WHY_BYTES] = "";
    (void)setenv("XDG_RUNTIME_DIR", in("strangers"), 1);
    (void)sl_own_dir(false, path, why);
    expect_text("the stranger's folder", path, "/tmp/sluice-65534");
    (void)setenv("XDG_RUNTIME_DIR", in("own"), 1);
    int status = sl_own_dir(true, path, why);
    expect_status("own folder", why, status, SLUICE_OK, "", NULL);
    expect_text("own folder", path, in("own/sluice"));
    (void)unsetenv("XDG_RUNTIME_DIR");
}

static void act_in_namespace(void) {
    sluice_session_info info = {.size = sizeof(info)};
    sluice_result result = {.size = sizeof(result)};
    if (unshare(NAMESPACE) != 0 || geteuid() != NOBODY) {
        _exit(125);
    }
    look_for_own_dir();
    expect_open(SLUICE_MODE_SERVICE, in("strangers/broker"), NULL, SLUICE_EUNTRUSTED, NULL);
    expect_open(SLUICE_MODE_SERVICE, in("strangers/broker"), "uid 65534", SLUICE_EUNTRUSTED,
                "no number in this user namespace");
    /* It can have one of its own, which it knows by the process, and the other way round. */
    expect_open(SLUICE_MODE_AUTO, in("strangers/broker"), NULL, SLUICE_OK, NULL);
    expect_status("info", "", sluice_session_get_info(session, &info), SLUICE_OK, "", NULL);
    expect_status("pair", "", sluice_pair(session, RIG_LONG_NS, &result), SLUICE_OK, result.detail,
                  NULL);
    if (info.mode != SLUICE_MODE_PRIVATE) {
        (void)fprintf(stderr, "the stranger's broker was taken\n");
        has_failed = true;
    }
    (void)sluice_session_close(session);
}

static void client_in_namespace(void **state) {
    int ready[2];
    (void)state;
    require_namespaces();
    make_folder(in("strangers"), 0755, STRANGER);
    make_folder(in("own"), 0700, INSIDER);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    broker = fork();
    assert_true(broker >= 0);
    if (broker == 0) {
        serve(ready[1]);
    }
    (void)close(ready[1]);
    await_text(ready[0], "ready");
    (void)close(ready[0]);
    as_user(INSIDER, act_in_namespace);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(broker_in_namespace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(client_in_namespace, set_up, tear_down),
    };
    broker_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("users without a number", tests, NULL, NULL);
}
