/*
 * opener.c - the opener pool: see opener.h.
 *
 * A job's state decides who owns it:
 *      FREE --take--> HELD --finish by an opener--> DONE  --release by the worker--> FREE
 *                      |                (the answer is on its way to the worker as a message)
 *                      +--abandon by the worker--> ABANDONED --the opener disposes--> FREE
 * HELD -> DONE and HELD -> ABANDONED are one compare-and-swap each, so exactly one of them happens.
 *
 * Workers only post to a lock-free mailbox and set an event. The openers take turns under a mutex
 * that no worker takes, but for the engine's first job, when nobody can hold it for long: the one
 * whose turn it is waits for a job, takes it, passes the turn on and runs it. The first thread
 * starts with the first job; an opener that leaves nobody waiting starts the next, up to the limit.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/thread.h"
#include "engine/core.h"
#include "engine/opener.h"

#define OPENER_THREADS_MAX 64u
#define INTERRUPT_EVERY_NS (10 * SL_NS_PER_MS)

enum { JOB_FREE, JOB_HELD, JOB_DONE, JOB_ABANDONED };

typedef struct engine_opener {
    engine *engine;
    uint32_t limit;
    sl_mailbox queue;     /* jobs from workers */
    sl_event work;        /* set after each post, and to stop */
    sl_atomic_bool begun; /* the first thread was started or is being started */
    sl_atomic_bool stop;
    sl_atomic_u32 busy; /* openers that run a job */
    sl_atomic_u32 next; /* where the search for a free job begins */
    sl_mutex turn;      /* guards what follows; openers only (and destroy) */
    sl_mail *backlog;   /* taken from the queue, oldest first */
    uint32_t started;
    sl_thread threads[OPENER_THREADS_MAX];
    bool joined[OPENER_THREADS_MAX];
    engine_opener_job jobs[ENGINE_OPENER_JOBS];
} engine_opener;

static void run_opener(void *context);

static void on_done_message(engine_message *message) {
    engine_opener_job *job = SL_CONTAINER_OF(message, engine_opener_job, message);
    job->on_done(job);
}

/* The job has its answer: to the worker, or away with it. */
static void finish_job(engine_opener_job *job) {
    uint32_t held = JOB_HELD;
    if (atomic_compare_exchange_strong(&job->state, &held, JOB_DONE)) {
        engine_post(job->worker, &job->message);
        return;
    }
    engine_opener_os_dispose(job);
    atomic_store(&job->state, JOB_FREE);
}

/* With the turn: one more thread, if the limit and the system allow; SLUICE_OK when one was
 * started. */
static int start_thread(engine_opener *opener) {
    if (opener->started == opener->limit) {
        return SLUICE_EQUOTA;
    }
    int status =
        sl_thread_start(&opener->threads[opener->started], "sluice-opener", run_opener, opener);
    if (status == SLUICE_OK) {
        opener->started++;
    }
    return status;
}

/* Waits its turn, then for a job. NULL: stop. */
static engine_opener_job *next_job(engine_opener *opener) {
    engine_opener_job *job = NULL;
    sl_mutex_lock(&opener->turn);
    for (;;) {
        if (opener->backlog == NULL) {
            opener->backlog = sl_mailbox_take_all(&opener->queue);
        }
        if (opener->backlog != NULL) {
            job = SL_CONTAINER_OF(opener->backlog, engine_opener_job, queued);
            opener->backlog = opener->backlog->next;
            if (atomic_fetch_add(&opener->busy, 1) + 1 == opener->started) {
                (void)start_thread(
                    opener); /* at the limit or refused: this one comes back for more */
            }
            break;
        }
        if (atomic_load(&opener->stop)) {
            break;
        }
        (void)sl_event_wait_until(&opener->work, SL_CLOCK_NEVER);
    }
    sl_mutex_unlock(&opener->turn);
    return job;
}

static void run_opener(void *context) {
    engine_opener *opener = context;
    engine_opener_job *job;
    while ((job = next_job(opener)) != NULL) {
        if (atomic_load(&job->state) == JOB_HELD) {
            int status = SL_FAILPOINT(engine, open);
            if (status == SLUICE_OK) {
                engine_opener_os_run(job);
            } else {
                job->status = status;
            }
        }
        atomic_fetch_sub(&opener->busy, 1);
        finish_job(job);
    }
}

int engine_opener_create(engine *e, uint32_t threads) {
    engine_opener *opener = sl_account_alloc(&e->account, sizeof(*opener));
    if (opener == NULL) {
        return SLUICE_ENOMEM;
    }
    if (sl_event_init(&opener->work) != SLUICE_OK) {
        sl_account_free(&e->account, opener, sizeof(*opener));
        return SLUICE_EOSLIMIT;
    }
    opener->engine = e;
    opener->limit = threads < OPENER_THREADS_MAX ? threads : OPENER_THREADS_MAX;
    sl_mailbox_init(&opener->queue);
    sl_mutex_init(&opener->turn);
    e->opener = opener;
    return SLUICE_OK;
}

/* Waits for one thread, getting it out of its system call again and again. */
static bool join_thread(sl_thread *thread, uint64_t deadline_ns) {
    sl_clock *clock = sl_clock_system();
    for (;;) {
        uint64_t now_ns = sl_clock_now_ns(clock);
        uint64_t until_ns = sl_clock_after_ns(now_ns, INTERRUPT_EVERY_NS);
        if (sl_thread_join_until(thread, until_ns < deadline_ns ? until_ns : deadline_ns)) {
            return true;
        }
        if (sl_clock_now_ns(clock) >= deadline_ns) {
            return false;
        }
        engine_opener_os_interrupt(thread);
    }
}

int engine_opener_destroy(engine *e, uint64_t grace_ns) {
    engine_opener *opener = e->opener;
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), grace_ns);
    atomic_store(&opener->stop, true);
    sl_event_set(&opener->work);
    bool all = true;
    for (uint32_t i = 0; i < OPENER_THREADS_MAX; i++) {
        /* The turn is free or comes free soon: with `stop` set nobody waits for work while holding
         * it. */
        sl_mutex_lock(&opener->turn);
        uint32_t started = opener->started;
        sl_mutex_unlock(&opener->turn);
        if (i >= started) {
            break;
        }
        if (!opener->joined[i]) {
            opener->joined[i] = join_thread(&opener->threads[i], deadline_ns);
        }
        all = all && opener->joined[i];
    }
    if (!all) {
        return SLUICE_EBUSY;
    }
    sl_mutex_deinit(&opener->turn);
    sl_event_deinit(&opener->work);
    sl_account_free(&e->account, opener, sizeof(*opener));
    e->opener = NULL;
    return SLUICE_OK;
}

engine_opener_job *engine_opener_take(engine_worker *w, engine_request *request,
                                      engine_opener_kind kind,
                                      void (*on_done)(engine_opener_job *job)) {
    engine_opener *opener = w->engine->opener;
    uint32_t first = atomic_fetch_add_explicit(&opener->next, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < ENGINE_OPENER_JOBS; i++) {
        engine_opener_job *job = &opener->jobs[(first + i) % ENGINE_OPENER_JOBS];
        uint32_t free_state = JOB_FREE;
        if (atomic_compare_exchange_strong(&job->state, &free_state, JOB_HELD)) {
            job->message.on_worker = on_done_message;
            job->worker = w;
            job->engine = w->engine;
            job->request = request;
            job->kind = kind;
            job->on_done = on_done;
            job->status = SLUICE_OK;
            job->os_error = 0;
            job->os_handles[0] = 0;
            job->os_handles[1] = 0;
            job->address_count = 0;
            request->job = job;
            return job;
        }
    }
    return NULL;
}

/* No thread could be started: every job in the queue ends here. With the turn. */
static void refuse_jobs(engine_opener *opener, int status) {
    sl_mail *mail = sl_mailbox_take_all(&opener->queue);
    while (mail != NULL) {
        engine_opener_job *job = SL_CONTAINER_OF(mail, engine_opener_job, queued);
        mail = mail->next;
        job->status = status;
        finish_job(job);
    }
}

void engine_opener_submit(engine_opener_job *job) {
    engine_opener *opener = job->engine->opener;
    sl_mailbox_post(&opener->queue, &job->queued);
    sl_event_set(&opener->work);
    if (atomic_exchange(&opener->begun, true)) {
        return; /* if that start fails, it refuses this job too: it was posted before the exchange
                 */
    }
    /* The engine's first job. There is no opener yet, so nobody holds the turn for long. */
    sl_mutex_lock(&opener->turn);
    int status = start_thread(opener);
    if (status != SLUICE_OK) {
        (void)atomic_exchange(&opener->begun, false); /* sees every post before a swap to true */
        refuse_jobs(opener, status);
    }
    sl_mutex_unlock(&opener->turn);
}

bool engine_opener_abandon(engine_opener_job *job) {
    uint32_t held = JOB_HELD;
    job->request->job = NULL;
    return atomic_compare_exchange_strong(&job->state, &held, JOB_ABANDONED);
}

void engine_opener_release(engine_opener_job *job) {
    job->request->job = NULL;
    atomic_store(&job->state, JOB_FREE);
}
