/*
 * stopped.h - what the client that is halted, and the test that halts it, agree on.
 */
#ifndef SLUICE_TESTS_INTEGRATION_STOPPED_H
#define SLUICE_TESTS_INTEGRATION_STOPPED_H

#include <stdint.h>

#define STOPPED_STREAMS 16u
/* Of each stream: together more than a connection's buffers hold. */
#define STOPPED_BYTES   (512u * 1024)

static inline uint8_t stopped_byte(uint32_t stream, uint32_t at) {
    return (uint8_t)(stream * 37 + at * 11 + at / 251);
}

/* The client; its exit code. */
int stopped_run(const char *endpoint, const char *name);

#endif
