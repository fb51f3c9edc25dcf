/*
 * deputy_test_posix.c - what a shared broker opens for its clients is what these could open, and
 * what it listens on for one of them is that one's. Only root can make the users; for others the
 * tests are skipped by name.
 *
 *     client_deputy_test PATH-OF-SLUICED
 *
 * confused_deputy: a client of a broker that runs as root tries to be root by way of it. The parent
 * is root: it starts the broker, and has sockets and folders that are root's. The child is a
 * stranger that the broker lets in. What it asks for, each with an answer that it must get, is in
 * attack(). Then the parent looks whether anything was made, removed or connected to.
 *
 * listener_is_its_users: a broker with a user of its own listens for a client. That client's user
 * gets there, by the broker and by itself; another client's does neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/outside_posix.h"
#include "tests/client/rig.h"

#define STRANGER       4501u /* no user of any system we know */
#define STRANGER_TEXT  "uid 4501"
#define BROKER         4502u
#define BROKER_TEXT    "uid 4502"
#define NEIGHBOUR      4503u
#define NEIGHBOUR_TEXT "uid 4503"
#define PATH_BYTES     128

static const char *broker_path;
static char roots[64];  /* a folder of root's, which everybody may enter */
static char own[80];    /* in there, the stranger's */
static char closed[80]; /* in there, root's alone */
static pid_t broker;    /* 0: none runs */
static pid_t stranger;

static const char *in(const char *folder, const char *name) {
    static char paths[8][PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return path;
}

static bool exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

/* ---- root's side ----------------------------------------------------------------------------- */

static void make_folder(const char *path, mode_t mode, uid_t owner) {
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, owner, owner), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_server(const char *path, mode_t mode) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* Nobody came. */
static void expect_quiet(int server) {
    assert_int_equal(accept(server, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    (void)close(server);
}

/* Until it says that it listens. */
static void start_broker(const char *program, uid_t user, const char *endpoint) {
    int ends[2];
    char text[4096] = "";
    size_t length = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    broker = fork();
    assert_true(broker >= 0);
    if (broker == 0) {
        (void)dup2(ends[1], 2);
        if (user != 0 && (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0)) {
            _exit(126);
        }
        (void)execl(program, program, "run", "--endpoint", endpoint, "--workers", "1", "--allow",
                    STRANGER_TEXT, "--allow", NEIGHBOUR_TEXT,
                    user == 0 ? "--allow-as-root" : (char *)NULL, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    while (strstr(text, "listening") == NULL) {
        struct pollfd more = {.fd = ends[0], .events = POLLIN};
        assert_int_equal(poll(&more, 1, (int)(RIG_LONG_NS / SL_NS_PER_MS)), 1);
        ssize_t count = read(ends[0], text + length, sizeof(text) - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
    }
    /* The pipe stays open: it may log what it likes. */
}

static void stop_broker(void) {
    int status = 0;
    assert_int_equal(kill(broker, SIGTERM), 0);
    assert_int_equal(waitpid(broker, &status, 0), broker);
    broker = 0;
    assert_int_equal(status, 0);
}

/* Also of a test that failed: nothing of it stays. */
static int tear_down(void **state) {
    (void)state;
    outside_end(&stranger);
    outside_end(&broker);
    if (roots[0] != '\0') {
        outside_remove(roots);
    }
    return 0;
}

/* ---- the stranger's side --------------------------------------------------------------------- */

static sluice_session *session;
static bool has_failed;

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
    if (status == SLUICE_OK) {
        (void)sluice_close(session, result.handles[0], RIG_LONG_NS, NULL);
    }
}

static sluice_handle expect_listen(const char *path, int32_t expected, const char *wanted) {
    char address[PATH_BYTES + 8];
    sluice_result result = {.size = sizeof(result)};
    (void)snprintf(address, sizeof(address), "pipe:%s", path);
    int32_t status = sluice_listen(session, address, 0, RIG_LONG_NS, &result);
    expect_status("listen", path, status, expected, result.detail, wanted);
    return status == SLUICE_OK ? result.handles[0] : 0;
}

static void attack_endpoint(void) {
    static const char *const names[] = {"broker", "/broker", "./broker", "hard", "own/../broker"};
    static const char endpoint[] = "broker's endpoint";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_connect(in(roots, names[i]), SLUICE_EACCESS, endpoint);
    }
    if (symlink(in(roots, "broker"), in(own, "link")) != 0) {
        has_failed = true;
    }
    expect_connect(in(own, "link"), SLUICE_EACCESS, endpoint);
}

static void attack_roots(void) {
    static const char may_not[] = "may not open that itself";
    expect_connect(in(roots, "open"), SLUICE_OK, NULL);
    expect_connect(in(roots, "private"), SLUICE_EACCESS, may_not);
    expect_connect(in(closed, "open"), SLUICE_EACCESS, may_not);
    (void)expect_listen(in(roots, "new"), SLUICE_EACCESS, may_not);
    (void)expect_listen(in(closed, "broker"), SLUICE_EACCESS, may_not); /* as at its default */
    if (symlink(closed, in(own, "shortcut")) != 0) {
        has_failed = true;
    }
    expect_connect(in(own, "shortcut/open"), SLUICE_EACCESS, may_not);
    (void)expect_listen(in(own, "shortcut/new"), SLUICE_EACCESS, may_not);
    expect_connect(in("/proc/self/root", in(closed, "open") + 1), SLUICE_EACCESS, may_not);
}

/* Those below 1,024 are root's; the others are everybody's. */
static void attack_ports(void) {
    static const struct {
        const char *address;
        int32_t status;
    } ports[] = {{"tcp:127.0.0.1:81", SLUICE_EACCESS},
                 {"tcp:[::]:1023", SLUICE_EACCESS},
                 {"tcp:127.0.0.1:0", SLUICE_OK}};
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        sluice_result result = {.size = sizeof(result)};
        int32_t status = sluice_listen(session, ports[i].address, 0, RIG_LONG_NS, &result);
        expect_status("listen", ports[i].address, status, ports[i].status, result.detail,
                      status == SLUICE_OK ? NULL : "may not open that itself");
    }
}

/* What is there, and is no pipe: by its name, not by a number of the system's. */
static void meet_no_pipes(void) {
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    const char *other = in(own, "other");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", other);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
        if (bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0 ||
            (types[i] == SOCK_SEQPACKET && listen(fd, 1) != 0)) {
            has_failed = true;
        }
        expect_connect(other, SLUICE_EREFUSED, "datagrams or packets");
        (void)close(fd);
        (void)unlink(other);
    }
    static const char *const folders[] = {"", ".", "./", "../own/."};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        expect_connect(in(own, folders[i]), SLUICE_EREFUSED, i == 0 || i == 2 ? "folder" : "pipe");
        (void)expect_listen(in(own, folders[i]), SLUICE_ENAMETAKEN, "a folder of that name");
    }
    (void)expect_listen(in(own, "foreign.lock/x"), SLUICE_ENOTFOUND, "should be a folder is none");
    expect_connect(in(own, "foreign.lock/x"), SLUICE_ENOTFOUND, "should be a folder is none");
}

/* In its own folder it may; and what lies there of others stays. */
static void use_own(void) {
    struct stat info;
    (void)expect_listen(in(own, "foreign"), SLUICE_ENAMETAKEN, "not Sluice's");
    if (!exists(in(own, "foreign.lock")) || exists(in(own, "foreign"))) {
        (void)fprintf(stderr, "the lock file of another program was touched\n");
        has_failed = true;
    }
    sluice_handle listener = expect_listen(in(own, "mine"), SLUICE_OK, NULL);
    if (lstat(in(own, "mine"), &info) != 0 || info.st_uid != STRANGER ||
        (info.st_mode & 0777) != 0600) {
        (void)fprintf(stderr, "the listener's socket is not its user's\n");
        has_failed = true;
    }
    expect_connect(in(own, "mine"), SLUICE_OK, NULL);
    (void)sluice_close(session, listener, RIG_LONG_NS, NULL);
    if (exists(in(own, "mine")) || exists(in(own, "mine.lock"))) {
        (void)fprintf(stderr, "a closed listener leaves files behind\n");
        has_failed = true;
    }
}

/* This process is that user's from now on. */
static void enter(const char *endpoint, uid_t user, const char *brokers_user) {
    char why[SLUICE_DETAIL_BYTES] = "";
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = endpoint,
                                   .expected_user = brokers_user,
                                   .open_timeout_ns = RIG_LONG_NS,
                                   .ret_detail = why,
                                   .detail_size = sizeof(why)};
    if (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0) {
        _exit(2);
    }
    int32_t status = sluice_open(&options, &session);
    if (status != SLUICE_OK) {
        (void)fprintf(stderr, "uid %u is not let in: %s (%s)\n", (unsigned)user,
                      sluice_status_name(status), why);
        _exit(3);
    }
}

/* Ends the process. `go_on` says when a listener is no longer needed. */
static void attack(const char *endpoint, int ready, int go_on) {
    char byte = 0;
    enter(endpoint, STRANGER, "uid 0");
    attack_endpoint();
    attack_roots();
    attack_ports();
    meet_no_pipes();
    use_own();
    (void)expect_listen(in(own, "trap"), SLUICE_OK, NULL);
    bool is_told = write(ready, &byte, 1) == 1 && read(go_on, &byte, 1) >= 0;
    (void)sluice_session_close(session);
    _exit(has_failed || !is_told ? 1 : 0);
}

/* ---- the test -------------------------------------------------------------------------------- */

/* What listens there was made by root's broker, and is the stranger's: no program of root's takes
 * it for a broker. */
static void expect_trap_is_seen(void) {
    sluice_session *trapped = NULL;
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = in(own, "trap"),
                                   .open_timeout_ns = RIG_LONG_NS};
    assert_int_equal(sluice_open(&options, &trapped), SLUICE_EUNTRUSTED);
}

static void set_up(void) {
    (void)snprintf(roots, sizeof(roots), "/run/sluice-deputy-%ld", (long)getpid());
    (void)snprintf(own, sizeof(own), "%s/own", roots);
    (void)snprintf(closed, sizeof(closed), "%s/closed", roots);
    make_folder(roots, 0755, 0);
    make_folder(own, 0755, STRANGER);
    make_folder(closed, 0700, 0);
    int lock = open(in(own, "foreign.lock"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(lock >= 0);
    (void)close(lock);
}

static void clean_up(void) {
    const char *const files[] = {in(own, "foreign.lock"), in(own, "link"),      in(own, "shortcut"),
                                 in(roots, "open"),       in(roots, "private"), in(roots, "hard")};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        (void)unlink(files[i]);
    }
    (void)unlink(in(closed, "open"));
    assert_int_equal(rmdir(own), 0); /* nothing else was left */
    assert_int_equal(rmdir(closed), 0);
    assert_int_equal(rmdir(roots), 0);
}

static void confused_deputy(void **state) {
    int ready[2];
    int go_on[2];
    char byte = 0;
    int status = 0;
    (void)state;
    if (geteuid() != 0 || access("/run", W_OK) != 0) {
        print_message("skipped: only root can be the broker of another user\n");
        skip();
    }
    set_up();
    int open_server = make_server(in(roots, "open"), 0666);
    int private_server = make_server(in(roots, "private"), 0600);
    int closed_server = make_server(in(closed, "open"), 0666);
    start_broker(broker_path, 0, in(roots, "broker"));
    assert_int_equal(link(in(roots, "broker"), in(roots, "hard")), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(go_on, O_CLOEXEC), 0);
    stranger = fork();
    assert_true(stranger >= 0);
    if (stranger == 0) {
        (void)close(go_on[1]);
        attack(in(roots, "broker"), ready[1], go_on[0]);
    }
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) == 1) {
        expect_trap_is_seen();
    }
    (void)close(go_on[1]);
    assert_int_equal(waitpid(stranger, &status, 0), stranger);
    stranger = 0;
    stop_broker();
    assert_int_equal(status, 0);
    assert_true(accept(open_server, NULL, NULL) >= 0); /* they can be reached */
    (void)close(open_server);
    expect_quiet(private_server);
    expect_quiet(closed_server);
    assert_false(exists(in(roots, "new")) || exists(in(roots, "new.lock")) ||
                 exists(in(closed, "new")) || exists(in(closed, "broker")));
    clean_up();
}

/* ---- a broker with a user of its own --------------------------------------------------------- */

static const char *const shared[] = {"open", "sticky"}; /* folders that all may write to */
#define SHARED (sizeof(shared) / sizeof(shared[0]))

static void in_shared(size_t i, const char *name, char ret_path[PATH_BYTES]) {
    (void)snprintf(ret_path, PATH_BYTES, "%s/%s/%s", roots, shared[i], name);
}

/* The kernel's answer, to this process. */
static int connect_directly(const char *path, int *ret_fd) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.100s", path);
    *ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(*ret_fd, (struct sockaddr *)&name, sizeof(name)) == 0 ? 0 : errno;
}

static void expect_directly(const char *path, int expected) {
    int fd;
    int error = connect_directly(path, &fd);
    if (error != expected) {
        (void)fprintf(stderr, "directly to %s: %s\n", path, strerror(error));
        has_failed = true;
    }
    (void)close(fd);
}

/* The first connection that the listener gives is the first that its user made. */
static void use_directly(const char *path, sluice_handle listener) {
    sluice_result result = {.size = sizeof(result)};
    char byte = 0;
    int fd;
    if (connect_directly(path, &fd) != 0 || write(fd, "x", 1) != 1) {
        (void)fprintf(stderr, "its own user does not get to %s: %s\n", path, strerror(errno));
        has_failed = true;
        (void)close(fd);
        return;
    }
    int32_t status = sluice_accept(session, listener, RIG_LONG_NS, &result);
    expect_status("accept", path, status, SLUICE_OK, result.detail, NULL);
    if (status == SLUICE_OK) {
        sluice_handle accepted = result.handles[0];
        status = sluice_read(session, accepted, &byte, 1, 0, RIG_LONG_NS, &result);
        expect_status("read", path, status, SLUICE_OK, result.detail, NULL);
        has_failed = has_failed || byte != 'x';
        (void)sluice_close(session, accepted, RIG_LONG_NS, NULL);
    }
    (void)close(fd);
}

/* The file is the broker's, and of the others only its client's. */
static void look_at(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0 || info.st_uid != BROKER || (info.st_mode & S_IRWXO) != 0) {
        (void)fprintf(stderr, "%s is not the broker's, or is everybody's\n", path);
        has_failed = true;
    }
}

/* A folder of the client's that is closed to the broker's user: it is this one that may not. */
static void meet_closed_folder(void) {
    static const char may_not[] = "the broker's user has no right";
    char home[PATH_BYTES];
    in_shared(0, "home", home);
    if (mkdir(home, 0700) != 0 || mkdir(in(home, "further"), 0700) != 0) {
        has_failed = true;
    }
    (void)expect_listen(in(home, "new"), SLUICE_EACCESS, may_not);
    (void)expect_listen(in(home, "further/new"), SLUICE_EACCESS, may_not);
    expect_connect(in(home, "none"), SLUICE_EACCESS, may_not);
    (void)rmdir(in(home, "further"));
    (void)rmdir(home);
}

/* Ends the process: who has the listeners. */
static void own_listeners(const char *endpoint, int ready, int go_on) {
    sluice_handle listeners[SHARED];
    char path[PATH_BYTES];
    char byte = 0;
    enter(endpoint, STRANGER, BROKER_TEXT);
    meet_closed_folder();
    for (size_t i = 0; i < SHARED; i++) {
        in_shared(i, "mine", path);
        listeners[i] = expect_listen(path, SLUICE_OK, NULL);
        look_at(path);
        use_directly(path, listeners[i]);
        expect_connect(path, SLUICE_OK, NULL);
    }
    bool is_told = write(ready, &byte, 1) == 1 && read(go_on, &byte, 1) >= 0;
    for (size_t i = 0; i < SHARED; i++) {
        (void)sluice_close(session, listeners[i], RIG_LONG_NS, NULL);
    }
    (void)sluice_session_close(session);
    _exit(has_failed || !is_told ? 1 : 0);
}

/* Ends the process: another client. */
static void meet_foreign_listeners(const char *endpoint) {
    char path[PATH_BYTES];
    enter(endpoint, NEIGHBOUR, BROKER_TEXT);
    for (size_t i = 0; i < SHARED; i++) {
        in_shared(i, "mine", path);
        expect_connect(path, SLUICE_EACCESS, "may not open that itself");
        expect_directly(path, EACCES);
    }
    (void)sluice_session_close(session);
    _exit(has_failed ? 1 : 0);
}

/* One that its user may run, wherever the build is. */
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

static void set_up_shared(char ret_program[PATH_BYTES], char ret_endpoint[PATH_BYTES]) {
    (void)snprintf(roots, sizeof(roots), "/run/sluice-deputy-%ld-shared", (long)getpid());
    make_folder(roots, 0755, 0);
    make_folder(in(roots, "home"), 0755, BROKER);
    make_folder(in(roots, shared[0]), 0777, 0);
    make_folder(in(roots, shared[1]), 01777, 0);
    (void)snprintf(ret_program, PATH_BYTES, "%s/sluiced", roots);
    (void)snprintf(ret_endpoint, PATH_BYTES, "%s/home/broker", roots);
    copy_broker(ret_program);
}

static void listener_is_its_users(void **state) {
    char program[PATH_BYTES];
    char endpoint[PATH_BYTES];
    int ready[2];
    int go_on[2];
    int statuses[2] = {0, 0};
    char byte = 0;
    (void)state;
    if (geteuid() != 0 || access("/run", W_OK) != 0) {
        print_message("skipped: only root can start the broker of another user\n");
        skip();
    }
    set_up_shared(program, endpoint);
    start_broker(program, BROKER, endpoint);
    assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(go_on, O_CLOEXEC), 0);
    stranger = fork();
    assert_true(stranger >= 0);
    if (stranger == 0) {
        (void)close(go_on[1]);
        own_listeners(endpoint, ready[1], go_on[0]);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pid_t neighbour = fork();
    assert_true(neighbour >= 0);
    if (neighbour == 0) {
        meet_foreign_listeners(endpoint);
    }
    assert_int_equal(waitpid(neighbour, &statuses[0], 0), neighbour);
    (void)close(go_on[1]);
    assert_int_equal(waitpid(stranger, &statuses[1], 0), stranger);
    stranger = 0;
    assert_int_equal(statuses[0], 0);
    assert_int_equal(statuses[1], 0);
    stop_broker();
    (void)close(ready[0]);
    (void)close(go_on[0]);
    for (size_t i = 0; i < SHARED; i++) {
        assert_int_equal(rmdir(in(roots, shared[i])), 0); /* nothing was left */
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(confused_deputy, tear_down),
        cmocka_unit_test_teardown(listener_is_its_users, tear_down),
    };
    broker_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("deputy", tests, NULL, NULL);
}
