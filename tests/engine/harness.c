/*
 * harness.c - runs a test's body on a thread and watches it. See harness.h.
 *
 * All that the threads of a test share with the main thread is in `state`, under its mutex, but
 * for the watchdog's figures and the allocator's, which are atomics. Threads of a test that
 * failed stay parked for ever; `current_test` tells them from those of the running one.
 */
#include "tests/engine/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

#define T_FAILURE_BYTES     1024
#define T_FULL_SCALE_FACTOR 10

const char *const t_scale_names[] = {"full", "ci", "wine", "tsan", NULL};

/*
 * The one table of scale factors: full size, CI (the numbers), under Wine, where one pipe
 * call costs tens of microseconds, and under ThreadSanitizer. RACES counts per kind of stream:
 * pair, pipe, TCP, and on threaded backends pipes and TCP between two threads; together 200,000
 * and more, but for ThreadSanitizer.
 */
static const struct {
    const char *name;
    unsigned by_scale[4];
} scales[T_COUNT_LAST] = {
    [T_COUNT_RACES] = {"races per kind of stream", {200000, 70000, 41000, 18000}},
    [T_COUNT_ACCEPT_CLOSE] = {"accepts cancelled by close", {20000, 20000, 20000, 20000}},
    [T_COUNT_ACCEPT_CANCEL] = {"accepts cancelled while clients connect",
                               {20000, 6000, 2000, 6000}},
    [T_COUNT_CLOSE_ROUNDS] = {"rounds of close with everything pending", {500, 100, 20, 40}},
    [T_COUNT_CANCEL_ROUNDS] = {"rounds of cancelled writes", {2000, 300, 40, 100}},
    [T_COUNT_BULK_BYTES] = {"bytes through one stream", {64u << 20, 8u << 20, 4u << 20, 4u << 20}},
    [T_COUNT_MESSAGES] = {"messages per poster", {200000, 20000, 5000, 5000}},
    [T_COUNT_STEADY] = {"requests of each kind in steady state", {20000, 2000, 300, 1000}},
    [T_COUNT_SPREAD] = {"connections over 4 workers", {4000, 800, 200, 400}},
    [T_COUNT_FAIL_AT] = {"allocation failures tried at most", {2000, 400, 400, 400}},
};

static struct {
    t_options options;
    sl_mutex mutex;
    sl_cond changed;
    sl_cond never;
    const t_case *running;
    unsigned test; /* number of the running test */
    bool ended;
    bool failed;
    const char *skip_reason;
    char failure[T_FAILURE_BYTES];
    char notes[T_NOTES_BYTES];
    size_t notes_length;
    _Atomic(const char *) phase;
    sl_atomic_u32 handles;
    sl_atomic_u32 requests;
    sl_atomic_u32 closing;
    sl_atomic_u64 submitted;
    sl_atomic_u64 completed;
} state;

static _Thread_local unsigned current_test;

/* ---- memory ---------------------------------------------------------------------------------- */

static struct {
    sl_allocator allocator;
    sl_atomic_u64 live_bytes;
    sl_atomic_u64 succeeded;
    sl_atomic_u64 attempts;
    sl_atomic_u64 failed;
    sl_atomic_u64 fail_at;
    sl_atomic_bool from_then_on;
} memory;

static void *counting_acquire(sl_allocator *source, size_t size_bytes) {
    (void)source;
    uint64_t attempt = atomic_fetch_add(&memory.attempts, 1) + 1;
    uint64_t fail_at = atomic_load(&memory.fail_at);
    if (fail_at != 0 &&
        (attempt == fail_at || (attempt > fail_at && atomic_load(&memory.from_then_on)))) {
        atomic_fetch_add(&memory.failed, 1);
        return NULL;
    }
    void *block = calloc(1, size_bytes);
    if (block != NULL) {
        atomic_fetch_add(&memory.live_bytes, size_bytes);
        atomic_fetch_add(&memory.succeeded, 1);
    }
    return block;
}

static void counting_release(sl_allocator *source, void *block, size_t size_bytes) {
    (void)source;
    if (block != NULL) {
        memset(block, 0xDD,
               size_bytes); /* a use after this shows, and so does a size too large (ASan) */
        atomic_fetch_sub(&memory.live_bytes, size_bytes);
        free(block);
    }
}

sl_allocator *t_allocator(void) {
    return &memory.allocator;
}

uint64_t t_allocations(void) {
    return atomic_load(&memory.succeeded);
}

void t_allocator_fail(uint64_t nth, bool from_then_on) {
    atomic_store(&memory.fail_at, 0);
    atomic_store(&memory.attempts, 0);
    atomic_store(&memory.failed, 0);
    atomic_store(&memory.from_then_on, from_then_on);
    atomic_store(&memory.fail_at, nth);
}

uint64_t t_allocator_failed(void) {
    return atomic_load(&memory.failed);
}

int64_t t_allocator_live_bytes(void) {
    return (int64_t)atomic_load(&memory.live_bytes);
}

/* ---- what a test says ------------------------------------------------------------------------ */

void t_note(const char *format, ...) {
    if (current_test != state.test) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    sl_mutex_lock(&state.mutex);
    size_t room = T_NOTES_BYTES - state.notes_length;
    int length = vsnprintf(state.notes + state.notes_length, room, format, arguments);
    if (length > 0 && (size_t)length + 1 < room) {
        state.notes_length += (size_t)length;
        state.notes[state.notes_length++] = '\n';
    }
    state.notes[state.notes_length] = '\0';
    sl_mutex_unlock(&state.mutex);
    va_end(arguments);
}

void t_phase(const char *phase) {
    if (current_test == state.test) {
        atomic_store(&state.phase, phase);
    }
}

void t_skip(const char *reason) {
    sl_mutex_lock(&state.mutex);
    state.skip_reason = reason;
    sl_mutex_unlock(&state.mutex);
}

void t_publish(const engine_counters *counters) {
    atomic_store_explicit(&state.handles, counters->handles, memory_order_relaxed);
    atomic_store_explicit(&state.requests, counters->requests, memory_order_relaxed);
    atomic_store_explicit(&state.closing, counters->closing, memory_order_relaxed);
    atomic_store_explicit(&state.submitted, counters->submitted_count, memory_order_relaxed);
    atomic_store_explicit(&state.completed, counters->completed_count, memory_order_relaxed);
}

SL_NORETURN void t_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    sl_mutex_lock(&state.mutex);
    if (current_test == state.test && !state.failed) {
        state.failed = true;
        int length = snprintf(state.failure, T_FAILURE_BYTES, "%s:%d: ", file, line);
        size_t at = length > 0 && length < T_FAILURE_BYTES ? (size_t)length : 0;
        (void)vsnprintf(state.failure + at, T_FAILURE_BYTES - at, format, arguments);
        sl_cond_broadcast(&state.changed);
    }
    va_end(arguments);
    for (;;) {
        sl_cond_wait(&state.never, &state.mutex);
    }
}

void t_expect_status(const char *file, int line, const char *what, int actual, int expected) {
    if (actual != expected) {
        t_fail(file, line, "%s is %s (%d), expected %s", what, sl_status_name(actual), actual,
               sl_status_name(expected));
    }
}

void t_expect_int(const char *file, int line, const char *what, int64_t actual, int64_t expected) {
    if (actual != expected) {
        t_fail(file, line, "%s is %lld, expected %lld", what, (long long)actual,
               (long long)expected);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

static void run_thread(void *context) {
    t_thread *thread = context;
    current_test = thread->test;
    thread->run(thread->context);
}

void t_thread_start(t_thread *thread, sl_thread_fn run, void *context) {
    thread->run = run;
    thread->context = context;
    thread->test = state.test;
    EXPECT_STATUS(sl_thread_start(&thread->thread, "test-worker", run_thread, thread), SLUICE_OK);
}

void t_thread_join(t_thread *thread) {
    sl_thread_join(&thread->thread);
}

static void run_body(void *context) {
    (void)context;
    current_test = state.test; /* written before this thread was started */
    state.running->run();
    sl_mutex_lock(&state.mutex);
    state.ended = true;
    sl_cond_broadcast(&state.changed);
    sl_mutex_unlock(&state.mutex);
}

static uint64_t watchdog_ns(void) {
    return state.options.scale == 0 ? T_FULL_SCALE_FACTOR * T_WATCHDOG_NS : T_WATCHDOG_NS;
}

static void report_hang(void) {
    const char *phase = atomic_load(&state.phase);
    fflush(stdout);
    fprintf(stderr,
            "HANG: test %s did not end in %llu s (backend %s, seed %llu)\n"
            "  doing: %s\n"
            "  last poll: %u requests and %u handles open, %u handles closing, "
            "%llu submitted, %llu completed\n%s",
            state.running->name, (unsigned long long)(watchdog_ns() / SL_NS_PER_S),
            engine_backend_name(state.options.backend), (unsigned long long)state.options.seed,
            phase != NULL ? phase : "-", atomic_load(&state.requests), atomic_load(&state.handles),
            atomic_load(&state.closing), (unsigned long long)atomic_load(&state.submitted),
            (unsigned long long)atomic_load(&state.completed), state.notes);
    fflush(stderr);
}

/* Starts the body and waits for its end or its first failure. Returns false after a failure: then
 * the thread is parked, and never joined. */
static bool run_and_watch(const t_case *test_case) {
    state.running = test_case;
    state.test++;
    state.ended = false;
    state.failed = false;
    state.skip_reason = NULL;
    state.notes_length = 0;
    state.notes[0] = '\0';
    atomic_store(&state.phase, NULL);
    sl_thread thread;
    if (sl_thread_start(&thread, "test-body", run_body, NULL) != SLUICE_OK) {
        fprintf(stderr, "cannot start a thread\n");
        os_exit_now(1);
    }
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), watchdog_ns());
    sl_mutex_lock(&state.mutex);
    bool in_time = true;
    while (!state.ended && !state.failed && in_time) {
        in_time = sl_cond_wait_until(&state.changed, &state.mutex, deadline_ns);
    }
    if (!state.ended && !state.failed) {
        report_hang();
        os_exit_now(1);
    }
    bool ok = !state.failed;
    sl_mutex_unlock(&state.mutex);
    if (ok) {
        sl_thread_join(&thread);
    }
    return ok;
}

/* Thread ends and the like may lag a moment: looks again until the deadline. */
static unsigned settled_handles(unsigned wanted) {
    uint64_t deadline_ns = sl_clock_now_ns(sl_clock_system()) + SL_NS_PER_S;
    unsigned count = os_open_handles();
    while (count > wanted && sl_clock_now_ns(sl_clock_system()) < deadline_ns) {
        sl_thread_yield();
        count = os_open_handles();
    }
    return count;
}

void t_run_case(const t_case *test_case) {
    if ((test_case->flags & T_THREADED) != 0 &&
        !engine_backend_is_threaded(state.options.backend)) {
        print_message("  skipped: the backend's workers must all be on one thread\n");
        skip();
    }
    os_before_test();
    int64_t live_before = t_allocator_live_bytes();
    unsigned handles_before = os_open_handles();
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    bool ok = run_and_watch(test_case);
    os_after_test();
    uint64_t elapsed_ms = (sl_clock_now_ns(sl_clock_system()) - start_ns) / SL_NS_PER_MS;
    sl_mutex_lock(&state.mutex);
    print_message("%s", state.notes);
    const char *phase = atomic_load(&state.phase);
    sl_mutex_unlock(&state.mutex);
    print_message("  took %llu ms\n", (unsigned long long)elapsed_ms);
    if (!ok) {
        fail_msg("%s\n  doing: %s; backend %s, seed %llu", state.failure,
                 phase != NULL ? phase : "-", engine_backend_name(state.options.backend),
                 (unsigned long long)state.options.seed);
    }
    if (state.skip_reason != NULL) {
        print_message("  skipped: %s\n", state.skip_reason);
        skip();
    }
    if ((test_case->flags & T_LEAKS) == 0) {
        int64_t live = t_allocator_live_bytes() - live_before;
        if (live != 0) {
            fail_msg("%lld bytes of engine memory left", (long long)live);
        }
        unsigned handles = settled_handles(handles_before);
        if (handles > handles_before) {
            fail_msg("%u handles of the operating system left", handles - handles_before);
        }
    }
}

void t_warm_up(void (*run)(void)) {
    const t_case warm_up = {"warm_up", T_LEAKS, run};
    if (!run_and_watch(&warm_up)) {
        fprintf(stderr, "warm-up: %s\n", state.failure);
        os_exit_now(1);
    }
}

int t_run_scene(const t_case *scene) {
    if (!run_and_watch(scene)) {
        fprintf(stderr, "%s\n", state.failure);
        return 1;
    }
    return T_EXIT_SURVIVED;
}

/* ---- the run --------------------------------------------------------------------------------- */

void t_harness_init(const t_options *options) {
    state.options = *options;
    sl_mutex_init(&state.mutex);
    sl_cond_init(&state.changed);
    sl_cond_init(&state.never);
    memory.allocator.acquire = counting_acquire;
    memory.allocator.release = counting_release;
}

const t_options *t_options_get(void) {
    return &state.options;
}

const engine_backend *t_backend(void) {
    return state.options.backend;
}

bool t_is_sim(void) {
    return state.options.is_sim;
}

bool t_is_backend(const char *name) {
    return strcmp(engine_backend_name(state.options.backend), name) == 0;
}

uint64_t t_seed(void) {
    return state.options.seed;
}

unsigned t_scale(t_count what) {
    return scales[what].by_scale[state.options.scale];
}

void t_print_scale(void) {
    print_message("scale %s:\n", t_scale_names[state.options.scale]);
    for (unsigned i = 0; i < T_COUNT_LAST; i++) {
        print_message("  %10u %s%s\n", scales[i].by_scale[state.options.scale], scales[i].name,
                      scales[i].by_scale[state.options.scale] < scales[i].by_scale[1]
                          ? " (scaled down)"
                          : "");
    }
}
