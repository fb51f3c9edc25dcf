/*
 * epoll_identity.c - who is at the other end of a Unix socket.
 *
 * The kernel keeps the credentials of the one who connected, and of the one who called listen, with
 * the socket (unix(7), SO_PEERCRED, SO_PEERGROUPS): as they were at that moment, in our user
 * namespace, and out of the peer's reach. A call that copies some bytes; it cannot wait.
 *
 * Who has no number in that namespace shows the same one as all of its kind (base/nobody.h). Such a
 * peer is marked (engine_peer.is_unmapped), no list names it, and its rights are those of somebody
 * who owns nothing and is in no group.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "engine/epoll.h"

#define CALLS engine_epoll_calls

/* Since Linux 4.13; Debian 12's C library headers have it, older ones do not. */
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static int read_credentials(engine_handle *handle, struct ucred *ret_credentials) {
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    socklen_t length = sizeof(*ret_credentials);
    if (self->role != ENGINE_EPOLL_SOCKET || self->is_tcp) {
        return SLUICE_ENOTSUP;
    }
    if (CALLS.getsockopt(self->fd, SOL_SOCKET, SO_PEERCRED, ret_credentials, &length) != 0) {
        return engine_epoll_status(errno);
    }
    /* Nobody connected: -1. */
    return ret_credentials->uid != (uid_t)-1 ? SLUICE_OK : SLUICE_ECLOSED;
}

static const sl_nobody *nobody_of(const engine_handle *handle) {
    return &engine_epoll_worker_of(handle->worker)->nobody;
}

int engine_epoll_peer_identity(engine_handle *handle, engine_peer *ret_peer) {
    struct ucred credentials;
    int status = read_credentials(handle, &credentials);
    if (status == SLUICE_OK) {
        engine_identity_uid(&ret_peer->user, credentials.uid);
        ret_peer->is_administrator = credentials.uid == 0;
        ret_peer->is_unmapped = credentials.uid == nobody_of(handle)->uid;
        /* Of who connected or listened at that time, in our namespace; 0 = it is not in there. */
        ret_peer->is_self = credentials.pid == getpid();
        ret_peer->process_id = credentials.pid > 0 ? (uint64_t)credentials.pid : 0;
    }
    return status;
}

static bool is_named(const engine_identity *whom, unsigned count, const engine_identity *who) {
    for (unsigned i = 0; i < count; i++) {
        if (engine_identity_equal(&whom[i], who)) {
            return true;
        }
    }
    return false;
}

static bool has_group(const engine_identity *whom, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (whom[i].kind == ENGINE_IDENTITY_GID) {
            return true;
        }
    }
    return false;
}

/* The groups beside the first. A peer in too many (ERANGE) is in none that we can tell: false. */
static bool read_groups(int fd, gid_t ret_groups[ENGINE_PEER_GROUPS_MAX], size_t *ret_count) {
    socklen_t length = ENGINE_PEER_GROUPS_MAX * sizeof(ret_groups[0]);
    bool is_read = CALLS.getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret_groups, &length) == 0;
    *ret_count = is_read ? length / sizeof(ret_groups[0]) : 0;
    return is_read;
}

static bool is_in_group(int fd, gid_t nobody, const engine_identity *whom, unsigned count) {
    gid_t groups[ENGINE_PEER_GROUPS_MAX];
    size_t group_count;
    (void)read_groups(fd, groups, &group_count);
    for (size_t i = 0; i < group_count; i++) {
        engine_identity group;
        engine_identity_gid(&group, groups[i]);
        if (groups[i] != nobody && is_named(whom, count, &group)) {
            return true;
        }
    }
    return false;
}

int engine_epoll_peer_is_among(engine_handle *handle, const engine_identity *whom, unsigned count,
                               bool *ret_is_among) {
    struct ucred credentials;
    engine_identity user;
    engine_identity group;
    int status = read_credentials(handle, &credentials);
    if (status == SLUICE_OK) {
        engine_identity_uid(&user, credentials.uid);
        engine_identity_gid(&group, credentials.gid);
        const sl_nobody *nobody = nobody_of(handle);
        *ret_is_among = (credentials.uid != nobody->uid && is_named(whom, count, &user)) ||
                        (credentials.gid != nobody->gid && is_named(whom, count, &group)) ||
                        (has_group(whom, count) &&
                         is_in_group(engine_epoll_handle_of(handle)->fd, nobody->gid, whom, count));
    }
    return status;
}

int engine_epoll_own_identity(engine *e, engine_identity *ret_identity) {
    (void)e;
    engine_identity_uid(ret_identity, geteuid());
    return SLUICE_OK;
}

/* A peer's capabilities and its other users cannot be asked for. (Who has the same could open our
 * memory, ptrace(2); who has not, could not.) */
static bool has_hidden_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    return getresuid(&real, &effective, &saved) != 0 || real != effective || saved != effective ||
           CALLS.capget(&header, data) != 0 || (data[0].permitted | data[1].permitted) != 0;
}

/* Is the peer in our groups, all of them? */
static bool has_our_groups(int fd, gid_t first) {
    gid_t own[ENGINE_PEER_GROUPS_MAX + 1];
    gid_t groups[ENGINE_PEER_GROUPS_MAX];
    size_t group_count;
    int count = CALLS.getgroups(ENGINE_PEER_GROUPS_MAX, own);
    (void)read_groups(fd, groups, &group_count);
    bool has_all = count >= 0;
    own[has_all ? count++ : 0] = getegid();
    for (int i = 0; i < count && has_all; i++) {
        has_all = own[i] == first;
        for (size_t k = 0; k < group_count && !has_all; k++) {
            has_all = own[i] == groups[k];
        }
    }
    return has_all;
}

int engine_epoll_peer_is_lesser(engine_handle *handle, bool *ret_is_lesser) {
    struct ucred credentials;
    int status = read_credentials(handle, &credentials);
    if (status == SLUICE_OK) {
        bool has_all = has_our_groups(engine_epoll_handle_of(handle)->fd, credentials.gid);
        *ret_is_lesser = (has_hidden_rights() || !has_all) && credentials.uid != 0;
    }
    return status;
}

int engine_epoll_peer_rights(engine_handle *handle, engine_rights **ret_rights) {
    struct ucred credentials;
    gid_t groups[ENGINE_PEER_GROUPS_MAX];
    size_t count;
    int status = read_credentials(handle, &credentials);
    if (status != SLUICE_OK) {
        return status;
    }
    bool knows_groups = read_groups(engine_epoll_handle_of(handle)->fd, groups, &count);
    engine_epoll_user *user = (engine_epoll_user *)engine_rights_create(
        handle->worker->engine, sizeof(engine_epoll_user) + count * sizeof(groups[0]));
    if (user == NULL) {
        return SLUICE_ENOMEM;
    }
    const sl_nobody *nobody = nobody_of(handle);
    user->nobody = nobody->uid;
    user->uid = credentials.uid != nobody->uid ? credentials.uid : (uid_t)-1;
    user->gid = credentials.gid != nobody->gid ? credentials.gid : (gid_t)-1;
    user->knows_groups = knows_groups && credentials.gid != nobody->gid;
    for (size_t i = 0; i < count; i++) {
        if (groups[i] != nobody->gid) {
            user->groups[user->group_count++] = groups[i];
        } else {
            user->knows_groups = false;
        }
    }
    *ret_rights = &user->rights;
    return SLUICE_OK;
}
