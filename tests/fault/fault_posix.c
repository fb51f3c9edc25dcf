/*
 * fault_posix.c - how a call fails on Linux.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/fault/fault.h"

typedef long (*plain_call)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static intptr_t call_real(const fault_call *call, const uintptr_t args[]) {
    plain_call real;
    memcpy(&real, &call->real, sizeof(real));
    return real(args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* FUTEX_WAKE has nothing to fail at; its result is how many it woke. */
bool fault_is_exempt(const fault_call *call, const uintptr_t args[]) {
    return strcmp(call->name, "syscall") == 0 && args[0] == SYS_futex &&
           (args[2] & ~(uintptr_t)FUTEX_PRIVATE_FLAG) == FUTEX_WAKE;
}

/* connect(2): an interrupted one goes on by itself, but for that of a Unix socket. */
static bool is_going_on(const fault_call *call, const fault_error *error,
                        const uintptr_t args[]) {
    return strcmp(call->name, "connect") == 0 && error->value == EINTR &&
           ((const struct sockaddr *)args[1])->sa_family != AF_UNIX;
}

bool fault_apply(const fault_call *call, const fault_error *error, uintptr_t args[],
                 intptr_t *ret_value) {
    if (error->value == FAULT_SHORT) { /* read(2), write(2), send(2); getrandom(2) */
        size_t *length = &args[strcmp(call->name, "getrandom") == 0 ? 1 : 2];
        *length = *length > 1 ? 1 : *length;
        return false;
    }
    if (call->how == FAULT_DONE || is_going_on(call, error, args)) {
        (void)call_real(call, args);
    }
    *ret_value = call->how == FAULT_CODE ? error->value : call->how == FAULT_NULL ? 0 : -1;
    if (call->how != FAULT_CODE || strcmp(error->name, "EAI_SYSTEM") == 0) {
        errno = call->how != FAULT_CODE ? error->value : EIO;
    }
    return true;
}
