/*
 * service.h - sluiced as a Windows service: installed, started, stopped, asked, removed, run.
 *
 * service_run_win.c: inside the service. service_win.c: from outside. service_posix.c: not here;
 * systemd does it (deploy/sluice.service).
 */
#ifndef SLUICE_BROKER_SERVICE_H
#define SLUICE_BROKER_SERVICE_H

#include "broker/options.h"

/* A preshutdown waits for a whole drain: its grace, the closes' grace, and this. */
#define SERVICE_EXTRA_MS 10000u

/* service install|uninstall|start|stop|status. Prints what it did. */
sluiced_exit service_manage(const sluiced_options *options);

/* service run: called by the service manager, returns when the service has stopped. */
sluiced_exit service_run(const sluiced_options *options);

#endif
