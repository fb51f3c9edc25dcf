/*
 * watch.c - see load.h: is each call back in time, and with an outcome that there may be?
 *
 * A call has until its deadline and the grace. Time in which this process did not run is not the
 * library's: a tick that comes much later than the one before tells of it (a halt), and the system
 * tells how long the library's thread was ready and had no processor (a machine that is busy with
 * others). Where both tell of the same time it is taken off twice.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"
#include "tests/chaos/load.h"
#include "tests/chaos/meter.h"

#define TICK_GAP_NS (20 * SL_NS_PER_MS) /* ticks are closer together if nothing is in their way */

#define LATE_NS     (PLACE_GRACE_NS / 2) /* worth a look at where the time went */

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif
/* A sanitized program is several times slower, Wine's server makes one thread wait for another. */
#define SLOW_NS (4 * SL_NS_PER_S)

/* Holds the lock. */
static uint64_t tick(load *l, uint64_t now_ns) {
    uint64_t gap_ns = now_ns - l->tick_ns;
    if (gap_ns > TICK_GAP_NS) {
        l->halted_ns += gap_ns;
    }
    l->tick_ns = now_ns;
    return l->halted_ns + l->wait_ns;
}

void load_tick(load *l) {
    sl_mutex_lock(&l->lock);
    l->wait_ns = meter_io_thread_wait_ns();
    (void)tick(l, place_now_ns());
    sl_mutex_unlock(&l->lock);
}

void load_wrong(load *l, const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    load_add(&l->wrong, 1);
    out_say("WRONG %s\n", text); /* one call: whole lines also from several threads */
}

void load_begin(load *l, load_watch *watch, const char *what, uint64_t timeout_ns) {
    sl_mutex_lock(&l->lock);
    uint64_t now_ns = place_now_ns();
    *watch = (load_watch){.what = what, .since_ns = now_ns, .timeout_ns = timeout_ns,
                          .halted_ns = tick(l, now_ns)};
    sl_mutex_unlock(&l->lock);
}

bool load_is_loss(int32_t status) {
    return status == SLUICE_EBROKERLOST || status == SLUICE_EUNRESPONSIVE ||
           status == SLUICE_ESTALE || status == SLUICE_ESHUTDOWN || status == SLUICE_ENOBROKER;
}

/* Nothing that is done here explains another outcome. */
static bool may_be(int32_t status) {
    switch (status) {
    case SLUICE_OK:
    case SLUICE_ETIMEDOUT:
    case SLUICE_ECANCELED:
    case SLUICE_ECLOSED:
    case SLUICE_EEOF:
    case SLUICE_ERESET:
    case SLUICE_EBROKENPIPE:
    case SLUICE_ETORN:
    case SLUICE_EREFUSED:
    case SLUICE_ENOTFOUND:
    case SLUICE_ENAMETAKEN: /* of a peer that was killed: its listener is being closed */
    case SLUICE_EADDRINUSE:
        return true;
    default:
        return load_is_loss(status);
    }
}

/* Behind its deadline, without the time in which this process did not run. */
static void judge_time(load *l, const load_watch *watch, int32_t status, uint64_t took_ns,
                       uint64_t halted_ns) {
    uint64_t late_ns = took_ns - watch->timeout_ns;
    uint64_t before_ns = atomic_load(&l->latest_ns);
    while (late_ns > before_ns &&
           !atomic_compare_exchange_weak(&l->latest_ns, &before_ns, late_ns)) {
    }
    if (late_ns > PLACE_GRACE_NS + (IS_SANITIZED || process_is_wine() ? SLOW_NS : 0)) {
        load_wrong(l, "%s: %s, %" PRIu64 " ms behind its deadline of %" PRIu64
                   " ms (did not run for %" PRIu64 " ms)", watch->what, sluice_status_name(status),
                   late_ns / SL_NS_PER_MS, watch->timeout_ns / SL_NS_PER_MS,
                   halted_ns / SL_NS_PER_MS);
    }
}

int32_t load_end(load *l, load_watch *watch, int32_t status) {
    sl_mutex_lock(&l->lock);
    uint64_t now_ns = place_now_ns();
    uint64_t took_ns = now_ns - watch->since_ns;
    if (watch->timeout_ns < took_ns && took_ns - watch->timeout_ns > LATE_NS) {
        l->wait_ns = meter_io_thread_wait_ns();
    }
    uint64_t halted_ns = tick(l, now_ns) - watch->halted_ns;
    load_watch seen = *watch;
    watch->since_ns = 0;
    sl_mutex_unlock(&l->lock);
    took_ns = took_ns > halted_ns ? took_ns - halted_ns : 0;
    if (seen.timeout_ns != SLUICE_NO_TIMEOUT && took_ns > seen.timeout_ns) {
        judge_time(l, &seen, status, took_ns, halted_ns);
    }
    if (!may_be(status)) {
        load_wrong(l, "%s: ended with %s", seen.what, sluice_status_name(status));
    }
    load_add(&l->ended, 1);
    load_add(&l->ok, status == SLUICE_OK);
    load_add(&l->lost, load_is_loss(status));
    return status;
}

void load_look(load *l, load_watch *watch) {
    sl_mutex_lock(&l->lock);
    uint64_t now_ns = place_now_ns();
    uint64_t halted_ns = tick(l, now_ns) - watch->halted_ns;
    if (watch->since_ns != 0 && !watch->is_told &&
        now_ns - watch->since_ns > LOAD_HANG_NS + halted_ns) {
        watch->is_told = true;
        out_say("HANG %s: inside for %" PRIu64 " s\n", watch->what,
               (now_ns - watch->since_ns) / SL_NS_PER_S);
    }
    sl_mutex_unlock(&l->lock);
}
