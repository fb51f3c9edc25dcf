/*
 * opener_win.c - what has no asynchronous form on Windows, both halves of it: the worker's side of
 * a pipe connect and of an anonymous pair, and what an opener thread does.
 *
 * An opener thread calls CreateFileW, CreateNamedPipeW and GetAddrInfoW, and reads or writes
 * nothing: it never has I/O of its own in flight. The handles it makes are joined to no port yet;
 * they travel to the worker in the job, which owns them until on_opened() has taken them.
 *
 * A busy pipe is tried again by the worker's timer (engine_request_retry), because WaitNamedPipe
 * would hold a thread. A cancelled connect either abandons its job, whose late handle is closed on
 * the opener thread, or finds the answer already on its way and lets it be a success (R4).
 */
#include "engine/iocp.h"

#include <string.h>

#define PAIR_RANDOM_BYTES 16

/* What the writing end of a pair needs; CreateFileW itself adds SYNCHRONIZE and
 * FILE_READ_ATTRIBUTES [docs]. */
#define PAIR_WRITER_ACCESS (FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES | READ_CONTROL)

/* ---- on the worker's thread ---- */

static void close_handles(engine_opener_job *job) {
    for (unsigned i = 0; i < SL_ARRAY_COUNT(job->os_handles); i++) {
        if (job->os_handles[i] != 0) {
            (void)CloseHandle((HANDLE)job->os_handles[i]);
            job->os_handles[i] = 0;
        }
    }
}

/* Joins what was opened to the port. All or nothing. */
static DWORD take_handles(engine_opener_job *job) {
    static const unsigned pair[2] = {ENGINE_CAN_READ, ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE};
    engine_request *request = job->request;
    iocp_file *files[SL_ARRAY_COUNT(job->os_handles)] = {NULL};
    DWORD error = 0;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(job->os_handles) && error == 0; i++) {
        if (job->os_handles[i] != 0) {
            error = engine_iocp_join(request->worker, (HANDLE)job->os_handles[i], &files[i]);
        }
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(files) && error != 0; i++) {
        if (files[i] != NULL) {
            engine_iocp_leave(request->worker, files[i]);
        }
    }
    if (error != 0) {
        return error;
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(job->os_handles); i++) {
        if (job->os_handles[i] != 0) {
            bool is_pair = request->kind == ENGINE_PAIR;
            engine_iocp_pipe_opened(request->opening[i], (HANDLE)job->os_handles[i], files[i],
                                    is_pair ? pair[i] : ENGINE_CAN_READ | ENGINE_CAN_WRITE,
                                    is_pair ? IOCP_PEER_NONE : IOCP_PEER_SERVER);
            job->os_handles[i] = 0;
        }
    }
    return 0;
}

static void on_opened(engine_opener_job *job) {
    engine_request *request = job->request;
    int status = job->status;
    DWORD error = job->os_error;
    if (status == SLUICE_OK) {
        error = take_handles(job);
        /* The join's own memory is ours, not the system's. */
        status = error == ERROR_OUTOFMEMORY ? SLUICE_ENOMEM : engine_iocp_status(error);
        close_handles(job); /* after a success there are none left */
    }
    request->detail = job->detail;
    engine_opener_release(job);
    if (status == SLUICE_EBUSY && request->kind == ENGINE_CONNECT) {
        engine_request_retry(request); /* or ends it, if a cancel came meanwhile */
    } else {
        engine_request_finish(request, status, error, 0, 0);
    }
}

static engine_opener_job *take_job(iocp_request *r, engine_opener_kind kind) {
    engine_opener_job *job = engine_opener_take(&r->request, kind, on_opened);
    if (job == NULL) {
        engine_request_finish(&r->request, SLUICE_ENOMEM, 0, 0, 0);
    }
    return job;
}

void engine_iocp_pipe_connect_start(iocp_request *r) {
    WCHAR path[IOCP_PATH_CHARS];
    int status = engine_iocp_pipe_path(&r->request.address, path);
    if (status != SLUICE_OK) {
        r->request.detail = status == SLUICE_EACCESS ? ENGINE_DETAIL_ENDPOINT : NULL;
        engine_request_finish(&r->request, status, 0, 0, 0);
        return;
    }
    engine_opener_job *job = take_job(r, ENGINE_OPENER_CONNECT);
    if (job != NULL) {
        job->pipe = r->request.address;
        engine_opener_submit(job);
    }
}

static char *append_hex(char *to, const uint8_t *bytes, size_t count) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    return to;
}

/* The name is drawn here because the engine's source of randomness may be of one thread only. */
void engine_iocp_pair_start(iocp_request *r) {
    static const char prefix[] = "\\\\.\\pipe\\sluice-pair-";
    engine_opener_job *job = take_job(r, ENGINE_OPENER_PAIR);
    if (job == NULL) {
        return;
    }
    uint8_t random[PAIR_RANDOM_BYTES];
    DWORD process = GetCurrentProcessId();
    sl_random *source = r->request.worker->engine->random;
    source->fill(source, random, sizeof(random));
    job->pipe = (engine_address){.family = ENGINE_ADDRESS_PIPE};
    memcpy(job->pipe.pipe, prefix, sizeof(prefix));
    char *end =
        append_hex(job->pipe.pipe + sizeof(prefix) - 1, (uint8_t *)&process, sizeof(process));
    *end++ = '-';
    end = append_hex(end, random, sizeof(random));
    *end = '\0';
    engine_opener_submit(job);
}

/* The name of an interface is looked up with the address: GetAddrInfoW knows it. */
uint32_t engine_opener_os_interface(const char *name) {
    (void)name;
    return 0;
}

/* ---- on an opener thread ---- */

/* Identification: the server may learn who we are and may not act as us
 * [docs; rust-lang/rust#42036]. Sharing means nothing for a pipe's client end. */
static HANDLE open_client(const WCHAR *path, DWORD access) {
    return CreateFileW(path, access, 0, NULL, OPEN_EXISTING,
                       FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
                       NULL);
}

static void fail_job(engine_opener_job *job) {
    job->os_error = GetLastError();
    job->status = engine_iocp_status(job->os_error);
    if (job->status == SLUICE_OK) {
        job->status = SLUICE_EOS;
    }
    close_handles(job);
}

static void run_pipe(engine_opener_job *job) {
    WCHAR path[IOCP_PATH_CHARS];
    job->status = engine_iocp_pipe_path(&job->pipe, path);
    if (job->status != SLUICE_OK) {
        return;
    }
    HANDLE pipe = open_client(path, IOCP_PIPE_CLIENT_ACCESS);
    if (pipe == INVALID_HANDLE_VALUE) {
        fail_job(job);
        job->detail = job->status == SLUICE_ENOTFOUND ? ENGINE_DETAIL_NO_PIPE : NULL;
        return;
    }
    if (job->behalf.rights != NULL &&
        !engine_iocp_rights_permit(job->behalf.rights, pipe, IOCP_PIPE_CLIENT_ACCESS)) {
        (void)CloseHandle(pipe); /* before a byte */
        job->status = SLUICE_EACCESS;
        job->detail = ENGINE_DETAIL_RIGHTS;
        return;
    }
    job->os_handles[0] = (uintptr_t)pipe;
}

/* Nobody named this pipe: that a name is taken, busy or gone says nothing to who asked for it. */
static void fail_pair(engine_opener_job *job) {
    fail_job(job);
    job->status = job->status == SLUICE_EOSLIMIT ? SLUICE_EOSLIMIT : SLUICE_EOS;
}

/*
 * One instance that only this user may open, under a name that nobody can guess; our own open takes
 * it. Should another process of this user win that race, ours meets ERROR_PIPE_BUSY and the pair
 * fails: it is never shared. No ConnectNamedPipe: an instance is born listening and our client
 * connects it [src cygwin, .NET].
 */
static void run_pair(engine_opener_job *job) {
    WCHAR path[IOCP_PATH_CHARS];
    iocp_engine *e = SL_CONTAINER_OF(job->engine, iocp_engine, engine);
    job->status = engine_iocp_pipe_path(&job->pipe, path);
    if (job->status != SLUICE_OK) {
        job->status = job->status == SLUICE_EOSLIMIT ? SLUICE_EOSLIMIT : SLUICE_EOS;
        return;
    }
    HANDLE reader = engine_iocp_pipe_create(path, e->private_access,
                                            PIPE_ACCESS_INBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE, 1);
    if (reader == INVALID_HANDLE_VALUE) {
        fail_pair(job);
        return;
    }
    job->os_handles[0] = (uintptr_t)reader;
    HANDLE writer = open_client(path, PAIR_WRITER_ACCESS);
    if (writer == INVALID_HANDLE_VALUE) {
        fail_pair(job);
        return;
    }
    job->os_handles[1] = (uintptr_t)writer;
}

static void run_resolve(engine_opener_job *job) {
    WCHAR host[ENGINE_HOST_BYTES];
    ADDRINFOW hints;
    ADDRINFOW *list = NULL;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM; /* each address once */
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, job->name, -1, host,
                            ENGINE_HOST_BYTES) <= 0) {
        job->status = SLUICE_EINVAL;
        return;
    }
    job->os_error = (uint32_t)GetAddrInfoW(host, NULL, &hints, &list);
    if (job->os_error != 0) {
        job->status = engine_iocp_status(job->os_error);
        job->detail = job->status == SLUICE_ENOTFOUND ? ENGINE_DETAIL_NO_HOST : NULL;
        return;
    }
    for (ADDRINFOW *it = list; it != NULL && job->address_count < ENGINE_RESOLVE_MAX;
         it = it->ai_next) {
        engine_address *address = &job->addresses[job->address_count];
        engine_iocp_from_sockaddr(it->ai_addr, address);
        if (address->family != ENGINE_ADDRESS_NONE) {
            address->port = job->port;
            job->address_count++;
        }
    }
    FreeAddrInfoW(list);
    job->status = job->address_count > 0 ? SLUICE_OK : SLUICE_ENOTFOUND;
}

void engine_opener_os_run(engine_opener_job *job) {
    switch (job->kind) {
    case ENGINE_OPENER_CONNECT: run_pipe(job); break;
    case ENGINE_OPENER_PAIR: run_pair(job); break;
    case ENGINE_OPENER_RESOLVE: run_resolve(job); break;
    case ENGINE_OPENER_LISTEN:
    case ENGINE_OPENER_DROP: SL_CHECK(false, "a pipe is listened on without an opener here");
    }
}

void engine_opener_os_dispose(engine_opener_job *job) {
    close_handles(job);
}

/* The pool calls this again and again until the thread has left: CancelSynchronousIo may come too
 * early, hit the next call, or say TRUE and cancel nothing [docs; msys2-runtime#77]. */
void engine_opener_os_interrupt(sl_thread *thread) {
    (void)CancelSynchronousIo((HANDLE)(uintptr_t)thread->os_handle[0]);
}
