/*
 * registry.h - the deliveries of this process's sessions: does this thread run a callback of one?
 *
 * Asked when a session is closed, so the list has a lock of its own and costs a callback nothing.
 */
#ifndef SLUICE_CLIENT_REGISTRY_H
#define SLUICE_CLIENT_REGISTRY_H

#include "client/delivery.h"

void client_registry_add(client_delivery *delivery);
void client_registry_remove(client_delivery *delivery);

/* Of any session. */
bool client_registry_is_callback(void);

#endif
