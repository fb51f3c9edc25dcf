/*
 * far_posix.c - see far.h: Unix sockets, posix_spawn of /proc/self/exe, a memfd.
 *
 * What a far process inherits is open without CLOEXEC from just before it is started until just
 * after; nothing else is started meanwhile, because one thread measures.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/status.h"
#include "client/cli/bench/far.h"

/* ---- streams ------------------------------------------------------------------------------- */

static int fd_of(const bench_stream *stream) {
    return (int)stream->os - 1;
}

static bench_stream stream_of(int fd) {
    return (bench_stream){.os = (uintptr_t)(fd + 1)};
}

static int socket_at(const char *name, struct sockaddr_un *ret_address) {
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sun_family = AF_UNIX;
    (void)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s", name);
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

bool bench_stream_connect(const char *name, bench_stream *ret_stream) {
    struct sockaddr_un address;
    int fd = socket_at(name, &address);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return false;
    }
    *ret_stream = stream_of(fd);
    return fd >= 0;
}

bool bench_stream_pipe(bench_stream ret_ends[2]) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return false;
    }
    ret_ends[0] = stream_of(fds[0]);
    ret_ends[1] = stream_of(fds[1]);
    return true;
}

void bench_stream_close(bench_stream *stream) {
    if (stream->os != 0) {
        (void)close(fd_of(stream));
    }
    *stream = (bench_stream){0};
}

bool bench_stream_write(bench_stream *stream, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        ssize_t written = write(fd_of(stream), at, count);
        if (written <= 0) {
            return false;
        }
        at += written;
        count -= (size_t)written;
    }
    return true;
}

size_t bench_stream_read_some(bench_stream *stream, void *bytes, size_t room) {
    ssize_t got = read(fd_of(stream), bytes, room);
    return got > 0 ? (size_t)got : 0;
}

bool bench_stream_read(bench_stream *stream, void *bytes, size_t count) {
    char *at = bytes;
    while (count > 0) {
        size_t got = bench_stream_read_some(stream, at, count);
        if (got == 0) {
            return false;
        }
        at += got;
        count -= got;
    }
    return true;
}

/* ---- far processes ------------------------------------------------------------------------- */

static char folder[64]; /* where they listen; "" = there is none */
static unsigned serial;
static pid_t broom; /* clears the folder away when we are killed; 0 = there is none */
static int broom_fd;

static bool start(bench_role role, const char *next, int listener, int region, pid_t *ret_process);

/* Its end of the pipe is at its end when this process is, however that comes about. Without it the
 * folder is left when we are killed, and that is all. */
static void start_broom(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    (void)fcntl(ends[0], F_SETFD, 0);
    if (start(BENCH_ROLE_BROOM, folder, ends[0], -1, &broom)) {
        broom_fd = ends[1];
    } else {
        broom = 0;
        (void)close(ends[1]);
    }
    (void)close(ends[0]);
}

static void stop_broom(void) {
    if (broom != 0) {
        (void)close(broom_fd);
        (void)waitpid(broom, NULL, 0);
        broom = 0;
    }
}

/* Out of reach of what ends all processes of a terminal or a job. */
static void sweep(const char *path, int pipe_fd) {
    char byte;
    (void)setsid();
    while (read(pipe_fd, &byte, 1) > 0 || errno == EINTR) {
    }
    DIR *names = opendir(path);
    for (struct dirent *entry; names != NULL && (entry = readdir(names)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(names), entry->d_name, 0);
        }
    }
    (void)rmdir(path);
}

static int listen_at(bench_far *peer) {
    struct sockaddr_un address;
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (folder[0] == '\0') {
        (void)snprintf(folder, sizeof(folder), "%s/sluice-bench-XXXXXX",
                       base != NULL && base[0] == '/' && strlen(base) < 40 ? base : "/tmp");
        if (mkdtemp(folder) == NULL) { /* mode 0700 */
            folder[0] = '\0';
            return -1;
        }
        start_broom();
    }
    (void)snprintf(peer->name, sizeof(peer->name), "%s/%u", folder, serial++);
    (void)snprintf(peer->address, sizeof(peer->address), "pipe:%s", peer->name);
    int fd = socket_at(peer->name, &address);
    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4) != 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int share_memory(bench_far *peer) {
    int fd = memfd_create("sluice-bench", 0);
    if (fd >= 0 && ftruncate(fd, sizeof(bench_region)) == 0) {
        void *at = mmap(NULL, sizeof(bench_region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED) {
            peer->region = at;
            return fd;
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* Arguments: the role, who we are, the next one's name or "-", the descriptors of the listener and
 * of the region, or -1. */
static bool start(bench_role role, const char *next, int listener, int region, pid_t *ret_process) {
    char words[4][16];
    const int numbers[] = {(int)role, (int)getpid(), listener, region};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(numbers); i++) {
        (void)snprintf(words[i], sizeof(words[i]), "%d", numbers[i]);
    }
    char *argv[] = {(char *)"sluice", (char *)"bench", (char *)"--far",
                    words[0],         words[1],        (char *)(next != NULL ? next : "-"),
                    words[2],         words[3],        NULL};
    return posix_spawn(ret_process, "/proc/self/exe", NULL, NULL, argv, environ) == 0;
}

int bench_far_start(const bench_stage *stage, bench_role role, bench_place place, const char *next,
                    bench_far *ret_far) {
    const unsigned processors[] = {stage->home, stage->away, stage->third};
    *ret_far = (bench_far){.role = role};
    bool shares = role == BENCH_ROLE_RING || role == BENCH_ROLE_SHARED;
    int listener = listen_at(ret_far);
    int region = shares ? share_memory(ret_far) : -1;
    pid_t process = 0;
    bool ok =
        listener >= 0 && (!shares || region >= 0) && start(role, next, listener, region, &process);
    if (listener >= 0) {
        (void)close(listener);
    }
    if (region >= 0) {
        (void)close(region);
    }
    ret_far->process_id = ok ? (uint64_t)process : 0;
    if (ok && stage->topology != BENCH_ANY) {
        ok = bench_machine_pin(ret_far->process_id, processors[place]);
    }
    if (!ok) {
        bench_far_stop(ret_far);
        return SLUICE_EOSLIMIT;
    }
    return SLUICE_OK;
}

void bench_far_stop(bench_far *peer) {
    if (peer->process_id != 0) {
        (void)kill((pid_t)peer->process_id, SIGKILL);
        (void)waitpid((pid_t)peer->process_id, NULL, 0);
    }
    if (peer->region != NULL) {
        (void)munmap(peer->region, sizeof(*peer->region));
    }
    if (peer->name[0] != '\0') {
        (void)unlink(peer->name);
        if (rmdir(folder) == 0) { /* the last one is gone */
            folder[0] = '\0';
            stop_broom();
        }
    }
    *peer = (bench_far){0};
}

bool bench_far_lives(const bench_far *peer) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)peer->process_id, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

bool bench_far_process(void) {
    pid_t process;
    int status;
    return start(BENCH_ROLE_END, NULL, -1, -1, &process) &&
           waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int bench_far_serve(int count, char **argv) {
    if (count != 5) {
        return CLI_EXIT_USAGE;
    }
    bench_role role = (bench_role)atoi(argv[0]);
    if (role == BENCH_ROLE_BROOM) {
        sweep(argv[2], atoi(argv[3]));
        return 0;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (role == BENCH_ROLE_END || getppid() != atoi(argv[1])) {
        return 0; /* nothing to do, or who started us has gone already */
    }
    if (role == BENCH_ROLE_AWAKE) {
        bench_machine_be_idle();
        for (volatile uint64_t turns = 0;; turns++) {
        }
    }
    bench_region *region = NULL;
    int shared = atoi(argv[4]);
    if (shared >= 0) {
        void *at = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
        region = at != MAP_FAILED ? at : NULL;
    }
    if (shared >= 0 && region == NULL) {
        return CLI_EXIT_FOUND;
    }
    for (int fd; (fd = accept4(atoi(argv[3]), NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        bench_stream stream = stream_of(fd);
        bench_role_play(role, &stream, strcmp(argv[2], "-") != 0 ? argv[2] : NULL, region);
        bench_stream_close(&stream);
    }
    return CLI_EXIT_FOUND;
}
