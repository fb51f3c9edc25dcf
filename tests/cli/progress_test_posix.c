/*
 * progress_test_posix.c - a line about progress takes the place of the one before, and nothing in
 * it does anything else to the terminal (client/cli/out.h).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "client/cli/out.h"

int main(void) {
    char written[200];
    char wanted[200];
    int ends[2];
    int error_fd = dup(STDERR_FILENO);
    SL_CHECK(error_fd >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0, "a pipe");
    out_progress("%u of %s", 5, "\r\x1b[2J");
    out_progress_end();
    SL_CHECK(dup2(error_fd, STDERR_FILENO) >= 0 && close(ends[1]) == 0, "standard error again");
    ssize_t count = read(ends[0], written, sizeof(written) - 1);
    written[count > 0 ? count : 0] = '\0';
    (void)snprintf(wanted, sizeof(wanted), "\r5 of ??[2J\r%60s\r", "");
    SL_CHECK(strcmp(written, wanted) == 0, "only the carriage returns of our own");
    puts("ok");
    return 0;
}
