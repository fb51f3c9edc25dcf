/*
 * runtime_posix.c - see runtime_posix.h.
 */
#include "tests/client/runtime_posix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARENT_BYTES (RUNTIME_PATH_BYTES + sizeof("/sluice"))

char runtime_path[RUNTIME_PATH_BYTES];

static void parent_of_places(char ret_path[PARENT_BYTES]) {
    (void)snprintf(ret_path, PARENT_BYTES, "%s/sluice", runtime_path);
}

int runtime_make(const char *test_name) {
    (void)snprintf(runtime_path, sizeof(runtime_path), "/tmp/sluice-%s-%ld", test_name,
                   (long)getpid());
    return mkdir(runtime_path, 0700) != 0 || setenv("XDG_RUNTIME_DIR", runtime_path, 1) != 0;
}

int runtime_remove(void) {
    char parent[PARENT_BYTES];
    parent_of_places(parent);
    (void)rmdir(parent);
    return rmdir(runtime_path);
}

unsigned runtime_count(void) {
    char parent[PARENT_BYTES];
    unsigned count = 0;
    parent_of_places(parent);
    DIR *list = opendir(parent);
    const struct dirent *entry;
    if (list == NULL) {
        return 0; /* nobody has been there */
    }
    while ((entry = readdir(list)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(list);
    return count;
}
