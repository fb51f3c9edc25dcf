/*
 * trust.h - whose broker the library talks to. Its server is asked of the kernel after every
 * connect, before a byte is sent (engine_peer_identity).
 *
 * A private broker: the process that was started for us, which runs as our own user. A service: of
 * whom the caller names, and of nobody else; else of our own user, or of one that could not have
 * taken the endpoint's name without an administrator's help (client_trust_platform).
 */
#ifndef SLUICE_CLIENT_TRUST_H
#define SLUICE_CLIENT_TRUST_H

#include "engine/engine.h"

#define CLIENT_TRUST_USERS_MAX 2u

typedef struct client_trust {
    engine_identity expected; /* nobody: any of those below, and our own user */
    engine_identity users[CLIENT_TRUST_USERS_MAX];
    unsigned user_count;
    bool doubts_own;    /* our own user has less than this program: its broker is not ours */
    const char *family; /* of SIDs, as the beginning of their text; NULL = none. Static */
} client_trust;

/* Which users a session that is opened with these options trusts; `endpoint` NULL: the default
 * one. May look at the endpoint's directory, so on the caller's thread. SLUICE_OK, or EINVAL:
 * `expected_user` names nobody. */
int client_trust_init(client_trust *ret_trust, const char *expected_user, const char *endpoint);

/* The same without a caller's choice: trust_posix.c, trust_win.c. */
void client_trust_platform(client_trust *trust, const char *endpoint);

/* Is the server of this connection one of them? `started` is the process that was started as a
 * private broker (its number is not used again while we hold it); 0: it is a service. On the
 * worker's thread, without waiting. Who it is is told if it is known, also with EUNTRUSTED.
 * SLUICE_OK, EUNTRUSTED; EBROKERLOST: it has gone already. */
int client_trust_check(const client_trust *trust, uint64_t started, engine_worker *worker,
                       engine_handle *pipe, engine_peer *ret_server);

#endif
