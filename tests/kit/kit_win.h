/*
 * kit_win.h - what system_win.c, run_win.c and report_win.c share.
 */
#ifndef SLUICE_TESTS_KIT_WIN_H
#define SLUICE_TESTS_KIT_WIN_H

#include <windows.h>

#include "tests/kit/kit.h"

bool kit_narrow(const WCHAR *wide, char *ret_text, size_t size);
bool kit_wide(const char *text, WCHAR ret_wide[KIT_PATH_BYTES]);
/* Makes the path of something that is there one in ASCII. false: it has none. */
bool kit_plain_path(WCHAR path[KIT_PATH_BYTES]);

#endif
