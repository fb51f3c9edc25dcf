/*
 * waitable_win.c - a manual-reset event, not inheritable.
 */
#include "client/waitable.h"

#include <windows.h>

#include "base/status.h"

int client_waitable_open(uint64_t *ret_waitable) {
    HANDLE handle = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (handle == NULL) {
        return SLUICE_EOSLIMIT;
    }
    *ret_waitable = (uint64_t)(uintptr_t)handle;
    return SLUICE_OK;
}

void client_waitable_close(uint64_t waitable) {
    (void)CloseHandle((HANDLE)(uintptr_t)waitable);
}

void client_waitable_set(uint64_t waitable) {
    (void)SetEvent((HANDLE)(uintptr_t)waitable);
}

void client_waitable_unset(uint64_t waitable) {
    (void)ResetEvent((HANDLE)(uintptr_t)waitable);
}
