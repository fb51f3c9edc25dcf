/* test_thread.c - threads, mutex, condition variable and event, on the real system clock. */
#include "unit.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/status.h"

#define THREADS  4u
#define ROUNDS   50000u
#define PINGS    20000u
#define SHORT_NS (20 * SL_NS_PER_MS)

/* ---- threads ---- */

typedef struct held {
    sl_event release;
    uint64_t self;
    uint64_t self_again;
} held;

static void run_held(void *context) {
    held *h = context;
    h->self = sl_thread_self();
    (void)sl_event_wait_until(&h->release, unit_deadline_ns(UNIT_PATIENCE_NS));
    h->self_again = sl_thread_self();
}

static void test_join_until_gives_up_and_can_join_later(void **state) {
    held h = {.self = 0};
    sl_thread thread;
    (void)state;
    assert_int_equal(sl_event_init(&h.release), SLUICE_OK);
    unit_thread_start(&thread, run_held, &h);
    assert_false(sl_thread_join_until(&thread, 0));
    uint64_t deadline_ns = unit_deadline_ns(SHORT_NS);
    assert_false(sl_thread_join_until(&thread, deadline_ns));
    assert_true(sl_clock_now_ns(sl_clock_system()) >= deadline_ns);
    sl_event_set(&h.release);
    assert_true(sl_thread_join_until(&thread, unit_deadline_ns(UNIT_PATIENCE_NS)));
    assert_true(h.self != 0 && h.self == h.self_again && h.self != sl_thread_self());
    sl_event_deinit(&h.release);
}

static void test_join_after_giving_up(void **state) {
    held h = {.self = 0};
    sl_thread thread;
    (void)state;
    assert_int_equal(sl_event_init(&h.release), SLUICE_OK);
    assert_int_equal(sl_thread_start(&thread, "a name longer than Linux keeps", run_held, &h),
                     SLUICE_OK);
    assert_false(sl_thread_join_until(&thread, 0));
    sl_event_set(&h.release);
    sl_thread_join(&thread);
    sl_event_deinit(&h.release);
}

static void run_briefly(void *context) {
    atomic_fetch_add((sl_atomic_u32 *)context, 1);
}

static void test_detached_threads_end_by_themselves(void **state) {
    static sl_atomic_u32 count;
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        sl_thread thread;
        unit_thread_start(&thread, run_briefly, &count);
        sl_thread_detach(&thread);
    }
    uint64_t deadline_ns = unit_deadline_ns(UNIT_PATIENCE_NS);
    while (atomic_load(&count) < 100 && sl_clock_now_ns(sl_clock_system()) < deadline_ns) {
        sl_thread_yield();
    }
    assert_int_equal(atomic_load(&count), 100);
}

static void test_processors(void **state) {
    (void)state;
    assert_true(sl_thread_cpu_count() >= 1);
    assert_int_equal(sl_thread_pin(1000000), SLUICE_ENOTSUP);
    assert_true(sl_thread_self() != 0 && sl_thread_system_id() != 0);
    sl_thread_yield();
}

static void run_with_slice(void *context) {
    int *status = context;
    status[0] = sl_thread_set_slice(SL_THREAD_SLICE_MIN_NS);
    status[1] = sl_thread_set_slice(SL_THREAD_SLICE_MAX_NS);
    status[2] = sl_thread_set_slice(SL_THREAD_SLICE_MIN_NS - 1);
    status[3] = sl_thread_set_slice(SL_THREAD_SLICE_MAX_NS + 1);
    sl_thread_yield();
}

static void test_slice(void **state) {
    sl_thread thread;
    int status[4] = {0};
    (void)state;
    unit_thread_start(&thread, run_with_slice, status);
    sl_thread_join(&thread);
    assert_int_equal(status[0], unit_grants_slices() ? SLUICE_OK : SLUICE_ENOTSUP);
    assert_int_equal(status[1], status[0]);
    assert_int_equal(status[2], SLUICE_EINVAL);
    assert_int_equal(status[3], SLUICE_EINVAL);
}

static void run_pinned(void *context) {
    int *status = context;
    *status = SLUICE_ENOTSUP;
    for (unsigned cpu = 0; cpu < 64 && *status != SLUICE_OK; cpu++) {
        *status = sl_thread_pin(cpu); /* the first that this process may use */
    }
}

static void test_pin(void **state) {
    sl_thread thread;
    int status = SLUICE_EINVAL;
    (void)state;
    unit_thread_start(&thread, run_pinned, &status);
    sl_thread_join(&thread);
    assert_int_equal(status, SLUICE_OK);
}

/* ---- mutex and condition variable ---- */

typedef struct shared {
    sl_mutex mutex;
    sl_cond cond;
    uint64_t count; /* not atomic on purpose: the mutex is what is tested */
    unsigned ready;
    bool go;
} shared;

static void shared_init(shared *s) {
    *s = (shared){.count = 0};
    sl_mutex_init(&s->mutex);
    sl_cond_init(&s->cond);
}

static void shared_deinit(shared *s) {
    sl_cond_deinit(&s->cond);
    sl_mutex_deinit(&s->mutex);
}

static void run_counter(void *context) {
    shared *s = context;
    sl_mutex_lock(&s->mutex);
    s->ready++;
    sl_cond_broadcast(&s->cond);
    while (!s->go) {
        sl_cond_wait(&s->cond, &s->mutex);
    }
    sl_mutex_unlock(&s->mutex);
    for (unsigned i = 0; i < ROUNDS; i++) {
        sl_mutex_lock(&s->mutex);
        s->count++;
        sl_mutex_unlock(&s->mutex);
    }
}

static void test_mutex_and_broadcast(void **state) {
    shared s;
    sl_thread threads[THREADS];
    (void)state;
    shared_init(&s);
    for (unsigned i = 0; i < THREADS; i++) {
        unit_thread_start(&threads[i], run_counter, &s);
    }
    sl_mutex_lock(&s.mutex);
    uint64_t deadline_ns = unit_deadline_ns(UNIT_PATIENCE_NS);
    while (s.ready < THREADS) {
        assert_true(sl_cond_wait_until(&s.cond, &s.mutex, deadline_ns));
    }
    s.go = true;
    sl_cond_broadcast(&s.cond);
    sl_mutex_unlock(&s.mutex);
    for (unsigned i = 0; i < THREADS; i++) {
        sl_thread_join(&threads[i]);
    }
    assert_int_equal(s.count, THREADS * ROUNDS);
    shared_deinit(&s);
}

static void test_cond_deadline(void **state) {
    shared s;
    (void)state;
    shared_init(&s);
    sl_mutex_lock(&s.mutex);
    uint64_t deadline_ns = unit_deadline_ns(SHORT_NS);
    unsigned spurious = 0;
    while (sl_cond_wait_until(&s.cond, &s.mutex, deadline_ns)) {
        spurious++;
    }
    assert_true(sl_clock_now_ns(sl_clock_system()) >= deadline_ns);
    assert_true(spurious < 100); /* a wait never spins */
    assert_false(sl_cond_wait_until(&s.cond, &s.mutex, 0));
    sl_mutex_unlock(&s.mutex);
    shared_deinit(&s);
}

static void run_signaller(void *context) {
    shared *s = context;
    for (unsigned i = 0; i < PINGS; i++) {
        sl_mutex_lock(&s->mutex);
        while (s->count % 2 == 0) {
            sl_cond_wait(&s->cond, &s->mutex);
        }
        s->count++;
        sl_cond_signal(&s->cond);
        sl_mutex_unlock(&s->mutex);
    }
}

static void test_signal_ping_pong(void **state) {
    shared s;
    sl_thread thread;
    bool is_in_time = true;
    (void)state;
    shared_init(&s);
    unit_thread_start(&thread, run_signaller, &s);
    for (unsigned i = 0; i < PINGS; i++) {
        sl_mutex_lock(&s.mutex);
        s.count++;
        sl_cond_signal(&s.cond);
        while (s.count % 2 == 1 && is_in_time) {
            is_in_time = sl_cond_wait_until(&s.cond, &s.mutex, unit_deadline_ns(UNIT_PATIENCE_NS));
        }
        sl_mutex_unlock(&s.mutex);
        assert_true(is_in_time);
    }
    sl_thread_join(&thread);
    assert_int_equal(s.count, 2 * PINGS);
    shared_deinit(&s);
}

/* ---- event ---- */

static void test_event_is_remembered_once(void **state) {
    sl_event event;
    (void)state;
    assert_int_equal(sl_event_init(&event), SLUICE_OK);
    assert_false(sl_event_wait_until(&event, 0));
    sl_event_set(&event);
    sl_event_set(&event);
    assert_true(sl_event_wait_until(&event, 0)); /* set wins over a passed deadline */
    assert_false(sl_event_wait_until(&event, 0));
    uint64_t deadline_ns = unit_deadline_ns(SHORT_NS);
    assert_false(sl_event_wait_until(&event, deadline_ns));
    assert_true(sl_clock_now_ns(sl_clock_system()) >= deadline_ns);
    sl_event_set(&event);
    assert_true(sl_event_wait_until(&event, SL_CLOCK_NEVER));
    sl_event_deinit(&event);
}

typedef struct ponger {
    sl_event ping;
    sl_event pong;
    uint64_t message; /* not atomic on purpose: the event orders it */
    bool is_in_time;
} ponger;

static void run_ponger(void *context) {
    ponger *p = context;
    for (unsigned i = 0; i < PINGS && p->is_in_time; i++) {
        p->is_in_time = sl_event_wait_until(&p->ping, unit_deadline_ns(UNIT_PATIENCE_NS));
        p->message++;
        sl_event_set(&p->pong);
    }
}

static void test_event_ping_pong(void **state) {
    ponger p = {.is_in_time = true};
    sl_thread thread;
    bool is_in_time = true;
    (void)state;
    assert_int_equal(sl_event_init(&p.ping), SLUICE_OK);
    assert_int_equal(sl_event_init(&p.pong), SLUICE_OK);
    unit_thread_start(&thread, run_ponger, &p);
    for (unsigned i = 0; i < PINGS && is_in_time; i++) {
        p.message++;
        sl_event_set(&p.ping);
        is_in_time = sl_event_wait_until(&p.pong, unit_deadline_ns(UNIT_PATIENCE_NS));
    }
    sl_thread_join(&thread);
    assert_true(is_in_time && p.is_in_time);
    assert_int_equal(p.message, 2 * PINGS);
    sl_event_deinit(&p.ping);
    sl_event_deinit(&p.pong);
}

/* Many set, one waits with deadlines so short that timing out and being set always collide. */
typedef struct setters {
    sl_event event;
    sl_atomic_u64 work;
} setters;

static void run_setter(void *context) {
    setters *s = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_fetch_add_explicit(&s->work, 1, memory_order_relaxed);
        sl_event_set(&s->event);
    }
}

static void test_no_set_is_lost(void **state) {
    setters s;
    sl_thread threads[THREADS];
    uint64_t seen = 0;
    uint64_t timeouts = 0;
    (void)state;
    assert_int_equal(sl_event_init(&s.event), SLUICE_OK);
    atomic_init(&s.work, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        unit_thread_start(&threads[i], run_setter, &s);
    }
    uint64_t give_up_ns = unit_deadline_ns(UNIT_PATIENCE_NS);
    while (seen < THREADS * ROUNDS) {
        /* Looks at the work only after a set: a lost set would leave it waiting for ever. */
        if (sl_event_wait_until(&s.event, unit_deadline_ns(seen % 4 * SL_NS_PER_US))) {
            seen = atomic_load_explicit(&s.work, memory_order_relaxed);
        } else {
            timeouts++;
            assert_true(sl_clock_now_ns(sl_clock_system()) < give_up_ns);
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        sl_thread_join(&threads[i]);
    }
    print_message("event: %" PRIu64 " waits timed out in between\n", timeouts);
    sl_event_deinit(&s.event);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_until_gives_up_and_can_join_later),
        cmocka_unit_test(test_join_after_giving_up),
        cmocka_unit_test(test_detached_threads_end_by_themselves),
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_pin),
        cmocka_unit_test(test_mutex_and_broadcast),
        cmocka_unit_test(test_cond_deadline),
        cmocka_unit_test(test_signal_ping_pong),
        cmocka_unit_test(test_event_is_remembered_once),
        cmocka_unit_test(test_event_ping_pong),
        cmocka_unit_test(test_no_set_is_lost),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
