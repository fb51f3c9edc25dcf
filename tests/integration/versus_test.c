/*
 * versus_test.c - what a p99 sees, and when versus.h says that it is too high. (The arithmetic has
 * a test of its own: tests/unit/test_stats.c.)
 */
#include <stdio.h>

#include "base/stats.h"
#include "tests/integration/process.h"
#include "tests/integration/versus.h"

/* One sample of 50 that is slow is in the p99; one of 200 is not. */
static void test_what_p99_sees(void) {
    static double samples[VERSUS_SAMPLES];
    for (uint32_t every = 50; every <= 200; every += 150) {
        for (uint32_t i = 0; i < VERSUS_SAMPLES; i++) {
            samples[i] = i % every == 0 ? 1000 : 10;
        }
        EXPECT(sl_stats_quantile(samples, VERSUS_SAMPLES, 0.99) == (every == 50 ? 1000 : 10));
    }
}

static versus rounds_of(double low, double high, uint32_t high_count) {
    versus v = {.what = "a test", .bound = 2};
    uint32_t rounds = versus_rounds();
    for (uint32_t i = 0; i < rounds; i++) {
        versus_add(&v, (i < high_count ? high : low) * 10, 10);
    }
    return v;
}

/* The median is judged: up to half of the rounds may be as bad as they like. */
static void test_verdict(void) {
    uint32_t minority = (versus_rounds() - 1) / 2;
    versus good = rounds_of(1.9, 100, minority);
    versus middling = rounds_of(1.9, 3.9, VERSUS_ROUNDS);
    versus bad = rounds_of(1, 4.1, VERSUS_ROUNDS);
    EXPECT(versus_judge(&good, true) && versus_judge(&good, false));
    EXPECT(versus_judge(&middling, true) == !versus_is_judged()); /* above the bound */
    EXPECT(versus_judge(&middling, false));                       /* but not above twice of it */
    EXPECT(versus_judge(&bad, false) == !versus_is_judged());
}

int main(void) {
    test_what_p99_sees();
    test_verdict();
    printf("ok\n");
    return 0;
}
