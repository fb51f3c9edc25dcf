/*
 * sluice_audit.h - the run-time half of the I/O discipline audit (docs/audit.md), for tests.
 *
 * A test executable that is linked with the interposer (CMake: sluice_audit_target) has every call
 * of the functions in audit_functions.h recorded. At the process's end a summary goes to standard
 * error, written by the main thread; when there was a violation the process exits with
 * SLUICE_AUDIT_EXIT_CODE, even if its tests passed. Nothing has to be called for that.
 *
 * These functions may be called from any thread. Only sluice_audit_report writes.
 */
#ifndef SLUICE_TESTS_AUDIT_SLUICE_AUDIT_H
#define SLUICE_TESTS_AUDIT_SLUICE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#define SLUICE_AUDIT_EXIT_CODE 99

/* Calls of one function so far, by all threads ("ReadFile"), or of all of them for NULL. 0 for a
 * name that is not audited. Costs nothing while the calls run: counters are per thread. */
uint64_t sluice_audit_calls(const char *function);

/* Violations so far. */
uint64_t sluice_audit_violations(void);

/* Violations of one kind so far, by its printed name ("close-outstanding"). */
uint64_t sluice_audit_violations_of(const char *kind);

/* Requests that were issued and whose packet has not been dequeued. */
uint64_t sluice_audit_outstanding(void);

/* Prints the violations and the summary to standard error, and returns the number of violations.
 * For the main thread. The exit hook prints again. */
uint64_t sluice_audit_report(void);

/* Says that the calling thread runs somebody else's I/O (libuv's loop). Its calls are counted, but
 * it breaks no rule except by touching the handles and requests of other threads. */
void sluice_audit_exempt_thread(bool is_exempt);

#endif
