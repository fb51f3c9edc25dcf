/*
 * raw_epoll_posix.c - the loop to compare with: what a person writes by hand with edge-triggered
 * epoll.
 *
 * Rules of the loop, chosen to be the fastest straightforward ones on this kernel:
 *  - sockets are used with send/recv (measured 2 to 5 % cheaper than write/read);
 *  - a descriptor is registered once; only a bulk writer asks for EPOLLOUT, because every read by
 *    the far end would otherwise raise an event here;
 *  - after an edge it reads until a short read, which says "drained" without a second call;
 *  - a write is tried at once and waits for EPOLLOUT only after EAGAIN;
 *  - one epoll_wait serves up to LOOPS_EVENTS connections.
 *
 * CANCEL. A readiness loop has nothing in the kernel to cancel: a read that waits is a note in the
 * program, "give what comes to this caller". Withdrawing it means dropping the note; submitting
 * it again means looking whether an edge was seen meanwhile and making a new note. That alone is
 * a few nanoseconds and no program does it alone: the withdrawn caller hears of it in the next
 * turn of the loop. So the unit is: drop the note, one turn (an epoll_wait that does not wait),
 * tell the caller, note the next read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "loops.h"

typedef struct end {
    int fd;
    bool is_client;
    bool is_sampled;
    bool is_readable; /* cancel: an edge was seen and not yet read */
    void *waiter;     /* cancel: who waits for bytes */
    size_t got;       /* bytes of the message or of the stream */
    uint64_t sequence;
    uint64_t sent_ns;
    unsigned char out[BENCH_BYTES];
} end;

typedef struct raw_loop {
    const bench_case *what;
    int epoll;
    unsigned end_count;
    unsigned client_count;
    uint64_t random_state;
    uint64_t cancelled_count;
    end *ends;
    loops_buffers blocks;  /* the first to receive into, the second to send from */
    unsigned char *block;  /* what is received */
    unsigned char *source; /* what a bulk writer sends */
    struct epoll_event events[LOOPS_EVENTS];
} raw_loop;

/* ---- opening --------------------------------------------------------------------------------- */

static int watch(raw_loop *self, end *which, uint32_t interest) {
    struct epoll_event event = {.events = interest | EPOLLET, .data.ptr = which};
    return epoll_ctl(self->epoll, EPOLL_CTL_ADD, which->fd, &event) == 0 ? SLUICE_OK
                                                                         : SLUICE_EOSLIMIT;
}

/* Both ends: a pair of connected Unix sockets is what the engine has, too. */
static int open_connection(raw_loop *self) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return SLUICE_EOSLIMIT;
    }
    for (unsigned side = 0; side < 2; side++) {
        end *added = &self->ends[self->end_count++];
        added->fd = pair[side];
        added->is_client = side == 0;
        bool writes_bulk = self->what->work == BENCH_LOOP_BULK && side == 0;
        if (self->what->work == BENCH_LOOP_CANCEL && side == 1) {
            continue; /* the far end only keeps the near one from reading the end of file */
        }
        int status = watch(self, added, writes_bulk ? EPOLLOUT : EPOLLIN);
        if (status != SLUICE_OK) {
            return status;
        }
        added->waiter = added;
    }
    return SLUICE_OK;
}

static void raw_close(void *context) {
    raw_loop *self = context;
    if (self == NULL) {
        return;
    }
    for (unsigned index = 0; index < self->end_count; index++) {
        (void)close(self->ends[index].fd);
    }
    if (self->epoll >= 0) {
        (void)close(self->epoll);
    }
    free(self->ends);
    loops_buffers_deinit(&self->blocks);
    free(self);
}

static int raw_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    (void)stage;
    raw_loop *self = calloc(1, sizeof *self);
    SL_CHECK(self != NULL, "out of memory");
    self->what = what;
    self->client_count = what->flight;
    self->ends = calloc((size_t)self->client_count * 2, sizeof *self->ends);
    SL_CHECK(self->ends != NULL, "out of memory");
    loops_buffers_init(&self->blocks, 2, LOOPS_BLOCK_BYTES);
    self->block = loops_buffer(&self->blocks, 0);
    self->source = loops_buffer(&self->blocks, 1);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    int status = self->epoll >= 0 ? SLUICE_OK : SLUICE_EOSLIMIT;
    for (unsigned index = 0; index < self->client_count && status == SLUICE_OK; index++) {
        status = open_connection(self);
    }
    *ret_self = self;
    return status;
}

static unsigned wait_for_events(raw_loop *self, int timeout_ms) {
    int count = epoll_wait(self->epoll, self->events, (int)LOOPS_EVENTS, timeout_ms);
    SL_CHECK(count >= 0 || errno == EINTR, "epoll_wait failed");
    return count > 0 ? (unsigned)count : 0;
}

/* ---- ping-pong ------------------------------------------------------------------------------- */

static void send_message(end *from, const unsigned char *bytes) {
    ssize_t sent = send(from->fd, bytes, BENCH_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
    SL_CHECK(sent == (ssize_t)BENCH_BYTES, "a 64-byte send did not go out whole");
}

static void ping(end *client) {
    client->sequence++;
    memcpy(client->out, &client->sequence, sizeof client->sequence);
    client->is_sampled = client->sequence % LOOPS_SAMPLE_EVERY == 0;
    if (client->is_sampled) {
        client->sent_ns = sl_clock_now_ns(sl_clock_system());
    }
    send_message(client, client->out);
}

static void check_pong(end *client, const unsigned char *bytes, sl_histogram *latency) {
    uint64_t sequence;
    memcpy(&sequence, bytes, sizeof sequence);
    SL_CHECK(sequence == client->sequence, "a pong came back changed or out of order");
    if (client->is_sampled) {
        sl_histogram_add(latency, sl_clock_now_ns(sl_clock_system()) - client->sent_ns);
    }
}

/* Reads until the socket is drained. True when a whole message is in `bytes`. */
static bool receive_message(end *to, unsigned char *bytes) {
    for (;;) {
        ssize_t got = recv(to->fd, bytes + to->got, LOOPS_RECEIVE_BYTES - to->got, MSG_DONTWAIT);
        if (got < 0) {
            SL_CHECK(errno == EAGAIN, "a receive failed");
            return false;
        }
        SL_CHECK(got > 0, "the far end closed early");
        to->got += (size_t)got;
        if (to->got >= BENCH_BYTES) {
            SL_CHECK(to->got == BENCH_BYTES, "more than one message in flight");
            to->got = 0;
            return true;
        }
    }
}

static void run_pingpong(raw_loop *self, uint64_t units, sl_histogram *latency) {
    uint64_t started = 0;
    uint64_t done = 0;
    for (unsigned index = 0; index < self->end_count && started < units; index++) {
        if (self->ends[index].is_client) {
            ping(&self->ends[index]);
            started++;
        }
    }
    while (done < units) {
        unsigned count = wait_for_events(self, -1);
        for (unsigned index = 0; index < count; index++) {
            end *ready = self->events[index].data.ptr;
            if (!receive_message(ready, self->block)) {
                continue;
            }
            if (!ready->is_client) {
                send_message(ready, self->block);
                continue;
            }
            check_pong(ready, self->block, latency);
            done++;
            if (started < units) {
                ping(ready);
                started++;
            }
        }
    }
}

/* ---- bulk ------------------------------------------------------------------------------------ */

/* Sends until the socket is full or all is sent. */
static void send_bulk(raw_loop *self, end *from, uint64_t total_bytes) {
    while (from->got < total_bytes) {
        size_t room = LOOPS_BLOCK_BYTES - from->got % LOOPS_BLOCK_BYTES;
        ssize_t sent = send(from->fd, self->source, room, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) {
            SL_CHECK(errno == EAGAIN, "a bulk send failed");
            return;
        }
        from->got += (size_t)sent;
    }
}

static void receive_bulk(raw_loop *self, end *to) {
    for (;;) {
        ssize_t got = recv(to->fd, self->block, LOOPS_BLOCK_BYTES, MSG_DONTWAIT);
        if (got < 0) {
            SL_CHECK(errno == EAGAIN, "a bulk receive failed");
            return;
        }
        to->got += (size_t)got;
        if ((size_t)got < LOOPS_BLOCK_BYTES) {
            return;
        }
    }
}

static void run_bulk(raw_loop *self, uint64_t units) {
    uint64_t total_bytes = units * LOOPS_BLOCK_BYTES;
    end *writer = &self->ends[0];
    end *reader = &self->ends[1];
    writer->got = 0;
    reader->got = 0;
    send_bulk(self, writer, total_bytes);
    while (writer->got < total_bytes || reader->got < total_bytes) {
        unsigned count = wait_for_events(self, -1);
        for (unsigned index = 0; index < count; index++) {
            end *ready = self->events[index].data.ptr;
            if (ready == writer) {
                send_bulk(self, writer, total_bytes);
            } else {
                receive_bulk(self, ready);
            }
        }
    }
}

/* ---- cancel ---------------------------------------------------------------------------------- */

static void run_cancel(raw_loop *self, uint64_t units, sl_histogram *latency) {
    for (uint64_t unit = 0; unit < units; unit++) {
        end *victim = &self->ends[2 * loops_draw(&self->random_state, self->client_count)];
        uint64_t start_ns = 0;
        if (unit % LOOPS_SAMPLE_EVERY == 0) {
            start_ns = sl_clock_now_ns(sl_clock_system());
        }
        void *caller = victim->waiter;
        victim->waiter = NULL;
        unsigned count = wait_for_events(self, 0);
        for (unsigned index = 0; index < count; index++) {
            ((end *)self->events[index].data.ptr)->is_readable = true;
        }
        self->cancelled_count += caller != NULL;
        SL_CHECK(!victim->is_readable, "bytes came from nowhere");
        victim->waiter = caller;
        if (start_ns != 0) {
            sl_histogram_add(latency, sl_clock_now_ns(sl_clock_system()) - start_ns);
        }
    }
}

/* Every read that was withdrawn and noted again still gets its bytes. */
static void check_delivery(raw_loop *self) {
    end *near_end = &self->ends[0];
    unsigned char message[BENCH_BYTES] = {1};
    send_message(&self->ends[1], message);
    SL_CHECK(wait_for_events(self, -1) == 1 && self->events[0].data.ptr == near_end,
             "the reader was not told of its bytes");
    SL_CHECK(receive_message(near_end, self->block), "the reader did not get its bytes");
}

static int raw_run(void *context, uint64_t units, sl_histogram *latency) {
    raw_loop *self = context;
    switch (self->what->work) {
    case BENCH_LOOP_ECHO: run_pingpong(self, units, latency); break;
    case BENCH_LOOP_BULK: run_bulk(self, units); break;
    case BENCH_LOOP_CANCEL:
        run_cancel(self, units, latency);
        check_delivery(self);
        break;
    default: return SLUICE_ENOTSUP;
    }
    return SLUICE_OK;
}

const bench_way loops_raw = {"raw loop", raw_open, raw_run, raw_close, NULL};
