/*
 * hang_run.c - sets hangtest up, starts the lanes and watches them. See hang.h.
 *
 * Thread: the main thread, which does no I/O but to print; it waits for the end in steps of 100 ms
 * and looks at each lane's watch in between.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "client/cli/hang.h"
#include "client/cli/os.h"
#include "client/cli/out.h"

#define LOOK_EVERY_NS (100 * SL_NS_PER_MS)
#define TELL_AT_NS    (5 * SL_NS_PER_S) /* a call that is this old is told of, and again at twice */
#define JOIN_NS       (2 * SL_NS_PER_S)
#define WARM_UP       20u /* iterations before the books are read */

static hang_lane *lane_at(hang_worker *worker, unsigned index) {
    return index == 0 ? &worker->closer : index == 1 ? &worker->writer : &worker->reader;
}

static const char *kind_word(uint32_t kind) {
    static const char *const words[] = {
#define X(name, word) word,
        HANG_KIND_TABLE(X)
#undef X
    };
    return words[kind < HANG_KINDS ? kind : 0];
}

/* How long the lane has been inside its call; 0 = it is in none. */
static uint64_t age_of(hang_lane *lane, uint64_t now_ns) {
    uint64_t since_ns = atomic_load_explicit(&lane->since_ns, memory_order_acquire);
    return since_ns == 0 || now_ns < since_ns ? 0 : now_ns - since_ns;
}

static void tell(const hang_lane *lane, uint64_t age_ns) {
    char age[OUT_NUMBER_BYTES];
    out_complain("hangtest: worker %u, %s: inside a %s for %s\n", lane->worker->index, lane->role,
                 kind_word(atomic_load(&lane->kind)), out_duration(age_ns, age));
}

/* Looks at every lane. True = one has been inside a call for longer than the test has patience. */
static bool watch(hang_test *test, uint64_t now_ns) {
    bool out_of_patience = false;
    for (unsigned i = 0; i < test->worker_count; i++) {
        for (unsigned role = 0; role < 3; role++) {
            hang_lane *lane = lane_at(&test->workers[i], role);
            uint64_t age_ns = age_of(lane, now_ns);
            if (age_ns < TELL_AT_NS) {
                lane->told_ns = 0;
            } else if (age_ns >= 2 * lane->told_ns) {
                lane->told_ns = age_ns;
                tell(lane, age_ns);
            }
            out_of_patience = out_of_patience || age_ns > test->options.patience_ns;
        }
    }
    return out_of_patience;
}

static void show_progress(const hang_test *test, uint64_t now_ns) {
    char number[OUT_NUMBER_BYTES], time[OUT_NUMBER_BYTES];
    uint64_t iterations = 0;
    for (unsigned i = 0; i < test->worker_count; i++) {
        iterations += atomic_load(&test->workers[i].iterations);
    }
    uint64_t all = test->options.workers * test->options.iterations;
    out_progress("%s iterations, %.1f %%, %s ", out_number(iterations, number),
                 100.0 * (double)iterations / (double)all,
                 out_duration(now_ns - test->begin_ns, time));
}

static void watch_until_end(hang_test *test) {
    sl_clock *clock = sl_clock_system();
    bool is_terminal = os_is_terminal() && !test->options.json;
    uint64_t next_progress_ns = test->begin_ns + SL_NS_PER_S;
    bool out_of_patience = false;
    bool ended = false;
    while (!ended && !out_of_patience && !os_is_interrupted()) {
        ended = sl_event_wait_until(&test->finished, sl_clock_now_ns(clock) + LOOK_EVERY_NS);
        uint64_t now_ns = sl_clock_now_ns(clock);
        out_of_patience = !ended && watch(test, now_ns);
        if (is_terminal && now_ns >= next_progress_ns) {
            show_progress(test, now_ns);
            next_progress_ns = now_ns + SL_NS_PER_S / 2;
        }
    }
    test->end_ns = sl_clock_now_ns(clock);
    if (is_terminal) {
        out_progress_end();
    }
    if (ended) {
        return;
    }
    /* Workers that are not stuck end their iteration; then what is still inside a call is stuck. */
    atomic_store(&test->stop, true);
    test->is_interrupted = !out_of_patience;
    ended = sl_event_wait_until(&test->finished, test->end_ns + JOIN_NS);
    if (ended && test->is_interrupted) {
        return;
    }
    for (unsigned i = 0; i < test->worker_count; i++) {
        for (unsigned role = 0; role < 3; role++) {
            hang_lane *lane = lane_at(&test->workers[i], role);
            uint64_t age_ns = age_of(lane, sl_clock_now_ns(clock));
            if (age_ns > SL_NS_PER_S) {
                test->stuck_count++;
                out_complain("hangtest: STUCK: ");
                tell(lane, age_ns);
            }
        }
    }
    /* A lane may have come out at the last moment; threads are not joined all the same. */
    test->stuck_count += test->stuck_count == 0;
}

/* ---- making and ending --------------------------------------------------------------------- */

static int lane_init(hang_lane *lane, hang_worker *worker, const char *role) {
    lane->worker = worker;
    lane->role = role;
    for (unsigned i = 0; i < HANG_CALLS; i++) {
        lane->calls[i].lane = lane;
    }
    int status = sl_event_init(&lane->go);
    return status != SLUICE_OK ? status : sl_event_init(&lane->completed);
}

static int worker_init(hang_test *test, hang_worker *worker, unsigned index) {
    sl_event *events[] = {&worker->writer_parked, &worker->reader_parked, &worker->receive_issued,
                          &worker->pause};
    worker->test = test;
    worker->index = index;
    for (size_t i = 0; i < SL_ARRAY_COUNT(events); i++) {
        int status = sl_event_init(events[i]);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    int status = lane_init(&worker->closer, worker, "the closer");
    status = status != SLUICE_OK ? status : lane_init(&worker->writer, worker, "the writer");
    return status != SLUICE_OK ? status : lane_init(&worker->reader, worker, "the reader");
}

static void worker_deinit(hang_worker *worker) {
    sl_event *events[] = {&worker->writer_parked, &worker->reader_parked, &worker->receive_issued,
                          &worker->pause};
    for (size_t i = 0; i < SL_ARRAY_COUNT(events); i++) {
        sl_event_deinit(events[i]);
    }
    for (unsigned role = 0; role < 3; role++) {
        sl_event_deinit(&lane_at(worker, role)->go);
        sl_event_deinit(&lane_at(worker, role)->completed);
    }
}

/* Threads that do not start end the process: there is nothing to test without them. */
static void start_lane(hang_lane *lane, const char *name, sl_thread_fn run) {
    int status = sl_thread_start(&lane->thread, name, run, lane);
    if (status != SLUICE_OK) {
        out_complain("hangtest: cannot start a thread: %s\n", sl_status_sentence(status));
        os_leave(1);
    }
}

static void run_lanes(hang_test *test) {
    for (unsigned i = 0; i < test->worker_count; i++) {
        hang_worker *worker = &test->workers[i];
        start_lane(&worker->closer, "hang-closer", hang_run_closer);
        start_lane(&worker->writer, "hang-writer", hang_run_writer);
        start_lane(&worker->reader, "hang-reader", hang_run_reader);
    }
    test->begin_ns = sl_clock_now_ns(sl_clock_system());
    atomic_store(&test->running, test->worker_count);
    (void)sl_event_wait_until(&test->finished, test->begin_ns); /* not that of the warm-up */
    for (unsigned i = 0; i < test->worker_count; i++) {
        sl_event_set(&test->workers[i].closer.go);
    }
    watch_until_end(test);
    for (unsigned i = 0; i < test->worker_count && test->stuck_count == 0; i++) {
        for (unsigned role = 0; role < 3; role++) {
            sl_thread_join(&lane_at(&test->workers[i], role)->thread);
        }
    }
}

static int make_workers(hang_test *test) {
    unsigned count = (unsigned)test->options.workers;
    sl_allocator *heap = sl_allocator_system();
    test->workers = heap->acquire(heap, count * sizeof(*test->workers));
    if (test->workers == NULL) {
        return SLUICE_ENOMEM;
    }
    int status = sl_event_init(&test->finished);
    while (status == SLUICE_OK && test->worker_count < count) {
        hang_worker *worker = &test->workers[test->worker_count];
        status = worker_init(test, worker, test->worker_count);
        if (status == SLUICE_OK) {
            test->worker_count++;
            status = test->io->open_worker(test, worker);
        }
    }
    return status;
}

static void close_workers(hang_test *test) {
    for (unsigned i = 0; i < test->worker_count; i++) {
        test->io->close_worker(&test->workers[i]);
    }
}

static void drop_workers(hang_test *test) {
    if (test->workers == NULL) {
        return;
    }
    close_workers(test);
    for (unsigned i = 0; i < test->worker_count; i++) {
        worker_deinit(&test->workers[i]);
    }
    sl_event_deinit(&test->finished);
    sl_allocator_system()->release(sl_allocator_system(), test->workers,
                                   test->options.workers * sizeof(*test->workers));
    test->workers = NULL;
    test->worker_count = 0;
}

/* Runs the workload once, with new workers. The workers stay, for the report. */
static int run_once(hang_test *test) {
    int status = make_workers(test);
    if (status != SLUICE_OK) {
        out_complain("hangtest: worker %u cannot start: %s: %s\n", test->worker_count,
                     sl_status_name(status), sl_status_sentence(status));
        return status;
    }
    run_lanes(test);
    bool has_sockets =
        test->is_mixed && test->stuck_count == 0 && !atomic_load(&test->is_lost);
    for (unsigned i = 0; i < test->worker_count && has_sockets; i++) {
        int check = test->io->socket_check(&test->workers[i]);
        if (check != SLUICE_OK) {
            out_complain("hangtest: worker %u: the socket carries nothing any more: %s\n", i,
                         sl_status_sentence(check));
            atomic_fetch_add(&test->workers[i].corrupt, 1);
        }
    }
    if (test->stuck_count == 0) {
        close_workers(test);
    }
    return SLUICE_OK;
}

int hang_run(hang_test *test) {
    if (test->io != &hang_io_broker) {
        return run_once(test);
    }
    int status = hang_broker_open(test);
    if (status != SLUICE_OK) {
        return status;
    }
    /* A short run first, so that what the broker keeps for the next time is there already when its
     * books are read. What goes wrong in it is the test's result, too. */
    uint64_t iterations = test->options.iterations;
    test->options.iterations = iterations < WARM_UP ? iterations : WARM_UP;
    status = run_once(test);
    test->options.iterations = iterations;
    if (status != SLUICE_OK || test->stuck_count > 0 || atomic_load(&test->failed) > 0 ||
        atomic_load(&test->is_lost) || test->is_interrupted) {
        return status;
    }
    drop_workers(test);
    hang_broker_settle(test, &test->before);
    status = run_once(test);
    if (status == SLUICE_OK && test->stuck_count == 0 && !atomic_load(&test->is_lost)) {
        hang_broker_settle(test, &test->after);
    }
    return status;
}

void hang_deinit(hang_test *test) {
    drop_workers(test);
    hang_broker_close(test);
}
