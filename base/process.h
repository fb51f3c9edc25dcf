/*
 * process.h - the end of this process. process_posix.c, process_win.c.
 */
#ifndef SLUICE_BASE_PROCESS_H
#define SLUICE_BASE_PROCESS_H

#include "base/check.h"

/* Ends the process abnormally, at once, without a dialog box and without running exit handlers.
 * POSIX: SIGABRT. Windows: exit code 3, as abort() gives; a debugger that is attached stops first.
 */
SL_NORETURN void sl_process_abort(void);

#endif
