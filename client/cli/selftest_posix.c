/*
 * selftest_posix.c - see selftest.h: what runs programs here; the system's own objects are Windows'
 * only.
 */
#include "client/cli/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

const char *selftest_system(void) {
    return "Linux";
}

static bool join(const char *folder, const char *name, char *ret_path) {
    int length = snprintf(ret_path, SELFTEST_PATH_BYTES, "%s/%s", folder, name);
    return length > 0 && length < (int)SELFTEST_PATH_BYTES && access(ret_path, X_OK) == 0;
}

bool selftest_find(const char *folder, const char *name, const char *in_build,
                   char ret_path[SELFTEST_PATH_BYTES]) {
    char own[SELFTEST_PATH_BYTES / 2];
    char built[SELFTEST_PATH_BYTES];
    if (folder != NULL) {
        return join(folder, name, ret_path);
    }
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (length <= 0) {
        return false;
    }
    own[length] = '\0';
    char *slash = strrchr(own, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    if (join(own, name, ret_path)) {
        return true;
    }
    int count = snprintf(built, sizeof(built), "%s/%s", own, in_build);
    return count > 0 && count < (int)sizeof(built) && join(built, name, ret_path);
}

static void turn_off(posix_spawn_file_actions_t *actions, bool is_shown) {
    (void)posix_spawn_file_actions_init(actions);
    (void)posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!is_shown) {
        (void)posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        (void)posix_spawn_file_actions_adddup2(actions, STDOUT_FILENO, STDERR_FILENO);
    }
}

int selftest_run(const char *path, const char *const *words, unsigned limit_s, bool is_shown) {
    char *argv[SELFTEST_WORDS_MAX + 2] = {(char *)path};
    posix_spawn_file_actions_t actions;
    pid_t child;
    for (unsigned i = 0; words[i] != NULL && i < SELFTEST_WORDS_MAX; i++) {
        argv[i + 1] = (char *)words[i];
    }
    turn_off(&actions, is_shown);
    int error = posix_spawn(&child, path, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        return -1;
    }
    int handle = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd ended = {.fd = handle, .events = POLLIN};
    bool has_ended = handle >= 0 && poll(&ended, 1, (int)limit_s * 1000) == 1;
    if (!has_ended) {
        (void)kill(child, SIGKILL);
    }
    if (handle >= 0) {
        (void)close(handle);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return has_ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void selftest_ask(selftest_question question, const selftest_place *place,
                  selftest_result *ret_result) {
    (void)question;
    (void)place;
    selftest_say(ret_result, SELFTEST_SKIPPED, "Windows only");
}
