/*
 * outside_posix.c - see outside_posix.h.
 */
#include "tests/client/outside_posix.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/client/rig.h"

/* A zombie has descriptors as long as one of its threads lives. */
bool outside_has_ended(uint64_t process) {
    char path[64];
    char state = '?';
    unsigned threads = 2;
    (void)snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)process);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return true;
    }
    /* proc_pid_stat(5): the third is the state, the twentieth the number of threads. */
    bool is_read = fscanf(file,
                          "%*d (%*[^)]) %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                          "%*s %*s %*s %u",
                          &state, &threads) == 2;
    (void)fclose(file);
    return !is_read || ((state == 'Z' || state == 'X') && threads <= 1);
}

bool outside_is_gone(uint64_t process) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (!outside_has_ended(process) && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    return outside_has_ended(process);
}

void outside_end(pid_t *child) {
    if (*child > 0) {
        (void)kill(*child, SIGKILL);
        (void)waitpid(*child, NULL, 0);
    }
    *child = 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where) {
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void outside_remove(const char *folder) {
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

unsigned outside_count(const char *program) {
    unsigned count = 0;
    DIR *list = opendir("/proc");
    assert_non_null(list);
    struct dirent *entry;
    while ((entry = readdir(list)) != NULL) {
        char path[300];
        char target[1024];
        (void)snprintf(path, sizeof(path), "/proc/%.250s/exe", entry->d_name);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        count +=
            strcmp(target, program) == 0 && !outside_has_ended(strtoull(entry->d_name, NULL, 10));
    }
    (void)closedir(list);
    return count;
}

bool outside_await_count(const char *program, unsigned count) {
    uint64_t deadline_ns = rig_now_ns() + RIG_LONG_NS;
    while (outside_count(program) != count && rig_now_ns() < deadline_ns) {
        sl_thread_yield();
    }
    return outside_count(program) == count;
}
