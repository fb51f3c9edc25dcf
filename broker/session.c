/*
 * session.c - a session's life: from the connection to the last thing that was its own.
 *
 * Whatever ends it ends in session_end.c. What the system does not let go of keeps a small rest of
 * the session alive, and counted; session_reap() gives back the rest when it is due and checks that
 * every counter is 0.
 */
#include "broker/session.h"

#include <string.h>

#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/journal.h"
#include "broker/peer.h"
#include "broker/quota.h"
#include "broker/stream/reading.h"
#include "broker/tables.h"
#include "broker/user.h"

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
    sl_list_init(&session->output.telling);
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
    session_end_init(session);
    reading_pool_init(&session->receive_pool);
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
 * EACCESS, ESHUTDOWN, EQUOTA, ENOMEM, EOSLIMIT, EOS. */
static int begin(broker_session *session, sl_reason *ret_reason) {
    int status = peer_admit(session, ret_reason);
    if (status != SLUICE_OK && status != SLUICE_EBUSY) {
        return status;
    }
    if (worker_is_draining(session->worker)) {
        return SLUICE_ESHUTDOWN;
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
    tables_trim(worker); /* what there was memory for must not stay */
    return status;
}

static void refuse(broker_worker *worker, engine_handle *pipe, const engine_identity *whom,
                   int status, const sl_reason *reason) {
    bool is_known = whom->kind != ENGINE_IDENTITY_NONE;
    /* Who may not come has been logged, and that the broker stops. */
    if (status != SLUICE_EACCESS && status != SLUICE_ESHUTDOWN) {
        sl_log_field fields[] = {{"worker", (int64_t)worker->index}, {"status", status}};
        journal_record(worker, is_known ? whom : NULL, SL_LOG_WARN, "connection refused",
                       reason->text, fields, 2);
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
    engine_prefer(pipe); /* requests, and cancels above all, go ahead of data */
    int status = create(worker, pipe, &session, &whom, &reason);
    if (worker_is_draining(worker) && status != SLUICE_EACCESS) {
        static const char stopping[] = "the broker is stopping";
        memcpy(reason.text, stopping, sizeof(stopping));
        status = SLUICE_ESHUTDOWN;
    }
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

void session_continue(broker_session *session) {
    if (session->state == SESSION_CLOSING) {
        session_end_more(session);
    } else {
        input_run(session);
    }
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
    tables_trim(worker);
    counter_subtract(&worker->counters.sessions, 1); /* whoever sees it finds the memory back */
}
