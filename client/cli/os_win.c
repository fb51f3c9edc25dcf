/*
 * os_win.c - see os.h. The tool's, not the product's: it asks the console what a worker never may.
 */
#include "client/cli/os.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "base/atomic.h"
#include "base/sink.h"

bool os_is_terminal(void) {
    DWORD mode;
    return GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode) != 0;
}

/* TerminateProcess does not wait for the other threads to leave the C runtime or their DLLs. The
 * kernel may still linger over a request that nobody lets go of. */
void os_leave(int code) {
    (void)TerminateProcess(GetCurrentProcess(), (UINT)code);
    for (;;) {
        (void)SwitchToThread();
    }
}

void os_prepare(void) {
    uint32_t os_error;
    (void)sl_sink_prepare(&os_error);
}

const os_broker_words os_words = {
    .starts = "\"sluiced run\" or \"sluiced service start\" starts one",
    .elsewhere = "",
    .access = "",
};

static sl_atomic_bool is_interrupted;

/* On a thread of the system's. */
static BOOL WINAPI on_interrupt(DWORD event) {
    bool is_first = (event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT) &&
                    !atomic_exchange(&is_interrupted, true);
    return is_first ? TRUE : FALSE;
}

void os_catch_interrupt(void) {
    (void)SetConsoleCtrlHandler(on_interrupt, TRUE);
}

bool os_is_interrupted(void) {
    return atomic_load(&is_interrupted);
}

uint64_t os_process_id(void) {
    return GetCurrentProcessId();
}

unsigned os_processor(unsigned index) {
    DWORD_PTR allowed = 0;
    DWORD_PTR installed = 0;
    unsigned found = 0;
    (void)GetProcessAffinityMask(GetCurrentProcess(), &allowed, &installed);
    for (unsigned cpu = sizeof(allowed) * 8; cpu-- > 0;) {
        if ((allowed >> cpu) & 1) {
            found = cpu;
            if (index-- == 0) {
                break;
            }
        }
    }
    return found;
}
