/*
 * pings.c - see pings.h.
 */
#include "tests/integration/pings.h"

#include <stdlib.h>

#define SAMPLES_MAX (1u << 20)
#define SAMPLES_MIN 200u /* of which there is a p99, also where a second has not as many */

static uint32_t samples[SAMPLES_MAX];

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

pings_window pings_measure(sluice_session *session, uint64_t time_ns, pings_more more,
                           void *user) {
    uint64_t start_ns = place_now_ns();
    uint64_t begin_ns = start_ns;
    uint32_t count = 0;
    bool wants_more = true;
    while (begin_ns < start_ns + time_ns || count < SAMPLES_MIN || wants_more) {
        EXPECT(count < SAMPLES_MAX && begin_ns < start_ns + PLACE_LONG_NS);
        EXPECT(sluice_ping(session, PLACE_LONG_NS, NULL) == SLUICE_OK);
        uint64_t now_ns = place_now_ns();
        uint64_t took_ns = now_ns - begin_ns;
        samples[count++] = took_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ns;
        wants_more = more != NULL && more(user, count);
        begin_ns = more != NULL ? place_now_ns() : now_ns;
    }
    qsort(samples, count, sizeof(samples[0]), compare_u32);
    return (pings_window){.p50_ns = samples[count / 2],
                          .p99_ns = samples[(uint64_t)count * 99 / 100],
                          .max_ns = samples[count - 1]};
}

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double pings_median(double (*value)(uint32_t round), uint32_t count) {
    static double values[PINGS_ROUNDS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        values[i] = value(i);
    }
    qsort(values, count, sizeof(values[0]), compare_double);
    return values[count / 2];
}
