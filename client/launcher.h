/*
 * launcher.h - the thread that starts a private broker, so that the I/O thread never waits for it.
 */
#ifndef SLUICE_CLIENT_LAUNCHER_H
#define SLUICE_CLIENT_LAUNCHER_H

#include "base/random.h"
#include "client/launch.h"
#include "client/operation.h"

#define CLIENT_BROKER_PATH_BYTES 2048u

typedef struct client_launcher {
    char path[CLIENT_BROKER_PATH_BYTES]; /* "" = to be found */
    engine_worker *worker; /* who is told */
    sl_random *random;
    sl_thread thread;
    bool has_thread;       /* started and not joined: the I/O thread's, then the closer's */
    sl_atomic_bool is_running;
    client_mail done;      /* the launch thread's */
    client_mail refused;   /* the I/O thread's own */
    bool is_refused;       /* `refused` is under way */
    int refusal;           /* why */
    /* Written by the launch thread before `done`, read after it. */
    client_launch launch;
    int status;
    uint32_t os_error;
    const char *detail; /* of a failure. Static */
    char endpoint[ENGINE_PIPE_NAME_BYTES];
} client_launcher;

void client_launcher_init(client_launcher *launcher, sl_random *random, const char *path);

/* I/O thread: ends the broker before, if any, and starts another. client_core_launched follows. */
void client_launcher_start(client_launcher *launcher, engine_worker *worker);
/* I/O thread, after that. */
bool client_launcher_has_ended(const client_launcher *launcher);

/* After the I/O thread has ended: ends the broker. */
void client_launcher_stop(client_launcher *launcher);

/* Before the I/O thread ends: is a launch under way that will still send mail? */
bool client_launcher_is_busy(const client_launcher *launcher);

#endif
