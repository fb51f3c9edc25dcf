/*
 * stand_in_posix.c - see stand_in.h.
 */
#include "tests/client/stand_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

const char *const stand_in_root = "in</>";

void stand_in_set_role(const char *role) {
    SL_CHECK(setenv(STAND_IN_ROLE, role, 1) == 0, "the environment has room");
}

void stand_in_folder(char *ret_path, size_t size) {
    SL_CHECK(getcwd(ret_path, size) != NULL, "there is a folder");
}

void stand_in_log_path(char *ret_path, size_t size) {
    (void)snprintf(ret_path, size, "/tmp/sluice-launch-%ld.log", (long)getpid());
}
