/*
 * session.c - a session's life: from the connection to the last thing that was its own.
 *
 * Whatever ends it (the client goes, breaks the protocol, takes no replies; a drain) ends in
 * session_end(): the connection closes; operations are cancelled and replies dropped, then handles
 * close, a few per wake. What the system does not let go of keeps a small rest of the session
 * alive, and counted; session_reap() gives back the rest when it is due and checks that every
 * counter is 0.
 */
#include "broker/session.h"

#include <string.h>

#include "base/failpoint.h"
#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/peer.h"
#include "broker/quota.h"
#include "broker/user.h"

#define LINGER_NS  (1 * SL_NS_PER_S) /* for a Goodbye to get out */
#define ENDS_MAX   512u              /* operations of an ended session, per wake */
#define CLOSES_MAX 4u                /* and then its handles */
#define LOOKS      8u                /* for progress, within no_progress_ns: how late an end is */

static void on_due(broker_timer *timer);
static void on_closed(broker_target *target, const engine_completion *completion);

static void log_end(const broker_session *session, sl_log_level level, const char *message,
                    int status) {
    sl_log_field fields[] = {
        {"session", (int64_t)session->id},
        {"worker", (int64_t)session->worker->index},
        {"status", status},
    };
    const char *why = session->leave_reason.text;
    worker_log(session->worker, &session->identity, level, message, why[0] != '\0' ? why : NULL,
               fields, 3);
}

/* ---- begin ---- */

/* Takes a place among the broker's sessions, and its user's. SLUICE_OK or EQUOTA. */
static int take_place(broker_session *session, sl_reason *ret_reason) {
    broker *b = session->worker->broker;
    if (!book_take(&b->sessions, 1)) {
        return sl_limit_reached(ret_reason, SL_LIMIT_BROKER, "sessions", b->sessions.limit);
    }
    if (!book_take(&session->user->sessions, 1)) {
        book_give(&b->sessions, 1);
        return sl_limit_reached(ret_reason, SL_LIMIT_USER, "user_sessions",
                                session->user->sessions.limit);
    }
    int status = descriptors_take_session(&b->descriptors, &session->user->descriptors, ret_reason);
    session->has_place = status == SLUICE_OK;
    if (!session->has_place) {
        book_give(&session->user->sessions, 1);
        book_give(&b->sessions, 1);
    }
    return status;
}

static void give_place(broker_session *session) {
    broker *b = session->worker->broker;
    if (session->has_place) {
        session->has_place = false;
        descriptors_release(&b->descriptors, &session->user->descriptors, DESCRIPTORS_SESSION);
        book_give(&session->user->sessions, 1);
        book_give(&b->sessions, 1);
    }
}

static void init_lists(broker_session *session) {
    sl_list_init(&session->in_worker);
    sl_list_init(&session->in_runnable);
    sl_list_init(&session->in_flushing);
    sl_list_init(&session->in_reaping);
    sl_list_init(&session->in_unknown);
    sl_list_init(&session->ops);
    sl_list_init(&session->ending);
    sl_list_init(&session->output.replies);
    sl_list_init(&session->output.bulk);
}

static int init_tables(broker_session *session, sl_reason *ret_reason) {
    broker_worker *worker = session->worker;
    sl_account *account = &session->memory.account;
    session->buckets = sl_account_alloc(account, SESSION_BUCKETS * sizeof(*session->buckets));
    if (session->buckets == NULL) {
        return charge_was_refused(session) ? charge_refused(session, ret_reason) : SLUICE_ENOMEM;
    }
    session->bucket_count = SESSION_BUCKETS;
    return sl_slots_init(&session->handles, account, (uint32_t)worker_limits(worker)->handles,
                         sizeof(broker_handle));
}

/* Also of one that was not made to its end. */
static void deinit(broker_session *session) {
    input_deinit(session);
    output_deinit(session);
    sl_slots_deinit(&session->handles);
    sl_account_free(&session->memory.account, session->buckets,
                    session->bucket_count * sizeof(*session->buckets));
    session->buckets = NULL;
    deadline_clear(session->worker, &session->timer);
    charge_deinit(session);
    peer_deinit(session);
}

static void init(broker_session *session, broker_worker *worker, engine_handle *pipe) {
    memset(session, 0, sizeof(*session));
    session->worker = worker;
    session->pipe = pipe;
    peer_init(session);
    charge_init(session);
    init_lists(session);
    session->timer.on_due = on_due;
    session->close_target.on_completion = on_closed;
    sl_session_limits any = {0};
    sl_limits_grant(worker_limits(worker), &any, &session->limits);
    /* Until the Hello is answered these two are the protocol's. */
    session->limits.control_bytes = 64 * 1024;
    session->limits.fragment_bytes = 64 * 1024;
}

/* A child of the client's fork has its descriptors, and would keep it. SLUICE_OK; EOSLIMIT,
 * EOS. */
static int watch_client(broker_session *session, sl_reason *ret_reason) {
    int status = engine_watch_peer(session->pipe);
    if (status == SLUICE_OK || status == SLUICE_ENOTSUP) {
        return SLUICE_OK;
    }
    return sl_reason_set(ret_reason, status, "session", "the client's process cannot be watched");
}

/* Whose it is first, then its place and its memory: whoever is refused costs nothing. SLUICE_OK;
 * EACCESS, EQUOTA, ENOMEM, EOSLIMIT, EOS. */
static int begin(broker_session *session, sl_reason *ret_reason) {
    int status = peer_admit(session, ret_reason);
    if (status != SLUICE_OK && status != SLUICE_EBUSY) {
        return status;
    }
    status = take_place(session, ret_reason);
    if (status == SLUICE_OK) {
        status = watch_client(session, ret_reason);
    }
    if (status == SLUICE_OK) {
        status = charge_begin(session, ret_reason);
    }
    if (status == SLUICE_OK) {
        status = output_init(session, ret_reason);
    }
    if (status == SLUICE_OK) {
        status = input_init(session, ret_reason);
    }
    return status == SLUICE_OK ? init_tables(session, ret_reason) : status;
}

/* When it fails: whose it would have been; nobody's, if that is not known or a stranger's. */
static int create(broker_worker *worker, engine_handle *pipe, broker_session **ret_session,
                  engine_identity *ret_whom, sl_reason *ret_reason) {
    void *entry;
    sl_slot_id slot;
    int status = deadline_reserve(worker);
    if (status != SLUICE_OK) {
        return status;
    }
    status = sl_slots_take(&worker->sessions, &entry, &slot);
    if (status == SLUICE_OK) {
        broker_session *session = entry;
        init(session, worker, pipe);
        status = begin(session, ret_reason);
        if (status == SLUICE_OK) {
            *ret_session = session;
            return SLUICE_OK;
        }
        *ret_whom = session->identity;
        deinit(session);
        give_place(session);
    peer_release_user(session);
        sl_slots_release(&worker->sessions, session);
    }
    deadline_unreserve(worker);
    worker_trim(worker); /* what there was memory for must not stay */
    return status;
}

static void refuse(broker_worker *worker, engine_handle *pipe, const engine_identity *whom,
                   int status, const sl_reason *reason) {
    bool is_known = whom->kind != ENGINE_IDENTITY_NONE;
    if (status != SLUICE_EACCESS) { /* that has been logged */
        sl_log_field fields[] = {{"worker", (int64_t)worker->index}, {"status", status}};
        worker_log(worker, is_known ? whom : NULL, SL_LOG_WARN, "connection refused", reason->text,
                   fields, 2);
    }
    refusal_send(worker, pipe, is_known ? users_hash(whom) : 0, status, reason->text);
}

/* Those whose user is not known yet share one account. A client says who it is with its first
 * frame, at once; whoever only holds a connection must not keep others out with it, so that when
 * half of the places are taken the oldest goes for the next one. */
static void make_room_for_unknown(broker_session *session) {
    const broker_book *places = &session->user->sessions;
    sl_list *node = sl_list_first(&session->worker->unknown);
    if (node != NULL && book_used(places) > places->limit / 2) {
        sl_reason reason;
        broker_session *oldest = SL_LIST_ENTRY(node, broker_session, in_unknown);
        int status = sl_limit_reached(&reason, SL_LIMIT_USER, "user_sessions", places->limit);
        session_leave(oldest, status, reason.text);
    }
    sl_list_push_back(&session->worker->unknown, &session->in_unknown);
}

void session_accept(broker_worker *worker, engine_handle *pipe) {
    broker *b = worker->broker;
    broker_session *session = NULL;
    engine_identity whom = {.kind = ENGINE_IDENTITY_NONE};
    sl_reason reason = {""};
    if (worker_is_draining(worker)) {
        worker_close_orphan(worker, pipe);
        return;
    }
    engine_prefer(pipe); /* requests, and cancels above all, go ahead of data */
    int status = create(worker, pipe, &session, &whom, &reason);
    if (status != SLUICE_OK) {
        refuse(worker, pipe, &whom, status, &reason);
        return;
    }
    session->id = atomic_fetch_add_explicit(&b->session_ids, 1, memory_order_relaxed) + 1;
    b->options.random->fill(b->options.random, &session->hash_seed, sizeof(session->hash_seed));
    sl_list_push_back(&worker->all_sessions, &session->in_worker);
    counter_add(&worker->counters.sessions, 1);
    counter_add(&worker->counters.sessions_started, 1);
    deadline_set(worker, &session->timer,
                 sl_clock_after_ns(worker->now_ns, worker_limits(worker)->hello_timeout_ns));
    if (!session->is_admitted) {
        make_room_for_unknown(session);
    }
    input_arm(session);
}

/* All that it has is on `before`'s account. SLUICE_OK; EQUOTA: and stays there. */
static int change_user(broker_session *session, broker_user *before, broker_user *user,
                       sl_reason *ret_reason) {
    if (!book_take(&user->sessions, 1)) {
        return sl_limit_reached(ret_reason, SL_LIMIT_USER, "user_sessions", user->sessions.limit);
    }
    int status = descriptors_take_share(&session->worker->broker->descriptors, &user->descriptors,
                                        ret_reason);
    if (status == SLUICE_OK) {
        status = charge_change_user(session, before, user, ret_reason);
        descriptors_give_share(status == SLUICE_OK ? &before->descriptors : &user->descriptors);
    }
    book_give(status == SLUICE_OK ? &before->sessions : &user->sessions, 1);
    return status;
}

int session_admit_late(broker_session *session, sl_reason *ret_reason) {
    broker_user *before = session->user;
    int status = peer_admit(session, ret_reason);
    broker_user *user = session->user;
    if (status == SLUICE_OK) {
        sl_list_remove(&session->in_unknown);
    }
    if (status != SLUICE_OK || user == before) {
        return status;
    }
    status = change_user(session, before, user, ret_reason);
    if (status != SLUICE_OK) {
        peer_release_user(session);
        session->user = before; /* who goes on to pay for it */
    }
    return status;
}

/* ---- end ---- */

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
            op_answered(op);
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
static void end_more(broker_session *session) {
    broker_worker *worker = session->worker;
    if (!end_operations(session) || !close_handles(session)) {
        engine_look(worker->engine); /* this takes long: see whether others have asked */
        sl_list_push_back(&worker->runnable, &session->in_runnable);
        return;
    }
    /* All are closing (what opens from now on closes at once: handle_open). */
    deadline_set(worker, &session->timer,
                 sl_clock_after_ns(worker->now_ns, worker_limits(worker)->close_grace_ns));
}

void session_continue(broker_session *session) {
    if (session->state == SESSION_CLOSING) {
        end_more(session);
    } else {
        session_run(session);
    }
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
    end_more(session);
}

static void on_closed(broker_target *target, const engine_completion *completion) {
    (void)completion;
    broker_session *session = SL_CONTAINER_OF(target, struct broker_session, close_target);
    session->pipe = NULL;
    if (session->is_pipe_zombie) {
        session->is_pipe_zombie = false;
        peer_release_zombie(session);
    }
    session_wants_reap(session);
}

/* What the system has not let go of by now is a zombie. */
static void mark_zombies(broker_session *session) {
    uint32_t cursor = 0;
    broker_handle *handle;
    while ((handle = sl_slots_next(&session->handles, &cursor)) != NULL) {
        handle_mark_zombie(handle);
    }
    if (session->pipe != NULL && !session->is_pipe_zombie) {
        session->is_pipe_zombie = true;
        peer_charge_zombie(session);
    }
    log_end(session, SL_LOG_ERROR, "the system does not let go of a session's handles",
            SLUICE_EABANDONED);
}

void session_reap(broker_session *session) {
    broker_worker *worker = session->worker;
    if (session->state != SESSION_CLOSING || session->pipe != NULL || session->op_count > 0 ||
        session->handles.used > 0) {
        return;
    }
    quota_check_empty(session);
    deinit(session);
    sl_list_remove(&session->in_worker);
    sl_list_remove(&session->in_runnable);
    sl_list_remove(&session->in_flushing);
    deadline_unreserve(worker);
    give_place(session);
    peer_release_user(session);
    sl_slots_release(&worker->sessions, session);
    worker_trim(worker);
    counter_subtract(&worker->counters.sessions, 1); /* whoever sees it finds the memory back */
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

void session_wants_flush(broker_session *session) {
    if (!sl_list_is_linked(&session->in_flushing) && session_can_reply(session)) {
        session->flush_ns = session->worker->now_ns;
        sl_list_push_back(&session->worker->flushing, &session->in_flushing);
    }
}

void session_wants_reap(broker_session *session) {
    if (!sl_list_is_linked(&session->in_reaping) && session->state == SESSION_CLOSING) {
        sl_list_push_back(&session->worker->reaping, &session->in_reaping);
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

void session_leave_continue(broker_session *session) {
    if (!output_is_empty(session)) {
        return;
    }
    if (session->state == SESSION_LEAVING) {
        session_end(session, session->leave_status);
    } else if (session->live_count == 0 && worker_is_draining(session->worker)) {
        session_leave(session, SLUICE_ESHUTDOWN, "the broker is stopping");
    }
}
