/*
 * trust.h - whose broker the library talks to. Its server is asked of the kernel after every
 * connect, before a byte is sent (engine_peer_identity).
 *
 * A private broker: ours, the one that was started for us, runs as our own user; so nobody else
 * does. A service: the user that the caller names, and no other; else our own user, or one that
 * could not have taken the endpoint's name without an administrator's help (client_trust_platform).
 */
#ifndef SLUICE_CLIENT_TRUST_H
#define SLUICE_CLIENT_TRUST_H

#include "engine/engine.h"

#define CLIENT_TRUST_USERS_MAX 2u

typedef struct client_trust {
    engine_identity expected; /* nobody: any of those below, and our own user */
    engine_identity users[CLIENT_TRUST_USERS_MAX];
    unsigned user_count;
    const char *family; /* of SIDs, as the beginning of their text; NULL = none. Static */
} client_trust;

/* Which users a session that is opened with these options trusts; `endpoint` NULL: the default
 * one. May look at the endpoint's directory, so on the caller's thread. SLUICE_OK, or EINVAL:
 * `expected_user` names nobody. */
int client_trust_init(client_trust *ret_trust, const char *expected_user, const char *endpoint);

/* The same without a caller's choice: trust_posix.c, trust_win.c. */
void client_trust_platform(client_trust *trust, const char *endpoint);

/* Is the server of this connection one of them? On the worker's thread, without waiting. Who it is
 * is told if it is known, also with EUNTRUSTED. SLUICE_OK, EUNTRUSTED; EBROKERLOST: it has gone
 * already. */
int client_trust_check(const client_trust *trust, bool is_private, engine_worker *worker,
                       engine_handle *pipe, engine_identity *ret_server);

#endif
