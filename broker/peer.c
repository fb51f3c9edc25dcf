/*
 * peer.c - see peer.h.
 *
 * Who is let in: the broker's own user, unless it has less than the broker has; root, LocalSystem
 * and administrators, who could help themselves anyway; and whom `allow` names. Without a list it
 * is whom the endpoint lets in (engine_listen_options.access): on Windows its DACL is the list. The
 * kernel has asked those questions when the client connected, where it could; asking again here is
 * what makes a list of users possible on Linux, where a socket's mode knows one group, and keeps a
 * mode that somebody widened from widening more than the socket.
 */
#include "broker/peer.h"

#include <string.h>

#include "broker/charge.h"
#include "broker/journal.h"

void peer_init(broker_session *session) {
    session->user = &session->worker->broker->users.others;
}

void peer_release_user(broker_session *session) {
    users_release(&session->worker->broker->users, session->user);
    peer_init(session);
}

void peer_deinit(broker_session *session) {
    engine_rights_release(session->rights);
    session->rights = NULL;
}

static void log_refusal(const broker_session *session, int status, const engine_peer *peer) {
    char text[ENGINE_IDENTITY_TEXT_BYTES] = "nobody known";
    sl_log_field fields[] = {{"worker", (int64_t)session->worker->index},
                             {"process", peer != NULL ? (int64_t)peer->process_id : 0},
                             {"status", status}};
    if (peer != NULL) {
        engine_identity_text(&peer->user, text);
    }
    journal_record(session->worker, peer != NULL ? &peer->user : NULL, SL_LOG_WARN,
                   "client refused", text, fields, 3);
}

/* Our own user, with all that this process has: it could do by itself what we do for it. A program
 * with a group of its own (set-group-ID), with capabilities, or elevated by its user has a broker
 * that has the same; other programs of that user's have less. And who shows our number because it
 * has none here (is_unmapped) may be anybody, unless it is the process that we are here for. */
static int is_ours(const broker_session *session, const engine_peer *peer, bool *ret_is_ours) {
    const broker *b = session->worker->broker;
    bool is_lesser = false;
    bool is_client = peer->process_id != 0 && peer->process_id == b->options.client_process;
    *ret_is_ours = engine_identity_equal(&peer->user, &b->own) && (is_client || !peer->is_unmapped);
    if (!*ret_is_ours || is_client) {
        return SLUICE_OK;
    }
    int status = engine_peer_is_lesser(session->pipe, &is_lesser);
    *ret_is_ours = !is_lesser;
    return status;
}

static int is_allowed(const broker_session *session, bool *ret_is_allowed) {
    const broker_options *options = &session->worker->broker->options;
    if (options->allow_count == 0) {
        *ret_is_allowed = options->access != NULL;
        return SLUICE_OK;
    }
    return engine_peer_is_among(session->pipe, options->allow, options->allow_count,
                                ret_is_allowed);
}

/* Who is at the other end of a connection that this process made? Some client of ours, for whom we
 * connected to ourselves: it must not get what is ours. The engine opens no endpoint for a client;
 * this is for what it could not see through, as another program that passes bytes on. */
static bool is_own_detour(const broker *b, const engine_peer *peer) {
    return peer->is_self && !b->options.serves_itself;
}

/* The engine knows who it is. SLUICE_OK: let in; else EACCESS, or why that cannot be told. */
static int judge(broker_session *session, const engine_peer *peer, bool rules,
                 const char **ret_why) {
    bool is_let_in = rules;
    if (peer->is_unmapped) {
        *ret_why = "this user has no number in the broker's user namespace: no list names it, and "
                   "nobody can tell it from others";
    } else if (!rules && engine_identity_equal(&peer->user, &session->worker->broker->own)) {
        *ret_why = "this process has less than the broker's (a group, elevation), though the user "
                   "is the same";
    }
    if (is_own_detour(session->worker->broker, peer)) {
        *ret_why = "this connection was made by the broker itself";
        return SLUICE_EACCESS;
    }
    int status = rules ? SLUICE_OK : is_allowed(session, &is_let_in);
    return status == SLUICE_OK && !is_let_in ? SLUICE_EACCESS : status;
}

/* What is opened for another user is what it could open by itself. */
static int take_rights(broker_session *session, bool is_ours) {
    return is_ours ? SLUICE_OK : engine_peer_rights(session->pipe, &session->rights);
}

static int refuse(const broker_session *session, int status, const engine_peer *peer,
                  const char *why, sl_reason *ret_reason) {
    log_refusal(session, status, peer);
    memcpy(ret_reason->text, why, strlen(why) + 1);
    return SLUICE_EACCESS;
}

int peer_admit(broker_session *session, sl_reason *ret_reason) {
    broker *b = session->worker->broker;
    engine_peer peer;
    const char *why = "this user may not use the broker";
    int status = engine_peer_identity(session->pipe, &peer);
    if (status == SLUICE_EBUSY) {
        return status;
    }
    if (status != SLUICE_OK) {
        return refuse(session, status, NULL, why, ret_reason);
    }
    bool ours = false;
    status = is_ours(session, &peer, &ours);
    bool rules = status == SLUICE_OK && (ours || peer.is_administrator);
    if (status == SLUICE_OK) {
        status = judge(session, &peer, rules, &why);
    }
    if (status == SLUICE_OK) {
        status = take_rights(session, ours);
    }
    if (status != SLUICE_OK && status != SLUICE_ENOMEM) {
        return refuse(session, status, &peer, why, ret_reason);
    }
    SL_CHECK(!zombie_is(&session->zombie), "nothing is charged before it is known to whom");
    status = status != SLUICE_OK ? status : users_find(&b->users, &peer.user, &session->user);
    if (status != SLUICE_OK) {
        static const char no_memory[] = "out of memory";
        memcpy(ret_reason->text, no_memory, sizeof(no_memory));
        return status;
    }
    session->identity = peer.user;
    session->is_unmapped = peer.is_unmapped;
    session->sees_all = rules;
    session->process_id = peer.process_id;
    session->is_admitted = true;
    return SLUICE_OK;
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

int peer_admit_late(broker_session *session, sl_reason *ret_reason) {
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

bool peer_sees(const broker_session *viewer, const broker_session *other) {
    return viewer == other || viewer->sees_all ||
           (!viewer->is_unmapped && engine_identity_equal(&viewer->identity, &other->identity));
}
