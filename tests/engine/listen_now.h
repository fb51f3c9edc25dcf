/*
 * listen_now.h - listens, and waits until it does: for tests with nothing else under way on a
 * worker. The status, and the listener.
 */
#ifndef SLUICE_TESTS_ENGINE_LISTEN_NOW_H
#define SLUICE_TESTS_ENGINE_LISTEN_NOW_H

#include "base/check.h"
#include "engine/engine.h"

static inline int listen_now(engine_worker *worker, const engine_address *addresses,
                             unsigned address_count, const engine_listen_options *options,
                             engine_handle **ret_listener) {
    engine_completion completion = {.kind = ENGINE_MESSAGE};
    int status = engine_listen(worker, addresses, address_count, options, NULL, NULL, NULL);
    if (status != SLUICE_OK) {
        return status;
    }
    while (engine_poll(worker, &completion, 1, SL_CLOCK_NEVER) == 0) {
    }
    SL_CHECK(completion.kind == ENGINE_LISTEN, "nothing else is under way");
    if (completion.status == SLUICE_OK) {
        *ret_listener = completion.opened[0];
    }
    return completion.status;
}

#endif
