/*
 * no_bugs.c - the program world_test has none planted in it.
 */
#include <stdio.h>

#include "tests/world/bugs.h"

int world_bug_number(const char *name) {
    (void)name;
    return 0;
}

int world_find_bugs(const char *program, uint64_t lives) {
    (void)lives;
    fprintf(stderr, "%s has no bugs planted in it; world_bugs has\n", program);
    return 2;
}
