/*
 * peer_win.c - the echo thread on one completion port.
 *
 * One instance of the pipe waits for a client at a time; when it has one, the next is made. Owned
 * by the thread that starts it; the peer's thread alone touches the connections. A packet with
 * key 0 ends it.
 */
#include "peer.h"

#include "pipe_win.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/thread.h"
#include "bench.h"

typedef struct connection {
    HANDLE pipe;
    OVERLAPPED in;  /* connect, read */
    OVERLAPPED out; /* echo */
    bool is_connected;
    unsigned char *block;
} connection;

struct peer {
    sl_thread thread;
    unsigned cpu;
    bool is_sink;
    HANDLE port;
    unsigned capacity;
    unsigned count;
    unsigned outstanding;
    connection *connections;
    const char *name;
    sl_event listening; /* the first instance exists */
};

static void read_next(peer *self, connection *which) {
    memset(&which->in, 0, sizeof which->in);
    BOOL done = ReadFile(which->pipe, which->block, BENCH_BLOCK_BYTES, NULL, &which->in);
    if (done || GetLastError() == ERROR_IO_PENDING) {
        self->outstanding++;
    }
}

/* The next instance waits for a client. */
static void listen_next(peer *self) {
    if (self->count == self->capacity) {
        return;
    }
    connection *next = &self->connections[self->count];
    next->block = malloc(BENCH_BLOCK_BYTES);
    SL_CHECK(next->block != NULL, "out of memory");
    next->pipe = bench_pipe_create(self->name, self->port, (ULONG_PTR)next);
    SL_CHECK(next->pipe != INVALID_HANDLE_VALUE, "no instance of the peer's pipe");
    self->count++;
    BOOL connected = ConnectNamedPipe(next->pipe, &next->in);
    if (!connected && GetLastError() == ERROR_PIPE_CONNECTED) {
        next->is_connected = true;
        read_next(self, next);
        listen_next(self);
        return;
    }
    SL_CHECK(connected || GetLastError() == ERROR_IO_PENDING, "ConnectNamedPipe failed");
    self->outstanding++;
}

static void on_packet(peer *self, const OVERLAPPED_ENTRY *entry) {
    connection *which = (connection *)entry->lpCompletionKey;
    self->outstanding--;
    if (entry->lpOverlapped->Internal != 0) {
        return; /* the client is gone, or the peer stops */
    }
    if (!which->is_connected) {
        which->is_connected = true;
        read_next(self, which);
        listen_next(self);
        return;
    }
    if (entry->lpOverlapped == &which->out) {
        read_next(self, which);
        return;
    }
    if (self->is_sink) {
        read_next(self, which);
        return;
    }
    DWORD bytes = entry->dwNumberOfBytesTransferred;
    BOOL done = WriteFile(which->pipe, which->block, bytes, NULL, &which->out);
    if (done || GetLastError() == ERROR_IO_PENDING) {
        self->outstanding++;
    }
}

static void cancel_all(peer *self) {
    for (unsigned index = 0; index < self->count; index++) {
        (void)CancelIoEx(self->connections[index].pipe, &self->connections[index].in);
        (void)CancelIoEx(self->connections[index].pipe, &self->connections[index].out);
    }
}

static void run(void *context) {
    peer *self = context;
    (void)sl_thread_pin(self->cpu);
    listen_next(self);
    sl_event_set(&self->listening);
    OVERLAPPED_ENTRY entries[BENCH_EVENTS];
    bool stopping = false;
    while (!stopping || self->outstanding > 0) {
        ULONG count = 0;
        BOOL taken =
            GetQueuedCompletionStatusEx(self->port, entries, BENCH_EVENTS, &count, INFINITE, FALSE);
        SL_CHECK(taken, "GetQueuedCompletionStatusEx failed");
        for (ULONG at = 0; at < count; at++) {
            if (entries[at].lpCompletionKey == 0) {
                stopping = true;
                cancel_all(self);
            } else {
                on_packet(self, &entries[at]);
            }
        }
    }
    for (unsigned index = 0; index < self->count; index++) {
        (void)CloseHandle(self->connections[index].pipe);
        free(self->connections[index].block);
    }
}

int peer_start(const char *name, unsigned connections, bool is_sink, unsigned cpu,
               peer **ret_peer) {
    peer *self = calloc(1, sizeof *self);
    SL_CHECK(self != NULL, "out of memory");
    self->name = name;
    self->cpu = cpu;
    self->is_sink = is_sink;
    self->capacity = connections;
    self->connections = calloc(connections, sizeof *self->connections);
    SL_CHECK(self->connections != NULL, "out of memory");
    self->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    SL_CHECK(self->port != NULL, "no completion port");
    SL_CHECK(sl_event_init(&self->listening) == SLUICE_OK, "no event");
    int status = sl_thread_start(&self->thread, "bench-peer", run, self);
    if (status != SLUICE_OK) {
        sl_event_deinit(&self->listening);
        (void)CloseHandle(self->port);
        free(self->connections);
        free(self);
        return status;
    }
    (void)sl_event_wait_until(&self->listening, SL_CLOCK_NEVER);
    *ret_peer = self;
    return SLUICE_OK;
}

void peer_stop(peer *self) {
    if (self == NULL) {
        return;
    }
    SL_CHECK(PostQueuedCompletionStatus(self->port, 0, 0, NULL), "the port refused the stop");
    sl_thread_join(&self->thread);
    sl_event_deinit(&self->listening);
    (void)CloseHandle(self->port);
    free(self->connections);
    free(self);
}
