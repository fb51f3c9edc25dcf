/*
 * client.h - what rig.c needs of client.c.
 */
#ifndef SLUICE_TESTS_BROKER_CLIENT_H
#define SLUICE_TESTS_BROKER_CLIENT_H

#include "engine/engine.h"

void client_on_completion(const engine_completion *completion);

#endif
