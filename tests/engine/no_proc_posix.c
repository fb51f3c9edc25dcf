/*
 * no_proc_posix.c - a broker without /proc opens no paths for other users, and says why: it is
 * neither that user's rights nor the folder.
 *
 * The real thing: a child hides /proc in a mount namespace of its own. Who may not do that sees the
 * test skipped by name.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/epoll.h"

#define USER     4201u /* nobody on any system we know */
#define NO_RIGHT 77    /* exit code: this user may not hide /proc */

static char folder[64];
static char used_path[80];
static char new_path[80];

static bool hide_proc(void) {
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

/* In the child; an exit code. */
static int open_both(void) {
    const engine_epoll_user user = {.uid = USER, .gid = USER, .knows_groups = true};
    const engine_behalf behalf = {.rights = (engine_rights *)(uintptr_t)&user.rights};
    const engine_listen_options options = {.backlog = 1};
    for (int is_listen = 0; is_listen < 2; is_listen++) {
        engine_address address;
        engine_epoll_name name;
        const char *detail = NULL;
        int error = 0;
        if (engine_address_pipe(&address, is_listen ? new_path : used_path) != SLUICE_OK ||
            engine_epoll_name_init(&name, &address, is_listen ? &options : NULL) != SLUICE_OK) {
            return 1;
        }
        int status = is_listen ? engine_epoll_name_take(&name, &behalf, &detail, &error)
                               : engine_epoll_name_connect(&name, &behalf, &detail, &error);
        if (status != SLUICE_EOS || detail == NULL || strstr(detail, "/proc") == NULL) {
            (void)fprintf(stderr, "%s: status %d, %s\n", is_listen ? "listen" : "connect", status,
                          detail != NULL ? detail : "no detail");
            return 2;
        }
    }
    return 0;
}

static void make_place(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(folder, sizeof(folder), "/tmp/sluice-no-proc-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(used_path, sizeof(used_path), "%s/used", folder);
    (void)snprintf(new_path, sizeof(new_path), "%s/new", folder);
    memcpy(name.sun_path, used_path, sizeof(used_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    (void)close(fd);
}

/* Where modes alone decide, and where an ACL would have to be looked for. */
static void test_no_proc(void **state) {
    static const mode_t modes[] = {0707, 0777};
    bool may = true;
    (void)state;
    make_place();
    for (size_t i = 0; i < SL_ARRAY_COUNT(modes) && may; i++) {
        int status = -1;
        assert_int_equal(chmod(used_path, modes[i]), 0);
        assert_int_equal(chmod(folder, modes[i]), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            _exit(hide_proc() ? open_both() : NO_RIGHT);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        may = WEXITSTATUS(status) != NO_RIGHT;
        assert_true(!may || WEXITSTATUS(status) == 0);
    }
    assert_int_equal(access(new_path, F_OK), -1);
    assert_int_equal(unlink(used_path), 0);
    assert_int_equal(rmdir(folder), 0);
    if (!may) {
        print_message("skipped: /proc cannot be hidden here\n");
        skip();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_proc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
