/*
 * thread_win.c - threads and synchronisation on Windows.
 *
 * Owner: a started thread shares a small record with its joiner; the last of the two frees it. The
 * thread notes there that its function has come back. What others do at a thread's end (a DllMain)
 * comes behind that, and may block. Threads start through
 * _beginthreadex, so that the C runtime is safe in them. Mutex and condition variable are SRWLOCK
 * and CONDITION_VARIABLE, which need no destruction. Windows waits count relative milliseconds: a
 * wait rounds up, so that it never spins on a deadline less than one millisecond away, and looks at
 * the clock again afterwards, because a wait may also end a timer tick (15.6 ms) late or a little
 * early.
 */
#include "base/thread.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>
/* After windows.h. */
#include <limits.h>
#include <process.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

#define NAME_CHARS  64
#define WAIT_MS_MAX 0x7ffffffeu

typedef struct thread_record {
    sl_thread_fn run;
    void *context;
    const char *name;
    sl_atomic_bool has_ended;  /* its function has come back */
    sl_atomic_u32 owner_count; /* the thread, and who joins or detaches it */
} thread_record;

_Static_assert(sizeof(SRWLOCK) <= sizeof(sl_mutex), "a mutex fits");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(sl_cond), "a condition variable fits");

/* What is left until the deadline in whole milliseconds, rounded up; 0 when it has passed. */
static DWORD remaining_ms(uint64_t deadline_ns) {
    if (deadline_ns == SL_CLOCK_NEVER) {
        return INFINITE;
    }
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    if (now_ns >= deadline_ns) {
        return 0;
    }
    uint64_t left_ms = (deadline_ns - now_ns - 1) / SL_NS_PER_MS + 1;
    return left_ms < WAIT_MS_MAX ? (DWORD)left_ms : WAIT_MS_MAX;
}

/* ---- threads ---- */

typedef HRESULT(WINAPI *set_description_fn)(HANDLE thread, PCWSTR description);

/* SetThreadDescription is there since Windows 10 1607; older import libraries lack it. */
static void set_own_name(const char *name) {
    HMODULE kernel32 = GetModuleHandleW(L"kernel32.dll");
    set_description_fn set_description = NULL;
    WCHAR wide[NAME_CHARS];
    size_t length = 0;
    if (kernel32 != NULL) {
        set_description =
            (set_description_fn)(void (*)(void))GetProcAddress(kernel32, "SetThreadDescription");
    }
    if (set_description == NULL) {
        return;
    }
    for (; length < NAME_CHARS - 1 && name[length] != '\0'; length++) {
        wide[length] = (WCHAR)(unsigned char)name[length];
    }
    wide[length] = 0;
    (void)set_description(GetCurrentThread(), wide);
}

static void drop_record(thread_record *record) {
    if (atomic_fetch_sub(&record->owner_count, 1) == 1) {
        sl_allocator_system()->release(sl_allocator_system(), record, sizeof(*record));
    }
}

static unsigned __stdcall thread_main(void *context) {
    thread_record *record = context;
    set_own_name(record->name);
    record->run(record->context);
    atomic_store(&record->has_ended, true);
    drop_record(record);
    return 0;
}

/* A larger one that the program was linked with is kept: callbacks run here as well. */
static unsigned stack_bytes(void) {
    const unsigned char *image = (const unsigned char *)GetModuleHandleW(NULL);
    if (image == NULL) {
        return SL_THREAD_STACK_BYTES_MIN;
    }
    const IMAGE_DOS_HEADER *head = (const IMAGE_DOS_HEADER *)(const void *)image;
    const IMAGE_NT_HEADERS *body = (const IMAGE_NT_HEADERS *)(const void *)(image + head->e_lfanew);
    uint64_t own = body->OptionalHeader.SizeOfStackReserve;
    return own > SL_THREAD_STACK_BYTES_MIN && own <= UINT_MAX ? (unsigned)own
                                                              : SL_THREAD_STACK_BYTES_MIN;
}

int sl_thread_start(sl_thread *ret_thread, const char *name, sl_thread_fn run, void *context) {
    thread_record *record = sl_allocator_system()->acquire(sl_allocator_system(), sizeof(*record));
    if (record == NULL) {
        return SLUICE_ENOMEM;
    }
    record->run = run;
    record->context = context;
    record->name = name;
    atomic_init(&record->has_ended, false);
    atomic_init(&record->owner_count, 2);
    uintptr_t handle = _beginthreadex(NULL, stack_bytes(), thread_main, record,
                                      STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (handle == 0) {
        drop_record(record);
        drop_record(record);
        return SLUICE_EOSLIMIT;
    }
    ret_thread->os_handle[0] = (uint64_t)handle;
    ret_thread->os_handle[1] = (uint64_t)(uintptr_t)record;
    return SLUICE_OK;
}

static thread_record *record_of(const sl_thread *thread) {
    return (thread_record *)(uintptr_t)thread->os_handle[1];
}

static void forget(sl_thread *thread) {
    (void)CloseHandle((HANDLE)(uintptr_t)thread->os_handle[0]);
    drop_record(record_of(thread));
    thread->os_handle[0] = 0;
    thread->os_handle[1] = 0;
}

void sl_thread_join(sl_thread *thread) {
    SL_CHECK(sl_thread_join_until(thread, SL_CLOCK_NEVER), "a thread can be joined");
}

bool sl_thread_join_until(sl_thread *thread, uint64_t deadline_ns) {
    SL_CHECK(thread->os_handle[0] != 0, "a thread is joined once");
    HANDLE handle = (HANDLE)(uintptr_t)thread->os_handle[0];
    for (;;) {
        DWORD wait_ms = remaining_ms(deadline_ns);
        DWORD result = WaitForSingleObject(handle, wait_ms);
        if (result == WAIT_OBJECT_0) {
            break;
        }
        SL_CHECK(result == WAIT_TIMEOUT, "a thread can be waited for");
        if (wait_ms == 0) {
            return false;
        }
    }
    forget(thread);
    return true;
}

/* A thread that had not come back when the wait began has its time once more. */
bool sl_thread_join_or_leave(sl_thread *thread, uint64_t exit_ns) {
    for (;;) {
        bool has_ended = atomic_load(&record_of(thread)->has_ended);
        uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
        if (sl_thread_join_until(thread, sl_clock_after_ns(now_ns, exit_ns))) {
            return true;
        }
        if (has_ended) {
            sl_thread_detach(thread);
            return false;
        }
    }
}

void sl_thread_detach(sl_thread *thread) {
    SL_CHECK(thread->os_handle[0] != 0, "a thread is joined or detached once");
    forget(thread);
}

uint64_t sl_thread_self(void) {
    return GetCurrentThreadId(); /* reads the thread's own block; never 0 */
}

uint64_t sl_thread_system_id(void) {
    return GetCurrentThreadId();
}

unsigned sl_thread_cpu_count(void) {
    DWORD_PTR allowed = 0;
    DWORD_PTR installed = 0;
    unsigned count = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &allowed, &installed)) {
        for (; allowed != 0; allowed &= allowed - 1) {
            count++;
        }
    }
    if (count == 0) { /* the masks are 0 when the process spans processor groups [docs] */
        count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    }
    return count > 0 ? count : 1;
}

int sl_thread_pin(unsigned cpu) {
    if (cpu >= sizeof(DWORD_PTR) * 8 ||
        SetThreadAffinityMask(GetCurrentThread(), (DWORD_PTR)1 << cpu) == 0) {
        return SLUICE_ENOTSUP;
    }
    return SLUICE_OK;
}

void sl_thread_yield(void) {
    (void)SwitchToThread();
}

int sl_thread_set_slice(uint64_t slice_ns) {
    if (slice_ns < SL_THREAD_SLICE_MIN_NS || slice_ns > SL_THREAD_SLICE_MAX_NS) {
        return SLUICE_EINVAL;
    }
    return SLUICE_ENOTSUP; /* quantums are the system's */
}

/* ---- mutex and condition variable ---- */

static SRWLOCK *os_mutex(sl_mutex *mutex) {
    return (SRWLOCK *)(void *)mutex->os.opaque;
}

static CONDITION_VARIABLE *os_cond(sl_cond *cond) {
    return (CONDITION_VARIABLE *)(void *)cond->os.opaque;
}

void sl_mutex_init(sl_mutex *mutex) {
    InitializeSRWLock(os_mutex(mutex));
}

void sl_mutex_deinit(sl_mutex *mutex) {
    SL_CHECK(TryAcquireSRWLockExclusive(os_mutex(mutex)), "a mutex is free when it goes");
    ReleaseSRWLockExclusive(os_mutex(mutex));
}

void sl_mutex_lock(sl_mutex *mutex) {
    AcquireSRWLockExclusive(os_mutex(mutex));
}

void sl_mutex_unlock(sl_mutex *mutex) {
    ReleaseSRWLockExclusive(os_mutex(mutex));
}

void sl_cond_init(sl_cond *cond) {
    InitializeConditionVariable(os_cond(cond));
}

void sl_cond_deinit(sl_cond *cond) {
    (void)cond;
}

void sl_cond_wait(sl_cond *cond, sl_mutex *mutex) {
    SL_CHECK(SleepConditionVariableSRW(os_cond(cond), os_mutex(mutex), INFINITE, 0),
             "a condition can be awaited");
}

bool sl_cond_wait_until(sl_cond *cond, sl_mutex *mutex, uint64_t deadline_ns) {
    DWORD wait_ms = remaining_ms(deadline_ns);
    if (SleepConditionVariableSRW(os_cond(cond), os_mutex(mutex), wait_ms, 0)) {
        return true;
    }
    SL_CHECK(GetLastError() == ERROR_TIMEOUT, "a condition can be awaited");
    return remaining_ms(deadline_ns) != 0; /* a little early is a spurious wake-up */
}

void sl_cond_signal(sl_cond *cond) {
    WakeConditionVariable(os_cond(cond));
}

void sl_cond_broadcast(sl_cond *cond) {
    WakeAllConditionVariable(os_cond(cond));
}

/* ---- event ----
 * An auto-reset kernel event, and in front of it a word that saves the system call while nobody
 * sleeps. The word's every change is a read-modify-write, so that whoever consumes a set has seen
 * what came before all sets so far, and no set is lost: it lands before the consuming swap or after
 * it. A signal of the kernel event that comes after the waiter has gone costs a later wait one
 * empty round. */

enum event_state { EVENT_UNSET, EVENT_SET, EVENT_AWAITED };

int sl_event_init(sl_event *event) {
    HANDLE handle = CreateEventW(NULL, FALSE, FALSE, NULL);
    if (handle == NULL) {
        return SLUICE_EOSLIMIT;
    }
    atomic_init(&event->state, EVENT_UNSET);
    event->os_handle = (uint64_t)(uintptr_t)handle;
    return SLUICE_OK;
}

void sl_event_deinit(sl_event *event) {
    SL_CHECK(atomic_load(&event->state) != EVENT_AWAITED, "no thread waits when its event goes");
    (void)CloseHandle((HANDLE)(uintptr_t)event->os_handle);
    event->os_handle = 0;
}

void sl_event_set(sl_event *event) {
    if (atomic_exchange_explicit(&event->state, EVENT_SET, memory_order_acq_rel) == EVENT_AWAITED) {
        SL_CHECK(SetEvent((HANDLE)(uintptr_t)event->os_handle), "an event can be set");
    }
}

bool sl_event_wait_until(sl_event *event, uint64_t deadline_ns) {
    HANDLE handle = (HANDLE)(uintptr_t)event->os_handle;
    for (;;) {
        /* Unset becomes awaited; set is consumed. Awaited can only be our own, from the last round.
         */
        unsigned state = EVENT_UNSET;
        if (!atomic_compare_exchange_strong_explicit(&event->state, &state, EVENT_AWAITED,
                                                     memory_order_acq_rel, memory_order_acquire) &&
            state == EVENT_SET) {
            (void)atomic_exchange_explicit(&event->state, EVENT_UNSET, memory_order_acq_rel);
            return true;
        }
        DWORD wait_ms = remaining_ms(deadline_ns);
        if (wait_ms == 0) {
            state = EVENT_AWAITED;
            if (atomic_compare_exchange_strong_explicit(&event->state, &state, EVENT_UNSET,
                                                        memory_order_acq_rel,
                                                        memory_order_acquire)) {
                return false;
            }
            continue; /* set at the last moment */
        }
        DWORD result = WaitForSingleObject(handle, wait_ms);
        SL_CHECK(result == WAIT_OBJECT_0 || result == WAIT_TIMEOUT, "an event can be awaited");
    }
}
