/*
 * endpoint.h - where the service listens, as the engine takes it. endpoint_posix.c, endpoint_win.c.
 * The same names as sluiced's (broker/startup.h).
 */
#ifndef SLUICE_CLIENT_ENDPOINT_H
#define SLUICE_CLIENT_ENDPOINT_H

#include <stdint.h>

#include "engine/engine.h"

/* The service's: `given`, or the default one for NULL. SLUICE_OK, EINVAL, ENAMETOOLONG. */
int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES]);

#endif
