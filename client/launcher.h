/*
 * launcher.h - starts a private broker on a thread that can be spared (errand.h), and sees to its
 * end. A start that does not come back in time is left: what comes of it later is ended at once.
 */
#ifndef SLUICE_CLIENT_LAUNCHER_H
#define SLUICE_CLIENT_LAUNCHER_H

#include "base/random.h"
#include "client/launch.h"
#include "client/operation.h"
#include "proto/reason.h"

typedef struct client_start client_start;

typedef struct client_launcher {
    client_launch_options options; /* path "" = to be found */
    engine_worker *worker;         /* who is told */
    sl_random *random;
    client_start *start;  /* under way, or NULL; the I/O thread's, then the closer's */
    client_start *broker; /* the present broker; likewise */
    client_mail refused;  /* the I/O thread's own */
    bool is_refused;      /* `refused` is under way */
    int refusal;          /* why */
} client_launcher;

/* options->log is the launcher's from then on. */
void client_launcher_init(client_launcher *launcher, sl_random *random,
                          const client_launch_options *options);

/* I/O thread: ends the broker before, if any, and starts another, for somebody who waits until
 * deadline_ns of the system clock. client_core_launched follows. */
void client_launcher_start(client_launcher *launcher, engine_worker *worker, uint64_t deadline_ns);
/* I/O thread, after that. */
bool client_launcher_has_ended(const client_launcher *launcher);
/* I/O thread: what the start that is under way waits for, if there is one. */
void client_launcher_explain_start(client_launcher *launcher, sl_reason *ret_reason);
/* ... which broker has ended, and how, if there was one. */
void client_launcher_explain_end(client_launcher *launcher, sl_reason *ret_reason);
/* ... 0 = there is none. */
uint64_t client_launcher_process_id(const client_launcher *launcher);

/* I/O thread, before it ends: leaves a start that is under way. false: mail is still to come. */
bool client_launcher_leave(client_launcher *launcher);

/* After the I/O thread has ended, or where there was none: ends the broker, until deadline_ns of
 * the system clock; what takes longer is seen to by a thread that can be spared. */
void client_launcher_stop(client_launcher *launcher, uint64_t deadline_ns);

#endif
