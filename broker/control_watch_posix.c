/* control_watch_posix.c - see control_watch.h. A pidfd is readable when its process has ended; it
 * names the process, not the number, so a reused id does not fool it (pidfd_open(2), Linux 5.3). */
#include "broker/control_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status.h"

bool control_watch_ignores(int signal) {
    struct sigaction now; /* of a parent that ignores it: execve(2) */
    return sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    (void)status; /* an error is an end, too: nobody would tell us of the real one any more */
    (void)events;
    control_watch *watch = poll->data;
    (void)uv_poll_stop(poll);
    watch->on_gone(watch->user);
}

static int open_process(const char *who, int *ret_fd) {
    if (strncmp(who, "fd:", 3) == 0) {
        bool has_id = strchr(who + 3, ':') != NULL;
        uint64_t number = control_watch_number(who + 3, has_id ? ':' : '\0');
        if (number <= STDERR_FILENO || number > INT32_MAX ||
            (has_id && control_watch_process(who) == 0) ||
            fcntl((int)number, F_SETFD, FD_CLOEXEC) != 0) {
            return SLUICE_EINVAL;
        }
        *ret_fd = (int)number;
        return SLUICE_OK;
    }
    uint64_t number = control_watch_number(who, '\0');
    if (number == 0 || number > INT32_MAX) {
        return SLUICE_EINVAL;
    }
    long fd = syscall(SYS_pidfd_open, (pid_t)number, 0);
    if (fd < 0) {
        return errno == ESRCH ? SLUICE_ENOTFOUND
                              : control_watch_status(-errno); /* libuv's errors, on POSIX */
    }
    *ret_fd = (int)fd;
    return SLUICE_OK;
}

int control_watch_open(control_watch *watch, uv_loop_t *loop, const char *who,
                       void (*on_gone)(void *user), void *user) {
    watch->on_gone = on_gone;
    watch->user = user;
    int status = open_process(who, &watch->fd);
    if (status != SLUICE_OK) {
        return status;
    }
    if (uv_poll_init(loop, &watch->uv.poll, watch->fd) != 0) {
        (void)close(watch->fd);
        return SLUICE_EOS;
    }
    watch->uv.poll.data = watch;
    watch->is_open = true;
    if (uv_poll_start(&watch->uv.poll, UV_READABLE | UV_DISCONNECT, on_poll) != 0) {
        control_watch_close(watch);
        return SLUICE_EOS;
    }
    return SLUICE_OK;
}

/* Who gave us something else than a socket does not wait for this. */
void control_watch_tell(const control_watch *watch) {
    static const char byte = 1;
    if (watch->is_open) {
        (void)send(watch->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void on_closed(uv_handle_t *handle) {
    control_watch *watch = handle->data;
    (void)close(watch->fd);
}

void control_watch_close(control_watch *watch) {
    if (watch->is_open) {
        watch->is_open = false;
        uv_close((uv_handle_t *)&watch->uv.poll, on_closed);
    }
}
