/*
 * sockets.c - the listening sockets of one TCP listener: which of its addresses, with which port.
 *
 * The same for every backend; a backend opens and closes one socket at a time. All or nothing: what
 * engine_listen refuses leaves nothing bound.
 */
#include "engine/backend.h"

/* With port 0 and several addresses the system chooses a port for the first one, and somebody may
 * have it at another one. Ports are plenty: this is for bad luck, not for a full machine. */
#define PORT_TRIES 16

static bool is_repeated(const engine_address *addresses, unsigned index) {
    for (unsigned i = 0; i < index; i++) {
        if (engine_address_equal(&addresses[i], &addresses[index])) {
            return true;
        }
    }
    return false;
}

static bool has_ipv4(const engine_address *addresses, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (addresses[i].family == ENGINE_ADDRESS_IPV4) {
            return true;
        }
    }
    return false;
}

static void close_all(engine_worker *worker, const engine_sockets_ops *ops,
                      engine_sockets *sockets) {
    while (sockets->count > 0) {
        ops->close(worker, sockets->sockets[--sockets->count]);
    }
}

/* One more. *port: what the system has chosen so far, 0 = nothing. */
static int open_next(engine_worker *worker, const engine_sockets_ops *ops, engine_address address,
                     bool is_dual, unsigned backlog, uint16_t *port, engine_sockets *sockets) {
    uintptr_t opened;
    bool is_chosen = address.port == 0;
    if (is_chosen) {
        address.port = *port;
    }
    int status =
        ops->open(worker, &address, is_dual && engine_address_is_any(&address), backlog, &opened);
    if (status != SLUICE_OK) {
        return status;
    }
    sockets->families[sockets->count] = address.family;
    sockets->sockets[sockets->count++] = opened;
    return is_chosen && *port == 0 ? ops->port(worker, opened, port) : SLUICE_OK;
}

/* A host name's other addresses may be of a protocol that this machine does not have. */
static bool may_be_left_out(int status) {
    return status == SLUICE_EADDRNOTAVAIL || status == SLUICE_ENOTSUP;
}

static int open_all(engine_worker *worker, const engine_sockets_ops *ops,
                    const engine_address *addresses, unsigned count, unsigned backlog,
                    engine_sockets *sockets) {
    bool is_dual = !has_ipv4(addresses, count);
    uint16_t port = 0;
    int left_out = SLUICE_EINVAL; /* no address at all */
    for (unsigned i = 0; i < count; i++) {
        if (is_repeated(addresses, i)) {
            continue;
        }
        int status = open_next(worker, ops, addresses[i], is_dual, backlog, &port, sockets);
        if (may_be_left_out(status)) {
            left_out = status;
        } else if (status != SLUICE_OK) {
            return status;
        }
    }
    return sockets->count > 0 ? SLUICE_OK : left_out;
}

int engine_sockets_open(engine_worker *worker, const engine_sockets_ops *ops,
                        const engine_address *addresses, unsigned count,
                        const engine_listen_options *options, engine_sockets *ret_sockets) {
    unsigned backlog = options->backlog != 0 ? options->backlog : ENGINE_BACKLOG_DEFAULT;
    ret_sockets->count = 0;
    for (unsigned tries = 0;; tries++) {
        int status = open_all(worker, ops, addresses, count, backlog, ret_sockets);
        if (status == SLUICE_OK) {
            return SLUICE_OK;
        }
        /* EACCESS: on Windows another program has it alone [docs: SO_EXCLUSIVEADDRUSE]. */
        bool was_unlucky = (status == SLUICE_EADDRINUSE || status == SLUICE_EACCESS) &&
                           addresses[0].port == 0 && ret_sockets->count > 0;
        close_all(worker, ops, ret_sockets);
        if (!was_unlucky || tries + 1 == PORT_TRIES) {
            return status;
        }
    }
}

/* What the backend cannot say: it sees one address, and a port that may be chosen already. */
static int explain(engine_request *request, int status) {
    const engine_address *addresses = request->listen_addresses;
    if (status == SLUICE_EADDRINUSE && addresses[0].port == 0 &&
        addresses[0].family != ENGINE_ADDRESS_PIPE) {
        request->detail = ENGINE_DETAIL_NO_PORT;
        return SLUICE_EOSLIMIT; /* as of a connect */
    }
    for (unsigned i = 0; i < request->listen_count && status == SLUICE_EINVAL; i++) {
        if (engine_address_lacks_link(&addresses[i])) {
            request->detail = ENGINE_DETAIL_LINK;
        }
    }
    return status;
}

void engine_listen_start(engine_request *request) {
    engine_worker *w = request->worker;
    w->os_error = 0;
    w->detail = NULL;
    int status = w->ops->listen(w, request->opening[0], request->listen_addresses,
                                request->listen_count, &request->listen, request->behalf.rights);
    if (status != SLUICE_OK) {
        request->detail = w->detail;
        status = explain(request, status);
    }
    engine_request_finish(request, status, status != SLUICE_OK ? w->os_error : 0, 0, 0);
}
