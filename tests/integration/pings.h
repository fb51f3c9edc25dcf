/*
 * pings.h - how long a null RPC of a bystander takes, one behind the other: what others do to him.
 */
#ifndef SLUICE_TESTS_INTEGRATION_PINGS_H
#define SLUICE_TESTS_INTEGRATION_PINGS_H

#include "tests/integration/place.h"

#define PINGS_ROUNDS_MAX 101u

typedef struct pings_window {
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t max_ns;
} pings_window;

/* Called behind each ping, with its number: must the window last longer than it would? */
typedef bool (*pings_more)(void *user, uint32_t count);

/* Pings for so long; longer if the machine is too busy for as many as a p99 needs. `more` may be
 * NULL. */
pings_window pings_measure(sluice_session *session, uint64_t time_ns, pings_more more, void *user);

/* Of values of up to PINGS_ROUNDS_MAX rounds. */
double pings_median(double (*value)(uint32_t round), uint32_t count);

#endif
