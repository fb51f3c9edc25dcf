/*
 * opener.h - threads for what has no asynchronous form: opening a pipe by name on Windows, and
 * looking up host names.
 *
 * A job and the request that waits for it are two objects. Whoever comes first decides: the opener
 * that finished (the result goes to the worker as a message) or the worker that gave up (cancel,
 * deadline: the request ends at once, and the opener disposes of the late result). Jobs are a fixed
 * array made with the engine, so submitting one allocates nothing and takes no lock.
 */
#ifndef SLUICE_ENGINE_OPENER_H
#define SLUICE_ENGINE_OPENER_H

#include "base/thread.h"
#include "engine/backend.h"

#define ENGINE_RESOLVE_MAX 16 /* addresses kept per look-up */

typedef enum engine_opener_kind {
    ENGINE_OPENER_PIPE,
    ENGINE_OPENER_PAIR,
    ENGINE_OPENER_RESOLVE
} engine_opener_kind;

typedef struct engine_opener_job {
    engine_message message; /* to the worker, when done */
    sl_mail queued;         /* to the openers */
    sl_atomic_u32 state;    /* private: see opener.c */
    engine_worker *worker;
    engine_request *request;
    void (*on_done)(struct engine_opener_job *job); /* on the worker's thread */
    engine_opener_kind kind;
    /* the question */
    engine_address pipe;          /* of a connect or a pair */
    char name[ENGINE_HOST_BYTES]; /* of a look-up */
    uint16_t port;
    engine *engine;
    /* the answer */
    int status; /* SLUICE_EBUSY: a busy pipe, try again */
    uint32_t os_error;
    uintptr_t os_handles[2]; /* owned by the job until on_done has taken them (sets them to 0) */
    engine_address addresses[ENGINE_RESOLVE_MAX];
    uint32_t address_count;
} engine_opener_job;

/* Made and freed with the engine. destroy: SLUICE_OK, or SLUICE_EBUSY when a thread is stuck past
 * grace_ns. */
int engine_opener_create(engine *engine, uint32_t threads);
int engine_opener_destroy(engine *engine, uint64_t grace_ns);

/* Takes a free job for a request, or NULL when ENGINE_OPENER_JOBS are in use. */
engine_opener_job *engine_opener_take(engine_worker *worker, engine_request *request,
                                      engine_opener_kind kind,
                                      void (*on_done)(engine_opener_job *job));

/* Gives the job to the openers. When no opener thread can be started, the job is done with
 * SLUICE_EOSLIMIT. */
void engine_opener_submit(engine_opener_job *job);

/* The worker gives up. true: the job is no longer the worker's, its result will be disposed of,
 * on_done is not called. false: too late, on_done is about to be called. */
bool engine_opener_abandon(engine_opener_job *job);

/* The worker is done with a finished job (called by on_done when it has taken the answer). */
void engine_opener_release(engine_opener_job *job);

/* ops->start and ops->cancel of ENGINE_RESOLVE, for backends of a real system (resolve.c). */
void engine_resolve_start(engine_request *request);
void engine_resolve_cancel(engine_request *request);

/* Per OS (opener_posix.c, opener_win.c), on an opener thread: does the job, filling in the
 * answer. */
void engine_opener_os_run(engine_opener_job *job);
/* Closes what the answer holds. */
void engine_opener_os_dispose(engine_opener_job *job);
/* Tries to get a thread out of its system call (CancelSynchronousIo); repeated until it has
 * left. */
void engine_opener_os_interrupt(sl_thread *thread);

#endif
