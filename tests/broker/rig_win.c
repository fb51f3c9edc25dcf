/*
 * rig_win.c - see rig_name.h.
 */
#include "tests/broker/rig_name.h"

#include <stdio.h>
#include <windows.h>

void rig_name(char *name, size_t size) {
    snprintf(name, size, "\\\\.\\pipe\\sluice-broker-test-%lu", GetCurrentProcessId());
}

void rig_pipe_name(char *name, size_t size) {
    snprintf(name, size, "sluice-broker-test-own-%lu", GetCurrentProcessId());
}

uint32_t rig_os_handles(void) {
    DWORD count = 0;
    return GetProcessHandleCount(GetCurrentProcess(), &count) ? (uint32_t)count : 0;
}
