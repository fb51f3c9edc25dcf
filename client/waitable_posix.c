/*
 * waitable_posix.c - an eventfd: readable = set. Its counter is never near full, so no write waits.
 */
#include "client/waitable.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/own_fds.h"
#include "base/status.h"

int client_waitable_open(uint64_t *ret_waitable) {
    int descriptor = sl_own_fds_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (descriptor < 0) {
        return SLUICE_EOSLIMIT;
    }
    *ret_waitable = (uint64_t)descriptor;
    return SLUICE_OK;
}

void client_waitable_close(uint64_t waitable) {
    (void)close((int)waitable);
}

void client_waitable_set(uint64_t waitable) {
    uint64_t one = 1;
    ssize_t written = write((int)waitable, &one, sizeof(one));
    (void)written;
}

void client_waitable_unset(uint64_t waitable) {
    uint64_t count;
    ssize_t taken = read((int)waitable, &count, sizeof(count));
    (void)taken;
}
