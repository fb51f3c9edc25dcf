/*
 * opener.c - the openers: see opener.h.
 *
 * WHO OWNS A JOB says its state, which only compare-and-swaps change:
 *      FREE --take--> HELD --finish by an opener--> DONE --release by the worker--> FREE
 *                      |    (the answer goes to the worker as a message)
 *                      |                            DONE --kept, then drop--> HELD
 *                      +--give up by the worker---> GIVEN_UP --the openers, see below--> FREE
 * HELD -> DONE and HELD -> GIVEN_UP are one swap each, so exactly one of them happens.
 *
 * WHAT THE OPENERS KNOW OF IT is its place, under their lock:
 *      NOWHERE -> QUEUED -> RUNNING -> (settled) or, given up, OVER
 * Workers take no lock: they post notes, "submitted" and "given up", each its own node and each at
 * most once each time the job is taken, and set an event. Whoever has the lock reads the notes.
 *
 * THREADS. One of them leads: it reads notes, picks a job whose share may run (opener_pool.c),
 * makes another the leader (an idle one, or a new one) and runs the job itself. So there is always
 * one that reads notes while all the others are in the system, but where no thread could be
 * started: then the next that comes back leads. Nobody holds the lock over a call that may wait,
 * but the start of a thread. A worker takes the lock only for the engine's first job, when no
 * opener exists that could hold it.
 *
 * INTERLEAVINGS. F = an opener finishes (swap to DONE, or dispose), G = the worker gives up (swap
 * to GIVEN_UP, then the note), N = the note is read, S = the thread settles its books (lock),
 * R = the job is free again, T = its thread is replaced (it leaves its pool), E = the engine stops.
 *   F before G    G's swap fails, nothing is posted: the answer is on its way. S looks at the
 *                 thread's record only: the worker may have released the job already.
 *   G, N, F, S    running when the note is read: counted, T, thread interrupted. F's swap fails: it
 *                 disposes. S takes the count back and does R.
 *   G, F, N, S    as above; N counts for a moment.
 *   G, F, S, N    S finds no note: the place becomes OVER, and N does R. Never counted: the thread
 *                 was back first.
 *   G, N queued   unlinked, R. A DROP stays queued and is run; S does R.
 *   G before the "submitted" note was read: both are in the mailboxes; those that were given up
 *                 are taken out first and looked at last, so each job's other note is read before.
 *   start failed  the first thread: each job in the mailbox ends (HELD -> DONE with the status), or
 *                 was given up: OVER, and the note does R when it is read: by the next, or at E.
 *   a later start failed: see THREADS. A place that is free without a thread waits for one.
 *   dropped alone a DROP that is GIVEN_UP before it is submitted: run, then as G, F, N, S or
 *                 G, F, S, N. At E the stopper runs those that no thread has picked.
 *   E             comes after the workers, so every job is DONE and released, or GIVEN_UP. Idle
 *                 threads and the leader go; the others after S. Whoever does not come keeps all
 *                 memory that it uses: nothing is freed. The last notes are read by the stopper.
 * R needs S (or that it never ran) and N, both under the lock, so it comes once; a job is not taken
 * again before, so neither note is ever posted while it is in a mailbox. A worker may be gone at R:
 * nothing of it is touched after G.
 *
 * MEMORY. Jobs are made when they are wanted and kept: a worker takes from its own list of free
 * ones, then all that the openers have given back, then the heap.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/thread.h"
#include "engine/core.h"
#include "engine/opener_pool.h"

/* Three pools full, and nearly as many threads as two of them for what was given up. */
#define THREADS_PER_OPENER 5u
#define THREADS_MAX        (THREADS_PER_OPENER * ENGINE_OPENERS_MAX)
#define INTERRUPT_EVERY_NS (10 * SL_NS_PER_MS)
#define NO_THREAD          UINT32_MAX

enum { JOB_FREE, JOB_HELD, JOB_DONE, JOB_GIVEN_UP };

typedef struct opener_thread {
    sl_thread thread;
    struct engine_opener *opener;
    engine_opener_job *job; /* NULL: it is in no system call of a job's */
    bool is_joined;
} opener_thread;

struct engine_opener {
    engine *engine;
    uint32_t thread_limit;
    uint32_t away_limit;
    engine_share own;       /* of whoever names none */
    sl_mailbox submissions; /* notes of workers */
    sl_mailbox give_ups;
    sl_mailbox free_jobs;
    sl_event work;          /* set after each note, when a place comes free, and to stop */
    sl_atomic_bool begun;   /* the first thread was started or is being started */
    sl_atomic_u32 given_up; /* of all shares: written under the lock */
    sl_atomic_u32 job_count;
    sl_mutex lock; /* guards what follows, shares and places; openers only (and destroy) */
    sl_cond followers;
    bool has_leader;
    bool is_stopping;
    uint32_t idle; /* threads that wait to lead */
    uint32_t away; /* threads whose job has left its pool */
    uint32_t started;
    engine_opener_pools pools;
    opener_thread threads[THREADS_MAX];
};

typedef struct engine_opener engine_opener;

void (*engine_opener_run)(engine_opener_job *job) = engine_opener_os_run;

uint32_t engine_given_up(const engine *e) {
    return e->opener != NULL ? atomic_load_explicit(&e->opener->given_up, memory_order_relaxed) : 0;
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static void on_done_message(engine_message *message) {
    engine_opener_job *job = SL_CONTAINER_OF(message, engine_opener_job, message);
    job->on_done(job);
}

static void forget_rights(engine_opener_job *job) {
    engine_rights_release(job->behalf.rights);
    job->behalf.rights = NULL;
}

/* The openers are through with a job that was given up. */
static void recycle(engine_opener *opener, engine_opener_job *job) {
    forget_rights(job);
    atomic_store(&job->state, JOB_FREE);
    sl_mailbox_post(&opener->free_jobs, &job->submitted);
}

/* The job has its answer: to the worker; from then on it is the worker's. false: it was given up,
 * and is still ours. */
static bool tell_done(engine_opener_job *job) {
    uint32_t held = JOB_HELD;
    if (!atomic_compare_exchange_strong(&job->state, &held, JOB_DONE)) {
        return false;
    }
    engine_post(job->worker, &job->message);
    return true;
}

/* A job that no opener has had. */
static void refuse(engine_opener_job *job, int status) {
    job->status = status;
    job->place = ENGINE_OPENER_NOWHERE;
    if (!tell_done(job)) {
        job->place = ENGINE_OPENER_OVER; /* its note is on its way */
    }
}

/* Everything of a share that waits for a place of this pool, but what must be done. */
static void refuse_waiting(engine_opener *opener, unsigned at, engine_share *share) {
    sl_list *node = share->waiting[at].next;
    while (node != &share->waiting[at]) {
        engine_opener_job *job = SL_LIST_ENTRY(node, engine_opener_job, link);
        node = node->next;
        if (job->kind != ENGINE_OPENER_DROP) {
            engine_opener_pools_remove(&opener->pools, job);
            refuse(job, SLUICE_EQUOTA);
        }
    }
}

/* ---- notes ---------------------------------------------------------------------------------- */

static void on_submitted(engine_opener *opener, engine_opener_job *job, int refusal) {
    if (refusal == SLUICE_OK && job->kind != ENGINE_OPENER_DROP &&
        engine_opener_pools_refuse(&opener->pools, engine_opener_pool_of(job), job->behalf.share)) {
        refusal = SLUICE_EQUOTA;
    }
    if (refusal == SLUICE_OK) {
        job->place = ENGINE_OPENER_QUEUED;
        engine_opener_pools_add(&opener->pools, job);
    } else {
        refuse(job, refusal);
    }
}

/* It leaves its pool, if there is a thread for its place. */
static void count_given_up(engine_opener *opener, engine_opener_job *job) {
    engine_share *share = job->behalf.share;
    unsigned at = engine_opener_pool_of(job);
    job->is_counted = true;
    engine_opener_pools_count(at, share);
    atomic_fetch_add_explicit(&opener->given_up, 1, memory_order_relaxed);
    if (opener->away < opener->away_limit) {
        job->has_left = true;
        opener->away++;
        engine_opener_pools_leave(&opener->pools, at, share);
    }
    engine_opener_os_interrupt(&opener->threads[job->thread].thread);
    if (engine_opener_pools_refuse(&opener->pools, at, share)) {
        refuse_waiting(opener, at, share);
    }
}

static void on_given_up(engine_opener *opener, engine_opener_job *job) {
    job->is_given_up = true;
    switch (job->place) {
    case ENGINE_OPENER_QUEUED:
        if (job->kind != ENGINE_OPENER_DROP) {
            engine_opener_pools_remove(&opener->pools, job);
            recycle(opener, job);
        }
        break;
    case ENGINE_OPENER_RUNNING:
        if (job->kind != ENGINE_OPENER_DROP) {
            count_given_up(opener, job);
        }
        break;
    case ENGINE_OPENER_OVER: recycle(opener, job); break;
    case ENGINE_OPENER_NOWHERE: SL_CHECK(false, "what is given up was submitted before");
    }
}

/* refusal: no thread can be started, so nothing that waits will be done. */
static void read_notes(engine_opener *opener, int refusal) {
    sl_mail *given_up = sl_mailbox_take_all(&opener->give_ups);
    sl_mail *submitted = sl_mailbox_take_all(&opener->submissions);
    while (submitted != NULL) {
        engine_opener_job *job = SL_CONTAINER_OF(submitted, engine_opener_job, submitted);
        submitted = submitted->next;
        on_submitted(opener, job, refusal);
    }
    while (given_up != NULL) {
        engine_opener_job *job = SL_CONTAINER_OF(given_up, engine_opener_job, given_up);
        given_up = given_up->next;
        on_given_up(opener, job);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

static void run_opener(void *context);

static int start_thread(engine_opener *opener) {
    if (opener->started == opener->thread_limit) {
        return SLUICE_EQUOTA;
    }
    opener_thread *thread = &opener->threads[opener->started];
    thread->opener = opener;
    int status = sl_thread_start(&thread->thread, "sluice-opener", run_opener, thread);
    if (status == SLUICE_OK) {
        opener->started++;
    }
    return status;
}

static void begin(engine_opener *opener, opener_thread *thread, engine_opener_job *job) {
    job->place = ENGINE_OPENER_RUNNING;
    job->thread = (uint32_t)(thread - opener->threads);
    engine_opener_pools_enter(&opener->pools, engine_opener_pool_of(job), job->behalf.share);
    thread->job = job;
}

/* Leads until there is a job for this thread. NULL: stop. With the lock. */
static engine_opener_job *lead(engine_opener *opener, opener_thread *thread) {
    engine_opener_job *job;
    opener->has_leader = true;
    for (;;) {
        read_notes(opener, SLUICE_OK);
        job = engine_opener_pools_pick(&opener->pools);
        if (job != NULL || opener->is_stopping) {
            break;
        }
        sl_mutex_unlock(&opener->lock);
        (void)sl_event_wait_until(&opener->work, SL_CLOCK_NEVER);
        sl_mutex_lock(&opener->lock);
    }
    opener->has_leader = false;
    if (job != NULL) {
        begin(opener, thread, job);
        if (opener->idle > 0) {
            sl_cond_signal(&opener->followers);
        } else {
            (void)start_thread(opener); /* refused: the next that comes back leads */
        }
    }
    return job;
}

static engine_opener_job *next_job(engine_opener *opener, opener_thread *thread) {
    engine_opener_job *job = NULL;
    sl_mutex_lock(&opener->lock);
    while (opener->has_leader && !opener->is_stopping) {
        opener->idle++;
        sl_cond_wait(&opener->followers, &opener->lock);
        opener->idle--;
    }
    if (!opener->has_leader) {
        job = lead(opener, thread);
    }
    sl_mutex_unlock(&opener->lock);
    return job;
}

static void run_job(engine_opener_job *job) {
    int status = SL_FAILPOINT(engine, open);
    if (status == SLUICE_OK) {
        engine_opener_run(job);
    } else {
        job->status = status;
    }
}

/* The thread is back. A job that is DONE is not ours any more: only what was given up is looked
 * at. */
static void settle(engine_opener *opener, opener_thread *thread, engine_opener_job *given_up,
                   engine_share *share, unsigned at) {
    bool has_left = given_up != NULL && given_up->has_left;
    thread->job = NULL;
    if (has_left) {
        opener->away--;
    } else {
        engine_opener_pools_leave(&opener->pools, at, share);
    }
    if (given_up != NULL && given_up->is_counted) {
        engine_opener_pools_discount(at, share);
        atomic_fetch_sub_explicit(&opener->given_up, 1, memory_order_relaxed);
    }
    if (given_up != NULL && given_up->is_given_up) {
        recycle(opener, given_up);
    } else if (given_up != NULL) {
        given_up->place = ENGINE_OPENER_OVER;
    }
    if (opener->pools.waiting > 0) {
        sl_event_set(&opener->work);
    }
}

static void run_opener(void *context) {
    opener_thread *thread = context;
    engine_opener *opener = thread->opener;
    engine_opener_job *job;
    while ((job = next_job(opener, thread)) != NULL) {
        engine_share *share = job->behalf.share;
        unsigned at = engine_opener_pool_of(job);
        if (atomic_load(&job->state) == JOB_HELD || job->kind == ENGINE_OPENER_DROP) {
            run_job(job);
        }
        bool is_told = tell_done(job);
        if (!is_told) {
            engine_opener_os_dispose(job);
        }
        sl_mutex_lock(&opener->lock);
        settle(opener, thread, is_told ? NULL : job, share, at);
        sl_mutex_unlock(&opener->lock);
    }
}

/* ---- start and stop ------------------------------------------------------------------------- */

int engine_opener_create(engine *e, uint32_t threads) {
    engine_opener *opener = sl_account_alloc(&e->account, sizeof(*opener));
    if (opener == NULL) {
        return SLUICE_ENOMEM;
    }
    if (sl_event_init(&opener->work) != SLUICE_OK) {
        sl_account_free(&e->account, opener, sizeof(*opener));
        return SLUICE_EOSLIMIT;
    }
    uint32_t size = threads < ENGINE_OPENERS_MAX ? threads : ENGINE_OPENERS_MAX;
    opener->engine = e;
    engine_opener_pools_init(&opener->pools, size, e->given_up_max);
    opener->thread_limit = THREADS_PER_OPENER * size;
    opener->away_limit = opener->thread_limit - 3 * size - 2; /* pairs' one, and one that leads */
    engine_share_init(&opener->own);
    sl_mailbox_init(&opener->submissions);
    sl_mailbox_init(&opener->give_ups);
    sl_mailbox_init(&opener->free_jobs);
    sl_mutex_init(&opener->lock);
    sl_cond_init(&opener->followers);
    e->opener = opener;
    return SLUICE_OK;
}

/* Waits for one thread, getting it out of its system call again and again. */
static bool join_thread(engine_opener *opener, opener_thread *thread, uint64_t deadline_ns) {
    sl_clock *clock = sl_clock_system();
    for (;;) {
        uint64_t until_ns = sl_clock_after_ns(sl_clock_now_ns(clock), INTERRUPT_EVERY_NS);
        sl_mutex_lock(&opener->lock);
        bool is_away = thread->job != NULL; /* else it is about to leave: it has heard of the end */
        sl_mutex_unlock(&opener->lock);
        if (is_away && deadline_ns < until_ns) {
            until_ns = deadline_ns;
        }
        if (sl_thread_join_until(&thread->thread, until_ns)) {
            return true;
        }
        if (is_away && sl_clock_now_ns(clock) >= deadline_ns) {
            return false;
        }
        engine_opener_os_interrupt(&thread->thread);
    }
}

/* Nobody takes the lock any more. */
static void free_jobs(engine_opener *opener) {
    engine_opener_job *left;
    read_notes(opener, SLUICE_OK);
    while ((left = engine_opener_pools_pick(&opener->pools)) !=
           NULL) { /* what must be done, and came too late for a thread */
        engine_opener_run(left);
        recycle(opener, left);
    }
    SL_CHECK(opener->pools.waiting == 0, "an engine's jobs end before it");
    sl_mail *mail = sl_mailbox_take_all(&opener->free_jobs);
    while (mail != NULL) {
        engine_opener_job *job = SL_CONTAINER_OF(mail, engine_opener_job, submitted);
        mail = mail->next;
        sl_account_free(&opener->engine->account, job, sizeof(*job));
        atomic_fetch_sub(&opener->job_count, 1);
    }
    SL_CHECK(atomic_load(&opener->job_count) == 0, "every job comes back");
}

int engine_opener_destroy(engine *e, uint64_t grace_ns) {
    engine_opener *opener = e->opener;
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), grace_ns);
    sl_mutex_lock(&opener->lock);
    opener->is_stopping = true;
    sl_cond_broadcast(&opener->followers);
    uint32_t started = opener->started; /* a thread that leaves starts none */
    sl_mutex_unlock(&opener->lock);
    sl_event_set(&opener->work);
    bool all = true;
    for (uint32_t i = 0; i < started; i++) {
        opener_thread *thread = &opener->threads[i];
        thread->is_joined = thread->is_joined || join_thread(opener, thread, deadline_ns);
        all = all && thread->is_joined;
    }
    if (!all) {
        return SLUICE_EBUSY;
    }
    free_jobs(opener);
    sl_cond_deinit(&opener->followers);
    sl_mutex_deinit(&opener->lock);
    sl_event_deinit(&opener->work);
    sl_account_free(&e->account, opener, sizeof(*opener));
    e->opener = NULL;
    return SLUICE_OK;
}

/* ---- the worker's side ---------------------------------------------------------------------- */

/* A free job, or NULL: no memory. */
static engine_opener_job *allocate(engine_worker *w) {
    engine_opener *opener = w->engine->opener;
    if (w->opener_jobs == NULL) {
        w->opener_jobs = sl_mailbox_take_all(&opener->free_jobs);
    }
    sl_mail *mail = w->opener_jobs;
    if (mail != NULL) {
        w->opener_jobs = mail->next;
        return SL_CONTAINER_OF(mail, engine_opener_job, submitted);
    }
    engine_opener_job *job = sl_account_alloc(&w->engine->account, sizeof(*job));
    if (job != NULL) {
        atomic_fetch_add(&opener->job_count, 1);
    }
    return job;
}

void engine_opener_return_jobs(engine_worker *w) {
    while (w->opener_jobs != NULL) {
        sl_mail *mail = w->opener_jobs;
        w->opener_jobs = mail->next;
        sl_mailbox_post(&w->engine->opener->free_jobs, mail);
    }
}

static void prepare(engine_opener_job *job, engine_opener_kind kind,
                    void (*on_done)(engine_opener_job *job)) {
    job->kind = kind;
    job->on_done = on_done;
    job->status = SLUICE_OK;
    job->os_error = 0;
    job->place = ENGINE_OPENER_NOWHERE;
    job->thread = NO_THREAD;
    job->is_given_up = job->is_counted = job->has_left = false;
    atomic_store(&job->state, JOB_HELD);
}

engine_opener_job *engine_opener_take(engine_request *request, engine_opener_kind kind,
                                      void (*on_done)(engine_opener_job *job)) {
    engine_worker *w = request->worker;
    engine_opener_job *job = allocate(w);
    if (job == NULL) {
        return NULL;
    }
    prepare(job, kind, on_done);
    sl_list_init(&job->link);
    job->message.on_worker = on_done_message;
    job->worker = w;
    job->engine = w->engine;
    job->request = request;
    job->handle = NULL;
    job->behalf = request->behalf;
    (void)engine_rights_keep(job->behalf.rights);
    if (job->behalf.share == NULL) {
        job->behalf.share = &w->engine->opener->own;
    }
    job->detail = NULL;
    job->os_handles[0] = 0;
    job->os_handles[1] = 0;
    job->address_count = 0;
    memset(&job->os, 0, sizeof(job->os));
    request->job = job;
    return job;
}

void engine_opener_submit(engine_opener_job *job) {
    engine_opener *opener = job->engine->opener;
    sl_mailbox_post(&opener->submissions, &job->submitted);
    sl_event_set(&opener->work);
    if (atomic_exchange(&opener->begun, true)) {
        return; /* if that start fails, it refuses this job too: it was posted before the exchange
                 */
    }
    /* The engine's first job. There is no opener yet, so nobody holds the lock for long. */
    sl_mutex_lock(&opener->lock);
    int status = start_thread(opener);
    if (status != SLUICE_OK) {
        (void)atomic_exchange(&opener->begun, false); /* sees every post before a swap to true */
        read_notes(opener, status);
    }
    sl_mutex_unlock(&opener->lock);
}

static bool give_up(engine_opener_job *job) {
    engine_opener *opener = job->engine->opener;
    uint32_t held = JOB_HELD;
    if (!atomic_compare_exchange_strong(&job->state, &held, JOB_GIVEN_UP)) {
        return false;
    }
    sl_mailbox_post(&opener->give_ups, &job->given_up);
    sl_event_set(&opener->work);
    return true;
}

void engine_opener_cancel(engine_request *request) {
    engine_opener_job *job = request->job;
    SL_CHECK(job != NULL, "only what an opener is to do is given up");
    if (give_up(job)) {
        request->job = NULL;
        engine_request_finish(request, SLUICE_ECANCELED, 0, 0, 0);
    }
    /* else the answer is in the mailbox: on_done ends the request */
}

void engine_opener_keep(engine_opener_job *job) {
    job->request->job = NULL;
    job->request = NULL;
}

void engine_opener_release(engine_opener_job *job) {
    engine_worker *w = job->worker;
    if (job->request != NULL) {
        engine_opener_keep(job);
    }
    forget_rights(job);
    atomic_store(&job->state, JOB_FREE);
    job->submitted.next = w->opener_jobs;
    w->opener_jobs = &job->submitted;
}

void engine_opener_drop(engine_opener_job *job, engine_handle *handle,
                        void (*on_done)(engine_opener_job *job)) {
    prepare(job, ENGINE_OPENER_DROP, on_done);
    job->handle = handle;
    engine_opener_submit(job);
}

void engine_opener_drop_alone(engine_opener_job *job) {
    engine_opener *opener = job->engine->opener;
    prepare(job, ENGINE_OPENER_DROP, NULL);
    atomic_store(&job->state, JOB_GIVEN_UP); /* from the start: the worker may end before it */
    engine_opener_submit(job);
    sl_mailbox_post(&opener->give_ups, &job->given_up);
    sl_event_set(&opener->work);
}
