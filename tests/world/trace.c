/*
 * trace.c - one life, line by line: what the programs do, and what the simulated kernel does. Also
 * where a process dies that is to die at one of its calls.
 */
#include <stdarg.h>
#include <stdio.h>

#include "tests/world/world.h"

static void print_time(const world_life *life) {
    printf("%12.6f ms  ", (double)world_now_ns(life) / SL_NS_PER_MS);
}

void world_print(const world_life *life, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_time(life);
    (void)vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

static const char *owner_of(const world_life *life, const sim_trace *trace) {
    const world_process *owner = life->owner[trace->worker % WORLD_WORKERS_SEEN];
    return owner == NULL ? "peers" : owner->name;
}

static void print_trace(const world_life *life, const sim_trace *trace) {
    if (trace->what == SIM_TRACE_WAIT || trace->what == SIM_TRACE_EVENT) {
        return;
    }
    print_time(life);
    printf("    kernel: ");
    if (trace->what == SIM_TRACE_FAULT) {
        printf("fault %s\n", sim_fault_name((sim_fault)trace->value));
        return;
    }
    printf("%s (worker %u): %s", owner_of(life, trace), trace->worker,
           sim_trace_what_name(trace->what));
    if (trace->id != 0) {
        printf(" %s #%llx", engine_kind_name(trace->kind), (unsigned long long)trace->id);
    }
    if (trace->handle != 0) {
        printf(" on handle %llx", (unsigned long long)trace->handle);
    }
    if (trace->what == SIM_TRACE_FINISH) {
        printf(": %s, %llu bytes, %llu in doubt", sl_status_name(trace->status),
               (unsigned long long)trace->bytes, (unsigned long long)trace->in_doubt);
    }
    printf("\n");
}

/* Where a process enters the kernel. */
static bool is_call(const sim_trace *trace) {
    return trace->what == SIM_TRACE_START || trace->what == SIM_TRACE_CANCEL ||
           trace->what == SIM_TRACE_RELEASE;
}

void world_on_trace(void *user, const sim_trace *trace) {
    world_life *life = user;
    if (life->is_traced) {
        print_trace(life, trace);
    }
    world_process *running = life->running;
    if (running == NULL || running->dies_in == 0 || !is_call(trace) ||
        sim_world_is_firing(life->world) ||
        life->owner[trace->worker % WORLD_WORKERS_SEEN] != running) {
        return;
    }
    if (--running->dies_in == 0) {
        longjmp(life->death, 1);
    }
}
