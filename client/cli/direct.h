/*
 * direct.h - hangtest inside this process: what is the same on every system (direct.c), and what
 * the system has to do (direct_posix.c, direct_win.c).
 *
 * As in Go, each end counts the calls that are inside: a close marks it, and the last one out
 * closes the system's handle, so that no call ever meets another file under its number. The tool's
 * raw side: it breaks rules of this project on purpose (docs/audit.md).
 */
#ifndef SLUICE_CLI_DIRECT_H
#define SLUICE_CLI_DIRECT_H

#include "client/cli/hang.h"

typedef struct direct_end {
    uint64_t handle;     /* the system's: a descriptor, a HANDLE */
    sl_atomic_u32 users; /* CLOSING | the calls inside, and one for being open */
} direct_end;

/* What a hang_worker's io_state points at, or begins with. */
typedef struct direct_worker {
    direct_end ends[2];
} direct_worker;

/* direct.c: as in hang_io. */
int direct_pair(hang_lane *lane, hang_ends *ret_ends);
int direct_read(hang_lane *lane, uint64_t end, void *buffer, uint32_t bytes, uint64_t *ret_done);
int direct_write(hang_lane *lane, uint64_t end, const void *data, uint32_t bytes,
                 uint64_t *ret_done);
int direct_close(hang_lane *lane, uint64_t end);
void direct_forget(hang_worker *worker);
/* Memory of that size, zeroed, that begins with a direct_worker. SLUICE_OK, ENOMEM. */
int direct_open_state(hang_worker *worker, size_t size);
void direct_close_state(hang_worker *worker, size_t size);

/* The system's: synchronous calls, which may block. Statuses; *ret_done also on failure. */
int direct_system_pipe(uint64_t ret_handles[2]);
int direct_system_read(uint64_t handle, void *buffer, uint32_t bytes, uint64_t *ret_done);
int direct_system_write(uint64_t handle, const void *data, uint32_t bytes, uint64_t *ret_done);
/* Asks the calls that are inside to end. */
void direct_system_cancel(uint64_t handle);
void direct_system_close(uint64_t handle);

#endif
