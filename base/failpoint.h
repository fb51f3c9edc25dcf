/*
 * failpoint.h - named points where a test makes a real process fail, wait or die.
 *
 * Test builds only (SLUICE_FAILPOINTS, cmake/failpoints.cmake): the product is compiled without,
 * and nothing of this is in it. docs/testing.md, "Failpoints", has the grammar, and how to use it
 * by hand. A configuration is NAME=ACTION[->ACTION...][;NAME=...]; it comes from the environment
 * variable SLUICE_FAILPOINTS when the process first meets a point, or later by
 * sl_failpoint_configure (the broker: by a request, broker/failpoint_request.h).
 *
 * A point that waits stands still on purpose, also on a worker, which otherwise waits in
 * engine_poll only (I2): that is what such a test wants to see.
 */
#ifndef SLUICE_BASE_FAILPOINT_H
#define SLUICE_BASE_FAILPOINT_H

#include "base/status.h"

/* X(module, name, does it take `return`?, what happens there) */
#define SL_FAILPOINT_TABLE(X) \
    X(engine, endpoint, 1, "the broker's name is about to be taken; return: it is refused") \
    X(engine, worker, 1, "a worker's queue is about to be made; return: it is refused") \
    X(engine, listen, 1, "a listener is about to be opened; return: it is refused") \
    X(engine, submit, 1, "a request is about to be taken in; return: it is refused") \
    X(engine, submitted, 0, "a request is in its queue, or with the system") \
    X(engine, open, 1, "an opener thread is about to make a call that may block; return: fails") \
    X(engine, complete, 0, "the system has given a request back") \
    X(engine, deliver, 0, "a completion is about to be handed to its owner") \
    X(engine, cancel, 1, "the system is about to be asked for a request; return: it is not asked") \
    X(engine, cancelled, 0, "the system was asked for a request") \
    X(engine, close, 0, "a handle is about to be closed: its requests are not asked for yet") \
    X(engine, release, 0, "a handle's last request is back; the system's handle is still open") \
    X(engine, closed, 0, "the close of a handle is about to be handed to its owner") \
    X(broker, start, 1, "the broker is about to be made; return: it is not") \
    X(broker, worker, 1, "a worker's thread has started; return: it cannot open") \
    X(broker, started, 0, "all workers run; nobody was told yet") \
    X(broker, accept, 1, "a client has connected; return: its connection is closed at once") \
    X(broker, accepted, 0, "a session was made of a connection") \
    X(broker, submit, 1, "a request for work has its operation; return: it ends with that") \
    X(broker, submitted, 0, "a request for work was given to its handle or the engine") \
    X(broker, cancel, 1, "a client's cancel has come; return: it is forgotten") \
    X(broker, deadline, 0, "an operation's time is up") \
    X(broker, complete, 0, "a completion is about to be acted on") \
    X(broker, finish, 0, "an operation is about to end") \
    X(broker, close, 0, "a client's handle is about to be closed") \
    X(broker, closed, 0, "a client's handle is closed; nobody was told yet") \
    X(broker, reply, 0, "a reply is about to be put into words") \
    X(broker, send, 1, "replies are about to be sent; return: the connection refuses them") \
    X(broker, sent, 0, "replies were given to the connection") \
    X(broker, end, 0, "a session is about to end") \
    X(broker, stop, 0, "the control loop is about to begin a drain") \
    X(broker, drain, 0, "a worker has heard of the drain") \
    X(broker, ended, 0, "all workers have ended or are stuck; nothing was given back yet") \
    X(broker, stopped, 0, "everything was given back; the process is about to end") \
    X(service, start, 1, "Windows: the service manager has started us; return: the start fails") \
    X(service, running, 0, "Windows: the service manager is about to hear that we run") \
    X(service, stop, 0, "Windows: the service manager wants us to stop") \
    X(service, stopped, 0, "Windows: the service manager is about to hear that we have stopped") \
    X(client, open, 1, "a session is about to be opened; return: it is not") \
    X(client, launch, 1, "a private broker is about to be started; return: it is not") \
    X(client, connect, 1, "a connection is about to be tried; return: it fails") \
    X(client, connected, 0, "the broker has answered the Hello") \
    X(client, submit, 1, "a call is about to become an operation; return: it is refused") \
    X(client, submitted, 0, "an operation was given to the I/O thread") \
    X(client, send, 0, "frames are about to be sent") \
    X(client, receive, 0, "a frame has come") \
    X(client, finish, 0, "an operation's outcome is about to be fixed") \
    X(client, callback, 0, "a callback is about to be called") \
    X(client, called, 0, "a callback has returned") \
    X(client, cancel, 1, "a cancel is about to be posted; return: it is not") \
    X(client, lost, 0, "the connection is lost; no call has ended yet") \
    X(client, close, 0, "a session is about to be closed") \
    X(client, closed, 0, "a session was closed; its memory is about to be given back")

#ifdef SLUICE_FAILPOINTS

#include <stdbool.h>
#include <stddef.h>

typedef enum sl_failpoint {
#define X(module, name, returns, sentence) SL_FAILPOINT_##module##_##name,
    SL_FAILPOINT_TABLE(X)
#undef X
    SL_FAILPOINT_COUNT
} sl_failpoint;

#define SL_FAILPOINT_ERROR_BYTES 160

/* Acts as configured: SLUICE_OK, or the status of `return`. Any thread. What acts says so on
 * standard error (and in the log file), once: "sluice: failpoint NAME: ACTION". */
int sl_failpoint_hit(sl_failpoint point);

/* Changes the points that `text` names, and lets go of whoever waits at them; "all" names every
 * point. false: nothing was changed, and the error says what is wrong and in which column. */
bool sl_failpoint_configure(const char *text, char ret_error[SL_FAILPOINT_ERROR_BYTES]);

/* From now on the calling thread passes all points (and no other does): it can always let go of
 * those that wait. */
void sl_failpoint_exempt_this_thread(void);

/* "engine.submit" */
const char *sl_failpoint_name(sl_failpoint point);

#define SL_FAILPOINT(module, name) sl_failpoint_hit(SL_FAILPOINT_##module##_##name)
#else
#define SL_FAILPOINT(module, name) SLUICE_OK
#endif

/* Where there is nothing to refuse. */
#define SL_FAILPOINT_PASS(module, name) ((void)SL_FAILPOINT(module, name))

#endif
