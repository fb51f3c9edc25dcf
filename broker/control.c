/*
 * control.c - see control.h.
 *
 * The only user of libuv in the broker. Its loop does no pipe or socket I/O of ours: signals,
 * timers, wake-ups, and on Linux a pidfd and a life line of the private broker's client. Other
 * threads reach it by uv_async_send only, which neither waits nor allocates.
 *
 * A signal, the service manager or the end of the client begins a drain (begin_drain, the only
 * place). Then the loop waits for the broker's on_end or for the limit, whichever is first.
 */
#include "broker/control.h"

#include <signal.h>
#include <string.h>
#include <uv.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/failpoint.h"
#include "broker/control_watch.h"

#define TICK_MS 500u

/* On Windows libuv makes SIGINT of Ctrl-C, SIGBREAK of Ctrl-Break, SIGHUP of a console window that
 * is closed; SIGTERM never comes there. */
static const int stop_signals[] = {
    SIGINT,
    SIGTERM,
    SIGHUP,
#ifdef SIGBREAK
    SIGBREAK,
#endif
};

struct control {
    control_options options;
    broker *broker;
    uv_loop_t loop;
    uv_signal_t signals[SL_ARRAY_COUNT(stop_signals)];
    uv_async_t wake;
    uv_timer_t tick;
    uv_timer_t limit;
    control_watch watch;
    control_watch life_line;
    sl_atomic_u32 stop_count; /* asked for from outside */
    sl_atomic_u32 has_ended;
    broker_end end; /* written before has_ended */
    bool is_stop_asked;
    bool is_client_gone;
    bool is_late;
    bool is_broker_draining;
};

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

/* ---- the drain ---- */

static void on_tick(uv_timer_t *timer) {
    control *c = timer->data;
    if (c->options.on_draining != NULL) {
        c->options.on_draining(c->options.user);
    }
}

static void on_limit(uv_timer_t *timer) {
    control *c = timer->data;
    c->is_late = true;
    uv_stop(&c->loop);
}

static void begin_drain(control *c, bool is_graceful) {
    if (c->broker == NULL) {
        return; /* control_run looks again */
    }
    uint64_t limit_ns = CONTROL_PRIVATE_NS;
    if (!c->is_client_gone) {
        limit_ns = control_drain_limit_ns(&c->options.limits);
    }
    SL_FAILPOINT_PASS(broker, stop);
    broker_drain(c->broker, is_graceful ? SL_CLOCK_NEVER : 0);
    if (!c->is_broker_draining) {
        c->is_broker_draining = true;
        uv_timer_start(&c->tick, on_tick, 0, TICK_MS);
        uv_timer_start(&c->limit, on_limit, limit_ns / SL_NS_PER_MS, 0);
    } else if (c->is_client_gone) {
        uv_timer_start(&c->limit, on_limit, limit_ns / SL_NS_PER_MS, 0);
    }
}

static void ask_stop(control *c, const char *why, int64_t number) {
    sl_log_field field = {.name = "number", .value = number};
    sl_log_record(c->options.log, SL_LOG_INFO, c->is_stop_asked ? "stopping now" : "stopping", why,
                  &field, 1);
    bool is_graceful = !c->is_stop_asked && !c->is_client_gone;
    c->is_stop_asked = true;
    begin_drain(c, is_graceful);
}

static void on_signal(uv_signal_t *handle, int number) {
    ask_stop(handle->data, "signal", number);
}

static void leave_client(control *c, const char *why) {
    if (c->is_client_gone) {
        return; /* both watches tell */
    }
    c->is_client_gone = true;
    ask_stop(c, why, 0);
}

static void on_process_gone(void *user) {
    leave_client(user, "the client of this private broker has ended");
}

/* The process may have ended, too. */
static void on_session_gone(void *user) {
    leave_client(user, "the session of this private broker has been closed");
}

static void on_wake(uv_async_t *async) {
    control *c = async->data;
    if (atomic_exchange(&c->stop_count, 0) > 0) {
        ask_stop(c, "asked by the service manager", 0);
    }
    if (atomic_load(&c->has_ended) != 0) {
        uv_stop(&c->loop);
    }
}

void control_stop(control *c) {
    atomic_store(&c->stop_count, 1);
    (void)uv_async_send(&c->wake);
}

void control_on_end(void *user, const broker_end *end) {
    control *c = user;
    c->end = *end;
    atomic_store(&c->has_ended, 1);
    (void)uv_async_send(&c->wake);
}

int control_run(control *c, broker *served, broker_end *ret_end) {
    c->broker = served;
    control_watch_tell(&c->life_line);
    if (c->is_stop_asked) {
        begin_drain(c, !c->is_client_gone);
    }
    while (atomic_load(&c->has_ended) == 0 && !c->is_late) {
        (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    }
    if (atomic_load(&c->has_ended) == 0) {
        return SLUICE_EBUSY;
    }
    *ret_end = c->end;
    return SLUICE_OK;
}

/* ---- create and destroy ---- */

static int open_handles(control *c) {
    int error = uv_async_init(&c->loop, &c->wake, on_wake);
    error = error == 0 ? uv_timer_init(&c->loop, &c->tick) : error;
    error = error == 0 ? uv_timer_init(&c->loop, &c->limit) : error;
    c->wake.data = c->tick.data = c->limit.data = c;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(stop_signals) && error == 0; i++) {
        error = uv_signal_init(&c->loop, &c->signals[i]);
        c->signals[i].data = c;
        bool is_left = stop_signals[i] == SIGHUP && control_watch_ignores(SIGHUP); /* nohup */
        if (error == 0 && !is_left) {
            error = uv_signal_start(&c->signals[i], on_signal, stop_signals[i]);
        }
    }
    return control_watch_status(error);
}

int control_create(const control_options *options, control **ret_control) {
    sl_allocator *heap = sl_allocator_system();
    control *c = heap->acquire(heap, sizeof(*c));
    if (c == NULL) {
        return SLUICE_ENOMEM;
    }
    c->options = *options;
    int status = control_watch_status(uv_loop_init(&c->loop));
    if (status != SLUICE_OK) {
        heap->release(heap, c, sizeof(*c));
        return status;
    }
    status = open_handles(c);
    if (status == SLUICE_OK && options->private_for != NULL) {
        status = control_watch_open(&c->watch, &c->loop, options->private_for, on_process_gone, c);
    }
    if (status == SLUICE_OK && options->life_line != NULL) {
        status =
            control_watch_open(&c->life_line, &c->loop, options->life_line, on_session_gone, c);
    }
    if (status != SLUICE_OK) {
        control_destroy(c);
        return status;
    }
    *ret_control = c;
    return SLUICE_OK;
}

void control_destroy(control *c) {
    if (c == NULL) {
        return;
    }
    control_watch_close(&c->watch);
    control_watch_close(&c->life_line);
    uv_walk(&c->loop, close_handle, NULL);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    SL_CHECK(uv_loop_close(&c->loop) == 0, "the control loop has no handle left");
    sl_allocator *heap = sl_allocator_system();
    heap->release(heap, c, sizeof(*c));
}
