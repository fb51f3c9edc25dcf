/*
 * worker.c - a worker: its pools, its mailbox, and engine_poll.
 *
 * Everything belongs to the thread that created the worker; only engine_post comes from outside,
 * through a lock-free mailbox. A request goes back to its pool when it is delivered. A closed
 * handle goes back at the start of the next engine_poll, so that the receiver may still look at it
 * while it works through a batch.
 *
 * Sleeping: the worker swaps `asleep` to true, then looks at the mailbox once more, then waits; a
 * poster posts, then swaps `asleep` to false. Of the two swaps one comes first: the later one sees
 * the earlier and all that went before it. So no wake-up is lost, and a busy worker is never woken
 * by a system call.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/thread.h"
#include "engine/core.h"
#include "engine/opener.h"

void engine_check_owner(const engine_worker *worker) {
    SL_CHECK(worker->owner == sl_thread_self(), "a worker is used from its own thread only");
}

static void worker_deinit_pools(engine_worker *w) {
    sl_heap_deinit(&w->timers);
    sl_slots_deinit(&w->handles);
    sl_slots_deinit(&w->requests);
    sl_account_deinit(&w->account);
}

static int worker_init(engine_worker *w, engine *e) {
    w->engine = e;
    w->ops = e->ops;
    w->owner = sl_thread_self();
    sl_account_init(&w->account, e->account.source, "worker", SIZE_MAX);
    sl_list_init(&w->loose);
    sl_mailbox_init(&w->mailbox);
    sl_heap_init(&w->timers, &w->account, e->max_requests);
    int status = sl_slots_init(&w->requests, &w->account, e->max_requests, e->ops->request_size);
    if (status == SLUICE_OK) {
        status = sl_slots_init(&w->handles, &w->account, e->max_handles, e->ops->handle_size);
    }
    if (status == SLUICE_OK) {
        status = e->ops->worker_open(w);
    }
    if (status != SLUICE_OK) {
        worker_deinit_pools(w);
    }
    return status;
}

int engine_worker_create(engine *e, engine_worker **ret_worker) {
    int status = SL_FAILPOINT(engine, worker);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_worker *w = sl_account_alloc(&e->account, e->ops->worker_size);
    if (w == NULL) {
        return SLUICE_ENOMEM;
    }
    status = worker_init(w, e);
    if (status != SLUICE_OK) {
        sl_account_free(&e->account, w, e->ops->worker_size);
        return status;
    }
    atomic_fetch_add(&e->worker_count, 1);
    *ret_worker = w;
    return SLUICE_OK;
}

/* Closed handles go back to their pool. */
static void recycle(engine_worker *w) {
    engine_ready *ready;
    while ((ready = engine_ready_pop(&w->retired)) != NULL) {
        sl_slots_release(&w->handles, SL_CONTAINER_OF(ready, engine_handle, ready));
    }
    w->retired_handles = 0;
}

int engine_worker_destroy(engine_worker *w) {
    if (w == NULL) {
        return SLUICE_OK;
    }
    engine_check_owner(w);
    recycle(w);
    if (w->handles.used != 0 || w->requests.used != 0 || w->mail != NULL ||
        !sl_mailbox_is_empty(&w->mailbox)) {
        return SLUICE_EBUSY;
    }
    /* A poster whose message was delivered may still be a few instructions from leaving
     * engine_post. */
    while (atomic_load(&w->posters) != 0) {
        sl_thread_yield();
    }
    engine *e = w->engine;
    engine_opener_return_jobs(w);
    e->ops->worker_close(w);
    worker_deinit_pools(w);
    sl_account_free(&e->account, w, e->ops->worker_size);
    atomic_fetch_sub(&e->worker_count, 1);
    return SLUICE_OK;
}

void engine_post(engine_worker *w, engine_message *message) {
    atomic_fetch_add(&w->posters, 1);
    sl_mailbox_post(&w->mailbox, &message->mail);
    if (atomic_exchange(&w->asleep, false)) {
        w->ops->wake(w);
    }
    atomic_fetch_sub(&w->posters, 1);
}

bool engine_has_messages(const engine_worker *w) {
    return w->mail != NULL || !sl_mailbox_is_empty(&w->mailbox);
}

static engine_message *next_message(engine_worker *w) {
    if (w->mail == NULL) {
        w->mail = sl_mailbox_take_all(&w->mailbox);
    }
    sl_mail *mail = w->mail;
    return mail != NULL ? SL_CONTAINER_OF(mail, engine_message, mail) : NULL;
}

static void drop_message(engine_worker *w) {
    w->mail = w->mail->next;
}

static void tell_message(engine_message *message, engine_completion *ret) {
    *ret = (engine_completion){
        .kind = ENGINE_MESSAGE,
        .user = message->user,
        .message = message,
    };
}

static void tell_closed(engine_worker *w, engine_handle *handle, engine_completion *ret) {
    SL_FAILPOINT_PASS(engine, closed);
    *ret = (engine_completion){
        .kind = ENGINE_CLOSE,
        .user = handle->close_user,
        .handle = handle,
    };
    engine_ready_push(&w->retired, &handle->ready);
    w->retired_handles++;
}

static void tell_done(engine_worker *w, engine_request *request, engine_completion *ret) {
    SL_FAILPOINT_PASS(engine, deliver);
    w->completed_count++;
    *ret = (engine_completion){
        .kind = request->kind,
        .status = request->status,
        .os_error = request->os_error,
        .detail = request->status != SLUICE_OK ? request->detail : NULL,
        .count = request->kind == ENGINE_RESOLVE ? request->address_count : 0,
        .user = request->user,
        .id = request->id,
        .handle = request->handle,
        .bytes = request->bytes,
        .in_doubt = request->in_doubt,
    };
    for (unsigned i = 0; i < request->opening_count; i++) {
        ret->opened[i] = request->opening[i];
    }
    request->state = ENGINE_REQUEST_FREE;
    sl_slots_release(&w->requests, request);
}

/* Internal messages act, and deliver nothing themselves. */
static unsigned deliver_messages(engine_worker *w, engine_completion *out, unsigned capacity) {
    unsigned count = 0;
    engine_message *message;
    while (count < capacity && (message = next_message(w)) != NULL) {
        drop_message(w); /* before it is handed over: the message may be reused at once */
        if (message->on_worker != NULL) {
            message->on_worker(message);
        } else {
            tell_message(message, &out[count++]);
        }
    }
    return count;
}

static unsigned deliver_ended(engine_worker *w, engine_completion *out, unsigned capacity) {
    unsigned count = 0;
    engine_ready *ready;
    while (count < capacity && (ready = engine_ready_pop(&w->ready)) != NULL) {
        if (ready->is_handle) {
            tell_closed(w, SL_CONTAINER_OF(ready, engine_handle, ready), &out[count++]);
        } else {
            tell_done(w, SL_CONTAINER_OF(ready, engine_request, ready), &out[count++]);
        }
    }
    return count;
}

/* Messages and what ended go first in turn, so that neither can fill every batch and keep the other
 * out (a message that is posted again whenever it is delivered never runs dry). What ended comes
 * last in any case: an internal message may just have ended something, and nobody would wait for
 * it. */
static unsigned deliver_batch(engine_worker *w, engine_completion *out, unsigned capacity) {
    unsigned count = 0;
    w->ended_first = !w->ended_first;
    if (w->ended_first) {
        count = deliver_ended(w, out, capacity);
    }
    count += deliver_messages(w, out + count, capacity - count);
    return count + deliver_ended(w, out + count, capacity - count);
}

/* Waits for the kernel, a message or a timer, until deadline_ns at most. */
static void wait_until(engine_worker *w, uint64_t deadline_ns) {
    uint64_t timer_ns = w->timers.count > 0 ? sl_heap_deadline_ns(&w->timers) : SL_CLOCK_NEVER;
    uint64_t until_ns = timer_ns < deadline_ns ? timer_ns : deadline_ns;
    if (until_ns != 0) {
        (void)atomic_exchange(&w->asleep, true);
        if (!sl_mailbox_is_empty(&w->mailbox)) {
            until_ns = 0;
        }
    }
    w->ops->wait(w, until_ns);
    if (atomic_load_explicit(&w->asleep, memory_order_relaxed)) {
        (void)atomic_exchange(&w->asleep, false); /* every change is a swap: docs/design.md */
    }
    w->polls_since_wait = 0;
    w->waited_ns = sl_clock_now_ns(w->engine->clock);
}

/* There are completions without end while one client floods: others must be seen all the same. */
static bool is_time_to_look(engine_worker *w) {
    return ++w->polls_since_wait >= ENGINE_POLLS_PER_WAIT ||
           sl_clock_now_ns(w->engine->clock) - w->waited_ns >= ENGINE_TURN_NS;
}

unsigned engine_poll(engine_worker *w, engine_completion *ret_completions, unsigned capacity,
                     uint64_t deadline_ns) {
    engine_check_owner(w);
    SL_CHECK(capacity > 0, "engine_poll needs room for a completion");
    if (w->retired.first != NULL) {
        recycle(w);
    }
    if (is_time_to_look(w)) {
        wait_until(w, 0);
    }
    bool looked = false;
    for (;;) {
        if (w->timers.count > 0) {
            engine_connect_on_timer(w, sl_clock_now_ns(w->engine->clock));
        }
        if (w->wants_flush) {
            w->wants_flush = false;
            w->ops->flush(w);
        }
        unsigned count = deliver_batch(w, ret_completions, capacity);
        if (count > 0) {
            return count;
        }
        if (looked && (deadline_ns == 0 || (deadline_ns != SL_CLOCK_NEVER &&
                                            sl_clock_now_ns(w->engine->clock) >= deadline_ns))) {
            return 0;
        }
        wait_until(w, deadline_ns);
        looked = true;
    }
}

void engine_look(engine_worker *w) {
    engine_check_owner(w);
    w->polls_since_wait = ENGINE_POLLS_PER_WAIT;
}

void engine_prefer(engine_handle *handle) {
    engine_check_owner(handle->worker);
    handle->is_preferred = true;
}

void engine_worker_counters(const engine_worker *w, engine_counters *ret) {
    memset(ret, 0, sizeof(*ret));
    ret->handles = w->handles.used - w->retired_handles;
    ret->requests = (uint32_t)(w->submitted_count - w->completed_count);
    ret->closing = w->closing_count;
    ret->submitted_count = w->submitted_count;
    ret->completed_count = w->completed_count;
    ret->handles_opened_count = w->handles_opened_count;
    ret->handles_closed_count = w->handles_closed_count;
    ret->stray_count = w->stray_count;
    ret->memory_bytes = atomic_load_explicit(&w->account.used_bytes, memory_order_relaxed);
    ret->allocated_count = atomic_load_explicit(&w->account.acquired_count, memory_order_relaxed);
}

uint64_t engine_worker_strays(const engine_worker *w) {
    return w->stray_count;
}

uint32_t engine_worker_os_error(const engine_worker *w) {
    return w->os_error;
}

engine *engine_worker_engine(engine_worker *w) {
    return w->engine;
}

void *engine_worker_alloc(engine_worker *w, size_t size_bytes) {
    return sl_account_alloc(&w->account, size_bytes);
}

void engine_worker_free(engine_worker *w, void *memory, size_t size_bytes) {
    sl_account_free(&w->account, memory, size_bytes);
}
