/*
 * sim_test.c - the client's core against the real broker's, simulated: sim_load.h.
 *
 *     client_sim_test [FIRST [COUNT]]     other seeds; one that failed is printed and repeats it
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/client/sim_load.h"

#ifndef SIM_SEEDS
#define SIM_SEEDS 2000u
#endif
#define STEPS 150u

static load one;
static load_counters counters;

static void on_abort(int number) {
    (void)number;
    fprintf(stderr, "seed %llu\n", (unsigned long long)one.seed);
}

int main(int argc, char **argv) {
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : SIM_SEEDS;
    (void)signal(SIGABRT, on_abort);
    for (uint64_t seed = first; seed < first + count; seed++) {
        load_run(&one, seed, STEPS, &counters);
    }
    printf("%llu seeds, %llu calls, %llu bytes read, %llu streams to their end, %llu losses\n",
           (unsigned long long)count, (unsigned long long)counters.calls,
           (unsigned long long)counters.bytes, (unsigned long long)counters.whole,
           (unsigned long long)counters.losses);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(counters.by_status); i++) {
        if (counters.by_status[i] != 0) {
            printf("%14s %llu\n", sluice_status_name(-(int32_t)i),
                   (unsigned long long)counters.by_status[i]);
        }
    }
    return 0;
}
