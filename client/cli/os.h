/*
 * os.h - what the tool asks of the operating system besides I/O (os_posix.c, os_win.c).
 */
#ifndef SLUICE_CLI_OS_H
#define SLUICE_CLI_OS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

/* Is standard error a terminal? */
bool os_is_terminal(void);

/* Ends the process at once, also with threads that are stuck inside system calls. */
SL_NORETURN void os_leave(int code);

/* Once, at the start: standard streams that are closed (base/sink.h); no SIGPIPE; as many
 * descriptors as the hard limit allows. */
void os_prepare(void);

uint64_t os_process_id(void);

/* What is different about brokers here, for people. */
typedef struct os_broker_words {
    const char *starts;    /* "X starts one" */
    const char *elsewhere; /* behind "--endpoint NAME is for one elsewhere" */
    const char *access;    /* behind "those that its --allow names" */
} os_broker_words;
extern const os_broker_words os_words;

/* From then on the first Ctrl-C or SIGTERM does not end the process; the next one does. */
void os_catch_interrupt(void);
bool os_is_interrupted(void);

/* The index-th processor that may be used, from the highest down (the lowest takes most
 * interrupts); the last one again when there are fewer. */
unsigned os_processor(unsigned index);

#endif
