/*
 * rig_posix.c - see rig_name.h.
 */
#include "tests/broker/rig_name.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

void rig_name(char *name, size_t size) {
    snprintf(name, size, "/tmp/sluice-broker-test-%ld", (long)getpid());
}

void rig_pipe_name(char *name, size_t size) {
    snprintf(name, size, "/tmp/sluice-broker-test-own-%ld", (long)getpid());
}

const char *const rig_long_name_detail =
    "address: a pipe's path on Linux: 400 bytes, at most 107";

const char *rig_wide_name(void) {
    return NULL;
}

uint32_t rig_os_handles(void) {
    uint32_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}
