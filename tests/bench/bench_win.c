/*
 * bench_win.c - what the benchmark asks of Windows. With the interposer linked
 * (sluice_audit_target) it counts the calls that carry I/O.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>

#include "base/check.h"
#include "bench.h"

#ifdef SLUICE_BENCH_AUDIT
#include "tests/audit/sluice_audit.h"
#endif

uint64_t bench_os_thread_cpu_ns(void) {
    return 0; /* GetThreadTimes ticks at 15.6 ms, and under Wine the work is the server's */
}

#ifdef SLUICE_BENCH_AUDIT
uint64_t bench_os_calls(void) {
    static const char *const names[] = {"ReadFile",
                                        "WriteFile",
                                        "CancelIoEx",
                                        "GetQueuedCompletionStatusEx",
                                        "GetQueuedCompletionStatus",
                                        "PostQueuedCompletionStatus"};
    uint64_t total = 0;
    for (size_t index = 0; index < SL_ARRAY_COUNT(names); index++) {
        total += sluice_audit_calls(names[index]);
    }
    return total;
}

const char *bench_os_calls_note(void) {
    return "OS calls per unit counted by the interposer";
}

/* The raw loop opens its pipes on the measuring thread, which would be a violation in the
 * product. */
void bench_os_enter_measuring_thread(void) {
    sluice_audit_exempt_thread(true);
}
#else
uint64_t bench_os_calls(void) {
    return 0;
}

const char *bench_os_calls_note(void) {
    return "OS calls are not counted (built without the interposer)";
}

void bench_os_enter_measuring_thread(void) {
}
#endif

bool bench_os_error_is_terminal(void) {
    DWORD mode;
    return GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode) != 0;
}

/* The highest allowed processor is measured, because the lowest takes most interrupts. */
unsigned bench_os_default_cpu(unsigned index) {
    DWORD_PTR allowed = 0;
    DWORD_PTR system = 0;
    (void)GetProcessAffinityMask(GetCurrentProcess(), &allowed, &system);
    unsigned found[2] = {0, 0};
    for (unsigned cpu = 0; cpu < sizeof allowed * 8; cpu++) {
        if ((allowed >> cpu) & 1) {
            found[1] = found[0];
            found[0] = cpu;
        }
    }
    return index == 0 || ((allowed >> found[1]) & 1) == 0 ? found[0] : found[1];
}

void bench_os_pipe_name(char *ret_name, size_t size, const char *purpose) {
    (void)snprintf(ret_name, size, "\\\\.\\pipe\\sluice-bench-%lu-%s", GetCurrentProcessId(),
                   purpose);
}

bool bench_os_want_descriptors(unsigned count) {
    (void)count; /* handles are limited by memory */
    return true;
}
