/*
 * unit.h - what the unit tests share: cmocka with the headers it wants, a seed that is printed and
 * can be given (SLUICE_SEED), and a child process for what ends or blocks a process.
 *
 * cmocka's assertions work on the main thread only: other threads count, the main thread asserts.
 */
#ifndef SLUICE_TESTS_UNIT_UNIT_H
#define SLUICE_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/thread.h"

/* Longest time a test waits for what must come; then it fails instead of hanging. */
#define UNIT_PATIENCE_NS (UINT64_C(30) * 1000 * 1000 * 1000)

/* An absolute deadline on the system clock, delta_ns from now. */
uint64_t unit_deadline_ns(uint64_t delta_ns);

/* Seeds the generator from SLUICE_SEED or the system, and prints how to repeat the run. */
void unit_random_init(sl_random_seeded *random, const char *test_name);

/* Starts, or fails the test. */
void unit_thread_start(sl_thread *ret_thread, sl_thread_fn run, void *context);

/* A source of memory that notices leaks and fails on demand, with an account on it. */
typedef struct unit_memory {
    sl_alloc_failpoint failpoint;
    sl_account account;
} unit_memory;
void unit_memory_init(unit_memory *memory, uint64_t fail_at, bool from_then_on);
void unit_memory_deinit(unit_memory *memory); /* checks that everything was returned */

/* This program again, in a process of its own, with one argument. */
typedef struct unit_child {
    bool has_aborted; /* ended as sl_process_abort ends a process */
    int exit_code;    /* -1 = did not end in time and was killed */
    size_t length;
    char errors[16384]; /* the beginning of what it wrote to standard error, terminated */
} unit_child;

typedef enum unit_child_mode { UNIT_CHILD_READ, UNIT_CHILD_LEAVE_PIPE_FULL } unit_child_mode;

/* READ collects standard error until the child ends. LEAVE_PIPE_FULL reads nothing until it has
 * ended, so that standard error blocks the child once the pipe is full. */
/* Does this system grant a normal thread a slice of its own (sl_thread_set_slice)? */
bool unit_grants_slices(void);

void unit_child_run(const char *argument, unit_child_mode mode, unit_child *ret_child);

#endif
