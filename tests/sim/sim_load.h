/*
 * sim_load.h - random work on the simulated engine that checks every byte: for sim_test.c.
 *
 * A load is a number of lanes in one worker. A stream lane opens a connection (anonymous pair,
 * named pipe or TCP), writes, reads, cancels, half-closes and closes at random, checks that the
 * reader gets exactly the bytes that went out, and begins again. A datagram lane sends and receives
 * whole messages. It knows what really went out of a torn write from the simulator's trace.
 */
#ifndef SLUICE_TESTS_SIM_SIM_LOAD_H
#define SLUICE_TESTS_SIM_SIM_LOAD_H

#include "tests/sim/engine_sim.h"

typedef struct sim_load_result {
    uint64_t hash;
    uint64_t operations; /* requests that completed */
    uint64_t end_ns;     /* simulated time */
    uint64_t bytes;      /* read and checked */
    uint64_t connections;
    sim_counters counters;
} sim_load_result;

/* Runs `steps` random steps; on_trace and user of the options are the load's. Aborts on a fault. */
void sim_load_run(const sim_options *options, uint64_t steps, sim_load_result *ret_result);

#endif
