/*
 * selftest_place_win.c - what `sluiced service install` relies on, with true owners, access lists
 * and links: a folder for the log that somebody else made is refused, the one that is made lets
 * nobody else in; a program that others can change is refused.
 *
 * Planted by us, as an administrator, in a folder of this process's own name. Main thread.
 */
#include "client/cli/selftest_win.h"

#include <sddl.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <winioctl.h>

#define COMMAND_LIMIT_S 120u
#define REFUSED         8 /* SLUICED_EXIT_SERVICE */
#define NAME_BYTES      64u
#define PATH_CHARS      (MAX_PATH + 2 * NAME_BYTES + 16)

typedef struct places {
    char name[NAME_BYTES];
    char broker[SELFTEST_PATH_BYTES];
    const char *user;
    bool is_verbose;
    bool may_be_installed;    /* so it is to be removed */
    WCHAR root[PATH_CHARS];   /* %ProgramData%\Sluice */
    WCHAR own[PATH_CHARS];    /* the service's folder in it */
    WCHAR log[PATH_CHARS];    /* its log */
    WCHAR victim[PATH_CHARS]; /* a file of somebody's */
    WCHAR copy[PATH_CHARS];   /* of the program */
} places;

static int command(const places *p, const char *broker, const char *verb, const char *more) {
    const char *words[SELFTEST_WORDS_MAX] = {"service", verb, "--name", p->name};
    if (strcmp(verb, "install") == 0) {
        words[4] = "--allow";
        words[5] = p->user;
        words[6] = more;
    }
    return selftest_run(broker, words, COMMAND_LIMIT_S, p->is_verbose);
}

static int install(places *p) {
    p->may_be_installed = true;
    return command(p, p->broker, "install", "--from-here");
}

/* What was planted must be refused. */
static bool is_refused(places *p, const char *what, selftest_result *ret_result) {
    int code = install(p);
    if (code == REFUSED) {
        p->may_be_installed = false;
        return true;
    }
    selftest_say(ret_result, SELFTEST_FAILED, "%s: install ended with %d, and not with %d", what,
                 code, REFUSED);
    return false;
}

static bool has_failed(const char *what, selftest_result *ret_result) {
    selftest_say(ret_result, SELFTEST_SKIPPED, "%s: Windows error %lu", what,
                 (unsigned long)GetLastError());
    return false;
}

/* ---- what is planted ---- */

/* Ours, and every user can change it. */
static bool make_open_folder(const WCHAR *path) {
    SECURITY_ATTRIBUTES access = {.nLength = sizeof(access)};
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(
            "O:BAD:P(A;OICI;FA;;;BA)(A;OICI;FA;;;BU)", SDDL_REVISION_1,
            &access.lpSecurityDescriptor, NULL)) {
        return false;
    }
    bool is_made = CreateDirectoryW(path, &access);
    (void)LocalFree(access.lpSecurityDescriptor);
    return is_made;
}

/* As REPARSE_DATA_BUFFER for a mount point, which is no header's for programs [docs: MS-FSCC
 * 2.1.2.5]. */
typedef struct junction_data {
    DWORD tag;
    WORD bytes; /* of what follows `reserved` */
    WORD reserved;
    WORD target_at;
    WORD target_bytes;
    WORD shown_at;
    WORD shown_bytes;
    WCHAR names[2 * PATH_CHARS];
} junction_data;

static bool make_junction(const WCHAR *path, const WCHAR *target) {
    static junction_data data;
    DWORD count;
    int length = swprintf(data.names, PATH_CHARS, L"\\??\\%ls", target);
    if (length <= 0 || !CreateDirectoryW(path, NULL)) {
        return false;
    }
    data.tag = IO_REPARSE_TAG_MOUNT_POINT;
    data.target_bytes = (WORD)((size_t)length * sizeof(WCHAR));
    data.shown_at = (WORD)(data.target_bytes + sizeof(WCHAR));
    data.names[length + 1] = L'\0';
    data.bytes = (WORD)(8 + data.shown_at + sizeof(WCHAR));
    HANDLE folder = CreateFileW(path, GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    bool is_made =
        folder != INVALID_HANDLE_VALUE && DeviceIoControl(folder, FSCTL_SET_REPARSE_POINT, &data,
                                                          8u + data.bytes, NULL, 0, &count, NULL);
    DWORD os_error = GetLastError();
    if (folder != INVALID_HANDLE_VALUE) {
        (void)CloseHandle(folder);
    }
    SetLastError(os_error);
    return is_made;
}

static bool make_file(const WCHAR *path) {
    HANDLE file = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    return file != INVALID_HANDLE_VALUE && CloseHandle(file);
}

/* ---- the checks ---- */

/* The folder that install made, as somebody else sees it. */
static bool keeps_out(const places *p, selftest_result *ret_result) {
    WCHAR path[PATH_CHARS];
    HANDLE token = selftest_other_user();
    (void)swprintf(path, PATH_CHARS, L"%ls\\planted", p->own);
    if (token == NULL || !SetThreadToken(NULL, token)) {
        return has_failed("cannot take another's part", ret_result);
    }
    bool is_in = make_file(path);
    DWORD os_error = is_in ? 0 : GetLastError();
    if (!RevertToSelf()) {
        ExitProcess(1); /* nothing may go on as somebody else */
    }
    (void)CloseHandle(token);
    (void)DeleteFileW(path);
    if (os_error != ERROR_ACCESS_DENIED) {
        selftest_say(ret_result, SELFTEST_FAILED, "another user: Windows error %lu, not denied",
                     (unsigned long)os_error);
    }
    return os_error == ERROR_ACCESS_DENIED;
}

static bool uninstall(places *p, selftest_result *ret_result) {
    if (p->may_be_installed && command(p, p->broker, "uninstall", NULL) != 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it could not be removed: %s", p->name);
        return false;
    }
    p->may_be_installed = false;
    return true;
}

static void check_log(places *p, selftest_result *ret_result) {
    int code = install(p);
    if (code != 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it could not be installed (exit code %d)", code);
        return;
    }
    if (!uninstall(p, ret_result)) {
        return;
    }
    if (!make_file(p->victim) || !CreateHardLinkW(p->log, p->victim, NULL)) {
        (void)has_failed("a hard link", ret_result);
        return;
    }
    if (!is_refused(p, "a hard link", ret_result) || !keeps_out(p, ret_result)) {
        return;
    }
    if (!DeleteFileW(p->log) || !RemoveDirectoryW(p->own) || !make_open_folder(p->own)) {
        (void)has_failed("an open folder", ret_result);
        return;
    }
    if (!is_refused(p, "a folder that users can change", ret_result)) {
        return;
    }
    if (!RemoveDirectoryW(p->own) || !make_junction(p->own, p->root)) {
        (void)has_failed("a junction", ret_result);
        return;
    }
    (void)is_refused(p, "a junction", ret_result);
}

/* A copy in the user's temporary folder. */
static void check_program(places *p, selftest_result *ret_result) {
    WCHAR broker[SELFTEST_PATH_BYTES];
    char copy[SELFTEST_PATH_BYTES];
    if (!selftest_wide(p->broker, broker) || !CopyFileW(broker, p->copy, TRUE) ||
        WideCharToMultiByte(CP_UTF8, 0, p->copy, -1, copy, sizeof(copy), NULL, NULL) <= 0) {
        (void)has_failed("a copy of the program", ret_result);
        return;
    }
    p->may_be_installed = true;
    int code = command(p, copy, "install", NULL);
    if (code == REFUSED) {
        p->may_be_installed = false;
    } else {
        selftest_say(ret_result, SELFTEST_FAILED, "install ended with %d, and not with %d", code,
                     REFUSED);
    }
}

static bool begin(places *p, selftest_question question, const selftest_place *place,
                  selftest_result *ret_result) {
    WCHAR name[NAME_BYTES];
    WCHAR temporary[MAX_PATH];
    memset(p, 0, sizeof(*p));
    p->user = place->user;
    p->is_verbose = place->is_verbose;
    (void)snprintf(p->name, sizeof(p->name), "sluice-selftest-%lu-%d",
                   (unsigned long)GetCurrentProcessId(), (int)question);
    if (place->broker_path != NULL) {
        (void)snprintf(p->broker, sizeof(p->broker), "%s", place->broker_path);
    } else if (!selftest_find(NULL, "sluiced", ".", p->broker)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "no sluiced beside this program: --broker PATH");
        return false;
    }
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE);
    if (manager == NULL) {
        return has_failed("only an administrator may", ret_result);
    }
    (void)CloseServiceHandle(manager);
    DWORD count = ExpandEnvironmentStringsW(L"%ProgramData%\\Sluice", p->root, MAX_PATH);
    if (count == 0 || count > MAX_PATH || GetTempPathW(MAX_PATH, temporary) == 0 ||
        MultiByteToWideChar(CP_UTF8, 0, p->name, -1, name, NAME_BYTES) <= 0) {
        return has_failed("where logs belong", ret_result);
    }
    (void)swprintf(p->own, PATH_CHARS, L"%ls\\%ls", p->root, name);
    (void)swprintf(p->log, PATH_CHARS, L"%ls\\%ls.log", p->own, name);
    (void)swprintf(p->victim, PATH_CHARS, L"%ls\\%ls", p->root, name);
    wcscat(p->victim, L".victim");
    (void)swprintf(p->copy, PATH_CHARS, L"%ls%ls.exe", temporary, name);
    return true;
}

/* What is left of all that, and the folder above if nobody else's is in it. */
static void end(places *p, selftest_result *ret_result) {
    (void)uninstall(p, ret_result);
    (void)DeleteFileW(p->log);
    (void)DeleteFileW(p->victim);
    (void)DeleteFileW(p->copy);
    (void)RemoveDirectoryW(p->own);
    (void)RemoveDirectoryW(p->root);
}

void selftest_places(selftest_question question, const selftest_place *place,
                     selftest_result *ret_result) {
    static places p;
    if (!begin(&p, question, place, ret_result)) {
        return;
    }
    if (question == SELFTEST_SERVICE_LOG) {
        check_log(&p, ret_result);
    } else {
        check_program(&p, ret_result);
    }
    end(&p, ret_result);
}
