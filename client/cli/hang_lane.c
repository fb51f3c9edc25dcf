/*
 * hang_lane.c - what the three threads of a worker do. See hang.h.
 *
 * Owner: the worker. Threads: each lane runs on its own; they meet only through events, and the
 * closer is the one that hands out the pipe and takes it back. No lane prints.
 */
#include "base/check.h"
#include "client/cli/hang.h"

#define PAUSE_NS SL_NS_PER_MS

static void add(sl_atomic_u64 *counter, uint64_t value) {
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

void hang_begin(hang_lane *lane, hang_kind kind) {
    atomic_store_explicit(&lane->kind, (uint32_t)kind, memory_order_relaxed);
    atomic_store_explicit(&lane->since_ns, sl_clock_now_ns(sl_clock_system()),
                          memory_order_release);
}

/* Closing in the midst of things explains these, and no others. */
static bool is_expected(hang_kind kind, int status) {
    switch (status) {
    case SLUICE_OK: return true;
    case SLUICE_ECLOSED:
    case SLUICE_ECANCELED:
    case SLUICE_EBADHANDLE: /* the close was faster than the call */
        return kind == HANG_READ || kind == HANG_WRITE || kind == HANG_RECEIVE;
    case SLUICE_EEOF: return kind == HANG_READ;
    case SLUICE_EBROKENPIPE:
    case SLUICE_ERESET: return kind == HANG_WRITE;
    default: return false;
    }
}

/* Somebody has ended the broker: that is no finding. One that falls silent is (EUNRESPONSIVE). */
static bool is_loss(const hang_test *test, int status) {
    return test->io == &hang_io_broker &&
           (status == SLUICE_EBROKERLOST || status == SLUICE_ESTALE || status == SLUICE_ESHUTDOWN ||
            status == SLUICE_ENOBROKER);
}

int hang_end(hang_lane *lane, hang_kind kind, int status) {
    uint64_t since_ns = atomic_load_explicit(&lane->since_ns, memory_order_relaxed);
    uint64_t age_ns = sl_clock_now_ns(sl_clock_system()) - since_ns;
    atomic_store_explicit(&lane->since_ns, 0, memory_order_release);
    if (status > 0 || status <= -SLUICE_STATUS_COUNT) {
        status = SLUICE_EOS;
    }
    add(&lane->outcomes[kind][-status], 1);
    if (is_loss(lane->worker->test, status)) {
        add(&lane->lost, 1);
        atomic_store(&lane->worker->test->is_lost, true);
        atomic_store(&lane->worker->test->stop, true);
    } else if (!is_expected(kind, status)) {
        add(&lane->unexpected, 1);
    }
    if (age_ns > SL_NS_PER_S) {
        add(&lane->over_1s, 1);
    }
    if (age_ns > 30 * SL_NS_PER_S) {
        add(&lane->over_30s, 1);
    }
    if (age_ns > atomic_load_explicit(&lane->slowest_ns, memory_order_relaxed)) {
        atomic_store_explicit(&lane->slowest_ns, age_ns, memory_order_relaxed);
        atomic_store_explicit(&lane->slowest_kind, (uint32_t)kind, memory_order_relaxed);
    }
    return status;
}

static bool wait_for(sl_event *event) {
    return sl_event_wait_until(event, SL_CLOCK_NEVER);
}

void hang_run_writer(void *context) {
    hang_lane *lane = context;
    hang_worker *worker = lane->worker;
    const hang_io *io = worker->test->io;
    for (;;) {
        (void)wait_for(&lane->go);
        if (worker->quit) {
            return;
        }
        int status;
        do {
            uint64_t done = 0;
            hang_begin(lane, HANG_WRITE);
            status =
                hang_end(lane, HANG_WRITE, io->write(lane, worker->ends.writer, "hi", 2, &done));
            add(&lane->bytes, done);
        } while (status == SLUICE_OK);
        sl_event_set(&worker->writer_parked);
    }
}

/* Reads the pipe to its end and looks at what comes: "hihihi...". */
static void read_to_end(hang_lane *lane) {
    hang_worker *worker = lane->worker;
    uint64_t position = 0;
    int status;
    do {
        char buffer[2] = {0, 0};
        uint64_t done = 0;
        hang_begin(lane, HANG_READ);
        status = hang_end(lane, HANG_READ,
                          worker->test->io->read(lane, worker->ends.reader, buffer, 2, &done));
        for (uint64_t i = 0; i < done && i < 2; i++, position++) {
            if (buffer[i] != "hi"[position % 2]) {
                add(&worker->corrupt, 1);
            }
        }
        if (done > 2 || (status == SLUICE_OK && done == 0)) {
            add(&worker->corrupt, 1);
        }
        add(&lane->bytes, done);
    } while (status == SLUICE_OK);
}

void hang_run_reader(void *context) {
    hang_lane *lane = context;
    hang_worker *worker = lane->worker;
    for (;;) {
        (void)wait_for(&lane->go);
        if (worker->quit) {
            return;
        }
        if (worker->test->is_mixed) {
            (void)worker->test->io->receive_start(lane);
            sl_event_set(&worker->receive_issued);
        }
        read_to_end(lane);
        sl_event_set(&worker->reader_parked);
    }
}

static void close_ends(hang_lane *lane) {
    const hang_io *io = lane->worker->test->io;
    hang_begin(lane, HANG_CLOSE);
    (void)hang_end(lane, HANG_CLOSE, io->close(lane, lane->worker->ends.reader));
    hang_begin(lane, HANG_CLOSE);
    (void)hang_end(lane, HANG_CLOSE, io->close(lane, lane->worker->ends.writer));
}

/* The receive that the reader's thread issued is cancelled here, while that thread sits in a read.
 */
static void cancel_receive(hang_lane *lane) {
    hang_worker *worker = lane->worker;
    const hang_io *io = worker->test->io;
    (void)wait_for(&worker->receive_issued);
    hang_begin(lane, HANG_CANCEL);
    (void)hang_end(lane, HANG_CANCEL, io->receive_cancel(lane));
    hang_begin(lane, HANG_RECEIVE);
    (void)hang_end(lane, HANG_RECEIVE, io->receive_wait(lane));
}

static int iterate(hang_lane *lane) {
    hang_worker *worker = lane->worker;
    hang_test *test = worker->test;
    hang_begin(lane, HANG_PAIR);
    int status = hang_end(lane, HANG_PAIR, test->io->pair(lane, &worker->ends));
    if (status != SLUICE_OK) {
        return status;
    }
    sl_event_set(&worker->reader.go);
    if (!test->is_mixed) {
        sl_event_set(&worker->writer.go);
    }
    /* Lets the others start, as the original does: a better test, not a condition. */
    (void)sl_event_wait_until(&worker->pause, sl_clock_now_ns(sl_clock_system()) + PAUSE_NS);
    if (test->is_mixed) {
        cancel_receive(lane);
    }
    close_ends(lane);
    (void)wait_for(&worker->reader_parked);
    if (!test->is_mixed) {
        (void)wait_for(&worker->writer_parked);
    }
    test->io->forget(worker);
    return SLUICE_OK;
}

static bool is_asynchronous(const hang_test *test, uint64_t iteration) {
    if (!test->io->has_asynchronous || test->options.calls[0] == 's') {
        return false;
    }
    return test->options.calls[0] == 'a' || iteration % 2 == 1; /* "both" */
}

void hang_run_closer(void *context) {
    hang_lane *lane = context;
    hang_worker *worker = lane->worker;
    hang_test *test = worker->test;
    (void)wait_for(&lane->go);
    for (uint64_t i = 0; i < test->options.iterations && !atomic_load(&test->stop); i++) {
        worker->asynchronous = is_asynchronous(test, i);
        int status = iterate(lane);
        if (status != SLUICE_OK) {
            if (atomic_fetch_add(&test->failed, 1) == 0) {
                test->failed_status = status;
            }
            break;
        }
        add(&worker->iterations, 1);
    }
    worker->quit = true;
    sl_event_set(&worker->reader.go);
    sl_event_set(&worker->writer.go);
    if (atomic_fetch_sub(&test->running, 1) == 1) {
        sl_event_set(&test->finished);
    }
}
