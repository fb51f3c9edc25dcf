/*
 * sluice/sluice.h - the client library of Sluice: pipes and sockets through a broker process.
 *
 * A program opens a session with a broker and asks it for pipes, connections, reads and writes.
 * What the library promises:
 *   - No call hangs. Each returns within its timeout plus call_grace_ns (sluice_session_info),
 *     whatever the peer, the driver or the broker does. A call without a timeout ends when the
 *     broker has been silent for unresponsive_ns.
 *   - Exactly one outcome per call, with true byte counts.
 *   - A cancelled read loses no data, a cancelled accept no connection, a cancelled write tells
 *     what is certain (done) and what is not (in_doubt).
 *
 * CONVENTIONS
 *   Status     Every function that can fail returns 0 (SLUICE_OK) or a negative number of
 *              sluice/status.h. Outputs (ret_*) are written as each function says.
 *   Time       *_ns are nanoseconds. A timeout counts from the call; SLUICE_NO_TIMEOUT is none; 0
 *              has passed already (SLUICE_ETIMEDOUT at once).
 *   Text       UTF-8, ends with a NUL. Read during the call only.
 *   Detail     What a status cannot tell, in one sentence for people: which argument is wrong,
 *              which limit was reached, why the broker ended the session. Printable. Every status
 *              other than SLUICE_OK has one (where nobody knows more, sluice_status_sentence's),
 *              SLUICE_OK has "". Never to be branched on. With every failed call:
 *              sluice_last_error; also in its sluice_result, in the options of sluice_open, and for
 *              a session that has no connection in sluice_session_info.
 *   Structures start with their size in bytes: set it to sizeof before a call, for options and for
 *              results. Members that a caller's version does not have are left alone or taken as 0.
 *              A result whose size was forgotten is EINVAL and stays as it is.
 *   Addresses  "pipe:NAME", "tcp:HOST:PORT" or "tcp:[IPV6]:PORT". On Windows NAME is that of a byte
 *              pipe, with or without \\.\pipe\ (or \\?\pipe\), at most 247 UTF-16 units without,
 *              and means the one that others mean by \\.\pipe\NAME: a / is a \, and dots and
 *              blanks at the end do not count; with a part "..", or of another machine
 *              (\\SERVER\pipe\NAME), it is EINVAL. On Linux it is the path of a stream socket, at
 *              most 107 bytes, and absolute: a relative one is EINVAL. They are the system's own
 *              pipes and sockets: the peer may be any program, with or without Sluice.
 *   Rights     The broker opens with its own rights. A private broker has yours. A service has
 *              those of its own user: a pipe must be open to that user and to yours, and on Linux
 *              so must the folder in which you listen; else it is SLUICE_EACCESS. The pipes on
 *              which it listens for you let in your user and its own, nobody else. No broker opens
 *              a broker's endpoint for you.
 *   Threads    Every function may be called from any thread at any time, except where it says
 *              otherwise. Two calls on one handle take effect in the order in which they began.
 *   Fork       In a child of fork, _Fork() or clone() every call on its parent's sessions returns
 *              SLUICE_EFORKED. The parent is not disturbed.
 *   Loss       When the broker dies or falls silent, what is in flight ends with
 *              SLUICE_EBROKERLOST or SLUICE_EUNRESPONSIVE: done = bytes it had confirmed,
 *              in_doubt = the rest of a write. Handles are stale then (SLUICE_ESTALE). The next
 *              call that opens something connects again; nothing is repeated by itself. In mode
 *              SERVICE, where nobody listens any more (it may be restarting), that call tries again
 *              until open_timeout_ns (SLUICE_ENOBROKER) or its timeout (SLUICE_ETIMEDOUT) is over;
 *              while the broker there is stopping, it ends with SLUICE_ESHUTDOWN at once.
 *
 * Nothing here is variadic, a macro with arguments, or of a size that depends on the compiler.
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <stdint.h>

#include <sluice/status.h>

#if defined(_WIN32) && defined(SLUICE_SHARED) /* set by the CMake package for sluice.dll */
#define SLUICE_API __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A connection to a broker, its handles and its operations. */
typedef struct sluice_session sluice_session;
/* An asynchronous call, from its _start until sluice_release. */
typedef struct sluice_operation sluice_operation;
/* A pipe end, socket or listener of one session; 0 = none. Not a handle of the system. */
typedef uint64_t sluice_handle;

#define SLUICE_NO_TIMEOUT   UINT64_MAX
#define SLUICE_DETAIL_BYTES 200 /* a detail with its NUL; longer ones are cut */

/* ---- sessions -------------------------------------------------------------------------------- */

/* sluice_open_options.mode */
enum {
    SLUICE_MODE_AUTO = 0,    /* the service if one that we trust and may use runs at the endpoint,
                                and is not stopping, else a private broker; so also if the folder of
                                the default endpoint does not answer */
    SLUICE_MODE_PRIVATE = 1, /* a broker of our own, a process that ends with us */
    SLUICE_MODE_SERVICE = 2  /* the broker that runs at the endpoint; SLUICE_ENOBROKER if none */
};

/* sluice_open_options.delivery: where callbacks run. Never inside a _start, never with a lock of
 * the library held. Callbacks of one session run one after another. */
enum {
    SLUICE_DELIVERY_THREAD = 0, /* on a thread of the library: a callback may block */
    SLUICE_DELIVERY_POLL = 1,   /* in sluice_dispatch, when sluice_waitable says so */
    SLUICE_DELIVERY_INLINE = 2  /* on the library's I/O thread, fastest: a callback must not block
                                   and not do I/O of its own; calls that
                                   wait, on whichever session, are EDEADLK */
};

/* sluice_open_options.private_log_level: what a private broker writes to its log */
enum {
    SLUICE_LOG_DEFAULT = 0, /* as WARNING */
    SLUICE_LOG_ERROR = 1,
    SLUICE_LOG_WARNING = 2, /* and errors, and so on */
    SLUICE_LOG_INFO = 3,
    SLUICE_LOG_DEBUG = 4
};

/* A PRIVATE BROKER is this user's process, started when a session needs it, with the rights that
 * the program has then: a program that gives up rights later (setuid) still has a broker with them,
 * until it closes the session. It ends when the session is closed, when the program ends in
 * whatever way, and when the session gives it up. Nobody else gets to it: on Linux it listens in a
 * folder that only this user can enter, made for it and removed with it, in
 * $XDG_RUNTIME_DIR/sluice, else in /tmp/sluice-UID, else in /tmp, the first that is this user's
 * alone and answers within a quarter of the time that is left, one second at most
 * (sluice_session_info.endpoint tells which; `sluice ops --endpoint` looks inside). It is no
 * child that the program's wait() or SIGCHLD handler could see, but in a program that is process 1
 * or a PR_SET_CHILD_SUBREAPER: that gets it like any orphan. It keeps no folder busy, has none of
 * the program's descriptors or handles but its log, no console or terminal (Ctrl-C does not reach
 * it), no signal blocked or ignored, a umask of 077; and the program's limits, priority and
 * environment.
 * A daemon that has closed its standard descriptors has a broker like any program; but it should
 * open /dev/null in their place (as daemon(3) does): else whatever opens something next gets their
 * numbers, and what is written to standard error goes there. The library keeps nothing there. */
typedef struct sluice_open_options {
    uint32_t size;
    uint32_t mode;
    uint32_t delivery;
    uint32_t credit_operations; /* calls in flight at most, as wish; 0 = the broker's choice */
    const char *endpoint;       /* of the service: a Windows pipe's name as in an address, or the
                                   absolute path of a Unix socket, at most 107 bytes (106, if it is
                                   sluiced that makes it); NULL = the
                                   default one of `sluiced --help` (on Linux this user's, so
                                   /run/... is to be named; a folder for it that is not this user's
                                   alone is SLUICE_EUNTRUSTED) */
    const char *broker_path;    /* PRIVATE, AUTO: absolute path of sluiced; NULL = beside the
                                   library (on Linux also ../libexec/sluice, ../bin and ../../bin
                                   from there, as installed), else beside the executable (on Linux
                                   also ../libexec/sluice); never by PATH or the current folder; and
                                   on Linux only one that is root's, this user's, or of whoever owns
                                   what it lies beside, and that others cannot write to: the detail
                                   of ENOBROKER says which was passed over, and why */
    const char *client_name;    /* 1 to 64 bytes, shown by `sluice ops`; NULL = the program's */
    uint64_t open_timeout_ns;   /* to find, start, connect and greet; 0 = 10 s. Also limits
                                   reconnects. A broker is given up before that, also with
                                   SLUICE_NO_TIMEOUT, when the system has not started a private
                                   one's process after 60 s (ETIMEDOUT), when that process does not
                                   listen 15 s later (ENOBROKER), and when one that listens takes us
                                   in or greets no sooner than after 5 s each (EUNRESPONSIVE) */
    /* SERVICE, AUTO: whose the service must be, as `sluice status` shows users: "uid 998" or
     * "S-1-5-80-...". No names: looking one up may block. NULL = our own user, root or LocalSystem;
     * on Linux also the owner of a named endpoint's directory if only that owner, root and we can
     * write to it and to those above, and none is a symbolic link; on Windows also any virtual
     * account of a service. Anybody else is SLUICE_EUNTRUSTED, and is not sent a byte. A private
     * broker must be our own user's. */
    const char *expected_user;
    char *ret_detail;           /* where the detail of a failure goes, "" on success; NULL = nowhere
                                   (SLUICE_DETAIL_BYTES are always enough) */
    uint32_t detail_size;       /* its room in bytes */
    uint32_t private_log_level; /* SLUICE_LOG_* */
    const char *private_log;    /* PRIVATE, AUTO: where the log and the last words of a private
                                   broker go: the absolute path of a file to append to, made if it
                                   is not there; NULL = see private_log_handle. In a folder that is
                                   not there it is SLUICE_EINVAL */
    uint64_t private_log_handle; /* ... or a descriptor or HANDLE; it is copied, and stays yours.
                                    One that cannot be written to is SLUICE_EINVAL. 0 = the
                                    program's standard error, or nowhere if that is closed. Windows:
                                    a console of the program's may be closed to its broker */
} sluice_open_options;

/* Opens a session; options may be NULL. Returns when the broker has greeted, and at the latest one
 * second after open_timeout_ns, whatever the broker, the start of its program or the file system of
 * the endpoint does. What does not come back in time is left to a thread of the library, which ends
 * it when it does; with 16 of those nothing is started any more (EOSLIMIT). What the options point
 * at is copied. EOSLIMIT names the limit, RLIMIT_NOFILE of this process for example, and its value.
 * SLUICE_OK; ENOBROKER, EACCESS, EUNTRUSTED, EVERSION, ETIMEDOUT, EUNRESPONSIVE (it does not
 * greet), ESHUTDOWN (it is stopping), EQUOTA (it has no room for a session), EPROTOCOL, EDEADLK (in
 * a callback of an INLINE session), ENAMETOOLONG, EINVAL, ENOMEM, EOSLIMIT, EOS.
 * On failure *ret_session is NULL. A child of fork may open a session of its own. */
SLUICE_API int32_t sluice_open(const sluice_open_options *options, sluice_session **ret_session);

/* Ends everything that is in flight (SLUICE_ECANCELED), runs the callbacks that are due (in the
 * POLL delivery inside this call), closes the connection, ends a private broker, and frees the
 * session. No other thread may use the session any more. Operations that were not released yet may
 * be released later. What a callback starts meanwhile is ECLOSED. NULL is allowed. It waits for the
 * session's callbacks, which are the program's own; else for one second at most, whatever the
 * broker does. A private broker that has not ended by then is seen to by a thread of the library.
 * In a callback of another session it waits for nobody, so that two sessions can be closed from
 * each other's callbacks: a thread of the library does all of this, callbacks of `session` may
 * still run when the call has returned (also those of POLL, on that thread), and the session is
 * gone when the last has. SLUICE_OK. Nothing has happened: SLUICE_EDEADLK, in a callback of this
 * session; SLUICE_EBUSY, another thread is in its sluice_dispatch; SLUICE_ENOMEM, SLUICE_EOSLIMIT,
 * no thread, in a callback of another session. In a forked child: EFORKED, and nothing is freed. */
SLUICE_API int32_t sluice_session_close(sluice_session *session);

typedef struct sluice_session_info {
    uint32_t size;
    uint32_t mode; /* SLUICE_MODE_PRIVATE or SLUICE_MODE_SERVICE: which one it got */
    uint32_t delivery;
    int32_t status;             /* SLUICE_OK, or why there is no connection now */
    uint64_t session_id;        /* of the present or last connection, as `sluice ops` shows it */
    uint64_t epoch;             /* another one after each start of the broker */
    uint64_t connection_count;  /* 1, and one more with each reconnect */
    uint64_t broker_process_id; /* of a private broker, else 0 */
    uint32_t payload_bytes;     /* a read or write takes so many at most */
    uint32_t credit_operations; /* calls in flight at most */
    uint64_t credit_bytes;      /* their bytes at most */
    uint32_t handles;           /* open at a time at most */
    uint32_t reserved;
    uint64_t call_grace_ns;    /* a call returns at most this long after its timeout */
    uint64_t ping_interval_ns; /* a broker that owes an answer and is silent so long is pinged, */
    uint64_t unresponsive_ns;  /* and after so long given up: SLUICE_EUNRESPONSIVE */
    char endpoint[768];        /* where the broker listens; of a private one: which place it got */
    char broker_version[64];
    char engine_name[32];
    char broker_user[184]; /* whose broker it is, as the system says: "uid 998", or a SID */
    char detail[SLUICE_DETAIL_BYTES]; /* of `status`: what the broker said when it went, or what is
                                         known of that */
} sluice_session_info;

/* What is known of a session, into memory of the caller's, which stays as it is on failure. Does
 * not wait. SLUICE_OK, EINVAL (NULL; no size), EFORKED. */
SLUICE_API int32_t sluice_session_get_info(sluice_session *session, sluice_session_info *ret_info);

/* ---- results --------------------------------------------------------------------------------- */

/* What a handle can do, as bits of sluice_result.can. */
enum {
    SLUICE_CAN_READ = 1,
    SLUICE_CAN_WRITE = 2,
    SLUICE_CAN_HALF_CLOSE = 4,
    SLUICE_CAN_ACCEPT = 8,
    SLUICE_CAN_DATAGRAM = 16
};

typedef struct sluice_result {
    uint32_t size;
    int32_t status;
    uint32_t os_error;        /* errno or Windows error behind a failure; for people */
    uint32_t handle_count;    /* of `handles` */
    uint64_t done;            /* bytes certainly read or written */
    uint64_t in_doubt;        /* a failed write: at most so many further bytes may be out */
    sluice_handle handles[2]; /* opened: close them. A pair: [0] reads what [1] writes */
    uint32_t can[2];
    char detail[SLUICE_DETAIL_BYTES]; /* of a failure */
} sluice_result;

/* ---- synchronous calls -----------------------------------------------------------------------
 *
 * Each returns the status that is also in ret_result, which may be NULL (not where handles are
 * opened: SLUICE_EINVAL). Besides what a call names, each can return ETIMEDOUT, EINVAL, ENOMEM,
 * EQUOTA (no credit came free in time), EBROKERLOST, EUNRESPONSIVE, ESHUTDOWN, EPROTOCOL, ESTALE,
 * EBADHANDLE, ECLOSED, EFORKED, EOSLIMIT; and EDEADLK, at once, in a callback of any INLINE
 * session: two such callbacks could wait for each other for ever.
 * errors.md (in share/doc/sluice, if installed) says what each can return, and when. Once a call
 * has returned, the library does not touch the caller's memory any more, also after a timeout. A
 * call that needs a connection which is lost makes a new one first, within its timeout; if that
 * fails, it returns what sluice_open would.
 */

/* An anonymous pipe: handles[0] reads what handles[1] writes. EABANDONED (the system did
 * not end it in time), EOSLIMIT, EOS. */
SLUICE_API int32_t sluice_pair(sluice_session *session, uint64_t timeout_ns,
                               sluice_result *ret_result);

/* Listens on "pipe:NAME" or "tcp:HOST:PORT" (port 0 = any, see sluice_local_address). A HOST with
 * several addresses is listened on at all of them that are this machine's, with one port;
 * "tcp:[::]:PORT" is IPv6 and IPv4. backlog: connections that wait for an accept, 1 to 65,535, as
 * far as the system goes along (Linux: net.core.somaxconn; a Windows pipe: 64); 0 = 4,096, on a
 * Windows pipe 16. handles[0] is the listener. Closing it leaves the connections that it gave.
 * A pipe lets in the client's own user and the broker's, nobody else.
 * ENOTSUP: this machine has no IPv6; or the broker has another user, and the folder is on a file
 * system without ACLs (Linux). ENOTFOUND: no such host, or no such folder (Linux).
 * EUNREACHABLE: no name server answers. EADDRINUSE, EADDRNOTAVAIL, ENAMETAKEN, ENAMETOOLONG,
 * EACCESS, ENOTSUP, EABANDONED, EOSLIMIT, EOS. */
SLUICE_API int32_t sluice_listen(sluice_session *session, const char *address, uint32_t backlog,
                                 uint64_t timeout_ns, sluice_result *ret_result);

/* Takes a connection: handles[0], to read and to write. Timed out or cancelled, it has taken none.
 * ECLOSED, EACCESS, ENOTSUP (no listener), EOSLIMIT, EOS. */
SLUICE_API int32_t sluice_accept(sluice_session *session, sluice_handle listener,
                                 uint64_t timeout_ns, sluice_result *ret_result);

/* Connects to "pipe:NAME" or "tcp:HOST:PORT": handles[0], to read and to write. The addresses of a
 * HOST, eight at most, are tried one after another: each but the last for its share of the time
 * that is left, two seconds at most.
 * EREFUSED, ENOTFOUND, EUNREACHABLE, EACCESS (also: a broker's endpoint), ERESET, ENAMETOOLONG,
 * ENOTSUP, EABANDONED, EOSLIMIT (no free port), EOS. */
SLUICE_API int32_t sluice_connect(sluice_session *session, const char *address, uint64_t timeout_ns,
                                  sluice_result *ret_result);

/* sluice_read flags */
enum {
    SLUICE_READ_ALL = 1 /* wait until `length` bytes are there; what came before an early end is in
                           the buffer, done > 0, together with the status of that end */
};

/* Reads at least 1 and at most `length` bytes into `buffer`; done = how many. length 0 waits until
 * a read would not wait. ECLOSED: the handle was closed meanwhile. Without READ_ALL a length over
 * payload_bytes is taken as that; with it, it is ETOOLARGE. A read that fails has taken nothing
 * from the stream, unless done says so.
 * EEOF, ECLOSED, ERESET, ENOTSUP, EOSLIMIT, EOS. */
SLUICE_API int32_t sluice_read(sluice_session *session, sluice_handle handle, void *buffer,
                               uint32_t length, uint32_t flags, uint64_t timeout_ns,
                               sluice_result *ret_result);

/* Writes `length` bytes, at most payload_bytes (ETOOLARGE). A failed write: `done` bytes are
 * certainly out, at most `in_doubt` more may be. Then the stream may be torn: later writes return
 * ETORN until sluice_acknowledge_torn. EBROKENPIPE, ECLOSED, ERESET, ETORN, ENOTSUP,
 * EABANDONED, EOSLIMIT, EOS. */
SLUICE_API int32_t sluice_write(sluice_session *session, sluice_handle handle, const void *bytes,
                                uint32_t length, uint64_t timeout_ns, sluice_result *ret_result);

/* After the writes before it the peer reads the end of file; later writes are EBROKENPIPE. Where
 * result.can has SLUICE_CAN_HALF_CLOSE: sockets, the writing end of a pair, and on Linux every
 * pipe. ENOTSUP (elsewhere; the handle goes on as before), ECLOSED, EBROKENPIPE, ERESET, ETORN,
 * EABANDONED, EOSLIMIT, EOS. */
SLUICE_API int32_t sluice_half_close(sluice_session *session, sluice_handle handle,
                                     uint64_t timeout_ns, sluice_result *ret_result);

/* Closes a handle: what is pending on it ends with ECLOSED, then the system's handle is closed.
 * The handle is gone whatever the outcome, also when the wait for it is cancelled, except after
 * EINVAL, ENOMEM, EFORKED and EDEADLK, which come before anything is done. EABANDONED: the system
 * did not let go in time; the broker looks after what is left. The timeout bounds the wait only;
 * the close goes on. */
SLUICE_API int32_t sluice_close(sluice_session *session, sluice_handle handle, uint64_t timeout_ns,
                                sluice_result *ret_result);

/* "I know that this stream is torn": lets writes through again. OK also if it is not torn.
 * ENOTSUP: the handle cannot be written. */
SLUICE_API int32_t sluice_acknowledge_torn(sluice_session *session, sluice_handle handle,
                                           uint64_t timeout_ns, sluice_result *ret_result);

/* There and back, nothing else. Connects first if the connection was lost. */
SLUICE_API int32_t sluice_ping(sluice_session *session, uint64_t timeout_ns,
                               sluice_result *ret_result);

/* The address a listener or TCP connection is bound to, "tcp:HOST:PORT", into `buffer` with its
 * NUL. Asks nobody but the library. EINVAL (does not fit `size`), ENOTSUP (it has none),
 * EBADHANDLE, ESTALE. 544 bytes are always enough. */
SLUICE_API int32_t sluice_local_address(sluice_session *session, sluice_handle handle, char *buffer,
                                        uint32_t size);

/* ---- asynchronous calls ----------------------------------------------------------------------
 *
 * A _start that returns 0 is followed by exactly one callback; any other return by none. It never
 * waits: without credit it returns EQUOTA. Before the callback `buffer` and `bytes` belong to the
 * library, whatever happens: cancelled, timed out, broker lost. (Text is copied.)
 *
 * A _start itself returns EINVAL, ENOMEM, EQUOTA, ECLOSED, EFORKED, ENAMETOOLONG (an address) or
 * ETOOLARGE; sluice_last_error says more. The statuses of the result are those of the synchronous
 * call but for EDEADLK, and ECANCELED.
 *
 * ret_operation may be NULL: then the operation cannot be cancelled, and needs no release. Else it
 * is set before the callback can run, stays valid until sluice_release, and must be released.
 *
 * There is no call that waits for an operation: the callback tells whoever waits, by a condition
 * variable or a pipe of one's own (examples/cancel_and_deadline.c). on_done may not be NULL.
 */

/* `operation` is NULL if the _start did not ask for one. `result` is valid during the callback. */
typedef void (*sluice_callback)(void *user, sluice_operation *operation,
                                const sluice_result *result);

SLUICE_API int32_t sluice_pair_start(sluice_session *session, uint64_t timeout_ns,
                                     sluice_callback on_done, void *user,
                                     sluice_operation **ret_operation);
SLUICE_API int32_t sluice_listen_start(sluice_session *session, const char *address,
                                       uint32_t backlog, uint64_t timeout_ns,
                                       sluice_callback on_done, void *user,
                                       sluice_operation **ret_operation);
SLUICE_API int32_t sluice_accept_start(sluice_session *session, sluice_handle listener,
                                       uint64_t timeout_ns, sluice_callback on_done, void *user,
                                       sluice_operation **ret_operation);
SLUICE_API int32_t sluice_connect_start(sluice_session *session, const char *address,
                                        uint64_t timeout_ns, sluice_callback on_done, void *user,
                                        sluice_operation **ret_operation);
SLUICE_API int32_t sluice_read_start(sluice_session *session, sluice_handle handle, void *buffer,
                                     uint32_t length, uint32_t flags, uint64_t timeout_ns,
                                     sluice_callback on_done, void *user,
                                     sluice_operation **ret_operation);
SLUICE_API int32_t sluice_write_start(sluice_session *session, sluice_handle handle,
                                      const void *bytes, uint32_t length, uint64_t timeout_ns,
                                      sluice_callback on_done, void *user,
                                      sluice_operation **ret_operation);
SLUICE_API int32_t sluice_half_close_start(sluice_session *session, sluice_handle handle,
                                           uint64_t timeout_ns, sluice_callback on_done, void *user,
                                           sluice_operation **ret_operation);
SLUICE_API int32_t sluice_close_start(sluice_session *session, sluice_handle handle,
                                      uint64_t timeout_ns, sluice_callback on_done, void *user,
                                      sluice_operation **ret_operation);
SLUICE_API int32_t sluice_acknowledge_torn_start(sluice_session *session, sluice_handle handle,
                                                 uint64_t timeout_ns, sluice_callback on_done,
                                                 void *user, sluice_operation **ret_operation);
SLUICE_API int32_t sluice_ping_start(sluice_session *session, uint64_t timeout_ns,
                                     sluice_callback on_done, void *user,
                                     sluice_operation **ret_operation);

/* Asks an operation to end. The callback is the truth: SLUICE_OK if it was faster, ECANCELED, or
 * another status. Any number of times, also late. Does not wait. SLUICE_OK, EINVAL (NULL), EFORKED.
 */
SLUICE_API int32_t sluice_cancel(sluice_operation *operation);

/* Gives up the caller's reference, also inside the callback, and also before it, which still
 * comes (then with operation = NULL). Never cancels. NULL is allowed. */
SLUICE_API void sluice_release(sluice_operation *operation);

/* ---- delivery by poll ------------------------------------------------------------------------ */

/* What to wait on before sluice_dispatch: an eventfd to be polled for reading, or the HANDLE of a
 * manual-reset event. Only to be waited on, not read, reset or closed; valid until
 * sluice_session_close. SLUICE_OK, EINVAL (NULL), ENOTSUP (another delivery),
 * EFORKED. */
SLUICE_API int32_t sluice_waitable(sluice_session *session, uint64_t *ret_waitable);

/* Runs up to max_callbacks callbacks that are due (0 = all that are due now) and says how many;
 * does not wait, but for what they do. One thread at a time: others get EBUSY. ret_count may be
 * NULL, and is written on success only.
 * SLUICE_OK, EINVAL (NULL), ENOTSUP (another delivery), EDEADLK (inside a callback), EBUSY,
 * EFORKED. */
SLUICE_API int32_t sluice_dispatch(sluice_session *session, uint32_t max_callbacks,
                                   uint32_t *ret_count);

/* ---- looking inside -------------------------------------------------------------------------- */

typedef struct sluice_broker_info {
    uint32_t size;
    uint32_t workers;
    uint32_t sessions;
    uint32_t draining; /* 1: the broker is stopping */
    uint64_t process_id;
    uint64_t uptime_ns;
    uint64_t handles;
    uint64_t operations; /* unfinished */
    uint64_t zombies;    /* handles the operating system does not let go */
    uint64_t memory_bytes;
    uint64_t operations_started; /* since the broker's start, like the rest */
    uint64_t operations_finished;
    uint64_t cancels;
    uint64_t sessions_started;
    uint64_t protocol_violations;
    char broker_version[64];
    char engine_name[32];
    uint64_t user_zombies; /* of this user, in all its sessions */
    uint32_t sees_all;     /* 1: sluice_ops shows everybody's operations, not only this user's */
    uint32_t reserved;
    char user[184]; /* who we are to the broker: "uid 1000", or a SID */
    /* Windows: completions that are no operation's, dropped. Somebody forges them, or a driver
     * errs. */
    uint64_t stray_packets;
    uint64_t opens_given_up;      /* ended opens (a look-up, a path) that the system still has */
    uint64_t user_opens_given_up; /* of this user */
} sluice_broker_info;

/* The broker's counters, written on success only. EACCESS. */
SLUICE_API int32_t sluice_broker_status(sluice_session *session, uint64_t timeout_ns,
                                        sluice_broker_info *ret_info);

/* sluice_ops_row.state */
enum {
    SLUICE_OPERATION_QUEUED = 1,     /* waits for its turn on the handle */
    SLUICE_OPERATION_STARTED = 2,    /* with the operating system */
    SLUICE_OPERATION_CANCELLING = 3, /* asked to end */
    SLUICE_OPERATION_ZOMBIE = 4      /* ended for its client; the system has not let go */
};

typedef struct sluice_ops_row {
    uint64_t session_id;
    uint64_t process_id; /* as the system says; where it does not, as the client says */
    uint64_t operation_id;
    uint64_t handle; /* the broker's number; 0 = none */
    uint64_t age_ns;
    uint64_t remaining_ns; /* until its deadline; 0 = none */
    uint64_t length_bytes;
    uint64_t done_bytes;
    uint32_t worker;
    uint32_t state;
    uint32_t stuck;
    uint32_t kind;      /* the number of its kind in the protocol */
    char kind_name[24]; /* "read", ... */
    char client_name[72];
    char user[184]; /* whose session: "uid 1000", or a SID */
} sluice_ops_row;

/* sluice_ops_query.filter */
enum { SLUICE_OPS_ALL = 0, SLUICE_OPS_STUCK = 1 };

typedef struct sluice_ops_query {
    uint32_t size;
    uint32_t filter;
    uint64_t min_age_ns; /* only operations that are older */
    uint64_t cursor;     /* 0 = from the start, else what the page before gave */
    uint32_t row_size;   /* sizeof(sluice_ops_row) */
    uint32_t reserved;
} sluice_ops_query;

/* A page of the operations of the sessions that this user may see: its own; everybody's if it is
 * the broker's user or an administrator. Up to `capacity` rows (at most 64 come), each row_size
 * bytes behind the one before; nothing is written but on success. What is left of a
 * session that ended, and that the system does not let go, is a close with operation_id 0; handle 0
 * is the session's connection. *ret_next_cursor 0 = that was the last page. query may be NULL.
 * EACCESS. */
SLUICE_API int32_t sluice_ops(sluice_session *session, const sluice_ops_query *query,
                              uint64_t timeout_ns, sluice_ops_row *ret_rows, uint32_t capacity,
                              uint32_t *ret_count, uint64_t *ret_next_cursor);

/* ---- the last error -------------------------------------------------------------------------- */

typedef struct sluice_error {
    uint32_t size; /* of what the library knows of this structure */
    int32_t status;
    uint32_t os_error; /* errno or Windows error behind it; for people */
    uint32_t reserved;
    char detail[SLUICE_DETAIL_BYTES];
} sluice_error;

/* What the last call of the calling thread that failed has to say, a _start included; its status is
 * SLUICE_OK if there was none. A call that succeeds leaves it alone, and so does an operation that
 * fails later: what there is to say of that is in its result. Never NULL; valid and unchanged until
 * the thread's next call that fails. */
SLUICE_API const sluice_error *sluice_last_error(void);

/* ---- words ----------------------------------------------------------------------------------- */

/* "ECANCELED"; "UNKNOWN" for a number that is none. Static. */
SLUICE_API const char *sluice_status_name(int32_t status);
/* One sentence for people, without a full stop. Static, never NULL. */
SLUICE_API const char *sluice_status_sentence(int32_t status);

/* The library's version, "0.1.0"; and the ABI's: the number in libsluice.so.N (abi.md). */
SLUICE_API const char *sluice_version(void);
SLUICE_API uint32_t sluice_abi_version(void);

#ifdef __cplusplus
}
#endif

#endif
