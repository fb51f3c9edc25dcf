/*
 * meter_posix.c - see meter.h: /proc/self/task/TID/schedstat, whose second number is the time on
 * the run queue (kernel: Documentation/scheduler/sched-stats.rst).
 */
#include "tests/chaos/meter.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define IO_THREAD  "sluice-io"
#define PATH_BYTES 300

/* The path of its schedstat; "" before there is such a thread. */
static char found[PATH_BYTES];

static void find(void) {
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    while (directory != NULL && found[0] == '\0' && (entry = readdir(directory)) != NULL) {
        char path[PATH_BYTES];
        char name[32] = "";
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            if (fgets(name, sizeof(name), file) != NULL && strcmp(name, IO_THREAD "\n") == 0) {
                (void)snprintf(found, sizeof(found), "/proc/self/task/%s/schedstat",
                               entry->d_name);
            }
            (void)fclose(file);
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
}

uint64_t meter_io_thread_wait_ns(void) {
    uint64_t numbers[2] = {0, 0};
    if (found[0] == '\0') {
        find();
    }
    FILE *file = found[0] != '\0' ? fopen(found, "re") : NULL;
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &numbers[0], &numbers[1]) != 2) {
        numbers[1] = 0;
    }
    (void)fclose(file);
    return numbers[1];
}
