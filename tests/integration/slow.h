/*
 * slow.h - the client of case_slow_reader.c.
 */
#ifndef SLUICE_TESTS_INTEGRATION_SLOW_H
#define SLUICE_TESTS_INTEGRATION_SLOW_H

/* Listens at pipe:NAME, reads all that 16 peers send; its exit code. */
int slow_run(const char *endpoint, const char *name);

#endif
