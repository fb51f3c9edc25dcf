/*
 * flood.h - a client that always has all its credits in use; what it and its tests agree on.
 */
#ifndef SLUICE_TESTS_INTEGRATION_FLOOD_H
#define SLUICE_TESTS_INTEGRATION_FLOOD_H

/* The client: says "ready", "flooding", "still" when it is told "go", "halt". Its exit code. */
int flood_run(const char *endpoint);

#endif
