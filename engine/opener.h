/*
 * opener.h - threads for what has no asynchronous form: looking up host names; opening a pipe by
 * name on Windows; whatever names a path on Linux (taking it, connecting to it, giving it up), for
 * a file system may keep its caller as long as it likes.
 *
 * A job and the request that waits for it are two objects. Whoever comes first decides: the opener
 * that finished (the result goes to the worker as a message) or the worker that gave up (cancel,
 * deadline: the request ends at once, and the opener disposes of the late result).
 *
 * Each pool has so many places (engine_options.opener_threads; one for pairs, which never wait),
 * and a place has a thread. A job that is given up while it runs leaves its pool: another thread
 * takes the place. Of 5 x opener_threads threads so many may be away; once they all are, a job that
 * is given up keeps its place. Giving a path up has a pool of its own: it is never given up, so
 * those on a silent file system keep their places, and must not be in an open's way. engine_share
 * (engine.h) says who gets a place.
 */
#ifndef SLUICE_ENGINE_OPENER_H
#define SLUICE_ENGINE_OPENER_H

#include "base/thread.h"
#include "engine/backend.h"

#define ENGINE_RESOLVE_MAX  16  /* addresses kept per look-up */
#define ENGINE_OPENER_BYTES 192 /* for what a backend keeps in a job */

typedef enum engine_opener_kind {
    ENGINE_OPENER_RESOLVE, /* a host name */
    ENGINE_OPENER_CONNECT, /* to a pipe */
    ENGINE_OPENER_LISTEN,  /* takes a path */
    ENGINE_OPENER_DROP,    /* gives a path up: is done whoever waits for it, and never refused */
    ENGINE_OPENER_PAIR
} engine_opener_kind;

/* Where a job is, for the openers: under their lock. */
typedef enum engine_opener_place {
    ENGINE_OPENER_NOWHERE,
    ENGINE_OPENER_QUEUED,
    ENGINE_OPENER_RUNNING,
    ENGINE_OPENER_OVER /* given up and disposed of; the note that says so is yet to be read */
} engine_opener_place;

typedef struct engine_opener_job {
    engine_message message; /* to the worker, when done */
    /* private: opener.c */
    sl_mail submitted; /* a note to the openers; then in the list of free jobs */
    sl_mail given_up;  /* a second note to them */
    sl_list link;      /* in its share's queue */
    sl_atomic_u32 state;
    engine_opener_place place;
    uint32_t thread;  /* while RUNNING */
    bool is_given_up; /* the note was read */
    bool is_counted;  /* in its share's given_up */
    bool has_left;    /* its pool */
    engine_worker *worker;
    engine_request *request;
    engine_handle *handle;                          /* DROP: whose */
    void (*on_done)(struct engine_opener_job *job); /* on the worker's thread */
    engine_opener_kind kind;
    engine_behalf behalf;
    engine *engine;
    /* the question */
    engine_address pipe;          /* of a connect or a pair */
    char name[ENGINE_HOST_BYTES]; /* of a look-up */
    uint16_t port;
    /* the answer */
    int status; /* SLUICE_EBUSY: a busy pipe, try again */
    uint32_t os_error;
    const char *detail;      /* what the two do not say; static, or NULL */
    uintptr_t os_handles[2]; /* owned by the job until on_done has taken them (sets them to 0) */
    engine_address addresses[ENGINE_RESOLVE_MAX];
    uint32_t address_count;
    union {
        uint64_t align;
        unsigned char bytes[ENGINE_OPENER_BYTES];
    } os; /* zeroed when the job is taken */
} engine_opener_job;

/* Made and freed with the engine. destroy: SLUICE_OK, or SLUICE_EBUSY when a thread is in the
 * system past grace_ns. */
int engine_opener_create(engine *engine, uint32_t threads);
int engine_opener_destroy(engine *engine, uint64_t grace_ns);
/* A worker ends: its free jobs are everybody's. */
void engine_opener_return_jobs(engine_worker *worker);

/* A job for a request, or NULL: no memory. */
engine_opener_job *engine_opener_take(engine_request *request, engine_opener_kind kind,
                                      void (*on_done)(engine_opener_job *job));

/* Gives the job to the openers. on_done comes exactly once, unless the job is given up. EQUOTA:
 * the share has too many of its pool that were given up; EOSLIMIT: no thread can be started. */
void engine_opener_submit(engine_opener_job *job);

/* A done job that the worker has kept goes back to the openers, as a DROP. */
void engine_opener_drop(engine_opener_job *job, engine_handle *handle,
                        void (*on_done)(engine_opener_job *job));
/* ... and nobody waits for it. */
void engine_opener_drop_alone(engine_opener_job *job);

/* A cancel: gives the request's job up, and ends the request; or it is too late, and on_done is
 * about to. */
void engine_opener_cancel(engine_request *request);

/* The worker is done with a finished job (called by on_done when it has taken the answer). */
void engine_opener_release(engine_opener_job *job);
/* The answer is the worker's; it keeps the job for an engine_opener_drop. */
void engine_opener_keep(engine_opener_job *job);

/* ops->start of ENGINE_RESOLVE, for backends of a real system (resolve.c). */
void engine_resolve_start(engine_request *request);

/* An address in figures (numeric.c): false if it is none, or one that only the system can read. */
bool engine_numeric_address(const char *host, uint16_t port, engine_address *ret_address);

/* On an opener thread: does the job, filling in the answer. Tests put another in its place, while
 * no engine exists. */
extern void (*engine_opener_run)(engine_opener_job *job);

/* Per OS (opener_posix.c, opener_win.c), on an opener thread: the work itself. */
void engine_opener_os_run(engine_opener_job *job);
/* Gives back what the answer holds. May wait as the work does. */
void engine_opener_os_dispose(engine_opener_job *job);
/* Tries to get a thread out of its system call (CancelSynchronousIo); repeated until it has
 * left. */
void engine_opener_os_interrupt(sl_thread *thread);
/* The number of a network interface, for an IPv6 scope; 0: the system has to be asked in a way that
 * may wait. The worker's thread. */
uint32_t engine_opener_os_interface(const char *name);

#endif
