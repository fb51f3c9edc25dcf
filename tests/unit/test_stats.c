/* test_stats.c - quantiles, ratios and the histogram, against answers known from arithmetic. */
#include "unit.h"

#include <string.h>

#include "base/check.h"
#include "base/stats.h"

static bool is_about(double value, double wanted, double share) {
    double off = value > wanted ? value - wanted : wanted - value;
    return off <= share * wanted;
}

static void quantiles(void **state) {
    (void)state;
    double five[] = {5, 1, 4, 2, 3};
    assert_true(sl_stats_quantile(five, 5, 0.5) == 3);
    assert_true(five[0] == 1 && five[4] == 5);
    assert_true(sl_stats_quantile(five, 5, 0) == 1);
    assert_true(sl_stats_quantile(five, 5, 1) == 5);
    assert_true(sl_stats_quantile(five, 5, 0.25) == 2);
    double four[] = {4, 1, 3, 2};
    assert_true(sl_stats_quantile(four, 4, 0.5) == 2.5);
    assert_true(sl_stats_quantile(four, 4, 0.25) == 1.75);
    double one[] = {7};
    assert_true(sl_stats_quantile(one, 1, 0.99) == 7);
    assert_true(sl_stats_quantile(one, 0, 0.5) == 0);
    double samples[1001];
    for (unsigned i = 0; i < SL_ARRAY_COUNT(samples); i++) {
        samples[i] = (double)((i * 17) % SL_ARRAY_COUNT(samples)); /* each of 0 to 1,000 once */
    }
    assert_true(sl_stats_quantile(samples, SL_ARRAY_COUNT(samples), 0.99) == 990);
    assert_true(sl_stats_quantile(samples, SL_ARRAY_COUNT(samples), 0.999) == 999);
}

static void spreads(void **state) {
    (void)state;
    double values[] = {9, 1, 5, 3, 7};
    sl_spread spread = sl_stats_spread(values, 5);
    assert_true(spread.least == 1 && spread.lower_quartile == 3 && spread.median == 5);
    assert_true(spread.most == 9 && spread.count == 5);
    spread = sl_stats_spread(values, 0);
    assert_true(spread.count == 0 && spread.median == 0 && spread.most == 0);
}

/* What slows both subjects of a round down leaves the ratio alone; a round that one of them did not
 * take part in is left out; and the median of the ratios is not the ratio of the medians. */
static void ratios(void **state) {
    (void)state;
    const double reference[] = {10, 100, 10, 0, 10};
    const double subject[] = {20, 200, 30, 50, 10};
    sl_spread ratio = sl_stats_ratio(subject, reference, 5);
    assert_int_equal(ratio.count, 4);
    assert_true(ratio.least == 1 && ratio.most == 3 && ratio.median == 2);
    assert_true(ratio.lower_quartile == 1.75);
    ratio = sl_stats_ratio(reference, subject, 4);
    assert_int_equal(ratio.count, 3);
    assert_true(ratio.median == 0.5);
    const double fast_first[] = {1, 2, 9};
    const double fast_last[] = {9, 2, 1};
    assert_true(sl_stats_ratio(fast_first, fast_last, 3).median == 1);
    assert_int_equal(sl_stats_ratio(subject, reference, 0).count, 0);
}

static sl_histogram histogram, other;

static void histogram_is_exact_for_small_values(void **state) {
    (void)state;
    memset(&histogram, 0, sizeof(histogram));
    assert_true(sl_histogram_quantile(&histogram, 0.5) == 0);
    for (uint64_t value = 0; value <= 100; value++) {
        sl_histogram_add(&histogram, value);
    }
    assert_true(sl_histogram_quantile(&histogram, 0) == 0);
    assert_true(sl_histogram_quantile(&histogram, 0.5) == 50);
    assert_true(sl_histogram_quantile(&histogram, 0.99) == 99);
    assert_true(sl_histogram_quantile(&histogram, 1) == 100);
}

/* Every share of samples over many powers of two is within the promised resolution. */
static void histogram_keeps_its_resolution(void **state) {
    (void)state;
    static double samples[20000];
    sl_random_seeded random;
    unit_random_init(&random, "stats");
    memset(&histogram, 0, sizeof(histogram));
    for (unsigned i = 0; i < SL_ARRAY_COUNT(samples); i++) {
        uint64_t sample = 1000 + (sl_random_seeded_u64(&random) >> (26 + i % 30));
        samples[i] = (double)sample;
        sl_histogram_add(&histogram, sample);
    }
    for (unsigned mille = 1; mille < 1000; mille++) {
        double share = (double)mille / 1000;
        /* A quantile lies between two samples; so does the histogram's, give or take. */
        sl_stats_quantile(samples, SL_ARRAY_COUNT(samples), share);
        size_t at = (size_t)(share * (double)(SL_ARRAY_COUNT(samples) - 1));
        double low = samples[at] * 0.992;
        double high = samples[at + 1] * 1.008;
        double value = sl_histogram_quantile(&histogram, share);
        assert_true(value >= low && value <= high);
    }
}

static void histogram_merges_and_has_an_end(void **state) {
    (void)state;
    memset(&histogram, 0, sizeof(histogram));
    memset(&other, 0, sizeof(other));
    for (unsigned i = 0; i < 90; i++) {
        sl_histogram_add(&histogram, 1000);
    }
    for (unsigned i = 0; i < 10; i++) {
        sl_histogram_add(&other, 1000000);
    }
    sl_histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 100);
    assert_true(is_about(sl_histogram_quantile(&histogram, 0.5), 1000, 0.008));
    assert_true(is_about(sl_histogram_quantile(&histogram, 0.95), 1000000, 0.008));
    sl_histogram_add(&histogram, UINT64_MAX);
    sl_histogram_add(&histogram, (uint64_t)1 << 40);
    assert_true(is_about(sl_histogram_quantile(&histogram, 1), (double)((uint64_t)1 << 40), 0.008));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles),
        cmocka_unit_test(spreads),
        cmocka_unit_test(ratios),
        cmocka_unit_test(histogram_is_exact_for_small_values),
        cmocka_unit_test(histogram_keeps_its_resolution),
        cmocka_unit_test(histogram_merges_and_has_an_end),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
