/*
 * startup.h - what differs by platform before the broker exists: the process's limits, its
 * arguments, files that are read once, names of endpoints, who may connect.
 *
 * All of it runs on the main thread, before any I/O of ours. startup_posix.c, startup_win.c.
 */
#ifndef SLUICE_BROKER_STARTUP_H
#define SLUICE_BROKER_STARTUP_H

#include "base/check.h"
#include "broker/config.h"

/* The first thing in main. Sees to the standard streams (base/sink.h), raises the limit of open
 * descriptors to its hard limit (nothing here uses select, which is what the soft one is for),
 * ignores SIGPIPE, takes UTF-8 arguments. SLUICE_OK, or EOS with a sentence: a standard stream
 * cannot be had. Failing at the rest is no reason not to run. ret_argv lives as long as the
 * process. */
int startup_process(int argc, char **argv, int *ret_argc, char ***ret_argv,
                    config_error *ret_error);

/* Reads a whole regular file into the buffer. SLUICE_OK, or ENOTFOUND, EACCESS, EOS with a sentence
 * that names it. */
int startup_read_file(const char *path, char *text, size_t size, size_t *ret_length,
                      config_error *ret_error);

/* Opens the log file (base/sink.h). SLUICE_OK, or EOS with a sentence that names it. */
int startup_open_log(const char *path, config_error *ret_error);

/* The endpoint as the engine takes it: what was given, or for "" the default, whose directory is
 * made and verified to be this user's alone. SLUICE_OK, EACCESS, ENAMETOOLONG, EOS; ENOTSUP: a
 * relative path (Linux), a path (Windows); ENAMETAKEN: what is there is no socket; EINVAL: the
 * allow list wants an endpoint. */
int startup_endpoint(const sluiced_config *config, char ret_name[ENGINE_PIPE_NAME_BYTES],
                     config_error *ret_error);

/* The folder of a private broker's endpoint, which its client has made for that alone (Linux): it
 * goes with the broker. */
void startup_remove_folder(const char *endpoint);

/* Who may connect: the allow list as the engine and the broker take it. */
#define STARTUP_ACCESS_BYTES 2048
#define STARTUP_ALLOW_MAX    (2 * CONFIG_ALLOW_MAX) /* a name may be a user's and a group's */
typedef struct startup_allowed {
    const char *access; /* engine_listen_options.access: NULL, or `text` */
    char text[STARTUP_ACCESS_BYTES];
    engine_identity allow[STARTUP_ALLOW_MAX]; /* broker_options.allow */
    unsigned allow_count;
    unsigned at; /* of the configuration's list: when it fails, the one that is wrong */
} startup_allowed;

/* SLUICE_OK; EINVAL: nobody of that name, too many of them; EOS: the system could not tell. Looks
 * names up, which may block. */
int startup_access(const sluiced_config *config, startup_allowed *ret_allowed,
                   config_error *ret_error);

/* May this account let others in? EINVAL: it is root or LocalSystem, and nobody insists. EOS: the
 * system cannot tell. */
int startup_check_account(const sluiced_config *config, config_error *ret_error);

uint64_t startup_process_id(void);

/* Ends the process at once, whatever its other threads are in; runs no exit handlers. */
SL_NORETURN void startup_exit(int code);

/* So many descriptors this process may have; 0 = the system has no such limit. ret_inherited: so
 * many of these were taken when it began, besides the standard streams. */
uint64_t startup_descriptors(uint64_t *ret_inherited);

/* So many pages the pipes of this process's user may have; 0 = the system has no such limit. */
uint64_t startup_pipe_pages(void);

#endif
