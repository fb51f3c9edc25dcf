/*
 * stats.c - see stats.h.
 */
#include "base/stats.h"

#include <stdlib.h>

#include "base/check.h"

#define SUB_BITS  7u
#define SUB_COUNT (1u << SUB_BITS)

/* ---- quantiles ------------------------------------------------------------------------------- */

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Between two neighbours in proportion. */
static double of_sorted(const double *values, size_t count, double share) {
    double at = share > 0 ? share * (double)(count - 1) : 0;
    size_t index = (size_t)at;
    if (index >= count - 1) {
        return values[count - 1];
    }
    return values[index] + (at - (double)index) * (values[index + 1] - values[index]);
}

double sl_stats_quantile(double *values, size_t count, double share) {
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof(*values), by_value);
    return of_sorted(values, count, share);
}

sl_spread sl_stats_spread(double *values, size_t count) {
    if (count == 0) {
        return (sl_spread){0, 0, 0, 0, 0};
    }
    qsort(values, count, sizeof(*values), by_value);
    return (sl_spread){values[0], of_sorted(values, count, 0.25), of_sorted(values, count, 0.5),
                       values[count - 1], count};
}

sl_spread sl_stats_ratio(const double *subject, const double *reference, size_t rounds) {
    double ratios[SL_STATS_ROUNDS_MAX];
    size_t count = 0;
    SL_CHECK(rounds <= SL_STATS_ROUNDS_MAX, "more rounds than there is room for");
    for (size_t i = 0; i < rounds; i++) {
        if (subject[i] > 0 && reference[i] > 0) {
            ratios[count++] = subject[i] / reference[i];
        }
    }
    return sl_stats_spread(ratios, count);
}

/* ---- histogram ------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t value) {
    unsigned shift = 0;
    if (value < SUB_COUNT) {
        return (unsigned)value;
    }
    while ((value >> shift) >= 2 * SUB_COUNT) {
        shift++;
    }
    uint64_t index = SUB_COUNT + (uint64_t)shift * SUB_COUNT + ((value >> shift) - SUB_COUNT);
    return index < SL_HISTOGRAM_BUCKETS ? (unsigned)index : SL_HISTOGRAM_BUCKETS - 1;
}

/* The least value of a bucket; *ret_more is by how much the greatest is above it. */
static double bucket_least(unsigned index, double *ret_more) {
    *ret_more = 0;
    if (index < 2 * SUB_COUNT) {
        return index;
    }
    unsigned shift = index / SUB_COUNT - 1;
    *ret_more = (double)(((uint64_t)1 << shift) - 1);
    return (double)((uint64_t)(SUB_COUNT + index % SUB_COUNT) << shift);
}

void sl_histogram_add(sl_histogram *histogram, uint64_t value) {
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
}

void sl_histogram_merge(sl_histogram *histogram, const sl_histogram *other) {
    histogram->count += other->count;
    for (unsigned i = 0; i < SL_HISTOGRAM_BUCKETS; i++) {
        histogram->buckets[i] += other->buckets[i];
    }
}

/* The values of a bucket are taken as spread evenly over it. */
double sl_histogram_quantile(const sl_histogram *histogram, double share) {
    if (histogram->count == 0) {
        return 0;
    }
    double rank = share * (double)(histogram->count - 1);
    double seen = 0;
    double value = 0;
    for (unsigned i = 0; i < SL_HISTOGRAM_BUCKETS; i++) {
        double here = (double)histogram->buckets[i];
        double more;
        if (histogram->buckets[i] == 0) {
            continue;
        }
        value = bucket_least(i, &more);
        if (rank < seen + here) {
            double within = rank > seen ? rank - seen : 0;
            return value + more * (within + 0.5) / here;
        }
        seen += here;
        value += more;
    }
    return value;
}
