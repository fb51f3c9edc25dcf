/*
 * raw_iocp_win.c - the loop to compare with: what a person writes by hand with overlapped I/O, one
 * completion port and one thread.
 *
 * OVERLAPPEDs live in the connections, one per direction (the bulk writer has several); the
 * completion key is the connection; GetQueuedCompletionStatusEx takes up to LOOPS_EVENTS packets
 * per call. As in the engine, hEvent is NULL and completions are not skipped on success
 * (WINDOWS-IO: its corners differ by handle and driver), so that every request has its packet on
 * both sides.
 *
 * CANCEL: CancelIoEx of the read's OVERLAPPED, its packet dequeued, the read issued again.
 */
#include "pipe_win.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "loops.h"

#define STATUS_OF_CANCELLED ((ULONG_PTR)0xC0000120u) /* STATUS_CANCELLED */

typedef struct end {
    HANDLE pipe;
    OVERLAPPED read;
    OVERLAPPED write[LOOPS_BULK_WRITES];
    bool is_client;
    bool is_sampled;
    bool is_writing; /* `out` is the kernel's */
    bool is_due;     /* a message waits in `in` for that to end */
    size_t got;
    uint64_t sequence;
    uint64_t sent_ns;
    unsigned char out[BENCH_BYTES];
    unsigned char *in;
    size_t in_bytes;
} end;

typedef struct raw_loop {
    const bench_case *what;
    HANDLE port;
    unsigned client_count;
    unsigned end_count;
    unsigned outstanding;  /* requests whose packet has not come */
    end *ends;             /* clients first, then their far ends */
    loops_buffers buffers; /* of the ends */
    loops_buffers source;  /* what the bulk writer sends */
    uint64_t random_state;
    uint64_t started;
    uint64_t done;
    uint64_t units;
    sl_histogram *latency;
    OVERLAPPED_ENTRY entries[LOOPS_EVENTS];
} raw_loop;

/* ---- requests -------------------------------------------------------------------------------- */

static unsigned dequeue(raw_loop *self) {
    ULONG count = 0;
    BOOL taken = GetQueuedCompletionStatusEx(self->port, self->entries, LOOPS_EVENTS, &count,
                                             INFINITE, FALSE);
    SL_CHECK(taken, "GetQueuedCompletionStatusEx failed");
    self->outstanding -= count;
    return count;
}

static end *end_of(const OVERLAPPED_ENTRY *entry) {
    return (end *)entry->lpCompletionKey;
}

static bool is_read(const OVERLAPPED_ENTRY *entry) {
    return entry->lpOverlapped == &end_of(entry)->read;
}

static void issue_read(raw_loop *self, end *from) {
    void *buffer = from->in + from->got;
    BOOL done =
        ReadFile(from->pipe, buffer, (DWORD)(from->in_bytes - from->got), NULL, &from->read);
    SL_CHECK(done || GetLastError() == ERROR_IO_PENDING, "ReadFile failed");
    self->outstanding++;
}

static void issue_write(raw_loop *self, end *to, const void *bytes, DWORD count, OVERLAPPED *how) {
    BOOL done = WriteFile(to->pipe, bytes, count, NULL, how);
    SL_CHECK(done || GetLastError() == ERROR_IO_PENDING, "WriteFile failed");
    self->outstanding++;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static bool open_pair(raw_loop *self, unsigned index) {
    static unsigned serial;
    end *near_end = &self->ends[index];
    near_end->is_client = true;
    char name[128], purpose[32];
    (void)snprintf(purpose, sizeof purpose, "raw-%u", serial++);
    loops_pipe_name(name, sizeof name, purpose);
    end *far_end = &self->ends[self->client_count + index];
    far_end->pipe = loops_pipe_create(name, self->port, (ULONG_PTR)far_end);
    if (far_end->pipe == INVALID_HANDLE_VALUE) {
        return false;
    }
    near_end->pipe = loops_pipe_open(name, self->port, (ULONG_PTR)near_end);
    if (near_end->pipe == INVALID_HANDLE_VALUE) {
        return false;
    }
    BOOL connected = ConnectNamedPipe(far_end->pipe, &far_end->read);
    return !connected && GetLastError() == ERROR_PIPE_CONNECTED; /* and so without a packet */
}

/* Cancels what is pending, takes every packet, and only then closes. */
static void raw_close(void *context) {
    raw_loop *self = context;
    if (self == NULL) {
        return;
    }
    for (unsigned index = 0; index < self->client_count * 2; index++) {
        if (self->ends[index].pipe != INVALID_HANDLE_VALUE) {
            (void)CancelIoEx(self->ends[index].pipe, &self->ends[index].read);
        }
    }
    while (self->outstanding > 0) {
        (void)dequeue(self);
    }
    for (unsigned index = 0; index < self->client_count * 2; index++) {
        if (self->ends[index].pipe != INVALID_HANDLE_VALUE) {
            (void)CloseHandle(self->ends[index].pipe);
        }
    }
    (void)CloseHandle(self->port);
    free(self->ends);
    loops_buffers_deinit(&self->buffers);
    loops_buffers_deinit(&self->source);
    free(self);
}

static void allocate(raw_loop *self) {
    bench_work work = self->what->work;
    size_t in_bytes = work == BENCH_LOOP_BULK     ? LOOPS_BLOCK_BYTES
                      : work == BENCH_LOOP_CANCEL ? BENCH_BYTES
                                                  : LOOPS_RECEIVE_BYTES;
    self->client_count = self->what->flight;
    self->ends = calloc((size_t)self->client_count * 2, sizeof *self->ends);
    SL_CHECK(self->ends != NULL, "out of memory");
    loops_buffers_init(&self->buffers, (size_t)self->client_count * 2, in_bytes);
    loops_buffers_init(&self->source, 1, LOOPS_BLOCK_BYTES);
    for (unsigned index = 0; index < self->client_count * 2; index++) {
        self->ends[index].pipe = INVALID_HANDLE_VALUE;
        self->ends[index].in = loops_buffer(&self->buffers, index);
        self->ends[index].in_bytes = in_bytes;
    }
}

static int raw_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    (void)stage;
    raw_loop *self = calloc(1, sizeof *self);
    SL_CHECK(self != NULL, "out of memory");
    self->what = what;
    allocate(self);
    self->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    SL_CHECK(self->port != NULL, "no completion port");
    self->end_count = self->client_count * 2;
    for (unsigned index = 0; index < self->client_count; index++) {
        if (!open_pair(self, index)) {
            raw_close(self);
            return SLUICE_EOSLIMIT;
        }
    }
    for (unsigned index = 0; index < self->end_count; index++) {
        bool is_client = index < self->client_count;
        bench_work work = what->work;
        if (work == BENCH_LOOP_ECHO || (work == BENCH_LOOP_CANCEL) == is_client) {
            issue_read(self, &self->ends[index]);
        }
    }
    *ret_self = self;
    return SLUICE_OK;
}

/* ---- ping-pong ------------------------------------------------------------------------------- */

static void send_out(raw_loop *self, end *from) {
    from->is_writing = true;
    issue_write(self, from, from->out, BENCH_BYTES, &from->write[0]);
}

static void ping(raw_loop *self, end *client) {
    self->started++;
    client->sequence++;
    memcpy(client->out, &client->sequence, sizeof client->sequence);
    client->is_sampled = client->sequence % LOOPS_SAMPLE_EVERY == 0;
    if (client->is_sampled) {
        client->sent_ns = sl_clock_now_ns(sl_clock_system());
    }
    send_out(self, client);
}

/* A whole message has arrived and `out` is free: the server sends it back, the client begins
 * anew. */
static void handle_message(raw_loop *self, end *to) {
    to->is_due = false;
    to->got = 0;
    if (!to->is_client) {
        memcpy(to->out, to->in, BENCH_BYTES);
        send_out(self, to);
    } else if (self->started < self->units) {
        ping(self, to);
    }
    issue_read(self, to);
}

static void check_pong(raw_loop *self, end *client) {
    uint64_t sequence;
    memcpy(&sequence, client->in, sizeof sequence);
    SL_CHECK(sequence == client->sequence, "a pong came back changed or out of order");
    if (client->is_sampled) {
        sl_histogram_add(self->latency, sl_clock_now_ns(sl_clock_system()) - client->sent_ns);
    }
    self->done++;
}

static void on_read(raw_loop *self, end *to, size_t bytes) {
    to->got += bytes;
    if (to->got < BENCH_BYTES) {
        issue_read(self, to);
        return;
    }
    SL_CHECK(to->got == BENCH_BYTES, "more than one message in flight");
    if (to->is_client) {
        check_pong(self, to);
    }
    if (to->is_writing) {
        to->is_due = true; /* its last write's packet is not here yet */
    } else {
        handle_message(self, to);
    }
}

static void on_written(raw_loop *self, end *from) {
    from->is_writing = false;
    if (from->is_due) {
        handle_message(self, from);
    }
}

static bool is_idle(const raw_loop *self) {
    for (unsigned index = 0; index < self->end_count; index++) {
        if (self->ends[index].is_writing || self->ends[index].is_due) {
            return false;
        }
    }
    return true;
}

static void run_pingpong(raw_loop *self) {
    for (unsigned index = 0; index < self->client_count && self->started < self->units; index++) {
        ping(self, &self->ends[index]);
    }
    while (self->done < self->units || !is_idle(self)) {
        unsigned count = dequeue(self);
        for (unsigned at = 0; at < count; at++) {
            const OVERLAPPED_ENTRY *entry = &self->entries[at];
            SL_CHECK(entry->lpOverlapped->Internal == 0, "a transfer failed");
            if (is_read(entry)) {
                on_read(self, end_of(entry), entry->dwNumberOfBytesTransferred);
            } else {
                on_written(self, end_of(entry));
            }
        }
    }
}

/* ---- bulk ------------------------------------------------------------------------------------ */

static void run_bulk(raw_loop *self) {
    uint64_t total_bytes = self->units * LOOPS_BLOCK_BYTES;
    end *writer = &self->ends[0];
    end *reader = &self->ends[1];
    uint64_t received_bytes = 0;
    while (self->started < self->units && self->started < LOOPS_BULK_WRITES) {
        OVERLAPPED *how = &writer->write[self->started];
        issue_write(self, writer, self->source.first, LOOPS_BLOCK_BYTES, how);
        self->started++;
    }
    while (self->done < self->units || received_bytes < total_bytes) {
        unsigned count = dequeue(self);
        for (unsigned at = 0; at < count; at++) {
            const OVERLAPPED_ENTRY *entry = &self->entries[at];
            SL_CHECK(entry->lpOverlapped->Internal == 0, "a bulk transfer failed");
            if (is_read(entry)) {
                received_bytes += entry->dwNumberOfBytesTransferred;
                issue_read(self, reader);
                continue;
            }
            self->done++;
            if (self->started < self->units) {
                issue_write(self, writer, self->source.first, LOOPS_BLOCK_BYTES,
                            entry->lpOverlapped);
                self->started++;
            }
        }
    }
}

/* ---- cancel ---------------------------------------------------------------------------------- */

static void cancel_one(raw_loop *self, end *victim) {
    BOOL asked = CancelIoEx(victim->pipe, &victim->read);
    SL_CHECK(asked, "CancelIoEx failed");
    unsigned count = dequeue(self);
    SL_CHECK(count == 1 && end_of(&self->entries[0]) == victim, "another read ended");
    SL_CHECK(victim->read.Internal == STATUS_OF_CANCELLED, "the cancelled read went on");
    issue_read(self, victim);
}

static void run_cancel(raw_loop *self) {
    for (uint64_t unit = 0; unit < self->units; unit++) {
        end *victim = &self->ends[loops_draw(&self->random_state, self->client_count)];
        if (unit % LOOPS_SAMPLE_EVERY != 0) {
            cancel_one(self, victim);
            continue;
        }
        uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
        cancel_one(self, victim);
        sl_histogram_add(self->latency, sl_clock_now_ns(sl_clock_system()) - start_ns);
    }
}

/* A read that was cancelled and issued again still gets its bytes. */
static void check_delivery(raw_loop *self) {
    end *near_end = &self->ends[0];
    end *far_end = &self->ends[self->client_count];
    issue_write(self, far_end, far_end->out, BENCH_BYTES, &far_end->write[0]);
    for (unsigned seen = 0; seen < 2;) {
        unsigned count = dequeue(self);
        for (unsigned at = 0; at < count; at++) {
            const OVERLAPPED_ENTRY *entry = &self->entries[at];
            SL_CHECK(entry->lpOverlapped == &near_end->read || end_of(entry) == far_end,
                     "another request ended");
            SL_CHECK(entry->dwNumberOfBytesTransferred == BENCH_BYTES,
                     "the reader did not get its bytes");
            seen++;
        }
    }
    issue_read(self, near_end);
}

static int raw_run(void *context, uint64_t units, sl_histogram *latency) {
    raw_loop *self = context;
    self->units = units;
    self->started = 0;
    self->done = 0;
    self->latency = latency;
    switch (self->what->work) {
    case BENCH_LOOP_ECHO: run_pingpong(self); break;
    case BENCH_LOOP_BULK: run_bulk(self); break;
    case BENCH_LOOP_CANCEL:
        run_cancel(self);
        check_delivery(self);
        break;
    default: return SLUICE_ENOTSUP;
    }
    return SLUICE_OK;
}

const bench_way loops_raw = {"raw loop", raw_open, raw_run, raw_close, NULL};
