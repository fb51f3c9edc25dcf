/*
 * rig_name.h - what the rig asks the platform: rig_posix.c, rig_win.c.
 */
#ifndef SLUICE_TESTS_BROKER_RIG_NAME_H
#define SLUICE_TESTS_BROKER_RIG_NAME_H

#include <stddef.h>
#include <stdint.h>

/* A name for the broker's endpoint that no other process has. */
void rig_name(char *name, size_t size);

/* One for a listener of the tests, as an address has it after "pipe:". */
void rig_pipe_name(char *name, size_t size);

/* What the platform says of a name of 400 letters. */
extern const char *const rig_long_name_detail;
/* A name as long as it may be in characters that take three bytes, or NULL where bytes count. */
const char *rig_wide_name(void);

/* How many descriptors or handles this process has open. */
uint32_t rig_os_handles(void);

#endif
