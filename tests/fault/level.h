/*
 * level.h - the levels at which calls fail.
 */
#ifndef SLUICE_TESTS_FAULT_LEVEL_H
#define SLUICE_TESTS_FAULT_LEVEL_H

#include "tests/fault/drive.h"

extern const fault_level level_engine;
extern const fault_level level_client;
extern const fault_level level_program;
extern const fault_level level_late; /* memory only */

/* Is this process one that level_program has started anew? Then *ret_code is its end. (Windows) */
bool level_program_continues(int argc, char **argv, int *ret_code);

#endif
