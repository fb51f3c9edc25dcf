/*
 * look.h - where the service is, and which user a session trusts there.
 *
 * Both may look at paths, and a path on a dead network file system may never answer. So they are
 * looked at by an errand (errand.h), and the caller waits until its deadline.
 */
#ifndef SLUICE_CLIENT_LOOK_H
#define SLUICE_CLIENT_LOOK_H

#include "client/trust.h"
#include "proto/reason.h"

typedef struct client_found {
    char endpoint[ENGINE_PIPE_NAME_BYTES];
    client_trust trust;
    sl_reason reason; /* why there is none, where that is no fixed text */
} client_found;

/* For these options of a program, either may be NULL. is_optional: the caller goes on without it,
 * so it gets a part of the time only (errand.h), and none while one before has not come back.
 * SLUICE_OK; ETIMEDOUT, EINVAL, ENAMETOOLONG, ENOMEM, EOSLIMIT; EUNTRUSTED, as
 * client_endpoint_service: with a detail, static or ret_found's. */
int client_look(const char *endpoint, const char *expected_user, bool is_optional,
                uint64_t deadline_ns, client_found *ret_found, const char **ret_detail);

/* The same where no service is wanted: only whether the options make sense. No path is looked at,
 * and nothing waits. SLUICE_OK, EINVAL, ENAMETOOLONG. */
int client_look_at_words(const char *endpoint, const char *expected_user, client_found *ret_found,
                         const char **ret_detail);

#endif
