/*
 * rig_posix.c - a name for the broker's endpoint that no other process has.
 */
#include "tests/broker/rig_name.h"

#include <stdio.h>
#include <unistd.h>

void rig_name(char *name, size_t size) {
    snprintf(name, size, "/tmp/sluice-broker-test-%ld", (long)getpid());
}
