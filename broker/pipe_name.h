/*
 * pipe_name.h - from the NAME of an address "pipe:NAME" to what the engine takes.
 * pipe_name_posix.c, pipe_name_win.c.
 */
#ifndef SLUICE_BROKER_PIPE_NAME_H
#define SLUICE_BROKER_PIPE_NAME_H

#include "engine/engine.h"
#include "proto/reason.h"

/* SLUICE_OK, EINVAL, ENAMETOOLONG, with the reason (may be NULL). */
int pipe_name_address(const char *name, engine_address *ret_address, sl_reason *ret_reason);

#endif
