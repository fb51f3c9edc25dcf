/*
 * opener_posix.c - what an opener thread does on Linux: look up names. (Pipes open without blocking
 * here.)
 */
#include "engine/opener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* getaddrinfo(3) has its own error numbers; they are negative and fit the raw code as they are. */
static int status_of(int error) {
    switch (error) {
    case 0: return SLUICE_OK;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_FAIL: return SLUICE_ENOTFOUND;
    case EAI_AGAIN: return SLUICE_EUNREACHABLE; /* the name server did not answer */
    case EAI_MEMORY: return SLUICE_ENOMEM;
    default: return SLUICE_EOS;
    }
}

static void add_address(engine_opener_job *job, const struct sockaddr *from) {
    engine_address *to = &job->addresses[job->address_count];
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        engine_address_ipv4(to, (const uint8_t *)&v4->sin_addr, job->port);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        engine_address_ipv6(to, v6->sin6_addr.s6_addr, v6->sin6_scope_id, job->port);
    } else {
        return;
    }
    job->address_count++;
}

void engine_opener_os_run(engine_opener_job *job) {
    if (job->kind != ENGINE_OPENER_RESOLVE) {
        job->status = SLUICE_ENOTSUP;
        return;
    }
    struct addrinfo hints;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM; /* each address once */
    struct addrinfo *list = NULL;
    int error = getaddrinfo(job->name, NULL, &hints, &list);
    job->status = status_of(error);
    job->os_error = (uint32_t)error;
    for (struct addrinfo *it = list; it != NULL && job->address_count < ENGINE_RESOLVE_MAX;
         it = it->ai_next) {
        add_address(job, it->ai_addr);
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
    if (job->status == SLUICE_OK && job->address_count == 0) {
        job->status = SLUICE_ENOTFOUND;
    }
}

void engine_opener_os_dispose(engine_opener_job *job) {
    (void)job; /* an answer here is addresses only */
}

void engine_opener_os_interrupt(sl_thread *thread) {
    (void)thread; /* getaddrinfo cannot be interrupted; it gives up by itself (resolv.conf(5):
                     timeout) */
}
