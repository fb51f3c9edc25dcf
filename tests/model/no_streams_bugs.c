/*
 * no_streams_bugs.c - the program streams_test has none planted in it.
 */
#include <stdio.h>

#include "tests/model/streams.h"

int streams_bug_number(const char *name) {
    (void)name;
    return 0;
}

int streams_find_bugs(const char *program) {
    fprintf(stderr, "%s has no bugs planted in it; streams_bugs has\n", program);
    return 2;
}
