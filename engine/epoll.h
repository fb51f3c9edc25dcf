/*
 * epoll.h - what the files of the epoll backend need of each other; nobody else includes it.
 *
 *   epoll.c           workers, wait, flush, start, cancel; streams
 *   epoll_handle.c    the life of a descriptor: registered, closed
 *   epoll_socket.c    connecting, datagrams, addresses; anonymous pipes
 *   epoll_listener.c  TCP listeners; accepting
 *   epoll_path.c      what is done at a Unix path: names are taken, connected to, given up
 *   opener_posix.c    the worker's side of that; what an opener's thread does
 *   epoll_endpoint.c  one listening socket dealt out to several workers
 *   epoll_access.c    may that user open this path?
 *   epoll_grant.c     a listener on behalf of another user is that user's, too
 *   epoll_lock.c      the lock file of a pipe's name
 *   epoll_mark.c      what tells a broker's endpoint from any other pipe
 *   epoll_identity.c  who is at the other end of a Unix socket
 *   epoll_peer.c      the end of the process at the other end
 *   epoll_status.c    the border to the C library: the calls we make, and what errno means
 *
 * A descriptor becomes a handle once, registered edge-triggered; the flags below remember what
 * the edges said. Everything here runs on the worker's thread, except the acceptor of
 * epoll_endpoint.c, and epoll_path.c.
 */
#ifndef SLUICE_ENGINE_EPOLL_H
#define SLUICE_ENGINE_EPOLL_H

#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/nobody.h"
#include "base/thread.h"
#include "engine/backend.h"
#include "engine/opener.h"

/* ---- limits --------------------------------------------------------------------------------- */

#define ENGINE_EPOLL_EVENTS     128       /* taken from the kernel at a time */
#define ENGINE_EPOLL_TURN_CALLS 16        /* calls per handle and direction before others run */
#define ENGINE_EPOLL_CALL_BYTES 0x100000u /* bytes per call: 1 MiB, so that a turn has an end */
#define ENGINE_EPOLL_INBOX      64        /* dealt, not yet accepted, per listener: power of 2 */
#define ENGINE_EPOLL_BACKOFF_MS 50        /* the acceptor's pause when descriptors have run out */

/* ---- the C library (epoll_status.c) --------------------------------------------------------- */

/* Every system call of this backend goes through here, so that a test can make any of them fail.
 * Changed only while no engine exists. */
typedef struct engine_epoll_call_table {
    int (*accept4)(int fd, struct sockaddr *address, socklen_t *length, int flags);
    int (*bind)(int fd, const struct sockaddr *address, socklen_t length);
    int (*close)(int fd);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t length);
    int (*epoll_create1)(int flags);
    int (*epoll_ctl)(int epoll_fd, int operation, int fd, struct epoll_event *event);
    int (*epoll_wait)(int epoll_fd, struct epoll_event *events, int capacity, int timeout_ms);
    int (*eventfd)(unsigned value, int flags);
    int (*fchmod)(int fd, mode_t mode);
    int (*fchmodat)(int folder, const char *path, mode_t mode, int flags);
    int (*flock)(int fd, int operation);
    int (*fstat)(int fd, struct stat *ret_stat);
    int (*fstatat)(int folder, const char *path, struct stat *ret_stat, int flags);
    int (*getpeername)(int fd, struct sockaddr *address, socklen_t *length);
    int (*getsockname)(int fd, struct sockaddr *address, socklen_t *length);
    int (*capget)(void *header, void *data);
    int (*getgroups)(int size, gid_t *ret_groups);
    int (*getsockopt)(int fd, int level, int name, void *value, socklen_t *length);
    int (*linkat)(int folder, const char *path, int new_folder, const char *new_path, int flags);
    int (*listen)(int fd, int backlog);
    int (*openat)(int folder, const char *path, int flags, mode_t mode);
    int (*pidfd_open)(pid_t process, unsigned flags);
    int (*pipe2)(int fds[2], int flags);
    int (*poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
    ssize_t (*getxattr)(const char *path, const char *name, void *value, size_t size);
    ssize_t (*readlinkat)(int folder, const char *path, char *buffer, size_t size);
    ssize_t (*pwrite)(int fd, const void *buffer, size_t size, off_t offset);
    ssize_t (*read)(int fd, void *buffer, size_t size);
    ssize_t (*recv)(int fd, void *buffer, size_t size, int flags);
    ssize_t (*recvfrom)(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
                        socklen_t *length);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    ssize_t (*send)(int fd, const void *buffer, size_t size, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t length);
    int (*setxattr)(const char *path, const char *name, const void *value, size_t size, int flags);
    int (*shutdown)(int fd, int how);
    int (*socket)(int domain, int type, int protocol);
    int (*unlinkat)(int folder, const char *path, int flags);
    ssize_t (*write)(int fd, const void *buffer, size_t size);
    ssize_t (*writev)(int fd, const struct iovec *vectors, int count);
} engine_epoll_call_table;

extern engine_epoll_call_table engine_epoll_calls;

/* The status of an errno from opening something, or from a datagram. Never SLUICE_OK. */
int engine_epoll_status(int error);
/* ... from a read, write or half-close of a stream: one that the network ended is ERESET. */
int engine_epoll_stream_status(int error);
/* The system has run out of something: worth another try later. */
bool engine_epoll_is_shortage(int error);

/* ---- workers and handles (epoll.c, epoll_handle.c) ------------------------------------------ */

typedef struct engine_epoll_worker {
    engine_worker worker;
    int epoll_fd;
    int wake_fd;      /* eventfd, edge-triggered: written by wake(), never read */
    sl_list runnable; /* handles with a request whose system call may succeed now */
    sl_nobody nobody; /* what the kernel calls peers without a number here */
} engine_epoll_worker;

typedef enum engine_epoll_role {
    ENGINE_EPOLL_SOCKET,   /* stream socket, connected or connecting */
    ENGINE_EPOLL_PIPE,     /* one end of pipe2() */
    ENGINE_EPOLL_DATAGRAM, /* UDP */
    ENGINE_EPOLL_LISTENER, /* a listening socket of this worker's own */
    ENGINE_EPOLL_MEMBER    /* one listener of an endpoint: fd is the eventfd of its inbox */
} engine_epoll_role;

/* What is known of a direction. Only calls of ours use up a readiness: until then SURE is true. */
typedef enum engine_epoll_readiness {
    ENGINE_EPOLL_BLOCKED, /* the last call used it up; an edge will come */
    ENGINE_EPOLL_MAYBE,   /* try it */
    ENGINE_EPOLL_SURE     /* epoll_wait said so, and no call was made since */
} engine_epoll_readiness;

/* Who decides how large the kernel's receive buffer becomes (epoll_buffers.c). */
typedef enum engine_epoll_buffers {
    ENGINE_EPOLL_FIXED, /* not we any more; or it is not TCP, or the kernel is too old */
    ENGINE_EPOLL_SMALL, /* as it was opened */
    ENGINE_EPOLL_MORE   /* as much as a program may ask for */
} engine_epoll_buffers;

typedef struct engine_epoll_member engine_epoll_member; /* epoll_endpoint.c */
typedef struct engine_epoll_more engine_epoll_more;     /* epoll_listener.c */

typedef struct engine_epoll_handle {
    engine_handle handle;
    sl_list runnable;        /* in worker->runnable */
    engine_request *opening; /* a connect or pair under way: this is its opening[0] */
    int fd;                  /* -1: none */
    engine_epoll_role role;
    engine_epoll_readiness readiness[2];
    bool has_ended[2];  /* hang-up or error seen: calls return at once, a short read says nothing */
    bool has_marks;     /* urgent data or descriptors came: a short read need not be the last */
    bool is_registered; /* with epoll */
    bool wants_out;     /* registered for EPOLLOUT too */
    bool is_tcp;
    engine_epoll_buffers buffers;
    int error;                   /* errno that ended a stream; the kernel tells it only once */
    int held_fd;                 /* listeners: accepted, but not made a handle yet; or -1 */
    engine_epoll_more *more;     /* TCP listeners: the sockets of further addresses, or NULL */
    int peer_fd;                 /* a pidfd of the process that connected; or -1 (epoll_peer.c) */
    engine_opener_job *name;     /* listeners on a path: the job that took it, and has it */
    engine_epoll_member *member; /* listeners of an endpoint */
} engine_epoll_handle;

static inline engine_epoll_worker *engine_epoll_worker_of(engine_worker *worker) {
    return (engine_epoll_worker *)worker;
}

static inline engine_epoll_handle *engine_epoll_handle_of(engine_handle *handle) {
    return (engine_epoll_handle *)handle;
}

/* engine_queue_head, here because it is asked several times per request. */
static inline engine_request *engine_epoll_head(engine_queue *queue) {
    sl_list *node = sl_list_first(&queue->started);
    return node != NULL ? SL_LIST_ENTRY(node, engine_request, link) : NULL;
}

/* Makes an unused handle ready to hold a descriptor (fd may be -1). */
void engine_epoll_handle_init(engine_epoll_handle *self, engine_epoll_role role, int fd);
/* Registers self->fd for reading edges, and for writing edges if `wants_out`. 0 or errno. */
int engine_epoll_register(engine_epoll_worker *worker, engine_epoll_handle *self, bool wants_out);
/* Changes a registration. */
void engine_epoll_set_wants_out(engine_epoll_handle *self, bool wants_out);
/* Ends the registration and closes the descriptor. */
void engine_epoll_close_fd(engine_epoll_handle *self);
/* Closes all that an open handle has (ops->release). */
void engine_epoll_release(engine_worker *worker, engine_handle *handle);
/* Remembers what epoll_wait said about it. */
void engine_epoll_note_events(engine_epoll_handle *self, uint32_t events);
/* Its requests are tried at the next flush. */
void engine_epoll_make_runnable(engine_epoll_worker *worker, engine_epoll_handle *self);
/* A call would have had to wait: the next edge of that direction makes it ready again. */
void engine_epoll_set_blocked(engine_epoll_handle *self, engine_direction direction);

/* ---- listeners (epoll_listener.c) ----------------------------------------------------------- */

/* accept4 without waiting. 0 with a descriptor, or errno: EAGAIN: nobody there, EINTR: again. */
int engine_epoll_accept_fd(int listening_fd, int *ret_fd);
/* What accept(2) tells a server to pass over: the new connection's own misfortune. */
bool engine_epoll_is_connections_own(int error);

/* One attempt at the first request of a handle. Each makes at most a few system calls. */
void engine_epoll_accept(engine_epoll_worker *worker, engine_epoll_handle *self,
                         engine_request *request);

int engine_epoll_tcp_listen(engine_worker *worker, engine_handle *handle,
                            const engine_address *addresses, unsigned address_count,
                            const engine_listen_options *options, const engine_rights *rights);
/* Closes the sockets of the further addresses, if there are any. */
void engine_epoll_close_more(engine_epoll_handle *self);

/* ---- the kernel's buffers (epoll_buffers.c) ------------------------------------------------- */

/* What the kernel holds for a handle at most, as it is opened: a receive buffer of 32 KiB and the
 * socket, file and names of 4 KiB; half of a pipe of 16 pages takes no more. */
#define ENGINE_EPOLL_HANDLE_BYTES (36u * 1024)

/* How large the kernel may make one. */
void engine_epoll_buffers_open(void);
/* A fresh TCP socket: small, before it connects or listens; what it accepts is so, too. */
void engine_epoll_buffers_narrow(int fd);
/* It is connected: it does not grow by itself. */
void engine_epoll_buffers_lock(engine_epoll_handle *self);
uint32_t engine_epoll_receive_step(engine_handle *handle);
void engine_epoll_widen(engine_handle *handle);
bool engine_epoll_sends_more(engine_handle *handle);
int engine_epoll_unsent(engine_handle *handle, uint64_t *ret_bytes);

/* ---- sockets (epoll_socket.c) --------------------------------------------------------------- */

/* Reads, writes and half-closes: of every stream socket. */
#define ENGINE_EPOLL_STREAM_CAPABILITIES \
    (ENGINE_CAN_READ | ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE)

void engine_epoll_receive_from(engine_epoll_handle *self, engine_request *request);
void engine_epoll_send_to(engine_epoll_handle *self, engine_request *request);

/* Begins self->opening, a connect to an IP address; and continues it after an event. */
void engine_epoll_connect(engine_epoll_worker *worker, engine_epoll_handle *self);
void engine_epoll_connect_event(engine_epoll_handle *self, uint32_t events);
/* A descriptor of a stream socket that is connected, or was accepted: makes it the handle's. 0 or
 * errno, and the descriptor stays the caller's. */
int engine_epoll_adopt(engine_epoll_worker *worker, engine_handle *handle, int fd, bool is_tcp);

/* Opens self->opening, an anonymous pipe. */
void engine_epoll_pair(engine_epoll_handle *self);

/* 0 or errno. */
int engine_epoll_set_option(int fd, int level, int name, int value);
/* A bound IP socket; `is_dual`: IPv6 for IPv4 as well. 0 or errno. */
int engine_epoll_open_bound(const engine_address *address, int type, bool is_dual, int *ret_fd);
/* What it is bound to. 0 or errno. */
int engine_epoll_bound_to(int fd, engine_address *ret_address);

int engine_epoll_udp_open(engine_worker *worker, engine_handle *handle,
                          const engine_address *address);
int engine_epoll_local_address(engine_handle *handle, engine_address *ret_address);

/* A Unix stream socket that takes no descriptors from its peer, where the kernel can see to that;
 * else it sets engine_epoll_takes_rights. -1: errno. */
extern sl_atomic_bool engine_epoll_takes_rights;
int engine_epoll_unix_socket(void);

/* 0 or a negative status. */
int engine_epoll_sockaddr(const engine_address *address, struct sockaddr_storage *ret_storage,
                          socklen_t *ret_length);

/* ---- marks (epoll_mark.c) ------------------------------------------------------------------- */

/* Makes each run of slashes one: the text of a pipe that is no endpoint. */
void engine_epoll_collapse(char *path);
/* Marks the text that an endpoint is bound with. SLUICE_OK, ENAMETOOLONG. */
int engine_epoll_mark(struct sockaddr_un *name, socklen_t *length);
/* Of a connected socket: is its peer an endpoint, as was asked for, or a pipe? SLUICE_OK;
 * EUNTRUSTED, EACCESS with a detail; another status with an errno. */
int engine_epoll_check_mark(int fd, bool is_endpoint, const char **ret_detail, int *ret_error);

/* ---- peers (epoll_identity.c) --------------------------------------------------------------- */

int engine_epoll_peer_identity(engine_handle *handle, engine_peer *ret_peer);
int engine_epoll_peer_is_among(engine_handle *handle, const engine_identity *whom, unsigned count,
                               bool *ret_is_among);
int engine_epoll_own_identity(engine *engine, engine_identity *ret_identity);
int engine_epoll_peer_is_lesser(engine_handle *handle, bool *ret_is_lesser);
int engine_epoll_peer_rights(engine_handle *handle, engine_rights **ret_rights);

/* ---- on behalf of another user (epoll_access.c) --------------------------------------------- */

/* The user that the kernel noted when the peer connected. */
typedef struct engine_epoll_user {
    engine_rights rights; /* first */
    uid_t uid; /* -1, as the group: it has no number in our user namespace */
    gid_t gid;
    uid_t nobody;      /* owners that show it may be two (base/nobody.h) */
    bool knows_groups; /* those below are all of them */
    unsigned group_count;
    gid_t groups[];
} engine_epoll_user;

/* linux/posix_acl_xattr.h, which is not everywhere: a version, then {tag, permissions, id}, little
 * endian, in this order of tags. */
#define ACL_XATTR       "system.posix_acl_access"
#define ACL_VERSION     2u
#define ACL_HEAD_BYTES  4u
#define ACL_ENTRY_BYTES 8u
enum {
    ACL_USER_OBJ = 0x01,
    ACL_USER = 0x02,
    ACL_GROUP_OBJ = 0x04,
    ACL_GROUP = 0x08,
    ACL_MASK = 0x10,
    ACL_OTHER = 0x20
};

#define ENGINE_EPOLL_FD_PATH_BYTES 32 /* "/proc/self/fd/N" */

/* The socket at an absolute path, if that user may connect to it: a descriptor (O_PATH). 0 or
 * errno: EACCES, that user may not; EPERM, we may not; EISDIR, it is a folder's name; ECONNREFUSED,
 * it is some other file's. */
int engine_epoll_find_socket(const engine_epoll_user *user, const char *path, int *ret_fd);
/* The folder of an absolute path, if that user may make files in it, and the last name. 0 or
 * errno, as above. */
int engine_epoll_find_folder(const engine_epoll_user *user, const char *path,
                             char ret_name[NAME_MAX + 1], int *ret_folder);
/* Why it failed for another user: ENOSYS, if what was found cannot be used for want of /proc; else
 * `error`. */
int engine_epoll_without_proc(int error);
/* bind(2); the file belongs to that user, if we may see to that. `user` NULL: it is ours. 0 or
 * errno. */
int engine_epoll_bind_for(const engine_epoll_user *user, int fd,
                          const struct sockaddr_storage *storage, socklen_t length);
/* Would a user have a port of us that it could not have itself? */
bool engine_epoll_lends_port(const engine_behalf *behalf, uint16_t port);
/* What was found, or `name` in it, as an address. SLUICE_OK, ENAMETOOLONG. */
int engine_epoll_fd_sockaddr(int fd, const char *name, struct sockaddr_storage *ret_storage,
                             socklen_t *ret_length);

/* ---- the end of a peer (epoll_peer.c) ------------------------------------------------------- */

int engine_epoll_watch_peer(engine_handle *handle);
/* Is an event's data that of a watch? Then whose it is. */
engine_epoll_handle *engine_epoll_peer_of(void *event_data);
/* The process has ended. */
void engine_epoll_peer_ended(engine_epoll_handle *self);
void engine_epoll_forget_peer(engine_epoll_handle *self);

/* ---- names (epoll_path.c, opener_posix.c) --------------------------------------------------- */

#define ENGINE_EPOLL_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* What is in a lock file of ours, and in no other program's. */
#define ENGINE_EPOLL_LOCK_TEXT \
    "Sluice: whoever has this file locked owns the pipe of the same name without \".lock\".\n"

/* And behind it, which socket file was made at the name: its number and time. */
#define ENGINE_EPOLL_RECORD_BYTES 69 /* with its NUL */
void engine_epoll_lock_describe(const struct stat *socket,
                                char ret_record[ENGINE_EPOLL_RECORD_BYTES]);

typedef struct engine_epoll_lock {
    int fd; /* PATH.lock, held with flock */
} engine_epoll_lock;

/* 0, with the record of a lock file that was there and that nobody had (a process of ours was
 * killed), else ""; EADDRINUSE: somebody has the name, or a file that is not ours lies there (then
 * with a detail); or another errno. */
int engine_epoll_lock_take(engine_epoll_lock *lock, int folder, const char *name,
                           char ret_left[ENGINE_EPOLL_RECORD_BYTES], const char **ret_detail);
/* The socket file that was made. 0 or errno. */
int engine_epoll_lock_record(const engine_epoll_lock *lock, const struct stat *socket);
void engine_epoll_lock_drop(engine_epoll_lock *lock, int folder, const char *name);

/* A path: what is asked of it, and what is held there. */
typedef struct engine_epoll_name {
    int fd; /* the listening socket, or the connected one; -1: none */
    engine_epoll_lock lock;
    int folder; /* that `path` counts from; AT_FDCWD, or another user's that we hold */
    bool is_endpoint;
    bool may_fork; /* engine_options has it */
    mode_t mode;   /* of the socket file */
    unsigned backlog;
    dev_t device;
    ino_t inode; /* of the socket file */
    char path[ENGINE_EPOLL_PATH_BYTES];
} engine_epoll_name;

_Static_assert(sizeof(engine_epoll_name) <= ENGINE_OPENER_BYTES, "a job has room for a name");

static inline engine_epoll_name *engine_epoll_name_of(engine_opener_job *job) {
    return (engine_epoll_name *)(void *)job->os.bytes;
}

/* What is asked, without asking the system: SLUICE_OK, EINVAL, ENAMETOOLONG. options NULL: to
 * connect. */
int engine_epoll_name_init(engine_epoll_name *name, const engine_address *address,
                           const engine_listen_options *options);

/* These three may wait for a file system (epoll_path.c). Takes the name and listens on it: 0 or a
 * negative status with its errno (0 = none), and a detail where there is one. */
int engine_epoll_name_take(engine_epoll_name *name, const engine_behalf *behalf,
                           const char **ret_detail, int *ret_error);
/* Connects to it: the same; EBUSY: try again. */
int engine_epoll_name_connect(engine_epoll_name *name, const engine_behalf *behalf,
                              const char **ret_detail, int *ret_error);
/* Closes what was connected and has not become a handle's. */
void engine_epoll_name_disconnect(engine_epoll_name *name);
/* Of a name on which we listen, and whose file is ours: lets that user connect to it. 0 or errno:
 * EOPNOTSUPP: no ACLs there; ESTALE: the name leads to another file by now, which stays as it
 * was. */
int engine_epoll_grant(const engine_epoll_name *name, const engine_epoll_user *user,
                       const char **ret_detail);
/* Gives the name up; closes name->fd unless that is -1. */
void engine_epoll_name_drop(engine_epoll_name *name);

/* The worker's side: ops->start of a listen and a connect on a path; the close of such a listener
 * begins, and is over. */
void engine_epoll_path_start(engine_request *request);
void engine_epoll_closing(engine_worker *worker, engine_handle *handle);
void engine_epoll_path_release(engine_epoll_handle *self);

/* ---- endpoints (epoll_endpoint.c) ----------------------------------------------------------- */

typedef struct engine_epoll_endpoint {
    engine_endpoint endpoint;
    engine_epoll_name name;
    int epoll_fd;
    int wake_fd; /* eventfd, edge-triggered: written to wake the acceptor, never read */
    sl_thread thread;
    sl_atomic_bool is_stopping;
    sl_atomic_bool wants_room; /* the acceptor waits until a listener has room for a connection */
    sl_mutex lock;             /* members and the filling of their inboxes */
    sl_list members;           /* in the order in which they get connections */
    sl_list orphans;           /* left members that still have connections, for the acceptor */
    bool may_accept;           /* acceptor only: an edge came, and EAGAIN did not */
    int held_fd;               /* acceptor only: accepted, nobody had room; or -1 */
} engine_epoll_endpoint;

int engine_epoll_endpoint_create(engine_endpoint *endpoint, const engine_listen_options *options,
                                 const char **ret_detail);
void engine_epoll_endpoint_destroy(engine_endpoint *endpoint);
int engine_epoll_endpoint_join(engine_endpoint *endpoint, engine_worker *worker,
                               engine_handle *handle);
/* The listener leaves; what was dealt to it goes to the others, if there are any. */
void engine_epoll_member_leave(engine_epoll_handle *self);
/* Takes a dealt descriptor. 0 or EAGAIN. */
int engine_epoll_member_take(engine_epoll_member *member, int *ret_fd);

#endif
