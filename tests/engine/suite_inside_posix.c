/*
 * suite_inside_posix.c - what can only be provoked from inside the epoll backend: a connect to
 * which the system gives the very port that it is for; what the kernel holds for a socket; and a
 * file system that has another number than before.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "engine/buffers.h"
#include "engine/epoll.h"
#include "tests/engine/rig.h"

static int (*true_connect)(int fd, const struct sockaddr *address, socklen_t length);

/* The system's choice of a local port: the one that is asked for. */
static int connect_from_there(int fd, const struct sockaddr *address, socklen_t length) {
    struct sockaddr_storage from;
    memset(&from, 0, sizeof(from));
    memcpy(&from, address, length);
    if (address->sa_family == AF_INET && ((struct sockaddr_in *)&from)->sin_addr.s_addr == 0) {
        ((struct sockaddr_in *)&from)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    EXPECT(engine_epoll_calls.bind(fd, (const struct sockaddr *)&from, length) == 0);
    return true_connect(fd, address, length);
}

/* A port that was free a moment ago. */
static uint16_t free_port(rig *r, engine_address address) {
    engine_handle *listener = NULL;
    if (rig_listen(r, &address, 1, NULL, &listener) != SLUICE_OK) {
        return 0;
    }
    EXPECT_STATUS(engine_handle_local_address(listener, &address), SLUICE_OK);
    rig_close_handle(r, listener);
    return address.port;
}

static void expect_refused(rig *r, const engine_address *address) {
    engine_request_id id = 0;
    uint64_t deadline_ns = rig_after_ns(r, T_AWAIT_NS);
    EXPECT_STATUS(engine_connect(r->worker, address, deadline_ns, NULL, NULL, &id), SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_EREFUSED);
    EXPECT(completion.os_error != 0 && completion.opened[0] == NULL);
}

static void connected_to_itself(void) {
    static const uint8_t loopback6[16] = {[15] = 1};
    static const uint8_t any[4] = {0, 0, 0, 0};
    if (!t_is_backend("epoll")) {
        T_SKIP("it looks into the epoll backend");
    }
    rig *r = rig_open();
    engine_address addresses[3];
    engine_address_loopback(&addresses[0], 0);
    engine_address_ipv4(&addresses[1], any, 0);
    engine_address_ipv6(&addresses[2], loopback6, 0, 0);
    true_connect = engine_epoll_calls.connect;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(addresses); i++) {
        addresses[i].port = free_port(r, addresses[i]);
        if (addresses[i].port != 0) { /* or there is no IPv6 */
            engine_epoll_calls.connect = connect_from_there;
            expect_refused(r, &addresses[i]);
            engine_epoll_calls.connect = true_connect;
        }
    }
    rig_close(r);
}

/* What SO_MEMINFO says (linux/sock_diag.h): the bytes of a socket's receive buffer. */
static uint32_t buffered(engine_handle *handle) {
    uint32_t memory[9] = {0};
    socklen_t length = sizeof(memory);
    EXPECT(getsockopt(engine_epoll_handle_of(handle)->fd, SOL_SOCKET, 55, memory, &length) == 0);
    return memory[0];
}

/* Sends what nobody reads, until the peer has taken none for some time. */
static void flood(rig *r, engine_handle *from) {
    engine_request_id id = rig_fill(r, from, 1);
    engine_cancel(r->worker, id);
    (void)rig_await(r, id);
}

static void drain(rig *r, engine_handle *handle) {
    static uint8_t space[PATTERN_BLOCK];
    for (;;) {
        engine_request_id id = rig_read(r, handle, space, sizeof(space));
        if (rig_pump(r, rig_after_ns(r, 200 * SL_NS_PER_MS)) == 0) {
            engine_cancel(r->worker, id);
        }
        if (rig_await(r, id).status != SLUICE_OK) {
            return;
        }
    }
}

static int pipe_bytes(engine_handle *end) {
    return fcntl(engine_epoll_handle_of(end)->fd, F_GETPIPE_SZ);
}

/* A TCP socket that nobody reads holds what its handle costs, and after each step that much more;
 * in both directions of a connection. What is not sent is told, and is nothing when it was read. */
static void kernel_buffers(void) {
    if (!t_is_backend("epoll")) {
        T_SKIP("it looks into the epoll backend");
    }
    rig *r = rig_open();
    engine_handle *ends[2];
    for (unsigned way = 0; way < 2; way++) {
        uint32_t paid = engine_handle_bytes(r->engine);
        uint64_t unsent = 0;
        rig_stream(r, STREAM_TCP, ends);
        engine_handle *to = ends[way];
        engine_handle *from = ends[1 - way];
        flood(r, from);
        EXPECT(buffered(to) > 0 && buffered(to) <= paid);
        EXPECT(engine_sends_more(from) && engine_unsent(from, &unsent) == SLUICE_OK);
        EXPECT(unsent > 65536);
        for (uint32_t step; (step = engine_receive_step(to)) > 0;) {
            engine_widen(to);
            paid += step;
            drain(r, to);
            flood(r, from);
            EXPECT(buffered(to) <= paid);
        }
        EXPECT(paid > 1u << 20);
        drain(r, to);
        EXPECT(engine_unsent(from, &unsent) == SLUICE_OK && unsent == 0);
        rig_close_stream(r, ends);
    }
    rig_stream(r, STREAM_PAIR, ends);
    EXPECT(!engine_sends_more(ends[1]) && engine_receive_step(ends[0]) == 0);
    EXPECT(pipe_bytes(ends[0]) <= 2 * (int)engine_handle_bytes(r->engine));
    rig_close_stream(r, ends);
    engine_behalf behalf = {.pair_bytes = 1};
    engine_request_id id = 0;
    EXPECT_STATUS(engine_pair(r->worker, &behalf, NULL, &id), SLUICE_OK);
    engine_completion pair = rig_await(r, id);
    EXPECT(pipe_bytes(pair.opened[0]) == sysconf(_SC_PAGESIZE));
    rig_close_stream(r, pair.opened);
    rig_close(r);
}

/* Another device number than before: the file system was mounted again. */
static int fstat_elsewhere(int fd, struct stat *ret_stat) {
    int result = fstat(fd, ret_stat);
    ret_stat->st_dev++;
    return result;
}

static int fstatat_elsewhere(int folder, const char *path, struct stat *ret_stat, int flags) {
    int result = fstatat(folder, path, ret_stat, flags);
    ret_stat->st_dev++;
    return result;
}

/* What a killed process left is still known for its own. */
static void mounted_again(void) {
    if (!t_is_backend("epoll")) {
        T_SKIP("it looks into the epoll backend");
    }
    engine_address address = t_pipe_address();
    engine_handle *listener = NULL;
    int (*fstat_before)(int, struct stat *) = engine_epoll_calls.fstat;
    int (*fstatat_before)(int, const char *, struct stat *, int) = engine_epoll_calls.fstatat;
    EXPECT(os_leave_stale_pipe(address.pipe));
    engine_epoll_calls.fstat = fstat_elsewhere;
    engine_epoll_calls.fstatat = fstatat_elsewhere;
    rig *r = rig_open();
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &listener), SLUICE_OK);
    rig_close_handle(r, listener);
    rig_close(r);
    engine_epoll_calls.fstat = fstat_before;
    engine_epoll_calls.fstatat = fstatat_before;
}

static const t_case cases[] = {
    {"connected_to_itself", 0, connected_to_itself},
    {"kernel_buffers", 0, kernel_buffers},
    {"mounted_again", 0, mounted_again},
};

const t_suite suite_inside = {"inside", cases, SL_ARRAY_COUNT(cases)};
