/*
 * life_test_posix.c - in which programs a private broker starts, where it lives, and what is left.
 *
 *     client_life_test PATH-OF-SLUICED
 *
 * Each program is this one once more, in a role of its own: with standard descriptors closed, with
 * few or many of them, in a strange place, with rights that it gives up.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/outside_posix.h"
#include "tests/client/rig.h"
#include "tests/client/runtime_posix.h"

#define STRANGER   4002u /* no user of any system we know */
#define PATH_BYTES 768
#define LEAST      3u  /* descriptors */
#define MANY       64u /* are enough for every session */
#define PROGRAM_S  100 /* it ends by itself, should the test not live to end it */

static const char *broker_path;

/* ---- the program ----------------------------------------------------------------------------- */

/* What it tells: on descriptor 3, so that 0 to 2 may be anything. */
typedef struct told {
    int32_t open_status;
    int32_t pair_status;
    int32_t close_status;
    int32_t ping_status; /* after it became a daemon */
    uint32_t taken;      /* numbers of standard streams that the library has, a mask */
    uint64_t broker;
    uint64_t close_ns;
    char endpoint[PATH_BYTES];
    char detail[SLUICE_DETAIL_BYTES];
} told;

static sluice_session *open_and_tell(told *t, uint32_t mode) {
    sluice_session *session = NULL;
    sluice_session_info info = {.size = sizeof(info)};
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = mode,
                                   .broker_path = broker_path,
                                   .endpoint = getenv("LIFE_ENDPOINT"),
                                   .ret_detail = t->detail,
                                   .detail_size = sizeof(t->detail)};
    t->open_status = sluice_open(&options, &session);
    if (session != NULL) {
        sluice_result result = {.size = sizeof(result)};
        (void)sluice_session_get_info(session, &info);
        t->broker = info.broker_process_id;
        (void)snprintf(t->endpoint, sizeof(t->endpoint), "%s", info.endpoint);
        t->pair_status = sluice_pair(session, RIG_LONG_NS, &result);
    }
    return session;
}

/* Soft: a broker raises it for itself. */
static void set_limit(rlim_t soft, bool is_hard) {
    struct rlimit limit;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = soft;
    limit.rlim_max = is_hard ? soft : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* As a daemon does: /dev/null in place of what it had closed. */
static void become_daemon(sluice_session *session, told *t) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        (void)dup2(null, i);
    }
    t->ping_status = sluice_ping(session, RIG_LONG_NS, NULL);
}

/* The broker is gone, and there is no descriptor for another. */
static void lose_broker(sluice_session *session, told *t) {
    sluice_session_info info = {.size = sizeof(info)};
    sluice_result result = {.size = sizeof(result)};
    (void)kill((pid_t)t->broker, SIGKILL);
    do {
        (void)sluice_session_get_info(session, &info);
    } while (info.status == SLUICE_OK);
    set_limit(LEAST, false);
    t->pair_status = sluice_pair(session, RIG_LONG_NS, &result);
    (void)snprintf(t->detail, sizeof(t->detail), "%s", result.detail);
}

/* "closed MASK", "bare MASK" (the same, of a service), "auto", "service", "few", "limit N",
 * "hard N", "lose", "many", "umask", "stay", "thin", "drop": see the tests. */
static int be_program(const char *role, const char *argument) {
    told t = {.open_status = 1};
    (void)alarm(PROGRAM_S);
    unsigned long mask = strtoul(argument, NULL, 10);
    bool is_closed = strcmp(role, "closed") == 0 || strcmp(role, "bare") == 0;
    for (int i = 0; is_closed && i < 3; i++) {
        if ((mask >> i & 1) != 0) {
            (void)close(i);
        }
    }
    if (strcmp(role, "few") == 0) {
        set_limit(40, false);
    } else if (strcmp(role, "limit") == 0 || strcmp(role, "service") == 0 ||
               strcmp(role, "hard") == 0) {
        set_limit(mask, strcmp(role, "hard") == 0);
    } else if (strcmp(role, "many") == 0) {
        for (unsigned i = 0; i < 600; i++) {
            (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
    } else if (strcmp(role, "umask") == 0) {
        (void)umask(0);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGTERM, SIG_IGN);
    } else if (strcmp(role, "thin") == 0) {
        pthread_attr_t attributes;
        if (pthread_attr_init(&attributes) != 0 ||
            pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) != 0 ||
            pthread_setattr_default_np(&attributes) != 0) {
            return 1;
        }
    }
    uint32_t mode = strcmp(role, "auto") == 0 ? SLUICE_MODE_AUTO
                    : strcmp(role, "service") == 0 || strcmp(role, "bare") == 0
                        ? SLUICE_MODE_SERVICE
                        : SLUICE_MODE_PRIVATE;
    sluice_session *session = open_and_tell(&t, mode);
    for (int i = 0; is_closed && i < 3; i++) {
        bool is_open = (mask >> i & 1) != 0 && fcntl(i, F_GETFD) >= 0;
        t.taken |= is_open ? 1u << i : 0;
    }
    if (is_closed && session != NULL) {
        become_daemon(session, &t);
    }
    if (strcmp(role, "lose") == 0) {
        lose_broker(session, &t);
    }
    if (strcmp(role, "drop") == 0 && (setgid(STRANGER) != 0 || setuid(STRANGER) != 0)) {
        return 1;
    }
    if (strcmp(role, "stay") == 0 || strcmp(role, "umask") == 0) {
        (void)!write(3, &t, sizeof(t));
        for (;;) {
            (void)pause();
        }
    }
    uint64_t began_ns = rig_now_ns();
    t.close_status = sluice_session_close(session);
    t.close_ns = rig_now_ns() - began_ns;
    int code = write(3, &t, sizeof(t)) == (ssize_t)sizeof(t) ? 0 : 1;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MANY) {
        _exit(code); /* a leak checker would need descriptors */
    }
    return code;
}

/* ---- running it ------------------------------------------------------------------------------ */

typedef struct program {
    pid_t process;
    int report;
} program;

typedef struct setting {
    const char *runtime; /* XDG_RUNTIME_DIR; NULL = none */
    uid_t user;          /* 0 = ours */
    int errors;          /* its standard error; 0 = ours */
    const char *service; /* an endpoint; NULL = none is named */
} setting;

static program start(const char *role, const char *argument, const setting *s) {
    int ends[2];
    program p;
    assert_int_equal(pipe(ends), 0);
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    p.report = ends[0];
    p.process = fork();
    assert_true(p.process >= 0);
    if (p.process == 0) {
        if (s->errors != 0) {
            (void)dup2(s->errors, STDERR_FILENO);
        }
        (void)dup2(ends[1], 3);
        (void)fcntl(3, F_SETFD, 0);
        (void)(s->runtime != NULL ? setenv("XDG_RUNTIME_DIR", s->runtime, 1)
                                  : unsetenv("XDG_RUNTIME_DIR"));
        if (s->service != NULL) {
            (void)setenv("LIFE_ENDPOINT", s->service, 1);
        }
        if (s->user != 0 && (setgid(s->user) != 0 || setuid(s->user) != 0)) {
            _exit(2);
        }
        (void)execl("/proc/self/exe", "life", "role", broker_path, role, argument, (char *)NULL);
        _exit(2);
    }
    (void)close(ends[1]);
    return p;
}

static told hear(const program *p) {
    told t;
    assert_int_equal(read(p->report, &t, sizeof(t)), sizeof(t));
    return t;
}

static void end(program *p, int signal_number) {
    int status;
    if (signal_number != 0) {
        assert_int_equal(kill(p->process, signal_number), 0);
    }
    assert_int_equal(waitpid(p->process, &status, 0), p->process);
    assert_true(signal_number != 0 ? WIFSIGNALED(status)
                                   : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(p->report);
}

static told run(const char *role, const char *argument, const setting *s) {
    program p = start(role, argument, s);
    told t = hear(&p);
    end(&p, 0);
    assert_string_equal(t.detail, "");
    assert_int_equal(t.open_status, SLUICE_OK);
    assert_int_equal(t.pair_status, SLUICE_OK);
    assert_int_equal(t.close_status, SLUICE_OK);
    assert_true(outside_is_gone(t.broker));
    return t;
}

static bool is_below(const char *path, const char *folder) {
    return strncmp(path, folder, strlen(folder)) == 0 && path[strlen(folder)] == '/';
}

/* ---- programs of every kind ------------------------------------------------------------------ */

static void test_standard_descriptors_closed(void **state) {
    (void)state;
    for (unsigned mask = 0; mask < 8; mask++) {
        char text[8];
        (void)snprintf(text, sizeof(text), "%u", mask);
        told t = run("closed", text, &(setting){.runtime = runtime_path});
        assert_int_equal(t.taken, 0);
        assert_int_equal(t.ping_status, SLUICE_OK);
    }
    assert_int_equal(runtime_count(), 0);
}

static void test_standard_descriptors_closed_with_service(void **state) {
    char endpoint[64];
    (void)state;
    (void)snprintf(endpoint, sizeof(endpoint), "/tmp/sluice-bare-%ld", (long)getpid());
    pid_t broker = fork();
    if (broker == 0) {
        (void)alarm(PROGRAM_S);
        (void)execl(broker_path, broker_path, "run", "--endpoint", endpoint, (char *)NULL);
        _exit(1);
    }
    for (unsigned mask = 0; mask < 8;) {
        char text[8];
        (void)snprintf(text, sizeof(text), "%u", mask);
        program p = start("bare", text, &(setting){.service = endpoint});
        told t = hear(&p);
        end(&p, 0);
        if (t.open_status == SLUICE_ENOBROKER && waitpid(broker, NULL, WNOHANG) == 0) {
            continue; /* it does not listen yet */
        }
        assert_int_equal(t.open_status, SLUICE_OK);
        assert_int_equal(t.pair_status, SLUICE_OK);
        assert_int_equal(t.taken, 0);
        assert_int_equal(t.ping_status, SLUICE_OK);
        mask++;
    }
    assert_int_equal(kill(broker, SIGTERM), 0);
    assert_int_equal(waitpid(broker, NULL, 0), broker);
}

static void test_few_and_many_descriptors(void **state) {
    (void)state;
    (void)run("few", "", &(setting){.runtime = runtime_path});
    (void)run("many", "", &(setting){.runtime = runtime_path});
}

/* One after the other, from the fewest that there can be to those that are enough: which limit it
 * is, whose, and how much. */
static unsigned climb(const char *role, const setting *s) {
    unsigned limit = LEAST;
    for (;; limit++) {
        char number[8];
        char wanted[SLUICE_DETAIL_BYTES];
        (void)snprintf(number, sizeof(number), "%u", limit);
        (void)snprintf(wanted, sizeof(wanted),
                       "this process has too few descriptors free: its limit RLIMIT_NOFILE is %u",
                       limit);
        program p = start(role, number, s);
        told t = hear(&p);
        end(&p, 0);
        if (t.open_status == SLUICE_OK) {
            return limit - LEAST;
        }
        if (strcmp(role, "hard") == 0 && t.open_status == SLUICE_ENOBROKER) {
            assert_ptr_equal(strstr(t.detail, "the private broker ended before it was reached; its "
                                              "log says why, if it is a sluiced: "),
                             t.detail);
            return limit - LEAST;
        }
        assert_int_equal(t.open_status, SLUICE_EOSLIMIT);
        assert_string_equal(t.detail, wanted);
        assert_true(limit < MANY);
    }
}

static void test_limits(void **state) {
    static fake_broker service;
    setting here = {.runtime = runtime_path};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)state;
    assert_true(climb("limit", &here) > 0);
    here.errors = null; /* the broker says there why it does not start */
    assert_true(climb("hard", &here) > 0);
    here.errors = 0;
    (void)close(null);
    fake_start(&service);
    here.service = service.endpoint;
    assert_true(climb("service", &here) > 0);
    fake_stop(&service);
    program p = start("lose", "", &(setting){.runtime = runtime_path});
    told t = hear(&p);
    end(&p, 0);
    assert_int_equal(t.pair_status, SLUICE_EOSLIMIT);
    assert_string_equal(t.detail,
                        "this process has too few descriptors free: its limit RLIMIT_NOFILE is 3");
    assert_int_equal(runtime_count(), 0);
}

/* As with `ulimit -s 16`: threads of the library's do not depend on it. */
static void test_small_stacks(void **state) {
    (void)state;
    (void)run("thin", "", &(setting){.runtime = runtime_path});
}

/* /proc tells what the broker has. */
static void read_link(uint64_t process, const char *name, char ret_target[PATH_BYTES]) {
    char path[PATH_BYTES + 64];
    (void)snprintf(path, sizeof(path), "/proc/%llu/%s", (unsigned long long)process, name);
    ssize_t length = readlink(path, ret_target, PATH_BYTES - 1);
    ret_target[length > 0 ? length : 0] = '\0';
}

static unsigned long long status_field(uint64_t process, const char *name, int base) {
    char line[PATH_BYTES];
    unsigned long long value = ~0ULL;
    (void)snprintf(line, sizeof(line), "/proc/%llu/status", (unsigned long long)process);
    FILE *file = fopen(line, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            value = strtoull(line + strlen(name) + 1, NULL, base);
        }
    }
    (void)fclose(file);
    return value;
}

/* While a thread is being started its starter blocks signals (base/thread_posix.c), so that one
 * look may come too early. */
static bool will_be(uint64_t process, const char *name, int base, unsigned long long wanted) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (status_field(process, name, base) != wanted && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    return status_field(process, name, base) == wanted;
}

/* Nothing of the program's but its standard error: no folder, no session, no signals, no umask. */
static void test_what_it_has(void **state) {
    int ends[2];
    char target[PATH_BYTES];
    char own[PATH_BYTES];
    char name[32];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    program p = start("umask", "", &(setting){.runtime = runtime_path, .errors = ends[1]});
    told t = hear(&p);
    assert_int_equal(t.open_status, SLUICE_OK);
    read_link(t.broker, "cwd", target);
    assert_string_equal(target, "/");
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof(name), "fd/%d", i);
        read_link(t.broker, name, target);
        assert_string_equal(target, "/dev/null");
    }
    (void)snprintf(name, sizeof(name), "fd/%d", ends[1]);
    read_link((uint64_t)getpid(), name, own);
    read_link(t.broker, "fd/2", target);
    assert_string_equal(target, own);
    assert_int_equal(getsid((pid_t)t.broker), (pid_t)t.broker);
    assert_int_equal(status_field(t.broker, "Umask", 8), 077);
    assert_true(will_be(t.broker, "SigBlk", 16, 0));
    assert_int_equal(status_field(t.broker, "SigIgn", 16),
                     1ULL << (SIGPIPE - 1) | 1ULL << (SIGXFSZ - 1)); /* its own */
    end(&p, SIGKILL);
    assert_true(outside_is_gone(t.broker));
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ---- places ---------------------------------------------------------------------------------- */

static void test_places(void **state) {
    char longest[PATH_BYTES];
    char own_tmp[64];
    (void)state;
    (void)snprintf(own_tmp, sizeof(own_tmp), "/tmp/sluice-%lu", (unsigned long)geteuid());
    told t = run("closed", "0", &(setting){.runtime = runtime_path});
    assert_true(is_below(t.endpoint, runtime_path));
    t = run("closed", "0", &(setting){.runtime = NULL});
    assert_true(is_below(t.endpoint, own_tmp));
    t = run("closed", "0", &(setting){.runtime = "/no-such-folder/at-all"});
    assert_true(is_below(t.endpoint, own_tmp));
    (void)snprintf(longest, sizeof(longest), "%s/%0100d", runtime_path, 0);
    assert_int_equal(mkdir(longest, 0700), 0);
    t = run("closed", "0", &(setting){.runtime = longest});
    assert_true(is_below(t.endpoint, own_tmp));
    t = run("auto", "", &(setting){.runtime = longest}); /* no service can be there */
    assert_true(is_below(t.endpoint, own_tmp));
    assert_int_equal(rmdir(longest), 0);
    /* Everybody may write there. */
    (void)snprintf(longest, sizeof(longest), "%s/open", runtime_path);
    assert_int_equal(mkdir(longest, 0700), 0);
    assert_int_equal(chmod(longest, 0777), 0);
    t = run("closed", "0", &(setting){.runtime = longest});
    assert_true(is_below(t.endpoint, own_tmp));
    assert_int_equal(rmdir(longest), 0);
}

/* A tree in /root, for example, is not. */
static bool is_open_to_stranger(const char *path) {
    assert_int_equal(setegid(STRANGER) | seteuid(STRANGER), 0);
    bool is = faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
    assert_int_equal(seteuid(0) | setegid(0), 0);
    return is;
}

static void test_foreign_places(void **state) {
    char foreign[PATH_BYTES];
    char taken[64];
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    (void)snprintf(foreign, sizeof(foreign), "%s/foreign", runtime_path);
    assert_int_equal(mkdir(foreign, 0700), 0);
    assert_int_equal(chown(foreign, STRANGER, STRANGER), 0);
    told t = run("closed", "0", &(setting){.runtime = foreign});
    assert_true(is_below(t.endpoint, "/tmp/sluice-0"));
    assert_int_equal(rmdir(foreign), 0);
    if (!is_open_to_stranger(broker_path)) {
        print_message("skipped: another user cannot get at %s\n", broker_path);
        skip();
    }
    /* Somebody else's /tmp/sluice-UID, for a user of whom nobody else is. */
    (void)snprintf(taken, sizeof(taken), "/tmp/sluice-%u", STRANGER);
    (void)rmdir(taken);
    assert_int_equal(mkdir(taken, 0700), 0);
    program p = start("closed", "0", &(setting){.user = STRANGER});
    told got;
    ssize_t length = read(p.report, &got, sizeof(got));
    assert_int_equal(length, sizeof(got));
    assert_string_equal(got.detail, "");
    assert_int_equal(got.open_status, SLUICE_OK);
    assert_true(is_below(got.endpoint, "/tmp") && !is_below(got.endpoint, taken));
    end(&p, 0);
    assert_true(outside_is_gone(got.broker));
    assert_int_not_equal(access(got.endpoint, F_OK), 0);
    assert_int_equal(rmdir(taken), 0);
}

/* ---- what is left ---------------------------------------------------------------------------- */

/* A killed program's broker clears away its own; a killed broker's program does; when both are
 * killed, the next launch does, and leaves those alone that are lived in. */
static void test_nothing_is_left(void **state) {
    setting here = {.runtime = runtime_path};
    char folder[PATH_BYTES];
    (void)state;
    assert_int_equal(runtime_count(), 0);
    program p = start("stay", "", &here);
    told t = hear(&p);
    assert_int_equal(runtime_count(), 1);
    end(&p, SIGKILL);
    assert_true(outside_is_gone(t.broker));
    assert_int_equal(runtime_count(), 0);

    program lives = start("stay", "", &here);
    told living = hear(&lives);
    for (unsigned i = 0; i < 3; i++) {
        p = start("stay", "", &here);
        t = hear(&p);
        assert_int_equal(kill((pid_t)t.broker, SIGSTOP), 0); /* it cannot clear away anything */
        end(&p, SIGKILL);
        assert_int_equal(kill((pid_t)t.broker, SIGKILL), 0);
        assert_true(outside_is_gone(t.broker));
        assert_int_equal(access(t.endpoint, F_OK), 0);
        assert_int_equal(runtime_count(), 2); /* this one's, and that of the living */
    }
    (void)run("closed", "0", &here);
    assert_int_equal(runtime_count(), 1);
    assert_int_equal(access(living.endpoint, F_OK), 0);
    (void)snprintf(folder, sizeof(folder), "%s", living.endpoint);
    end(&lives, SIGKILL);
    assert_true(outside_is_gone(living.broker));
    assert_int_equal(runtime_count(), 0);
}

/* The broker keeps the rights that the program had, and ends although the program may not signal it
 * any more. */
static void test_rights_given_up(void **state) {
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    told t = run("drop", "", &(setting){.runtime = runtime_path});
    assert_true(t.close_ns < SL_NS_PER_S + SL_NS_PER_S / 4);
    assert_int_equal(runtime_count(), 0);
}

/* ---- */

static int set_up(void **state) {
    (void)state;
    return runtime_make("life");
}

static int tear_down(void **state) {
    (void)state;
    return runtime_remove();
}

int main(int argc, char **argv) {
    if (argc > 4 && strcmp(argv[1], "role") == 0) {
        broker_path = argv[2];
        return be_program(argv[3], argv[4]);
    }
    broker_path = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_descriptors_closed),
        cmocka_unit_test(test_standard_descriptors_closed_with_service),
        cmocka_unit_test(test_few_and_many_descriptors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_small_stacks),
        cmocka_unit_test(test_what_it_has),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_foreign_places),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_rights_given_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
