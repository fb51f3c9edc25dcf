/*
 * watch.c - time: no call outlives its deadline and the grace, no silence lasts for ever.
 *
 * The broker keeps the deadlines. This is for when it does not: an operation that is still open
 * three quarters of the grace after its deadline (so that the rest is left for threads to wake) is
 * detached. Requests that do not wait at the broker have no deadline there, and end here.
 *
 * A connection on which nothing can be sent any more is given up when what the broker may have said
 * before has had its time to be read.
 *
 * After a stop of this process (a debugger, a suspended machine) silence is counted from anew, and
 * a step of connecting has its time again.
 *
 * Silence: while the broker owes an answer, a ping goes out after ping_interval_ns without any
 * frame; after unresponsive_ns the connection is given up.
 */
#include "client/core.h"

/* We were not polling ourselves for so long: a debugger, a suspended machine. */
#define STOPPED_NS (500 * SL_NS_PER_MS)
/* So long after that no time counts: what was said meanwhile is read first. */
#define SETTLE_NS (100 * SL_NS_PER_MS)
/* For a Goodbye that lies in the pipe when a write has failed. */
#define LAST_WORDS_NS (100 * SL_NS_PER_MS)

static void set_timer(client_core *core, client_operation *op, uint64_t deadline_ns) {
    sl_heap_remove(&core->timers, &op->timer);
    if (deadline_ns != SL_CLOCK_NEVER) {
        int status = sl_heap_insert(&core->timers, &op->timer, deadline_ns);
        SL_CHECK(status == SLUICE_OK, "room for the timer was reserved");
    }
}

void client_watch_start(client_core *core, client_operation *op) {
    set_timer(core, op, op->deadline_ns);
}

static bool waits_at_broker(const client_operation *op) {
    return (sl_request_traits(op->request.kind) & SL_REQUEST_IS_CANCELLABLE) != 0;
}

/* When the core itself ends it. Looked at when its deadline has come, not when it is sent: most
 * operations end before, and never touch the heap in between. */
static uint64_t limit_ns(const client_core *core, const client_operation *op) {
    if (op->state == CLIENT_OPERATION_SENT && waits_at_broker(op)) {
        return sl_clock_after_ns(op->deadline_ns, core->settings.call_grace_ns / 4 * 3);
    }
    return op->deadline_ns;
}

void client_watch_heard(client_core *core) {
    core->quiet_since_ns = core->now_ns;
}

static bool is_owed(const client_core *core) {
    return core->phase == CLIENT_READY && (core->wire_count != 0 || core->ping_id != 0);
}

static uint64_t broken_deadline_ns(const client_core *core) {
    return core->link == NULL || core->link->broken_ns == 0
               ? SL_CLOCK_NEVER
               : sl_clock_after_ns(core->link->broken_ns, LAST_WORDS_NS);
}

uint64_t client_watch_deadline_ns(const client_core *core) {
    uint64_t deadline_ns = broken_deadline_ns(core);
    if (deadline_ns == SL_CLOCK_NEVER && is_owed(core)) {
        bool is_pinged = core->ping_id != 0 || core->ping_is_due;
        deadline_ns =
            sl_clock_after_ns(core->quiet_since_ns, is_pinged ? core->hello.unresponsive_ns
                                                              : core->hello.ping_interval_ns);
    }
    return deadline_ns;
}

static void explain_late(const client_core *core, client_operation *op) {
    sl_reason reason;
    if (op->state == CLIENT_OPERATION_WAITING) {
        client_connect_describe_wait(core, &reason);
    } else if (op->timeout_ns == 0) { /* a close: nothing else is begun then (core.c) */
        (void)sl_reason_set(&reason, SLUICE_ETIMEDOUT, "timeout_ns",
                            "0 has passed already; the close goes on by itself");
    } else {
        (void)sl_reason_set(&reason, SLUICE_ETIMEDOUT, "timeout_ns",
                            op->state == CLIENT_OPERATION_SENT
                                ? "is over, and the broker has not answered"
                                : "is over, and the broker took in no request in that time");
    }
    client_core_explain(op, reason.text);
}

static void on_late(client_core *core, client_operation *op) {
    uint64_t due_ns = limit_ns(core, op);
    if (due_ns > core->now_ns) {
        set_timer(core, op, due_ns);
        return;
    }
    explain_late(core, op);
    bool goes_on = op->state == CLIENT_OPERATION_SENT ||
                   (op->state == CLIENT_OPERATION_QUEUED && op->request.kind == SL_REQUEST_CLOSE);
    if (goes_on) {
        client_core_detach(core, op, SLUICE_ETIMEDOUT);
    } else {
        client_core_end(core, op, SLUICE_ETIMEDOUT, 0);
    }
}

void client_watch_woken(client_core *core) {
    if (core->expected_wake_ns != SL_CLOCK_NEVER &&
        core->now_ns > sl_clock_after_ns(core->expected_wake_ns, STOPPED_NS)) {
        core->settle_ns = core->now_ns + SETTLE_NS;
        core->quiet_since_ns = core->now_ns;
        client_connect_stopped(core);
    }
}

void client_watch_tick(client_core *core) {
    if (core->now_ns < core->settle_ns) {
        return;
    }
    sl_heap_node *node;
    while ((node = sl_heap_pop_due(&core->timers, core->now_ns)) != NULL) {
        on_late(core, SL_CONTAINER_OF(node, client_operation, timer));
    }
    if (core->now_ns >= broken_deadline_ns(core)) {
        client_connect_lost(core, SLUICE_EBROKERLOST, core->link->broken_os_error);
    }
    if (!is_owed(core)) {
        return;
    }
    uint64_t quiet_ns = core->now_ns - core->quiet_since_ns;
    if (quiet_ns >= core->hello.unresponsive_ns) {
        client_connect_lost(core, SLUICE_EUNRESPONSIVE, 0);
    } else if (quiet_ns >= core->hello.ping_interval_ns && core->ping_id == 0) {
        core->ping_is_due = true;
    }
}
