/*
 * trust_win.c - on Windows: LocalSystem, and the virtual accounts of services (NT SERVICE\NAME),
 * since only an administrator installs a service. That is weaker than it sounds: the name of
 * another product's service is as good, should that be broken into. Who knows the broker's account
 * names it (expected_user; `sc showsid NAME`).
 */
#include "client/trust.h"

#include "base/check.h"

void client_trust_platform(client_trust *trust, const char *endpoint) {
    (void)endpoint; /* pipe names have no directories */
    int status = engine_identity_parse("S-1-5-18", &trust->users[trust->user_count++]);
    SL_CHECK(status == SLUICE_OK, "LocalSystem [docs: well-known SIDs]");
    trust->family = "S-1-5-80-"; /* NT SERVICE [docs: well-known SIDs] */
}
