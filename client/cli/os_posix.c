/*
 * os_posix.c - see os.h.
 */
#include "client/cli/os.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/sink.h"

bool os_is_terminal(void) {
    return isatty(STDERR_FILENO) == 1;
}

void os_leave(int code) {
    _exit(code);
}

void os_prepare(void) {
    uint32_t os_error;
    if (!sl_sink_prepare(&os_error)) {
        os_leave(1); /* what it would say, it would say to a connection */
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

const os_broker_words os_words = {
    .starts = "\"sluiced run\" starts one",
    .elsewhere = " (that of\nthe systemd service is /run/sluice/broker)",
    .access = " (they also have\nto get into the directory of the socket)",
};

static sl_atomic_bool is_interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    atomic_store(&is_interrupted, true);
}

void os_catch_interrupt(void) {
    struct sigaction once = {.sa_handler = on_interrupt,
                             .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &once, NULL);
    (void)sigaction(SIGTERM, &once, NULL);
}

bool os_is_interrupted(void) {
    return atomic_load(&is_interrupted);
}

uint64_t os_process_id(void) {
    return (uint64_t)getpid();
}

unsigned os_processor(unsigned index) {
    cpu_set_t allowed;
    unsigned found = 0;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return 0;
    }
    for (unsigned cpu = CPU_SETSIZE; cpu-- > 0;) {
        if (CPU_ISSET(cpu, &allowed)) {
            found = cpu;
            if (index-- == 0) {
                break;
            }
        }
    }
    return found;
}
