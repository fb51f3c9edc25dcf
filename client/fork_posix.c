/*
 * fork_posix.c - see fork.h. A handler that fork runs in the child counts; a system call per call
 * of the library (getpid) would cost more than all the rest of it. And it closes what would keep
 * the parent's sessions alive: no call in the child uses that (EFORKED).
 */
#include "client/fork.h"

#include <pthread.h>

#include "base/atomic.h"
#include "base/own_fds.h"

static sl_atomic_u64 generation = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_child(void) {
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    sl_own_fds_close();
}

static void install(void) {
    (void)pthread_atfork(NULL, NULL, on_child);
}

void client_fork_watch(void) {
    (void)pthread_once(&once, install);
}

uint64_t client_fork_generation(void) {
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
