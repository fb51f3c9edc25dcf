/*
 * test_own_fds_posix.c - a program has closed a standard stream: what we make there is moved away,
 * and what the program puts there meanwhile is left alone.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own_fds.h"

#define LOWEST 7

static int make_at_input(void) {
    (void)close(STDIN_FILENO);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(fd, STDIN_FILENO);
    return fd;
}

/* What another thread of the program may do at any time. */
static void put_there(ino_t *ret_number) {
    struct stat info;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fstat(ends[0], &info), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(ends[0]) | close(ends[1]), 0);
    *ret_number = info.st_ino;
}

static void expect_there(ino_t number) {
    struct stat info;
    assert_int_equal(fstat(STDIN_FILENO, &info), 0);
    assert_true(info.st_ino == number);
}

static void test_ours_is_moved(void **state) {
    (void)state;
    int fd = sl_own_fds_above_standard(make_at_input());
    assert_true(fd > STDERR_FILENO && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) < 0 && errno == EBADF);
    assert_int_equal(sl_own_fds_above_standard(fd), fd);
    int moved = sl_own_fds_move(fd, LOWEST);
    assert_true(moved >= LOWEST && (fcntl(moved, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
    assert_int_equal(close(moved), 0);
    errno = ENFILE;
    assert_true(sl_own_fds_above_standard(-1) == -1 && errno == ENFILE);
    assert_true(sl_own_fds_move(-1, LOWEST) == -1 && errno == ENFILE);
}

static void test_the_programs_is_left_alone(void **state) {
    ino_t number;
    (void)state;
    int fd = make_at_input();
    put_there(&number);
    errno = 0;
    assert_true(sl_own_fds_above_standard(fd) == -1 && errno == EMFILE);
    expect_there(number);
    assert_true(sl_own_fds_move(fd, LOWEST) == -1 && errno == EMFILE);
    expect_there(number);
    assert_false(sl_own_fds_close_copied(fd));
    expect_there(number);
    for (int i = STDERR_FILENO + 1; i <= 2 * LOWEST; i++) { /* no copy of it is left */
        struct stat info;
        assert_true(fstat(i, &info) != 0 || info.st_ino != number);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours_is_moved),
        cmocka_unit_test(test_the_programs_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
