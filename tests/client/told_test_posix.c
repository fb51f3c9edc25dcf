/*
 * told_test_posix.c - what sluice_open says of an endpoint that cannot be reached and of a broker
 * that cannot be started: the cause, by name, and nobody else's.
 *
 *     client_told_test PATH-OF-SLUICED
 *
 * Some places only root can make; for others those tests are skipped by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/rig.h"

#define STRANGER    4001u /* no user of any system we know */
#define CHILD_S     60u
#define PATIENCE_NS (SL_NS_PER_S / 4)
#define PATH_BYTES  100
#define WRONG_CHILD 9 /* the exit code of a child whose session was not refused as it should be */
#define NO_CHILD    77

static const char *broker_path;

static void expect_told(sluice_open_options options, int32_t status, const char *text) {
    sluice_session *session = NULL;
    options.size = sizeof(options);
    assert_int_equal(sluice_open(&options, &session), status);
    assert_string_equal(sluice_last_error()->detail, text);
}

/* The same in a process that has `become` somebody else, or is somewhere else. */
static void expect_told_in_child(void (*become)(void), const sluice_open_options *options,
                                 int32_t status, const char *text) {
    int code = 0;
    if (!RIG_THREADS_AFTER_FORK) {
        print_message("skipped: this sanitizer knows no threads in a forked child\n");
        skip();
    }
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sluice_session *session = NULL;
        (void)alarm(CHILD_S);
        become();
        int32_t got = sluice_open(options, &session);
        bool is_right = got == status && strcmp(sluice_last_error()->detail, text) == 0;
        if (!is_right) {
            (void)fprintf(stderr, "told: %s, \"%s\"\n", sluice_status_name(got),
                          sluice_last_error()->detail);
        }
        _exit(is_right ? 0 : WRONG_CHILD);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    if (WIFEXITED(code) && WEXITSTATUS(code) == NO_CHILD) {
        print_message("skipped: no such process can be made here\n");
        skip();
    }
    assert_int_equal(code, 0);
}

static void make_folder(char ret_folder[PATH_BYTES]) {
    (void)snprintf(ret_folder, PATH_BYTES, "/tmp/sluice-told-XXXXXX");
    assert_non_null(mkdtemp(ret_folder));
}

/* A broker's endpoint (engine.h: the mark) on which nobody accepts. */
static int listen_at(const char *folder, int backlog) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.80s//broker", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void remove_endpoint(const char *folder, int listener) {
    char path[PATH_BYTES + 8];
    (void)snprintf(path, sizeof(path), "%s/broker", folder);
    assert_int_equal(close(listener), 0);
    assert_int_equal(unlink(path) | rmdir(folder), 0);
}

/* Somebody listens, and takes nobody in. */
static void full(void **state) {
    (void)state;
    char folder[PATH_BYTES];
    char endpoint[PATH_BYTES + 8];
    char wanted[SLUICE_DETAIL_BYTES];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    make_folder(folder);
    (void)snprintf(endpoint, sizeof(endpoint), "%s/broker", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/broker", folder);
    int listener = listen_at(folder, 0);
    int waits = socket(AF_UNIX, SOCK_STREAM, 0); /* a backlog of 0 has room for one: listen(2) */
    assert_int_equal(connect(waits, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)snprintf(wanted, sizeof(wanted), "%s: what listens there takes nobody in", endpoint);
    expect_told((sluice_open_options){.mode = SLUICE_MODE_SERVICE,
                                      .endpoint = endpoint,
                                      .open_timeout_ns = PATIENCE_NS},
                SLUICE_ETIMEDOUT, wanted);
    assert_int_equal(close(waits), 0);
    remove_endpoint(folder, listener);
}

static void become_stranger(void) {
    if (setgroups(0, NULL) != 0 || setgid(STRANGER) != 0 || setuid(STRANGER) != 0) {
        _exit(NO_CHILD);
    }
}

/* It is this program's user that may not, not the broker's. */
static void closed_to_us(void **state) {
    (void)state;
    char folder[PATH_BYTES];
    char endpoint[PATH_BYTES + 8];
    char wanted[SLUICE_DETAIL_BYTES];
    if (geteuid() != 0) {
        print_message("skipped: only root can become another user\n");
        skip();
    }
    make_folder(folder);
    (void)snprintf(endpoint, sizeof(endpoint), "%s/broker", folder);
    int listener = listen_at(folder, 8);
    (void)snprintf(wanted, sizeof(wanted),
                   "this program's user has no right to it, or to a folder on the way: %s",
                   endpoint);
    const sluice_open_options options = {.size = sizeof(options),
                                         .mode = SLUICE_MODE_SERVICE,
                                         .endpoint = endpoint,
                                         .open_timeout_ns = RIG_LONG_NS};
    expect_told_in_child(become_stranger, &options, SLUICE_EACCESS, wanted);
    remove_endpoint(folder, listener);
}

/* Something is at broker_path; what runs it is not there. */
static void no_interpreter(void **state) {
    (void)state;
    static const char text[] = "#!/no/such/interpreter\n";
    char path[] = "/tmp/sluice-told-XXXXXX";
    char wanted[SLUICE_DETAIL_BYTES];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    assert_int_equal(fchmod(fd, 0700) | close(fd), 0);
    (void)snprintf(
        wanted, sizeof(wanted),
        "sluiced cannot be started: the interpreter that its file names is not there: %s", path);
    expect_told((sluice_open_options){.mode = SLUICE_MODE_PRIVATE, .broker_path = path},
                SLUICE_ENOBROKER, wanted);
    assert_int_equal(unlink(path), 0);
}

/* What lies there is no socket: what, and where. */
static void no_socket(void **state) {
    (void)state;
    char folder[PATH_BYTES];
    char path[PATH_BYTES + 8];
    char wanted[SLUICE_DETAIL_BYTES];
    make_folder(folder);
    (void)snprintf(path, sizeof(path), "%s/loop", folder);
    assert_int_equal(symlink("loop", path), 0);
    (void)snprintf(wanted, sizeof(wanted), "%s: there is a folder of that name, not a pipe",
                   folder);
    expect_told((sluice_open_options){.mode = SLUICE_MODE_SERVICE, .endpoint = folder},
                SLUICE_ENOBROKER, wanted);
    (void)snprintf(wanted, sizeof(wanted), "%s: there are too many links on the way", path);
    expect_told((sluice_open_options){.mode = SLUICE_MODE_SERVICE, .endpoint = path}, SLUICE_EOS,
                wanted);
    assert_int_equal(unlink(path) | rmdir(folder), 0);
}

/* As in a chroot that somebody has made by hand. */
static void lose_devices(void) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/dev", "tmpfs", 0, NULL) != 0) {
        _exit(NO_CHILD);
    }
}

static void no_null_device(void **state) {
    (void)state;
    const sluice_open_options options = {.size = sizeof(options),
                                         .mode = SLUICE_MODE_PRIVATE,
                                         .broker_path = broker_path,
                                         .open_timeout_ns = RIG_LONG_NS};
    if (geteuid() != 0) {
        print_message("skipped: only root can take the devices away\n");
        skip();
    }
    expect_told_in_child(lose_devices, &options, SLUICE_EOS,
                         "sluiced cannot be started without the null device (/dev/null, NUL): No "
                         "such file or directory");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full),           cmocka_unit_test(closed_to_us),
        cmocka_unit_test(no_interpreter), cmocka_unit_test(no_socket),
        cmocka_unit_test(no_null_device),
    };
    broker_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
