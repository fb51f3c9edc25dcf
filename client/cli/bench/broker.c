/*
 * broker.c - the work through Sluice, by the public library.
 *
 * A chain makes one unit after another: the callback of one starts the next, so that in the inline
 * delivery no thread is handed anything. Many in flight are many chains. Callbacks of a session run
 * one after another; the measuring thread starts the first units while callbacks run already, hence
 * the atomics.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"
#include "client/cli/bench/far.h"

#define CALL_NS          (30 * SL_NS_PER_S)
#define CROWD_OF_SESSION 1000u /* pipes: with a read each they stay within the credit */
#define CROWD_SESSIONS   16u
#define PACE_NS          SL_NS_PER_MS

typedef struct subject subject;

typedef struct chain {
    subject *subject;
    sluice_handle reader, writer;
    uint64_t began_ns;
    uint32_t pending; /* callbacks of this unit that are due */
    bool reading;     /* WRITE, READ: the second half of the unit */
    sluice_operation *cancelled;
    char *bytes; /* BULK: a block; else two messages, out and in */
} chain;

struct subject {
    const bench_case *what;
    const bench_stage *stage;
    bench_work work;
    sluice_session *session;
    sluice_session *crowd[CROWD_SESSIONS];
    uint32_t crowd_count;
    char crowd_bytes[BENCH_BYTES]; /* of reads that never get anything */
    bench_far far;
    chain *chains;
    uint32_t chain_count;
    size_t chain_bytes; /* of each one's `bytes` */
    /* the slice at work */
    sl_histogram *latency;
    sl_atomic_u64 left;
    sl_atomic_u32 active;  /* chains at work */
    sl_atomic_u32 failure; /* -status of the first */
    sl_event done;
    bool has_done;
};

static uint64_t now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

static bool is_bulk(const subject *self) {
    return self->work == BENCH_BULK_OUT || self->work == BENCH_BULK_IN;
}

static void sample(subject *self, uint64_t began_ns) {
    sl_histogram_add(self->latency, now_ns() - began_ns);
}

/* ---- chains -------------------------------------------------------------------------------- */

static void begin_unit(chain *at);

static void end_chain(chain *at, int status) {
    subject *self = at->subject;
    unsigned expected = 0;
    if (status != SLUICE_OK) {
        (void)atomic_compare_exchange_strong(&self->failure, &expected, (unsigned)-status);
        atomic_store(&self->left, 0);
    }
    if (atomic_fetch_sub(&self->active, 1) == 1) {
        sl_event_set(&self->done);
    }
}

static bool take_unit(subject *self) {
    uint64_t left = atomic_load(&self->left);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&self->left, &left, left - 1)) {
            return true;
        }
    }
    return false;
}

static void on_unit(void *user, sluice_operation *operation, const sluice_result *result) {
    chain *at = user;
    subject *self = at->subject;
    int status = result->status;
    if (self->work == BENCH_CANCEL && status == SLUICE_ECANCELED) {
        status = SLUICE_OK;
    }
    (void)operation;
    if (--at->pending > 0 && status == SLUICE_OK) {
        return;
    }
    bool two_halves = self->work == BENCH_WRITE || self->work == BENCH_READ;
    if (status == SLUICE_OK && (!two_halves || at->reading == (self->work == BENCH_READ))) {
        sample(self, at->began_ns);
    }
    if (status != SLUICE_OK) {
        end_chain(at, status);
    } else if (two_halves && !at->reading) {
        at->reading = true;
        begin_unit(at);
    } else if (take_unit(self)) {
        at->reading = false;
        begin_unit(at);
    } else {
        end_chain(at, SLUICE_OK);
    }
}

static int start_write(chain *at, uint32_t count) {
    return sluice_write_start(at->subject->session, at->writer, at->bytes, count, CALL_NS, on_unit,
                              at, NULL);
}

static int start_read(chain *at, uint32_t count, sluice_operation **ret_operation) {
    char *into = is_bulk(at->subject) ? at->bytes : at->bytes + BENCH_BYTES;
    return sluice_read_start(at->subject->session, at->reader, into, count,
                             at->subject->work == BENCH_CANCEL ? 0 : SLUICE_READ_ALL, CALL_NS,
                             on_unit, at, ret_operation);
}

/* The read is with the broker: requests take effect in order, and this ping came after it. */
static void on_pending(void *user, sluice_operation *operation, const sluice_result *result) {
    chain *at = user;
    (void)operation;
    (void)result; /* if it failed, so will the read */
    at->began_ns = now_ns();
    (void)sluice_cancel(at->cancelled);
    sluice_release(at->cancelled);
}

static void begin_unit(chain *at) {
    subject *self = at->subject;
    int status;
    at->began_ns = now_ns();
    at->pending = 1;
    switch (self->work) {
    case BENCH_WRITE:
    case BENCH_READ:
        status = at->reading ? start_read(at, BENCH_BYTES, NULL) : start_write(at, BENCH_BYTES);
        break;
    case BENCH_ECHO:
    case BENCH_PAIRS:
        at->pending = 2;
        status = start_write(at, BENCH_BYTES);
        status = status != SLUICE_OK ? status : start_read(at, BENCH_BYTES, NULL);
        break;
    case BENCH_BULK_OUT: status = start_write(at, self->what->bytes); break;
    case BENCH_BULK_IN: status = start_read(at, self->what->bytes, NULL); break;
    case BENCH_CANCEL:
        status = start_read(at, BENCH_BYTES, &at->cancelled);
        if (status == SLUICE_OK) {
            status = sluice_ping_start(self->session, CALL_NS, on_pending, at, NULL);
        }
        break;
    default: status = sluice_ping_start(self->session, CALL_NS, on_unit, at, NULL); break;
    }
    if (status != SLUICE_OK) {
        end_chain(at, status);
    }
}

static void wait_for_end(subject *self) {
    uint64_t waitable = 0;
    if (self->what->mode != BENCH_POLL) {
        (void)sl_event_wait_until(&self->done, SL_CLOCK_NEVER);
        return;
    }
    (void)sluice_waitable(self->session, &waitable);
    while (atomic_load(&self->active) > 0) {
        bench_machine_wait(waitable);
        (void)sluice_dispatch(self->session, 0, NULL);
    }
    (void)sl_event_wait_until(&self->done, SL_CLOCK_NEVER); /* set already: for the next slice */
}

static int run_chains(subject *self) {
    uint32_t count = self->work == BENCH_PING ? 1 : self->chain_count;
    atomic_store(&self->active, count);
    for (uint32_t i = 0; i < count; i++) {
        self->chains[i].reading = false;
        if (take_unit(self)) {
            begin_unit(&self->chains[i]);
        } else {
            end_chain(&self->chains[i], SLUICE_OK);
        }
    }
    wait_for_end(self);
    return -(int)atomic_load(&self->failure);
}

/* ---- calls that wait ----------------------------------------------------------------------- */

static int call_write(subject *self, uint32_t count) {
    chain *at = &self->chains[0];
    return sluice_write(self->session, at->writer, at->bytes, count, CALL_NS, NULL);
}

static int call_read(subject *self, void *bytes, uint32_t count) {
    return sluice_read(self->session, self->chains[0].reader, bytes, count, SLUICE_READ_ALL,
                       CALL_NS, NULL);
}

static int call_unit(subject *self, uint64_t *began_ns) {
    char *bytes = self->chains[0].bytes;
    int status;
    switch (self->work) {
    case BENCH_BULK_OUT: return call_write(self, self->what->bytes);
    case BENCH_BULK_IN: return call_read(self, bytes, self->what->bytes);
    case BENCH_ECHO:
        status = call_write(self, BENCH_BYTES);
        return status != SLUICE_OK ? status : call_read(self, bytes, BENCH_BYTES);
    case BENCH_READ:
        status = call_write(self, BENCH_BYTES);
        *began_ns = now_ns();
        return status != SLUICE_OK ? status : call_read(self, bytes, BENCH_BYTES);
    case BENCH_WRITE: return call_write(self, BENCH_BYTES);
    default: return sluice_ping(self->session, CALL_NS, NULL);
    }
}

static int run_calls(subject *self) {
    int status = SLUICE_OK;
    uint64_t next_ns = now_ns();
    while (status == SLUICE_OK && take_unit(self)) {
        if (self->work == BENCH_PACED) { /* how long does a call take when all have been idle? */
            next_ns += PACE_NS;
            (void)sl_event_wait_until(&self->done, next_ns);
        }
        uint64_t began_ns = now_ns();
        status = call_unit(self, &began_ns);
        sample(self, began_ns);
        if (self->work == BENCH_WRITE && status == SLUICE_OK) {
            status = call_read(self, self->chains[0].bytes, BENCH_BYTES);
        }
    }
    return status;
}

static int run_work(subject *self, bench_work work, uint64_t units, sl_histogram *latency) {
    bench_header header = {units * self->what->bytes, work == BENCH_BULK_IN, self->what->bytes};
    int status = SLUICE_OK;
    self->work = work;
    self->latency = latency;
    atomic_store(&self->left, units);
    atomic_store(&self->failure, 0);
    if (is_bulk(self)) {
        status = sluice_write(self->session, self->chains[0].writer, &header, sizeof(header),
                              CALL_NS, NULL);
    }
    if (status == SLUICE_OK) {
        bool is_sync = self->what->mode == BENCH_SYNC;
        status = is_sync ? run_calls(self) : run_chains(self);
    }
    if (status == SLUICE_OK && work == BENCH_BULK_OUT) {
        status = call_read(self, self->chains[0].bytes, 1);
    }
    return status;
}

static int broker_run(void *context, uint64_t units, sl_histogram *latency) {
    subject *self = context;
    return run_work(self, self->what->work, units, latency);
}

static int null_run(void *context, uint64_t units, sl_histogram *latency) {
    return run_work(context, BENCH_PING, units, latency);
}

/* ---- opening ------------------------------------------------------------------------------- */

int bench_session_open(const char *endpoint, uint32_t delivery, sluice_session **ret_session) {
    sluice_open_options options = {.size = sizeof(options)};
    options.mode = SLUICE_MODE_SERVICE;
    options.delivery = delivery;
    options.endpoint = endpoint;
    options.client_name = "sluice bench";
    return sluice_open(&options, ret_session);
}

static void on_crowd(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)user;
    (void)operation;
    (void)result; /* it ends with its session */
}

/* Other sessions with so many pipes between them. The buffer is shared: nothing ever arrives. */
static int open_crowd(subject *self, uint32_t pipes) {
    int status = SLUICE_OK;
    sluice_session *session = NULL;
    for (uint32_t i = 0; i < pipes && status == SLUICE_OK; i++) {
        sluice_result result = {.size = sizeof(result)};
        if (i % CROWD_OF_SESSION == 0) {
            SL_CHECK(self->crowd_count < CROWD_SESSIONS, "a crowd fits");
            status = bench_session_open(self->stage->endpoint, SLUICE_DELIVERY_INLINE, &session);
            self->crowd[self->crowd_count] = session;
            self->crowd_count += status == SLUICE_OK;
        }
        if (status == SLUICE_OK) {
            status = sluice_pair(session, CALL_NS, &result);
        }
        if (status == SLUICE_OK && self->what->others_pending) {
            status = sluice_read_start(session, result.handles[0], self->crowd_bytes, BENCH_BYTES,
                                       0, SLUICE_NO_TIMEOUT, on_crowd, NULL, NULL);
        }
    }
    return status;
}

static int open_chains(subject *self) {
    bool is_far = is_bulk(self) || self->work == BENCH_ECHO;
    sl_allocator *heap = sl_allocator_system();
    sluice_result result = {.size = sizeof(result)};
    int status = SLUICE_OK;
    self->chain_count = self->what->flight > 0 ? self->what->flight : 1;
    self->chain_bytes = is_bulk(self) ? self->what->bytes : 2 * BENCH_BYTES;
    self->chains = heap->acquire(heap, self->chain_count * sizeof(*self->chains));
    if (self->chains == NULL) {
        return SLUICE_ENOMEM;
    }
    for (uint32_t i = 0; i < self->chain_count && status == SLUICE_OK; i++) {
        chain *at = &self->chains[i];
        at->subject = self;
        at->bytes = heap->acquire(heap, self->chain_bytes);
        if (at->bytes == NULL) {
            return SLUICE_ENOMEM;
        }
        memset(at->bytes, 'x', self->chain_bytes);
        if (is_far && i == 0) { /* all chains use one connection */
            status = sluice_connect(self->session, self->far.address, CALL_NS, &result);
        } else if (!is_far) {
            status = sluice_pair(self->session, CALL_NS, &result);
        }
        at->reader = result.handles[0];
        at->writer = is_far ? result.handles[0] : result.handles[1];
    }
    return status;
}

static int open_beside(bench_stage *stage, const bench_case *what, uint32_t others,
                       void **ret_self) {
    static const uint32_t deliveries[] = {SLUICE_DELIVERY_INLINE, SLUICE_DELIVERY_THREAD,
                                          SLUICE_DELIVERY_POLL, SLUICE_DELIVERY_THREAD};
    subject *self = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*self));
    if (self == NULL) {
        return SLUICE_ENOMEM;
    }
    *ret_self = self;
    self->what = what;
    self->stage = stage;
    self->work = what->work;
    int status = sl_event_init(&self->done);
    self->has_done = status == SLUICE_OK;
    if (status == SLUICE_OK && is_bulk(self)) {
        status = bench_far_start(stage, BENCH_ROLE_BULK, BENCH_THIRD, NULL, &self->far);
    } else if (status == SLUICE_OK && self->work == BENCH_ECHO) {
        status = bench_far_start(stage, BENCH_ROLE_ECHO, BENCH_HOME, NULL, &self->far);
    }
    if (status == SLUICE_OK) {
        status = bench_session_open(stage->endpoint, deliveries[what->mode], &self->session);
    }
    if (status == SLUICE_OK) {
        status = open_chains(self);
    }
    return status == SLUICE_OK ? open_crowd(self, others) : status;
}

static int broker_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    return open_beside(stage, what, what->others_pending ? what->others : what->others / 2,
                       ret_self);
}

static int alone_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    return open_beside(stage, what, 0, ret_self);
}

static void broker_close(void *context) {
    subject *self = context;
    if (self == NULL) {
        return;
    }
    for (uint32_t i = 0; i < self->crowd_count; i++) {
        (void)sluice_session_close(self->crowd[i]);
    }
    (void)sluice_session_close(self->session);
    bench_far_stop(&self->far);
    sl_allocator *heap = sl_allocator_system();
    for (uint32_t i = 0; self->chains != NULL && i < self->chain_count; i++) {
        if (self->chains[i].bytes != NULL) {
            heap->release(heap, self->chains[i].bytes, self->chain_bytes);
        }
    }
    if (self->chains != NULL) {
        heap->release(heap, self->chains, self->chain_count * sizeof(*self->chains));
    }
    if (self->has_done) {
        sl_event_deinit(&self->done);
    }
    heap->release(heap, self, sizeof(*self));
}

static uint64_t broker_partner(const void *context) {
    return ((const subject *)context)->stage->broker_process;
}

const bench_way bench_broker = {"sluice", broker_open, broker_run, broker_close, broker_partner};
const bench_way bench_null = {"null call", alone_open, null_run, broker_close, broker_partner};
const bench_way bench_alone = {"alone", alone_open, broker_run, broker_close, broker_partner};
