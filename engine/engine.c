/*
 * engine.c - engines, endpoints, and backends by name.
 *
 * An engine is what the workers of one backend share: limits, clock, randomness, the opener
 * threads. Any one thread at a time makes and destroys it; it is read-only in between but for
 * atomic counts. It outlives its workers and endpoints (checked by count).
 */
#include <string.h>

#include "base/failpoint.h"
#include "engine/core.h"
#include "engine/opener.h"

static const engine_backend *const backends[] = {
    ENGINE_BUILTIN_BACKENDS /* set by CMake: the first is the platform's default */
};

const engine_backend *engine_backend_at(unsigned index) {
    return index < SL_ARRAY_COUNT(backends) ? backends[index] : NULL;
}

const engine_backend *engine_backend_find(const char *name) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(backends); i++) {
        if (name == NULL || strcmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

const char *engine_backend_name(const engine_backend *backend) {
    return backend->name;
}

bool engine_backend_is_threaded(const engine_backend *backend) {
    return backend->is_threaded;
}

const char *engine_kind_name(engine_kind kind) {
    static const char *const names[ENGINE_KIND_COUNT] = {
        "read",   "write",   "receive-from", "send-to", "half-close", "accept",
        "listen", "connect", "pair",         "resolve", "close",      "message",
    };
    return (unsigned)kind < ENGINE_KIND_COUNT ? names[kind] : "unknown";
}

/* The engine's own structure is charged to an account that lives inside it: made by hand. */
static engine *engine_allocate(const engine_backend *backend, sl_allocator *allocator) {
    engine *e = allocator->acquire(allocator, backend->ops->engine_size);
    if (e != NULL) {
        sl_account_init(&e->account, allocator, "engine", SIZE_MAX);
        e->ops = backend->ops;
    }
    return e;
}

static void engine_release(engine *e) {
    sl_allocator *allocator = e->account.source;
    size_t size_bytes = e->ops->engine_size;
    sl_account_deinit(&e->account);
    allocator->release(allocator, e, size_bytes);
}

int engine_create(const engine_backend *backend, const engine_options *options,
                  engine **ret_engine) {
    static const engine_options defaults;
    if (options == NULL) {
        options = &defaults;
    }
    engine *e = engine_allocate(backend, options->allocator != NULL ? options->allocator
                                                                    : sl_allocator_system());
    if (e == NULL) {
        return SLUICE_ENOMEM;
    }
    e->clock = options->clock != NULL ? options->clock : sl_clock_system();
    e->random = options->random != NULL ? options->random : sl_random_system();
    e->max_requests = options->max_requests != 0 ? options->max_requests : ENGINE_DEFAULT_REQUESTS;
    e->max_handles = options->max_handles != 0 ? options->max_handles : ENGINE_DEFAULT_HANDLES;
    e->may_fork = options->may_fork;
    e->given_up_max = options->given_up_max != 0 ? options->given_up_max : ENGINE_DEFAULT_GIVEN_UP;
    e->backend_options = options->backend_options;
    int status = e->ops->engine_open(e);
    if (status != SLUICE_OK) {
        engine_release(e);
        return status;
    }
    uint32_t openers =
        options->opener_threads != 0 ? options->opener_threads : ENGINE_DEFAULT_OPENERS;
    status = backend->is_threaded ? engine_opener_create(e, openers) : SLUICE_OK;
    if (status != SLUICE_OK) {
        e->ops->engine_close(e);
        engine_release(e);
        return status;
    }
    *ret_engine = e;
    return SLUICE_OK;
}

int engine_destroy(engine *e, uint64_t grace_ns) {
    if (e == NULL) {
        return SLUICE_OK;
    }
    if (atomic_load(&e->worker_count) != 0 || atomic_load(&e->endpoint_count) != 0) {
        return SLUICE_EBUSY;
    }
    if (e->opener != NULL && engine_opener_destroy(e, grace_ns) != SLUICE_OK) {
        return SLUICE_EABANDONED;
    }
    e->ops->engine_close(e);
    engine_release(e);
    return SLUICE_OK;
}

int engine_endpoint_create(engine *e, const engine_address *name,
                           const engine_listen_options *options, engine_endpoint **ret_endpoint,
                           const char **ret_detail) {
    static const engine_listen_options defaults;
    const char *detail = NULL;
    if (ret_detail == NULL) {
        ret_detail = &detail;
    }
    *ret_detail = NULL;
    if (options == NULL) {
        options = &defaults;
    }
    if (name->family != ENGINE_ADDRESS_PIPE) {
        return SLUICE_ENOTSUP;
    }
    if (!name->is_endpoint || engine_check_listen_options(options) != SLUICE_OK) {
        return SLUICE_EINVAL;
    }
    int status = SL_FAILPOINT(engine, endpoint);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_endpoint *endpoint = sl_account_alloc(&e->account, e->ops->endpoint_size);
    if (endpoint == NULL) {
        return SLUICE_ENOMEM;
    }
    endpoint->engine = e;
    endpoint->address = *name;
    status = e->ops->endpoint_create(endpoint, options, ret_detail);
    if (status != SLUICE_OK) {
        sl_account_free(&e->account, endpoint, e->ops->endpoint_size);
        return status;
    }
    atomic_fetch_add(&e->endpoint_count, 1);
    *ret_endpoint = endpoint;
    return SLUICE_OK;
}

int engine_endpoint_join(engine_endpoint *endpoint, engine_worker *worker,
                         engine_handle **ret_listener) {
    engine_check_owner(worker);
    SL_CHECK(endpoint->engine == worker->engine, "an endpoint's listeners are of its own engine");
    engine_handle *handle;
    int status = engine_handle_take(worker, &handle);
    if (status != SLUICE_OK) {
        return status;
    }
    /* Counted before the backend sees it: the endpoint cannot go away in between. */
    atomic_fetch_add(&endpoint->listener_count, 1);
    handle->endpoint = endpoint;
    status = worker->ops->endpoint_join(endpoint, worker, handle);
    if (status != SLUICE_OK) {
        engine_handle_discard(handle);
        return status;
    }
    *ret_listener = handle;
    return SLUICE_OK;
}

int engine_endpoint_destroy(engine_endpoint *endpoint) {
    if (endpoint == NULL) {
        return SLUICE_OK;
    }
    if (atomic_load(&endpoint->listener_count) != 0) {
        return SLUICE_EBUSY;
    }
    engine *e = endpoint->engine;
    e->ops->endpoint_destroy(endpoint);
    sl_account_free(&e->account, endpoint, e->ops->endpoint_size);
    atomic_fetch_sub(&e->endpoint_count, 1);
    return SLUICE_OK;
}
