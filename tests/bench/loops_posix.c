/*
 * loops_posix.c - see loops.h.
 */
#include "loops.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS 40000u /* both ends of 9,001 connections, twice, and some to spare */

void loops_pipe_name(char *ret_name, size_t size, const char *purpose) {
    (void)snprintf(ret_name, size, "/tmp/sluice-bench-%ld-%s", (long)getpid(), purpose);
}

void loops_prepare(void) {
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    (void)setrlimit(RLIMIT_NOFILE,
                    &limit); /* takes a privilege; else some rows are not measurable */
}

uint64_t loops_calls(void) {
    return 0; /* tests/bench/count_syscalls.sh counts */
}

void loops_enter(void) {
}
