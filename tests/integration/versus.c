/*
 * versus.c - see versus.h.
 */
#include "tests/integration/versus.h"

#include <stdio.h>
#include <string.h>

#include "base/stats.h"
#include "tests/integration/process.h"

#define ROUNDS_SHOWN  2u /* where it is not judged */
#define SAMPLES_SHOWN 500u
#define LONG_FACTOR   5u

#ifndef IS_SANITIZED /* CMakeLists.txt */
#define IS_SANITIZED false
#endif

bool versus_is_judged(void) {
    return !IS_SANITIZED && !process_is_wine();
}

uint32_t versus_rounds(void) {
    return versus_is_judged() ? VERSUS_ROUNDS : ROUNDS_SHOWN;
}

uint32_t versus_samples(bool is_long) {
    return !versus_is_judged() ? SAMPLES_SHOWN : VERSUS_SAMPLES * (is_long ? LONG_FACTOR : 1);
}

void versus_add(versus *v, double loaded_ns, double reference_ns) {
    EXPECT(v->rounds < VERSUS_ROUNDS && reference_ns > 0);
    v->ratios[v->rounds++] = loaded_ns / reference_ns;
}

bool versus_judge(const versus *v, bool is_long) {
    double sorted[VERSUS_ROUNDS];
    double most = is_long ? v->bound : VERSUS_CI_FACTOR * v->bound;
    EXPECT(v->rounds == versus_rounds());
    memcpy(sorted, v->ratios, v->rounds * sizeof(sorted[0]));
    sl_spread spread = sl_stats_spread(sorted, v->rounds);
    double figure = spread.median;
    bool is_good = !versus_is_judged() || figure <= most;
    printf("figure: %s: %.2f times (median of %u rounds, quartiles %.2f and %.2f)\n", v->what,
           figure, v->rounds, spread.lower_quartile,
           sl_stats_quantile(sorted, v->rounds, 0.75));
    printf("bound: %.1f times; judged here at %.1f: %s\n", v->bound, most,
           !versus_is_judged() ? "not judged (Wine or a sanitizer)"
           : is_good           ? "passed"
                               : "P99 MISSED");
    return is_good;
}
