/*
 * bench_posix.c - what the benchmark asks of Linux: its own CPU time, processors, names,
 * descriptors.
 */
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

uint64_t bench_os_thread_cpu_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) {
        return 0;
    }
    return (uint64_t)now.tv_sec * SL_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t bench_os_calls(void) {
    return 0;
}

const char *bench_os_calls_note(void) {
    return "system calls per unit: tests/bench/count_syscalls.sh";
}

void bench_os_enter_measuring_thread(void) {
}

bool bench_os_error_is_terminal(void) {
    return isatty(STDERR_FILENO) == 1;
}

/* The highest allowed processor is measured, because the lowest takes most interrupts. */
unsigned bench_os_default_cpu(unsigned index) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return 0;
    }
    unsigned highest = 0;
    unsigned next = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            next = highest;
            highest = cpu;
        }
    }
    return index == 0 || !CPU_ISSET(next, &allowed) ? highest : next;
}

void bench_os_pipe_name(char *ret_name, size_t size, const char *purpose) {
    (void)snprintf(ret_name, size, "/tmp/sluice-bench-%ld-%s", (long)getpid(), purpose);
}

bool bench_os_want_descriptors(unsigned count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return false;
    }
    if (limit.rlim_cur >= count) {
        return true;
    }
    limit.rlim_cur = count;
    if (limit.rlim_max < count) {
        limit.rlim_max = count; /* takes a privilege */
    }
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}
