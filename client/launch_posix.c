/*
 * launch_posix.c - see launch.h. The child inherits /dev/null three times, and a pidfd of ours at
 * descriptor 3; nothing else (posix_spawn_file_actions_addclosefrom_np, glibc 2.34).
 */
#include "client/launch.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"

extern char **environ;

#define PIDFD_IN_CHILD 3
#define PATH_BYTES     2048
#define KILL_NS        SL_NS_PER_S /* from SIGKILL to the end, as a rule */

static int status_of(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return SLUICE_ENOTFOUND;
    case EACCES:
    case EPERM:
    case ENOEXEC:
        return SLUICE_EACCESS;
    case ENOMEM:
        return SLUICE_ENOMEM;
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return SLUICE_EOSLIMIT;
    default:
        return SLUICE_EOS;
    }
}

bool client_launch_is_absolute(const char *path) {
    return path[0] == '/';
}

/* The file `name`, relative to the directory of `file`. */
static bool try_beside(const char *file, const char *name, char *ret_path, size_t size) {
    const char *slash = strrchr(file, '/');
    if (file[0] != '/' || slash == NULL) {
        return false;
    }
    int length = snprintf(ret_path, size, "%.*s/%s", (int)(slash - file), file, name);
    return length > 0 && (size_t)length < size && access(ret_path, X_OK) == 0;
}

/* In lib, or in lib/x86_64-linux-gnu; a build has bin and lib, too. */
static const char *const beside_library[] = {"sluiced", "../libexec/sluice/sluiced",
                                             "../bin/sluiced", "../../bin/sluiced"};
static const char *const beside_executable[] = {"sluiced", "../libexec/sluice/sluiced"};

int client_launch_find(char *ret_path, size_t size) {
    Dl_info info;
    struct link_map *map;
    /* The program itself has no name there: the library is a part of it. */
    if (dladdr1((const void *)beside_library, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 &&
        map->l_name[0] != '\0') {
        for (size_t i = 0; i < sizeof(beside_library) / sizeof(beside_library[0]); i++) {
            if (try_beside(map->l_name, beside_library[i], ret_path, size)) {
                return SLUICE_OK;
            }
        }
    }
    char executable[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
    executable[length > 0 ? length : 0] = '\0';
    for (size_t i = 0; i < sizeof(beside_executable) / sizeof(beside_executable[0]); i++) {
        if (try_beside(executable, beside_executable[i], ret_path, size)) {
            return SLUICE_OK;
        }
    }
    return SLUICE_ENOTFOUND;
}

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int self) {
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int error = posix_spawnattr_setflags(
        attributes, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    error = error != 0 ? error : posix_spawnattr_setsigmask(attributes, &none);
    error = error != 0 ? error : posix_spawnattr_setsigdefault(attributes, &all);
    for (int i = 0; i < 3 && error == 0; i++) {
        error = posix_spawn_file_actions_addopen(actions, i, "/dev/null", i == 0 ? 0 : 1, 0);
    }
    /* dup2 onto itself clears close-on-exec, too (posix_spawn_file_actions_adddup2(3)). */
    error = error != 0 ? error : posix_spawn_file_actions_adddup2(actions, self, PIDFD_IN_CHILD);
    return error != 0 ? error
                      : posix_spawn_file_actions_addclosefrom_np(actions, PIDFD_IN_CHILD + 1);
}

/* A child that cannot be watched is none. */
static int watch(client_launch *launch, pid_t child, uint32_t *ret_os_error) {
    int process = pidfd_open(child, 0);
    if (process < 0) {
        int error = errno;
        (void)kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
        *ret_os_error = (uint32_t)error;
        return status_of(error);
    }
    launch->process_id = (uint64_t)child;
    launch->os_process = (uint64_t)process;
    return SLUICE_OK;
}

int client_launch_start(client_launch *launch, const char *path, const char *endpoint,
                        uint32_t *ret_os_error) {
    char words[][16] = {"run", "--endpoint", "--private-for", "fd:3"};
    char program[PATH_BYTES];
    char where[PATH_BYTES];
    char *const argv[] = {program, words[0], words[1], where, words[2], words[3], NULL};
    if (snprintf(program, sizeof(program), "%s", path) >= PATH_BYTES ||
        snprintf(where, sizeof(where), "%s", endpoint) >= PATH_BYTES) {
        return SLUICE_ENAMETOOLONG;
    }
    int self = pidfd_open(getpid(), 0);
    if (self < 0) {
        *ret_os_error = (uint32_t)errno;
        return status_of(errno);
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t child = 0;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = posix_spawnattr_init(&attributes);
        if (error == 0) {
            error = prepare(&actions, &attributes, self);
            error = error != 0 ? error
                               : posix_spawn(&child, path, &actions, &attributes, argv, environ);
            (void)posix_spawnattr_destroy(&attributes);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    (void)close(self);
    if (error != 0) {
        *ret_os_error = (uint32_t)error;
        return status_of(error);
    }
    return watch(launch, child, ret_os_error);
}

/* Signals do not count: they are the host's. */
static bool wait_for_end(const client_launch *launch, uint64_t limit_ns) {
    sl_clock *clock = sl_clock_system();
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(clock), limit_ns);
    struct pollfd entry = {.fd = (int)launch->os_process, .events = POLLIN};
    int count;
    do {
        uint64_t now_ns = sl_clock_now_ns(clock);
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        count = poll(&entry, 1, (int)((left_ns + SL_NS_PER_MS - 1) / SL_NS_PER_MS));
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

bool client_launch_has_ended(const client_launch *launch) {
    return launch->process_id == 0 || wait_for_end(launch, 0);
}

/* By its pidfd throughout: the host may have collected it with a wait of its own, and then its
 * number may be another process's. What does not end for a SIGKILL is left to the system. */
void client_launch_stop(client_launch *launch, uint64_t grace_ns) {
    if (launch->process_id == 0) {
        return;
    }
    int process = (int)launch->os_process;
    (void)pidfd_send_signal(process, SIGTERM, NULL, 0);
    if (!wait_for_end(launch, grace_ns)) {
        (void)pidfd_send_signal(process, SIGKILL, NULL, 0);
        (void)wait_for_end(launch, KILL_NS);
    }
    siginfo_t ignored;
    (void)waitid(P_PIDFD, (id_t)process, &ignored, WEXITED | WNOHANG);
    (void)close(process);
    *launch = (client_launch){0};
}

uint64_t client_launch_own_id(void) {
    return (uint64_t)getpid();
}

void client_launch_own_name(char *ret_name, size_t size) {
    (void)snprintf(ret_name, size, "%s", program_invocation_short_name);
}
