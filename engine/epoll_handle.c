/*
 * epoll_handle.c - the life of a descriptor: made a handle, registered with epoll, closed.
 *
 * A descriptor is registered once, edge-triggered, and belongs to its handle until it is released;
 * the ends of an anonymous pipe only when a call would have to wait: often what is read has just
 * been written, and each write would make an event that nobody waits for. The worker's thread.
 */
#include <errno.h>

#include "base/own_fds.h"
#include "engine/epoll.h"

#define CALLS engine_epoll_calls

void engine_epoll_handle_init(engine_epoll_handle *self, engine_epoll_role role, int fd) {
    sl_list_init(&self->runnable);
    self->opening = NULL;
    self->fd = fd;
    self->role = role;
    self->readiness[ENGINE_IN] = ENGINE_EPOLL_MAYBE;
    self->readiness[ENGINE_OUT] = ENGINE_EPOLL_MAYBE;
    self->has_ended[ENGINE_IN] = false;
    self->has_ended[ENGINE_OUT] = false;
    self->has_marks = false;
    self->is_registered = false;
    self->wants_out = false;
    self->is_tcp = false;
    self->buffers = ENGINE_EPOLL_FIXED;
    self->error = 0;
    self->held_fd = -1;
    self->peer_fd = -1;
    self->more = NULL;
    self->name = NULL;
    self->member = NULL;
}

static struct epoll_event interest(engine_epoll_handle *self) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET,
                                .data.ptr = self};
    if (self->wants_out) {
        event.events |= EPOLLOUT;
    }
    return event;
}

int engine_epoll_register(engine_epoll_worker *worker, engine_epoll_handle *self, bool wants_out) {
    self->wants_out = wants_out;
    struct epoll_event event = interest(self);
    if (CALLS.epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, self->fd, &event) != 0) {
        return errno;
    }
    /* It reports what can be read already, so a read need not guess. */
    self->is_registered = true;
    self->readiness[ENGINE_IN] = ENGINE_EPOLL_BLOCKED;
    return 0;
}

/*
 * Writing edges are asked for when a write had to wait, and given up when one comes that nobody
 * waits for. Always asking would wake the worker each time a peer reads: a Unix or UDP socket
 * reports an edge for every buffer that is freed (unix_write_space, sock_def_write_space). A
 * ping-pong between two processors then took up to 0.9 more epoll_waits per round trip (strace -c).
 * TCP and pipes report only that a full buffer has room again. EPOLL_CTL_MOD looks at the
 * descriptor anew (epoll_ctl(2), Linux ep_modify), so no edge is lost.
 */
void engine_epoll_set_wants_out(engine_epoll_handle *self, bool wants_out) {
    self->wants_out = wants_out;
    struct epoll_event event = interest(self);
    engine_epoll_worker *worker = engine_epoll_worker_of(self->handle.worker);
    int result = CALLS.epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, self->fd, &event);
    SL_CHECK(result == 0, "changing a registration that exists needs nothing and cannot fail");
}

void engine_epoll_set_blocked(engine_epoll_handle *self, engine_direction direction) {
    self->readiness[direction] = ENGINE_EPOLL_BLOCKED;
    if (direction == ENGINE_OUT && !self->wants_out) {
        engine_epoll_set_wants_out(self, true);
    }
}

/* close(2) alone would leave the registration behind while a child process between fork and exec
 * still holds a copy of the descriptor, and events would go on to name this handle (epoll(7),
 * questions). */
void engine_epoll_close_fd(engine_epoll_handle *self) {
    if (self->is_registered) {
        engine_epoll_worker *worker = engine_epoll_worker_of(self->handle.worker);
        (void)CALLS.epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, self->fd, NULL);
        self->is_registered = false;
    }
    if (self->handle.worker->engine->may_fork) {
        sl_own_fds_remove(self->fd);
    }
    (void)CALLS.close(self->fd);
    self->fd = -1;
}

/*
 * close(2) gives up our copy of a descriptor, and a child of the program's fork may have another:
 * the peer would go on to see a connection. shutdown(2) is for all copies. Only where the program
 * may fork, and only for pipes: of bytes that nobody has read, close tells the peer by a reset
 * (Linux unix_release_sock, tcp_close), and shutdown first lets it see a plain end of file before
 * that.
 */
static void end_for_copies(engine_worker *worker, const engine_epoll_handle *self) {
    if (worker->engine->may_fork && self->role == ENGINE_EPOLL_SOCKET && !self->is_tcp) {
        (void)CALLS.shutdown(self->fd, SHUT_RDWR); /* fails if the peer has gone: then it is over */
    }
}

void engine_epoll_release(engine_worker *worker, engine_handle *handle) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    sl_list_remove(&self->runnable);
    engine_epoll_forget_peer(self);
    if (self->member != NULL) {
        engine_epoll_member_leave(self); /* first: the acceptor writes to our eventfd until then */
        self->member = NULL;
    }
    if (self->held_fd >= 0) {
        (void)CALLS.close(self->held_fd);
        self->held_fd = -1;
    }
    engine_epoll_close_more(self);
    if (self->fd >= 0) { /* else a pipe that was half-closed */
        end_for_copies(worker, self);
        engine_epoll_close_fd(self);
    }
    engine_epoll_path_release(self);
}
