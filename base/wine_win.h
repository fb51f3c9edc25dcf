/*
 * wine_win.h - is this Windows an imitation?
 *
 * Only for what Wine is known to do differently; each use says what. Any thread.
 */
#ifndef SLUICE_BASE_WINE_WIN_H
#define SLUICE_BASE_WINE_WIN_H

#include <stdbool.h>

#include <windows.h>

/* wine_get_version is Wine's own export (source: Wine's developer FAQ). */
static inline bool sl_wine_is_here(void) {
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
}

#endif
