/*
 * stand_in_posix.c - see stand_in.h.
 */
#include "tests/client/stand_in.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/status.h"

const char *const stand_in_root = "in</>";
const char *const stand_in_exit_words = ""; /* it is init's to know */
const stand_in_refusal stand_in_refusals[2] = {
    {SLUICE_EINVAL, ENOENT, "No such file or directory"},
    {SLUICE_EINVAL, EISDIR, "Is a directory"},
};
const stand_in_refusal stand_in_no_start = {SLUICE_EACCESS, EACCES, "Permission denied"};

void stand_in_set_role(const char *role) {
    SL_CHECK(setenv(STAND_IN_ROLE, role, 1) == 0, "the environment has room");
}

void stand_in_folder(char *ret_path, size_t size) {
    SL_CHECK(getcwd(ret_path, size) != NULL, "there is a folder");
}

void stand_in_log_path(char *ret_path, size_t size) {
    (void)snprintf(ret_path, size, "/tmp/sluice-launch-%ld.log", (long)getpid());
}

uint64_t stand_in_open_log(const char *path) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    SL_CHECK(fd > 0, "the log can be opened");
    return (uint64_t)fd;
}

uint64_t stand_in_open_to_read(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    SL_CHECK(fd > 0, "the log can be opened");
    return (uint64_t)fd;
}

bool stand_in_tells_rights(uint64_t log) {
    (void)log;
    return true; /* F_GETFL */
}

void stand_in_close_log(uint64_t log) {
    (void)close((int)log);
}
