/*
 * pings.h - how long a null RPC of a bystander takes, one behind the other: what others do to it.
 */
#ifndef SLUICE_TESTS_INTEGRATION_PINGS_H
#define SLUICE_TESTS_INTEGRATION_PINGS_H

#include "tests/integration/place.h"

typedef struct pings_window {
    double p50_ns;
    double p99_ns;
    double max_ns;
    uint32_t count;
} pings_window;

/* Called behind each ping, with its number, outside of what is measured: must the window last
 * longer than it would? */
typedef bool (*pings_more)(void *user, uint32_t count);

/* At least so many pings. `more` may be NULL. */
pings_window pings_measure(sluice_session *session, uint32_t wanted, pings_more more, void *user);

/* Two bystanders of a broker of two workers. */
typedef struct pings_pair {
    sluice_session *beside; /* on the worker of the session whose number was given */
    sluice_session *apart;  /* on the other one */
} pings_pair;

typedef struct pings_pair_windows {
    pings_window beside, apart;
} pings_pair_windows;

/* At least so many pings of each; they take turns after every few, so that whatever else comes and
 * goes strikes both. */
pings_pair_windows pings_measure_pair(const pings_pair *pair, uint32_t wanted, pings_more more,
                                      void *user);

void pings_open(place *at, uint64_t session_id, pings_pair *ret_pair);
void pings_close(pings_pair *pair);

#endif
