/*
 * versus_test.c - the statistics of versus.h, with known answers.
 */
#include <stdio.h>

#include "base/random.h"
#include "base/status.h"
#include "tests/integration/process.h"
#include "tests/integration/versus.h"

#define HUNDRED 100u

static void test_percentiles(void) {
    double hundred[HUNDRED];
    double ten[] = {10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
    double two[] = {1, 5};
    for (uint32_t i = 0; i < HUNDRED; i++) {
        hundred[i] = (double)((i * 37) % HUNDRED + 1); /* 1 to 100, shuffled */
    }
    versus_sort(hundred, HUNDRED);
    EXPECT(versus_percentile(hundred, HUNDRED, 99) == 99);
    EXPECT(versus_percentile(hundred, HUNDRED, 100) == 100);
    EXPECT(versus_percentile(hundred, HUNDRED, 1) == 1 &&
           versus_percentile(hundred, HUNDRED, 0) == 1);
    EXPECT(versus_percentile(hundred, HUNDRED, 25) == 25);
    EXPECT(versus_median(hundred, HUNDRED) == 50.5);
    versus_sort(ten, 10);
    EXPECT(ten[0] == 1 && ten[9] == 10);
    EXPECT(versus_percentile(ten, 10, 25) == 3 && versus_percentile(ten, 10, 75) == 8);
    EXPECT(versus_percentile(ten, 10, 99) == 10);
    EXPECT(versus_median(ten, 9) == 5 && versus_median(ten, 10) == 5.5);
    EXPECT(versus_median(two, 2) == 3 && versus_percentile(two, 2, 50) == 1);
    EXPECT(versus_percentile(two, 1, 99) == 1 && versus_median(two, 1) == 1);
}

/* One sample of 50 that is slow is in the p99; one of 200 is not. */
static void test_what_p99_sees(void) {
    static double samples[VERSUS_SAMPLES];
    for (uint32_t every = 50; every <= 200; every += 150) {
        for (uint32_t i = 0; i < VERSUS_SAMPLES; i++) {
            samples[i] = i % every == 0 ? 1000 : 10;
        }
        versus_sort(samples, VERSUS_SAMPLES);
        EXPECT(versus_percentile(samples, VERSUS_SAMPLES, 99) == (every == 50 ? 1000 : 10));
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
    test_percentiles();
    test_what_p99_sees();
    test_verdict();
    printf("ok\n");
    return 0;
}
