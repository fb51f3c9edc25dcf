/*
 * errand.c - see errand.h. RUNNING is left by one compare-and-swap, the thread's or the sender's.
 */
#include "client/errand.h"

#include "base/status.h"
#include "client/tally.h"

enum { ERRAND_RUNNING, ERRAND_DONE, ERRAND_LEFT };

static client_tally left;

static bool move(client_errand *errand, uint32_t to) {
    uint32_t running = ERRAND_RUNNING;
    return atomic_compare_exchange_strong(&errand->state, &running, to);
}

static void run_errand(void *context) {
    client_errand *errand = context;
    errand->run(errand);
    if (move(errand, ERRAND_DONE)) {
        errand->on_done(errand);
    } else {
        errand->dispose(errand);
        client_tally_remove(&left);
    }
}

int client_errand_start(client_errand *errand, const char *name) {
    if (client_tally_get(&left) >= CLIENT_ERRANDS_LEFT_MAX) {
        return SLUICE_EOSLIMIT;
    }
    atomic_init(&errand->state, ERRAND_RUNNING);
    int status = sl_thread_start(&errand->thread, name, run_errand, errand);
    errand->has_thread = status == SLUICE_OK;
    return status;
}

bool client_errand_leave(client_errand *errand) {
    sl_thread thread = errand->thread;
    client_tally_add(&left); /* before: its thread may take it back at once */
    if (move(errand, ERRAND_LEFT)) {
        sl_thread_detach(&thread);
        return true;
    }
    client_tally_remove(&left);
    client_errand_settle(errand);
    return false;
}

void client_errand_settle(client_errand *errand) {
    if (errand->has_thread) {
        (void)sl_thread_join_or_leave(&errand->thread, SL_THREAD_EXIT_NS);
        errand->has_thread = false;
    }
}

uint64_t client_errand_part_ns(uint64_t deadline_ns) {
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    uint64_t part_ns = deadline_ns > now_ns ? (deadline_ns - now_ns) / CLIENT_ERRAND_PARTS : 0;
    return now_ns + (part_ns < CLIENT_ERRAND_PART_MAX_NS ? part_ns : CLIENT_ERRAND_PART_MAX_NS);
}

uint32_t client_errand_left_count(void) {
    return client_tally_get(&left);
}
