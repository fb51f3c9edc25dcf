/*
 * process_posix.c - see process.h. A child dies with the thread that started it (prctl(2),
 * PR_SET_PDEATHSIG), and is known by a pidfd.
 */
#include "tests/integration/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_MS 1000000

/* In the child, between fork and exec: only what is safe there. */
static void become(const char *const *words, int input, int output) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(output, STDERR_FILENO) >= 0) {
        union {
            const char *const *words;
            char *const *argv; /* execv(3) does not change them */
        } as = {words};
        execv(words[0], as.argv);
    }
    _exit(127);
}

void process_os_start(process *p, const char *const *words) {
    int input[2];
    int output[2];
    EXPECT(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        become(words, input[0], output[1]);
    }
    (void)close(input[0]);
    (void)close(output[1]);
    int pidfd = pidfd_open(child, 0);
    EXPECT(pidfd > 0);
    p->id = (uint64_t)child;
    p->os_process = (uint64_t)pidfd;
    p->os_input = (uint64_t)input[1];
    p->os_output = (uint64_t)output[0];
    p->has_input = true;
}

size_t process_os_read(process *p, char *bytes, size_t size) {
    ssize_t count;
    do {
        count = read((int)p->os_output, bytes, size);
    } while (count < 0 && errno == EINTR);
    return count > 0 ? (size_t)count : 0;
}

static bool wait_readable(int fd, uint64_t timeout_ns) {
    struct pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
    return poll(&entry, 1, (int)(timeout_ns / NS_PER_MS)) == 1;
}

/* The pidfd says that it has ended. Its status may be a moment later: a sanitizer that looks for
 * leaks at a program's end traces it, and is told first. */
bool process_os_wait(process *p, uint64_t timeout_ns) {
    int status = 0;
    if (!wait_readable((int)p->os_process, timeout_ns) ||
        waitpid((pid_t)p->id, &status, 0) != (pid_t)p->id) {
        return false;
    }
    p->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

void process_os_write(process *p, const char *text, size_t length) {
    (void)signal(SIGPIPE, SIG_IGN); /* it may have been killed */
    (void)!write((int)p->os_input, text, length);
}

void process_os_close_input(process *p) {
    (void)close((int)p->os_input);
}

void process_os_close(process *p) {
    (void)close((int)p->os_output);
    (void)close((int)p->os_process);
}

void process_os_kill(uint64_t os_process) {
    (void)pidfd_send_signal((int)os_process, SIGKILL, NULL, 0);
}

static void send_signal(const process *p, int number) {
    EXPECT(pidfd_send_signal((int)p->os_process, number, NULL, 0) == 0);
}

void process_kill(process *p) {
    send_signal(p, SIGKILL);
}

/* Until it really stands still: a stop is reported to the parent; so is its end, which stays for
 * process_wait. */
void process_suspend(process *p) {
    siginfo_t info;
    send_signal(p, SIGSTOP);
    EXPECT(waitid(P_PID, (id_t)p->id, &info, WSTOPPED | WEXITED | WNOWAIT) == 0);
}

void process_resume(process *p) {
    send_signal(p, SIGCONT);
}

bool process_interrupt(process *p) {
    send_signal(p, SIGTERM);
    return true;
}

uint64_t process_open(uint64_t id) {
    int fd = pidfd_open((pid_t)id, 0);
    return fd > 0 ? (uint64_t)fd : 0;
}

bool process_is_gone(uint64_t opened, uint64_t timeout_ns) {
    bool is_gone = wait_readable((int)opened, timeout_ns);
    (void)close((int)opened);
    return is_gone;
}

uint64_t process_open_count_of(uint64_t id) {
    char path[64];
    uint64_t count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%llu/fd", (unsigned long long)id);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return 0; /* it has ended */
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory);
    return count;
}

uint64_t process_memory_bytes(uint64_t id) {
    char path[64];
    unsigned long long pages[2] = {0, 0}; /* in all, resident */
    (void)snprintf(path, sizeof(path), "/proc/%llu/statm", (unsigned long long)id);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &pages[0], &pages[1]) != 2) {
        pages[1] = 0;
    }
    (void)fclose(file);
    return pages[1] * (uint64_t)sysconf(_SC_PAGESIZE);
}

const char *process_shell(void) {
    return "/bin/sh";
}

uint64_t process_own_id(void) {
    return (uint64_t)getpid();
}

void process_own_path(char *ret_path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", ret_path, size - 1);
    EXPECT(length > 0);
    ret_path[length] = '\0';
}

void process_endpoint(char *ret_name, size_t size, unsigned number) {
    (void)snprintf(ret_name, size, "/tmp/sluice-integration-%ld-%u", (long)getpid(), number);
}

uint64_t process_raw_open(const char *endpoint) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd > 0 && strlen(endpoint) < sizeof(name.sun_path));
    memcpy(name.sun_path, endpoint, strlen(endpoint) + 1);
    EXPECT(connect(fd, (const struct sockaddr *)&name, sizeof(name)) == 0);
    return (uint64_t)fd;
}

uint64_t process_raw_open_pipe(const char *name) {
    return process_raw_open(name);
}

bool process_raw_send(uint64_t raw, const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t count = send((int)raw, at, length, MSG_NOSIGNAL);
        if (count <= 0) {
            return false;
        }
        at += count;
        length -= (size_t)count;
    }
    return true;
}

size_t process_raw_receive(uint64_t raw, void *bytes, size_t size) {
    EXPECT(wait_readable((int)raw, PROCESS_PATIENCE_NS));
    ssize_t count = recv((int)raw, bytes, size, 0);
    return count > 0 ? (size_t)count : 0;
}

void process_raw_close(uint64_t raw) {
    (void)close((int)raw);
}

bool process_is_wine(void) {
    return false;
}

void process_set_environment(const char *name, const char *value) {
    EXPECT((value != NULL ? setenv(name, value, 1) : unsetenv(name)) == 0);
}
