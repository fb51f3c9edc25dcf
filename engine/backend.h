/*
 * backend.h - what an engine is made of, for those who write one.
 *
 * The files of the shared state machine (core.h lists them) keep the rules of engine.h in one
 * place: requests and handles in pools, one FIFO queue per handle and direction, cancel, close,
 * deadlines of connects, messages, delivery. A backend only starts requests in its kernel and says
 * how they ended:
 *
 *   engine_read() -> request WAITING in handle->queue[IN] -> its turn: ops->start() -> STARTED
 *   kernel -> backend -> engine_request_finish() -> DONE, on worker->ready -> engine_poll()
 *
 * A backend embeds these structures as the FIRST member of its own (struct iocp_request {
 * engine_request request; OVERLAPPED overlapped; }) and tells their sizes in its ops table; the
 * pools allocate by those sizes. Entries come zeroed the first time, and as they were left
 * afterwards: a backend sets its own members when it starts a request or opens a handle.
 *
 * Thread: everything here runs on the worker's thread, except ops->wake,
 * ops->endpoint_create/destroy and the calls that concern the whole engine.
 */
#ifndef SLUICE_ENGINE_BACKEND_H
#define SLUICE_ENGINE_BACKEND_H

#include "base/heap.h"
#include "base/list.h"
#include "base/slots.h"
#include "engine/engine.h"

/* Something engine_poll will deliver: a request that is done, or a handle that is closed. */
typedef struct engine_ready {
    struct engine_ready *next; /* in worker->ready; a handle then in worker->retired */
    bool is_handle;
} engine_ready;

/* First in, first out. */
typedef struct engine_ready_queue {
    engine_ready *first;
    engine_ready *last; /* meaningless while `first` is NULL */
} engine_ready_queue;

typedef enum engine_request_state {
    ENGINE_REQUEST_FREE,
    ENGINE_REQUEST_WAITING, /* in a queue of its handle; the backend does not know it */
    ENGINE_REQUEST_STARTED, /* the backend has it; ends only by engine_request_finish */
    ENGINE_REQUEST_DONE     /* in worker->ready */
} engine_request_state;

typedef struct engine_request engine_request;
struct engine_request {
    /* What every request uses, close together: with thousands pending it is cold each time. */
    engine_ready ready;
    sl_list link; /* in queue->waiting, queue->started or worker->loose */
    engine_worker *worker;
    engine_handle *handle; /* NULL: listen, connect, pair, resolve */
    engine_request_id id;
    void *user;
    engine_kind kind;
    engine_request_state state;
    bool cancel_asked; /* ops->cancel was called */
    bool timed_out;    /* ... because a connect's deadline passed: ECANCELED becomes ETIMEDOUT */
    bool retrying;     /* a connect between two attempts: the backend does not have it just now */
    unsigned opening_count;
    unsigned buffer_count;
    /* what is asked for */
    void *buffer;  /* read, receive_from */
    size_t length; /* read, receive_from: room; write, send_to: sum of the buffers */
    size_t done;   /* write: bytes certainly out so far, kept by the backend */
    /* how it ended: engine_completion, from DONE on */
    int status;
    uint32_t os_error;
    const char *detail; /* set by the backend before it finishes; static */
    size_t bytes;
    size_t in_doubt;
    union {
        engine_buffer buffers[ENGINE_GATHER_MAX]; /* write, send_to: none is empty */
        char host[ENGINE_HOST_BYTES];             /* resolve */
        engine_listen_options listen;             /* listen */
    };
    /* accept, listen, connect, pair: handles taken at submit, so that none is wanting later */
    engine_handle *opening[2];
    /* connect (connect.c) */
    uint64_t pause_ns;    /* before the next attempt */
    uint64_t retry_at_ns; /* when retrying */
    uint64_t deadline_ns;
    sl_heap_node timer;                     /* in worker->timers: the earlier of the two */
    engine_address *ret_from;               /* receive_from, may be NULL */
    engine_address *ret_addresses;          /* resolve */
    const engine_address *listen_addresses; /* listen */
    unsigned listen_count;
    uint32_t address_capacity;
    uint32_t address_count; /* set by the backend before it finishes a resolve */
    uint16_t port;
    /* listen, connect, pair, resolve */
    engine_behalf behalf;
    struct engine_opener_job *job; /* with an opener, or waiting for one; else NULL */
    engine_address address;        /* listen, connect, send_to */
};

typedef enum engine_direction { ENGINE_IN, ENGINE_OUT } engine_direction;

/* The requests of one direction of a handle, in order. */
typedef struct engine_queue {
    sl_list waiting;
    sl_list started;
    unsigned started_count;
    unsigned started_max; /* 1 for streams and datagrams; a listener may have more */
    bool pumping;         /* guards against recursion through requests that end inside ops->start */
} engine_queue;

/* What a worker does at a stretch before it looks who else has come: the kernel is asked again
 * after this time, and handles that are not preferred wait for the next turn. With 25 us a client
 * that has nothing but one small request waits behind a flooder's share of about 60 us
 * (tests/integration/case_flood.c); each look costs about 1 us. */
#define ENGINE_TURN_NS (25 * SL_NS_PER_US)

struct engine_handle {
    engine_ready ready; /* its ENGINE_CLOSE */
    void *close_user;
    engine_worker *worker;
    sl_slot_id slot;
    engine_queue queue[2];
    engine_endpoint *endpoint; /* listener that joined an endpoint */
    unsigned capabilities;     /* ENGINE_CAN_...; 0 = not open yet */
    unsigned pending;          /* requests WAITING or STARTED, and holds */
    bool open;                 /* the backend holds an OS resource for it */
    bool is_preferred;         /* engine_prefer */
    bool closing;
    bool closed; /* its ENGINE_CLOSE is on worker->ready or was delivered */
};

struct engine_worker {
    engine *engine;
    const struct engine_ops *ops;
    uint64_t owner; /* sl_thread_self() of its thread */
    sl_account account;
    sl_slots requests;
    sl_slots handles;
    sl_heap timers;
    engine_ready_queue ready;   /* to deliver */
    engine_ready_queue retired; /* handles whose close the last poll delivered: for the next one */
    sl_list loose;              /* requests STARTED without a handle (listen, connect, ...) */
    sl_mailbox mailbox;
    sl_mail *mail;         /* taken from the mailbox, not yet delivered, oldest first */
    sl_atomic_bool asleep; /* about to wait or waiting in the kernel: a poster must wake it */
    sl_atomic_u32 posters; /* threads inside engine_post: the worker outlives them */
    unsigned polls_since_wait;
    uint64_t waited_ns; /* when the kernel was asked last */
    bool ended_first; /* what ended came before messages in the last batch; next time it is after */
    bool wants_flush; /* set by start(): engine_poll clears it and calls ops->flush */
    sl_mail *opener_jobs; /* free ones of this worker (opener.c) */
    uint32_t os_error;
    const char *detail; /* of a listen that has just failed, beside the former; or NULL. Static */
    uint64_t stray_count;
    uint32_t closing_count;
    uint32_t retired_handles; /* on `retired`: closed and delivered, not recycled yet */
    uint64_t submitted_count;
    uint64_t completed_count;
    uint64_t handles_opened_count;
    uint64_t handles_closed_count;
};

struct engine_endpoint {
    engine *engine;
    engine_address address;
    sl_atomic_u32 listener_count;
};

/* On whose behalf something is opened: the first member of a backend's own structure. */
struct engine_rights {
    sl_atomic_u32 references;
    engine *engine;
    size_t size;
};

struct engine_opener; /* opener.h */

struct engine {
    const struct engine_ops *ops;
    sl_account account;
    sl_clock *clock;
    sl_random *random;
    uint32_t max_requests;
    uint32_t max_handles;
    bool may_fork;
    uint32_t given_up_max;
    const void *backend_options;
    sl_atomic_u32 worker_count;
    sl_atomic_u32 endpoint_count;
    struct engine_opener *opener;
};

/* For ops->peer_rights: `size` zeroed bytes, counted once; NULL: no memory. */
engine_rights *engine_rights_create(engine *engine, size_t size);

/* Details of completions, the same from every backend. */
#define ENGINE_DETAIL_ENDPOINT "this is a broker's endpoint: no broker opens one for a client"
#define ENGINE_DETAIL_RIGHTS \
    "this client's user may not open that itself, so the broker does not open it for it"
#define ENGINE_DETAIL_PIPE "this is a pipe on which somebody listens, not a broker's endpoint"
#define ENGINE_DETAIL_LINK \
    "such an address is one of a link, and wants the link's name or number: [fe80::1%eth0]"
#define ENGINE_DETAIL_NO_LINK "there is no network interface of the name behind the %"
#define ENGINE_DETAIL_TAKES_NO_LINK \
    "only an IPv6 address of one link has a network interface behind a %"
#define ENGINE_DETAIL_NO_PORT "no local port is free"
#define ENGINE_DETAIL_NO_PIPE "there is no pipe of that name"
#define ENGINE_DETAIL_NO_HOST "there is no host of that name"

/* Unicast or multicast of one link (RFC 4291): only there the name of an interface says more. */
bool engine_is_of_one_link(const uint8_t ip[16]);
/* Is it of one link, and does not say which? */
bool engine_address_lacks_link(const engine_address *address);

/* What a backend provides. A member may be NULL only where that is said. */
typedef struct engine_ops {
    size_t engine_size;
    size_t worker_size;
    size_t handle_size;
    size_t request_size;
    size_t endpoint_size;
    uint32_t handle_bytes; /* engine_handle_bytes */

    /* Start-up and its reverse, after/before everything else. */
    int (*engine_open)(engine *engine);
    void (*engine_close)(engine *engine);
    int (*worker_open)(engine_worker *worker);
    void (*worker_close)(engine_worker *worker);

    /* Any thread: make a wait() that runs or comes next return soon. */
    void (*wake)(engine_worker *worker);

    /* Does what start() put off, without waiting; finished requests go to worker->ready. Called by
     * engine_poll when worker->wants_flush is set; may be NULL in a backend that never sets it. */
    void (*flush)(engine_worker *worker);

    /* Waits until something happened or deadline_ns (0 = only look), finishes what ended, and
     * returns: what happened may have moved a timer. May return early. */
    void (*wait)(engine_worker *worker, uint64_t deadline_ns);

    /* Takes a request (now STARTED). Exactly one engine_request_finish follows, inside or later; a
     * connect may call engine_request_retry first, any number of times. */
    void (*start)(engine_worker *worker, engine_request *request);

    /* Asks for a STARTED request's end. Called once per request at most (cancel_asked is set), and
     * not while it has a job (cancel.c). The request may finish inside or later, with any outcome;
     * no other request may finish inside. */
    void (*cancel)(engine_worker *worker, engine_request *request);

    /* Opens; on success the handle is filled in with engine_handle_opened. The raw code of a
     * failure goes to worker->os_error. `rights`: whose listener it is; NULL: ours. */
    int (*listen)(engine_worker *worker, engine_handle *handle, const engine_address *addresses,
                  unsigned address_count, const engine_listen_options *options,
                  const engine_rights *rights);
    int (*udp_open)(engine_worker *worker, engine_handle *handle, const engine_address *address);
    int (*local_address)(engine_handle *handle, engine_address *ret_address);

    /* Who is at the other end; who we are (any thread). */
    int (*peer_identity)(engine_handle *handle, engine_peer *ret_peer);
    int (*peer_is_among)(engine_handle *handle, const engine_identity *whom, unsigned count,
                         bool *ret_is_among);
    int (*own_identity)(engine *engine, engine_identity *ret_identity);
    /* NULL: nothing is to be done, or the system has no way. */
    int (*watch_peer)(engine_handle *handle);
    /* Of an accepted pipe whose peer is our own user: has it less? NULL: never. */
    int (*peer_is_lesser)(engine_handle *handle, bool *ret_is_lesser);
    /* What the peer of an accepted pipe may open, and, when nobody holds that any more, frees what
     * is in it. Both may be NULL. */
    int (*peer_rights)(engine_handle *handle, engine_rights **ret_rights);
    void (*rights_close)(engine_rights *rights);

    /* *ret_detail is NULL before. */
    int (*endpoint_create)(engine_endpoint *endpoint, const engine_listen_options *options,
                           const char **ret_detail);
    void (*endpoint_destroy)(engine_endpoint *endpoint);
    int (*endpoint_join)(engine_endpoint *endpoint, engine_worker *worker, engine_handle *handle);

    /* engine_try_read of a handle with no other request for bytes in the kernel. NULL: the system
     * has no such form. */
    int (*try_read)(engine_handle *handle, void *buffer, size_t length, size_t *ret_bytes,
                    uint32_t *ret_os_error);

    /* engine_sends_more and so on; all of them NULL: never, 0, nothing to do. */
    bool (*sends_more)(engine_handle *handle);
    int (*unsent)(engine_handle *handle, uint64_t *ret_bytes);
    uint32_t (*receive_step)(engine_handle *handle);
    void (*widen)(engine_handle *handle);

    /* The handle begins to close: ask for the end of what the backend holds it for
     * (engine_handle_hold). May be NULL. */
    void (*closing)(engine_worker *worker, engine_handle *handle);

    /* Closes the OS resource of an open handle; nothing of it is in the kernel. */
    void (*release)(engine_worker *worker, engine_handle *handle);
} engine_ops;

struct engine_backend {
    const char *name;
    bool is_threaded;
    const engine_ops *ops;
};

extern const engine_backend engine_backend_iocp;  /* iocp.c */
extern const engine_backend engine_backend_epoll; /* epoll.c */

/* ---- what the core offers to backends ---- */

/*
 * Ends a STARTED request: the only way. `bytes` and `in_doubt` as in engine_completion. For ACCEPT,
 * LISTEN, CONNECT and PAIR that succeed, the backend has called engine_handle_opened on
 * request->opening[] before; after a failure the core recycles those handles. ECANCELED becomes
 * ETIMEDOUT where the deadline was the reason. Starts the next request of the queue, and completes
 * a close that waited for this one.
 */
void engine_request_finish(engine_request *request, int status, uint32_t os_error, size_t bytes,
                           size_t in_doubt);

/* A connect attempt met a busy peer: ops->start is called again after a growing pause
 * (ENGINE_CONNECT_RETRY_*), unless a cancel or the deadline comes first. The backend must hold
 * nothing for the request when it calls this. */
void engine_request_retry(engine_request *request);

/* Marks a handle as open: from now on ops->release will be called for it, once. started_max_in is
 * the number of requests of the IN direction that the backend takes at a time. */
void engine_handle_opened(engine_handle *handle, unsigned capabilities, unsigned started_max_in);

/* What a backend has in the kernel for a handle beside its requests (a standing accept of a pipe
 * listener, a path that is to be given up) holds the handle: a close waits for every unhold, which
 * may complete it. */
void engine_handle_hold(engine_handle *handle);
void engine_handle_unhold(engine_handle *handle);

/* The first started request of a direction, or NULL. */
engine_request *engine_queue_head(engine_queue *queue);

/* Starts waiting requests as far as started_max allows: for a backend whose listener can take
 * accepts again. */
void engine_queue_pump(engine_handle *handle, engine_direction direction);

/* The direction in which a kind queues. */
engine_direction engine_kind_direction(engine_kind kind);

/*
 * A connect to a local port that nobody listens on, and that the system happens to give to this
 * very socket, succeeds: TCP's simultaneous open with itself (RFC 9293, 3.5). To us nobody is
 * listening there: EREFUSED. `own`: what the connected socket is bound to; `to`: what was asked
 * for.
 */
bool engine_is_connected_to_itself(const engine_address *own, const engine_address *to);

/* The listening sockets of a TCP listener. */
typedef struct engine_sockets {
    uintptr_t sockets[ENGINE_LISTEN_ADDRESSES_MAX];
    engine_address_family families[ENGINE_LISTEN_ADDRESSES_MAX];
    unsigned count;
} engine_sockets;

typedef struct engine_sockets_ops {
    /* Binds and listens. `is_dual`: for IPv4 as well. A status, with worker->os_error. */
    int (*open)(engine_worker *worker, const engine_address *address, bool is_dual,
                unsigned backlog, uintptr_t *ret_socket);
    /* The port it is bound to. A status, with worker->os_error. */
    int (*port)(engine_worker *worker, uintptr_t socket, uint16_t *ret_port);
    void (*close)(engine_worker *worker, uintptr_t socket);
} engine_sockets_ops;

/* Starts an ENGINE_LISTEN that does not wait: ops->listen, and its end. */
void engine_listen_start(engine_request *request);

/* Opens what engine_listen says for several addresses: all that can be had, or nothing. */
int engine_sockets_open(engine_worker *worker, const engine_sockets_ops *ops,
                        const engine_address *addresses, unsigned count,
                        const engine_listen_options *options, engine_sockets *ret_sockets);

/* Allocations of a backend that live longer than a request. */
void *engine_worker_alloc(engine_worker *worker, size_t size_bytes);
void engine_worker_free(engine_worker *worker, void *memory, size_t size_bytes);

#endif
