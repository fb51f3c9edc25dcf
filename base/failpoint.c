/*
 * failpoint.c - see failpoint.h. Test builds only.
 *
 * One table, one mutex, one condition: whoever waits at a point waits until its generation changes.
 * A point that nothing is configured for costs a look at a flag. A text is parsed whole before
 * anything of it holds (failpoint_parse.c).
 */
#include "base/failpoint.h"

#include "base/atomic.h"
#include "base/clock.h"
#include "base/failpoint_os.h"
#include "base/failpoint_parse.h"
#include "base/random.h"
#include "base/sink.h"
#include "base/text.h"
#include "base/thread.h"

/* Nobody lets a pause go for so long: the test has forgotten it. */
#define PAUSE_MAX_NS (300 * SL_NS_PER_S)
#define LINE_BYTES   256
#define BAD_TEXT     2 /* exit code; sluiced's for a wrong command line */

typedef struct point {
    sl_atomic_bool is_armed;
    uint64_t generation; /* changes with each configuration */
    failpoint_plan plan;
    bool has_said[FAILPOINT_TERMS_MAX];
} point;

enum { UNTOUCHED, BEGINNING, READY };

static point points[SL_FAILPOINT_COUNT];
static sl_atomic_u32 state;
static sl_atomic_u64 exempt_thread;
static sl_mutex lock; /* guards all but the atomics */
static sl_cond changed;
static sl_random_seeded dice; /* the same from start to start */

static const char *const names[SL_FAILPOINT_COUNT] = {
#define X(module, name, returns, sentence) #module "." #name,
    SL_FAILPOINT_TABLE(X)
#undef X
};

const char *sl_failpoint_name(sl_failpoint id) {
    return names[id];
}

/* "sluice: ABOUT NAME: WHAT" */
static void say(const char *about, const char *name, const char *what) {
    char bytes[LINE_BYTES];
    sl_text text;
    sl_text_init(&text, bytes, sizeof(bytes));
    sl_text_append(&text, "sluice: ");
    sl_text_append(&text, about);
    sl_text_append(&text, name);
    sl_text_append(&text, ": ");
    sl_text_append(&text, what);
    sl_text_end_line(&text);
    (void)sl_sink_write(SL_SINK_ERROR, bytes, text.length);
    (void)sl_sink_write(SL_SINK_FILE, bytes, text.length);
}

static bool configure(const char *text, char ret_error[SL_FAILPOINT_ERROR_BYTES]) {
    static failpoint_plan plans[SL_FAILPOINT_COUNT]; /* too much for a stack; under the lock */
    sl_mutex_lock(&lock);
    bool is_right = failpoint_parse(text, plans, ret_error);
    for (int i = 0; is_right && i < SL_FAILPOINT_COUNT; i++) {
        if (plans[i].is_named) {
            points[i].plan = plans[i];
            points[i].generation++;
            for (int t = 0; t < FAILPOINT_TERMS_MAX; t++) {
                points[i].has_said[t] = false;
            }
            const failpoint_term *first = &plans[i].terms[0];
            bool is_off = first->kind == FAILPOINT_OFF && first->percent == 100 &&
                          first->count == FAILPOINT_ALWAYS;
            atomic_store(&points[i].is_armed, !is_off);
        }
    }
    sl_cond_broadcast(&changed);
    sl_mutex_unlock(&lock);
    return is_right;
}

/* The first thread that comes by reads the environment; the others wait a moment for it. */
static void begin(void) {
    if (atomic_load(&state) == READY) {
        return;
    }
    unsigned untouched = UNTOUCHED;
    if (!atomic_compare_exchange_strong(&state, &untouched, BEGINNING)) {
        while (atomic_load(&state) != READY) {
            sl_thread_yield();
        }
        return;
    }
    char error[SL_FAILPOINT_ERROR_BYTES];
    sl_mutex_init(&lock); /* for as long as the process lives */
    sl_cond_init(&changed);
    sl_random_seeded_init(&dice, 1);
    const char *text = sl_failpoint_os_text();
    if (text != NULL && !configure(text, error)) {
        say("", "SLUICE_FAILPOINTS", error);
        sl_failpoint_os_exit(BAD_TEXT);
    }
    atomic_store(&state, READY);
}

bool sl_failpoint_configure(const char *text, char ret_error[SL_FAILPOINT_ERROR_BYTES]) {
    begin();
    return configure(text, ret_error);
}

void sl_failpoint_exempt_this_thread(void) {
    atomic_store(&exempt_thread, sl_thread_self());
}

/* Which term's turn it is, by percentage and count; NULL = none. Lock held. */
static failpoint_term *choose(point *p, bool *ret_is_first) {
    for (unsigned i = 0; i < p->plan.term_count; i++) {
        failpoint_term *term = &p->plan.terms[i];
        if (term->count > 0 && sl_random_seeded_below(&dice, 100) < term->percent) {
            term->count -= term->count != FAILPOINT_ALWAYS;
            *ret_is_first = !p->has_said[i];
            p->has_said[i] = true;
            return term;
        }
    }
    return NULL;
}

/* Until the point is configured anew, or the time is up: false. Lock held. */
static bool wait_for_change(const point *p, uint64_t deadline_ns) {
    uint64_t generation = p->generation;
    while (p->generation == generation) {
        if (!sl_cond_wait_until(&changed, &lock, deadline_ns) && p->generation == generation) {
            return false;
        }
    }
    return true;
}

static int act(sl_failpoint id, point *p) {
    static const char *const words[] = {"off", "return", "delay", "pause", "kill"};
    bool is_first;
    failpoint_term *chosen = choose(p, &is_first);
    if (chosen == NULL || chosen->kind == FAILPOINT_OFF) {
        return SLUICE_OK;
    }
    failpoint_term term = *chosen; /* may change while this thread waits */
    if (is_first) {
        say("failpoint ", names[id], words[term.kind]);
    }
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    switch (term.kind) {
    case FAILPOINT_KILL: sl_failpoint_os_kill();
    case FAILPOINT_RETURN: return term.status;
    case FAILPOINT_DELAY:
        (void)wait_for_change(p, sl_clock_after_ns(now_ns, term.delay_ms * SL_NS_PER_MS));
        return SLUICE_OK;
    default:
        SL_CHECK(wait_for_change(p, sl_clock_after_ns(now_ns, PAUSE_MAX_NS)),
                 "a pause is let go within five minutes");
        return SLUICE_OK;
    }
}

int sl_failpoint_hit(sl_failpoint id) {
    begin();
    point *p = &points[id];
    if (!atomic_load(&p->is_armed) || atomic_load(&exempt_thread) == sl_thread_self()) {
        return SLUICE_OK;
    }
    sl_mutex_lock(&lock);
    int status = act(id, p);
    sl_mutex_unlock(&lock);
    return status;
}
