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

#endif
