/*
 * versus.h - a p99 against a p99: what somebody's work costs somebody else.
 *
 * Two subjects take turns in rounds: one with the load, one without it, the reference; each round
 * takes at least VERSUS_SAMPLES of both, with the same processes there. A round has one ratio, the
 * p99 with the load by that of the reference; the figure is the median of the rounds' ratios. So
 * what else the machine does strikes both, and no round is left out.
 *
 * The bound is judged by --long, on a machine that does nothing else. In CI the figure is printed,
 * and what is above twice the bound fails. With a sanitizer or under Wine two rounds are shown and
 * nothing is judged: a sanitizer makes other programs of them, as to time, and Wine's one server
 * process does the kernel's work for both subjects.
 */
#ifndef SLUICE_TESTS_INTEGRATION_VERSUS_H
#define SLUICE_TESTS_INTEGRATION_VERSUS_H

#include <stdbool.h>
#include <stdint.h>

#define VERSUS_ROUNDS    15u
#define VERSUS_SAMPLES   2000u
#define VERSUS_CI_FACTOR 2.0 /* CI fails above so many times the bound */

typedef struct versus {
    const char *what; /* "p99 of a null RPC beside a flood, by that of ..." */
    double bound;
    uint32_t rounds;
    double ratios[VERSUS_ROUNDS];
} versus;

/* How many rounds to take, and of how many samples: under a lasting load more with --long. */
uint32_t versus_rounds(void);
uint32_t versus_samples(bool is_long);
/* Is the figure judged here at all? */
bool versus_is_judged(void);

/* The next round. */
void versus_add(versus *v, double loaded_ns, double reference_ns);
/* Prints the figure, the bound and a verdict; false: it is too high. */
bool versus_judge(const versus *v, bool is_long);

#endif
