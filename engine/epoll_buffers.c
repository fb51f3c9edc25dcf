/*
 * epoll_buffers.c - what the kernel may hold for a handle, and how it is kept to what was paid for.
 *
 * Receiving: the kernel lets a TCP socket's buffer grow by itself, to 6 MiB and more (tcp(7),
 * tcp_rmem), and its peer fills it. So it starts small and is locked (SO_BUF_LOCK, since Linux
 * 5.14), and becomes larger only when its owner says so (engine_widen): first to what a program may
 * ask for by itself, then left to the kernel, for what that may make of it at most. A small one
 * costs bulk on one machine four fifths of its rate, and allows a far peer 16 KiB a round trip; the
 * first step costs nothing on one machine (docs/design.md has the figures). The size is set before
 * the socket connects or listens, so that no peer is ever offered more; and unlocked until then, or
 * the window could never grow: its scale is in the first segment (tcp_select_initial_window).
 * Sending: the kernel's buffer keeps its own size. A small one makes bulk a hundred times slower
 * where segments are large (measured: 3 MB/s through loopback, whose segments have 64 KiB). So it
 * is asked what it holds (SO_MEMINFO, since Linux 4.12).
 * A Unix socket's bytes are charged to their sender until they are read (unix_stream_sendmsg in
 * Linux). A pair is a pipe of 16 pages: pipe(7). The worker's thread.
 */
#include <fcntl.h>
#include <netinet/tcp.h>

#include "engine/epoll.h"

#define CALLS engine_epoll_calls

#define SMALL_BYTES 16384  /* the kernel doubles what it is told: socket(7) */
#define MORE_BYTES  212992 /* net.core.rmem_max as the kernel comes: nobody gets more by asking */

/* The price of the first step: what is doubled, and the segment that may lie above it (Linux
 * tcp_try_rmem_schedule); less the smallest size, which the handle has paid for. */
#define MORE_PRICE (2u * (MORE_BYTES - SMALL_BYTES) + 65536u)

/* That of the second: the third figure of tcp_rmem, which the kernel never passes by itself (Linux
 * tcp_rcv_space_adjust, tcp_clamp_window). In one step it may be ten times what it was, so looking
 * how large it has become would be too late. A service may not see /proc/sys (ProcSubset in
 * systemd.exec(5)); then it is the most that a kernel was seen with, 6.18; others have 6 MiB. */
#define TCP_RMEM         "/proc/sys/net/ipv4/tcp_rmem"
#define TCP_RMEM_UNKNOWN (32u << 20)
static sl_atomic_u32 receive_max = TCP_RMEM_UNKNOWN;

_Static_assert(ENGINE_EPOLL_HANDLE_BYTES >= 2 * SMALL_BYTES + 4096, "the handle and its buffer");

/* From linux/socket.h and linux/sock_diag.h, which may be older than the kernel. */
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#define LOCK_RECEIVE 2
enum { MEMINFO_WMEM_ALLOC = 2, MEMINFO_WMEM_QUEUED = 5, MEMINFO_COUNT = 9 };

static bool set_lock(int fd, int locks) {
    return engine_epoll_set_option(fd, SOL_SOCKET, SO_BUF_LOCK, locks) == 0;
}

/* "4096 131072 6291456" */
static uint32_t third_figure(const char *text, size_t length) {
    uint64_t figure = 0;
    unsigned count = 0;
    for (size_t i = 0; i < length && figure < INT32_MAX; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (is_digit && count == 2) {
            figure = figure * 10 + (uint64_t)(text[i] - '0');
        }
        count += !is_digit && i > 0 && text[i - 1] >= '0' && text[i - 1] <= '9';
    }
    return figure > 0 && figure < INT32_MAX ? (uint32_t)figure : TCP_RMEM_UNKNOWN;
}

void engine_epoll_buffers_open(void) {
    char text[64];
    int fd = CALLS.openat(AT_FDCWD, TCP_RMEM, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        ssize_t length = CALLS.read(fd, text, sizeof(text));
        (void)CALLS.close(fd);
        if (length > 0) {
            atomic_store_explicit(&receive_max, third_figure(text, (size_t)length),
                                  memory_order_relaxed);
        }
    }
}

void engine_epoll_buffers_narrow(int fd) {
    if (set_lock(fd, 0)) { /* an older kernel could not be unlocked again: it keeps its own size */
        (void)engine_epoll_set_option(fd, SOL_SOCKET, SO_RCVBUF, SMALL_BYTES);
        (void)set_lock(fd, 0);
    }
}

void engine_epoll_buffers_lock(engine_epoll_handle *self) {
    self->buffers = set_lock(self->fd, LOCK_RECEIVE) ? ENGINE_EPOLL_SMALL : ENGINE_EPOLL_FIXED;
}

uint32_t engine_epoll_receive_step(engine_handle *handle) {
    const engine_epoll_handle *self = engine_epoll_handle_of(handle);
    switch (self->buffers) {
    case ENGINE_EPOLL_SMALL: return MORE_PRICE;
    case ENGINE_EPOLL_MORE: return atomic_load_explicit(&receive_max, memory_order_relaxed);
    default: return 0;
    }
}

/* A window that was agreed on for a small buffer stays small without TCP_WINDOW_CLAMP: tcp(7). */
void engine_epoll_widen(engine_handle *handle) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    if (self->buffers == ENGINE_EPOLL_SMALL) {
        (void)engine_epoll_set_option(self->fd, SOL_SOCKET, SO_RCVBUF, MORE_BYTES);
        (void)engine_epoll_set_option(self->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, MORE_BYTES);
        self->buffers = ENGINE_EPOLL_MORE;
    } else if (self->buffers == ENGINE_EPOLL_MORE) {
        (void)set_lock(self->fd, 0);
        self->buffers = ENGINE_EPOLL_FIXED;
    }
}

int engine_epoll_unsent(engine_handle *handle, uint64_t *ret_bytes) {
    const engine_epoll_handle *self = engine_epoll_handle_of(handle);
    uint32_t memory[MEMINFO_COUNT] = {0};
    socklen_t length = sizeof(memory);
    if (CALLS.getsockopt(self->fd, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0) {
        return SLUICE_ENOTSUP;
    }
    *ret_bytes = memory[self->is_tcp ? MEMINFO_WMEM_QUEUED : MEMINFO_WMEM_ALLOC];
    return SLUICE_OK;
}

bool engine_epoll_sends_more(engine_handle *handle) {
    const engine_epoll_handle *self = engine_epoll_handle_of(handle);
    return self->role == ENGINE_EPOLL_SOCKET;
}
