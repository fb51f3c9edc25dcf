/*
 * startup_watch.c - see startup_watch.h.
 */
#include "broker/startup_watch.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"
#include "base/thread.h"
#include "broker/complaint.h"
#include "broker/options.h"
#include "broker/startup.h"

/* The last words may be for a log file that does not answer either. */
#define WORDS_NS SL_NS_PER_S

typedef struct startup_watch {
    bool has_begun; /* main's */
    sl_thread thread;
    sl_event changed;
    sl_mutex lock; /* of all that follows */
    bool is_over;
    const char *what;
    const char *name;
    uint64_t limit_ns;
    uint64_t deadline_ns;
} startup_watch;

static startup_watch the_watch;

static uint64_t now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

static void speak(void *context) {
    const startup_watch *w = context;
    char text[600];
    (void)snprintf(text, sizeof(text),
                   "cannot start: no answer from the system within %u s about %.100s%s%.400s",
                   (unsigned)(w->limit_ns / SL_NS_PER_S), w->what, w->name[0] != '\0' ? " " : "",
                   w->name);
    complaint_write(text);
}

/* Holds the lock for good: main, should it come back now, waits there for the end. */
static void give_up(startup_watch *w) {
    sl_thread words;
    if (sl_thread_start(&words, "sluice-words", speak, w) == SLUICE_OK) {
        (void)sl_thread_join_until(&words, sl_clock_after_ns(now_ns(), WORDS_NS));
    }
    startup_exit(SLUICED_EXIT_FAILED);
}

static void run_watch(void *context) {
    startup_watch *w = context;
    uint64_t deadline_ns = 0;
    bool is_over = false;
    while (!is_over) {
        bool is_changed = sl_event_wait_until(&w->changed, deadline_ns);
        sl_mutex_lock(&w->lock);
        is_over = w->is_over;
        if (!is_over && !is_changed && w->deadline_ns <= now_ns()) {
            give_up(w);
        }
        deadline_ns = w->deadline_ns;
        sl_mutex_unlock(&w->lock);
    }
}

void startup_watch_begin(void) {
    startup_watch *w = &the_watch;
    if (sl_event_init(&w->changed) != SLUICE_OK) {
        return;
    }
    sl_mutex_init(&w->lock);
    w->is_over = false;
    w->deadline_ns = SL_CLOCK_NEVER;
    w->has_begun = sl_thread_start(&w->thread, "sluice-start", run_watch, w) == SLUICE_OK;
    if (!w->has_begun) {
        sl_mutex_deinit(&w->lock);
        sl_event_deinit(&w->changed);
    }
}

void startup_watch_at(const char *what, const char *name, uint64_t limit_ns) {
    startup_watch *w = &the_watch;
    if (!w->has_begun) {
        return;
    }
    sl_mutex_lock(&w->lock);
    w->what = what;
    w->name = name;
    w->limit_ns = limit_ns;
    w->deadline_ns = sl_clock_after_ns(now_ns(), limit_ns);
    sl_mutex_unlock(&w->lock);
    sl_event_set(&w->changed);
}

void startup_watch_pause(void) {
    startup_watch_at("", "", SL_CLOCK_NEVER);
}

void startup_watch_end(void) {
    startup_watch *w = &the_watch;
    if (!w->has_begun) {
        return;
    }
    sl_mutex_lock(&w->lock);
    w->is_over = true;
    sl_mutex_unlock(&w->lock);
    sl_event_set(&w->changed);
    sl_thread_join(&w->thread);
    sl_mutex_deinit(&w->lock);
    sl_event_deinit(&w->changed);
    w->has_begun = false;
}
