/*
 * histogram.h - latencies in nanoseconds, kept with about 1.5 % resolution in fixed room.
 */
#ifndef SLUICE_BENCH_HISTOGRAM_H
#define SLUICE_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 2304u /* 64 below 64 ns, then 64 per power of two up to 2^41 ns */

typedef struct histogram {
    uint64_t sample_count;
    uint64_t buckets[HISTOGRAM_BUCKETS];
} histogram;

void histogram_add(histogram *self, uint64_t value_ns);

/* The value below which that share (0 to 1) of the samples lie; 0 when there are none. */
uint64_t histogram_quantile_ns(const histogram *self, double share);

#endif
