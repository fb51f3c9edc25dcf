/*
 * wine_win.h - for the Windows halves of tests: is this Windows an imitation?
 */
#ifndef SLUICE_TESTS_WINE_WIN_H
#define SLUICE_TESTS_WINE_WIN_H

#include <stdbool.h>

#include <windows.h>

static inline bool wine_is_here(void) {
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
}

#endif
