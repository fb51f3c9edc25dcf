/*
 * iocp.h - what the files of the Windows backend share; nobody else includes it but opener_win.c.
 *
 *   iocp.c         engines, workers, the completion port, cancel, release
 *   iocp_stream.c  read and write on pipes and connected sockets
 *   iocp_name.c    pipe names
 *   iocp_pipe.c    pipes: who may connect, listeners and endpoints
 *   iocp_socket.c  sockets: addresses, making them, connecting
 *   iocp_accept.c  TCP listeners
 *   iocp_listener.c  what pipe and TCP listeners have in common
 *   iocp_datagram.c  UDP
 *   iocp_identity.c  who is at the other end of a pipe
 *   opener_win.c   pipe clients, anonymous pairs, name look-up: what runs on opener threads
 *   iocp_status.c  Windows errors to statuses, one table
 *
 * One request, from submit to completion: iocp.c start() -> for example iocp_stream.c
 * engine_iocp_write_start() -> WriteFile -> ... -> iocp.c wait() dequeues the packet ->
 * op->on_packet() = on_write_packet() -> engine_request_finish().
 *
 * An iocp_op is one operation in the kernel: its OVERLAPPED (hEvent always NULL) and what to do
 * with its packet. It lives in a request or, for the standing ConnectNamedPipe or AcceptEx of a
 * listener's instance, in its listener; neither goes away while in_kernel is set, and only the
 * dequeued packet clears it.
 *
 * THE PORT RULE. What a packet says is not believed: whoever has a handle to a file object that is
 * joined to our port can bring packets there with an lpOverlapped of its own [docs:
 * CreateIoCompletionPort], and one that comes late may name what has gone. So the completion key is
 * the id of an iocp_file, which a stale one does not find, and lpOverlapped is a number that must
 * equal that of one of this file's own operations in the kernel. What does not is counted and
 * dropped (iocp.c, dispatch).
 */
#ifndef SLUICE_ENGINE_IOCP_H
#define SLUICE_ENGINE_IOCP_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
/* Before windows.h, which would bring the old winsock.h. */
#include <winsock2.h>

#include <mswsock.h>
#include <windows.h>
#include <ws2tcpip.h>

#include "engine/backend.h"
#include "engine/opener.h"

#define IOCP_PIPE_QUOTA_BYTES   0x10000 /* of a pipe's buffer, each direction */
/* What the kernel holds for a handle: what we have written to a pipe and nobody has read, which is
 * charged to the writer's process and never more than the pipe's quota [ReactOS npfs: DataEntry's
 * pool is taken with quota by who writes; docs: CreateNamedPipe, WriteFile]; a socket's default
 * buffer is as large [docs: SO_SNDBUF]; and its objects. */
#define IOCP_HANDLE_BYTES       (IOCP_PIPE_QUOTA_BYTES + 0x1000)
#define IOCP_PIPE_CHUNK_BYTES   0x10000 /* of a pipe write in the kernel at a time */
#define IOCP_SEND_BYTES         0x40000 /* of a socket write in the kernel at a time */
#define IOCP_DATAGRAM_MAX_BYTES 0x10000 /* no UDP datagram is longer (65,535 with headers) */
#define IOCP_ENDPOINT_INSTANCES 4       /* default per worker and endpoint, see iocp_pipe.c */
#define IOCP_PATH_CHARS         (9 + ENGINE_PIPE_CHARS_MAX + 1) /* \\?\pipe\NAME, with its NUL */
#define IOCP_ACCESS_CHARS       2048    /* an SDDL string with its terminating NUL */
#define IOCP_SID_CHARS          192 /* a SID as text is at most 184 characters [docs: MS-DTYP] */

/* Read and write data and attributes, READ_CONTROL, SYNCHRONIZE; not FILE_CREATE_PIPE_INSTANCE
 * (0x4), which GENERIC_WRITE would include [docs; libuv#1955]. */
#define IOCP_PIPE_CLIENT_ACCESS 0x12019Bu

/* Two addresses as AcceptEx writes them: each with 16 bytes to spare [docs]. */
#define IOCP_ACCEPT_ADDRESS_BYTES (sizeof(struct sockaddr_in6) + 16)

/* What is joined to the port: a pipe's end or a socket, until it is closed. It is the handle's, the
 * listener's instance's or the connect's that has the thing just now, and goes with it from one to
 * the next: the key of a joined file object cannot be changed. */
typedef struct iocp_file {
    sl_slot_id key; /* the completion key of its packets */
    sl_list ops;    /* of it in the kernel: a read and a write, or the accepts of a socket */
} iocp_file;

typedef struct iocp_op iocp_op;
struct iocp_op {
    OVERLAPPED overlapped;
    sl_list link; /* in file->ops while in_kernel */
    void (*on_packet)(iocp_op *op, DWORD bytes);
    bool in_kernel; /* a packet will come */
};

typedef ULONG(WINAPI *iocp_nt_to_win32_fn)(LONG nt_status);

/* How much a token may do, besides whose it is. */
typedef struct iocp_standing {
    bool is_administrator; /* not for denying only */
    bool is_filtered;      /* CreateRestrictedToken has taken something from it */
    DWORD integrity;       /* SECURITY_MANDATORY_..._RID */
} iocp_standing;

typedef struct iocp_engine {
    engine engine;
    LPFN_ACCEPTEX accept_ex;
    LPFN_CONNECTEX connect_ex;
    iocp_nt_to_win32_fn nt_to_win32;
    WCHAR own_sid[IOCP_SID_CHARS];       /* this process's user, as text */
    engine_identity own;                 /* and as bytes */
    iocp_standing standing;              /* what it may */
    PSECURITY_DESCRIPTOR private_access; /* of pipes: this user only; LocalFree */
} iocp_engine;

typedef struct iocp_worker {
    engine_worker worker;
    HANDLE port;
    sl_slots files;
    void *overflow; /* IOCP_DATAGRAM_MAX_BYTES where the ends of long datagrams go; never read */
    unsigned char accepted[2 * IOCP_ACCEPT_ADDRESS_BYTES]; /* of every AcceptEx; never read */
} iocp_worker;

typedef enum iocp_type {
    IOCP_PIPE,
    IOCP_PIPE_LISTENER,
    IOCP_STREAM_SOCKET,
    IOCP_TCP_LISTENER,
    IOCP_UDP_SOCKET
} iocp_type;

/* At the other end of a pipe. */
typedef enum iocp_peer { IOCP_PEER_NONE, IOCP_PEER_CLIENT, IOCP_PEER_SERVER } iocp_peer;

typedef struct iocp_handle {
    engine_handle handle;
    iocp_type type;
    iocp_peer peer;
    HANDLE os;                      /* a pipe, or a SOCKET; NULL for a listener */
    iocp_file *file;                /* likewise */
    bool was_reset;                 /* stream socket: a request met ERESET, see iocp_stream.c */
    bool at_end;                    /* stream socket: a read met the end of file before that */
    struct iocp_listener *listener; /* listener */
} iocp_handle;

typedef struct iocp_request {
    engine_request request;
    iocp_op op;
    SOCKET socket;   /* connect: the socket in the making */
    iocp_file *file; /* its */
    unsigned buffer; /* write: the next byte to send is at buffers[buffer] + offset */
    size_t offset;
    size_t issued;      /* write, send: bytes in the kernel */
    DWORD flags;        /* receive_from: written by the kernel */
    int address_length; /* receive_from: written by the kernel */
    struct sockaddr_storage socket_address; /* connect, receive_from, send_to */
} iocp_request;

/* A pipe's name and who may connect to it. Read-only once made: several workers use that of an
 * endpoint. */
typedef struct iocp_name {
    WCHAR path[IOCP_PATH_CHARS];
    PSECURITY_DESCRIPTOR access; /* the engine's, or LocalFree it */
} iocp_name;

typedef struct iocp_endpoint {
    engine_endpoint endpoint;
    iocp_name name;
    unsigned instances;    /* per worker */
    _Atomic(HANDLE) first; /* the instance that holds the name until a worker takes it */
} iocp_endpoint;

/* ---- iocp.c ---- */

/* Prepares an operation of that file for its system call. */
void engine_iocp_op_begin(iocp_op *op, iocp_file *file,
                          void (*on_packet)(iocp_op *op, DWORD bytes));

/* After the call: `error` is 0 or what it failed with. True: a packet will come and decides
 * (ERROR_MORE_DATA is a warning [src asio, .NET]). False: none will; the operation is over. */
bool engine_iocp_op_accepted(iocp_op *op, DWORD error);

/* Asks the kernel to end it, if it has it. */
void engine_iocp_op_cancel(iocp_op *op, HANDLE os);

/* Joins a pipe or socket to the worker's port. 0 or a Windows error. */
DWORD engine_iocp_join(engine_worker *worker, HANDLE os, iocp_file **ret_file);
/* The status of a call that ends because of that error, with worker->os_error: the memory may be
 * ours. (A completion says EOSLIMIT of either.) */
int engine_iocp_join_failed(engine_worker *worker, DWORD error);
/* It is closed, with nothing in the kernel. */
void engine_iocp_leave(engine_worker *worker, iocp_file *file);

static inline iocp_engine *engine_iocp_engine(engine_worker *worker) {
    return SL_CONTAINER_OF(worker->engine, iocp_engine, engine);
}

static inline iocp_handle *engine_iocp_handle(engine_handle *handle) {
    return SL_CONTAINER_OF(handle, iocp_handle, handle);
}

static inline iocp_request *engine_iocp_request(engine_request *request) {
    return SL_CONTAINER_OF(request, iocp_request, request);
}

static inline iocp_request *engine_iocp_request_of_op(iocp_op *op) {
    return SL_CONTAINER_OF(op, iocp_request, op);
}

/* ---- iocp_status.c ---- */

/* A Windows, Winsock or NTSTATUS code to a status; 0 is SLUICE_OK, an unknown one SLUICE_EOS. */
int engine_iocp_status(DWORD code);

/* What a dequeued packet says: 0 for success, or its NTSTATUS. */
DWORD engine_iocp_packet_code(const iocp_op *op);

/* Ends a request with a code of any of the three families, not 0. */
void engine_iocp_fail(engine_request *request, DWORD code, size_t bytes, size_t in_doubt);

/* ---- iocp_stream.c ---- */

void engine_iocp_read_start(iocp_request *r);
void engine_iocp_write_start(iocp_request *r);
void engine_iocp_pipe_half_close(iocp_request *request);

/* ---- iocp_name.c ---- */

/* "\\.\pipe\NAME" in UTF-8 to the path by which it is opened; an endpoint's with the mark.
 * SLUICE_OK, EINVAL (not UTF-8, no pipe's name, with a part ".."), ENAMETOOLONG, EOSLIMIT; EACCESS:
 * a pipe's name that begins as those of endpoints do. */
int engine_iocp_pipe_path(const engine_address *pipe, WCHAR ret_path[IOCP_PATH_CHARS]);

/* ---- iocp_pipe.c ---- */

/* This user's SID and the descriptor of private pipes. SLUICE_OK, EOSLIMIT, EOS. */
int engine_iocp_access_open(iocp_engine *e);
void engine_iocp_access_close(iocp_engine *e);

/* Creates a pipe's server end: overlapped, byte mode, local clients only, not inheritable.
 * INVALID_HANDLE_VALUE: see GetLastError. Any thread. */
HANDLE engine_iocp_pipe_create(const WCHAR *path, PSECURITY_DESCRIPTOR access, DWORD open_mode,
                               DWORD instances_max);

/* Makes a joined pipe end a handle of the engine. */
void engine_iocp_pipe_opened(engine_handle *handle, HANDLE pipe, iocp_file *file,
                             unsigned capabilities, iocp_peer peer);

int engine_iocp_pipe_listen(engine_worker *worker, iocp_handle *h, const engine_address *address,
                            const engine_listen_options *options, const engine_rights *rights);
int engine_iocp_endpoint_create(engine_endpoint *endpoint, const engine_listen_options *options,
                                const char **ret_detail);
void engine_iocp_endpoint_destroy(engine_endpoint *endpoint);
int engine_iocp_endpoint_join(engine_endpoint *endpoint, engine_worker *worker,
                              engine_handle *handle);

/* ---- iocp_identity.c ---- */

/* The user of a token. */
bool engine_iocp_token_user(HANDLE token, engine_identity *ret_user);

/* What this process may, which is of that user. */
bool engine_iocp_own_standing(HANDLE token, const engine_identity *user,
                              iocp_standing *ret_standing);

int engine_iocp_peer_identity(engine_handle *handle, engine_peer *ret_peer);
int engine_iocp_peer_is_among(engine_handle *handle, const engine_identity *whom, unsigned count,
                              bool *ret_is_among);
int engine_iocp_own_identity(engine *engine, engine_identity *ret_identity);
int engine_iocp_peer_is_lesser(engine_handle *handle, bool *ret_is_lesser);
int engine_iocp_peer_rights(engine_handle *handle, engine_rights **ret_rights);
/* Those of a token, which is taken in any case. SLUICE_OK, ENOMEM. */
int engine_iocp_token_rights(engine *e, HANDLE token, engine_rights **ret_rights);
/* engine_peer_is_lesser. What cannot be told counts as less. */
bool engine_iocp_is_lesser(HANDLE token, const engine_identity *user, const iocp_standing *own);
void engine_iocp_rights_close(engine_rights *rights);
/* Whose they are. */
bool engine_iocp_rights_user(const engine_rights *rights, engine_identity *ret_user);
/* May they open that pipe, which we have opened, with that access? Any thread. */
bool engine_iocp_rights_permit(const engine_rights *rights, HANDLE pipe, DWORD access);

/* ---- opener_win.c ---- */

void engine_iocp_pipe_connect_start(iocp_request *r);
void engine_iocp_pair_start(iocp_request *r);

/* ---- iocp_listener.c ---- */

void engine_iocp_accept_start(iocp_request *r);
/* Of a handle that is a listener. */
void engine_iocp_listener_closing(iocp_handle *h);
void engine_iocp_listener_release(iocp_handle *h);

/* ---- iocp_accept.c ---- */

int engine_iocp_tcp_listen(engine_worker *worker, iocp_handle *h, const engine_address *addresses,
                           unsigned address_count, const engine_listen_options *options);
/* The first of a TCP listener's sockets. */
SOCKET engine_iocp_tcp_listener_socket(const iocp_handle *h);

/* ---- iocp_socket.c ---- */

int engine_iocp_sockets_open(iocp_engine *e);
void engine_iocp_sockets_close(iocp_engine *e);
SOCKET engine_iocp_socket_create(int family, int type);
/* A bound socket, `is_dual`: IPv6 for IPv4 as well; or a status and worker->os_error. */
int engine_iocp_socket_bound(engine_worker *worker, const engine_address *address, int type,
                             bool is_dual, SOCKET *ret_socket);
/* What it is bound to. 0 or a Winsock error. */
DWORD engine_iocp_bound_to(SOCKET socket, engine_address *ret_address);
/* Makes a joined socket a handle of the engine. */
void engine_iocp_socket_opened(engine_handle *handle, iocp_type type, SOCKET socket,
                               iocp_file *file, unsigned capabilities);
void engine_iocp_stream_opened(engine_handle *handle, SOCKET socket, iocp_file *file);
void engine_iocp_tcp_connect_start(iocp_request *r);
void engine_iocp_half_close_start(iocp_request *r);
void engine_iocp_socket_release(iocp_handle *h);
int engine_iocp_local_address(engine_handle *handle, engine_address *ret_address);
/* The length of the sockaddr, or 0 when it is no network address. */
int engine_iocp_to_sockaddr(const engine_address *address, struct sockaddr_storage *ret_sockaddr);
/* An IPv4 or IPv6 sockaddr to an address; its family stays ENGINE_ADDRESS_NONE for any other. */
void engine_iocp_from_sockaddr(const struct sockaddr *sockaddr, engine_address *ret_address);

/* ---- iocp_datagram.c ---- */

int engine_iocp_udp_open(engine_worker *worker, engine_handle *handle,
                         const engine_address *address);
void engine_iocp_receive_from_start(iocp_request *r);
void engine_iocp_send_to_start(iocp_request *r);

#endif
