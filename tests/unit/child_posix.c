/* child_posix.c - unit_child_run on POSIX: /proc/self/exe again, standard error through a pipe. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000

bool unit_grants_slices(void) {
    struct utsname system;
    assert_int_equal(uname(&system), 0);
    char *minor;
    long major = strtol(system.release, &minor, 10);
    bool is_new = major > 6 || (major == 6 && *minor == '.' && strtol(minor + 1, NULL, 10) >= 12);
    return is_new && sched_getscheduler(0) == SCHED_OTHER;
}

static pid_t start_child(const char *argument, int error_fd) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(error_fd, STDERR_FILENO);
        execl("/proc/self/exe", "unit-child", argument, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void read_errors(int fd, unit_child *child) {
    char rest[512];
    for (;;) {
        size_t room = sizeof(child->errors) - 1 - child->length;
        char *to = room > 0 ? child->errors + child->length : rest;
        ssize_t got = read(fd, to, room > 0 ? room : sizeof(rest));
        if (got <= 0) {
            return;
        }
        child->length += room > 0 ? (size_t)got : 0;
    }
}

static void await_end(pid_t pid, unit_child *child) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd entry = {.fd = pidfd, .events = POLLIN, .revents = 0};
    int result = 0;
    assert_true(pidfd >= 0);
    bool has_ended = poll(&entry, 1, PATIENCE_MS) == 1;
    if (!has_ended) {
        (void)kill(pid, SIGKILL);
    }
    (void)close(pidfd);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    child->exit_code = has_ended && WIFEXITED(result) ? WEXITSTATUS(result) : -1;
    child->has_aborted = WIFSIGNALED(result) && WTERMSIG(result) == SIGABRT;
}

void unit_child_run(const char *argument, unit_child_mode mode, unit_child *ret_child) {
    int pipe_fds[2];
    memset(ret_child, 0, sizeof(*ret_child));
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = start_child(argument, pipe_fds[1]);
    (void)close(pipe_fds[1]);
    if (mode == UNIT_CHILD_READ) {
        read_errors(pipe_fds[0], ret_child);
    }
    await_end(pid, ret_child);
    if (mode == UNIT_CHILD_LEAVE_PIPE_FULL) {
        read_errors(pipe_fds[0], ret_child);
    }
    (void)close(pipe_fds[0]);
}
