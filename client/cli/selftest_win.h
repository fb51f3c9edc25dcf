/*
 * selftest_win.h - what selftest_win.c and selftest_service_win.c share.
 */
#ifndef SLUICE_CLI_SELFTEST_WIN_H
#define SLUICE_CLI_SELFTEST_WIN_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "client/cli/selftest.h"

/* A TOKEN_USER with its SID. */
typedef union selftest_sid {
    TOKEN_USER user;
    BYTE bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
} selftest_sid;

/* Our token, to be copied. To be closed; NULL: refused. */
HANDLE selftest_own_token(void);

/* Waits for the end of what was started, ends it after that time, and gives it back. Its exit code;
 * -1: it did not end by itself. */
int selftest_await(PROCESS_INFORMATION *process, unsigned limit_s);

/* Our token, in which we and the administrators count for denying only: another user, that
 * nobody has granted anything. To be closed; NULL: refused. */
HANDLE selftest_other_user(void);

bool selftest_wide(const char *text, WCHAR ret_text[SELFTEST_PATH_BYTES]);

/* Where the system has the private broker's endpoint. false: there is none. */
bool selftest_endpoint_path(const selftest_place *place, WCHAR ret_name[SELFTEST_PATH_BYTES]);

/* selftest_access_win.c: whom pipes let in, and what is opened for whom. */
void selftest_access(selftest_question question, const selftest_place *place,
                     selftest_result *ret_result);

/* selftest_service_win.c: a service of its own, from its installation to its end. */
void selftest_service(selftest_question question, const selftest_place *place,
                      selftest_result *ret_result);

/* selftest_place_win.c: what such an installation relies on. */
void selftest_places(selftest_question question, const selftest_place *place,
                     selftest_result *ret_result);

#endif
