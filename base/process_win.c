/*
 * process_win.c - see process.h.
 *
 * Not abort(): depending on the C runtime and the subsystem it shows a message box or starts error
 * reporting, which waits for a person, and the call that would turn that off (_set_abort_behavior)
 * is missing in Wine 8's msvcrt [measured]. TerminateProcess runs no handler and asks nobody.
 */
#include "base/process.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define ABORT_EXIT_CODE 3

void sl_process_abort(void) {
    if (IsDebuggerPresent()) {
        DebugBreak();
    }
    for (;;) {
        (void)TerminateProcess(GetCurrentProcess(), ABORT_EXIT_CODE);
    }
}
