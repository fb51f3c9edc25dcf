/*
 * rig_name.h - rig_posix.c, rig_win.c.
 */
#ifndef SLUICE_TESTS_BROKER_RIG_NAME_H
#define SLUICE_TESTS_BROKER_RIG_NAME_H

#include <stddef.h>

void rig_name(char *name, size_t size);

#endif
