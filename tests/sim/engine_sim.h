/*
 * engine_sim.h - the simulated backend: an operating system in memory, driven by a seed.
 *
 * A "world" is the simulated machine: names, addresses, connections, buffers, a queue of events in
 * time, a random source. engine_create(&engine_backend_sim, &options) with options.backend_options
 * pointing at a sim_options (or NULL: the gentle profile, seed 1) makes a private world; several
 * engines share one by sim_options.world (a broker and its client in one thread, for example).
 * engine_options.clock MUST be an sl_clock_manual: time moves only inside engine_poll (to the next
 * event or the deadline) and sim_world_step. The same seed and the same calls give the same run,
 * and the same sim_world_hash.
 *
 * TIME. A poll that waits fires the events of every worker of the world on the way. A poll that
 * only looks (deadline 0) costs poll_cost_ns, so that a loop of such polls gets somewhere. A poll
 * without a deadline when nothing at all is scheduled is a simulated deadlock (on_deadlock).
 *
 * SEVERAL WORKERS (one thread). Either poll them in turn with short deadlines (now + 1 ms), never
 * with SL_CLOCK_NEVER while another worker has undelivered completions that the first depends on;
 * or, exact and fast: loop { sim_world_step(world, NEVER); poll each with deadline 0 }.
 *
 * ADDRESSES. Local: 127/8, 10/8, ::1, fd00::/8 and the wildcards; others cannot be bound
 * (EADDRNOTAVAIL). Connecting to 203.0.113/24 meets silence; to anything else not local,
 * EUNREACHABLE. Names: sim_options.hosts, "localhost", numeric IPv4, "::1".
 *
 * THREADS. A test may say which simulated thread calls come from (sim_thread_enter). Then a worker
 * belongs to the one that made it: a call from another one, or synchronous I/O of that one, is a
 * failed check; and the kernel's rule of cancelling holds (sim_thread_create below).
 *
 * Thread: one. The world's memory does not come from the engine's allocator: a simulated kernel
 * does not fail when the program runs out.
 */
#ifndef SLUICE_TESTS_SIM_ENGINE_SIM_H
#define SLUICE_TESTS_SIM_ENGINE_SIM_H

#include "engine/engine.h"

extern const engine_backend engine_backend_sim; /* named "sim" */

typedef struct sim_world sim_world;
struct engine_request; /* engine/backend.h */

/*
 * What can happen, and how often: per mille of the places where it could, in each preset.
 *   gentle   delays, reordering, races; no errors, small transfers arrive whole
 *   races    gentle and every outcome of a cancel, partial transfers, bytes in doubt; no error
 *            without a cause
 *   hostile  everything but CANCEL_STUCK, which needs sim_world_calm to end
 */
/* clang-format off */
/* X(name, gentle, races, hostile) */
#define SIM_FAULT_TABLE(X)                                                                        \
    X(REORDER, 500, 700, 700)          /* an event overtakes those before it */                   \
    X(INLINE, 100, 100, 100)           /* a request ends inside its submit (poll delivers it) */  \
    X(LATE, 200, 300, 300)             /* the transfer is done, its completion comes later */     \
    X(STALL, 0, 10, 20)                /* an event takes 100 times as long */                     \
    X(PARTIAL_READ, 0, 300, 300)       /* a read returns less than there is */                    \
    X(PARTIAL_WRITE, 0, 300, 300)      /* a write's bytes trickle */                              \
    X(SCRIBBLE, 0, 0, 500)             /* a read that fails leaves rubbish in its buffer */       \
    X(CANCEL_INLINE, 200, 200, 200)    /* a cancel takes effect inside the call */                \
    X(CANCEL_COMPLETES, 200, 300, 300) /* a cancelled request that can complete does */           \
    X(CANCEL_ERROR, 0, 100, 100)       /* a cancelled request ends with another error */          \
    X(CANCEL_IGNORED, 0, 20, 20)       /* a cancel takes ignored_min_ns to ignored_max_ns */      \
    X(CANCEL_STUCK, 0, 0, 0)           /* a cancel has no effect until sim_world_calm */          \
    X(WRITE_TORN, 0, 500, 500)         /* a failed write or send has bytes in doubt */            \
    X(UDP_LOSS, 0, 0, 50)              /* a datagram is lost */                                   \
    X(UDP_DUPLICATE, 0, 0, 30)         /* a datagram comes twice */                               \
    X(UDP_REORDER, 0, 0, 100)          /* a datagram overtakes the one before it */               \
    X(CONNECT_BUSY, 50, 100, 100)      /* no pipe instance is free: engine_request_retry */       \
    X(CONNECT_GHOST, 0, 0, 200)        /* a failed connect reached the listener, and died */      \
    X(RESET, 0, 0, 15)                 /* a connection breaks while it transfers */               \
    X(RESET_DROPS, 0, 0, 500)          /* a reset loses what the reader had buffered */           \
    X(CLOSE_SWALLOW, 0, 300, 300)      /* TCP: the first write to a closed peer is lost */        \
    X(WAKE_EARLY, 50, 100, 100)        /* wait returns although nothing happened */               \
    X(OS_LISTEN, 0, 0, 30)             /* the call fails with an operating-system error */        \
    X(OS_UDP_OPEN, 0, 0, 30)           /* ... */                                                  \
    X(OS_ENDPOINT, 0, 0, 30)           /* ... */                                                  \
    X(OS_JOIN, 0, 0, 30)               /* ... */                                                  \
    X(OS_LOCAL_ADDRESS, 0, 0, 30)      /* ... */                                                  \
    X(OS_ACCEPT, 0, 0, 30)             /* ... */                                                  \
    X(OS_CONNECT, 0, 0, 30)            /* ... */                                                  \
    X(OS_PAIR, 0, 0, 30)               /* ... */                                                  \
    X(OS_RESOLVE, 0, 0, 30)            /* ... */                                                  \
    X(OS_READ, 0, 0, 15)               /* ... */                                                  \
    X(OS_WRITE, 0, 0, 15)              /* ... */                                                  \
    X(OS_RECEIVE_FROM, 0, 0, 15)       /* ... */                                                  \
    X(OS_SEND_TO, 0, 0, 15)            /* ... */                                                  \
    X(OS_HALF_CLOSE, 0, 0, 30)         /* ... */
/* clang-format on */

typedef enum sim_fault {
#define X(name, gentle, races, hostile) SIM_##name,
    SIM_FAULT_TABLE(X)
#undef X
        SIM_FAULT_COUNT
} sim_fault;

const char *sim_fault_name(sim_fault fault); /* "REORDER", ... */

/* ---- what happened, one by one --------------------------------------------------------------- */

typedef enum sim_trace_what {
    SIM_TRACE_START,   /* a request entered the kernel */
    SIM_TRACE_EVENT,   /* an event of a request or listener fired */
    SIM_TRACE_CANCEL,  /* ops->cancel */
    SIM_TRACE_FINISH,  /* a request ended: status, bytes, in_doubt */
    SIM_TRACE_RETRY,   /* a connect met a busy pipe */
    SIM_TRACE_OPEN,    /* a handle was opened; value = capabilities */
    SIM_TRACE_RELEASE, /* a handle was closed */
    SIM_TRACE_FAULT,   /* a fault struck; value = sim_fault */
    SIM_TRACE_WAIT,    /* a wait returned; value = its deadline */
    SIM_TRACE_KILL     /* a process was killed */
} sim_trace_what;

typedef struct sim_trace {
    sim_trace_what what;
    engine_kind kind;  /* START, EVENT, CANCEL, FINISH, RETRY */
    uint32_t worker;   /* number within the world, from 1; 0 = none */
    int status;        /* FINISH */
    uint64_t sequence; /* from 1 */
    uint64_t now_ns;
    engine_request_id id; /* 0 = no request */
    uint64_t handle;      /* its slot id; 0 = none */
    uint64_t bytes;       /* FINISH */
    uint64_t in_doubt;    /* FINISH; what the peer can really see is in `value` */
    uint64_t value;
} sim_trace;

const char *sim_trace_what_name(sim_trace_what what);

/* ---- options --------------------------------------------------------------------------------- */

typedef struct sim_host {
    const char *name;
    const engine_address *addresses;
    uint32_t address_count;
} sim_host;

#define SIM_USER 1000u

typedef struct sim_options {
    uint64_t seed;
    sim_world *world; /* use this world, and of these options only the user; NULL = a private one */
    sl_allocator *allocator; /* the world's memory; NULL = the system's */
    uint64_t delay_min_ns;   /* an event takes so long, uniformly */
    uint64_t delay_max_ns;   /* (below 4 s) */
    uint64_t ignored_min_ns; /* CANCEL_IGNORED */
    uint64_t ignored_max_ns;
    uint64_t batch_ns;     /* a thread takes 0 to so long to wake: completions come in batches */
    uint64_t poll_cost_ns; /* a poll with deadline 0 */
    size_t pipe_capacity;  /* bytes buffered per direction: named pipes and anonymous pairs */
    size_t tcp_capacity;
    uint32_t datagrams_max;   /* waiting per UDP socket; more are lost */
    uint32_t handles_max;     /* the simulated system's descriptors: more = EOSLIMIT */
    unsigned accepts_started; /* accepts a listener has in the kernel at a time */
    bool windows_pipes;       /* named pipes have no half-close */
    /* The user of the engine that is made with these options, also on another's world; 0 is root.
     * Presets: SIM_USER. Connections remember it on both sides (engine_peer_identity). */
    uint32_t user_id;
    uint32_t group_id; /* its only one (engine_peer_is_among) */
    uint32_t nobody_id; /* of who has no number here (engine_peer.is_unmapped); 0 = all have one */
    unsigned peer_busy_count; /* so many times who accepts asks in vain (EBUSY), as on Windows */
    uint16_t per_mille[SIM_FAULT_COUNT];
    const sim_host *hosts; /* must outlive the world */
    uint32_t host_count;
    /* For a test that makes every choice itself (tests/model) instead of leaving it to the seed: a
     * fault whose rate is not 0 is asked for here (bound 2: does it strike?), and so is a number
     * below `bound` (fault SIM_FAULT_COUNT). `request` is the one whose fate it is, or NULL. */
    uint64_t (*choose)(void *user, const struct engine_request *request, sim_fault fault,
                       uint64_t bound);
    bool allows_mixing; /* who breaks the rules of threads is counted, and meets the kernel's */
    bool is_frozen; /* no event fires by itself: sim_fire (sim_world.h) does it */
    /* Every event; may be NULL. Must not call the engine. */
    void (*on_trace)(void *user, const sim_trace *trace);
    /* The simulated deadlock; NULL = a failed check. It must post a message to the worker, which
     * then ends its poll, or not return. */
    void (*on_deadlock)(void *user, engine_worker *worker);
    void *user;
} sim_options;

void sim_options_gentle(sim_options *ret_options, uint64_t seed);
void sim_options_races(sim_options *ret_options, uint64_t seed);
void sim_options_hostile(sim_options *ret_options, uint64_t seed);

/* ---- counters -------------------------------------------------------------------------------- */

typedef struct sim_counters {
    uint64_t event_count;
    uint64_t start_count[ENGINE_KIND_COUNT];
    uint64_t finish_count[ENGINE_KIND_COUNT];
    uint64_t eligible_count[SIM_FAULT_COUNT]; /* places where the fault could strike */
    uint64_t struck_count[SIM_FAULT_COUNT];
    uint64_t cancel_count;           /* ops->cancel was called */
    uint64_t cancel_completed_count; /* ... and the request ended OK (or EEOF, ETRUNCATED) */
    uint64_t cancel_aborted_count;   /* ... ECANCELED */
    uint64_t cancel_error_count;     /* ... another error */
    uint64_t doubt_count;            /* requests that ended with in_doubt > 0 */
    uint64_t doubt_bytes;            /* sum of in_doubt */
    uint64_t doubt_out_bytes;        /* of those, the bytes that did go out */
    uint64_t stream_bytes;           /* that entered a stream's buffer */
    uint64_t dropped_bytes;          /* of those, lost by closing or reset before they were read */
    uint64_t datagram_count;         /* that entered a socket's queue */
    uint64_t datagram_lost_count;    /* loss, full queue, nobody there */
    uint64_t exhausted_count;        /* refused for handles_max */
    uint64_t retry_count;            /* of connects that met a busy pipe: they start again */
    uint64_t deadlock_count;
    uint64_t mixed_count; /* calls that broke the rules of threads: allows_mixing */
    uint64_t trace_count;
    uint32_t handles;     /* open descriptors now */
    uint32_t connections; /* now */
    uint32_t bindings;    /* names and addresses taken now */
    uint32_t scheduled;   /* events waiting now */
    size_t memory_bytes;
    uint64_t allocated_count; /* heap allocations of the world so far */
} sim_counters;

/* ---- the world ------------------------------------------------------------------------------- */

/* options may be NULL (gentle, seed 1); the clock must outlive the world. Aborts when out of
 * memory. */
sim_world *sim_world_create(const sim_options *options, sl_clock_manual *clock);
/* Checks that no engine uses it and nothing is left open. NULL is allowed. */
void sim_world_destroy(sim_world *world);

/* The world of an engine of this backend. */
sim_world *sim_world_of(engine *engine);

/* From now on this engine is another user's: of its connections to come. */
void sim_engine_become(engine *engine, uint32_t user_id, uint32_t group_id);

void sim_world_counters(const sim_world *world, sim_counters *ret_counters);

/* Two runs with the same hash did the same. */
uint64_t sim_world_hash(const sim_world *world);

/* The options in force. Rates and delays may be changed at any time; handles_max as well. */
sim_options *sim_world_options(sim_world *world);

/* Moves time to the next event or engine timer (at most to deadline_ns) and fires what is due; does
 * nothing when some worker has something to deliver. false = nothing is scheduled and there is no
 * deadline. */
bool sim_world_step(sim_world *world, uint64_t deadline_ns);

/* ---- threads --------------------------------------------------------------------------------- */

/*
 * The kernel's rule that makes CancelIoEx hang (docs/design.md, "The problem"): a request is ended
 * by code that runs in the thread that issued it, and who cancels waits for that, unless it is that
 * thread itself. A thread inside a synchronous call runs no such code before it leaves it. The
 * simulated kernel takes every request for one of this kind, the worst case. As all code runs in
 * one real thread, a call that "waits" returns, and the thread it came from is blocked: do not
 * enter it before that ends.
 */
#define SIM_THREADS_MAX 16u

/* A number from 1. The name must outlive the world. */
uint32_t sim_thread_create(sim_world *world, const char *name);
/* Calls come from this thread from now on; 0: from nobody in particular, as at first. Returns whom
 * they came from before. */
uint32_t sim_thread_enter(sim_world *world, uint32_t number);
/* In a synchronous call, or in a cancel that waits for somebody who is? */
bool sim_thread_is_blocked(sim_world *world, uint32_t number);
/* The present thread goes into a synchronous call, which ends when `ender` acts (0: unknown). */
void sim_sync_begin(sim_world *world, const char *call, uint32_t ender);
/* It has ended: whoever waited for that thread goes on. */
void sim_sync_end(sim_world *world, uint32_t number);
/* Do threads wait for each other in a circle? Then in words, which for which. */
bool sim_thread_circle(sim_world *world, char *text, size_t size);

/* Every worker gets a packet that is no operation's (Windows: the port rule). */
void sim_world_stray(sim_world *world);

/* The faults stop (all rates 0 but REORDER), and cancels that had no effect so far take it. */
void sim_world_calm(sim_world *world);

/* ---- processes (sim_kill.c) ------------------------------------------------------------------ */

/*
 * The process of this engine is killed: its kernel drops its requests and closes its handles and
 * endpoints. No code of the process may run any more; its memory, the engine included, is the
 * caller's to free as a whole. Not from inside an event (sim_world_is_firing).
 */
void sim_engine_kill(engine *engine);

/* A halted worker's process does not run: nobody waits for what it has to deliver, nor for its
 * timers. */
void sim_worker_halt(engine_worker *worker, bool is_halted);

/* Would a poll that does not wait deliver something? */
bool sim_worker_has_work(engine_worker *worker);

/* Are we inside the kernel, on nobody's behalf? */
bool sim_world_is_firing(const sim_world *world);

#endif
