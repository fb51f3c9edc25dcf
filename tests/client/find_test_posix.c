/*
 * find_test_posix.c - which sluiced beside a program is started: not one that somebody else may
 * have put there (/tmp). The test copies itself into a folder, and asks that copy what it finds.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/status.h"
#include "client/include/sluice/sluice.h"
#include "client/launch.h"

#define STRANGER 4501u /* no user of any system we know */
#define ASK      "--ask"

static char folder[] = "/tmp/sluice-find-XXXXXX";
static char program[64];
static char planted[64];

static void copy_itself(void) {
    struct stat info;
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(program, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    assert_true(from >= 0 && to >= 0 && fstat(from, &info) == 0);
    for (off_t left = info.st_size; left > 0;) {
        ssize_t count = sendfile(to, from, NULL, (size_t)left);
        assert_true(count > 0);
        left -= count;
    }
    (void)close(from);
    (void)close(to);
}

/* A program is told, too. */
static bool is_told(const char *passed) {
    char why[SLUICE_DETAIL_BYTES] = "";
    char wanted[SLUICE_DETAIL_BYTES];
    sluice_session *session;
    sluice_open_options options = {.size = sizeof(options),
                                   .mode = SLUICE_MODE_PRIVATE,
                                   .ret_detail = why,
                                   .detail_size = sizeof(why)};
    (void)snprintf(wanted, sizeof(wanted), "set broker_path. Passed over: %s", passed);
    int32_t status = sluice_open(&options, &session);
    printf("%d: %s\n", (int)status, why);
    return status == SLUICE_ENOBROKER && strstr(why, wanted) != NULL;
}

/* In the copy. It says all places at which it has looked, and what it has passed over: `passed`.
 */
static int answer(const char *self, const char *passed) {
    char wanted[128];
    (void)snprintf(wanted, sizeof(wanted), "%.*s/{sluiced,../libexec/sluice/sluiced}",
                   (int)(strrchr(self, '/') - self), self);
    char path[256];
    char text[512];
    sl_text tried;
    sl_text_init(&tried, text, sizeof(text) - 1);
    char over_text[512];
    sl_text over;
    sl_text_init(&over, over_text, sizeof(over_text) - 1);
    int status = client_launch_find(path, sizeof(path), &tried, &over);
    text[tried.length] = '\0';
    over_text[over.length] = '\0';
    printf("tried: %s, passed over: %s\n", text, over_text);
    if (status == SLUICE_ENOTFOUND && strstr(text, wanted) == NULL) {
        return 4;
    }
    if (strncmp(over_text, passed, strlen(passed)) != 0 || (over.length > 0) != (*passed != '\0')) {
        return 5;
    }
    if (*passed != '\0' && !is_told(passed)) {
        return 6;
    }
    return status == SLUICE_OK ? 0 : status == SLUICE_ENOTFOUND ? 1 : 2;
}

/* `passed`: why what was planted is passed over, or NULL. */
static void expect_found(bool is_found, const char *passed) {
    char words[200] = "";
    if (passed != NULL) {
        (void)snprintf(words, sizeof(words), "%s%s", passed, planted);
    }
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)execl(program, program, ASK, words, (char *)NULL);
        _exit(3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), is_found ? 0 : 1);
}

static void test_whose(void **state) {
    (void)state;
    expect_found(false, NULL);
    int fd = open(planted, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    assert_true(fd >= 0 && close(fd) == 0);
    assert_int_equal(chmod(planted, 0755), 0);
    expect_found(true, NULL);
    assert_int_equal(chmod(planted, 0757), 0); /* others may write it */
    expect_found(false, "others can write to ");
    assert_int_equal(chmod(planted, 0644), 0);
    expect_found(false, "this user may not run, or look at, ");
    assert_int_equal(chmod(planted, 0755), 0);
    if (geteuid() != 0) {
        print_message("skipped: only root can plant another user's\n");
        return;
    }
    assert_int_equal(chown(planted, STRANGER, STRANGER), 0);
    expect_found(false, "neither root's, yours, nor of who owns what it lies beside: ");
    assert_int_equal(chown(program, STRANGER, STRANGER), 0); /* whose code runs here already */
    expect_found(true, NULL);
}

static int set_up(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0) {
        return -1;
    }
    (void)snprintf(program, sizeof(program), "%s/program", folder);
    (void)snprintf(planted, sizeof(planted), "%s/sluiced", folder);
    copy_itself();
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    (void)unlink(planted);
    (void)unlink(program);
    return rmdir(folder);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], ASK) == 0) {
        return answer(argv[0], argv[2]);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whose)};
    return cmocka_run_group_tests_name("find", tests, set_up, clean_up);
}
