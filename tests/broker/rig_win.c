/*
 * rig_win.c - a name for the broker's endpoint that no other process has.
 */
#include "tests/broker/rig_name.h"

#include <stdio.h>
#include <windows.h>

void rig_name(char *name, size_t size) {
    snprintf(name, size, "\\\\.\\pipe\\sluice-broker-test-%lu", GetCurrentProcessId());
}
