/*
 * sim_world.h - the inside of the simulated engine; tests include engine_sim.h.
 *
 *   engine_sim.c  the ops table: start, cancel, wait    sim_stream.c    connections and their bytes
 *   sim_world.c   the world, time, chance, the trace    sim_net.c       names, listeners, connects
 *   sim_bytes.c   queues of bytes                       sim_datagram.c  UDP sockets
 *   sim_kill.c    processes that die or are halted
 *
 * Who owns what: the world owns bindings, connections, datagrams and chunks of bytes. A handle of
 * the engine embeds its side (sim_handle) and points at its connection, which points back; a
 * connection is freed when both its sides are closed. A request embeds its two events, so nothing
 * is allocated per request. Thread: one.
 *
 * Buffers: only the step functions touch a request's buffers, and they run only for a STARTED
 * request (sim_request_of_event checks). sim_request_finish is always the last thing done to a
 * request: the core may start the next request and release the handle inside it.
 */
#ifndef SLUICE_TESTS_SIM_SIM_WORLD_H
#define SLUICE_TESTS_SIM_SIM_WORLD_H

#include "engine/backend.h"
#include "tests/sim/engine_sim.h"

#define SIM_CHUNK_BYTES  2000u
#define SIM_BUCKETS      64u
#define SIM_DATAGRAM_MAX 65507u /* IPv4's limit for UDP */
#define SIM_STALL_FACTOR 100u
#define SIM_TCP_RETRY_NS (20 * SL_NS_PER_MS) /* a SYN that met a full backlog is sent again */
#define SIM_PORT_FIRST   49152u              /* ports of the system's choice */
#define SIM_PORT_COUNT   16384u

/* Raw codes, as Linux numbers them. */
/* clang-format off */
enum {
    SIM_ENOENT = 2, SIM_EIO = 5, SIM_EACCES = 13, SIM_EBUSY = 16, SIM_EMFILE = 24, SIM_EPIPE = 32,
    SIM_EMSGSIZE = 90, SIM_EADDRINUSE = 98, SIM_EADDRNOTAVAIL = 99, SIM_ENETUNREACH = 101,
    SIM_ECONNRESET = 104, SIM_ENOBUFS = 105, SIM_ETIMEDOUT = 110, SIM_ECONNREFUSED = 111,
    SIM_ECANCELED = 125
};
/* clang-format on */

/* ---- bytes ----------------------------------------------------------------------------------- */

typedef struct sim_chunk {
    struct sim_chunk *next;
    uint32_t begin;
    uint32_t end;
    unsigned char bytes[SIM_CHUNK_BYTES];
} sim_chunk;

/* A queue of bytes; all zero = empty. */
typedef struct sim_bytes {
    sim_chunk *head;
    sim_chunk *tail;
    size_t count;
} sim_bytes;

void sim_bytes_push(sim_world *world, sim_bytes *bytes, const void *from, size_t count);
/* Takes count bytes, at most bytes->count; `to` NULL drops them. */
void sim_bytes_pop(sim_world *world, sim_bytes *bytes, void *to, size_t count);
/* A piece of a write's buffers. */
void sim_bytes_push_gather(sim_world *world, sim_bytes *bytes, const engine_request *request,
                           size_t offset, size_t count);
void sim_bytes_free_chunks(sim_world *world);

/* ---- events ---------------------------------------------------------------------------------- */

typedef enum sim_event_type {
    SIM_EVENT_STEP,  /* in a sim_request: it goes on */
    SIM_EVENT_ABORT, /* in a sim_request: its cancel takes effect */
    SIM_EVENT_DEAL   /* in a sim_handle: a listener hands a connection to an accept */
} sim_event_type;

typedef struct sim_event {
    sl_heap_node node; /* in world->events */
    sim_event_type type;
} sim_event;

/* ---- connections, names, handles, requests --------------------------------------------------- */

typedef enum sim_transport {
    SIM_TRANSPORT_PIPE,
    SIM_TRANSPORT_TCP,
    SIM_TRANSPORT_UDP,
    SIM_TRANSPORT_PAIR
} sim_transport;

typedef struct sim_handle sim_handle;

/* One direction of a connection. */
typedef struct sim_stream {
    sim_bytes bytes;
    bool fin;         /* no more will come: end of file after the bytes */
    bool reset;       /* broken: ERESET after the bytes */
    bool reader_gone; /* nobody will read: writes fail */
} sim_stream;

/* Two sides; streams[i] is read by side i and written by the other. A pair has streams[0] only.
 * Side 0 is the reading end of a pair, or the connecting side; side 1 is the accepted one. */
typedef struct sim_connection {
    sl_list link; /* in a listener's backlog */
    sim_transport transport;
    size_t capacity;
    sim_stream streams[2];
    sim_handle *handles[2]; /* NULL: not accepted yet, or closed */
    bool closed[2];
    bool swallowed;          /* a write to the closed peer has "succeeded" once */
    engine_address local[2]; /* TCP only */
    uint32_t user[2];        /* whose each side is: who connected, who listened */
    const engine *engine[2]; /* and of which process; only compared */
    uint32_t group[2];
    unsigned peer_busy_count; /* left of the option */
} sim_connection;

/* A name or address that is taken. */
typedef struct sim_binding {
    sl_list link; /* in world->bindings[] */
    /* Of a listener on several addresses the first has the listener; the others lead to it. */
    struct sim_binding *first;
    struct sim_binding *next;
    bool is_dual; /* :: for IPv4 as well */
    sim_transport transport;
    engine_address address;
    sl_list listeners;  /* sim_handle.listener_link: pipes and TCP */
    sim_handle *socket; /* UDP */
} sim_binding;

typedef struct sim_datagram {
    sl_list link; /* in a socket's queue */
    engine_address from;
    sim_bytes bytes;
} sim_datagram;

struct sim_handle {
    engine_handle handle;       /* first: what the core knows */
    sim_connection *connection; /* streams */
    unsigned side;
    sim_binding *binding;  /* listeners and UDP sockets */
    sl_list listener_link; /* listeners: in binding->listeners */
    sl_list queue;         /* listeners: connections; UDP: datagrams */
    uint32_t queue_count;
    uint32_t queue_max;
    sim_event deal; /* listeners */
};

typedef enum sim_phase {
    SIM_PHASE_NONE,
    SIM_PHASE_PARKED,    /* waits for something to happen; no step is scheduled */
    SIM_PHASE_SCHEDULED, /* a step is scheduled */
    SIM_PHASE_LATE       /* all is done but the completion, which the scheduled step delivers */
} sim_phase;

typedef struct sim_request {
    engine_request request; /* first: what the core knows */
    sim_event step;
    sim_event abort;
    sl_list stuck_link; /* in world->stuck */
    sim_phase phase;
    bool is_last_try; /* cancelled, and this step is its chance: no faults, no new wait */
    int fail_status;  /* the operating system will refuse it; 0 = it will not */
    uint32_t fail_os_error;
    int late_status;
    size_t late_bytes;
    sim_connection *connection; /* a connect that is LATE */
    uint32_t issuer;            /* the thread that started it */
} sim_request;

/* A simulated thread. */
typedef struct sim_thread {
    const char *name;
    const char *call;    /* the synchronous one that it is in; NULL = in none */
    uint32_t ender;      /* who would end that */
    uint32_t waits_for;  /* in a cancel; 0 = it does not wait */
    sim_request *cancels;
    engine_request_id cancels_id;
} sim_thread;

typedef struct sim_worker {
    engine_worker worker; /* first: what the core knows */
    sl_list link;         /* in world->workers */
    sl_atomic_bool woken;
    uint32_t number; /* from 1 */
    uint32_t thread; /* that made it */
    bool is_halted;
} sim_worker;

typedef struct sim_engine {
    engine engine; /* first: what the core knows */
    sim_world *world;
    bool owns_world;
    uint32_t user;
    uint32_t group;
    sl_list endpoints; /* sim_endpoint.link */
} sim_engine;

typedef struct sim_endpoint {
    engine_endpoint endpoint; /* first: what the core knows */
    sl_list link;             /* in sim_engine.endpoints */
    sim_binding *binding;
    uint32_t backlog;
} sim_endpoint;

struct sim_world {
    sim_options options;
    sl_clock_manual *clock;
    sl_random_seeded random;
    sl_account account;
    sl_heap events;
    sl_slots connections;
    sl_slots datagrams;
    sim_chunk *free_chunks;
    uint32_t chunks_in_use;
    sl_list bindings[SIM_BUCKETS];
    sl_list workers;
    sl_list stuck; /* requests whose cancel has no effect */
    sim_thread threads[SIM_THREADS_MAX];
    uint32_t thread_count;
    uint32_t thread;              /* that calls come from */
    const engine_request *asking; /* whose fate is being decided: options.choose */
    uint32_t engine_count;
    uint32_t firing; /* events, one inside the other */
    uint32_t last_worker_number;
    uint32_t next_port;   /* offset from SIM_PORT_FIRST */
    uint64_t in_order_ns; /* events that do not overtake come no earlier than this */
    uint64_t hash;
    sim_counters counters;
};

static inline sim_handle *sim_handle_of(engine_handle *handle) {
    return SL_CONTAINER_OF(handle, sim_handle, handle);
}

static inline sim_request *sim_request_of(engine_request *request) {
    return SL_CONTAINER_OF(request, sim_request, request);
}

static inline sim_world *sim_world_of_worker(engine_worker *worker) {
    return SL_CONTAINER_OF(worker->engine, sim_engine, engine)->world;
}

/* ---- sim_world.c ----------------------------------------------------------------------------- */

/* Does this fault strike here? Counts both. */
bool sim_strikes(sim_world *world, sim_fault fault);
/* Uniform in [0, bound); bound > 0 and of any size. */
uint64_t sim_below(sim_world *world, uint64_t bound);
/* A plausible failure of a request of this kind. */
void sim_pick_error(sim_world *world, engine_kind kind, int *ret_status, uint32_t *ret_os_error);

/* Schedules an event after the ordinary delay, or after a given one. */
void sim_schedule(sim_world *world, sim_event *event, sim_event_type type);
void sim_schedule_after(sim_world *world, sim_event *event, sim_event_type type, uint64_t delay_ns);
void sim_unschedule(sim_world *world, sim_event *event);
/* Fires one that is scheduled, whatever the time. */
void sim_fire(sim_world *world, sim_event *event);
/* Fires what is due, for all workers. */
void sim_fire_due(sim_world *world);

/* Has its poll something to deliver, timers apart? */
bool sim_worker_has_mail(const engine_worker *worker);
/* The first of its timers. They are connects that wait, and mostly there are none. */
static inline uint64_t sim_worker_timer_ns(engine_worker *worker) {
    return worker->timers.count == 0 ? SL_CLOCK_NEVER : sl_heap_deadline_ns(&worker->timers);
}

/* Records and hashes. worker, request and handle may be NULL. */
void sim_record(sim_world *world, sim_trace *trace, const engine_worker *worker,
                const engine_request *request, const engine_handle *handle);

/* ---- sim_thread.c ---------------------------------------------------------------------------- */

/* Is it this worker's own thread that calls? */
void sim_thread_check(sim_world *world, const engine_worker *worker);
/* May the present thread cancel? false: it is blocked now. */
bool sim_thread_cancels(sim_world *world, sim_request *request);

/* ---- engine_sim.c ---------------------------------------------------------------------------- */

void sim_on_step(sim_world *world, sim_event *event);
void sim_on_abort(sim_world *world, sim_event *event);

/* The request goes on after a delay. */
void sim_request_schedule(sim_world *world, sim_request *request);
/* The head request of a direction, if it waits for something, goes on. handle may be NULL. */
void sim_wake(sim_world *world, sim_handle *handle, engine_direction direction);
/* Ends a request. `out` = the bytes that did go out (writes and sends). Nothing may touch the
 * request, its handle or its connection afterwards. */
void sim_request_finish(sim_world *world, sim_request *request, int status, uint32_t os_error,
                        size_t bytes, size_t in_doubt, size_t out);
/* Ends a request whose transfer is done, now or (LATE) after a delay. */
void sim_request_complete(sim_world *world, sim_request *request, int status, size_t bytes);
/* An open handle: counts a descriptor and tells the core. */
void sim_handle_opened(sim_world *world, engine_handle *handle, unsigned capabilities,
                       unsigned started_max_in);
/* May `count` more descriptors be opened? */
bool sim_has_descriptors(sim_world *world, uint32_t count);

/* ---- steps: true = the request ended, is LATE, or was given back; false = it is not over ----- */

bool sim_read_step(sim_world *world, sim_request *request);
bool sim_write_step(sim_world *world, sim_request *request);
bool sim_half_close_step(sim_world *world, sim_request *request);
bool sim_pair_step(sim_world *world, sim_request *request);
bool sim_receive_step(sim_world *world, sim_request *request);
bool sim_send_step(sim_world *world, sim_request *request);
bool sim_connect_step(sim_world *world, sim_request *request);
bool sim_resolve_step(sim_world *world, sim_request *request);
/* A listener's event: gives the first connection to the first accept. */
bool sim_deal(sim_world *world, sim_handle *listener);

/* What a failing request leaves behind, and its end. */
void sim_read_fail(sim_world *world, sim_request *request, int status, uint32_t os_error);
void sim_write_fail(sim_world *world, sim_request *request, int status, uint32_t os_error);
void sim_half_close_fail(sim_world *world, sim_request *request, int status, uint32_t os_error);
void sim_send_fail(sim_world *world, sim_request *request, int status, uint32_t os_error);
void sim_connect_fail(sim_world *world, sim_request *request, int status, uint32_t os_error);

/* ---- sim_stream.c ---------------------------------------------------------------------------- */

sim_connection *sim_connection_create(sim_world *world, sim_transport transport);
/* Makes a side the handle's, and the handle open. */
void sim_connection_attach(sim_world *world, sim_connection *connection, unsigned side,
                           engine_handle *handle);
/* Closes a side; frees the connection when both are closed. */
void sim_connection_close_side(sim_world *world, sim_connection *connection, unsigned side);
/* Would a read end now? */
bool sim_stream_is_readable(const sim_stream *stream);
sim_stream *sim_stream_in(sim_handle *handle);
sim_stream *sim_stream_out(sim_handle *handle);

/* ---- sim_net.c, sim_datagram.c --------------------------------------------------------------- */

typedef enum sim_place { SIM_PLACE_LOCAL, SIM_PLACE_SILENT, SIM_PLACE_UNREACHABLE } sim_place;
sim_place sim_place_of(const engine_address *address);

/* The socket that a packet to this address reaches, or NULL. */
sim_binding *sim_binding_find(sim_world *world, sim_transport transport,
                              const engine_address *address);
/* Takes a name or address; port 0 is replaced. */
int sim_binding_create(sim_world *world, sim_transport transport, const engine_address *address,
                       bool is_dual, sim_binding **ret_binding, uint32_t *ret_os_error);
/* With those that lead to it. */
void sim_binding_destroy(sim_world *world, sim_binding *binding);

bool sim_listen_step(sim_world *world, sim_request *request);
int sim_endpoint_create(engine_endpoint *endpoint, const engine_listen_options *options,
                        const char **ret_detail);
void sim_endpoint_destroy(engine_endpoint *endpoint);
int sim_endpoint_join(engine_endpoint *endpoint, engine_worker *worker, engine_handle *handle);
void sim_listener_close(sim_world *world, sim_handle *listener);

int sim_udp_open(engine_worker *worker, engine_handle *handle, const engine_address *address);
void sim_udp_close(sim_world *world, sim_handle *socket);

#endif
