/*
 * launch.h - a private broker as a child process. launch_posix.c, launch_win.c.
 *
 * It ends with this process, however that ends: Windows kills it with the job whose only handle is
 * ours and not inheritable; on Linux it watches a pidfd of ours, which also does not care about
 * forks. These calls are synchronous: for the launch thread and for closing threads, never the I/O
 * thread (but client_launch_has_ended, which only looks).
 */
#ifndef SLUICE_CLIENT_LAUNCH_H
#define SLUICE_CLIENT_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct client_launch {
    uint64_t process_id; /* 0 = there is none */
    uint64_t os_process; /* pidfd, process handle */
    uint64_t os_job;     /* Windows */
} client_launch;

/* Where sluiced is, by absolute path; the first that is there (docs/design.md, "Where a private
 * broker is looked for"). SLUICE_OK, ENOTFOUND. */
int client_launch_find(char *ret_path, size_t size);

/* Is that an absolute path? */
bool client_launch_is_absolute(const char *path);

/* Starts `path` listening at `endpoint`. SLUICE_OK; ENOTFOUND, EACCESS, ENOMEM, EOSLIMIT, EOS. */
int client_launch_start(client_launch *launch, const char *path, const char *endpoint,
                        uint32_t *ret_os_error);

bool client_launch_has_ended(const client_launch *launch);

/* Asks it to end, waits up to grace_ns, ends it. Harmless without one. */
void client_launch_stop(client_launch *launch, uint64_t grace_ns);

/* This process's number, and its name for people. */
uint64_t client_launch_own_id(void);
void client_launch_own_name(char *ret_name, size_t size);

#endif
