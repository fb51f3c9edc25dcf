/*
 * epoll.c - the Linux backend: workers on epoll, and the life of a stream.
 *
 * start() makes no system call: it puts the handle on worker->runnable if its direction may be
 * ready. flush() tries those; what would have to wait stays with its handle, and wait() goes on
 * with it when epoll reports an edge. So a read that has to wait costs one epoll_wait and one
 * read, and a request is in the kernel only while our own call runs: cancel is exact, nothing is
 * ever in doubt.
 *
 * Everything runs on the worker's thread, except wake(). engine_request_finish() may close the
 * handle it ran on (its last request came back): after each call self->fd is looked at again.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "engine/epoll.h"

#define CALLS engine_epoll_calls

/* For the frames under a system call: each return through one is mispredicted after the kernel has
 * used up the return stack (Safe RET on Zen), so there should be few (docs/bench.md: 2.4 %). */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* ---- streams -------------------------------------------------------------------------------- */

static void finish_failed(engine_epoll_handle *self, engine_request *request, int error) {
    /* A socket's error is told once, to whoever asks first. The end of a stream that broke must
     * not look like a clean one to the other direction. EPIPE is no such error: the peer read no
     * more. */
    if (error != EPIPE && self->error == 0 && engine_epoll_stream_status(error) == SLUICE_ERESET) {
        self->error = error;
    }
    size_t done = request->kind == ENGINE_WRITE ? request->done : 0;
    engine_request_finish(request, engine_epoll_stream_status(error), (uint32_t)error, done, 0);
}

/* The call would have had to wait. Registering may fail for want of memory or watches. */
static void block(engine_epoll_handle *self, engine_request *request,
                  engine_direction direction) {
    if (!self->is_registered) {
        bool is_out = direction == ENGINE_OUT;
        int error =
            engine_epoll_register(engine_epoll_worker_of(self->handle.worker), self, is_out);
        if (error != 0) {
            size_t done = request->kind == ENGINE_WRITE ? request->done : 0;
            engine_request_finish(request, engine_epoll_status(error), (uint32_t)error, done, 0);
            return;
        }
    }
    engine_epoll_set_blocked(self, direction);
}

static void finish_end_of_file(engine_epoll_handle *self, engine_request *request) {
    if (self->error != 0) {
        finish_failed(self, request, self->error);
    } else {
        engine_request_finish(request, SLUICE_EEOF, 0, 0, 0);
    }
}

/* A zero-byte read ends when a read would not wait, and takes nothing: the readiness stays. */
static void wait_readable(engine_epoll_handle *self, engine_request *request) {
    if (self->readiness[ENGINE_IN] != ENGINE_EPOLL_SURE && !self->has_ended[ENGINE_IN]) {
        struct pollfd look = {.fd = self->fd, .events = POLLIN | POLLRDHUP};
        int count = CALLS.poll(&look, 1, 0);
        if (count <= 0) {
            if (count == 0) {
                block(self, request, ENGINE_IN);
            }
            return;
        }
        self->readiness[ENGINE_IN] = ENGINE_EPOLL_SURE;
    }
    engine_request_finish(request, SLUICE_OK, 0, 0, 0);
}

/*
 * One call. A peer may put marks into its stream at which a call ends although more is there: TCP
 * and Unix sockets stop at urgent data (EPOLLPRI tells), Unix sockets also behind descriptors sent
 * along, which the kernel closes here and tells by MSG_CTRUNC (Linux tcp_recvmsg,
 * unix_stream_read_generic). recv where it will do: it costs 2 to 5 % less than read, recvmsg
 * 8 % more (tests/bench, ping-pong).
 */
static ALWAYS_INLINE ssize_t receive(engine_epoll_handle *self, void *buffer, size_t room) {
    if (self->role == ENGINE_EPOLL_PIPE) {
        return CALLS.read(self->fd, buffer, room);
    }
    if (self->is_tcp ||
        !atomic_load_explicit(&engine_epoll_takes_rights, memory_order_relaxed)) {
        return CALLS.recv(self->fd, buffer, room, 0);
    }
    struct iovec vector = {.iov_base = buffer, .iov_len = room};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t count = CALLS.recvmsg(self->fd, &message, 0);
    if (count >= 0 && (message.msg_flags & MSG_CTRUNC) != 0) {
        self->has_marks = true;
    }
    return count;
}

static ALWAYS_INLINE size_t call_room(size_t length) {
    return length < ENGINE_EPOLL_CALL_BYTES ? length : ENGINE_EPOLL_CALL_BYTES;
}

/* Less than there was room for: it was all there was, and what comes later makes an edge. Not so
 * after a hang-up: its edge is behind us and the end of file has yet to be read. A hang-up that
 * came since the last epoll_wait has its own edge waiting there. */
static ALWAYS_INLINE void note_received(engine_epoll_handle *self, size_t count, size_t room) {
    bool is_drained = count < room && self->is_registered && !self->has_ended[ENGINE_IN] &&
                      !self->has_marks;
    self->readiness[ENGINE_IN] = is_drained ? ENGINE_EPOLL_BLOCKED : ENGINE_EPOLL_MAYBE;
}

static ALWAYS_INLINE void stream_read(engine_epoll_handle *self, engine_request *request) {
    if (request->length == 0) {
        wait_readable(self, request);
        return;
    }
    size_t room = call_room(request->length);
    ssize_t count = receive(self, request->buffer, room);
    if (count > 0) {
        note_received(self, (size_t)count, room);
        engine_request_finish(request, SLUICE_OK, 0, (size_t)count, 0);
    } else if (count == 0) {
        self->has_ended[ENGINE_IN] = true;
        finish_end_of_file(self, request);
    } else if (errno == EAGAIN) {
        block(self, request, ENGINE_IN);
    } else if (errno != EINTR) {
        self->has_ended[ENGINE_IN] = true;
        finish_failed(self, request, errno);
    }
}

static int try_read(engine_handle *handle, void *buffer, size_t length, size_t *ret_bytes,
                    uint32_t *ret_os_error) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    size_t room = call_room(length);
    ssize_t count;
    do {
        count = receive(self, buffer, room);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        note_received(self, (size_t)count, room);
        *ret_bytes = (size_t)count;
        return SLUICE_OK;
    }
    int error = count < 0 ? errno : self->error;
    if (count < 0 && error == EAGAIN) {
        if (self->is_registered) {
            engine_epoll_set_blocked(self, ENGINE_IN);
        }
        return SLUICE_EBUSY;
    }
    self->has_ended[ENGINE_IN] = true;
    if (error == 0) {
        return SLUICE_EEOF;
    }
    *ret_os_error = (uint32_t)error;
    int status = engine_epoll_stream_status(error);
    self->error = status == SLUICE_ERESET ? error : self->error; /* as in finish_failed */
    return status;
}

/* What is left of a write, at most ENGINE_EPOLL_CALL_BYTES of it. Returns the number of vectors. */
static ALWAYS_INLINE int gather(const engine_request *request, struct iovec *vectors,
                                size_t *ret_size) {
    size_t skip = request->done;
    size_t room = ENGINE_EPOLL_CALL_BYTES;
    int count = 0;
    for (unsigned i = 0; i < request->buffer_count && room > 0; i++) {
        const engine_buffer *buffer = &request->buffers[i];
        if (skip >= buffer->length) {
            skip -= buffer->length;
            continue;
        }
        size_t size = buffer->length - skip < room ? buffer->length - skip : room;
        /* struct iovec serves both directions and has no const; nothing writes through it here. */
        vectors[count].iov_base = (char *)(uintptr_t)buffer->bytes + skip;
        vectors[count].iov_len = size;
        count++;
        room -= size;
        skip = 0;
    }
    *ret_size = ENGINE_EPOLL_CALL_BYTES - room;
    return count;
}

/* A write to a pipe has no flag against SIGPIPE: worker_open blocks it. */
static ALWAYS_INLINE ssize_t send_vectors(engine_epoll_handle *self, struct iovec *vectors,
                                          int count) {
    if (self->role == ENGINE_EPOLL_PIPE) {
        return count == 1 ? CALLS.write(self->fd, vectors[0].iov_base, vectors[0].iov_len)
                          : CALLS.writev(self->fd, vectors, count);
    }
    if (count == 1) {
        return CALLS.send(self->fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL);
    }
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    return CALLS.sendmsg(self->fd, &message, MSG_NOSIGNAL);
}

static ALWAYS_INLINE void stream_write(engine_epoll_handle *self, engine_request *request) {
    struct iovec vectors[ENGINE_GATHER_MAX];
    size_t size;
    int vector_count = gather(request, vectors, &size);
    ssize_t count = send_vectors(self, vectors, vector_count);
    if (count >= 0) {
        request->done += (size_t)count;
        self->readiness[ENGINE_OUT] = ENGINE_EPOLL_MAYBE;
        if ((size_t)count < size && !self->has_ended[ENGINE_OUT]) {
            /* The buffer is full, and the kernel will say when it is not: each place that cuts a
             * write short has noted that we wait (tcp_sendmsg, sock_alloc_send_pskb:
             * SOCK_NOSPACE). */
            block(self, request, ENGINE_OUT);
        } else if (request->done == request->length) {
            engine_request_finish(request, SLUICE_OK, 0, request->done, 0);
        }
    } else if (errno == EAGAIN) {
        block(self, request, ENGINE_OUT);
    } else if (errno != EINTR) {
        self->has_ended[ENGINE_OUT] = true;
        finish_failed(self, request, errno);
    }
}

/* A pipe's writing end has nothing else to do: it is closed (pipe(7): then its reader sees the end
 * of file). */
static void stream_half_close(engine_epoll_handle *self, engine_request *request) {
    if (self->role == ENGINE_EPOLL_PIPE) {
        engine_epoll_close_fd(self);
        engine_request_finish(request, SLUICE_OK, 0, 0, 0);
    } else if (CALLS.shutdown(self->fd, SHUT_WR) == 0) {
        engine_request_finish(request, SLUICE_OK, 0, 0, 0);
    } else {
        finish_failed(self, request, self->error != 0 ? self->error : errno);
    }
}

/* ---- running requests ----------------------------------------------------------------------- */

/* The first request of a direction, if a system call for it may succeed now. */
static engine_request *runnable_request(engine_epoll_handle *self, engine_direction direction) {
    if (self->fd < 0) {
        return NULL;
    }
    engine_request *request = engine_epoll_head(&self->handle.queue[direction]);
    if (request == NULL) {
        return NULL;
    }
    bool may_run = self->readiness[direction] != ENGINE_EPOLL_BLOCKED ||
                   request->kind == ENGINE_HALF_CLOSE; /* never waits */
    return may_run ? request : NULL;
}

static ALWAYS_INLINE void attempt(engine_epoll_worker *worker, engine_epoll_handle *self,
                                  engine_request *request) {
    switch (request->kind) {
    case ENGINE_READ: stream_read(self, request); break;
    case ENGINE_WRITE: stream_write(self, request); break;
    case ENGINE_HALF_CLOSE: stream_half_close(self, request); break;
    case ENGINE_RECEIVE_FROM: engine_epoll_receive_from(self, request); break;
    case ENGINE_SEND_TO: engine_epoll_send_to(self, request); break;
    case ENGINE_ACCEPT: engine_epoll_accept(worker, self, request); break;
    default: SL_CHECK(false, "no other kind queues on a handle");
    }
}

/* Runs requests until they have to wait or the turn is over. true: some could go on. */
static ALWAYS_INLINE bool run(engine_epoll_worker *worker, engine_epoll_handle *self,
                              engine_direction direction) {
    engine_request *request = runnable_request(self, direction);
    for (unsigned calls = 0; request != NULL && calls < ENGINE_EPOLL_TURN_CALLS; calls++) {
        attempt(worker, self, request);
        request = runnable_request(self, direction);
    }
    return request != NULL;
}

void engine_epoll_make_runnable(engine_epoll_worker *worker, engine_epoll_handle *self) {
    if (!sl_list_is_linked(&self->runnable)) {
        (self->handle.is_preferred ? sl_list_push_front : sl_list_push_back)(&worker->runnable,
                                                                             &self->runnable);
        worker->worker.wants_flush = true;
    }
}

/* Must the handle wait for the next turn? *begin_ns: of this one; 0 = it begins now. */
static bool is_too_late(engine_epoll_worker *worker, engine_epoll_handle *self,
                        uint64_t *begin_ns) {
    if (self->handle.is_preferred) {
        return false;
    }
    uint64_t now_ns = sl_clock_now_ns(worker->worker.engine->clock);
    if (*begin_ns == 0) {
        *begin_ns = now_ns;
    }
    return now_ns - *begin_ns >= ENGINE_TURN_NS;
}

static void flush(engine_worker *base) {
    engine_epoll_worker *worker = engine_epoll_worker_of(base);
    /* One turn each: who is runnable again afterwards waits for the next flush. */
    sl_list turn;
    sl_list_init(&turn);
    sl_list_splice_back(&turn, &worker->runnable);
    sl_list *node;
    uint64_t begin_ns = 0;
    while ((node = sl_list_first(&turn)) != NULL) {
        engine_epoll_handle *self = SL_LIST_ENTRY(node, engine_epoll_handle, runnable);
        if (is_too_late(worker, self, &begin_ns)) {
            /* Those that are left come before those that are runnable again. */
            sl_list_splice_back(&turn, &worker->runnable);
            sl_list_splice_back(&worker->runnable, &turn);
            base->wants_flush = true;
            return;
        }
        sl_list_remove(node);
        if (self->opening == NULL) {
            bool may_go_on_in = run(worker, self, ENGINE_IN);
            bool may_go_on_out = run(worker, self, ENGINE_OUT);
            sl_list_remove(&self->runnable); /* start() may have put it there meanwhile */
            if ((may_go_on_in || may_go_on_out) && self->fd >= 0) {
                engine_epoll_make_runnable(worker, self);
            }
        } else if (self->opening->kind == ENGINE_PAIR) {
            engine_epoll_pair(self);
        } else {
            engine_epoll_connect(worker, self);
        }
    }
}

static void start_opening(engine_epoll_worker *worker, engine_request *request) {
    bool is_ip = request->address.family != ENGINE_ADDRESS_PIPE; /* listen, connect */
    if (request->kind == ENGINE_RESOLVE) {
        engine_resolve_start(request);
    } else if (request->kind == ENGINE_LISTEN && is_ip) {
        if (engine_epoll_lends_port(&request->behalf, request->address.port)) {
            request->detail = ENGINE_DETAIL_RIGHTS;
            engine_request_finish(request, SLUICE_EACCESS, EACCES, 0, 0);
        } else {
            engine_listen_start(request);
        }
    } else if (request->kind == ENGINE_PAIR || is_ip) {
        engine_epoll_handle *self = engine_epoll_handle_of(request->opening[0]);
        engine_epoll_handle_init(self, ENGINE_EPOLL_SOCKET, -1);
        self->opening = request;
        engine_epoll_make_runnable(worker, self);
    } else {
        engine_epoll_path_start(request);
    }
}

static void start(engine_worker *base, engine_request *request) {
    engine_epoll_worker *worker = engine_epoll_worker_of(base);
    if (request->handle == NULL) {
        start_opening(worker, request);
        return;
    }
    engine_epoll_handle *self = engine_epoll_handle_of(request->handle);
    request->done = 0;
    if (self->fd < 0) { /* its pipe is half-closed */
        bool is_again = request->kind == ENGINE_HALF_CLOSE; /* as shutdown(2): no harm */
        engine_request_finish(request, is_again ? SLUICE_OK : SLUICE_EBROKENPIPE,
                              is_again ? 0 : EPIPE, 0, 0);
    } else if (runnable_request(self, engine_kind_direction(request->kind)) != NULL) {
        engine_epoll_make_runnable(worker, self);
    }
}

/* Nothing of ours is in the kernel between two calls, so a request can always be taken back. */
static void cancel(engine_worker *base, engine_request *request) {
    (void)base;
    if (request->handle == NULL) { /* connect, pair */
        engine_epoll_handle *self = engine_epoll_handle_of(request->opening[0]);
        self->opening = NULL;
        sl_list_remove(&self->runnable);
        if (self->fd >= 0) {
            engine_epoll_close_fd(self);
        }
    }
    size_t done = request->kind == ENGINE_WRITE ? request->done : 0;
    engine_request_finish(request, SLUICE_ECANCELED, 0, done, 0);
}

/* ---- waiting -------------------------------------------------------------------------------- */

void engine_epoll_note_events(engine_epoll_handle *self, uint32_t events) {
    const uint32_t ended_in = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    const uint32_t ended_out = EPOLLHUP | EPOLLERR;
    if ((events & EPOLLPRI) != 0) {
        self->has_marks = true;
    }
    if ((events & (EPOLLIN | ended_in)) != 0) {
        self->readiness[ENGINE_IN] = ENGINE_EPOLL_SURE;
        self->has_ended[ENGINE_IN] = self->has_ended[ENGINE_IN] || (events & ended_in) != 0;
    }
    if ((events & (EPOLLOUT | ended_out)) != 0) {
        self->readiness[ENGINE_OUT] = ENGINE_EPOLL_SURE;
        self->has_ended[ENGINE_OUT] = self->has_ended[ENGINE_OUT] || (events & ended_out) != 0;
    }
}

static ALWAYS_INLINE void on_events(engine_epoll_worker *worker, engine_epoll_handle *self,
                                    uint32_t events, uint64_t *begin_ns) {
    if (self->fd < 0) {
        return; /* closed while an earlier event of this batch was worked on */
    }
    if (self->opening != NULL) {
        engine_epoll_connect_event(self, events);
        return;
    }
    engine_epoll_note_events(self, events);
    if (events == EPOLLOUT && engine_epoll_head(&self->handle.queue[ENGINE_OUT]) == NULL) {
        engine_epoll_set_wants_out(self, false);
        return;
    }
    if (is_too_late(worker, self, begin_ns)) {
        engine_epoll_make_runnable(worker, self);
        return;
    }
    bool may_go_on =
        self->readiness[ENGINE_IN] == ENGINE_EPOLL_SURE && run(worker, self, ENGINE_IN);
    if (self->readiness[ENGINE_OUT] == ENGINE_EPOLL_SURE) {
        may_go_on = run(worker, self, ENGINE_OUT) || may_go_on;
    }
    if (may_go_on && self->fd >= 0) {
        engine_epoll_make_runnable(worker, self);
    }
}

static int timeout_ms(engine_epoll_worker *worker, uint64_t deadline_ns) {
    if (deadline_ns == 0 || !sl_list_is_empty(&worker->runnable)) {
        return 0;
    }
    if (deadline_ns == SL_CLOCK_NEVER) {
        return -1;
    }
    uint64_t now_ns = sl_clock_now_ns(worker->worker.engine->clock);
    if (deadline_ns <= now_ns) {
        return 0;
    }
    uint64_t left_ms = (deadline_ns - now_ns - 1) / SL_NS_PER_MS + 1; /* rounded up: never early */
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

static void wait_for_events(engine_worker *base, uint64_t deadline_ns) {
    engine_epoll_worker *worker = engine_epoll_worker_of(base);
    struct epoll_event events[ENGINE_EPOLL_EVENTS];
    int count = CALLS.epoll_wait(worker->epoll_fd, events, ENGINE_EPOLL_EVENTS,
                                 timeout_ms(worker, deadline_ns));
    uint64_t begin_ns = 0;
    for (int i = 0; i < count; i++) {
        void *data = events[i].data.ptr;
        if (data == NULL) { /* the eventfd, which only had to end the wait */
            continue;
        }
        engine_epoll_handle *watched = engine_epoll_peer_of(data);
        if (watched == NULL) {
            on_events(worker, data, events[i].events, &begin_ns);
        } else {
            engine_epoll_peer_ended(watched);
        }
    }
}

/* Every write makes an edge, read or not; the counter would take 2^64 - 2 of them (eventfd(2)). */
static void wake(engine_worker *base) {
    const uint64_t one = 1;
    (void)!CALLS.write(engine_epoll_worker_of(base)->wake_fd, &one, sizeof(one));
}

/* ---- start-up and the end ------------------------------------------------------------------- */

static void block_sigpipe(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int worker_open(engine_worker *base) {
    engine_epoll_worker *worker = engine_epoll_worker_of(base);
    sl_list_init(&worker->runnable);
    worker->nobody = sl_nobody_find();
    worker->epoll_fd = CALLS.epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll_fd < 0) {
        return engine_epoll_status(errno);
    }
    int error = 0;
    worker->wake_fd = CALLS.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake_fd < 0) {
        error = errno;
    } else {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
        if (CALLS.epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) != 0) {
            error = errno;
            (void)CALLS.close(worker->wake_fd);
        }
    }
    if (error != 0) {
        (void)CALLS.close(worker->epoll_fd);
        return engine_epoll_status(error);
    }
    block_sigpipe();
    return SLUICE_OK;
}

/* SIGPIPE stays blocked: one may be pending since a write to a broken pipe. */
static void worker_close(engine_worker *base) {
    engine_epoll_worker *worker = engine_epoll_worker_of(base);
    (void)CALLS.close(worker->wake_fd);
    (void)CALLS.close(worker->epoll_fd);
}

static int engine_open(engine *e) {
    (void)e;
    engine_epoll_buffers_open();
    return SLUICE_OK;
}

static void engine_close_nothing(engine *e) {
    (void)e;
}

static const engine_ops ops = {
    .engine_size = sizeof(engine),
    .worker_size = sizeof(engine_epoll_worker),
    .handle_size = sizeof(engine_epoll_handle),
    .request_size = sizeof(engine_request),
    .endpoint_size = sizeof(engine_epoll_endpoint),
    .handle_bytes = ENGINE_EPOLL_HANDLE_BYTES,
    .engine_open = engine_open,
    .engine_close = engine_close_nothing,
    .worker_open = worker_open,
    .worker_close = worker_close,
    .wake = wake,
    .flush = flush,
    .wait = wait_for_events,
    .start = start,
    .cancel = cancel,
    .listen = engine_epoll_tcp_listen,
    .udp_open = engine_epoll_udp_open,
    .local_address = engine_epoll_local_address,
    .peer_identity = engine_epoll_peer_identity,
    .peer_is_among = engine_epoll_peer_is_among,
    .own_identity = engine_epoll_own_identity,
    .watch_peer = engine_epoll_watch_peer,
    .peer_is_lesser = engine_epoll_peer_is_lesser,
    .peer_rights = engine_epoll_peer_rights,
    .endpoint_create = engine_epoll_endpoint_create,
    .endpoint_destroy = engine_epoll_endpoint_destroy,
    .endpoint_join = engine_epoll_endpoint_join,
    .try_read = try_read,
    .sends_more = engine_epoll_sends_more,
    .unsent = engine_epoll_unsent,
    .receive_step = engine_epoll_receive_step,
    .widen = engine_epoll_widen,
    .closing = engine_epoll_closing,
    .release = engine_epoll_release,
};

const engine_backend engine_backend_epoll = {
    .name = "epoll",
    .is_threaded = true,
    .ops = &ops,
};
