/*
 * os_posix.c - see os.h; a life in a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/world/os.h"
#include "tests/world/shrink.h"

#define ARGUMENTS_MAX 16
#define ALARM_S       60 /* one life takes milliseconds */

static void run_child(const char *program, char *options, int error_pipe, bool is_shown) {
    char *arguments[ARGUMENTS_MAX] = {(char *)program};
    int count = 1;
    for (char *next = strtok(options, " "); next != NULL && count < ARGUMENTS_MAX - 1;
         next = strtok(NULL, " ")) {
        arguments[count++] = next;
    }
    if (!is_shown) {
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(error_pipe, STDERR_FILENO);
    }
    (void)alarm(ALARM_S);
    (void)execv(program, arguments);
    _exit(127);
}

void *os_region_create(size_t size) {
    void *region = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(region != MAP_FAILED);
    (void)madvise(region, size, MADV_NOHUGEPAGE); /* little of each block is touched */
    return region;
}

void os_region_clear(void *region, size_t size) {
    EXPECT(madvise(region, size, MADV_DONTNEED) == 0);
}

void os_try(const char *program, const char *options, char *said, size_t size) {
    static char copy[WORLD_COMMAND_BYTES];
    int ends[2];
    size_t used = 0;
    (void)snprintf(copy, sizeof(copy), "%s", options);
    EXPECT(pipe(ends) == 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        run_child(program, copy, ends[1], size == 0);
    }
    (void)close(ends[1]);
    char byte;
    ssize_t got;
    while ((got = read(ends[0], &byte, 1)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0 && used + 1 < size) {
            said[used++] = byte;
        }
    }
    (void)close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (size != 0) {
        said[used] = '\0';
        if (status != 0 && used == 0) {
            (void)snprintf(said, size, "ended with %d", status);
        } else if (status == 0) {
            said[0] = '\0';
        }
    }
}
