/* failpoint_posix.c - see failpoint_os.h. */
#include "base/failpoint_os.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

const char *sl_failpoint_os_text(void) {
    return getenv("SLUICE_FAILPOINTS");
}

void sl_failpoint_os_kill(void) {
    for (;;) {
        (void)kill(getpid(), SIGKILL);
    }
}

void sl_failpoint_os_exit(int code) {
    _exit(code);
}
