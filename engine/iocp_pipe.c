/*
 * iocp_pipe.c - named pipes, server side: names, who may connect, listeners, endpoints.
 *
 * A listener keeps `backlog` pipe instances, each with a standing ConnectNamedPipe of the
 * listener's own (iocp_listener.h). A client takes whichever listening instance the kernel picks,
 * so all of them have to be armed, not just as many as there are accepts: an accept that waited at
 * one instance would miss the client at another.
 *
 * Endpoints: every worker that joins has instances of its own on its own port. The kernel serves
 * listening instances in the order in which they were made [ReactOS npfs, Wine 8 server], so
 * clients go round the workers in runs of one worker's instances: few instances spread more evenly.
 */
#include "engine/iocp_listener.h"

#include <sddl.h>
#include <string.h>
#include <wchar.h>

/* ---- who may connect ---- */

static bool sid_text(engine_identity *user, WCHAR ret_text[IOCP_SID_CHARS]) {
    WCHAR *text = NULL;
    if (!ConvertSidToStringSidW((PSID)user->bytes, &text)) {
        return false;
    }
    bool fits = wcslen(text) < IOCP_SID_CHARS;
    if (fits) {
        wcscpy(ret_text, text);
    }
    (void)LocalFree(text);
    return fits;
}

static int read_own_sid(iocp_engine *e) {
    HANDLE token;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        return SLUICE_EOS;
    }
    bool is_known = engine_iocp_token_user(token, &e->own) &&
                    engine_iocp_own_standing(token, &e->own, &e->standing);
    (void)CloseHandle(token);
    return is_known && sid_text(&e->own, e->own_sid) ? SLUICE_OK : SLUICE_EOS;
}

/* The first place outside all parentheses where `tag` and a colon stand, or the end. */
static const WCHAR *find_section(const WCHAR *sddl, WCHAR tag) {
    int depth = 0;
    for (; *sddl != 0; sddl++) {
        depth += *sddl == L'(' ? 1 : *sddl == L')' ? -1 : 0;
        if (depth == 0 && sddl[0] == tag && sddl[1] == L':') {
            break;
        }
    }
    return sddl;
}

/*
 * The descriptor of a pipe: what `sddl` grants, and before it one entry for this process's user.
 *
 * A server asks for GENERIC_READ|GENERIC_WRITE when it makes a further instance, and the descriptor
 * of the first one decides [docs: CreateNamedPipe]. GENERIC_WRITE includes
 * FILE_CREATE_PIPE_INSTANCE (0x4), which clients must not have. So the server's user gets 0x12019F,
 * and an SDDL for clients should say 0x12019B. Where clients and server are the same user (NULL:
 * "this user only") the two cannot be told apart by an entry; such a client could open our process
 * as well. The engine adds its own entry so that no caller can forget it and be left with a
 * listener that serves `backlog` clients and no more. A NULL DACL (everybody) is refused.
 *
 * The owner is this process's user, so that clients see whose pipe it is (iocp_identity.c): the
 * default of an administrator's token would be the group of administrators.
 */
static int make_access(const iocp_engine *e, const WCHAR *sddl, PSECURITY_DESCRIPTOR *ret_access) {
    WCHAR text[IOCP_ACCESS_CHARS + 2 * IOCP_SID_CHARS + 32];
    PSECURITY_DESCRIPTOR access = NULL;
    BOOL is_present = FALSE;
    BOOL is_default = FALSE;
    ACL *dacl = NULL;
    const WCHAR *place = find_section(sddl, L'D');
    if (*place == 0) {
        return SLUICE_EINVAL;
    }
    const WCHAR *end = find_section(place, L'S');
    while (place < end && *place != L'(') {
        place++;
    }
    text[0] = 0;
    if (*find_section(sddl, L'O') == 0) {
        wcscat(text, L"O:");
        wcscat(text, e->own_sid);
    }
    wcsncat(text, sddl, (size_t)(place - sddl));
    if (wcsstr(text, L"NO_ACCESS_CONTROL") != NULL) {
        return SLUICE_EINVAL;
    }
    wcscat(text, L"(A;;0x12019f;;;");
    wcscat(text, e->own_sid);
    wcscat(text, L")");
    wcscat(text, place);
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &access,
                                                              NULL)) {
        return GetLastError() == ERROR_NOT_ENOUGH_MEMORY ? SLUICE_EOSLIMIT : SLUICE_EINVAL;
    }
    if (!GetSecurityDescriptorDacl(access, &is_present, &dacl, &is_default) || !is_present ||
        dacl == NULL) {
        (void)LocalFree(access);
        return SLUICE_EINVAL;
    }
    *ret_access = access;
    return SLUICE_OK;
}

/* On behalf of another user: that user may connect, too; and make no instance. */
static int make_access_for(const iocp_engine *e, const engine_rights *rights,
                           PSECURITY_DESCRIPTOR *ret_access) {
    WCHAR sddl[IOCP_SID_CHARS + 32];
    WCHAR text[IOCP_SID_CHARS];
    engine_identity user;
    if (!engine_iocp_rights_user(rights, &user) || !sid_text(&user, text)) {
        return SLUICE_EOS;
    }
    wcscpy(sddl, L"D:P(A;;0x12019b;;;");
    wcscat(sddl, text);
    wcscat(sddl, L")");
    int status = make_access(e, sddl, ret_access);
    return status == SLUICE_EINVAL ? SLUICE_EOS : status;
}

int engine_iocp_access_open(iocp_engine *e) {
    int status = read_own_sid(e);
    if (status == SLUICE_OK) {
        status = make_access(e, L"D:P", &e->private_access);
    }
    return status == SLUICE_EINVAL ? SLUICE_EOS : status;
}

void engine_iocp_access_close(iocp_engine *e) {
    (void)LocalFree(e->private_access);
    e->private_access = NULL;
}

/* ---- pipes ---- */

HANDLE engine_iocp_pipe_create(const WCHAR *path, PSECURITY_DESCRIPTOR access, DWORD open_mode,
                               DWORD instances_max) {
    SECURITY_ATTRIBUTES attributes = {
        .nLength = sizeof(attributes),
        .lpSecurityDescriptor = access,
        .bInheritHandle = FALSE,
    };
    SL_CHECK(access != NULL, "a pipe is never made with the default security");
    return CreateNamedPipeW(
        path, open_mode | FILE_FLAG_OVERLAPPED,
        PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, instances_max,
        IOCP_PIPE_QUOTA_BYTES, IOCP_PIPE_QUOTA_BYTES, 0, &attributes);
}

void engine_iocp_pipe_opened(engine_handle *handle, HANDLE pipe, iocp_file *file,
                             unsigned capabilities, iocp_peer peer) {
    iocp_handle *h = engine_iocp_handle(handle);
    h->type = IOCP_PIPE;
    h->peer = peer;
    h->os = pipe;
    h->file = file;
    h->listener = NULL;
    engine_handle_opened(handle, capabilities, 1);
}

static int name_init(iocp_name *name, iocp_engine *e, const engine_address *pipe,
                     const char *access, const engine_rights *rights) {
    int status = engine_iocp_pipe_path(pipe, name->path);
    if (status != SLUICE_OK) {
        return status;
    }
    name->access = e->private_access;
    if (access == NULL) {
        return rights == NULL ? SLUICE_OK : make_access_for(e, rights, &name->access);
    }
    WCHAR sddl[IOCP_ACCESS_CHARS];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, access, -1, sddl, IOCP_ACCESS_CHARS) <=
        0) {
        return SLUICE_EINVAL;
    }
    return make_access(e, sddl, &name->access);
}

static void name_deinit(iocp_name *name, const iocp_engine *e) {
    if (name->access != e->private_access) {
        (void)LocalFree(name->access);
    }
    name->access = NULL;
}

static HANDLE create_instance(const iocp_name *name, DWORD flags) {
    return engine_iocp_pipe_create(name->path, name->access, PIPE_ACCESS_DUPLEX | flags,
                                   PIPE_UNLIMITED_INSTANCES);
}

/* Creates the instance that takes the name. (Wine 8 ignores FILE_FLAG_FIRST_PIPE_INSTANCE,
 * measured: a name is never taken there.) */
static int take_name(const iocp_name *name, HANDLE *ret_pipe, uint32_t *ret_error) {
    HANDLE pipe = create_instance(name, FILE_FLAG_FIRST_PIPE_INSTANCE);
    *ret_error = pipe != INVALID_HANDLE_VALUE ? 0 : GetLastError();
    if (pipe != INVALID_HANDLE_VALUE) {
        *ret_pipe = pipe;
        return SLUICE_OK;
    }
    /* ACCESS_DENIED: there are instances; PIPE_BUSY: and no more are allowed [docs]. */
    return *ret_error == ERROR_ACCESS_DENIED || *ret_error == ERROR_PIPE_BUSY
               ? SLUICE_ENAMETAKEN
               : engine_iocp_status(*ret_error);
}

/* ---- listeners ---- */

/* Takes the pipe, whatever happens. */
static DWORD instance_join(iocp_instance *instance, HANDLE pipe) {
    DWORD error = engine_iocp_join(instance->listener->owner->handle.worker, pipe, &instance->file);
    if (error != 0) {
        (void)CloseHandle(pipe);
        return error;
    }
    instance->os = pipe;
    instance->target = pipe;
    return 0;
}

static DWORD instance_open(iocp_instance *instance) {
    HANDLE pipe = create_instance(instance->listener->name, 0);
    return pipe != INVALID_HANDLE_VALUE ? instance_join(instance, pipe) : GetLastError();
}

static DWORD instance_wait(iocp_instance *instance, void (*on_packet)(iocp_op *op, DWORD bytes)) {
    DWORD error = 0;
    engine_iocp_op_begin(&instance->op, instance->file, on_packet);
    if (!ConnectNamedPipe(instance->os, &instance->op.overlapped)) {
        error = GetLastError();
    }
    if (engine_iocp_op_accepted(&instance->op, error)) {
        return 0;
    }
    /* A client that came and left: what it wrote can still be read. */
    return error == ERROR_NO_DATA ? ERROR_PIPE_CONNECTED : error;
}

static bool instance_is_client(DWORD code) {
    return code == 0 || engine_iocp_status(code) == SLUICE_EBROKENPIPE; /* as in instance_wait */
}

static DWORD instance_give(iocp_instance *instance, engine_handle *handle) {
    engine_iocp_pipe_opened(handle, instance->os, instance->file,
                            ENGINE_CAN_READ | ENGINE_CAN_WRITE, IOCP_PEER_CLIENT);
    return 0;
}

static void instance_close(iocp_instance *instance) {
    (void)CloseHandle(instance->os);
    engine_iocp_leave(instance->listener->owner->handle.worker, instance->file);
}

static void deinit(iocp_listener *listener) {
    if (listener->name == &listener->own_name) {
        name_deinit(&listener->own_name, engine_iocp_engine(listener->owner->handle.worker));
    }
}

static const iocp_listener_ops ops = {
    .type = IOCP_PIPE_LISTENER,
    .is_eager = true,
    .open = instance_open,
    .wait = instance_wait,
    .is_client = instance_is_client,
    .give = instance_give,
    .close = instance_close,
    .deinit = deinit,
};

/* With its first instance (or NULL) to a working listener, or destroys it. */
static int listener_open(iocp_listener *listener, HANDLE first) {
    iocp_handle *h = listener->owner;
    if (first != NULL) {
        listener->last_error = instance_join(&listener->instances[0], first);
        if (listener->last_error == 0) {
            engine_iocp_instance_arm(&listener->instances[0]);
        }
    }
    engine_iocp_listener_refill(listener);
    if (listener->in_kernel_count == 0 && sl_list_is_empty(&listener->connected)) {
        int status = engine_iocp_join_failed(h->handle.worker, listener->last_error);
        engine_iocp_listener_destroy(listener);
        return status;
    }
    engine_iocp_listener_opened(listener);
    return SLUICE_OK;
}

static unsigned instance_count_of(const engine_listen_options *options, unsigned standard) {
    if (options->backlog == 0) {
        return standard;
    }
    return options->backlog < ENGINE_PIPE_BACKLOG_MAX ? options->backlog : ENGINE_PIPE_BACKLOG_MAX;
}

int engine_iocp_pipe_listen(engine_worker *worker, iocp_handle *h, const engine_address *address,
                            const engine_listen_options *options, const engine_rights *rights) {
    iocp_engine *e = engine_iocp_engine(worker);
    HANDLE first = NULL;
    iocp_listener *listener = engine_iocp_listener_create(
        h, &ops, instance_count_of(options, ENGINE_PIPE_BACKLOG_DEFAULT));
    if (listener == NULL) {
        return SLUICE_ENOMEM;
    }
    listener->name = &listener->own_name;
    int status = name_init(&listener->own_name, e, address, options->access, rights);
    worker->detail = status == SLUICE_EACCESS ? ENGINE_DETAIL_ENDPOINT : NULL;
    if (status == SLUICE_OK) {
        status = take_name(listener->name, &first, &worker->os_error);
    }
    if (status != SLUICE_OK) {
        engine_iocp_listener_destroy(listener);
        return status;
    }
    return listener_open(listener, first);
}

/* ---- endpoints ---- */

/* The first instance holds the name from here on; it joins the port of the first worker. Once all
 * listeners of an endpoint are closed nothing holds the name until the next join. */
int engine_iocp_endpoint_create(engine_endpoint *base, const engine_listen_options *options,
                                const char **ret_detail) {
    (void)ret_detail;
    iocp_endpoint *endpoint = SL_CONTAINER_OF(base, iocp_endpoint, endpoint);
    iocp_engine *e = SL_CONTAINER_OF(base->engine, iocp_engine, engine);
    int status = name_init(&endpoint->name, e, &base->address, options->access, NULL);
    if (status != SLUICE_OK) {
        return status;
    }
    endpoint->instances = instance_count_of(options, IOCP_ENDPOINT_INSTANCES);
    HANDLE first = NULL;
    uint32_t error;
    status = take_name(&endpoint->name, &first, &error);
    if (status != SLUICE_OK) {
        name_deinit(&endpoint->name, e);
        return status;
    }
    atomic_init(&endpoint->first, first);
    return SLUICE_OK;
}

void engine_iocp_endpoint_destroy(engine_endpoint *base) {
    iocp_endpoint *endpoint = SL_CONTAINER_OF(base, iocp_endpoint, endpoint);
    HANDLE first = atomic_exchange(&endpoint->first, NULL);
    if (first != NULL) {
        (void)CloseHandle(first);
    }
    name_deinit(&endpoint->name, SL_CONTAINER_OF(base->engine, iocp_engine, engine));
}

int engine_iocp_endpoint_join(engine_endpoint *base, engine_worker *worker, engine_handle *handle) {
    iocp_endpoint *endpoint = SL_CONTAINER_OF(base, iocp_endpoint, endpoint);
    HANDLE first = atomic_exchange(&endpoint->first, NULL);
    if (first == NULL && atomic_load(&base->listener_count) == 1) { /* only us, counted already */
        /* Nothing held the name: an instance that is not the first might be one of a squatter's. */
        int status = take_name(&endpoint->name, &first, &worker->os_error);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    iocp_listener *listener =
        engine_iocp_listener_create(engine_iocp_handle(handle), &ops, endpoint->instances);
    if (listener == NULL) {
        if (first != NULL) {
            (void)CloseHandle(first);
        }
        return SLUICE_ENOMEM;
    }
    listener->name = &endpoint->name;
    return listener_open(listener, first);
}
