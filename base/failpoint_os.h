/* failpoint_os.h - what failpoints need of the system. failpoint_posix.c, failpoint_win.c. */
#ifndef SLUICE_BASE_FAILPOINT_OS_H
#define SLUICE_BASE_FAILPOINT_OS_H

#include "base/check.h"

/* What the process is to start with; NULL = nothing. Asked once. */
const char *sl_failpoint_os_text(void);

/* The process is gone when this is called: no handler, no buffer, no lock. Its exit code is a
 * SIGKILL's, or 9. */
SL_NORETURN void sl_failpoint_os_kill(void);

/* Ends the process with this exit code, as abruptly. */
SL_NORETURN void sl_failpoint_os_exit(int code);

#endif
