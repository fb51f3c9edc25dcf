/*
 * machine_posix.c - see far.h: what /proc and the scheduler say.
 */
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/cli/bench/far.h"

/* Each of its threads: those that it starts later inherit it. */
bool bench_machine_pin(uint64_t process_id, unsigned processor) {
    char path[48];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    (void)snprintf(path, sizeof(path), "/proc/%llu/task", (unsigned long long)process_id);
    DIR *threads = opendir(path);
    bool ok = threads != NULL;
    for (struct dirent *entry; ok && (entry = readdir(threads)) != NULL;) {
        if (entry->d_name[0] != '.') {
            ok = sched_setaffinity((pid_t)atoi(entry->d_name), sizeof(set), &set) == 0;
        }
    }
    if (threads != NULL) {
        (void)closedir(threads);
    }
    return ok;
}

uint64_t bench_machine_cpu_ns(uint64_t process_id) {
    clockid_t clock;
    struct timespec now;
    if (process_id == 0 || clock_getcpuclockid((pid_t)process_id, &clock) != 0 ||
        clock_gettime(clock, &now) != 0) {
        return 0;
    }
    return (uint64_t)now.tv_sec * SL_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The value of "NAME: 123 kB" in a file of /proc, in bytes. */
static uint64_t kilobytes_in(uint64_t process_id, const char *file, const char *name) {
    char line[256];
    uint64_t found = 0;
    (void)snprintf(line, sizeof(line), "/proc/%llu/%s", (unsigned long long)process_id, file);
    FILE *text = fopen(line, "r");
    while (text != NULL && found == 0 && fgets(line, sizeof(line), text) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            found = strtoull(line + strlen(name), NULL, 10) * 1024;
        }
    }
    if (text != NULL) {
        (void)fclose(text);
    }
    return found;
}

uint64_t bench_machine_memory(uint64_t process_id, const char **ret_kind) {
    uint64_t bytes = kilobytes_in(process_id, "smaps_rollup", "Pss:");
    *ret_kind = "PSS";
    if (bytes == 0) {
        bytes = kilobytes_in(process_id, "status", "VmRSS:");
        *ret_kind = "RSS";
    }
    return bytes;
}

/* [linux: proc_stat(5): user nice system idle iowait irq softirq steal, in ticks] */
bench_times bench_machine_times(void) {
    unsigned long long ticks[8] = {0};
    FILE *file = fopen("/proc/stat", "r");
    int count = file == NULL ? 0
                             : fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu",
                                      &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4],
                                      &ticks[5], &ticks[6], &ticks[7]);
    bench_times times = {.stolen = -1};
    if (file != NULL) {
        (void)fclose(file);
    }
    for (int i = 0; i < count; i++) {
        times.all += (double)ticks[i];
    }
    if (count == 8) {
        times.stolen = (double)ticks[7];
        times.busy = times.all - (double)ticks[3] - (double)ticks[4];
    }
    return times;
}

void bench_machine_words(char *ret_text, size_t size) {
    char line[256], model[96] = "unknown processor";
    struct utsname name;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            (void)snprintf(model, sizeof(model), "%.90s", colon + 2);
            model[strcspn(model, "\n")] = '\0';
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    (void)uname(&name);
    (void)snprintf(ret_text, size, "%ld processors (%s), %s %.32s", sysconf(_SC_NPROCESSORS_ONLN),
                   model, name.sysname, name.release);
}

void bench_machine_be_idle(void) {
    struct sched_param none = {0};
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
    /* Idle is meant among the processes of its session, where those have processor time as a group
     * (sched(7), autogroup): in ours it would make us a busy one beside a broker's. */
    FILE *group = setsid() >= 0 ? fopen("/proc/self/autogroup", "we") : NULL;
    if (group != NULL) {
        (void)fputs("19", group);
        (void)fclose(group);
    }
}

void bench_machine_wait(uint64_t waitable) {
    struct pollfd entry = {.fd = (int)waitable, .events = POLLIN};
    (void)poll(&entry, 1, 1000);
}
