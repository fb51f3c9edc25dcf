/*
 * thread.h - threads and synchronisation, thin, one implementation per OS (thread_posix.c,
 * thread_win.c).
 *
 * The core takes no locks; these are for the edges: opener pool, log thread, acceptor, tests.
 */
#ifndef SLUICE_BASE_THREAD_H
#define SLUICE_BASE_THREAD_H

#include "base/atomic.h"
#include "base/clock.h"

typedef struct sl_thread {
    uint64_t os_handle[2]; /* private */
} sl_thread;

typedef void (*sl_thread_fn)(void *context);

/* A thread's stack has so much room at least, whatever the program or the user has set for its own
 * (ulimit -s, a linker's option): system functions that we call, such as getaddrinfo, take a good
 * part of 100 KiB. It is address space; what is not used costs no memory. */
#define SL_THREAD_STACK_BYTES_MIN (1024u * 1024u)

/* Starts a joinable thread. `name` is for debuggers and must be static (15 bytes are kept on
 * Linux). The thread takes no asynchronous signals. SLUICE_OK, SLUICE_EOSLIMIT, SLUICE_ENOMEM. */
int sl_thread_start(sl_thread *ret_thread, const char *name, sl_thread_fn run, void *context);

/* Waits for the thread's end. */
void sl_thread_join(sl_thread *thread);

/* As join, but gives up at a deadline on the system clock: false = still running (and still
 * joinable). */
bool sl_thread_join_until(sl_thread *thread, uint64_t deadline_ns);

/* As join, but what others do at a thread's end (a destructor of the program's, a DllMain) may
 * never come back: so long after its function has come back it is detached. What the function uses
 * may go then in any case. false: the thread was still on its way out. */
bool sl_thread_join_or_leave(sl_thread *thread, uint64_t exit_ns);
#define SL_THREAD_EXIT_NS SL_NS_PER_S /* enough for who does not block */

/* Nobody joins it any more: what it holds is given back at its end. */
void sl_thread_detach(sl_thread *thread);

/* A number that names the calling thread among those of this process, never 0, not reused while the
 * thread lives. Cheap. A child of fork has its parent's number, whatever its system id is. */
uint64_t sl_thread_self(void);

/* The system's number of the calling thread, as debuggers and `top` show it. For people: in a child
 * of fork it is still its parent's. Cheap. */
uint64_t sl_thread_system_id(void);

/* Processors the calling thread may use, at least 1. Ask before pinning. */
unsigned sl_thread_cpu_count(void);

/* Binds the calling thread to one processor (the system's number). SLUICE_OK or SLUICE_ENOTSUP.
 * For benchmarks. */
int sl_thread_pin(unsigned cpu);

void sl_thread_yield(void);

/* Asks for short turns on the processor: from now on a yield of the calling thread gives up no more
 * than about `slice_ns`, where it would be milliseconds; its share of the processor stays what it
 * was. Linux 6.12 and later [linux: sched_attr.sched_runtime of a normal thread, commit
 * 857b158dc5e8]. Threads that it starts inherit it. SLUICE_OK; SLUICE_EINVAL, not between the two
 * bounds; SLUICE_ENOTSUP. */
#define SL_THREAD_SLICE_MIN_NS (100 * SL_NS_PER_US)
#define SL_THREAD_SLICE_MAX_NS (100 * SL_NS_PER_MS)
int sl_thread_set_slice(uint64_t slice_ns);

/* A mutex; not recursive. */
typedef struct sl_mutex {
    union {
        uint64_t align;
        unsigned char opaque[64];
    } os;
} sl_mutex;

void sl_mutex_init(sl_mutex *mutex);
void sl_mutex_deinit(sl_mutex *mutex);
void sl_mutex_lock(sl_mutex *mutex);
void sl_mutex_unlock(sl_mutex *mutex);

/* A condition variable on the system clock. */
typedef struct sl_cond {
    union {
        uint64_t align;
        unsigned char opaque[64];
    } os;
} sl_cond;

void sl_cond_init(sl_cond *cond);
void sl_cond_deinit(sl_cond *cond);
void sl_cond_wait(sl_cond *cond, sl_mutex *mutex);
/* false = the deadline passed. May wake spuriously. SL_CLOCK_NEVER waits for ever. */
bool sl_cond_wait_until(sl_cond *cond, sl_mutex *mutex, uint64_t deadline_ns);
void sl_cond_signal(sl_cond *cond);
void sl_cond_broadcast(sl_cond *cond);

/*
 * An auto-reset event: a set is remembered until one wait consumes it; further sets before that are
 * one. Setting takes no lock, never waits, and makes a system call only when a thread sleeps on it.
 * Any thread sets; one thread at a time waits. What was written before a set is visible after the
 * wait that consumed it, or that consumed a later set.
 */
typedef struct sl_event {
    sl_atomic_u32 state; /* private */
    uint64_t os_handle;  /* private */
} sl_event;

int sl_event_init(sl_event *event);    /* SLUICE_OK, SLUICE_EOSLIMIT; starts unset */
void sl_event_deinit(sl_event *event); /* no thread may be waiting, setting or about to */
void sl_event_set(sl_event *event);
/* false = the deadline (on the system clock) passed and the event is not set. */
bool sl_event_wait_until(sl_event *event, uint64_t deadline_ns);

#endif
