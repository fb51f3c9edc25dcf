/*
 * trust_other_test_posix.c - a server where a broker should be: a pipe on which somebody listens,
 * and one under another user's identity. Only root can make the latter; for others those tests are
 * skipped by name.
 *
 *     client_trust_other_test PATH-OF-SLUICED
 *
 * The server is a process that listens, waits for the first bytes of whoever connects, and hangs
 * up: enough to tell "not trusted" (EUNTRUSTED, and not a byte) from "trusted, but no broker after
 * all" (ENOBROKER, after a Hello).
 */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/rig.h"

#define STRANGER      4001u /* no user of any system we know */
#define STRANGER_TEXT "uid 4001"
#define SERVER_S      120u /* the server ends by itself, should the test not live to stop it */

static const char *broker_path;

/* ---- the server ------------------------------------------------------------------------------ */

typedef struct server {
    pid_t process;
    char directory[64];
    char endpoint[ENGINE_PIPE_NAME_BYTES];
    int reports; /* an int32_t for each connection: the bytes of its first read */
    bool is_pipe; /* this user's, and not marked as an endpoint is (engine.h) */
} server;

/* Until it is killed. The first report, 0, says that it listens. */
static void serve(const char *endpoint, bool is_pipe, int reports) {
    int32_t count = 0;
    char bytes[256];
    (void)alarm(SERVER_S);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *slash = strrchr(endpoint, '/');
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.*s%s%.60s",
                   (int)(slash - endpoint), endpoint, is_pipe ? "" : "/", slash);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if ((!is_pipe && (setgid(STRANGER) != 0 || setuid(STRANGER) != 0)) || fd < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(endpoint, 0666) != 0 || listen(fd, 8) != 0) {
        _exit(1);
    }
    while (write(reports, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
        int client = accept(fd, NULL, NULL);
        count = (int32_t)read(client, bytes, sizeof(bytes));
        (void)close(client);
    }
    _exit(1);
}

/* Of the next connection, in their order. */
static int32_t next_report(const server *s) {
    int32_t count = -1;
    struct pollfd report = {.fd = s->reports, .events = POLLIN};
    assert_int_equal(poll(&report, 1, (int)(RIG_LONG_NS / SL_NS_PER_MS)), 1);
    assert_int_equal(read(s->reports, &count, sizeof(count)), sizeof(count));
    return count;
}

static void start_server(server *s) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    s->process = fork();
    assert_true(s->process >= 0);
    if (s->process == 0) {
        (void)close(ends[0]);
        serve(s->endpoint, s->is_pipe, ends[1]);
    }
    (void)close(ends[1]);
    s->reports = ends[0];
    assert_int_equal(next_report(s), 0);
}

static void stop_server(server *s) {
    assert_int_equal(kill(s->process, SIGKILL), 0);
    assert_int_equal(waitpid(s->process, NULL, 0), s->process);
    (void)close(s->reports);
    (void)unlink(s->endpoint);
}

/* In a directory of the stranger's, under `where`. false: there can be none. */
static bool start_in(server *s, const char *where) {
    (void)snprintf(s->directory, sizeof(s->directory), "%s/sluice-trust-%ld", where,
                   (long)getpid());
    (void)snprintf(s->endpoint, sizeof(s->endpoint), "%s/broker", s->directory);
    if (mkdir(s->directory, 0755) != 0) {
        return false;
    }
    assert_int_equal(chown(s->directory, STRANGER, STRANGER), 0);
    assert_int_equal(chmod(s->directory, 0755), 0);
    start_server(s);
    return true;
}

static void stop_in(server *s) {
    stop_server(s);
    assert_int_equal(rmdir(s->directory), 0);
}

/* ---- what the library makes of it ------------------------------------------------------------ */

static int32_t try_open(const server *s, uint32_t mode, const char *expected_user,
                        uint32_t *ret_mode) {
    sluice_open_options options = {.size = sizeof(options), .mode = mode, .endpoint = s->endpoint,
                                   .broker_path = broker_path,
                                   .open_timeout_ns = RIG_LONG_NS,
                                   .expected_user = expected_user};
    sluice_session *session = NULL;
    sluice_session_info info = {.size = sizeof(info)};
    int32_t status = sluice_open(&options, &session);
    if (status == SLUICE_OK) {
        assert_int_equal(sluice_session_get_info(session, &info), SLUICE_OK);
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
    }
    if (ret_mode != NULL) {
        *ret_mode = info.mode;
    }
    return status;
}

static void expect_untrusted(const server *s, const char *expected_user) {
    assert_int_equal(try_open(s, SLUICE_MODE_SERVICE, expected_user, NULL), SLUICE_EUNTRUSTED);
    assert_int_equal(next_report(s), 0); /* not a byte */
}

/* Trusted, and then no broker. */
static void expect_trusted(const server *s, const char *expected_user) {
    assert_int_equal(try_open(s, SLUICE_MODE_SERVICE, expected_user, NULL), SLUICE_ENOBROKER);
    assert_true(next_report(s) > 0); /* a Hello */
}

#ifndef LOOKS_FOR_LEAKS /* CMakeLists.txt */
#define LOOKS_FOR_LEAKS false
#endif

/* LeakSanitizer ends a process that its own user may not look into (ptrace(2)), whatever its
 * options say: it cannot read them there. */
static bool can_run_secured(void) {
    if (LOOKS_FOR_LEAKS) {
        print_message("skipped: LeakSanitizer does not run in a program with more than its user\n");
    }
    return !LOOKS_FOR_LEAKS;
}

static bool can_run(void) {
    if (geteuid() != 0) {
        print_message("skipped: only root can make a server of another user\n");
        return false;
    }
    return true;
}

/* What somebody got from a broker of ours by sluice_listen is no broker, whoever runs that. */
static void pipe_of_own_user(void **state) {
    (void)state;
    server s = {.is_pipe = true};
    char why[SLUICE_DETAIL_BYTES] = "";
    (void)snprintf(s.endpoint, sizeof(s.endpoint), "/tmp/sluice-trust-pipe-%ld", (long)getpid());
    start_server(&s);
    expect_untrusted(&s, NULL);
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = s.endpoint, .ret_detail = why,
                                   .detail_size = sizeof(why)};
    sluice_session *session = NULL;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EUNTRUSTED);
    assert_non_null(strstr(why, "not a broker's endpoint"));
    stop_server(&s);
}

/* In /tmp, where anybody may have been first. */
static void not_trusted(void **state) {
    (void)state;
    server s = {.is_pipe = false};
    uint32_t mode = 0;
    if (!can_run()) {
        skip();
    }
    assert_true(start_in(&s, "/tmp"));
    expect_untrusted(&s, NULL);
    expect_untrusted(&s, "uid 0");
    expect_trusted(&s, STRANGER_TEXT);
    /* Who takes what there is gets a broker of its own. */
    assert_int_equal(try_open(&s, SLUICE_MODE_AUTO, NULL, &mode), SLUICE_OK);
    assert_int_equal(mode, SLUICE_MODE_PRIVATE);
    assert_int_equal(next_report(&s), 0);
    stop_in(&s);
}

/* A directory of the stranger's that is safe in itself, but we come to it by a link that it could
 * have made. */
static void expect_untrusted_by_link(const server *s) {
    server by_link = *s;
    char link_path[64];
    (void)snprintf(link_path, sizeof(link_path), "/tmp/sluice-trust-link-%ld", (long)getpid());
    (void)snprintf(by_link.endpoint, sizeof(by_link.endpoint), "%s/broker", link_path);
    (void)unlink(link_path);
    assert_int_equal(symlink(s->directory, link_path), 0);
    expect_untrusted(&by_link, NULL);
    expect_trusted(&by_link, STRANGER_TEXT);
    assert_int_equal(unlink(link_path), 0);
}

/* Where only root can have made the directory, its owner is trusted; not when others may write. */
static void trusted_directory(void **state) {
    (void)state;
    server s = {.is_pipe = false};
    struct stat run;
    if (!can_run()) {
        skip();
    }
    if (stat("/run", &run) != 0 || run.st_uid != 0 || (run.st_mode & 022) != 0 ||
        !start_in(&s, "/run")) {
        print_message("skipped: /run is not root's alone here\n");
        skip();
    }
    expect_trusted(&s, NULL);
    expect_untrusted(&s, "uid 0");
    expect_untrusted_by_link(&s);
    assert_int_equal(chmod(s.directory, 0775), 0);
    expect_untrusted(&s, NULL);
    assert_int_equal(chmod(s.directory, 0757), 0);
    expect_untrusted(&s, NULL);
    stop_in(&s);
}

/* Comes, says nothing and goes: the next report is its own, unless somebody was there before. */
static void visit(const char *endpoint) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", endpoint);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(close(fd), 0);
}

/* The default endpoint is this user's own, whatever XDG_RUNTIME_DIR says, as after `su`: that of
 * another user is not even connected to, however safe its folder is. */
static void not_his_default(void **state) {
    (void)state;
    server s = {.is_pipe = false};
    char runtime[sizeof(s.directory) - sizeof("/sluice")];
    if (!can_run()) {
        skip();
    }
    (void)snprintf(runtime, sizeof(runtime), "/run/sluice-trust-runtime-%ld", (long)getpid());
    (void)snprintf(s.directory, sizeof(s.directory), "%s/sluice", runtime);
    (void)snprintf(s.endpoint, sizeof(s.endpoint), "%s/broker", s.directory);
    if (mkdir(runtime, 0755) != 0) {
        print_message("skipped: there is no /run to write to\n");
        skip();
    }
    assert_int_equal(chown(runtime, STRANGER, STRANGER), 0);
    assert_int_equal(mkdir(s.directory, 0755), 0);
    assert_int_equal(chown(s.directory, STRANGER, STRANGER), 0);
    assert_int_equal(chmod(runtime, 0755) | chmod(s.directory, 0755), 0);
    start_server(&s);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .open_timeout_ns = RIG_LONG_NS};
    sluice_session *session = NULL;
    int32_t status = sluice_open(&options, &session);
    if (status == SLUICE_OK) { /* a broker of this user's, elsewhere */
        assert_int_equal(sluice_session_close(session), SLUICE_OK);
    }
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    visit(s.endpoint);
    assert_int_equal(next_report(&s), 0);
    stop_server(&s);
    assert_int_equal(rmdir(s.directory) | rmdir(runtime), 0);
}

/* The broker of an open session dies, and a stranger takes its place: the next call says so. */
static void reconnect(void **state) {
    (void)state;
    static rig r;
    server s = {.is_pipe = false};
    sluice_session_info info = {.size = sizeof(info)};
    sluice_result result = {.size = sizeof(result)};
    if (!can_run()) {
        skip();
    }
    fake_start(&r.fake);
    assert_int_equal(rig_open(&r, SLUICE_DELIVERY_THREAD), SLUICE_OK);
    fake_stop(&r.fake);
    (void)snprintf(s.endpoint, sizeof(s.endpoint), "%s", r.fake.endpoint);
    start_server(&s);
    int32_t status;
    do { /* the first may be told of the loss */
        status = sluice_pair(r.session, RIG_LONG_NS, &result);
    } while (status == SLUICE_EBROKERLOST);
    assert_int_equal(status, SLUICE_EUNTRUSTED);
    assert_int_equal(sluice_session_get_info(r.session, &info), SLUICE_OK);
    assert_int_equal(info.status, SLUICE_EUNTRUSTED);
    assert_int_equal(next_report(&s), 0);
    rig_close(&r);
    stop_server(&s);
}

/* ---- the same user, with more and with less -------------------------------------------------- */

#define GROUP         4003u /* nobody is in it */
#define NOT_SET_GROUP 126   /* an exit code of a copy whose bit had no effect */

/* The stranger, in this group beside its own; 0: in no other. */
static void become_stranger(gid_t group) {
    if (setgroups(group != 0, &group) != 0 || setgid(STRANGER) != 0 || setuid(STRANGER) != 0) {
        _exit(1);
    }
}

/* Root that can be root again, as a daemon that acts for a user. */
static void become_stranger_for_a_while(void) {
    if (setgroups(0, NULL) != 0 || setgid(STRANGER) != 0 || seteuid(STRANGER) != 0) {
        _exit(1);
    }
}

/* A shared broker of the stranger's, in that group, at s->endpoint. false: it cannot be started. */
static bool start_broker(server *s, gid_t group, bool is_root_inside) {
    s->process = fork();
    assert_true(s->process >= 0);
    if (s->process == 0) {
        (void)alarm(SERVER_S);
        if (is_root_inside) {
            become_stranger_for_a_while();
        } else {
            become_stranger(group);
        }
        (void)execl(broker_path, "sluiced", "run", "--endpoint", s->endpoint, "--log-level",
                    "error", (char *)NULL);
        _exit(127); /* a tree in /root, for example, is not open to it */
    }
    int status;
    while (access(s->endpoint, F_OK) != 0) {
        pid_t ended = waitpid(s->process, &status, WNOHANG);
        if (ended == s->process) {
            assert_int_equal(WEXITSTATUS(status), 127);
            print_message("skipped: another user cannot get at %s\n", broker_path);
            return false;
        }
        sched_yield();
    }
    return true;
}

static void make_directory(server *s, const char *name) {
    (void)snprintf(s->directory, sizeof(s->directory), "/tmp/sluice-trust-%.16s-%ld", name,
                   (long)getpid());
    (void)snprintf(s->endpoint, sizeof(s->endpoint), "%s/broker", s->directory);
    assert_int_equal(mkdir(s->directory, 0755), 0);
    assert_int_equal(chown(s->directory, STRANGER, STRANGER), 0);
}

static void stop_broker(server *s) {
    int status;
    assert_int_equal(kill(s->process, SIGTERM), 0);
    assert_int_equal(waitpid(s->process, &status, 0), s->process);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int32_t ended_status(pid_t process) {
    int status;
    assert_true(process > 0);
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

/* What the stranger, in that group, gets from there. */
static int32_t open_as(const server *s, gid_t group) {
    pid_t process = fork();
    if (process == 0) {
        become_stranger(group);
        _exit(-try_open(s, SLUICE_MODE_SERVICE, NULL, NULL));
    }
    return ended_status(process);
}

/* A broker in a group opens things for those who are in it. */
static void same_user_with_less(void **state) {
    (void)state;
    server s = {.is_pipe = false};
    if (!can_run()) {
        skip();
    }
    make_directory(&s, "less");
    bool is_there = start_broker(&s, GROUP, false);
    if (is_there) {
        assert_int_equal(open_as(&s, GROUP), SLUICE_OK);
        assert_int_equal(open_as(&s, 0), SLUICE_EACCESS);
        stop_broker(&s);
    }
    assert_int_equal(rmdir(s.directory), 0);
    if (!is_there) {
        skip();
    }
}

/* One that can become root is for nobody else of its user; and a private one for its program. */
static void same_user_with_root_inside(void **state) {
    (void)state;
    server s = {.is_pipe = false};
    if (!can_run() || !can_run_secured()) {
        skip();
    }
    make_directory(&s, "root");
    bool is_there = start_broker(&s, 0, true);
    if (is_there) {
        assert_int_equal(open_as(&s, 0), SLUICE_EACCESS);
        stop_broker(&s);
        pid_t process = fork();
        if (process == 0) {
            become_stranger_for_a_while();
            _exit(-try_open(&s, SLUICE_MODE_PRIVATE, NULL, NULL));
        }
        assert_int_equal(ended_status(process), SLUICE_OK);
    }
    assert_int_equal(rmdir(s.directory), 0);
    if (!is_there) {
        skip();
    }
}

static void copy_self(const char *path, mode_t mode) {
    char bytes[65536];
    ssize_t count;
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    assert_true(from >= 0 && to >= 0);
    while ((count = read(from, bytes, sizeof(bytes))) > 0) {
        assert_int_equal(write(to, bytes, (size_t)count), count);
    }
    assert_int_equal(count, 0);
    assert_int_equal(fchown(to, 0, GROUP), 0);
    assert_int_equal(fchmod(to, mode), 0); /* after chown, which takes the bit away */
    assert_int_equal(close(from) | close(to), 0);
}

static int32_t open_by_copy(const server *s, mode_t mode) {
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/program", s->directory);
    copy_self(path, mode);
    pid_t process = fork();
    if (process == 0) {
        become_stranger(0);
        (void)execl(path, "program", "open", s->endpoint, (char *)NULL);
        _exit(127);
    }
    int32_t status = ended_status(process);
    assert_int_equal(unlink(path), 0);
    return status;
}

/* A set-group-ID program has more than its user: it does not put itself into the user's hands. */
static void program_with_more(void **state) {
    (void)state;
    server s = {.is_pipe = false};
    if (!can_run() || !can_run_secured()) {
        skip();
    }
    make_directory(&s, "more");
    bool is_there = start_broker(&s, 0, false);
    int32_t plain = SLUICE_OK;
    int32_t status = SLUICE_EUNTRUSTED;
    if (is_there) {
        plain = open_by_copy(&s, 0755);
        status = open_by_copy(&s, 02755);
        stop_broker(&s);
    }
    assert_int_equal(rmdir(s.directory), 0);
    assert_int_equal(plain, SLUICE_OK);
    if (status == -NOT_SET_GROUP) {
        print_message("skipped: /tmp is mounted nosuid\n");
        skip();
    }
    assert_int_equal(status, SLUICE_EUNTRUSTED);
    if (!is_there) {
        skip();
    }
}

/* A private broker is the process that was started, and no other of the same user. */
static void private_by_another_process(void **state) {
    (void)state;
    char script[64];
    char why[SLUICE_DETAIL_BYTES] = "";
    (void)snprintf(script, sizeof(script), "/tmp/sluice-trust-script-%ld", (long)getpid());
    FILE *file = fopen(script, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\n%s \"$@\"\nexit $?\n", broker_path) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(script, 0700), 0);
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_PRIVATE,
                                   .broker_path = script, .open_timeout_ns = RIG_LONG_NS,
                                   .ret_detail = why, .detail_size = sizeof(why)};
    sluice_session *session = NULL;
    assert_int_equal(sluice_open(&options, &session), SLUICE_EUNTRUSTED);
    assert_non_null(strstr(why, "process"));
    assert_int_equal(unlink(script), 0);
}

/* program_with_more's copy: what it gets, as an exit code. */
static int open_role(const char *endpoint, bool is_set_group) {
    server s = {.is_pipe = false};
    (void)snprintf(s.endpoint, sizeof(s.endpoint), "%s", endpoint);
    if (is_set_group && getegid() == getgid()) {
        return NOT_SET_GROUP;
    }
    return -try_open(&s, SLUICE_MODE_SERVICE, NULL, NULL);
}

int main(int argc, char **argv) {
    struct stat self;
    if (argc == 3 && strcmp(argv[1], "open") == 0) {
        return open_role(argv[2], stat("/proc/self/exe", &self) == 0 &&
                                      (self.st_mode & S_ISGID) != 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipe_of_own_user),
        cmocka_unit_test(not_trusted),
        cmocka_unit_test(trusted_directory),
        cmocka_unit_test(not_his_default),
        cmocka_unit_test(reconnect),
        cmocka_unit_test(same_user_with_less),
        cmocka_unit_test(same_user_with_root_inside),
        cmocka_unit_test(program_with_more),
        cmocka_unit_test(private_by_another_process),
    };
    broker_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("trust in another user", tests, NULL, NULL);
}
