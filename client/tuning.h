/*
 * tuning.h - a session with what tests inject: memory, backend, grace. Not a part of the ABI.
 */
#ifndef SLUICE_CLIENT_TUNING_H
#define SLUICE_CLIENT_TUNING_H

#include "base/alloc.h"
#include "client/include/sluice/sluice.h"
#include "engine/engine.h"

typedef struct client_tuning {
    sl_allocator *allocator;
    const engine_backend *backend;
    uint64_t call_grace_ns; /* 0 = the default */
} client_tuning;

/* As sluice_open. */
int client_session_open(const sluice_open_options *options, const client_tuning *tuning,
                        sluice_session **ret_session);

#endif
