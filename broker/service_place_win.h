/*
 * service_place_win.h - files and folders that a Windows service relies on: whether anybody but the
 * administrators can change them; and the place of its log. service_place_win.c.
 *
 * Who may write to what a service runs, reads or writes has its rights. So nothing that is there
 * already is taken as it is: in %ProgramData% every user may make folders, which then are that
 * user's, and links that lead elsewhere.
 */
#ifndef SLUICE_BROKER_SERVICE_PLACE_WIN_H
#define SLUICE_BROKER_SERVICE_PLACE_WIN_H

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "broker/config.h"

#define PLACE_CHARS 1024u /* of a path, with its NUL */

typedef enum place_kind {
    PLACE_FILE,   /* nobody else may write to it */
    PLACE_FOLDER, /* nor make, replace or remove anything in it */
    PLACE_ABOVE   /* making something new in it is fine, moving away what is there is not */
} place_kind;

/* A service's account: NT SERVICE\NAME. */
typedef struct place_account {
    union {
        SID sid;
        BYTE bytes[SECURITY_MAX_SID_SIZE];
    } id;
    WCHAR text[192];
} place_account;

/* Whether it belongs to LocalSystem, the administrators, TrustedInstaller or `service` (NULL =
 * none), and nobody else may change it. Pure. If not: why, for people. */
bool place_is_guarded(PSECURITY_DESCRIPTOR descriptor, place_kind kind, PSID service,
                      char *ret_why, size_t size);

/* The same of what is at the path, which may be no link, and a file no second name of another one.
 * is_wine: only that. SLUICE_OK; ENOTFOUND; EACCESS, with a sentence; EOS, with one. */
int place_check(const WCHAR *path, place_kind kind, PSID service, bool is_wine,
                config_error *ret_error);

/* A file, the folder that it is in, and all above. An absolute path. */
int place_check_file(const WCHAR *path, config_error *ret_error);

/* The account of a service that exists. SLUICE_OK, or EOS with a sentence. */
int place_find_account(const WCHAR *service, place_account *ret_account, config_error *ret_error);

/* %ProgramData%\Sluice\NAME\NAME.log, as the system knows that folder, whatever the environment
 * says. SLUICE_OK, or EOS with a sentence. */
int place_log_path(const WCHAR *service, WCHAR ret_path[PLACE_CHARS], config_error *ret_error);

/* Makes the folders of that path, for administrators and that account (NULL under Wine: for
 * everybody), or checks those that are there, and the log itself. As place_check. */
int place_make_log(const WCHAR *path, const place_account *account, config_error *ret_error);

/* A log at a place that somebody chose: as place_check_file, but that account may change it and its
 * folder, and the file need not be there. NULL under Wine: only that neither is a link. */
int place_check_log(const WCHAR *path, const place_account *account, config_error *ret_error);

#endif
