/*
 * bench_chain.c - the work of `sluice bench` through the broker. See bench.h.
 *
 * A chain makes one unit after another: the callback of one starts the next, so that in the inline
 * delivery no thread is handed anything. 64 in flight are 64 chains. Callbacks of a session run
 * one after another; main starts the first units while callbacks run already, hence the atomics.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "client/cli/bench.h"

#define CALL_NS          (30 * SL_NS_PER_S)
#define CROWD_OF_SESSION 1000u /* pipes: with a read each they stay within the credit */
#define PACE_NS          SL_NS_PER_MS

typedef struct bench_run {
    bench_subject *subject;
    bench_work work;
    sl_atomic_u64 left;
    sl_atomic_u64 sampled;
    sl_atomic_u32 active;  /* chains at work */
    sl_atomic_u32 failure; /* -status of the first */
    bench_tally *tally;
    sl_event done;
} bench_run;

typedef struct bench_chain {
    bench_run *run;
    sluice_handle reader, writer;
    uint64_t began_ns;
    uint32_t pending;            /* callbacks of this unit that are due */
    sluice_operation *cancelled; /* CANCEL */
    bool reading;                /* WRITE, READ: the second half of the unit */
    char out[BENCH_BYTES], in[BENCH_BYTES];
} bench_chain;

struct bench_crowd {
    const char *endpoint;
    uint32_t sessions;
    sluice_session *session[16];
    char buffer[BENCH_BYTES]; /* of reads that never get anything */
};

static uint64_t now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

static void sample(bench_run *run, uint64_t began_ns) {
    uint64_t index = atomic_fetch_add(&run->sampled, 1);
    if (index < run->tally->room) {
        run->tally->samples_ns[index] = now_ns() - began_ns;
    }
}

static void begin_unit(bench_chain *chain);

static void end_chain(bench_chain *chain, int status) {
    bench_run *run = chain->run;
    unsigned expected = 0;
    if (status != SLUICE_OK) {
        (void)atomic_compare_exchange_strong(&run->failure, &expected, (unsigned)-status);
        atomic_store(&run->left, 0);
    }
    if (atomic_fetch_sub(&run->active, 1) == 1) {
        sl_event_set(&run->done);
    }
}

static bool take_unit(bench_run *run) {
    uint64_t left = atomic_load(&run->left);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&run->left, &left, left - 1)) {
            return true;
        }
    }
    return false;
}

static void on_unit(void *user, sluice_operation *operation, const sluice_result *result) {
    bench_chain *chain = user;
    bench_run *run = chain->run;
    int status = result->status;
    if (run->work == BENCH_CANCEL && status == SLUICE_ECANCELED) {
        status = SLUICE_OK;
    }
    (void)operation;
    if (--chain->pending > 0 && status == SLUICE_OK) {
        return;
    }
    bool two_halves = run->work == BENCH_WRITE || run->work == BENCH_READ;
    if (status == SLUICE_OK && (!two_halves || chain->reading == (run->work == BENCH_READ))) {
        sample(run, chain->began_ns);
    }
    if (status != SLUICE_OK) {
        end_chain(chain, status);
    } else if (two_halves && !chain->reading) {
        chain->reading = true;
        begin_unit(chain);
    } else if (take_unit(run)) {
        chain->reading = false;
        begin_unit(chain);
    } else {
        end_chain(chain, SLUICE_OK);
    }
}

static int start_write(bench_chain *chain) {
    return sluice_write_start(chain->run->subject->session, chain->writer, chain->out, BENCH_BYTES,
                              CALL_NS, on_unit, chain, NULL);
}

static int start_read(bench_chain *chain, sluice_operation **ret_operation) {
    return sluice_read_start(chain->run->subject->session, chain->reader, chain->in, BENCH_BYTES,
                             chain->run->work == BENCH_CANCEL ? 0 : SLUICE_READ_ALL, CALL_NS,
                             on_unit, chain, ret_operation);
}

/* The read is with the broker: requests take effect in order, and this ping came after it. */
static void on_pending(void *user, sluice_operation *operation, const sluice_result *result) {
    bench_chain *chain = user;
    (void)operation;
    (void)result; /* if it failed, so will the read */
    chain->began_ns = now_ns();
    (void)sluice_cancel(chain->cancelled);
    sluice_release(chain->cancelled);
}

static void begin_unit(bench_chain *chain) {
    int status;
    chain->began_ns = now_ns();
    chain->pending = 1;
    switch (chain->run->work) {
    case BENCH_WRITE:
    case BENCH_READ: status = chain->reading ? start_read(chain, NULL) : start_write(chain); break;
    case BENCH_ECHO:
    case BENCH_FLIGHT_WORK:
        chain->pending = 2;
        status = start_write(chain);
        status = status != SLUICE_OK ? status : start_read(chain, NULL);
        break;
    case BENCH_CANCEL:
        status = start_read(chain, &chain->cancelled);
        if (status == SLUICE_OK) {
            status =
                sluice_ping_start(chain->run->subject->session, CALL_NS, on_pending, chain, NULL);
        }
        break;
    case BENCH_PING:
    case BENCH_PACED:
    case BENCH_RELAY:
    default:
        status = sluice_ping_start(chain->run->subject->session, CALL_NS, on_unit, chain, NULL);
        break;
    }
    if (status != SLUICE_OK) {
        end_chain(chain, status);
    }
}

static void wait_for_end(bench_run *run) {
    uint64_t waitable = 0;
    if (run->subject->what->mode != BENCH_POLL) {
        (void)sl_event_wait_until(&run->done, SL_CLOCK_NEVER);
        return;
    }
    (void)sluice_waitable(run->subject->session, &waitable);
    while (atomic_load(&run->active) > 0) {
        bench_peer_wait(waitable);
        (void)sluice_dispatch(run->subject->session, 0, NULL);
    }
}

static int run_chains(bench_run *run) {
    bench_subject *subject = run->subject;
    bool many = run->work == BENCH_FLIGHT_WORK;
    uint32_t count = many ? subject->chain_count : 1;
    atomic_store(&run->active, count);
    for (uint32_t i = 0; i < count; i++) {
        subject->chains[i].run = run;
        subject->chains[i].reading = false;
        if (take_unit(run)) {
            begin_unit(&subject->chains[i]);
        } else {
            end_chain(&subject->chains[i], SLUICE_OK);
        }
    }
    wait_for_end(run);
    return -(int)atomic_load(&run->failure);
}

static int run_synchronous(bench_run *run) {
    sluice_session *session = run->subject->session;
    bench_chain *chain = &run->subject->chains[0];
    int status = SLUICE_OK;
    while (status == SLUICE_OK && take_unit(run)) {
        uint64_t began_ns = now_ns();
        if (run->work == BENCH_PING) {
            status = sluice_ping(session, CALL_NS, NULL);
        } else {
            status = sluice_write(session, chain->writer, chain->out, BENCH_BYTES, CALL_NS, NULL);
            if (run->work == BENCH_WRITE) {
                sample(run, began_ns);
            }
            began_ns = run->work == BENCH_READ ? now_ns() : began_ns;
            if (status == SLUICE_OK) {
                status = sluice_read(session, chain->reader, chain->in, BENCH_BYTES,
                                     SLUICE_READ_ALL, CALL_NS, NULL);
            }
        }
        if (run->work != BENCH_WRITE) {
            sample(run, began_ns);
        }
    }
    return status;
}

/* One call each millisecond, synchronously: how long does each take when all have been idle? */
static int run_paced(bench_run *run) {
    int status = SLUICE_OK;
    uint64_t next_ns = now_ns() + PACE_NS;
    while (status == SLUICE_OK && take_unit(run)) {
        (void)sl_event_wait_until(&run->done, next_ns);
        next_ns += PACE_NS;
        uint64_t began_ns = now_ns();
        status = sluice_ping(run->subject->session, CALL_NS, NULL);
        sample(run, began_ns);
    }
    return status;
}

int bench_subject_run(bench_subject *subject, bench_work work, uint64_t units, bench_tally *tally) {
    bench_run run = {.subject = subject, .work = work, .tally = tally};
    int status = sl_event_init(&run.done);
    if (status != SLUICE_OK) {
        return status;
    }
    atomic_store(&run.left, units);
    uint64_t began_ns = now_ns();
    if (work == BENCH_PACED) {
        status = run_paced(&run);
    } else if (subject->what->mode == BENCH_SYNC) {
        status = run_synchronous(&run);
    } else {
        status = run_chains(&run);
    }
    tally->elapsed_ns = now_ns() - began_ns;
    tally->units = units;
    tally->count = atomic_load(&run.sampled);
    sl_event_deinit(&run.done);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------- */

static int open_session(const char *endpoint, uint32_t delivery, sluice_session **ret_session) {
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

static int crowd_fill(bench_crowd *crowd, sluice_session *session, uint32_t count, bool pending) {
    int status = SLUICE_OK;
    for (uint32_t i = 0; i < count && status == SLUICE_OK; i++) {
        sluice_result result = {.size = sizeof(result)};
        status = sluice_pair(session, CALL_NS, &result);
        if (status == SLUICE_OK && pending) {
            status = sluice_read_start(session, result.handles[0], crowd->buffer, BENCH_BYTES, 0,
                                       SLUICE_NO_TIMEOUT, on_crowd, NULL, NULL);
        }
    }
    return status;
}

/* Other sessions with `count` pipes between them. The buffer is shared: nothing ever arrives. */
static int crowd_open(bench_crowd **ret_crowd, const char *endpoint, uint32_t count, bool pending) {
    bench_crowd *crowd = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*crowd));
    int status = crowd == NULL ? SLUICE_ENOMEM : SLUICE_OK;
    *ret_crowd = crowd;
    while (status == SLUICE_OK && count > 0) {
        uint32_t share = count < CROWD_OF_SESSION ? count : CROWD_OF_SESSION;
        SL_CHECK(crowd->sessions < SL_ARRAY_COUNT(crowd->session), "a crowd fits");
        status = open_session(endpoint, SLUICE_DELIVERY_INLINE, &crowd->session[crowd->sessions]);
        if (status == SLUICE_OK) {
            status = crowd_fill(crowd, crowd->session[crowd->sessions++], share, pending);
        }
        count -= share;
    }
    return status;
}

static int chain_open(bench_subject *subject, bench_chain *chain, const char *echo_address) {
    sluice_result result = {.size = sizeof(result)};
    bool echo = subject->what->work == BENCH_ECHO;
    int status = echo ? sluice_connect(subject->session, echo_address, CALL_NS, &result)
                      : sluice_pair(subject->session, CALL_NS, &result);
    memset(chain->out, 'x', BENCH_BYTES);
    if (status == SLUICE_OK) {
        chain->reader = result.handles[0];
        chain->writer = echo ? result.handles[0] : result.handles[1];
    }
    return status;
}

int bench_subject_open(bench_subject *subject, const bench_case *what, const char *endpoint,
                       const char *echo_address) {
    static const uint32_t deliveries[] = {SLUICE_DELIVERY_INLINE, SLUICE_DELIVERY_THREAD,
                                          SLUICE_DELIVERY_POLL, SLUICE_DELIVERY_THREAD};
    *subject = (bench_subject){.what = what};
    subject->chain_count = what->work == BENCH_FLIGHT_WORK ? BENCH_FLIGHT : 1;
    subject->chains = sl_allocator_system()->acquire(
        sl_allocator_system(), subject->chain_count * sizeof(*subject->chains));
    int status = subject->chains == NULL ? SLUICE_ENOMEM : SLUICE_OK;
    if (status == SLUICE_OK) {
        status = open_session(endpoint, deliveries[what->mode], &subject->session);
    }
    for (uint32_t i = 0; i < subject->chain_count && status == SLUICE_OK; i++) {
        status = chain_open(subject, &subject->chains[i], echo_address);
    }
    if (status == SLUICE_OK && what->others > 0) {
        status = crowd_open(&subject->crowd, endpoint, what->others, what->others_pending);
    }
    return status;
}

void bench_subject_close(bench_subject *subject) {
    sl_allocator *heap = sl_allocator_system();
    if (subject->crowd != NULL) {
        for (uint32_t i = 0; i < subject->crowd->sessions; i++) {
            (void)sluice_session_close(subject->crowd->session[i]);
        }
        heap->release(heap, subject->crowd, sizeof(*subject->crowd));
    }
    (void)sluice_session_close(subject->session);
    if (subject->chains != NULL) {
        heap->release(heap, subject->chains, subject->chain_count * sizeof(*subject->chains));
    }
    *subject = (bench_subject){0};
}
