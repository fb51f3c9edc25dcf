/*
 * broker.c - the broker as a whole: its engine, its endpoint, its workers' threads; create, start,
 * drain, destroy.
 *
 * The control thread only: what it wants of a worker it sends as a letter. The gate is the one lock
 * of the core. It is held for a moment when a worker opens or closes and when a letter is posted
 * from outside, so that nobody posts to a worker that is gone; never while a worker works.
 */
#include "broker/broker.h"

#include <string.h>

#include "base/failpoint.h"
#include "broker/counters.h"
#include "broker/drain.h"
#include "broker/worker.h"

#define OFFER_NS       (200 * SL_NS_PER_US)

void broker_options_init(broker_options *ret_options) {
    *ret_options = (broker_options){0};
    sl_limits_default(&ret_options->limits);
}

/* ---- create and destroy ---- */

static uint64_t choose_epoch(const broker_options *options) {
    uint64_t epoch = options->epoch;
    while (epoch == 0) {
        options->random->fill(options->random, &epoch, sizeof(epoch));
    }
    return epoch;
}

static int check_options(const broker_options *options) {
    bool is_good =
        options->endpoint != NULL && options->worker_count <= BROKER_WORKERS_MAX &&
        sl_limits_check(&options->limits, NULL) == SLUICE_OK &&
        options->allow_count <= BROKER_ALLOW_MAX &&
        (options->version == NULL || strlen(options->version) <= SL_VERSION_BYTES) &&
        (options->access == NULL || strlen(options->access) < sizeof(((broker *)NULL)->access));
    return is_good ? SLUICE_OK : SLUICE_EINVAL;
}

uint32_t broker_workers_of(uint32_t worker_count) {
    uint32_t count = worker_count != 0 ? worker_count : sl_thread_cpu_count();
    return count < BROKER_WORKERS_MAX ? count : BROKER_WORKERS_MAX;
}

static void take_options(broker *b, const broker_options *options) {
    b->options = *options;
    broker_options *own = &b->options;
    own->allocator = own->allocator != NULL ? own->allocator : sl_allocator_system();
    own->clock = own->clock != NULL ? own->clock : sl_clock_system();
    own->random = own->random != NULL ? own->random : sl_random_system();
    own->backend = own->backend != NULL ? own->backend : engine_backend_find(NULL);
    strncpy(b->version, own->version != NULL ? own->version : "0", sizeof(b->version) - 1);
    if (own->access != NULL) {
        strncpy(b->access, own->access, sizeof(b->access) - 1);
        own->access = b->access;
    }
    for (unsigned i = 0; i < own->allow_count; i++) {
        b->allow[i] = own->allow[i];
    }
    own->allow = b->allow;
    own->version = b->version;
    own->endpoint = NULL; /* the caller's */
    own->ret_detail = NULL;
    b->worker_count = broker_workers_of(own->worker_count);
}

static int open_engine(broker *b, const char **ret_detail) {
    const broker_options *own = &b->options;
    engine_options options = {
        .allocator = own->allocator,
        .clock = own->clock,
        .random = own->random,
        .max_requests = WORKER_ENTRIES,
        .max_handles = WORKER_ENTRIES,
        .opener_threads = (uint32_t)own->limits.opener_threads,
        .given_up_max = (uint32_t)own->limits.opens_given_up,
        .backend_options = own->backend_options,
    };
    int status = engine_create(own->backend, &options, &b->engine);
    if (status == SLUICE_OK) {
        status = engine_own_identity(b->engine, &b->own);
    }
    if (status == SLUICE_OK) {
        engine_listen_options listen = {.backlog = ENGINE_PIPE_BACKLOG_MAX, .access = own->access};
        status = engine_endpoint_create(b->engine, &b->endpoint_address, &listen, &b->endpoint,
                                        ret_detail);
    }
    return status;
}

/* Where only one user may connect, nobody has to be protected from it: it may have all. */
static void init_books(broker *b) {
    const broker_options *own = &b->options;
    const sl_limits *limits = &own->limits;
    bool has_one_user = own->access == NULL && own->allow_count == 0;
    descriptors_init(&b->descriptors, own->descriptors, b->worker_count, !has_one_user);
    pipes_init(&b->pipes, has_one_user ? 0 : own->pipe_pages);
    broker_user_limits each = {.memory_bytes = limits->user_memory_bytes,
                               .sessions = limits->user_sessions,
                               .handles = limits->user_handles};
    if (has_one_user) {
        each = (broker_user_limits){limits->memory_bytes, limits->sessions, UINT64_MAX};
    }
    book_init(&b->sessions, limits->sessions);
    book_init(&b->memory, limits->memory_bytes);
    users_init(&b->users, &b->account, &each);
}

/* With an allocator that is the options', so that the broker itself is on somebody's books. */
static int create(const broker_options *options, sl_account *account, broker **ret_broker) {
    broker *b = sl_account_alloc(account, sizeof(*b));
    if (b == NULL) {
        return SLUICE_ENOMEM;
    }
    take_options(b, options);
    b->account = *account;
    b->workers = sl_account_alloc(&b->account, b->worker_count * sizeof(*b->workers));
    int status = b->workers != NULL ? SLUICE_OK : SLUICE_ENOMEM;
    if (status == SLUICE_OK) {
        status = sl_event_init(&b->started);
    }
    if (status != SLUICE_OK) {
        sl_account_free(&b->account, b->workers, b->worker_count * sizeof(*b->workers));
        sl_account_free(&b->account, b, sizeof(*b));
        return status;
    }
    sl_mutex_init(&b->gate);
    init_books(b);
    b->epoch = choose_epoch(&b->options);
    b->started_ns = sl_clock_now_ns(b->options.clock);
    for (uint32_t i = 0; i < b->worker_count; i++) {
        b->workers[i].broker = b;
        b->workers[i].index = i;
    }
    *ret_broker = b;
    return SLUICE_OK;
}

int broker_create(const broker_options *options, broker **ret_broker) {
    sl_account account;
    broker *b = NULL;
    int status = check_options(options);
    if (status != SLUICE_OK) {
        return status;
    }
    sl_account_init(&account,
                    options->allocator != NULL ? options->allocator : sl_allocator_system(),
                    "broker", SIZE_MAX);
    status = create(options, &account, &b);
    if (status != SLUICE_OK) {
        return status;
    }
    status = engine_address_endpoint(&b->endpoint_address, options->endpoint);
    if (status == SLUICE_OK) {
        status = open_engine(b, options->ret_detail);
    }
    if (status != SLUICE_OK) {
        (void)broker_destroy(b, SL_NS_PER_S);
        return status;
    }
    *ret_broker = b;
    return SLUICE_OK;
}

int broker_destroy(broker *b, uint64_t grace_ns) {
    if (b == NULL) {
        return SLUICE_OK;
    }
    for (uint32_t i = 0; i < b->worker_count; i++) {
        if (b->workers[i].has_thread || b->workers[i].state != WORKER_CLOSED) {
            return SLUICE_EBUSY;
        }
    }
    int status = engine_endpoint_destroy(b->endpoint);
    if (status != SLUICE_OK) {
        return status;
    }
    b->endpoint = NULL;
    if (b->engine != NULL) {
        status = engine_destroy(b->engine, grace_ns);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    sl_event_deinit(&b->started);
    sl_mutex_deinit(&b->gate);
    descriptors_check_empty(&b->descriptors);
    pipes_check_empty(&b->pipes);
    users_deinit(&b->users);
    book_check_empty(&b->sessions);
    book_check_empty(&b->memory);
    sl_account account = b->account;
    sl_account_free(&account, b->workers, b->worker_count * sizeof(*b->workers));
    sl_account_free(&account, b, sizeof(*b));
    sl_account_deinit(&account);
    return SLUICE_OK;
}

/* ---- threads ---- */

/* A client that has its answer waits for a processor, often for the very one of the worker, and a
 * worker that one client floods does not sleep. Linux takes the processor from it after
 * milliseconds only, so it offers it by itself; where that costs it no more than a short slice, for
 * beside programs that never sleep it would else lose most of its share (docs/design.md, "a
 * worker's turns are short"). */
static void loop(broker_worker *worker) {
    bool offers = sl_thread_set_slice(SL_THREAD_SLICE_MIN_NS) == SLUICE_OK;
    uint64_t offered_ns = worker->now_ns;
    while (worker_step(worker, SL_CLOCK_NEVER)) {
        if (offers && worker_is_busy(worker) && worker->now_ns - offered_ns >= OFFER_NS) {
            offered_ns = worker->now_ns;
            worker_flush(worker); /* replies do not wait for other programs */
            sl_thread_yield();
        }
    }
}

static void run(void *context) {
    broker_worker *worker = context;
    broker *b = worker->broker;
    int refused = SL_FAILPOINT(broker, worker);
    worker->start_status = refused == SLUICE_OK ? worker_open(worker) : refused;
    bool is_open = worker->start_status == SLUICE_OK;
    if (!is_open) {
        atomic_fetch_add_explicit(&b->start_failures, 1, memory_order_release);
        drain_report(worker, 0);
    }
    atomic_fetch_add_explicit(&b->started_count, 1, memory_order_release);
    sl_event_set(&b->started);
    if (is_open) {
        loop(worker);
        int status = worker_close(worker);
        SL_CHECK(status == SLUICE_OK, "a worker that has ended has nothing left");
    }
}

static int await_start(broker *b, uint32_t count) {
    while (atomic_load_explicit(&b->started_count, memory_order_acquire) < count) {
        (void)sl_event_wait_until(&b->started, SL_CLOCK_NEVER);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (b->workers[i].start_status != SLUICE_OK) {
            return b->workers[i].start_status;
        }
    }
    return SLUICE_OK;
}

int broker_start(broker *b) {
    int status = SLUICE_OK;
    uint32_t count = 0;
    if (!engine_backend_is_threaded(b->options.backend)) {
        return SLUICE_ENOTSUP;
    }
    while (count < b->worker_count && status == SLUICE_OK) {
        broker_worker *worker = &b->workers[count];
        status = sl_thread_start(&worker->thread, "sluice worker", run, worker);
        if (status == SLUICE_OK) {
            worker->has_thread = true;
            count++;
        }
    }
    int started = await_start(b, count);
    status = status != SLUICE_OK ? status : started;
    if (status != SLUICE_OK) {
        atomic_fetch_add_explicit(&b->start_failures, 1, memory_order_release);
        for (uint32_t i = count; i < b->worker_count; i++) {
            drain_report(&b->workers[i], 0);
        }
        broker_drain(b, 0);
        (void)broker_join(b, SL_CLOCK_NEVER);
    }
    return status;
}

bool broker_join(broker *b, uint64_t deadline_ns) {
    for (uint32_t i = 0; i < b->worker_count; i++) {
        broker_worker *worker = &b->workers[i];
        if (worker->has_thread) {
            if (!sl_thread_join_until(&worker->thread, deadline_ns)) {
                return false;
            }
            worker->has_thread = false;
        }
    }
    return true;
}

void broker_drain(broker *b, uint64_t grace_ns) {
    atomic_store_explicit(&b->is_draining, true, memory_order_relaxed);
    sl_mutex_lock(&b->gate);
    for (uint32_t i = 0; i < b->worker_count; i++) {
        broker_worker *worker = &b->workers[i];
        if (!atomic_load_explicit(&worker->is_open, memory_order_acquire)) {
            continue;
        }
        atomic_store_explicit(&worker->drain_grace_ns, grace_ns, memory_order_relaxed);
        if (!atomic_exchange_explicit(&worker->is_drain_posted, true, memory_order_acq_rel)) {
            engine_post(worker->engine, &worker->drain_letter.message);
        }
    }
    sl_mutex_unlock(&b->gate);
}

bool broker_has_ended(broker *b, broker_end *ret_end) {
    if (!atomic_load_explicit(&b->has_ended, memory_order_acquire)) {
        return false;
    }
    if (ret_end != NULL) {
        ret_end->stuck_count = counter_get(&b->stuck_count);
    }
    return true;
}

/* ---- a worker in the caller's thread ---- */

int broker_worker_open(broker *b, uint32_t index) {
    SL_CHECK(index < b->worker_count, "a worker has a number");
    return worker_open(&b->workers[index]);
}

bool broker_worker_step(broker *b, uint32_t index, uint64_t deadline_ns) {
    SL_CHECK(index < b->worker_count, "a worker has a number");
    return worker_step(&b->workers[index], deadline_ns);
}

bool broker_worker_is_busy(const broker *b, uint32_t index) {
    return worker_is_busy(&b->workers[index]);
}

uint64_t broker_worker_deadline_ns(const broker *b, uint32_t index) {
    return sl_heap_deadline_ns(&b->workers[index].timers);
}

int broker_worker_close(broker *b, uint32_t index) {
    SL_CHECK(index < b->worker_count, "a worker has a number");
    return worker_close(&b->workers[index]);
}

/* ---- looking inside ---- */

void broker_counters_get(const broker *b, broker_counters *ret_counters) {
    counters_sum(b, ret_counters);
}

const char *broker_engine_name(const broker *b) {
    return engine_backend_name(b->options.backend);
}

uint64_t broker_epoch(const broker *b) {
    return b->epoch;
}

uint32_t broker_worker_count(const broker *b) {
    return b->worker_count;
}
