/*
 * resolve.c - name look-up: an opener job on every real system, because getaddrinfo blocks; not
 * so an address in figures.
 *
 * The answer is kept in the job and copied to the caller's array on the worker's thread, so that a
 * look-up that was cancelled never writes to memory the caller has back (R3).
 */
#include <string.h>

#include "engine/opener.h"

/* No host's name has a %. NULL: nor has this one. */
static const char *explain_link(const char *host, uint16_t port) {
    engine_address address;
    char text[ENGINE_HOST_BYTES];
    size_t length = strcspn(host, "%");
    if (host[length] == '\0') {
        return NULL;
    }
    memcpy(text, host, length);
    text[length] = '\0';
    bool is_numeric = engine_numeric_address(text, port, &address);
    bool takes_link =
        is_numeric && address.family == ENGINE_ADDRESS_IPV6 && engine_is_of_one_link(address.ip);
    return takes_link ? ENGINE_DETAIL_NO_LINK : is_numeric ? ENGINE_DETAIL_TAKES_NO_LINK : NULL;
}

static void on_resolved(engine_opener_job *job) {
    engine_request *request = job->request;
    int status = job->status;
    uint32_t os_error = job->os_error;
    uint32_t count = job->address_count < request->address_capacity ? job->address_count
                                                                    : request->address_capacity;
    if (status == SLUICE_OK) {
        memcpy(request->ret_addresses, job->addresses, count * sizeof(job->addresses[0]));
        request->address_count = count;
    }
    const char *link = status == SLUICE_ENOTFOUND ? explain_link(job->name, job->port) : NULL;
    request->detail = link != NULL ? link : job->detail;
    engine_opener_release(job);
    engine_request_finish(request, status, os_error, 0, 0);
}

void engine_resolve_start(engine_request *request) {
    if (engine_numeric_address(request->host, request->port, &request->ret_addresses[0])) {
        request->address_count = 1;
        engine_request_finish(request, SLUICE_OK, 0, 0, 0);
        return;
    }
    engine_opener_job *job = engine_opener_take(request, ENGINE_OPENER_RESOLVE, on_resolved);
    if (job == NULL) {
        engine_request_finish(request, SLUICE_ENOMEM, 0, 0, 0);
        return;
    }
    memcpy(job->name, request->host, sizeof(job->name));
    job->port = request->port;
    job->detail = NULL;
    engine_opener_submit(job);
}
