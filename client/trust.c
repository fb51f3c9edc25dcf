/*
 * trust.c - see trust.h. What cannot be told is not trusted.
 */
#include "client/trust.h"

#include <string.h>

int client_trust_init(client_trust *ret_trust, const char *expected_user, const char *endpoint) {
    memset(ret_trust, 0, sizeof(*ret_trust));
    if (expected_user != NULL) {
        return engine_identity_parse(expected_user, &ret_trust->expected);
    }
    client_trust_platform(ret_trust, endpoint);
    return SLUICE_OK;
}

static bool is_of_family(const engine_identity *user, const char *family) {
    char text[ENGINE_IDENTITY_TEXT_BYTES];
    engine_identity_text(user, text);
    return family != NULL && strncmp(text, family, strlen(family)) == 0;
}

static bool is_trusted_service(const client_trust *trust, const engine_identity *own,
                               const engine_peer *server) {
    if (server->is_unmapped) {
        return false;
    }
    if (trust->expected.kind != ENGINE_IDENTITY_NONE) {
        return engine_identity_equal(&trust->expected, &server->user);
    }
    for (unsigned i = 0; i < trust->user_count; i++) {
        if (engine_identity_equal(&trust->users[i], &server->user)) {
            return true;
        }
    }
    return (engine_identity_equal(own, &server->user) && !trust->doubts_own) ||
           is_of_family(&server->user, trust->family);
}

int client_trust_check(const client_trust *trust, uint64_t started, engine_worker *worker,
                       engine_handle *pipe, engine_peer *ret_server) {
    engine_identity own;
    engine_peer server;
    int status = engine_peer_identity(pipe, &server);
    if (status == SLUICE_ECLOSED) {
        return SLUICE_EBROKERLOST;
    }
    if (status != SLUICE_OK ||
        engine_own_identity(engine_worker_engine(worker), &own) != SLUICE_OK) {
        return SLUICE_EUNTRUSTED;
    }
    bool is_trusted =
        started != 0 ? engine_identity_equal(&own, &server.user) && server.process_id == started
                     : is_trusted_service(trust, &own, &server);
    *ret_server = server;
    return is_trusted ? SLUICE_OK : SLUICE_EUNTRUSTED;
}
