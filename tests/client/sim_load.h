/*
 * sim_load.h - the client's core on the simulated engine against the real broker's core, in one
 * thread: random calls, each checked when it ends.
 */
#ifndef SLUICE_TESTS_CLIENT_SIM_LOAD_H
#define SLUICE_TESTS_CLIENT_SIM_LOAD_H

#include "client/core.h"
#include "client/credit.h"
#include "tests/broker/rig.h"
#undef EXPECT /* the client's own */
#include "tests/client/sim_model.h"

#define LOAD_STREAMS_MAX 8u
#define LOAD_CALLS_MAX   1024u

/* A pair of handles, or what else was opened. */
typedef struct load_stream {
    model_stream model;
    sluice_handle ends[2]; /* 0 = none (any more) */
    bool is_pair;
    sl_list reads; /* load_call.read_link: not handed to the model yet */
    uint32_t busy; /* calls that refer to it */
} load_stream;

typedef struct load_call {
    sluice_operation *op; /* the application's reference; NULL = released */
    sl_request_kind kind;
    load_stream *stream; /* reads and writes */
    sl_list read_link;
    uint8_t *bytes; /* lent to the library until the end */
    uint8_t *taken; /* a read's, afterwards */
    uint32_t length;
    bool is_all;
    uint32_t write_index;
    uint64_t end_by_ns; /* deadline and grace */
    bool has_ended;
    bool is_cancelled;
    sluice_result result;
} load_call;

typedef struct load_counters {
    uint64_t calls;
    uint64_t by_status[64];
    uint64_t bytes;     /* read, and found right */
    uint64_t losses;    /* of the connection */
    uint64_t whole;     /* streams that were read to their end */
} load_counters;

typedef struct load {
    uint64_t seed;
    sl_random_seeded random;
    test_rig rig;
    engine_worker *worker;
    client_core core;
    client_credit credit;
    uint32_t streams_max;     /* few: many calls on each */
    uint32_t cancels;         /* of 32 actions */
    uint32_t largest;         /* read or write */
    uint64_t timeout_max_ns;  /* of the short ones */
    load_stream streams[LOAD_STREAMS_MAX];
    uint32_t stream_count;
    load_call calls[LOAD_CALLS_MAX];
    uint32_t call_count;
    uint32_t first_open; /* all calls before it have ended */
    uint32_t open_count;
    bool is_acting; /* before the end */
    bool is_inside; /* a hook of the core's, as an INLINE callback is */
    load_counters *counters;
} load;

/* One life: opens, does `steps` rounds of random work, ends and checks that nothing is left. */
void load_run(load *l, uint64_t seed, unsigned steps, load_counters *counters);

#endif
