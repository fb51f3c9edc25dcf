/*
 * rig_win.c - see rig_name.h.
 */
#include "tests/broker/rig_name.h"

#include <stdio.h>
#include <string.h>
#include <windows.h>

void rig_name(char *name, size_t size) {
    snprintf(name, size, "\\\\.\\pipe\\sluice-broker-test-%lu", GetCurrentProcessId());
}

void rig_pipe_name(char *name, size_t size) {
    snprintf(name, size, "sluice-broker-test-own-%lu", GetCurrentProcessId());
}

const char *const rig_long_name_detail =
    "address: characters (UTF-16) of a pipe's name on Windows: 400 is out of range: 1 to 247";

const char *rig_wide_name(void) {
    static char name[3 * 247 + 1];
    for (unsigned i = 0; i < 247; i++) {
        memcpy(name + 3 * i, "\xe4\xb8\xad", 3);
    }
    return name;
}

uint32_t rig_os_handles(void) {
    DWORD count = 0;
    return GetProcessHandleCount(GetCurrentProcess(), &count) ? (uint32_t)count : 0;
}
