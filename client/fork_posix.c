/*
 * fork_posix.c - see fork.h. A system call per call of the library (getpid) would cost more than
 * all the rest of it. So the number lies in a page that the kernel empties in every child that has
 * a memory of its own (MADV_WIPEONFORK, madvise(2), Linux 4.14): also in one of _Fork() or clone(),
 * where no handler runs. Whoever meets an empty page in the child takes a new number.
 *
 * The handler that fork runs in the child is there for two things more. It closes what would keep
 * the parent's sessions alive: no call in the child uses that (EFORKED). Without it that is only
 * forgotten, since the child may have closed those numbers and have something else there. And it
 * empties the number itself, should the system have given no such page.
 */
#include "client/fork.h"

#include <pthread.h>
#include <sys/mman.h>

#include "base/atomic.h"
#include "base/own_fds.h"
#include "base/thread.h"

enum { EMPTY, CHANGING, FIRST };

static sl_atomic_u64 last = FIRST; /* never below the number */
static sl_atomic_u64 kept = FIRST; /* the number, where there is no page for it */
static sl_atomic_u64 *number = &kept;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* `last` is counted up first: a child of this child, forked meanwhile, takes another one. */
static uint64_t take_number(void) {
    uint64_t found = EMPTY;
    if (atomic_compare_exchange_strong(number, &found, CHANGING)) {
        uint64_t own = atomic_fetch_add(&last, 1) + 1;
        sl_own_fds_forget();
        atomic_store(number, own);
        return own;
    }
    while ((found = atomic_load(number)) == CHANGING) {
        sl_thread_yield(); /* a few instructions of another thread */
    }
    return found;
}

static void on_child(void) {
    sl_own_fds_close();
    atomic_store(number, EMPTY);
    (void)client_fork_generation();
}

static void install(void) {
    void *page =
        mmap(NULL, sizeof(*number), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && madvise(page, sizeof(*number), MADV_WIPEONFORK) == 0) {
        number = page;
        atomic_init(number, FIRST);
    } else if (page != MAP_FAILED) {
        (void)munmap(page, sizeof(*number));
    }
    (void)pthread_atfork(NULL, NULL, on_child);
}

void client_fork_watch(void) {
    (void)pthread_once(&once, install);
}

uint64_t client_fork_generation(void) {
    uint64_t found = atomic_load_explicit(number, memory_order_acquire);
    return found >= FIRST ? found : take_number();
}
