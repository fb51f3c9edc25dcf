/*
 * limit_posix.c - see limit.h. Where the system's word has been lost on the way, the descriptors
 * themselves are looked at: if hardly one is free, that was it.
 */
#include "client/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

/* Opening a session takes so many at a time, with a private broker. */
#define WANTED 16u
/* Of a table that is full so many are looked at, from its end. */
#define LOOKS_MAX 4096u

static bool are_few_free(rlim_t limit) {
    unsigned free_count = 0;
    rlim_t end = limit > INT32_MAX ? INT32_MAX : limit;
    for (unsigned i = 0; i < LOOKS_MAX && i < end && free_count < WANTED; i++) {
        free_count += fcntl((int)(end - 1 - i), F_GETFD) < 0;
    }
    return free_count < WANTED;
}

static void tell(char *ret_detail, size_t size, const char *what, const char *name, rlim_t limit) {
    (void)snprintf(ret_detail, size, "this process %s: its limit %s is %llu", what, name,
                   (unsigned long long)limit);
}

bool client_limit_explain(uint32_t os_error, char *ret_detail, size_t size) {
    struct rlimit limit;
    if (os_error == ENFILE) {
        (void)snprintf(ret_detail, size, "the whole system has no more open files: fs.file-max");
        return true;
    }
    if (os_error == EAGAIN && getrlimit(RLIMIT_NPROC, &limit) == 0) {
        tell(ret_detail, size, "may start no more threads or processes", "RLIMIT_NPROC",
             limit.rlim_cur);
        return true;
    }
    if ((os_error == EMFILE || os_error == 0) && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
        (os_error == EMFILE || are_few_free(limit.rlim_cur))) {
        tell(ret_detail, size, "has too few descriptors free", "RLIMIT_NOFILE", limit.rlim_cur);
        return true;
    }
    return false;
}
