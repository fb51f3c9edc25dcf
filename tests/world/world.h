/*
 * world.h - a simulated life: a broker, several client programs and their peers, in one thread.
 *
 *     main.c -> life.c -> server.c  the broker's process: the real core, some workers
 *                      -> client.c  a program with the real client core; calls.c, outcome.c,
 *                                    closing.c: what it calls, and what must hold
 *                      -> peer.c    programs without Sluice at the other ends of its connections
 *               choice.c (what a seed chooses)  blocks_*.c (its memory)
 *               census.c (what happened, how often)  trace.c (one life, line by line)
 *               shrink.c (a failing life, made short)
 *
 * A seed decides everything: sizes and limits, the faults of the simulated kernel (tests/sim), when
 * a process dies, halts or runs out of memory, and which actions are done in which step. Each
 * action has a number of its own and a random stream of its own, so that one can be left out
 * without changing what the others choose (world_plan).
 *
 * What is checked, all the time: each call ends once, with a status that can be, by its deadline
 * and the grace; what comes through a stream is what was sent, in order, each write's bytes within
 * what its result says (model.h); nobody touches memory that was given back (memory.h). At the end
 * the faults stop, and everything must end, and all books must be at 0.
 *
 * A "wire" is a connection between two ends as the tests see it. Who connects sends the wire's
 * number as the first byte: so an acceptor learns which connection it has got.
 */
#ifndef SLUICE_TESTS_WORLD_WORLD_H
#define SLUICE_TESTS_WORLD_WORLD_H

#include <setjmp.h>

#include "broker/broker.h"
#include "client/core.h"
#include "client/credit.h"
#include "tests/sim/engine_sim.h"
#include "tests/world/memory.h"
#include "tests/world/model.h"

#define WORLD_CLIENTS_MAX  3u
#define WORLD_WORKERS_MAX  3u
#define WORLD_PEERS_MAX    8u /* the first two listen */
#define WORLD_ENDS_MAX     8u /* handles of one client */
#define WORLD_WIRES_MAX    100u
#define WORLD_CALLS_MAX    1024u
#define WORLD_STEPS_MAX    1000u
#define WORLD_STEP_ACTS    4u /* actions of one step */
#define WORLD_PEER_BYTES   4096u
#define WORLD_WORKERS_SEEN 512u  /* numbers of the simulated kernel's workers */
/* What stepping in turn may add to a bound on time. */
#define WORLD_SLACK_NS (10 * SL_NS_PER_MS)

/* X(name, weight, does): what a client, a peer or fate may do next. */
/* clang-format off */
#define WORLD_ACT_TABLE(X)                                              \
    X(READ, 300, "reads")                                               \
    X(WRITE, 220, "writes")                                             \
    X(CANCEL, 120, "cancels a call")                                    \
    X(ACKNOWLEDGE, 30, "acknowledges a torn stream")                    \
    X(HALF_CLOSE, 8, "ends its writing")                                \
    X(CLOSE, 12, "closes a handle")                                     \
    X(PAIR, 40, "opens a pair")                                         \
    X(LISTEN, 20, "listens")                                            \
    X(ACCEPT, 50, "accepts")                                            \
    X(CONNECT, 60, "connects")                                          \
    X(PING, 12, "pings")                                                \
    X(STALE, 20, "uses a handle that it has closed")                     \
    X(LOOK, 12, "asks for the broker's status or operations")           \
    X(INSIDE, 0, "goes on inside a callback")                           \
    X(PEER_CONNECT, 40, "a peer connects")                              \
    X(PEER_WRITE, 60, "a peer writes")                                  \
    X(PEER_CANCEL, 10, "a peer cancels what it does")                   \
    X(PEER_STALL, 10, "a peer stops reading, or goes on")               \
    X(PEER_HALF_CLOSE, 4, "a peer ends its writing")                    \
    X(PEER_CLOSE, 6, "a peer hangs up")                                 \
    X(CLIENT_KILL, 2, "a client's process is killed")                   \
    X(CLIENT_HALT, 3, "a client's process is halted for a while")       \
    X(BROKER_KILL, 2, "the broker's process is killed")                 \
    X(BROKER_HALT, 2, "the broker's process is halted for a while")     \
    X(BROKER_STOP, 1, "the broker is told to stop")                     \
    X(CLOCK_JUMP, 1, "time passes and nobody has run")
/* clang-format on */

typedef enum world_act {
#define X(name, weight, does) ACT_##name,
    WORLD_ACT_TABLE(X)
#undef X
        ACT_COUNT
} world_act;

const char *world_act_name(world_act act);

/* ---- which life ------------------------------------------------------------------------------ */

#define WORLD_ORDINALS_MAX (WORLD_STEPS_MAX * WORLD_STEP_ACTS)

typedef struct world_plan {
    uint64_t seed;
    uint32_t steps;      /* with actions */
    uint32_t acts_off;   /* bits: world_act */
    uint64_t faults_off; /* bits: sim_fault; bit WORLD_NO_MEMORY: allocations that fail */
    uint8_t left_out[WORLD_ORDINALS_MAX / 8]; /* bits: actions by number */
} world_plan;

#define WORLD_STEPS     100u
#define WORLD_NO_MEMORY SIM_FAULT_COUNT

/* ---- its parts ------------------------------------------------------------------------------- */

typedef struct world_life world_life;

/* A process that can be killed and halted. */
typedef struct world_process world_process;
struct world_process {
    world_life *life;
    const char *name;
    world_memory memory;
    engine *engine;
    bool is_up;
    bool is_halted;
    uint64_t halted_ns;
    uint64_t resume_ns;
    uint64_t start_ns;  /* when it is down: not before */
    uint32_t dies_in;   /* calls of the kernel; 0 = not */
    uint32_t times_up;
    void (*on_kill)(world_process *process);
};

typedef struct world_wire {
    model_stream way[2]; /* way[i] is read at end i. End 0 has connected, or is the pair's reader */
    bool is_bound;       /* end 1 is known */
} world_wire;

typedef struct world_end {
    sluice_handle handle; /* 0 = closed */
    bool is_listener;
    bool can_read;
    bool can_write;
    bool owes_name;  /* has connected and not said which wire it is */
    bool wait_name;  /* ... is saying it */
    bool has_ended_writing;
    bool is_lost; /* with its connection: stale */
    world_wire *wire; /* NULL = a listener, or accepted and not known yet */
    unsigned side;
    char address[32]; /* a listener's */
    uint32_t acknowledged; /* calls when that was asked last */
    uint32_t torn;         /* the first call since that left it torn, plus 1; 0 = none */
    sl_list reads;    /* world_call.read_link: in order, not handed to the model yet */
    uint32_t busy;    /* calls that refer to it */
} world_end;

typedef struct world_client {
    world_process process; /* first */
    unsigned number;
    engine_worker *worker;
    client_core core;
    client_credit credit;
    sl_account account;
    world_end ends[WORLD_ENDS_MAX];
    uint32_t open_count;
    uint64_t call_grace_ns;
    uint64_t due_ns; /* when its core has something to do; it has not run since */
    sluice_handle closed; /* the last that is; 0 = none */
    uint64_t excused_ns; /* its calls may take as long: it was stopped, and listens first */
    bool is_harvested; /* all that waits has been asked for */
} world_client;

typedef struct world_server {
    world_process process; /* first */
    broker *core;
    uint32_t worker_count;
    bool has_ended[WORLD_WORKERS_MAX];
    uint64_t due_ns[WORLD_WORKERS_MAX]; /* when it has something to do; it has not run since */
    bool is_stopping;
    uint64_t memory_bytes; /* before the first session */
} world_server;

typedef struct world_call {
    world_client *client; /* NULL = it died with its client */
    client_operation *op; /* the application's reference; NULL = released */
    const client_operation *operation; /* until it ends */
    sl_request_kind kind;
    world_end *end; /* NULL = about none */
    world_wire *wire; /* a connect's or a pair's */
    sluice_handle closed;
    sl_list read_link;
    uint8_t *bytes; /* lent to the library until the end */
    uint8_t *taken; /* a read's, afterwards */
    uint32_t length;
    bool is_all;
    bool is_name;
    bool is_stale; /* of a handle that is closed */
    bool has_timeout;
    bool was_detached; /* its outcome is the client's guess */
    bool is_cancelled;
    bool has_ended;
    uint32_t write_index;
    uint64_t end_by_ns; /* deadline and grace */
    sluice_result result;
} world_call;

typedef struct world_peer {
    engine_handle *handle; /* NULL = none */
    bool is_used;
    bool is_listening; /* about to */
    bool is_accepting;
    bool is_connecting;
    bool is_closing;
    bool is_reading;
    bool is_writing;
    bool is_stalled;
    bool is_cut; /* its reading has ended */
    bool has_ended_writing;
    bool has_said_name; /* who connects: it is out */
    uint16_t port;      /* a listener's; 0 = the pipe */
    engine_address address; /* the same; the engine's while it is about to listen */
    const world_client *target; /* to whose listener it has connected; NULL = who knows */
    sluice_handle listener;
    world_wire *wire;
    unsigned side;
    engine_request_id connect_id;
    engine_request_id read_id;
    engine_request_id write_id; /* one at a time */
    uint32_t write_index;
    bool is_name; /* what is being written */
    uint8_t *out;
    uint8_t in[WORLD_PEER_BYTES];
} world_peer;

struct world_life {
    const world_plan *plan;
    struct world_census *census;
    bool is_traced;
    sl_clock_manual clock;
    sl_random_seeded random; /* of the action at hand */
    uint64_t turn_dice;      /* of its numbers: bits for turns */
    uint32_t turn_dice_left;
    sl_random_seeded core_random; /* the cores' */
    sim_world *world;
    sim_options shared;
    sl_limits limits;
    uint16_t no_memory_per_mille;
    uint32_t weights[ACT_COUNT];
    uint32_t weight_sum;
    uint32_t largest;        /* read or write */
    uint64_t timeout_max_ns; /* of the short ones */
    uint64_t step_max_ns;
    uint32_t lull_steps; /* after so many there is one; 0 = there is none */
    bool has_pairs;
    bool has_resets;
    bool is_rough;
    uint32_t ends_max;
    uint32_t all_in; /* one in so many reads wants all that it asks for */
    uint32_t client_count;
    world_server server;
    world_client clients[WORLD_CLIENTS_MAX];
    world_process peers_process;
    engine_worker *peers_worker;
    uint32_t wire_count;
    uint32_t call_count;
    uint32_t first_open; /* all calls before it have ended */
    uint64_t check_ns;   /* no call has to end before */
    bool is_acting;      /* before the end */
    bool is_warming;     /* before the beginning */
    bool is_ending;      /* the clients stop */
    bool is_inside;      /* a callback */
    world_process *running; /* whose step it is */
    jmp_buf death;
    world_process *owner[WORLD_WORKERS_SEEN]; /* by the number of the kernel's worker */
    uint32_t acts_seen; /* bits */
    sim_counters kernel; /* when the faults stopped */
    /* From here on set up one by one, as they are needed. */
    world_peer peers[WORLD_PEERS_MAX];
    world_wire wires[WORLD_WIRES_MAX];
    world_call calls[WORLD_CALLS_MAX];
};

/* One life. Aborts where something is wrong. */
void world_live(world_life *life, const world_plan *plan, struct world_census *census,
                bool is_traced);

/* ---- chance ---------------------------------------------------------------------------------- */

static inline uint64_t world_now_ns(const world_life *life) {
    return life->clock.now_ns;
}

static inline uint32_t world_below(world_life *life, uint32_t bound) {
    return sl_random_seeded_below(&life->random, bound);
}

static inline bool world_one_in(world_life *life, uint32_t count) {
    return world_below(life, count) == 0;
}

/* One of 16, for what each turn has to decide: one number is enough for several. */
uint32_t world_turn_dice(world_life *life);

bool world_may(const world_life *life, world_act act); /* the plan allows it */

/* ---- choice.c -------------------------------------------------------------------------------- */

/* The numbers are life->random's. */
void world_choose(world_life *life, sim_options *ret_sim);

/* ---- life.c: processes ----------------------------------------------------------------------- */

/* A new process of that name with an engine of its own is about to start. */
void world_process_start(world_process *process);
/* Calls `run` in the process's name: it may die in the middle (false). */
bool world_process_run(world_process *process, void (*run)(world_process *process));
/* The kernel's worker belongs to it. */
void world_process_owns(world_process *process, engine_worker *worker);
/* It is gone, its memory and its engine with it. */
void world_process_end(world_process *process);

world_wire *world_wire_new(world_life *life); /* NULL = there are enough */

/* ---- server.c -------------------------------------------------------------------------------- */

bool server_start(world_server *server);
void server_halt(world_server *server, bool is_halted);
void server_stop(world_server *server);
void server_step(world_server *server);
uint64_t server_deadline_ns(const world_server *server);
/* The last one: drains and checks that nothing is left. */
void server_finish(world_server *server);
bool server_is_empty(const world_server *server);

/* ---- client.c -------------------------------------------------------------------------------- */

bool client_start(world_client *client);
void client_halt(world_client *client, bool is_halted);
void client_step(world_client *client);
uint64_t client_deadline_ns(const world_client *client);
void client_finish(world_client *client);
bool client_is_ready(const world_client *client);
/* The time that passed did not count: nobody, or not this client, has run. */
void client_excuse(world_client *client, uint64_t since_ns);
/* A free place; NULL = there are enough. */
world_end *client_end_new(world_client *client);

/* ---- calls.c, outcome.c, closing.c ----------------------------------------------------------- */

void calls_act(world_client *client, world_act act);
void calls_finished(world_client *client, client_operation *op);
void calls_die(world_client *client);
/* Cancels what is open and closes every handle. */
void calls_end(world_client *client);
/* Takes every connection and every name that waits. */
void calls_harvest(world_client *client);
/* Where somebody listens; or NULL. */
const world_end *calls_listener(world_life *life, world_client **ret_client);
/* Does an accept wait at that listener of its? */
bool calls_awaits(const world_client *client, sluice_handle listener);
/* No read waits for bytes that are there, or for a writer who waits. */
void calls_check_waiting(world_client *client);
/* Does a client's write wait at this end of the wire? */
bool calls_write_waits(const world_life *life, const world_wire *wire, unsigned side);

/* ---- peer.c ---------------------------------------------------------------------------------- */

void peers_start(world_life *life);
void peers_step(world_life *life);
void peers_act(world_life *life, world_act act);
/* All that stalled read again; those that have met the end hang up. */
void peers_settle(world_life *life);
/* No connection that came through waits while somebody wants one: a cancelled accept loses none. */
void peers_check(world_life *life);
void peers_hang_up(world_life *life);
void peers_finish(world_life *life);

/* ---- trace.c --------------------------------------------------------------------------------- */

#if defined(__GNUC__)
#define WORLD_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define WORLD_PRINTF
#endif

#define world_say(life, ...) ((life)->is_traced ? world_print((life), __VA_ARGS__) : (void)0)
void world_print(const world_life *life, const char *format, ...) WORLD_PRINTF;
void world_on_trace(void *user, const sim_trace *trace);

/* ---- census.c -------------------------------------------------------------------------------- */

typedef struct world_census {
    uint64_t lives;
    uint64_t calls;
    uint64_t bytes; /* read by clients and peers, and found right */
    uint64_t streams_whole;
    uint64_t losses; /* of a connection to the broker */
    uint64_t refused_credit;
    uint64_t lives_short_of_memory;
    uint64_t lives_with_resets;
    uint64_t acts[ACT_COUNT];
    uint64_t lives_with_act[ACT_COUNT];
    uint64_t ended[SL_REQUEST_KIND_COUNT][SLUICE_STATUS_COUNT];
    uint64_t lives_with[SL_REQUEST_KIND_COUNT][SLUICE_STATUS_COUNT];
    uint64_t last_life[SL_REQUEST_KIND_COUNT][SLUICE_STATUS_COUNT];
    uint64_t memory_eligible;
    uint64_t memory_failed;
    uint64_t in_doubt; /* writes */
    uint64_t died_inside; /* processes, in the middle of a step */
    uint64_t stuck_ends;  /* brokers that gave up on stuck work */
    sim_counters kernel;
    uint64_t hash; /* of all lives */
} world_census;

void census_call(world_census *census, sl_request_kind kind, int32_t status);
void census_life(world_census *census, const world_life *life, uint64_t hash);
void census_print(const world_census *census);
void census_print_json(const world_census *census, double cpu_seconds);
/* Each fault and each outcome in >= 1 % of the places where it can be: the number of those that
 * are not, each printed. */
unsigned census_check(const world_census *census);

#endif
