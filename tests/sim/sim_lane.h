/*
 * sim_lane.h - a lane of the random load: one connection (or two UDP sockets) and its requests.
 * Private to sim_load.c and sim_lane.c. One thread.
 */
#ifndef SLUICE_TESTS_SIM_SIM_LANE_H
#define SLUICE_TESTS_SIM_SIM_LANE_H

#include "tests/sim/sim_load.h"
#include "tests/sim/sim_world.h"

#define LANES        24u
#define BUFFER_BYTES 6000u
#define READS_MAX    3u
#define OPS_PER_LANE 8u
#define POISON_BYTES 64u
#define STRAYS_MAX   32u

typedef struct lane lane;

typedef struct op {
    lane *lane;
    engine_kind kind;
    engine_request_id id; /* 0 = free */
    uint64_t turn;        /* reads and receives: in order of submission */
    size_t length;
    engine_address from;
    engine_address resolved[2];
    unsigned char buffer[BUFFER_BYTES];
} op;

typedef enum lane_kind { LANE_PAIR, LANE_PIPE, LANE_TCP, LANE_UDP, LANE_KINDS } lane_kind;

struct lane {
    unsigned number;
    lane_kind kind;
    engine_handle *listener;
    engine_address address;
    engine_handle *reader;
    engine_handle *writer;
    engine_handle *strays[STRAYS_MAX]; /* accepted before the connect ended */
    unsigned stray_count;
    unsigned count[ENGINE_KIND_COUNT]; /* requests in flight */
    bool is_open;
    bool is_reader_closing;
    bool is_writer_closing;
    bool is_ending;      /* nothing more is written */
    bool is_broken;      /* reset: bytes may be lost */
    uint64_t wrote;      /* bytes that really went out */
    uint64_t got;        /* bytes read and checked */
    uint64_t write_out;  /* of the write that just ended */
    uint64_t last_turn;  /* given to a read or receive */
    uint64_t ended_turn; /* of the last one that took something */
    op ops[OPS_PER_LANE];
};

typedef struct load {
    engine *engine;
    engine_worker *worker;
    sl_clock_manual clock;
    sl_random_seeded random;
    lane lanes[LANES];
    uint64_t pending; /* completions to come */
    bool is_draining;
    sim_load_result *result;
} load;

/* Uniform in [0, bound), from the load's own seed. */
uint32_t load_below(load *l, uint32_t bound);
/* The close will be delivered with this lane, or NULL. */
void load_close_handle(load *l, engine_handle *handle, lane *n);

/* Marks a buffer that belongs to no request; nobody may touch it. */
void lane_poison(op *o);

/* Each submits a request of that kind, or does nothing when the lane has enough of them. */
void lane_submit_write(load *l, lane *n);
void lane_submit_read(load *l, lane *n);
void lane_submit_send(load *l, lane *n);
void lane_submit_receive(load *l, lane *n);
void lane_submit_resolve(load *l, lane *n);
void lane_submit_half_close(load *l, lane *n);

/* The next thing that brings a lane nearer to being open. */
void lane_open(load *l, lane *n);
void lane_close_writer(load *l, lane *n);
void lane_close_both(load *l, lane *n);

/* A completion: checks it. */
void lane_request_ended(load *l, op *o, const engine_completion *c);
void lane_closed(lane *n, engine_handle *handle);

#endif
