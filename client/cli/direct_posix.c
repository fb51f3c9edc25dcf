/*
 * direct_posix.c - hangtest inside this process: plain blocking pipes, closed while in use.
 *
 * On Linux nothing hangs: a blocked writer wakes when the reader's descriptor goes. It is there to
 * compare with. The tool's raw side: kept out of the audit's judgement (docs/audit.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "client/cli/direct.h"

static int status_of(int error) {
    return error == EPIPE ? SLUICE_EBROKENPIPE : error == EMFILE ? SLUICE_EOSLIMIT : SLUICE_EOS;
}

int direct_system_read(uint64_t handle, void *buffer, uint32_t bytes, uint64_t *ret_done) {
    ssize_t count;
    do {
        count = read((int)handle, buffer, bytes);
    } while (count < 0 && errno == EINTR);
    *ret_done = count > 0 ? (uint64_t)count : 0;
    return count > 0 ? SLUICE_OK : count == 0 ? SLUICE_EEOF : status_of(errno);
}

int direct_system_write(uint64_t handle, const void *data, uint32_t bytes, uint64_t *ret_done) {
    ssize_t count;
    do {
        count = write((int)handle, data, bytes);
    } while (count < 0 && errno == EINTR);
    *ret_done = count > 0 ? (uint64_t)count : 0;
    return count >= 0 ? SLUICE_OK : status_of(errno);
}

int direct_system_pipe(uint64_t ret_handles[2]) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return status_of(errno);
    }
    ret_handles[0] = (uint64_t)fds[0];
    ret_handles[1] = (uint64_t)fds[1];
    return SLUICE_OK;
}

/* There is no such call here, and no need: see above. */
void direct_system_cancel(uint64_t handle) {
    (void)handle;
}

void direct_system_close(uint64_t handle) {
    (void)close((int)handle);
}

static int open_worker(hang_test *test, hang_worker *worker) {
    (void)test;
    return direct_open_state(worker, sizeof(direct_worker));
}

static void close_worker(hang_worker *worker) {
    direct_close_state(worker, sizeof(direct_worker));
}

const hang_io hang_io_direct = {
    .name = "direct",
    .open_worker = open_worker,
    .close_worker = close_worker,
    .pair = direct_pair,
    .read = direct_read,
    .write = direct_write,
    .close = direct_close,
    .forget = direct_forget,
};
