/*
 * thread_posix.c - threads and synchronisation on POSIX threads and, for the event, a futex.
 *
 * Owner: a started thread shares a small record with its joiner; the last of the two frees it. The
 * record carries the event `ended`: the thread's function has come back. What others do at a
 * thread's end comes behind that, and may block. Mutexes and condition variables live in the opaque
 * bytes of their structures. Deadlines are times of CLOCK_MONOTONIC, the same as sl_clock_system's.
 */
#include "base/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

#define NAME_BYTES 16 /* Linux keeps 15 and a terminator */

typedef struct thread_record {
    sl_thread_fn run;
    void *context;
    char name[NAME_BYTES];
    sl_event ended;
    bool has_ended;            /* the joiner's: it has seen that */
    sl_atomic_u32 owner_count; /* the thread, and who joins or detaches it */
} thread_record;

_Static_assert(sizeof(pthread_t) <= sizeof(uint64_t), "a thread's handle fits");
_Static_assert(sizeof(pthread_mutex_t) <= sizeof(sl_mutex), "a mutex fits");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(sl_cond), "a condition variable fits");
_Static_assert(sizeof(sl_atomic_u32) == 4, "a futex is 32 bits");

static struct timespec to_timespec(uint64_t time_ns) {
    struct timespec result = {.tv_sec = (time_t)(time_ns / SL_NS_PER_S),
                              .tv_nsec = (long)(time_ns % SL_NS_PER_S)};
    return result;
}

/* ---- threads ---- */

static void drop_record(thread_record *record) {
    if (atomic_fetch_sub(&record->owner_count, 1) == 1) {
        sl_event_deinit(&record->ended);
        sl_allocator_system()->release(sl_allocator_system(), record, sizeof(*record));
    }
}

static void *thread_main(void *context) {
    thread_record *record = context;
    (void)pthread_setname_np(pthread_self(), record->name);
    record->run(record->context);
    sl_event_set(&record->ended);
    drop_record(record);
    return NULL;
}

/* Signals meant for the process go to threads that expect them: the control loop's, or in a host of
 * the client library the host's own. Faults must stay deliverable. */
static void block_signals(sigset_t *ret_before) {
    static const int faults[] = {SIGABRT, SIGBUS, SIGFPE,  SIGILL,
                                 SIGSEGV, SIGSYS, SIGTRAP, SIGPROF};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < SL_ARRAY_COUNT(faults); i++) {
        sigdelset(&blocked, faults[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &blocked, ret_before);
}

/* A larger one that the program has set as its default is kept: callbacks run here as well. */
static int create(pthread_t *ret_thread, thread_record *record) {
    pthread_attr_t attributes;
    size_t stack_bytes = 0;
    if (pthread_attr_init(&attributes) != 0) {
        return ENOMEM;
    }
    int error = pthread_attr_getstacksize(&attributes, &stack_bytes);
    if (error == 0 && stack_bytes < SL_THREAD_STACK_BYTES_MIN) {
        error = pthread_attr_setstacksize(&attributes, SL_THREAD_STACK_BYTES_MIN);
    }
    if (error == 0) {
        error = pthread_create(ret_thread, &attributes, thread_main, record);
    }
    (void)pthread_attr_destroy(&attributes);
    return error;
}

int sl_thread_start(sl_thread *ret_thread, const char *name, sl_thread_fn run, void *context) {
    thread_record *record = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*record));
    if (record == NULL) {
        return SLUICE_ENOMEM;
    }
    record->run = run;
    record->context = context;
    size_t name_length = strlen(name);
    record->has_ended = false;
    memcpy(record->name, name, name_length < NAME_BYTES ? name_length : NAME_BYTES - 1);
    (void)sl_event_init(&record->ended);
    atomic_init(&record->owner_count, 2);

    sigset_t before;
    pthread_t thread;
    block_signals(&before);
    int error = create(&thread, record);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        drop_record(record);
        drop_record(record);
        return SLUICE_EOSLIMIT;
    }
    ret_thread->os_handle[0] = (uint64_t)thread;
    ret_thread->os_handle[1] = (uint64_t)(uintptr_t)record;
    return SLUICE_OK;
}

static void forget(sl_thread *thread) {
    drop_record((thread_record *)(uintptr_t)thread->os_handle[1]);
    thread->os_handle[0] = 0;
    thread->os_handle[1] = 0;
}

void sl_thread_join(sl_thread *thread) {
    SL_CHECK(thread->os_handle[1] != 0, "a thread is joined once");
    SL_CHECK(pthread_join((pthread_t)thread->os_handle[0], NULL) == 0, "a thread can be joined");
    forget(thread);
}

void sl_thread_detach(sl_thread *thread) {
    SL_CHECK(thread->os_handle[1] != 0, "a thread is joined or detached once");
    SL_CHECK(pthread_detach((pthread_t)thread->os_handle[0]) == 0, "a thread can be detached");
    forget(thread);
}

static bool has_ended(thread_record *record, uint64_t deadline_ns) {
    record->has_ended = record->has_ended || sl_event_wait_until(&record->ended, deadline_ns);
    return record->has_ended;
}

/* Thread sanitizers do not know pthread_clockjoin_np. This one counts the time of day: if that is
 * set back meanwhile, the wait is longer by as much; if it is set forward, it goes on. */
static bool join_exit(sl_thread *thread, uint64_t deadline_ns) {
    int error;
    uint64_t now_ns;
    do {
        struct timespec today;
        SL_CHECK(clock_gettime(CLOCK_REALTIME, &today) == 0, "there is a time of day");
        now_ns = sl_clock_now_ns(sl_clock_system());
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        struct timespec until =
            to_timespec((uint64_t)today.tv_sec * SL_NS_PER_S + (uint64_t)today.tv_nsec + left_ns);
        error = pthread_timedjoin_np((pthread_t)thread->os_handle[0], NULL, &until);
    } while (error == ETIMEDOUT && now_ns < deadline_ns);
    SL_CHECK(error == 0 || error == ETIMEDOUT, "a thread can be joined");
    if (error == 0) {
        forget(thread);
    }
    return error == 0;
}

bool sl_thread_join_until(sl_thread *thread, uint64_t deadline_ns) {
    SL_CHECK(thread->os_handle[1] != 0, "a thread is joined once");
    if (!has_ended((thread_record *)(uintptr_t)thread->os_handle[1], deadline_ns)) {
        return false;
    }
    if (deadline_ns == SL_CLOCK_NEVER) {
        sl_thread_join(thread);
        return true;
    }
    return join_exit(thread, deadline_ns);
}

bool sl_thread_join_or_leave(sl_thread *thread, uint64_t exit_ns) {
    SL_CHECK(thread->os_handle[1] != 0, "a thread is joined once");
    (void)has_ended((thread_record *)(uintptr_t)thread->os_handle[1], SL_CLOCK_NEVER);
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    if (join_exit(thread, sl_clock_after_ns(now_ns, exit_ns))) {
        return true;
    }
    sl_thread_detach(thread);
    return false;
}

/* The address of something that each thread has of its own: the system's number would cost a call
 * or, kept, be another thread's in a child of fork (a new pid namespace counts from 1). */
uint64_t sl_thread_self(void) {
    static _Thread_local char self;
    return (uint64_t)(uintptr_t)&self;
}

uint64_t sl_thread_system_id(void) {
    static _Thread_local uint64_t id;
    if (id == 0) {
        id = (uint64_t)gettid();
    }
    return id;
}

unsigned sl_thread_cpu_count(void) {
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than the set has room for */
        return online > 0 ? (unsigned)online : 1;
    }
    return (unsigned)CPU_COUNT(&cpus);
}

int sl_thread_pin(unsigned cpu) {
    cpu_set_t cpus;
    if (cpu >= CPU_SETSIZE) {
        return SLUICE_ENOTSUP;
    }
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    return sched_setaffinity(0, sizeof(cpus), &cpus) == 0 ? SLUICE_OK : SLUICE_ENOTSUP;
}

void sl_thread_yield(void) {
    (void)sched_yield();
}

/* The system's, in its first size. Declared here: newer C libraries have it, too, in <sched.h>, and
 * it cannot be had from the kernel's header beside that. */
typedef struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
} scheduling;

static bool get_scheduling(scheduling *ret) {
    return syscall(SYS_sched_getattr, 0, ret, sizeof(*ret), 0) == 0;
}

int sl_thread_set_slice(uint64_t slice_ns) {
    scheduling wanted = {.size = 0};
    scheduling granted = {.size = 0};
    if (slice_ns < SL_THREAD_SLICE_MIN_NS || slice_ns > SL_THREAD_SLICE_MAX_NS) {
        return SLUICE_EINVAL;
    }
    if (!get_scheduling(&wanted) || wanted.policy != SCHED_OTHER) {
        return SLUICE_ENOTSUP;
    }
    wanted.runtime_ns = slice_ns;
    if (syscall(SYS_sched_setattr, 0, &wanted, 0) != 0 || !get_scheduling(&granted)) {
        return SLUICE_ENOTSUP;
    }
    return granted.runtime_ns == slice_ns ? SLUICE_OK : SLUICE_ENOTSUP; /* older ones ignore it */
}

/* ---- mutex and condition variable ---- */

static pthread_mutex_t *os_mutex(sl_mutex *mutex) {
    return (pthread_mutex_t *)(void *)mutex->os.opaque;
}

static pthread_cond_t *os_cond(sl_cond *cond) {
    return (pthread_cond_t *)(void *)cond->os.opaque;
}

void sl_mutex_init(sl_mutex *mutex) {
    SL_CHECK(pthread_mutex_init(os_mutex(mutex), NULL) == 0, "a mutex can be made");
}

void sl_mutex_deinit(sl_mutex *mutex) {
    SL_CHECK(pthread_mutex_destroy(os_mutex(mutex)) == 0, "a mutex is free when it goes");
}

void sl_mutex_lock(sl_mutex *mutex) {
    SL_CHECK(pthread_mutex_lock(os_mutex(mutex)) == 0, "a mutex can be locked");
}

void sl_mutex_unlock(sl_mutex *mutex) {
    SL_CHECK(pthread_mutex_unlock(os_mutex(mutex)) == 0, "a mutex can be unlocked");
}

void sl_cond_init(sl_cond *cond) {
    pthread_condattr_t attributes;
    SL_CHECK(pthread_condattr_init(&attributes) == 0 &&
                 pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                 pthread_cond_init(os_cond(cond), &attributes) == 0,
             "a condition variable can be made");
    (void)pthread_condattr_destroy(&attributes);
}

void sl_cond_deinit(sl_cond *cond) {
    SL_CHECK(pthread_cond_destroy(os_cond(cond)) == 0, "a condition variable is free when it goes");
}

void sl_cond_wait(sl_cond *cond, sl_mutex *mutex) {
    SL_CHECK(pthread_cond_wait(os_cond(cond), os_mutex(mutex)) == 0, "a condition can be awaited");
}

bool sl_cond_wait_until(sl_cond *cond, sl_mutex *mutex, uint64_t deadline_ns) {
    if (deadline_ns == SL_CLOCK_NEVER) {
        sl_cond_wait(cond, mutex);
        return true;
    }
    struct timespec deadline = to_timespec(deadline_ns);
    int error = pthread_cond_timedwait(os_cond(cond), os_mutex(mutex), &deadline);
    SL_CHECK(error == 0 || error == ETIMEDOUT, "a condition can be awaited");
    return error == 0;
}

void sl_cond_signal(sl_cond *cond) {
    (void)pthread_cond_signal(os_cond(cond));
}

void sl_cond_broadcast(sl_cond *cond) {
    (void)pthread_cond_broadcast(os_cond(cond));
}

/* ---- event ----
 * The state's every change is a read-modify-write, so that whoever consumes a set has seen what
 * came before all sets so far, and no set is lost: it lands before the consuming swap or after it.
 */

enum event_state { EVENT_UNSET, EVENT_SET, EVENT_AWAITED };

static long futex(sl_atomic_u32 *word, int operation, uint32_t value,
                  const struct timespec *deadline) {
    return syscall(SYS_futex, word, operation, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

int sl_event_init(sl_event *event) {
    atomic_init(&event->state, EVENT_UNSET);
    event->os_handle = 0;
    return SLUICE_OK;
}

void sl_event_deinit(sl_event *event) {
    SL_CHECK(atomic_load(&event->state) != EVENT_AWAITED, "no thread waits when its event goes");
}

void sl_event_set(sl_event *event) {
    if (atomic_exchange_explicit(&event->state, EVENT_SET, memory_order_acq_rel) == EVENT_AWAITED) {
        (void)futex(&event->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL);
    }
}

bool sl_event_wait_until(sl_event *event, uint64_t deadline_ns) {
    struct timespec deadline = to_timespec(deadline_ns);
    const struct timespec *limit = deadline_ns == SL_CLOCK_NEVER ? NULL : &deadline;
    bool timed_out = false;
    for (;;) {
        /* Unset becomes awaited; set is consumed. Awaited can only be our own, from the last round.
         */
        uint32_t state = EVENT_UNSET;
        if (!atomic_compare_exchange_strong_explicit(&event->state, &state, EVENT_AWAITED,
                                                     memory_order_acq_rel, memory_order_acquire) &&
            state == EVENT_SET) {
            (void)atomic_exchange_explicit(&event->state, EVENT_UNSET, memory_order_acq_rel);
            return true;
        }
        if (timed_out) {
            state = EVENT_AWAITED;
            if (atomic_compare_exchange_strong_explicit(&event->state, &state, EVENT_UNSET,
                                                        memory_order_acq_rel,
                                                        memory_order_acquire)) {
                return false;
            }
            continue; /* set at the last moment */
        }
        /* FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC [futex(2)]. */
        timed_out = futex(&event->state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, EVENT_AWAITED,
                          limit) != 0 &&
                    errno == ETIMEDOUT;
    }
}
