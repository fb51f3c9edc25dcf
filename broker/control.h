/*
 * control.h - the control loop: signals, the private broker's client, the drain and its limit.
 *
 * create -> (broker_create with control_on_end) -> run -> destroy, all on one thread, the control
 * thread. control_stop and control_on_end come from any thread.
 */
#ifndef SLUICE_BROKER_CONTROL_H
#define SLUICE_BROKER_CONTROL_H

#include "broker/broker.h"

typedef struct control control;

typedef struct control_options {
    sl_log *log;
    const char *private_for; /* the process whose end is ours (control_watch.h), or NULL */
    const char *life_line;   /* its other end's end is that process's, too; or NULL */
    sl_limits limits;        /* for control_drain_limit_ns */
    /* While it drains, at once and then every 500 ms. May be NULL. */
    void (*on_draining)(void *user);
    void *user;
} control_options;

/* From here on signals are remembered: one that comes before control_run stops that at once.
 * SLUICE_OK; ENOMEM, EOSLIMIT, EOS; ENOTFOUND: the process in private_for is gone; EINVAL: it is no
 * notation of a process, or life_line none of a life line; EACCESS. */
int control_create(const control_options *options, control **ret_control);

/* Ask for the drain; again: without grace. */
void control_stop(control *control);

/* For broker_options.on_end, with the control as `user`. */
void control_on_end(void *control, const broker_end *end);

/* How long a drain may take at most: operations run (drain_grace), are answered when cut short
 * (call_grace), their handles close (close_grace); and a little for the machine. */
#define CONTROL_EXTRA_NS (5 * SL_NS_PER_S)
static inline uint64_t control_drain_limit_ns(const sl_limits *limits) {
    return limits->drain_grace_ns + limits->call_grace_ns + limits->close_grace_ns +
           CONTROL_EXTRA_NS;
}

/* The same when a private broker's client is gone: nobody waits for a reply. */
#define CONTROL_PRIVATE_NS SL_NS_PER_S

/* The broker listens. Runs until it has ended. SLUICE_OK with how, or EBUSY: it has not within
 * control_drain_limit_ns (CONTROL_PRIVATE_NS), and the process should just exit. */
int control_run(control *control, broker *served, broker_end *ret_end);

/* No thread may call control_stop or control_on_end any more. NULL is allowed. */
void control_destroy(control *control);

#endif
