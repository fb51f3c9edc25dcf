/*
 * bench_peer_posix.c - the raw side of `sluice bench` on Linux: blocking calls on Unix sockets.
 *
 * The echo process is a fork made before any thread of ours; it forks once more for each
 * connection and ends with us (its end of a pipe reads end of file). The tool's raw side: kept out
 * of the audit's judgement (docs/audit.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"
#include "client/cli/bench.h"

struct bench_peer {
    char folder[64];
    char echo_path[80], relay_path[80];
    char address[96];
    pid_t process;
    int echo, relay; /* connections */
    int pipe[2];
};

bool bench_peer_pin(unsigned processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static bool write_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written <= 0) {
            return false;
        }
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

static bool read_all(int fd, char *bytes, size_t count) {
    while (count > 0) {
        ssize_t got = read(fd, bytes, count);
        if (got <= 0) {
            return false;
        }
        bytes += got;
        count -= (size_t)got;
    }
    return true;
}

static bool exchange(int fd) {
    char bytes[BENCH_BYTES];
    memset(bytes, 'x', sizeof(bytes));
    return write_all(fd, bytes, sizeof(bytes)) && read_all(fd, bytes, sizeof(bytes));
}

static int socket_at(const char *path, struct sockaddr_un *ret_address) {
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sun_family = AF_UNIX;
    (void)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s", path);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int connect_to(const char *path) {
    struct sockaddr_un address;
    int fd = socket_at(path, &address);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int listen_at(const char *path) {
    struct sockaddr_un address;
    int fd = socket_at(path, &address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 16) != 0) {
        return -1;
    }
    return fd;
}

/* In a process of its own: one connection, until its end. */
static void serve_connection(const bench_peer *peer, int fd, bool is_relay) {
    char bytes[BENCH_BYTES];
    int next = is_relay ? connect_to(peer->echo_path) : -1;
    while (read_all(fd, bytes, sizeof(bytes))) {
        if (is_relay &&
            !(write_all(next, bytes, sizeof(bytes)) && read_all(next, bytes, sizeof(bytes)))) {
            break;
        }
        if (!write_all(fd, bytes, sizeof(bytes))) {
            break;
        }
    }
    _exit(0);
}

/* The echo process: accepts until it is ended, with its children. */
static void serve(const bench_peer *peer, int echo, int relay) {
    struct pollfd listeners[] = {{.fd = echo, .events = POLLIN}, {.fd = relay, .events = POLLIN}};
    for (;;) {
        (void)poll(listeners, 2, -1);
        for (int i = 0; i < 2; i++) {
            if ((listeners[i].revents & POLLIN) == 0) {
                continue;
            }
            int fd = accept4(listeners[i].fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0 && fork() == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                serve_connection(peer, fd, i == 1);
            }
            (void)close(fd);
        }
    }
}

static int fork_server(bench_peer *peer) {
    int echo = listen_at(peer->echo_path);
    int relay = listen_at(peer->relay_path);
    if (echo < 0 || relay < 0) {
        return SLUICE_EOS;
    }
    peer->process = fork();
    if (peer->process == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* the main thread forks, and lives longest */
        (void)signal(SIGCHLD, SIG_IGN);
        serve(peer, echo, relay);
    }
    (void)close(echo);
    (void)close(relay);
    return peer->process > 0 ? SLUICE_OK : SLUICE_EOSLIMIT;
}

int bench_peer_start(bench_peer **ret_peer) {
    const char *base = getenv("XDG_RUNTIME_DIR");
    bench_peer *peer = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*peer));
    if (peer == NULL) {
        return SLUICE_ENOMEM;
    }
    *ret_peer = peer;
    peer->echo = peer->relay = peer->pipe[0] = peer->pipe[1] = -1;
    if (base == NULL || strlen(base) > 30) {
        base = "/tmp";
    }
    (void)snprintf(peer->folder, sizeof(peer->folder), "%s/sluice-bench-XXXXXX", base);
    if (mkdtemp(peer->folder) == NULL) { /* mode 0700 */
        peer->folder[0] = '\0';
        return SLUICE_EACCESS;
    }
    (void)snprintf(peer->echo_path, sizeof(peer->echo_path), "%s/echo", peer->folder);
    (void)snprintf(peer->relay_path, sizeof(peer->relay_path), "%s/relay", peer->folder);
    (void)snprintf(peer->address, sizeof(peer->address), "pipe:%s", peer->echo_path);
    int status = fork_server(peer);
    if (status != SLUICE_OK) {
        return status;
    }
    peer->echo = connect_to(peer->echo_path);
    peer->relay = connect_to(peer->relay_path);
    bool ok = peer->echo >= 0 && peer->relay >= 0 && pipe2(peer->pipe, O_CLOEXEC) == 0;
    return ok ? SLUICE_OK : SLUICE_EOS;
}

void bench_peer_stop(bench_peer *peer) {
    if (peer == NULL) {
        return;
    }
    int fds[] = {peer->echo, peer->relay, peer->pipe[0], peer->pipe[1]};
    for (int i = 0; i < 4; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    if (peer->process > 0) {
        (void)kill(peer->process, SIGKILL);
        (void)waitpid(peer->process, NULL, 0);
    }
    (void)unlink(peer->echo_path);
    (void)unlink(peer->relay_path);
    (void)rmdir(peer->folder);
    sl_allocator_system()->release(sl_allocator_system(), peer, sizeof(*peer));
}

const char *bench_peer_address(const bench_peer *peer) {
    return peer->address;
}

bool bench_peer_ping(bench_peer *peer) {
    return exchange(peer->echo);
}

bool bench_peer_relay(bench_peer *peer) {
    return exchange(peer->relay);
}

bool bench_peer_calls(bench_peer *peer) {
    char bytes[BENCH_BYTES] = {'x'};
    return write(peer->pipe[1], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) &&
           read(peer->pipe[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes);
}

void bench_peer_wait(uint64_t waitable) {
    struct pollfd entry = {.fd = (int)waitable, .events = POLLIN};
    (void)poll(&entry, 1, 1000);
}

int bench_peer_serve(const char *name) {
    (void)name;
    return 2;
}
