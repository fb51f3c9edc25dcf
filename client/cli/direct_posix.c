/*
 * direct_posix.c - hangtest inside this process: plain blocking pipes, closed while in use.
 *
 * As in Go, each end counts the calls that are inside: close() marks it, and the last one out
 * closes the descriptor, so that no call ever meets another file under its number. On Linux nothing
 * hangs: a blocked writer wakes when the reader's descriptor goes. It is there to compare with.
 * The tool's raw side: kept out of the audit's judgement (docs/audit.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client/cli/hang.h"

#define CLOSING UINT32_C(0x80000000)

typedef struct direct_end {
    int fd;
    sl_atomic_u32 users; /* CLOSING | the calls inside, and one for being open */
} direct_end;

typedef struct direct_worker {
    direct_end ends[2];
} direct_worker;

static bool enter(direct_end *end) {
    uint32_t users = atomic_load(&end->users);
    while ((users & CLOSING) == 0) {
        if (atomic_compare_exchange_weak(&end->users, &users, users + 1)) {
            return true;
        }
    }
    return false;
}

static void leave(direct_end *end) {
    if (((atomic_fetch_sub(&end->users, 1) - 1) & ~CLOSING) == 0) {
        (void)close(end->fd);
    }
}

static direct_end *end_at(uint64_t number) {
    return (direct_end *)(uintptr_t)number;
}

static int status_of(int error) {
    return error == EPIPE ? SLUICE_EBROKENPIPE : error == EMFILE ? SLUICE_EOSLIMIT : SLUICE_EOS;
}

static int direct_read(hang_lane *lane, uint64_t number, void *buffer, uint32_t bytes,
                       uint64_t *ret_done) {
    direct_end *end = end_at(number);
    ssize_t count;
    (void)lane;
    if (!enter(end)) {
        return SLUICE_ECLOSED;
    }
    do {
        count = read(end->fd, buffer, bytes);
    } while (count < 0 && errno == EINTR);
    int status = count > 0 ? SLUICE_OK : count == 0 ? SLUICE_EEOF : status_of(errno);
    leave(end);
    *ret_done = count > 0 ? (uint64_t)count : 0;
    return status;
}

static int direct_write(hang_lane *lane, uint64_t number, const void *data, uint32_t bytes,
                        uint64_t *ret_done) {
    direct_end *end = end_at(number);
    ssize_t count;
    (void)lane;
    if (!enter(end)) {
        return SLUICE_ECLOSED;
    }
    do {
        count = write(end->fd, data, bytes);
    } while (count < 0 && errno == EINTR);
    int status = count >= 0 ? SLUICE_OK : status_of(errno);
    leave(end);
    *ret_done = count > 0 ? (uint64_t)count : 0;
    return status;
}

static int direct_pair(hang_lane *lane, hang_ends *ret_ends) {
    direct_worker *state = lane->worker->io_state;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return status_of(errno);
    }
    for (int i = 0; i < 2; i++) {
        state->ends[i].fd = fds[i];
        atomic_store(&state->ends[i].users, 1);
    }
    ret_ends->reader = (uint64_t)(uintptr_t)&state->ends[0];
    ret_ends->writer = (uint64_t)(uintptr_t)&state->ends[1];
    return SLUICE_OK;
}

static int direct_close(hang_lane *lane, uint64_t number) {
    direct_end *end = end_at(number);
    (void)lane;
    atomic_fetch_or(&end->users, CLOSING);
    leave(end);
    return SLUICE_OK;
}

static void direct_forget(hang_worker *worker) {
    (void)worker;
}

static int direct_open_worker(hang_test *test, hang_worker *worker) {
    (void)test;
    worker->io_state = sl_allocator_system()->acquire(sl_allocator_system(),
                                                      sizeof(direct_worker));
    return worker->io_state != NULL ? SLUICE_OK : SLUICE_ENOMEM;
}

static void direct_close_worker(hang_worker *worker) {
    if (worker->io_state != NULL) {
        sl_allocator_system()->release(sl_allocator_system(), worker->io_state,
                                       sizeof(direct_worker));
        worker->io_state = NULL;
    }
}

const hang_io hang_io_direct = {
    .name = "direct",
    .open_worker = direct_open_worker,
    .close_worker = direct_close_worker,
    .pair = direct_pair,
    .read = direct_read,
    .write = direct_write,
    .close = direct_close,
    .forget = direct_forget,
};
