/*
 * control.h - a connection to a test build of the broker over which failpoints are set: raw frames,
 * so that no library stands in between. The worker that has it passes all points.
 */
#ifndef SLUICE_TESTS_FAILPOINT_CONTROL_H
#define SLUICE_TESTS_FAILPOINT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#define CONTROL_DETAIL_BYTES 256

typedef struct control {
    uint64_t raw;
    bool is_open;
    uint64_t next_id;
    uint32_t worker; /* that has it */
} control;

void control_open(control *c, const char *endpoint);
void control_close(control *c);

/* Sends a configuration; the status of the answer, and its detail. */
int control_try(control *c, const char *text, char detail[CONTROL_DETAIL_BYTES]);
/* One that is right. */
void control_set(control *c, const char *text);

#endif
