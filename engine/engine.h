/*
 * engine.h - the contract between Sluice and an operating system's I/O.
 *
 * A proactor. A worker thread submits requests, later polls for completions. Everything Sluice
 * promises (no call hangs, one outcome per operation, true byte counts, no byte lost by a cancel)
 * is built on the rules below, and every backend is held to them by one conformance suite
 * (tests/engine).
 *
 * THE RULES
 *  R1  A call that submits returns SLUICE_OK and then exactly one completion comes, or it returns
 *      a negative status and none comes. It refuses only for reasons of our own (closing, bad
 *      argument, not supported, limit, memory); whatever the operating system says arrives as
 *      the completion's status.
 *  R2  Completions come out of engine_poll only, never from inside another call.
 *  R3  Buffers, and everything else a request points at, belong to the engine from a successful
 *      submit until its completion is delivered. Nothing touches them afterwards. No timeout
 *      overrides this.
 *  R4  Cancelling is idempotent, advisory, and never an error: it may come early, late, twice,
 *      with an id long gone. The request still ends once, in one of three ways: SLUICE_OK with
 *      its bytes (it was faster), SLUICE_ECANCELED, or another error.
 *  R5  A cancelled read has taken nothing from the stream: what arrives goes to the next read. A
 *      cancelled accept has taken no connection: it goes to the next accept.
 *  R6  A write that did not end in SLUICE_OK says how many bytes are certainly out (`bytes`) and
 *      how many more may be (`in_doubt`); the two never exceed the length. Bytes after those are
 *      certainly not out.
 *  R7  Closing refuses new requests at once, cancels what is pending, waits for every one of them
 *      to come back, closes the OS handle, and only then delivers one ENGINE_CLOSE completion,
 *      after those of the requests. With a driver that never lets go, ENGINE_CLOSE never comes:
 *      the handle is a zombie, visible in the counters, and never closed from under its request.
 *  R8  A worker, its handles and its requests belong to one thread, the one that created the
 *      worker; every call checks it. Other threads may call engine_post, the engine_backend_*
 *      functions, engine_own_identity and engine_endpoint_create/destroy. The thread must outlive
 *      its I/O.
 *  R9  A worker never blocks but in engine_poll. What has no asynchronous form (opening a pipe by
 *      name on Windows, whatever names a path on Linux, looking up a host name) runs on the
 *      engine's opener threads.
 *  R10 No heap allocation per request in steady state; pools grow in chunks up to the worker's
 *      limits and are kept until the worker is destroyed.
 *
 * ORDER. On one handle, reads (and accepts, receives) complete in the order of submission, and so
 * do writes (and sends, half-closes). At most one stream read and one stream write are in the
 * kernel at a time; the others wait in the engine, where cancelling them is exact. A cancelled
 * request may end before earlier ones. Between handles there is no order.
 *
 * HOW THE BACKENDS MEET THE RULES
 *             iocp (Windows)                    epoll (Linux)              simulated (tests)
 *  submit     ReadFile/WSASend/... at once      marked; tried at the       an event after a
 *                                               next poll                  random delay
 *  ends by    the dequeued packet only          the system call's result   the event
 *  cancel     CancelIoEx by OVERLAPPED; the     taken off the queue:       any of the three
 *             packet decides                    exact                      outcomes
 *  in_doubt   the part that was in the kernel   always 0                   0 or more
 *  wake       PostQueuedCompletionStatus        eventfd                    a flag
 *  pipes      named pipes, byte mode            Unix stream sockets; a     in memory
 *                                               pair is a pipe2
 *  peers      the client's token; the pipe's    SO_PEERCRED                the user of the
 *             owner                                                        peer's engine
 *  endpoints  every worker has instances of     one acceptor thread        round robin
 *             its own; the kernel spreads       deals descriptors out
 */
#ifndef SLUICE_ENGINE_ENGINE_H
#define SLUICE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/random.h"
#include "base/status.h"
#include "engine/peer.h"

/* One per process and backend: limits, opener threads, start-up. */
typedef struct engine engine;
/* One per thread: a completion queue, its handles, its requests. */
typedef struct engine_worker engine_worker;
/* An open pipe end, socket or listener. Owned by a worker. */
typedef struct engine_handle engine_handle;
/* A broker's name, on which several workers listen. */
typedef struct engine_endpoint engine_endpoint;
/* An implementation of this contract (engine/backend.h). */
typedef struct engine_backend engine_backend;

/* Names a request from submit to completion; 0 = none. A stale id finds nothing (base/slots.h). */
typedef uint64_t engine_request_id;

/* ---- limits ---- */

#define ENGINE_GATHER_MAX       16          /* buffers per write or send */
#define ENGINE_IO_MAX           0x40000000u /* bytes per request, 1 GiB: fits a DWORD and an int */
#define ENGINE_PIPE_NAME_BYTES  768         /* a pipe's name with its NUL, UTF-8 */
#define ENGINE_PIPE_CHARS_MAX   247         /* of it on Windows, UTF-16 [docs: Pipe Names: 256] */
#define ENGINE_PIPE_PATH_MAX    107         /* of it on Linux, bytes: unix(7) */
#define ENGINE_ENDPOINT_PATH_MAX (ENGINE_PIPE_PATH_MAX - 1) /* that is made: epoll_mark.c */
#define ENGINE_HOST_BYTES       256         /* a host name with its NUL */
/* Connections that wait for an accept: the default, Linux's own since 5.4 (net.core.somaxconn), and
 * the most that Windows takes [docs: listen]. Each system cuts it to its own maximum. */
#define ENGINE_BACKLOG_DEFAULT 4096
#define ENGINE_BACKLOG_MAX     65535
/* ... of a pipe on Windows, where each is an instance kept ready. More is cut to the most. */
#define ENGINE_PIPE_BACKLOG_DEFAULT 16
#define ENGINE_PIPE_BACKLOG_MAX     64
#define ENGINE_LISTEN_ADDRESSES_MAX 16          /* of one listener: as many as a look-up gives */
#define ENGINE_DEFAULT_REQUESTS 65536u      /* per worker */
#define ENGINE_DEFAULT_HANDLES  65536u      /* per worker */
#define ENGINE_DEFAULT_OPENERS  8u          /* threads of each pool of openers, per engine */
#define ENGINE_OPENERS_MAX      64u         /* ... at most */
#define ENGINE_DEFAULT_GIVEN_UP 8u          /* opens of a share and pool that were given up */

/* A busy pipe is tried again after 1, 2, 4 ... 50 ms, until the connect's deadline. */
#define ENGINE_CONNECT_RETRY_FIRST_NS (1 * SL_NS_PER_MS)
#define ENGINE_CONNECT_RETRY_MAX_NS   (50 * SL_NS_PER_MS)

/* ---- addresses ---- */

typedef enum engine_address_family {
    ENGINE_ADDRESS_NONE,
    ENGINE_ADDRESS_PIPE, /* a local pipe: Windows "\\.\pipe\NAME", Linux a path */
    ENGINE_ADDRESS_IPV4,
    ENGINE_ADDRESS_IPV6
} engine_address_family;

typedef struct engine_address {
    engine_address_family family;
    bool is_endpoint;  /* of a pipe: a broker's own (below) */
    uint16_t port;     /* host byte order */
    uint32_t scope_id; /* IPv6 link-local scope, else 0 */
    uint8_t ip[16];    /* network byte order; IPv4 uses the first 4 */
    char pipe[ENGINE_PIPE_NAME_BYTES];
} engine_address;

/* SLUICE_OK, EINVAL (empty), ENAMETOOLONG. What a platform allows is checked when it is used. */
int engine_address_pipe(engine_address *ret_address, const char *name);
/*
 * The same name, but of a broker's endpoint. Endpoints and pipes are different kinds of names, so
 * that a broker never takes the one for the other: what engine_endpoint_create makes is marked, and
 * engine_listen cannot make the mark. A connect to a pipe that meets an endpoint ends with EACCESS,
 * a connect to an endpoint that meets anything else with EUNTRUSTED; no byte is exchanged.
 *   Linux: the endpoint's socket is bound as "DIRECTORY//NAME". The kernel tells that text to
 *   whoever has connected, through whatever link or mount (getpeername); the text of a listener
 *   never has "//".
 *   Windows: "\\.\pipe\NAME" is ENGINE_ENDPOINT_PREFIX_WIN and NAME, and a pipe's name never begins
 *   so.
 */
#define ENGINE_ENDPOINT_PREFIX_WIN "\\\\.\\pipe\\sluice.broker\\"
int engine_address_endpoint(engine_address *ret_address, const char *name);
void engine_address_ipv4(engine_address *ret_address, const uint8_t ip[4], uint16_t port);
/* An IPv4 address in IPv6's clothes (::ffff:127.0.0.1) becomes an IPv4 address. */
void engine_address_ipv6(engine_address *ret_address, const uint8_t ip[16], uint32_t scope_id,
                         uint16_t port);
/* 127.0.0.1:port */
void engine_address_loopback(engine_address *ret_address, uint16_t port);
/* 0.0.0.0 or :: */
bool engine_address_is_any(const engine_address *address);
/* Network addresses with the same port, and pipes of the same name. */
bool engine_address_equal(const engine_address *a, const engine_address *b);

/* ---- completions ---- */

typedef enum engine_kind {
    ENGINE_READ,
    ENGINE_WRITE,
    ENGINE_RECEIVE_FROM,
    ENGINE_SEND_TO,
    ENGINE_HALF_CLOSE,
    ENGINE_ACCEPT,
    ENGINE_LISTEN,
    ENGINE_CONNECT,
    ENGINE_PAIR,
    ENGINE_RESOLVE,
    ENGINE_CLOSE,  /* a handle is closed; no request id */
    ENGINE_MESSAGE /* from engine_post; no request id */
} engine_kind;

#define ENGINE_KIND_COUNT 12

/* "read", "write", ... for people. */
const char *engine_kind_name(engine_kind kind);

/* A message from any thread. Its poster owns it until it is posted and again once delivered. */
typedef struct engine_message {
    sl_mail mail;                                      /* private */
    void (*on_worker)(struct engine_message *message); /* private: leave it NULL */
    void *user;                                        /* the poster's */
} engine_message;

typedef struct engine_completion {
    engine_kind kind;
    int status;           /* SLUICE_OK or a negative status */
    uint32_t os_error;    /* errno or Windows error behind a failure; 0 = none. Diagnosis only */
    const char *detail;   /* what a failed open's status does not say; NULL = nothing. Static */
    uint32_t count;       /* RESOLVE: addresses written */
    void *user;           /* as given with the request; MESSAGE: message->user */
    engine_request_id id; /* 0 for CLOSE and MESSAGE */
    /* What the request ran on; NULL for LISTEN, CONNECT, PAIR, RESOLVE, MESSAGE. Valid until the
     * engine_poll after the one that delivered its ENGINE_CLOSE. */
    engine_handle *handle;
    size_t bytes;    /* transferred for certain */
    size_t in_doubt; /* failed writes and sends: further bytes that may be out */
    /* When SLUICE_OK: ACCEPT, LISTEN, CONNECT: [0]. PAIR: [0] reads what [1] writes. They belong to
     * whoever receives the completion, who must close them. */
    engine_handle *opened[2];
    engine_message *message; /* MESSAGE */
} engine_completion;

/* ---- the engine ---- */

typedef struct engine_options {
    sl_allocator *allocator;     /* NULL = the system's */
    sl_clock *clock;             /* NULL = the system's */
    sl_random *random;           /* NULL = the system's; names of anonymous pipes. Workers share it,
                                    so it must be thread-safe where they are threads */
    uint32_t max_requests;       /* per worker; 0 = ENGINE_DEFAULT_REQUESTS */
    uint32_t max_handles;        /* per worker; 0 = ENGINE_DEFAULT_HANDLES */
    uint32_t opener_threads;     /* of each pool; 0 = ENGINE_DEFAULT_OPENERS */
    uint32_t given_up_max;       /* per share and pool; 0 = ENGINE_DEFAULT_GIVEN_UP */
    bool may_fork; /* Linux: this process may fork, and a child keep copies of our descriptors. A
                      named pipe that is closed is over for its peer all the same; where bytes were
                      not read it may see the end of file instead of a reset. What it connected to
                      is entered in base/own_fds.h: the process closes that in a child of fork */
    const void *backend_options; /* the simulator's settings; NULL for the others */
} engine_options;

/* The backend of that name ("iocp", "epoll"), or this platform's default for NULL. NULL if there is
 * none of that name. */
const engine_backend *engine_backend_find(const char *name);
/* The index-th backend that is built in, or NULL past the end. */
const engine_backend *engine_backend_at(unsigned index);
const char *engine_backend_name(const engine_backend *backend);
/* false: all workers of this backend must be used from one thread (the simulator). */
bool engine_backend_is_threaded(const engine_backend *backend);

/* options may be NULL. Opener threads start with the first job. SLUICE_OK, ENOMEM, EOSLIMIT,
 * EOS. */
int engine_create(const engine_backend *backend, const engine_options *options,
                  engine **ret_engine);

/* Stops the openers, waiting at most grace_ns for those inside a system call: what they do there
 * nobody waits for any more. SLUICE_OK: everything is freed. SLUICE_EBUSY: workers or endpoints are
 * left. SLUICE_EABANDONED: openers are left in the system; the process may end all the same.
 * Otherwise than for SLUICE_OK nothing is freed, and calling again is allowed. NULL is allowed. */
int engine_destroy(engine *engine, uint64_t grace_ns);

/* ---- workers ---- */

/* Makes a worker that belongs to the calling thread. (Linux: blocks SIGPIPE in that thread, because
 * write(2) on a pipe has no flag against it.) SLUICE_OK, ENOMEM, EOSLIMIT, EOS, EINVAL (a limit
 * over 2^31 - 1). */
int engine_worker_create(engine *engine, engine_worker **ret_worker);

/* SLUICE_EBUSY while handles, requests or undelivered completions are left; then nothing happens.
 * No thread may post to it any more. NULL is allowed. */
int engine_worker_destroy(engine_worker *worker);

/* Delivers up to `capacity` completions, waiting for the first until deadline_ns on the engine's
 * clock (0 = do not wait, SL_CLOCK_NEVER = for ever). Returns how many; 0 = the deadline passed.
 * Never early. Late by 1 ms or less on Linux; by a timer tick, 15.6 ms by default, on Windows
 * (docs: timeBeginPeriod). */
unsigned engine_poll(engine_worker *worker, engine_completion *ret_completions, unsigned capacity,
                     uint64_t deadline_ns);

/* The next engine_poll asks the kernel even if it has completions to deliver already (otherwise it
 * may put that off for a few calls). For a caller whose work between two polls is long. */
void engine_look(engine_worker *worker);

/* Any thread. Delivers the message to the worker's next engine_poll. Never fails, never waits,
 * never allocates. */
void engine_post(engine_worker *worker, engine_message *message);

/* The worker's thread: are there messages that no engine_poll has delivered yet? */
bool engine_has_messages(const engine_worker *worker);

typedef struct engine_counters {
    uint32_t handles;         /* open, opening or closing */
    uint32_t requests;        /* submitted and not delivered yet */
    uint32_t closing;         /* handles whose close waits for a request: zombies, if it lasts */
    uint64_t submitted_count; /* since the worker was created */
    uint64_t completed_count;
    uint64_t handles_opened_count;
    uint64_t handles_closed_count;
    /* Windows: packets that were no operation's, dropped. They are forged, or a driver errs. */
    uint64_t stray_count;
    size_t memory_bytes;      /* held by the worker's pools */
    uint64_t allocated_count; /* heap allocations so far: constant in steady state (R10) */
} engine_counters;

/* engine_counters.stray_count alone, for looking often. */
uint64_t engine_worker_strays(const engine_worker *worker);

void engine_worker_counters(const engine_worker *worker, engine_counters *ret_counters);

/* The raw code behind the last engine_endpoint_join or engine_udp_open on this worker that
 * failed. */
uint32_t engine_worker_os_error(const engine_worker *worker);

engine *engine_worker_engine(engine_worker *worker);

/* ---- on whose behalf ---- */

#define ENGINE_OPENER_POOLS 4 /* of opener threads: see engine/opener.h */

/*
 * A user's share of the opener threads. An open that blocks takes an opener; no share has more than
 * half of those that the others leave of a pool, and what is over that waits, its deadline and its
 * cancel at work, until it is the share's turn. An open that is given up (cancelled, or timed out)
 * while an opener is inside the system with it ends at once; the opener stays there, and counts as
 * given up until it is back. With engine_options.given_up_max of them in a pool the share's opens
 * that need that pool end in EQUOTA: silent name servers refuse no path.
 *
 * The memory is the caller's; it outlives the engine. Workers share it, and take no lock for it.
 */
typedef struct engine_share {
    sl_atomic_u32 given_up; /* in all pools */
    /* private: the openers', under their lock */
    uint32_t away[ENGINE_OPENER_POOLS]; /* given_up, by pool */
    sl_list waiting[ENGINE_OPENER_POOLS];
    sl_list in_turn[ENGINE_OPENER_POOLS];
    uint32_t running[ENGINE_OPENER_POOLS];
} engine_share;

void engine_share_init(engine_share *share);
/* Opens that were given up and that an opener still has in the system. Any thread. */
uint32_t engine_share_given_up(const engine_share *share);
/* The same of all shares. */
uint32_t engine_given_up(const engine *engine);

/* On whose behalf something is opened. */
typedef struct engine_behalf {
    engine_share *share;   /* outlives the engine; NULL: the engine's own */
    engine_rights *rights; /* what it may open; outlives the request. NULL: all that we may */
    uint32_t pair_bytes;   /* a pair's pipe holds so many, rounded up (epoll); 0: the system's */
} engine_behalf;

/* ---- opening ---- */

typedef struct engine_listen_options {
    /* Connections that may wait for an accept, at each address; 0 = the default, at most
     * ENGINE_BACKLOG_MAX. */
    unsigned backlog;
    /* Pipes: who may connect. NULL = this user, and the one on whose behalf it is. Windows: an SDDL
     * string; Linux: an octal mode such as "0660". */
    const char *access;
} engine_listen_options;

/* A UDP socket bound to an address (port 0 = the system's choice). Does not wait. SLUICE_OK,
 * EINVAL, EQUOTA, ENOMEM, EADDRINUSE, EADDRNOTAVAIL, EACCESS, EOSLIMIT, EOS. */
int engine_udp_open(engine_worker *worker, const engine_address *bind_address,
                    engine_handle **ret_handle);

/* Takes an endpoint's name (engine_address_endpoint) for several workers. Any thread; may wait for
 * the file system that the name is in. Errors as those of ENGINE_LISTEN, and ENOTSUP.
 * ret_detail, on failure: what the status does not say, static; NULL = nothing. May be NULL. */
int engine_endpoint_create(engine *engine, const engine_address *name,
                           const engine_listen_options *options, engine_endpoint **ret_endpoint,
                           const char **ret_detail);
/* Makes this worker one of those that get connections, spread evenly. The listener is a handle like
 * any other; closing it leaves the endpoint. Connections that wait at a listener that closes go to
 * the others where the system allows (Linux); a Windows pipe instance cannot change its port, so
 * there, and at the last listener everywhere, they are dropped. Joining an endpoint that has had
 * listeners and has none takes the name anew: ENAMETAKEN where somebody holds it, or where on
 * Windows connections of the former listeners are still open. Errors as engine_endpoint_create. */
int engine_endpoint_join(engine_endpoint *endpoint, engine_worker *worker,
                         engine_handle **ret_listener);
/* SLUICE_EBUSY while it has listeners. Any thread. NULL is allowed. */
int engine_endpoint_destroy(engine_endpoint *endpoint);

/* What a handle can do. */
enum {
    ENGINE_CAN_READ = 1,
    ENGINE_CAN_WRITE = 2,
    ENGINE_CAN_HALF_CLOSE = 4,
    ENGINE_CAN_ACCEPT = 8,
    ENGINE_CAN_DATAGRAM = 16
};
unsigned engine_handle_capabilities(const engine_handle *handle);

/* From now on this handle's requests come before those of others that are ready as well: for a
 * connection over which little passes and on which somebody waits. A hint: where the kernel does
 * all the work in its own order (Windows), nothing changes. */
void engine_prefer(engine_handle *handle);

/* The address a socket is bound to; of a listener with several, the first that could be had.
 * SLUICE_OK, ECLOSED, ENOTSUP (pipes), EOS. */
int engine_handle_local_address(engine_handle *handle, engine_address *ret_address);

/* ---- requests ----
 *
 * Each returns SLUICE_OK (a completion will come), or ECLOSED (the handle is closing), EINVAL,
 * ENOTSUP (not this kind of handle), EQUOTA (the worker's max_requests or max_handles), ENOMEM:
 * then none comes. `user` comes back in the completion. ret_id may be NULL.
 */

/* Reads at least 1 and at most `length` bytes. length 0 waits until a read would not wait (data,
 * end of file or an error is there), takes nothing, and completes with OK and 0 bytes, or already
 * with the end of file or the error.
 * Status: OK; EEOF at the end of the stream, and again for every later read; ECANCELED, ERESET,
 * EOSLIMIT, EOS.
 * OK with 0 bytes and length > 0 is possible on a Windows pipe whose peer wrote 0 bytes: that is
 * not the end of file. */
int engine_read(engine_handle *handle, void *buffer, size_t length, void *user,
                engine_request_id *ret_id);

/* Reads what is there, now and without a request: no completion comes. Where the system has a form
 * of reading that never waits (Linux). Beside it nothing may be asked of the handle but one read of
 * length 0. *ret_bytes with OK, *ret_os_error with an error.
 * EBUSY: it would have to wait; ENOTSUP: the system has no such form, or the handle reads nothing;
 * ECLOSED; else as engine_read's completion. */
int engine_try_read(engine_handle *handle, void *buffer, size_t length, size_t *ret_bytes,
                    uint32_t *ret_os_error);

/* Does the system have it? */
bool engine_tries(const engine_handle *handle);

typedef struct engine_buffer {
    const void *bytes;
    size_t length;
} engine_buffer;

/* Writes all buffers in order: 1 to ENGINE_GATHER_MAX of them, together 1 byte to ENGINE_IO_MAX.
 * The array is copied, the bytes are not. OK = all bytes are with the kernel; otherwise R6 applies.
 * Status: OK, ECANCELED, EBROKENPIPE, ERESET, EOSLIMIT, EOS. (A Windows pipe has no gather: its
 * buffers go out one after another.) */
int engine_write(engine_handle *handle, const engine_buffer *buffers, unsigned buffer_count,
                 void *user, engine_request_id *ret_id);

/* Receives one datagram. A longer one is cut: ETRUNCATED with bytes = length, the rest is lost.
 * ret_from (may be NULL) is written before the completion and must live until then. ICMP errors of
 * earlier sends are not reported. Status: OK, ETRUNCATED, ECANCELED, EOSLIMIT, EOS. */
int engine_receive_from(engine_handle *handle, void *buffer, size_t length,
                        engine_address *ret_from, void *user, engine_request_id *ret_id);

/* Sends one datagram, whole or not at all; it may be empty (buffer_count 0). ETOOLARGE when it does
 * not fit the protocol. Status: OK, ETOOLARGE, ECANCELED, EUNREACHABLE, EREFUSED, ERESET,
 * EBROKENPIPE, EACCESS (a firewall), EOSLIMIT, EOS. */
int engine_send_to(engine_handle *handle, const engine_buffer *buffers, unsigned buffer_count,
                   const engine_address *to, void *user, engine_request_id *ret_id);

/* After the writes before it: no more writes; the peer reads the end of file. Writes submitted
 * later end in EBROKENPIPE. On the writing end of an anonymous pipe it closes the system's handle.
 * ENOTSUP on named pipes of Windows, which have two directions and one end (ENGINE_CAN_HALF_CLOSE
 * tells). Status: OK, ECANCELED, EBROKENPIPE, ERESET, EOSLIMIT, EOS. */
int engine_half_close(engine_handle *handle, void *user, engine_request_id *ret_id);

/* Waits for a connection. The handle it yields belongs to the listener's worker. Status: OK,
 * ECANCELED, EOSLIMIT (the connection waits for the next accept), EACCESS (Linux: a security policy
 * or a firewall), EOS. */
int engine_accept(engine_handle *listener, void *user, engine_request_id *ret_id);

/*
 * Listens on one pipe name, or on 1 to ENGINE_LISTEN_ADDRESSES_MAX TCP addresses as one listener:
 * this worker gets every connection. `addresses` and options->access are buffers (R3); options may
 * be NULL.
 *
 * Pipe names are exclusive: ENAMETAKEN when somebody holds the name. Linux: PATH.lock beside the
 * socket holds it (epoll_lock.c). A socket that a killed process of ours left is replaced; one of
 * another program stays, also if nobody answers there, and so does a lock file that is not ours.
 * The close of a listener on a Unix path waits until it is given up.
 *
 * TCP port 0 = one of the system's choice, the same at all addresses (engine_handle_local_address
 * tells it). :: takes IPv4 connections as well, unless an IPv4 address stands beside it; their
 * addresses are IPv4's. An address that is there twice is taken once. One that is not this
 * machine's, or of a protocol that it does not have, is left out if another one can be had; any
 * other refusal is the whole listener's, and leaves nothing bound.
 *
 * Refused at once: EINVAL (no address, an endpoint's, a backlog over the limit). Status: OK,
 * ECANCELED, EINVAL, ENOTSUP (no such protocol here; Linux, for another user: no ACLs in that
 * folder), EQUOTA (the share), ENOMEM, EADDRINUSE, EADDRNOTAVAIL, ENAMETAKEN, ENAMETOOLONG, EACCESS
 * (Windows: also an endpoint's name), ENOTFOUND (no such directory), EOSLIMIT, EOS.
 */
int engine_listen(engine_worker *worker, const engine_address *addresses, unsigned address_count,
                  const engine_listen_options *options, const engine_behalf *behalf, void *user,
                  engine_request_id *ret_id);

/* Connects to a pipe or TCP address until deadline_ns on the engine's clock (ETIMEDOUT). A busy
 * pipe is tried again by timer, and holds no opener in between. Refused at once: EINVAL (no
 * address, TCP port 0). Status: OK, ECANCELED, ETIMEDOUT, EREFUSED, ENOTFOUND, EUNREACHABLE (also:
 * no such protocol here), ERESET, EACCESS, EUNTRUSTED (an endpoint's name, but no endpoint),
 * ENAMETOOLONG, EINVAL, EQUOTA (the share), ENOMEM, EOSLIMIT (also: every local port is in use),
 * EOS. */
int engine_connect(engine_worker *worker, const engine_address *address, uint64_t deadline_ns,
                   const engine_behalf *behalf, void *user, engine_request_id *ret_id);

/* Makes an anonymous, one-way pipe: opened[0] reads what opened[1] writes. Status: OK, ECANCELED,
 * EQUOTA (the share), ENOMEM (Windows: for an opener), EOSLIMIT, EOS. */
int engine_pair(engine_worker *worker, const engine_behalf *behalf, void *user,
                engine_request_id *ret_id);

/* Looks up a host name: up to `capacity` addresses with that port, in the system's order of
 * preference, written to ret_addresses, which must live until the completion; `count` says how
 * many. A numeric address is read here, and takes no opener. A cancelled look-up ends at once; the
 * late answer is dropped by its opener. Status: OK, ENOTFOUND, EUNREACHABLE (no name server
 * answers), ECANCELED, EQUOTA (the share), ENOMEM, EOSLIMIT, EOS. */
int engine_resolve(engine_worker *worker, const char *host, uint16_t port,
                   engine_address *ret_addresses, uint32_t capacity, const engine_behalf *behalf,
                   void *user, engine_request_id *ret_id);

/* So many bytes of a write are certainly out by now; 0 when the id is not in flight. It tells a
 * slow peer from one that takes nothing. Exact on epoll and the simulator; on Windows it grows with
 * each part of 64 KiB (a socket: 256 KiB) that the kernel took, for it tells of no less. */
size_t engine_write_progress(const engine_worker *worker, engine_request_id id);

/* Asks a request to end (R4). An id that is not in flight is ignored. */
void engine_cancel(engine_worker *worker, engine_request_id id);

/* Closes a handle (R7); `user` comes back with its ENGINE_CLOSE. SLUICE_OK, or SLUICE_ECLOSED when
 * it is closing already (no second completion comes then). Never refused for want of memory. */
int engine_close(engine_handle *handle, void *user);

#endif
