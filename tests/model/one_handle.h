/*
 * one_handle.h - the broker's core with one handle of one session, on the simulated kernel, where
 * everything that can happen is an action of the test.
 *
 * What happens without being an action is what cannot matter: frames travel between client and
 * broker at once, and the far end's own requests (the peer's) go on at once. What the kernel does
 * with a request of the handle, when the worker looks at what is ready, when time passes, and what
 * client and peer do is chosen, one action at a time.
 */
#ifndef SLUICE_TESTS_MODEL_ONE_HANDLE_H
#define SLUICE_TESTS_MODEL_ONE_HANDLE_H

#include "broker/handle.h"
#include "tests/broker/rig.h"
#include "tests/model/choices.h"
#include "tests/sim/sim_world.h"

#define MODEL_OPS_MAX   3u
#define MODEL_PEERS_MAX 2u
#define MODEL_WRITE     3u /* bytes of a write */
#define MODEL_READ      1u /* at most, of a read */
#define MODEL_READ_ALL  2u
#define MODEL_DATA      2u /* bytes that the peer sends */
#define MODEL_PIPE      2u /* bytes that the kernel buffers in each direction */
#define MODEL_BYTES_MAX 64u
#define MODEL_STATUSES  64u
#define MODEL_NO_LIMIT  255u
#define MODEL_FIRST_NS  SL_NS_PER_S                     /* deadline of operation 0 */
#define MODEL_THIRD_NS  (SL_NS_PER_S + SL_NS_PER_S / 4) /* of operation 2 */

typedef enum model_op_kind {
    MODEL_OP_READ,
    MODEL_OP_READ_ALL,
    MODEL_OP_WRITE,
    MODEL_OP_HALF_CLOSE,
    MODEL_OP_ACCEPT, /* on a listener; the others on a stream */
    MODEL_OP_KINDS
} model_op_kind;

const char *model_op_name(model_op_kind kind);

/* What can happen beside the kernel's doings and the operations themselves. */
typedef enum model_event {
    MODEL_CANCEL,     /* by the client; once for each operation */
    MODEL_TIME,       /* passes until the broker's next timer is due */
    MODEL_DATA_COMES, /* from the peer; of a listener: somebody connects */
    MODEL_PEER_TAKES, /* what is there, or comes */
    MODEL_PEER_CLOSES,
    MODEL_CLOSE, /* of the handle, by the client */
    MODEL_DISCONNECT,
    MODEL_EVENT_KINDS
} model_event;

/* What is tried: all orders of these. */
typedef struct model_scenario {
    model_op_kind ops[MODEL_OPS_MAX];
    unsigned op_count;
    unsigned events_max;                 /* in all, on one path */
    uint8_t each_max[MODEL_EVENT_KINDS]; /* of each kind; of MODEL_CANCEL for each operation */
    unsigned late_max;   /* so much may happen while the worker has something to look at */
    unsigned errors_max; /* that the kernel has, on one path */
    bool has_bursts;     /* frames may arrive together */
    uint16_t per_mille[SIM_FAULT_COUNT]; /* not 0: the kernel may do that to a request */
} model_scenario;

typedef struct model_op {
    uint64_t id; /* 0 = not sent */
    bool is_cancelled;
    bool has_reply;
    raw_reply reply;
    /* one_handle_check.c: as seen when the worker last looked; 0 = not yet */
    int cause;
    uint64_t due_ns;
} model_op;

typedef struct model_peer {
    engine_handle *os; /* NULL: not connected, or closed */
    bool is_connecting;
    bool was_connected;
    bool is_reading;
    bool is_writing;
    bool is_closing;
    uint64_t closed_at; /* how many connections had been accepted */
    uint8_t in[MODEL_BYTES_MAX];
    unsigned in_count;
    bool has_all;   /* whatever is written has been read */
    int end_status; /* of its last read that failed */
    unsigned sent;  /* certainly */
} model_peer;

typedef struct model {
    test_rig rig;
    choices choices;
    const model_scenario *scenario;
    broker_worker *worker;
    engine_worker *peers_worker;
    engine_handle *peers_listener;
    engine_handle *arrived; /* at the peers' listener */
    raw_client *client;
    uint64_t handle;
    bool is_listener;
    /* of one run */
    model_op ops[MODEL_OPS_MAX];
    unsigned sent_count;
    model_peer peers[MODEL_PEERS_MAX];
    uint64_t close_id;
    unsigned sent_before_close;
    bool is_closed;
    raw_reply close_reply;
    bool is_holding; /* the last frame waits for the next one */
    bool is_gone;    /* the client has hung up */
    unsigned events;
    unsigned late;
    unsigned errors;
    bool has_read_error; /* the kernel has failed a receive */
    uint8_t used[MODEL_EVENT_KINDS];
    uint32_t handles_before;
    uint64_t steps; /* of all runs */
    bool is_loud;
    /* Of all runs: how often each status was the end of each kind (statuses are negative). */
    uint64_t ends[MODEL_OP_KINDS][MODEL_STATUSES];
    bool is_exact;       /* states differ by everything that was said, too: one_handle_state.c */
    bool is_exploring;   /* not yet in one_handle_end.c */
    choices *outcomes;   /* of the operations while it was exploring; NULL: nobody asks */
    uint64_t last_state; /* the fingerprint of where the run's choices ended */
} model;

/* one_handle.c */
void model_open(model *m);
void model_close(model *m);
/* One run along m->choices. true: to the end of a path; false: it met a state met before. */
bool model_run(model *m, bool merges);

/* one_handle_end.c: lets everything end, and checks all that was promised. */
void model_end(model *m);

/* one_handle_check.c */
uint64_t model_timeout_ns(unsigned index);        /* of that operation; 0 = none */
void model_check_look(model *m);                  /* the worker has looked */
void model_check_reply(model *m, unsigned index); /* it has come */
void model_check_closed(model *m);
/* So many bytes of that write are out: with the peer, or on their way to it. */
unsigned model_out(const model *m, unsigned index);
/* Replies that have come, as far as later ones are judged by them: bytes read, connections
 * accepted; how the stream ended for a read; whether a write tore it. */
typedef struct model_past {
    uint64_t taken;
    int read_end;
    bool is_torn;
} model_past;
model_past model_past_of(const model *m);

/* one_handle_state.c: everything that the future depends on. */
uint64_t model_fingerprint(model *m);

/* What both need. */
broker_session *model_session(model *m); /* NULL: gone */
bool model_is_ours(const model *m, const engine_request *request);
/* Frames and the peers' requests go on as far as they can; only the client's when it holds. */
void model_settle(model *m);

/* one_handle_peer.c */
#define MODEL_STREAM_NAME "/model-stream"
#define MODEL_LISTEN_NAME "/model-listen"
/* true: something had come for them. */
bool model_poll_peers(model *m);
/* The first that can be closed, or NULL. */
model_peer *model_open_peer(model *m);
void model_peer_sends(model *m); /* or connects */
void model_peer_read(model *m, model_peer *peer);
void model_peer_close(model *m, model_peer *peer);

#endif
