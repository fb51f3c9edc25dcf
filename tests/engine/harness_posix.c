/*
 * harness_posix.c - what the conformance suite needs from Linux itself. See harness.h.
 */
#include "tests/engine/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "engine/epoll.h"

#define OS_DIRECTORY_VARIABLE "SLUICE_TEST_DIRECTORY"

extern char **environ;

/* cmocka takes these over with a handler that jumps: wrong on a thread that is not its own. */
static const int crash_signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
static struct sigaction crash_actions[SL_ARRAY_COUNT(crash_signals)];
static char directory[] = "/tmp/sluice-test-XXXXXX";
static bool is_child;
static struct rlimit usual_limit;

void os_start(void) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(crash_signals); i++) {
        (void)sigaction(crash_signals[i], NULL, &crash_actions[i]);
    }
    /* A scene that dies cannot tidy up: it uses, and leaves to us, the directory of its parent. */
    const char *inherited = getenv(OS_DIRECTORY_VARIABLE);
    is_child = inherited != NULL && strlen(inherited) < sizeof(directory);
    if (is_child) {
        strcpy(directory, inherited);
    }
    if ((!is_child && mkdtemp(directory) == NULL) ||
        setenv(OS_DIRECTORY_VARIABLE, directory, 1) != 0 ||
        getrlimit(RLIMIT_NOFILE, &usual_limit) != 0) {
        fprintf(stderr, "cannot prepare: %s\n", strerror(errno));
        os_exit_now(2);
    }
    usual_limit.rlim_cur = usual_limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &usual_limit);
}

void os_stop(void) {
    if (is_child) {
        return;
    }
    DIR *entries = opendir(directory);
    if (entries != NULL) {
        for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
            if (entry->d_name[0] != '.') {
                (void)unlinkat(dirfd(entries), entry->d_name, 0);
            }
        }
        closedir(entries);
    }
    (void)rmdir(directory);
}

void os_before_test(void) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(crash_signals); i++) {
        (void)sigaction(crash_signals[i], &crash_actions[i], NULL);
    }
}

void os_after_test(void) {
    (void)setrlimit(RLIMIT_NOFILE, &usual_limit);
}

SL_NORETURN void os_exit_now(int code) {
    _exit(code);
}

unsigned os_process_id(void) {
    return (unsigned)getpid();
}

const char *os_name(void) {
    return "linux";
}

bool os_is_wine(void) {
    return false;
}

void os_pipe_name(char ret_name[ENGINE_PIPE_NAME_BYTES], unsigned number, unsigned extra) {
    int length =
        snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "%s/p%u-%u", directory, os_process_id(), number);
    for (unsigned i = 0; i < extra && (unsigned)length + 1 < ENGINE_PIPE_NAME_BYTES; i++) {
        ret_name[length++] = 'x';
    }
    ret_name[length] = '\0';
}

void os_pipe_name_nowhere(char ret_name[ENGINE_PIPE_NAME_BYTES]) {
    (void)snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "%s/none/p", directory);
}

void os_pipe_name_forbidden(char ret_name[ENGINE_PIPE_NAME_BYTES]) {
    /* Root may write anywhere but where nothing can be made: /proc refuses with ENOENT, so there is
     * nothing for root. */
    ret_name[0] = '\0';
    if (geteuid() != 0) {
        (void)snprintf(ret_name, ENGINE_PIPE_NAME_BYTES, "/p%u", os_process_id());
    }
}

/* A bound socket, or -1. */
static int bind_socket(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(name) >= sizeof(address.sun_path)) {
        return -1;
    }
    strcpy(address.sun_path, name);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 &&
        bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(descriptor);
        descriptor = -1;
    }
    return descriptor;
}

bool os_leave_stale_pipe(const char *name) {
    int descriptor = bind_socket(name);
    bool ok = descriptor >= 0 && listen(descriptor, 1) == 0;
    if (descriptor >= 0) {
        close(descriptor);
    }
    struct stat found;
    char text[sizeof(ENGINE_EPOLL_LOCK_TEXT) + ENGINE_EPOLL_RECORD_BYTES] = ENGINE_EPOLL_LOCK_TEXT;
    ok = ok && lstat(name, &found) == 0;
    if (ok) {
        engine_epoll_lock_describe(&found, text + strlen(text));
    }
    return ok && os_put_lock(name, text);
}

bool os_bind_foreign(const char *name, intptr_t *ret_server) {
    *ret_server = bind_socket(name);
    return *ret_server >= 0;
}

bool os_move_foreign(const char *from, const char *to) {
    return rename(from, to) == 0;
}

bool os_listen_foreign(intptr_t server) {
    return listen((int)server, 1) == 0;
}

bool os_close_foreign(const char *name, intptr_t server, bool removes) {
    struct stat found;
    bool is_there = lstat(name, &found) == 0 && S_ISSOCK(found.st_mode);
    return (server < 0 || close((int)server) == 0) && is_there && (!removes || unlink(name) == 0);
}

static void lock_path(const char *name, char ret_path[ENGINE_PIPE_NAME_BYTES + 8]) {
    (void)snprintf(ret_path, ENGINE_PIPE_NAME_BYTES + 8, "%s.lock", name);
}

bool os_put_lock(const char *name, const char *text) {
    char path[ENGINE_PIPE_NAME_BYTES + 8];
    lock_path(name, path);
    FILE *file = fopen(path, "wx");
    bool ok = file != NULL && fputs(text, file) >= 0;
    return file != NULL && fclose(file) == 0 && ok;
}

bool os_take_lock(const char *name, const char *text) {
    char path[ENGINE_PIPE_NAME_BYTES + 8];
    char found[200] = "";
    lock_path(name, path);
    FILE *file = fopen(path, "r");
    bool ok = file != NULL && (fgets(found, sizeof(found), file) != NULL || found[0] == '\0') &&
              strcmp(text, found) == 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    return unlink(path) == 0 && ok;
}

unsigned os_open_handles(void) {
    unsigned count = 0;
    DIR *entries = opendir("/proc/self/fd");
    if (entries == NULL) {
        return 0;
    }
    while (readdir(entries) != NULL) {
        count++;
    }
    closedir(entries);
    return count - 3; /* ".", ".." and the directory itself */
}

bool os_lower_handle_limit(unsigned more) {
    /* New descriptors take the lowest free number: the limit stands behind the last of `more`. */
    struct rlimit limit = usual_limit;
    int number = 0;
    for (unsigned free_count = 0; free_count < more; number++) {
        free_count += fcntl(number, F_GETFD) < 0 && errno == EBADF;
    }
    limit.rlim_cur = (rlim_t)number;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

unsigned os_handle_limit(void) {
    return usual_limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)usual_limit.rlim_cur;
}

void os_run_reset_client(void *reset_client) {
    os_reset_client *client = reset_client;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client->ok = descriptor >= 0 &&
                 connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0;
    static const char bytes[1024];
    if (client->ok && client->send_bytes > 0) {
        ssize_t sent = send(descriptor, bytes, client->send_bytes, MSG_NOSIGNAL);
        client->ok = sent == (ssize_t)client->send_bytes;
    }
    (void)sl_event_wait_until(client->go, sl_clock_now_ns(sl_clock_system()) + T_AWAIT_NS);
    if (descriptor >= 0) {
        (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(descriptor);
    }
}

bool os_run_child(const char *const *arguments, uint64_t limit_ns, os_end *ret_end, int *ret_code) {
    char program[] = "/proc/self/exe";
    char *argv[16] = {program};
    for (unsigned i = 0; arguments[i] != NULL && i + 2 < SL_ARRAY_COUNT(argv); i++) {
        argv[i + 1] = strdup(arguments[i]);
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    bool ok = posix_spawn(&child, program, &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    for (unsigned i = 1; argv[i] != NULL; i++) {
        free(argv[i]);
    }
    if (!ok) {
        return false;
    }
    int status = 0;
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, child, 0), .events = POLLIN};
    bool ended = end.fd >= 0 && poll(&end, 1, (int)(limit_ns / SL_NS_PER_MS)) == 1;
    if (!ended) {
        kill(child, SIGKILL);
    }
    waitpid(child, &status, 0);
    if (end.fd >= 0) {
        close(end.fd);
    }
    *ret_end = ended ? OS_END_EXITED : OS_END_HUNG;
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    if (ended && WIFSIGNALED(status)) {
        *ret_end = WTERMSIG(status) == SIGABRT ? OS_END_ABORTED : OS_END_CRASHED;
    }
    return true;
}

void os_forge_mark(char name[ENGINE_PIPE_NAME_BYTES], unsigned which) {
    static const char *const slashes[OS_FORGED_NAMES] = {"//", "///", "//./", "/.//"};
    char given[ENGINE_PIPE_NAME_BYTES];
    memcpy(given, name, sizeof(given));
    char *slash = strrchr(given, '/');
    *slash = '\0';
    (void)snprintf(name, ENGINE_PIPE_NAME_BYTES, "%.100s%s%.100s", given, slashes[which],
                   slash + 1);
}
