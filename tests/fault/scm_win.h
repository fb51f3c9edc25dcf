/*
 * scm_win.h - a service manager of our own, for the program's calls: it knows one service, answers
 * as Windows documents, and counts what was opened and not closed. The true one is started by
 * tests/sluiced/service.sh.
 */
#ifndef SLUICE_TESTS_FAULT_SCM_WIN_H
#define SLUICE_TESTS_FAULT_SCM_WIN_H

#include <stdbool.h>

#include <windows.h>

/* state 0: it is not installed; stop: an event that stops a service which runs in this process;
 * is_wine: it lacks what Wine lacks. Bends the program's calls, behind the stubs. */
void scm_install(DWORD state, HANDLE stop, bool is_wine);
unsigned scm_open_count(void);
bool scm_has_service(void);

#endif
