/*
 * os_win.c - see os.h. A seed fails on Linux in the same way, and there it is made short.
 */
#include "tests/world/os.h"

#include <stdio.h>

void os_try(const char *program, const char *options, char *said, size_t size) {
    (void)program;
    (void)options;
    if (size != 0) {
        (void)snprintf(said, size, "cannot tell: shorten it on Linux, a seed is the same there");
    }
}
