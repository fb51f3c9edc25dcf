/*
 * stats.h - what figures of a measurement say: quantiles, the ratio of two subjects round by round,
 * and a histogram of latencies in fixed room.
 *
 * Two subjects that take turns in one run are compared per round (subject / reference), because
 * what disturbs the machine disturbs both; then the median of the rounds is the figure, and the
 * lower quartile the one that other load has disturbed least. Nothing here allocates or is shared.
 */
#ifndef SLUICE_BASE_STATS_H
#define SLUICE_BASE_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Sorts the values. The value below which that share (0 to 1) of them lies, between two neighbours
 * in proportion: share 0.5 of {1, 2} is 1.5. 0 when there are none. */
double sl_stats_quantile(double *values, size_t count, double share);

typedef struct sl_spread {
    double least, lower_quartile, median, most;
    size_t count; /* of values; 0: the rest is 0 */
} sl_spread;

/* Sorts the values. */
sl_spread sl_stats_spread(double *values, size_t count);

#define SL_STATS_ROUNDS_MAX 101u

/* The spread of subject[i] / reference[i] over the rounds. A round in which either is not above 0
 * was not measured and does not count. `rounds` is at most SL_STATS_ROUNDS_MAX (checked). */
sl_spread sl_stats_ratio(const double *subject, const double *reference, size_t rounds);

/* Exact below 128; above that 128 buckets for each power of two, so that a quantile is off by less
 * than 0.8 %. From 2^40 on (18 minutes in ns) everything is one bucket. */
#define SL_HISTOGRAM_BUCKETS 4352u

typedef struct sl_histogram { /* all zero = empty */
    uint64_t count;
    uint64_t buckets[SL_HISTOGRAM_BUCKETS];
} sl_histogram;

void sl_histogram_add(sl_histogram *histogram, uint64_t value);
/* Adds what is in `other`. */
void sl_histogram_merge(sl_histogram *histogram, const sl_histogram *other);
/* As sl_stats_quantile of the samples, within the resolution. 0 when there are none. */
double sl_histogram_quantile(const sl_histogram *histogram, double share);

#endif
