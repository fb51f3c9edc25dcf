/*
 * epoll_peer.c - the end of the process at the other end of an accepted pipe.
 *
 * A Unix socket ends when its last descriptor is closed, and a child of the peer's fork has copies
 * of all of them. So the process itself is watched, by a pidfd in the worker's epoll: once it has
 * ended, the connection is shut down, and what follows is what follows when a peer closes. The
 * event's data is the handle's address with its lowest bit set. The worker's thread.
 */
#include <errno.h>

#include "base/own_fds.h"
#include "engine/epoll.h"

#define CALLS     engine_epoll_calls
#define WATCH_BIT 1u

/* Since Linux 6.5; Debian 12's headers lack it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* By the process's number, before Linux 6.5. It may be another's now: engine.h says what then. */
static int open_by_number(int fd, int *ret_pidfd) {
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (CALLS.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
        return errno;
    }
    if (credentials.pid <= 0) {
        return ENODATA; /* it is not in our process namespace */
    }
    int pidfd = CALLS.pidfd_open(credentials.pid, 0);
    if (pidfd < 0) {
        return errno;
    }
    *ret_pidfd = pidfd;
    return 0;
}

/* 0 or errno. Close-on-exec from its creation (pidfd_open(2), Linux pidfd_prepare). */
static int open_pidfd(int fd, int *ret_pidfd) {
    int pidfd = -1;
    socklen_t length = sizeof(pidfd);
    if (CALLS.getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) {
        *ret_pidfd = sl_own_fds_above_standard(pidfd);
        return *ret_pidfd >= 0 ? 0 : errno;
    }
    return errno == ENOPROTOOPT ? open_by_number(fd, ret_pidfd) : errno;
}

/* What is there is read, then comes the end of file; who holds a copy reads and writes no more. */
static void end_connection(engine_epoll_handle *self) {
    (void)CALLS.shutdown(self->fd, SHUT_RDWR); /* fails if all copies are closed: then it is over */
    engine_epoll_note_events(self, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
    engine_epoll_make_runnable(engine_epoll_worker_of(self->handle.worker), self);
}

static int register_watch(engine_epoll_handle *self, int pidfd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET,
                                .data.ptr = (char *)self + WATCH_BIT};
    int epoll_fd = engine_epoll_worker_of(self->handle.worker)->epoll_fd;
    return CALLS.epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pidfd, &event) == 0 ? 0 : errno;
}

int engine_epoll_watch_peer(engine_handle *handle) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    int pidfd = -1;
    if (self->role != ENGINE_EPOLL_SOCKET || self->is_tcp || self->peer_fd >= 0) {
        return SLUICE_ENOTSUP;
    }
    int error = open_pidfd(self->fd, &pidfd);
    /* It has ended and was collected already: ESRCH, and EINVAL in Linux 6.5 to 6.13. */
    if (error == ESRCH || error == EINVAL) {
        end_connection(self);
        return SLUICE_OK;
    }
    /* Nobody knows it; there is no such call, or a filter of system calls without it. */
    if (error == ENODATA || error == ENOSYS || error == EPERM) {
        return SLUICE_ENOTSUP;
    }
    if (error == 0) {
        error = register_watch(self, pidfd);
        if (error != 0) {
            (void)CALLS.close(pidfd);
        }
    }
    if (error != 0) {
        return engine_epoll_status(error) == SLUICE_EOSLIMIT ? SLUICE_EOSLIMIT : SLUICE_EOS;
    }
    self->peer_fd = pidfd;
    return SLUICE_OK;
}

engine_epoll_handle *engine_epoll_peer_of(void *event_data) {
    return ((uintptr_t)event_data & WATCH_BIT) != 0
               ? (engine_epoll_handle *)(void *)((char *)event_data - WATCH_BIT)
               : NULL;
}

void engine_epoll_peer_ended(engine_epoll_handle *self) {
    if (self->peer_fd >= 0) { /* else it was closed while an earlier event was worked on */
        engine_epoll_forget_peer(self);
        end_connection(self);
    }
}

void engine_epoll_forget_peer(engine_epoll_handle *self) {
    if (self->peer_fd >= 0) {
        int epoll_fd = engine_epoll_worker_of(self->handle.worker)->epoll_fd;
        (void)CALLS.epoll_ctl(epoll_fd, EPOLL_CTL_DEL, self->peer_fd, NULL);
        (void)CALLS.close(self->peer_fd);
        self->peer_fd = -1;
    }
}
