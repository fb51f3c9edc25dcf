/*
 * loops_win.c - see loops.h. With the interposer linked (sluice_audit_target) the calls that carry
 * I/O are counted.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "loops.h"

#include <stdio.h>

#include "base/check.h"

#ifdef SLUICE_BENCH_AUDIT
#include "tests/audit/sluice_audit.h"
#endif

void loops_pipe_name(char *ret_name, size_t size, const char *purpose) {
    (void)snprintf(ret_name, size, "\\\\.\\pipe\\sluice-bench-%lu-%s", GetCurrentProcessId(),
                   purpose);
}

void loops_prepare(void) { /* handles are limited by memory */
}

#ifdef SLUICE_BENCH_AUDIT
uint64_t loops_calls(void) {
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

/* The raw loop opens its pipes on the measuring thread, which would be a violation in the
 * product. */
void loops_enter(void) {
    sluice_audit_exempt_thread(true);
}
#else
uint64_t loops_calls(void) {
    return 0;
}

void loops_enter(void) {
}
#endif
