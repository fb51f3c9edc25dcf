/*
 * iocp.c - the Windows backend: engines, workers, the completion port.
 *
 * Each worker has a completion port of its own, with concurrency 1; only the worker's thread issues
 * operations on the handles joined to it, cancels them, takes packets from the port and closes the
 * handles (I1). So CancelIoEx always runs on the issuing thread and needs no APC, and I/O on a
 * handle with a port and without an event hangs on the file object, not on a thread
 * (WINDOWS-IO.md: that is the hang this product exists to avoid).
 *
 * A packet is the only end of an operation the kernel has taken (I3): no result of CancelIoEx, no
 * peeking is one. Skip-on-success is not used, so every accepted call brings exactly one packet.
 * A message for a sleeping worker is a packet with a key of its own. Any other packet has to be one
 * of an operation that we have begun: the port rule, iocp.h.
 */
#include "engine/iocp.h"

#include <string.h>

#define PACKETS_PER_WAIT 128
#define WAIT_MS_MAX      0x7ffffffeu

#define KEY_WAKE 0 /* no slot's id */

/* Each handle has a file; a listener has one for each of its instances or sockets instead. */
#define FILES_PER_HANDLE (ENGINE_PIPE_BACKLOG_MAX + ENGINE_LISTEN_ADDRESSES_MAX)
#define FILES_MAX        0x7fffffffu /* sl_slots */

/* ---- operations ---- */

void engine_iocp_op_begin(iocp_op *op, iocp_file *file,
                          void (*on_packet)(iocp_op *op, DWORD bytes)) {
    SL_CHECK(!op->in_kernel, "an OVERLAPPED is not reused before its packet was dequeued");
    memset(&op->overlapped, 0, sizeof(op->overlapped));
    op->on_packet = on_packet;
    op->in_kernel = true;
    sl_list_init(&op->link);
    sl_list_push_back(&file->ops, &op->link);
}

static void op_end(iocp_op *op) {
    op->in_kernel = false;
    sl_list_remove(&op->link);
}

bool engine_iocp_op_accepted(iocp_op *op, DWORD error) {
    if (error == 0 || error == ERROR_IO_PENDING || error == ERROR_MORE_DATA) {
        return true;
    }
    op_end(op);
    return false;
}

void engine_iocp_op_cancel(iocp_op *op, HANDLE os) {
    if (op->in_kernel) {
        (void)CancelIoEx(os, &op->overlapped); /* whatever it says, the packet decides (I3) */
    }
}

/* ---- files ---- */

DWORD engine_iocp_join(engine_worker *worker, HANDLE os, iocp_file **ret_file) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    void *entry;
    sl_slot_id key;
    if (sl_slots_take(&w->files, &entry, &key) != SLUICE_OK) {
        return ERROR_OUTOFMEMORY; /* no answer of CreateIoCompletionPort's, but its kind */
    }
    iocp_file *file = entry;
    file->key = key;
    sl_list_init(&file->ops);
    if (CreateIoCompletionPort(os, w->port, (ULONG_PTR)key, 0) == NULL) {
        DWORD error = GetLastError();
        sl_slots_release(&w->files, file);
        return error;
    }
    *ret_file = file;
    return 0;
}

int engine_iocp_join_failed(engine_worker *worker, DWORD error) {
    if (error == ERROR_OUTOFMEMORY) {
        return SLUICE_ENOMEM;
    }
    worker->os_error = error;
    return engine_iocp_status(error);
}

void engine_iocp_leave(engine_worker *worker, iocp_file *file) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    SL_CHECK(sl_list_is_empty(&file->ops), "nothing is closed with an operation in the kernel");
    sl_slots_release(&w->files, file);
}

/* ---- engines and workers ---- */

static int engine_open(engine *base) {
    iocp_engine *e = SL_CONTAINER_OF(base, iocp_engine, engine);
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    if (ntdll != NULL) {
        /* Documented with its NTSTATUS codes in [MS-ERREF]; exported, but in no MinGW header. */
        e->nt_to_win32 =
            (iocp_nt_to_win32_fn)(void (*)(void))GetProcAddress(ntdll, "RtlNtStatusToDosError");
    }
    if (e->nt_to_win32 == NULL) {
        return SLUICE_EOS;
    }
    int status = engine_iocp_access_open(e);
    if (status != SLUICE_OK) {
        return status;
    }
    status = engine_iocp_sockets_open(e);
    if (status != SLUICE_OK) {
        engine_iocp_access_close(e);
    }
    return status;
}

static void engine_close_iocp(engine *base) {
    iocp_engine *e = SL_CONTAINER_OF(base, iocp_engine, engine);
    engine_iocp_sockets_close(e);
    engine_iocp_access_close(e);
}

static int worker_open(engine_worker *worker) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    uint64_t files = (uint64_t)worker->engine->max_handles * FILES_PER_HANDLE;
    int status = sl_slots_init(&w->files, &worker->account,
                               files < FILES_MAX ? (uint32_t)files : FILES_MAX, sizeof(iocp_file));
    if (status != SLUICE_OK) {
        return status;
    }
    w->overflow = NULL;
    w->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    return w->port != NULL ? SLUICE_OK : SLUICE_EOSLIMIT;
}

static void worker_close(engine_worker *worker) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    engine_worker_free(worker, w->overflow, IOCP_DATAGRAM_MAX_BYTES);
    (void)CloseHandle(w->port);
    sl_slots_deinit(&w->files);
}

static void wake(engine_worker *worker) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    /* It fails only for want of kernel memory. Nobody may wait here, so try again at once. */
    while (!PostQueuedCompletionStatus(w->port, 0, KEY_WAKE, NULL)) {
        (void)SwitchToThread();
    }
}

/* What is left in whole milliseconds, rounded up: a wait that ended a little early is followed by
 * one of at least 1 ms, never by a spin. */
static DWORD remaining_ms(const engine_worker *worker, uint64_t deadline_ns) {
    if (deadline_ns == 0) {
        return 0;
    }
    if (deadline_ns == SL_CLOCK_NEVER) {
        return INFINITE;
    }
    uint64_t now_ns = sl_clock_now_ns(worker->engine->clock);
    if (now_ns >= deadline_ns) {
        return 0;
    }
    uint64_t left_ms = (deadline_ns - now_ns - 1) / SL_NS_PER_MS + 1;
    return left_ms < WAIT_MS_MAX ? (DWORD)left_ms : WAIT_MS_MAX;
}

/* The operation that a packet ends, or NULL: its numbers are compared before either is used. */
static iocp_op *find_op(const iocp_worker *w, const OVERLAPPED_ENTRY *packet) {
    iocp_file *file = sl_slots_find(&w->files, (sl_slot_id)packet->lpCompletionKey);
    if (file == NULL) {
        return NULL;
    }
    for (sl_list *node = file->ops.next; node != &file->ops; node = node->next) {
        iocp_op *op = SL_LIST_ENTRY(node, iocp_op, link);
        if (&op->overlapped == packet->lpOverlapped) {
            return op;
        }
    }
    return NULL;
}

static void dispatch(iocp_worker *w, const OVERLAPPED_ENTRY *packet) {
    if (packet->lpCompletionKey == KEY_WAKE && packet->lpOverlapped == NULL) {
        return; /* the message itself is in the mailbox */
    }
    iocp_op *op = find_op(w, packet);
    if (op == NULL) {
        w->worker.stray_count++;
        return;
    }
    op_end(op);
    op->on_packet(op, packet->dwNumberOfBytesTransferred);
}

static void wait_for_packets(engine_worker *worker, uint64_t deadline_ns) {
    iocp_worker *w = SL_CONTAINER_OF(worker, iocp_worker, worker);
    OVERLAPPED_ENTRY packets[PACKETS_PER_WAIT];
    ULONG count = 0;
    DWORD wait_ms = remaining_ms(worker, deadline_ns);
    if (!GetQueuedCompletionStatusEx(w->port, packets, PACKETS_PER_WAIT, &count, wait_ms, FALSE)) {
        SL_CHECK(GetLastError() == WAIT_TIMEOUT, "a worker's completion port can be waited for");
        return;
    }
    for (ULONG i = 0; i < count; i++) {
        dispatch(w, &packets[i]);
    }
}

/* ---- requests ---- */

static bool is_pipe_address(const engine_address *address) {
    return address->family == ENGINE_ADDRESS_PIPE;
}

static void start(engine_worker *worker, engine_request *request) {
    iocp_request *r = engine_iocp_request(request);
    (void)worker;
    switch (request->kind) {
    case ENGINE_READ: engine_iocp_read_start(r); break;
    case ENGINE_WRITE: engine_iocp_write_start(r); break;
    case ENGINE_RECEIVE_FROM: engine_iocp_receive_from_start(r); break;
    case ENGINE_SEND_TO: engine_iocp_send_to_start(r); break;
    case ENGINE_HALF_CLOSE: engine_iocp_half_close_start(r); break;
    case ENGINE_ACCEPT: engine_iocp_accept_start(r); break;
    case ENGINE_LISTEN: engine_listen_start(request); break; /* \\.\pipe is no file system */
    case ENGINE_CONNECT:
        if (is_pipe_address(&request->address)) {
            engine_iocp_pipe_connect_start(r);
        } else {
            engine_iocp_tcp_connect_start(r);
        }
        break;
    case ENGINE_PAIR: engine_iocp_pair_start(r); break;
    case ENGINE_RESOLVE: engine_resolve_start(request); break;
    case ENGINE_CLOSE:
    case ENGINE_MESSAGE: SL_CHECK(false, "neither a close nor a message is a request");
    }
}

static void cancel(engine_worker *worker, engine_request *request) {
    iocp_request *r = engine_iocp_request(request);
    (void)worker;
    switch (request->kind) {
    case ENGINE_ACCEPT:
        /* It waits in our own queue: see iocp_listener.h. */
        engine_request_finish(request, SLUICE_ECANCELED, 0, 0, 0);
        break;
    case ENGINE_CONNECT: engine_iocp_op_cancel(&r->op, (HANDLE)r->socket); break;
    default: engine_iocp_op_cancel(&r->op, engine_iocp_handle(request->handle)->os); break;
    }
}

/* ---- handles ---- */

static int listen_on(engine_worker *worker, engine_handle *handle, const engine_address *addresses,
                     unsigned address_count, const engine_listen_options *options,
                     const engine_rights *rights) {
    iocp_handle *h = engine_iocp_handle(handle);
    return is_pipe_address(&addresses[0])
               ? engine_iocp_pipe_listen(worker, h, &addresses[0], options, rights)
               : engine_iocp_tcp_listen(worker, h, addresses, address_count, options);
}

static void closing(engine_worker *worker, engine_handle *handle) {
    (void)worker;
    if (engine_iocp_handle(handle)->listener != NULL) {
        engine_iocp_listener_closing(engine_iocp_handle(handle));
    }
}

static void release(engine_worker *worker, engine_handle *handle) {
    iocp_handle *h = engine_iocp_handle(handle);
    switch (h->type) {
    case IOCP_PIPE:
        /* Not DisconnectNamedPipe, which discards what the peer has not read yet [docs]. */
        if (h->os != NULL) { /* else it was half-closed */
            (void)CloseHandle(h->os);
        }
        break;
    case IOCP_PIPE_LISTENER:
    case IOCP_TCP_LISTENER: engine_iocp_listener_release(h); break;
    case IOCP_STREAM_SOCKET:
    case IOCP_UDP_SOCKET: engine_iocp_socket_release(h); break;
    }
    h->os = NULL;
    if (h->file != NULL) {
        engine_iocp_leave(worker, h->file);
        h->file = NULL;
    }
}

static const engine_ops iocp_ops = {
    .engine_size = sizeof(iocp_engine),
    .worker_size = sizeof(iocp_worker),
    .handle_size = sizeof(iocp_handle),
    .request_size = sizeof(iocp_request),
    .endpoint_size = sizeof(iocp_endpoint),
    .handle_bytes = IOCP_HANDLE_BYTES,
    .engine_open = engine_open,
    .engine_close = engine_close_iocp,
    .worker_open = worker_open,
    .worker_close = worker_close,
    .wake = wake,
    .flush = NULL, /* submissions go to the kernel at once */
    .wait = wait_for_packets,
    .start = start,
    .cancel = cancel,
    .listen = listen_on,
    .udp_open = engine_iocp_udp_open,
    .local_address = engine_iocp_local_address,
    .peer_identity = engine_iocp_peer_identity,
    .peer_is_among = engine_iocp_peer_is_among,
    .own_identity = engine_iocp_own_identity,
    .peer_is_lesser = engine_iocp_peer_is_lesser,
    .peer_rights = engine_iocp_peer_rights,
    .rights_close = engine_iocp_rights_close,
    .endpoint_create = engine_iocp_endpoint_create,
    .endpoint_destroy = engine_iocp_endpoint_destroy,
    .endpoint_join = engine_iocp_endpoint_join,
    .closing = closing,
    .release = release,
};

const engine_backend engine_backend_iocp = {
    .name = "iocp",
    .is_threaded = true,
    .ops = &iocp_ops,
};
