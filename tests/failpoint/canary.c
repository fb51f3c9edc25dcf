/* canary.c - see canary.h. */
#include "tests/failpoint/canary.h"

#include "tests/integration/place.h"

#define PAUSE_NS (5 * SL_NS_PER_MS)
#define THREADS  4u /* that a call takes: caller, I/O thread, worker, and back */

static sl_atomic_u64 worst_ns; /* since the last reset */
static sl_atomic_u64 due_ns;   /* when it should be awake next */

static void note(uint64_t now_ns) {
    uint64_t due = atomic_load(&due_ns);
    uint64_t late = now_ns > due ? now_ns - due : 0;
    uint_fast64_t worst = atomic_load(&worst_ns);
    while (late > worst && !atomic_compare_exchange_weak(&worst_ns, &worst, late)) {
    }
}

static void run(void *context) {
    (void)context;
    for (;;) {
        atomic_store(&due_ns, place_now_ns() + PAUSE_NS);
        place_let_pass(PAUSE_NS);
        note(place_now_ns());
    }
}

void canary_start(void) {
    static sl_thread thread;
    atomic_store(&due_ns, place_now_ns() + PAUSE_NS);
    EXPECT(sl_thread_start(&thread, "canary", run, NULL) == 0);
}

void canary_reset(void) {
    atomic_store(&worst_ns, 0);
}

uint64_t canary_allowance_ns(void) {
    note(place_now_ns()); /* also if it has not woken yet */
    return THREADS * atomic_load(&worst_ns);
}
