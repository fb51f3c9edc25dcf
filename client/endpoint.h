/*
 * endpoint.h - where a broker listens, as the engine takes it. endpoint_posix.c, endpoint_win.c.
 * The same names as sluiced's (broker/startup.h).
 */
#ifndef SLUICE_CLIENT_ENDPOINT_H
#define SLUICE_CLIENT_ENDPOINT_H

#include <stdint.h>

#include "engine/engine.h"

/* The service's: `given`, or the default one for NULL. SLUICE_OK, EINVAL, ENAMETOOLONG. */
int client_endpoint_service(const char *given, char ret_endpoint[ENGINE_PIPE_NAME_BYTES]);

/* A new one for this user only, with that random number in it. On Linux it lies in a directory that
 * is made and verified to be this user's alone. SLUICE_OK, EACCESS, ENAMETOOLONG. */
int client_endpoint_private(const uint64_t random[2], char ret_endpoint[ENGINE_PIPE_NAME_BYTES],
                            uint32_t *ret_os_error);
/* Its broker has ended, however it ended: removes what a killed one leaves behind. */
void client_endpoint_forget(const char *endpoint);

#endif
