/*
 * histogram.c - log-linear buckets: the six bits after the leading one choose the bucket.
 */
#include "histogram.h"

#define SUB_BITS  6u
#define SUB_COUNT (1u << SUB_BITS)

static unsigned bucket_of(uint64_t value_ns) {
    unsigned shift = 0;
    while ((value_ns >> shift) >= 2 * SUB_COUNT) {
        shift++;
    }
    if (value_ns < SUB_COUNT) {
        return (unsigned)value_ns;
    }
    unsigned index = SUB_COUNT + shift * SUB_COUNT + (unsigned)((value_ns >> shift) - SUB_COUNT);
    return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

static uint64_t bucket_middle_ns(unsigned index) {
    if (index < 2 * SUB_COUNT) {
        return index;
    }
    unsigned shift = index / SUB_COUNT - 1;
    uint64_t low = (uint64_t)(SUB_COUNT + index % SUB_COUNT) << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

void histogram_add(histogram *self, uint64_t value_ns) {
    self->sample_count++;
    self->buckets[bucket_of(value_ns)]++;
}

uint64_t histogram_quantile_ns(const histogram *self, double share) {
    if (self->sample_count == 0) {
        return 0;
    }
    uint64_t below = (uint64_t)(share * (double)self->sample_count);
    uint64_t seen = 0;
    unsigned last = 0;
    for (unsigned index = 0; index < HISTOGRAM_BUCKETS; index++) {
        if (self->buckets[index] == 0) {
            continue;
        }
        seen += self->buckets[index];
        last = index;
        if (seen > below) {
            break;
        }
    }
    return bucket_middle_ns(last);
}
