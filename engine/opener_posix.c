/*
 * opener_posix.c - what may wait on Linux, both halves of it: the worker's side of listening on a
 * path and of connecting to one, and what an opener thread does: that (epoll_path.c), and looking
 * up names.
 *
 * A name lives in the job that took it. A listener keeps that job and holds its handle; its close
 * sends the job back to have the name given up, and goes on when it is.
 */
#include "engine/epoll.h"

#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>

#define ACCESS_DEFAULT 0600u /* this user only */

/* ---- on the worker's thread ----------------------------------------------------------------- */

static int parse_access(const char *access, mode_t *ret_mode) {
    if (access == NULL) {
        *ret_mode = ACCESS_DEFAULT;
        return SLUICE_OK;
    }
    size_t length = strlen(access);
    if (length == 0 || length > 4 || strspn(access, "01234567") != length) {
        return SLUICE_EINVAL;
    }
    unsigned mode = 0;
    for (size_t i = 0; i < length; i++) {
        mode = mode * 8 + (unsigned)(access[i] - '0');
    }
    if (mode > 0777) {
        return SLUICE_EINVAL;
    }
    *ret_mode = mode;
    return SLUICE_OK;
}

int engine_epoll_name_init(engine_epoll_name *name, const engine_address *address,
                           const engine_listen_options *options) {
    struct sockaddr_storage storage;
    socklen_t length;
    name->fd = -1;
    name->lock.fd = -1;
    name->may_fork = false;
    int status = engine_epoll_sockaddr(address, &storage, &length);
    if (status == SLUICE_OK && options != NULL) {
        status = parse_access(options->access, &name->mode);
        /* Cut to net.core.somaxconn: listen(2). */
        name->backlog = options->backlog != 0 ? options->backlog : ENGINE_BACKLOG_DEFAULT;
    }
    if (status != SLUICE_OK) {
        return status;
    }
    memcpy(name->path, ((struct sockaddr_un *)&storage)->sun_path, sizeof(name->path));
    name->is_endpoint = options != NULL && address->is_endpoint;
    return name->is_endpoint ? engine_epoll_mark((struct sockaddr_un *)&storage, &length)
                             : SLUICE_OK;
}

/* Makes it the handle's, if it is what was asked for; or closes it. */
static int take_connected(engine_request *request, engine_epoll_name *name, int *ret_error) {
    int fd = name->fd;
    int status =
        engine_epoll_check_mark(fd, request->address.is_endpoint, &request->detail, ret_error);
    if (status == SLUICE_OK) {
        *ret_error = engine_epoll_adopt(engine_epoll_worker_of(request->worker),
                                        request->opening[0], fd, false);
        status = *ret_error == 0 ? SLUICE_OK : engine_epoll_status(*ret_error);
    }
    if (status != SLUICE_OK) {
        engine_epoll_name_disconnect(name);
    }
    return status;
}

static void on_connected(engine_opener_job *job) {
    engine_request *request = job->request;
    int status = job->status;
    int error = (int)job->os_error;
    if (status == SLUICE_OK) {
        status = take_connected(request, engine_epoll_name_of(job), &error);
    } else {
        request->detail = job->detail;
    }
    engine_opener_release(job);
    if (status == SLUICE_EBUSY) {
        engine_request_retry(request); /* or ends it, if a cancel came meanwhile */
    } else {
        engine_request_finish(request, status, (uint32_t)error, 0, 0);
    }
}

/* The path is taken: now to listen on it. Else it goes back. */
static void on_listening(engine_opener_job *job) {
    engine_request *request = job->request;
    int status = job->status;
    int error = (int)job->os_error;
    if (status != SLUICE_OK) {
        request->detail = job->detail;
        engine_opener_release(job);
        engine_request_finish(request, status, (uint32_t)error, 0, 0);
        return;
    }
    engine_handle *handle = request->opening[0];
    engine_epoll_handle *self = engine_epoll_handle_of(handle);
    engine_epoll_handle_init(self, ENGINE_EPOLL_LISTENER, engine_epoll_name_of(job)->fd);
    error = engine_epoll_register(engine_epoll_worker_of(request->worker), self, false);
    engine_opener_keep(job);
    if (error != 0) {
        self->fd = -1;
        engine_opener_drop_alone(job);
        engine_request_finish(request, engine_epoll_status(error), (uint32_t)error, 0, 0);
        return;
    }
    self->name = job;
    engine_handle_opened(handle, ENGINE_CAN_ACCEPT, 1);
    engine_handle_hold(handle);
    engine_request_finish(request, SLUICE_OK, 0, 0, 0);
}

void engine_epoll_path_start(engine_request *request) {
    bool is_listen = request->kind == ENGINE_LISTEN;
    engine_opener_job *job =
        engine_opener_take(request, is_listen ? ENGINE_OPENER_LISTEN : ENGINE_OPENER_CONNECT,
                           is_listen ? on_listening : on_connected);
    if (job == NULL) {
        engine_request_finish(request, SLUICE_ENOMEM, 0, 0, 0);
        return;
    }
    int status = engine_epoll_name_init(engine_epoll_name_of(job), &request->address,
                                        is_listen ? &request->listen : NULL);
    if (status == SLUICE_OK) {
        engine_epoll_name_of(job)->may_fork = request->worker->engine->may_fork;
        engine_opener_submit(job);
    } else {
        engine_opener_release(job);
        engine_request_finish(request, status, 0, 0, 0);
    }
}

static void on_dropped(engine_opener_job *job) {
    engine_handle_unhold(job->handle);
}

/* A path is given up before its socket is closed: until then the number of its file is no other
 * file's, and what is removed is ours. */
void engine_epoll_closing(engine_worker *worker, engine_handle *handle) {
    engine_opener_job *name = engine_epoll_handle_of(handle)->name;
    (void)worker;
    if (name != NULL) {
        engine_epoll_name_of(name)->fd = -1; /* the handle's, until it is released */
        engine_opener_drop(name, handle, on_dropped);
    }
}

void engine_epoll_path_release(engine_epoll_handle *self) {
    if (self->name != NULL) {
        engine_opener_release(self->name);
        self->name = NULL;
    }
}

/* An interface's number, asked of the kernel. */
uint32_t engine_opener_os_interface(const char *name) {
    return if_nametoindex(name);
}

/* ---- on an opener thread: look-ups ---------------------------------------------------------- */

/* getaddrinfo(3) has error numbers of its own, and no raw code is one of them: what they say is put
 * into words. */
static const char *words_of(int error) {
    switch (error) {
    case EAI_NONAME: return ENGINE_DETAIL_NO_HOST;
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return "the host has no address";
    case EAI_FAIL: return "the name server refuses to answer";
    case EAI_AGAIN: return "no name server answers";
    default: return NULL;
    }
}

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

static void run_resolve(engine_opener_job *job) {
    struct addrinfo hints;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM; /* each address once */
    struct addrinfo *list = NULL;
    int error = getaddrinfo(job->name, NULL, &hints, &list);
    job->status = status_of(error);
    job->os_error = error == EAI_SYSTEM ? (uint32_t)errno : 0;
    job->detail = words_of(error);
    for (struct addrinfo *it = list; it != NULL && job->address_count < ENGINE_RESOLVE_MAX;
         it = it->ai_next) {
        add_address(job, it->ai_addr);
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
    if (job->status == SLUICE_OK && job->address_count == 0) {
        job->status = SLUICE_ENOTFOUND;
        job->detail = words_of(EAI_NODATA);
    }
}

/* ---- on an opener thread: all --------------------------------------------------------------- */

void engine_opener_os_run(engine_opener_job *job) {
    engine_epoll_name *name = engine_epoll_name_of(job);
    int error = 0;
    switch (job->kind) {
    case ENGINE_OPENER_RESOLVE: run_resolve(job); return;
    case ENGINE_OPENER_CONNECT:
        job->status = engine_epoll_name_connect(name, &job->behalf, &job->detail, &error);
        break;
    case ENGINE_OPENER_LISTEN:
        job->status = engine_epoll_name_take(name, &job->behalf, &job->detail, &error);
        break;
    case ENGINE_OPENER_DROP: engine_epoll_name_drop(name); break;
    case ENGINE_OPENER_PAIR: SL_CHECK(false, "a pair takes no opener here");
    }
    job->os_error = (uint32_t)error;
}

void engine_opener_os_dispose(engine_opener_job *job) {
    engine_epoll_name *name = engine_epoll_name_of(job);
    if (job->status != SLUICE_OK || name->fd < 0) {
        return; /* nothing was opened; or addresses only */
    }
    if (job->kind == ENGINE_OPENER_LISTEN) {
        engine_epoll_name_drop(name);
    } else if (job->kind == ENGINE_OPENER_CONNECT) {
        engine_epoll_name_disconnect(name);
    }
}

void engine_opener_os_interrupt(sl_thread *thread) {
    (void)thread; /* getaddrinfo gives up by itself (resolv.conf(5): timeout), and what waits for a
                     file system mostly takes no signals */
}
