/*
 * hoard.h - the client of case_exhaustion.c.
 */
#ifndef SLUICE_TESTS_INTEGRATION_HOARD_H
#define SLUICE_TESTS_INTEGRATION_HOARD_H

/* Opens pairs until there are no more, says "pairs N, then STATUS", and goes on trying. */
int hoard_run(const char *endpoint);

#endif
