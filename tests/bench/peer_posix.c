/*
 * peer_posix.c - the echo thread on epoll, level-triggered accept and edge-triggered connections.
 *
 * Owned by the thread that starts it; the peer's thread touches everything but `stop_fd` alone.
 * It ends when stop_fd is written to, and closes what is left.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/thread.h"
#include "bench.h"

struct peer {
    sl_thread thread;
    unsigned cpu;
    bool is_sink;
    unsigned capacity;
    unsigned fd_count;
    int *fds;
    int listener;
    int epoll;
    int stop_fd;
    struct sockaddr_un address;
    unsigned char block[BENCH_BLOCK_BYTES];
};

static bool watch(peer *self, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void accept_one(peer *self) {
    int fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (self->fd_count == self->capacity || !watch(self, fd, EPOLLIN | EPOLLET)) {
        (void)close(fd);
        return;
    }
    self->fds[self->fd_count++] = fd;
}

static void serve(peer *self, int fd) {
    for (;;) {
        ssize_t got = recv(fd, self->block, sizeof self->block, MSG_DONTWAIT);
        if (got <= 0) {
            return; /* drained, or the far end is gone: closed at the stop */
        }
        if (!self->is_sink) {
            ssize_t sent = send(fd, self->block, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
            SL_CHECK(sent == got || errno == EPIPE, "the echo does not fit the socket");
        }
        if ((size_t)got < sizeof self->block) {
            return;
        }
    }
}

static void run(void *context) {
    peer *self = context;
    (void)sl_thread_pin(self->cpu);
    struct epoll_event events[BENCH_EVENTS];
    for (;;) {
        int count = epoll_wait(self->epoll, events, (int)BENCH_EVENTS, -1);
        for (int index = 0; index < count; index++) {
            int fd = events[index].data.fd;
            if (fd == self->stop_fd) {
                return;
            }
            if (fd == self->listener) {
                accept_one(self);
            } else {
                serve(self, fd);
            }
        }
    }
}

static void destroy(peer *self) {
    for (unsigned index = 0; index < self->fd_count; index++) {
        (void)close(self->fds[index]);
    }
    int own[] = {self->listener, self->epoll, self->stop_fd};
    for (size_t index = 0; index < SL_ARRAY_COUNT(own); index++) {
        if (own[index] >= 0) {
            (void)close(own[index]);
        }
    }
    (void)unlink(self->address.sun_path);
    free(self->fds);
    free(self);
}

static bool listen_at(peer *self, const char *name) {
    if (strlen(name) >= sizeof self->address.sun_path) {
        return false;
    }
    self->address.sun_family = AF_UNIX;
    memcpy(self->address.sun_path, name, strlen(name) + 1);
    self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self->listener >= 0 && self->epoll >= 0 && self->stop_fd >= 0 &&
           bind(self->listener, (struct sockaddr *)&self->address, sizeof self->address) == 0 &&
           listen(self->listener, 64) == 0 && watch(self, self->listener, EPOLLIN) &&
           watch(self, self->stop_fd, EPOLLIN);
}

int peer_start(const char *name, unsigned connections, bool is_sink, unsigned cpu,
               peer **ret_peer) {
    peer *self = calloc(1, sizeof *self);
    SL_CHECK(self != NULL, "out of memory");
    self->listener = self->epoll = self->stop_fd = -1;
    self->cpu = cpu;
    self->is_sink = is_sink;
    self->capacity = connections;
    self->fds = calloc(connections, sizeof *self->fds);
    SL_CHECK(self->fds != NULL, "out of memory");
    int status = listen_at(self, name) ? sl_thread_start(&self->thread, "bench-peer", run, self)
                                       : SLUICE_EOSLIMIT;
    if (status != SLUICE_OK) {
        destroy(self);
        return status;
    }
    *ret_peer = self;
    return SLUICE_OK;
}

void peer_stop(peer *self) {
    if (self == NULL) {
        return;
    }
    uint64_t one = 1;
    SL_CHECK(write(self->stop_fd, &one, sizeof one) == (ssize_t)sizeof one, "eventfd refused");
    sl_thread_join(&self->thread);
    destroy(self);
}
