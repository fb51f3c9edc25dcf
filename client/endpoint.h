/*
 * endpoint.h - where the service listens, as the engine takes it. endpoint_posix.c, endpoint_win.c.
 * The same names as sluiced's (broker/startup.h).
 */
#ifndef SLUICE_CLIENT_ENDPOINT_H
#define SLUICE_CLIENT_ENDPOINT_H

#include <stdint.h>

#include "engine/engine.h"
#include "proto/reason.h"

/* The service's: `given`, or the default one for NULL. SLUICE_OK; EINVAL, ENAMETOOLONG, and
 * EUNTRUSTED (Linux: the default one lies in a folder that is not this user's): with a reason. */
int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES],
                            sl_reason *ret_reason);

/* Goes there and back. For a thread that can be spared: where a file system does not answer, it is
 * this that blocks, and not a connect later on. */
void client_endpoint_reach(const char *endpoint);

#endif
