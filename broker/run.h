/*
 * run.h - one run of the broker, in the foreground or as a service: configuration, log, broker,
 * control loop, and back down. The calling thread becomes the control thread.
 */
#ifndef SLUICE_BROKER_RUN_H
#define SLUICE_BROKER_RUN_H

#include "broker/control.h"
#include "broker/options.h"
#include "broker/startup.h"

/* For the service; all on the calling thread, each may be NULL. */
typedef struct run_hooks {
    void (*on_control)(void *user, control *control); /* may be stopped; NULL: no longer */
    void (*on_running)(void *user);
    void (*on_draining)(void *user);
    void *user;
} run_hooks;

/* hooks may be NULL. With SLUICED_EXIT_STUCK threads are left: the process should just exit. */
sluiced_exit run_broker(const sluiced_options *options, const run_hooks *hooks);

/* The configuration file and what the command line says. Complains on standard error. */
sluiced_exit run_load_config(const sluiced_options *options, sluiced_config *ret_config);

/* The users and groups of the allow list. Complains, of the command line or of the file's line. */
sluiced_exit run_find_allowed(const sluiced_options *options, const sluiced_config *config,
                              startup_allowed *ret_allowed);

#endif
