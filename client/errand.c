/*
 * errand.c - see errand.h. RUNNING is left by one compare-and-swap, the thread's or the sender's.
 */
#include "client/errand.h"

#include "base/status.h"
#include "client/fork.h"

enum { ERRAND_RUNNING, ERRAND_TELLING, ERRAND_DONE, ERRAND_LEFT };

static sl_atomic_u32 left_count;
static sl_atomic_u64 generation; /* of the process whose count that is */

static bool move(client_errand *errand, uint32_t to) {
    uint32_t running = ERRAND_RUNNING;
    return atomic_compare_exchange_strong(&errand->state, &running, to);
}

static void run_errand(void *context) {
    client_errand *errand = context;
    errand->run(errand);
    if (move(errand, ERRAND_TELLING)) {
        errand->on_done(errand);
        atomic_store(&errand->state, ERRAND_DONE);
    } else {
        errand->dispose(errand);
        atomic_fetch_sub(&left_count, 1);
    }
}

int client_errand_start(client_errand *errand, const char *name) {
    sl_thread thread;
    uint64_t own = client_fork_generation();
    if (atomic_exchange(&generation, own) != own) {
        atomic_store(&left_count, 0); /* a child of fork has none of its parent's threads */
    }
    if (atomic_load(&left_count) >= CLIENT_ERRANDS_LEFT_MAX) {
        return SLUICE_EOSLIMIT;
    }
    atomic_init(&errand->state, ERRAND_RUNNING);
    int status = sl_thread_start(&thread, name, run_errand, errand);
    if (status == SLUICE_OK) {
        sl_thread_detach(&thread);
    }
    return status;
}

bool client_errand_leave(client_errand *errand) {
    atomic_fetch_add(&left_count, 1); /* before: its thread may take it back at once */
    if (move(errand, ERRAND_LEFT)) {
        return true;
    }
    atomic_fetch_sub(&left_count, 1);
    client_errand_settle(errand);
    return false;
}

void client_errand_settle(client_errand *errand) {
    while (atomic_load(&errand->state) != ERRAND_DONE) {
        sl_thread_yield();
    }
}

uint32_t client_errand_left_count(void) {
    return atomic_load(&left_count);
}
