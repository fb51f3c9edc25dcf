/*
 * test_own_dir_posix.c - which folder is this user's own: what the environment says is believed
 * only where it can be checked, and never in a set-user-ID program.
 *
 *     test_own_dir_posix print    prints the folder, or why there is none
 */
#include "unit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own_dir.h"
#include "base/status.h"

#define OWNER     4101u /* nobody on any system we know */
#define CALLER    4102u
#define TEXT_SIZE 512

static char place[64]; /* a folder of the test's */

/* What sl_own_dir says: a path, or "?" and why. */
static void say(char ret_text[TEXT_SIZE]) {
    char path[SL_OWN_DIR_BYTES];
    char why[SL_OWN_DIR_WHY_BYTES] = "";
    int status = sl_own_dir(false, path, why);
    (void)snprintf(ret_text, TEXT_SIZE, "%s%s", status == SLUICE_OK ? "" : "?",
                   status == SLUICE_OK ? path : why);
}

static void expect_text(const char *expected) {
    char text[TEXT_SIZE];
    say(text);
    assert_string_equal(text, expected);
}

/* Where it looks when there is no XDG_RUNTIME_DIR. */
static void expect_fallback(void) {
    char with[TEXT_SIZE];
    char without[TEXT_SIZE];
    char expected[64];
    say(with);
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    say(without);
    assert_string_equal(with, without);
    (void)snprintf(expected, sizeof(expected), "/tmp/sluice-%lu", (unsigned long)geteuid());
    assert_non_null(strstr(with, expected));
}

static void name(const char *path) {
    assert_int_equal(setenv("XDG_RUNTIME_DIR", path, 1), 0);
}

static void test_believed(void **state) {
    char expected[TEXT_SIZE];
    (void)state;
    name(place);
    (void)snprintf(expected, sizeof(expected), "%s/sluice", place);
    expect_text(expected);
}

static void test_not_believed(void **state) {
    char link_path[80];
    char file[80];
    char longer[SL_OWN_DIR_BYTES + 2];
    (void)state;
    (void)snprintf(link_path, sizeof(link_path), "%s/link", place);
    (void)snprintf(file, sizeof(file), "%s/file", place);
    assert_int_equal(symlink(place, link_path), 0);
    assert_true(close(open(file, O_CREAT | O_WRONLY, 0600)) == 0);
    memset(longer, '/', sizeof(longer));
    memcpy(longer, place, strlen(place));
    longer[sizeof(longer) - 1] = '\0';
    const char *const paths[] = {link_path, file, "", "."};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        name(paths[i]);
        expect_fallback();
    }
    static const mode_t modes[] = {0720, 0702, 01777};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(place, modes[i]), 0);
        name(place);
        expect_fallback();
    }
    assert_int_equal(chmod(place, 0700), 0);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(unlink(file), 0);
    name("/nowhere/at/all"); /* nobody's yet */
    expect_text("/nowhere/at/all/sluice");
    name(longer);
    expect_text("?XDG_RUNTIME_DIR is too long for an endpoint in it: name the endpoint");
}

/* After `su`: the variable is still the caller's. */
static void test_other_user(void **state) {
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can give a folder away\n");
        skip();
    }
    assert_int_equal(chown(place, CALLER, CALLER), 0);
    name(place);
    expect_fallback();
    assert_int_equal(chown(place, 0, 0), 0);
}

/* In /tmp, somebody else was first. */
static void test_taken(void **state) {
    char path[64];
    char expected[TEXT_SIZE];
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    (void)snprintf(path, sizeof(path), "/tmp/sluice-%u", OWNER);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, CALLER, CALLER), 0);
    assert_int_equal(seteuid(OWNER), 0);
    (void)snprintf(expected, sizeof(expected),
                   "?%s belongs to uid %u: remove it, or name the endpoint", path, CALLER);
    expect_text(expected);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chown(path, OWNER, OWNER), 0);
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(seteuid(OWNER), 0);
    (void)snprintf(expected, sizeof(expected),
                   "?others can enter %s: chmod it to 0700, or name the endpoint", path);
    expect_text(expected);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(rmdir(path), 0);
}

/* ---- set-user-ID ----------------------------------------------------------------------------- */

static bool copy_self(const char *to) {
    char buffer[65536];
    int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    ssize_t count = in >= 0 && out >= 0 ? 1 : -1;
    while (count > 0) {
        count = read(in, buffer, sizeof(buffer));
        count = count > 0 && write(out, buffer, (size_t)count) != count ? -1 : count;
    }
    return count == 0 && close(in) == 0 && fchown(out, OWNER, OWNER) == 0 &&
           fchmod(out, 04755) == 0 && close(out) == 0;
}

/* The program, run by CALLER with its rights those of OWNER. */
static void run_as_caller(const char *program, char ret_text[TEXT_SIZE]) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool is_caller = setgid(CALLER) == 0 && setuid(CALLER) == 0 && dup2(ends[1], 1) == 1;
        (void)!(is_caller && execl(program, program, "print", (char *)NULL));
        _exit(1);
    }
    (void)close(ends[1]);
    ssize_t length = read(ends[0], ret_text, TEXT_SIZE - 1);
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ret_text[length > 0 ? length : 0] = '\0';
}

/* The caller's folder is in order, and would be OWNER's own: but the variable is the caller's. */
static void test_set_user_id(void **state) {
    char program[80];
    char runtime[80];
    char text[TEXT_SIZE];
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can make a set-user-ID program of another user\n");
        skip();
    }
    (void)snprintf(program, sizeof(program), "%s/program", place);
    (void)snprintf(runtime, sizeof(runtime), "%s/runtime", place);
    assert_int_equal(chmod(place, 0755), 0);
    assert_true(copy_self(program));
    assert_int_equal(mkdir(runtime, 0700), 0);
    assert_int_equal(chown(runtime, OWNER, OWNER), 0);
    name(runtime);
    run_as_caller(program, text);
    assert_int_equal(unlink(program), 0);
    assert_int_equal(rmdir(runtime), 0);
    assert_int_equal(chmod(place, 0700), 0);
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "/tmp/sluice-%u", OWNER);
    if (strncmp(text, runtime, strlen(runtime)) == 0) {
        fail_msg("the caller's XDG_RUNTIME_DIR was believed: %s", text);
    }
    assert_string_equal(text, expected);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_believed),     cmocka_unit_test(test_not_believed),
        cmocka_unit_test(test_other_user),   cmocka_unit_test(test_taken),
        cmocka_unit_test(test_set_user_id),
    };
    if (argc > 1 && strcmp(argv[1], "print") == 0) {
        char text[TEXT_SIZE];
        say(text);
        /* At once: the leak checker cannot look into a process with others' rights. */
        _exit(write(1, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1);
    }
    (void)snprintf(place, sizeof(place), "/tmp/sluice-own-dir-XXXXXX");
    if (mkdtemp(place) == NULL) {
        return 1;
    }
    int failures = cmocka_run_group_tests_name("own_dir", tests, NULL, NULL);
    (void)rmdir(place);
    return failures;
}
