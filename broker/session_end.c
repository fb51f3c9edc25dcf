/*
 * session_end.c - how a session ends.
 *
 * Whatever ends it (the client goes, breaks the protocol, takes no replies; a drain) ends in
 * session_end(): the connection closes; operations are cancelled and replies dropped, then handles
 * close, a few per wake. What the system does not let go of keeps a small rest of the session
 * alive, and counted, until session_reap() (session.c).
 */
#include <string.h>

#include "base/failpoint.h"
#include "broker/handle.h"
#include "broker/journal.h"
#include "broker/session.h"

#define LINGER_NS  (1 * SL_NS_PER_S) /* for a Goodbye to get out */
#define ENDS_MAX   512u              /* operations of an ended session, per wake */
#define CLOSES_MAX 4u                /* and then its handles */
#define LOOKS      8u                /* for progress, within no_progress_ns: how late an end is */

static void log_end(const broker_session *session, sl_log_level level, const char *message,
                    int status) {
    sl_log_field fields[] = {
        {"session", (int64_t)session->id},
        {"worker", (int64_t)session->worker->index},
        {"status", status},
    };
    const char *why = session->leave_reason.text;
    journal_record(session->worker, &session->identity, level, message, why[0] != '\0' ? why : NULL,
                   fields, 3);
}

void session_leave(broker_session *session, int status, const char *detail) {
    broker_worker *worker = session->worker;
    if (session->state >= SESSION_LEAVING) {
        return;
    }
    session->state = SESSION_LEAVING;
    sl_list_remove(&session->in_unknown);
    session->leave_status = status;
    session->output.owes_goodbye = status != 0;
    if (session->leave_reason.text[0] == '\0') {
        strncpy(session->leave_reason.text, detail, SL_REASON_BYTES - 1);
    }
    sl_list_remove(&session->in_runnable);
    deadline_set(worker, &session->timer, sl_clock_after_ns(worker->now_ns, LINGER_NS));
    session_wants_flush(session);
}

void session_violation(broker_session *session, const sl_reason *reason) {
    session->leave_reason = *reason;
    counter_add(&session->worker->counters.protocol_violations, 1);
    log_end(session, SL_LOG_WARN, "protocol violation", SLUICE_EPROTOCOL);
    session_leave(session, SLUICE_EPROTOCOL, "");
}

/* The next ENDS_MAX operations end, and replies are dropped. true: that was the last. */
static bool end_operations(broker_session *session) {
    for (uint32_t i = 0; i < ENDS_MAX; i++) {
        sl_list *node = sl_list_pop_front(&session->ending);
        if (node == NULL) {
            return true;
        }
        sl_list_push_back(&session->ops, node); /* should the system have it */
        broker_op *op = SL_LIST_ENTRY(node, struct broker_op, in_session);
        if (op->state < OP_ENDED) {
            op_cancel(op, SLUICE_ECLOSED);
        } else if (!op->is_answered) {
            (void)op_answered(op); /* who waits for its turn is on the list as well */
        }
    }
    return sl_list_is_empty(&session->ending);
}

/* Closes the next CLOSES_MAX handles. true: those were the last. */
static bool close_handles(broker_session *session) {
    uint32_t count = 0;
    broker_handle *handle;
    while (count < CLOSES_MAX &&
           (handle = sl_slots_next(&session->handles, &session->close_cursor)) != NULL) {
        if (handle->state == HANDLE_OPEN) {
            handle_close(handle, NULL, 0, SLUICE_ECLOSED);
            count++;
        }
    }
    return count < CLOSES_MAX;
}

/* Ends some more of what the session had; the rest waits for the next wakes, so that the end of a
 * client with thousands of operations and handles is no pause for the others of its worker. */
void session_end_more(broker_session *session) {
    broker_worker *worker = session->worker;
    if (!end_operations(session) || !close_handles(session)) {
        engine_look(worker->engine); /* this takes long: see whether others have asked */
        sl_list_push_back(&worker->runnable, &session->in_runnable);
        return;
    }
    /* All are closing (what opens from now on closes at once: handle_close_if_late). */
    deadline_set(worker, &session->timer,
                 sl_clock_after_ns(worker->now_ns, worker_limits(worker)->close_grace_ns));
}

void session_end(broker_session *session, int status) {
    if (session->state == SESSION_CLOSING) {
        return;
    }
    SL_FAILPOINT_PASS(broker, end);
    session->state = SESSION_CLOSING;
    sl_list_remove(&session->in_unknown);
    session->closed_ns = session->worker->now_ns;
    if (session->leave_status != 0) {
        status = session->leave_status;
    }
    /* One that ended for a reason of its own is worth a line; coming and going are not. */
    bool has_reason = session->leave_reason.text[0] != '\0' && status != SLUICE_ESHUTDOWN;
    has_reason = has_reason || status == SLUICE_ENOMEM;
    log_end(session, has_reason ? SL_LOG_INFO : SL_LOG_DEBUG, "session ended", status);
    sl_list_remove(&session->in_runnable);
    sl_list_remove(&session->in_flushing);
    session->output.owes_goodbye = session->output.owes_draining = false;
    deadline_clear(session->worker, &session->timer);
    sl_list_splice_back(&session->ending, &session->ops);
    int closed = engine_close(session->pipe, &session->close_target);
    SL_CHECK(closed == SLUICE_OK, "a connection is closed once");
    session_end_more(session);
}

static void on_closed(broker_target *target, const engine_completion *completion) {
    (void)completion;
    broker_session *session = SL_CONTAINER_OF(target, struct broker_session, close_target);
    session->pipe = NULL;
    zombie_end(&session->zombie);
    session_wants_reap(session);
}

/* What the system has not let go of by now is a zombie. */
static void mark_zombies(broker_session *session) {
    uint32_t cursor = 0;
    broker_handle *handle;
    while ((handle = sl_slots_next(&session->handles, &cursor)) != NULL) {
        handle_mark_zombie(handle);
    }
    if (session->pipe != NULL && !zombie_is(&session->zombie)) {
        zombie_begin(&session->zombie, session);
    }
    log_end(session, SL_LOG_ERROR, "the system does not let go of a session's handles",
            SLUICE_EABANDONED);
}

/* ---- in between ---- */

void session_watch_progress(broker_session *session) {
    broker_worker *worker = session->worker;
    uint64_t pause_ns = worker_limits(worker)->no_progress_ns / LOOKS;
    deadline_set(worker, &session->timer, sl_clock_after_ns(worker->now_ns, pause_ns));
}

/* Any byte that the client takes is progress, however long the whole write lasts. */
static void look_for_progress(broker_session *session) {
    broker_worker *worker = session->worker;
    session_output *output = &session->output;
    if (!output->is_writing) {
        return; /* the next write sets the timer again */
    }
    size_t taken = engine_write_progress(worker->engine, output->write);
    if (taken != output->taken) {
        output->taken = taken;
        output->since_ns = worker->now_ns;
    }
    if (worker->now_ns - output->since_ns < worker_limits(worker)->no_progress_ns) {
        session_watch_progress(session);
        return;
    }
    log_end(session, SL_LOG_WARN, "the client takes no replies", SLUICE_ETIMEDOUT);
    session_end(session, SLUICE_ETIMEDOUT);
}

static void on_due(broker_timer *timer) {
    broker_session *session = SL_CONTAINER_OF(timer, struct broker_session, timer);
    switch (session->state) {
    case SESSION_NEW: session_leave(session, SLUICE_ETIMEDOUT, "no Hello came in time"); break;
    case SESSION_OPEN: look_for_progress(session); break;
    case SESSION_LEAVING: session_end(session, session->leave_status); break;
    case SESSION_CLOSING: mark_zombies(session); break;
    }
}

void session_drain(broker_session *session) {
    if (session->state == SESSION_NEW) {
        session_leave(session, SLUICE_ESHUTDOWN, "the broker is stopping");
    } else if (session->state == SESSION_OPEN) {
        session->output.owes_draining = true;
        session_wants_flush(session);
    }
}

void session_end_init(broker_session *session) {
    session->timer.on_due = on_due;
    session->close_target.on_completion = on_closed;
}
