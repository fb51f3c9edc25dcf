/*
 * direct.c - see direct.h. Threads: any lane of the worker, several at a time on one end.
 */
#include "client/cli/direct.h"

#include "base/alloc.h"

#define CLOSING UINT32_C(0x80000000)

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
        direct_system_close(end->handle);
    }
}

static direct_end *end_at(uint64_t number) {
    return (direct_end *)(uintptr_t)number;
}

int direct_read(hang_lane *lane, uint64_t number, void *buffer, uint32_t bytes,
                uint64_t *ret_done) {
    direct_end *end = end_at(number);
    (void)lane;
    if (!enter(end)) {
        return SLUICE_ECLOSED;
    }
    int status = direct_system_read(end->handle, buffer, bytes, ret_done);
    leave(end);
    return status;
}

int direct_write(hang_lane *lane, uint64_t number, const void *data, uint32_t bytes,
                 uint64_t *ret_done) {
    direct_end *end = end_at(number);
    (void)lane;
    if (!enter(end)) {
        return SLUICE_ECLOSED;
    }
    int status = direct_system_write(end->handle, data, bytes, ret_done);
    leave(end);
    return status;
}

int direct_pair(hang_lane *lane, hang_ends *ret_ends) {
    direct_worker *state = lane->worker->io_state;
    uint64_t handles[2];
    int status = direct_system_pipe(handles);
    if (status != SLUICE_OK) {
        return status;
    }
    for (int i = 0; i < 2; i++) {
        state->ends[i].handle = handles[i];
        atomic_store(&state->ends[i].users, 1);
    }
    ret_ends->reader = (uint64_t)(uintptr_t)&state->ends[0];
    ret_ends->writer = (uint64_t)(uintptr_t)&state->ends[1];
    return SLUICE_OK;
}

/* What Go's Close did: mark, cancel, and let the last one close. On Windows the cancel can hang. */
int direct_close(hang_lane *lane, uint64_t number) {
    direct_end *end = end_at(number);
    (void)lane;
    atomic_fetch_or(&end->users, CLOSING);
    direct_system_cancel(end->handle);
    leave(end);
    return SLUICE_OK;
}

void direct_forget(hang_worker *worker) {
    (void)worker;
}

int direct_open_state(hang_worker *worker, size_t size) {
    worker->io_state = sl_allocator_system()->acquire(sl_allocator_system(), size);
    return worker->io_state != NULL ? SLUICE_OK : SLUICE_ENOMEM;
}

void direct_close_state(hang_worker *worker, size_t size) {
    if (worker->io_state != NULL) {
        sl_allocator_system()->release(sl_allocator_system(), worker->io_state, size);
        worker->io_state = NULL;
    }
}
