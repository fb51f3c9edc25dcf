/*
 * selftest_win.c - see selftest.h: programs, and what others can do to a broker's pipe.
 *
 * "Another user" is this user's own token in which it is good for denying only: what grants it
 * access does not count any more, as for a user that nobody has named. Synchronous calls on the
 * main thread, impersonation: the tool's raw side.
 */
#include "client/cli/selftest_win.h"

#include <sddl.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/wine_win.h"
#include "engine/engine.h"

#define PIPE_ACCESS (FILE_READ_DATA | FILE_WRITE_DATA | SYNCHRONIZE)
#define LOW_RID     0x1000 /* SECURITY_MANDATORY_LOW_RID */
#define INSTANCES   4u

const char *selftest_system(void) {
    return sl_wine_is_here() ? "Wine" : NULL;
}

bool selftest_wide(const char *text, WCHAR ret_text[SELFTEST_PATH_BYTES]) {
    return MultiByteToWideChar(CP_UTF8, 0, text, -1, ret_text, SELFTEST_PATH_BYTES) > 0;
}

/* ---- programs ---- */

static bool join(const char *folder, const char *name, char *ret_path) {
    WCHAR wide[SELFTEST_PATH_BYTES];
    int length = snprintf(ret_path, SELFTEST_PATH_BYTES, "%s\\%s.exe", folder, name);
    return length > 0 && length < (int)SELFTEST_PATH_BYTES && selftest_wide(ret_path, wide) &&
           GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
}

bool selftest_find(const char *folder, const char *name, const char *in_build,
                   char ret_path[SELFTEST_PATH_BYTES]) {
    WCHAR wide[SELFTEST_PATH_BYTES / 2];
    char own[SELFTEST_PATH_BYTES / 2];
    char built[SELFTEST_PATH_BYTES];
    if (folder != NULL) {
        return join(folder, name, ret_path);
    }
    DWORD length = GetModuleFileNameW(NULL, wide, SELFTEST_PATH_BYTES / 2);
    WCHAR *slash = length > 0 && length < SELFTEST_PATH_BYTES / 2 ? wcsrchr(wide, L'\\') : NULL;
    if (slash == NULL) {
        return false;
    }
    *slash = L'\0';
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, own, sizeof(own), NULL, NULL) <= 0) {
        return false;
    }
    if (join(own, name, ret_path)) {
        return true;
    }
    int count = snprintf(built, sizeof(built), "%s\\%s", own, in_build);
    for (char *c = built; *c != '\0'; c++) {
        *c = *c == '/' ? '\\' : *c;
    }
    return count > 0 && count < (int)sizeof(built) && join(built, name, ret_path);
}

/* Every word in quotes; none has one itself or ends with a backslash. */
static bool command_line(const char *path, const char *const *words, WCHAR *ret_line) {
    char line[SELFTEST_PATH_BYTES];
    int length = snprintf(line, sizeof(line), "\"%s\"", path);
    for (unsigned i = 0; words[i] != NULL && length > 0 && length < (int)sizeof(line); i++) {
        length += snprintf(line + length, sizeof(line) - (size_t)length, " \"%s\"", words[i]);
    }
    return length > 0 && length < (int)sizeof(line) && selftest_wide(line, ret_line);
}

int selftest_await(PROCESS_INFORMATION *process, unsigned limit_s) {
    DWORD code = 0;
    bool has_ended = WaitForSingleObject(process->hProcess, limit_s * 1000) == WAIT_OBJECT_0 &&
                     GetExitCodeProcess(process->hProcess, &code);
    if (!has_ended) {
        (void)TerminateProcess(process->hProcess, 1);
    }
    (void)CloseHandle(process->hThread);
    (void)CloseHandle(process->hProcess);
    return has_ended ? (int)code : -1;
}

int selftest_run(const char *path, const char *const *words, unsigned limit_s, bool is_shown) {
    WCHAR line[SELFTEST_PATH_BYTES];
    WCHAR wide[SELFTEST_PATH_BYTES];
    STARTUPINFOW startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION process;
    if (is_shown) { /* with our own streams, if we were given such */
        startup.dwFlags = STARTF_USESTDHANDLES;
        startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
        startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    }
    if (!selftest_wide(path, wide) || !command_line(path, words, line) ||
        !CreateProcessW(wide, line, NULL, NULL, is_shown, is_shown ? 0 : CREATE_NO_WINDOW, NULL,
                        NULL, &startup, &process)) {
        return -1;
    }
    return selftest_await(&process, limit_s);
}

/* ---- tokens ---- */

static void refused(selftest_result *ret_result, const char *what) {
    selftest_say(ret_result, SELFTEST_SKIPPED, "%s: Windows error %lu", what,
                 (unsigned long)GetLastError());
}

HANDLE selftest_own_token(void) {
    HANDLE token = NULL;
    return OpenProcessToken(GetCurrentProcess(),
                            TOKEN_QUERY | TOKEN_DUPLICATE | TOKEN_ASSIGN_PRIMARY, &token)
               ? token
               : NULL;
}

/* The user of a token; the buffer holds it. */
static PSID user_of(HANDLE token, selftest_sid *buffer) {
    DWORD length;
    return GetTokenInformation(token, TokenUser, buffer, sizeof(*buffer), &length)
               ? buffer->user.User.Sid
               : NULL;
}

HANDLE selftest_other_user(void) {
    selftest_sid user;
    BYTE administrators[SECURITY_MAX_SID_SIZE];
    DWORD size = sizeof(administrators);
    HANDLE token = selftest_own_token();
    HANDLE restricted = NULL;
    HANDLE impersonation = NULL;
    PSID own = token != NULL ? user_of(token, &user) : NULL;
    if (own != NULL &&
        CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, administrators, &size)) {
        SID_AND_ATTRIBUTES disabled[2] = {{.Sid = own}, {.Sid = administrators}};
        if (CreateRestrictedToken(token, DISABLE_MAX_PRIVILEGE, 2, disabled, 0, NULL, 0, NULL,
                                  &restricted)) {
            (void)DuplicateToken(restricted, SecurityImpersonation, &impersonation);
            (void)CloseHandle(restricted);
        }
    }
    if (token != NULL) {
        (void)CloseHandle(token);
    }
    return impersonation;
}

static HANDLE low_token(void) {
    HANDLE token = selftest_own_token();
    HANDLE impersonation = NULL;
    SID low = {.Revision = SID_REVISION,
               .SubAuthorityCount = 1,
               .IdentifierAuthority = {{0, 0, 0, 0, 0, 16}},
               .SubAuthority = {LOW_RID}};
    TOKEN_MANDATORY_LABEL label = {.Label = {.Sid = &low, .Attributes = SE_GROUP_INTEGRITY}};
    if (token != NULL &&
        DuplicateTokenEx(token, TOKEN_ALL_ACCESS, NULL, SecurityImpersonation, TokenImpersonation,
                         &impersonation) &&
        !SetTokenInformation(impersonation, TokenIntegrityLevel, &label, sizeof(label))) {
        (void)CloseHandle(impersonation);
        impersonation = NULL;
    }
    if (token != NULL) {
        (void)CloseHandle(token);
    }
    return impersonation;
}

/* ---- what others can do to a pipe ---- */

typedef enum attack { ATTACK_OPEN, ATTACK_INSTANCE, ATTACK_FIRST } attack;

/* Tries it; the Windows error, 0 = it succeeded. */
static DWORD try_it(attack what, const WCHAR *name) {
    HANDLE handle;
    if (what == ATTACK_OPEN) {
        handle = CreateFileW(name, PIPE_ACCESS, 0, NULL, OPEN_EXISTING,
                             SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    } else {
        DWORD first = what == ATTACK_FIRST ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0;
        handle = CreateNamedPipeW(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
                                  PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS,
                                  PIPE_UNLIMITED_INSTANCES, 4096, 4096, 0, NULL);
    }
    DWORD error = handle == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    if (handle != INVALID_HANDLE_VALUE) {
        (void)CloseHandle(handle);
    }
    return error;
}

bool selftest_endpoint_path(const selftest_place *place, WCHAR ret_name[SELFTEST_PATH_BYTES]) {
    static const char local[] = "\\\\.\\pipe\\";
    char name[SELFTEST_PATH_BYTES];
    if (strncmp(place->endpoint, local, sizeof(local) - 1) != 0) {
        return false;
    }
    int length = snprintf(name, sizeof(name), "%s%s", ENGINE_ENDPOINT_PREFIX_WIN,
                          place->endpoint + sizeof(local) - 1);
    return length > 0 && length < (int)sizeof(name) && selftest_wide(name, ret_name);
}

/* With that token (NULL: our own) it must be refused; without it, we can open. */
static void must_refuse(attack what, HANDLE token, const selftest_place *place,
                        selftest_result *ret_result) {
    WCHAR name[SELFTEST_PATH_BYTES];
    if (!selftest_endpoint_path(place, name)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "no private broker");
        return;
    }
    DWORD own = try_it(ATTACK_OPEN, name);
    if (own != 0 && own != ERROR_PIPE_BUSY) {
        selftest_say(ret_result, SELFTEST_SKIPPED,
                     "we cannot open the pipe ourselves: Windows error %lu", (unsigned long)own);
        return;
    }
    if (token != NULL && !SetThreadToken(NULL, token)) {
        refused(ret_result, "cannot take another's part");
        return;
    }
    DWORD error = try_it(what, name);
    if (token != NULL && !RevertToSelf()) {
        ExitProcess(1); /* nothing may go on as somebody else */
    }
    if (error == ERROR_ACCESS_DENIED) {
        selftest_say(ret_result, SELFTEST_PASSED, "%s", "");
    } else if (error == 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it was let in");
    } else {
        selftest_say(ret_result, SELFTEST_FAILED, "Windows error %lu instead of access denied",
                     (unsigned long)error);
    }
}

static void must_refuse_other(attack what, HANDLE token, const selftest_place *place,
                              selftest_result *ret_result) {
    if (token == NULL) {
        refused(ret_result, "cannot make such a token");
        return;
    }
    must_refuse(what, token, place, ret_result);
    (void)CloseHandle(token);
}

/* A name below \\.\pipe\ as others reach it over the network. */
static bool by_network(const WCHAR *name, WCHAR ret_name[SELFTEST_PATH_BYTES]) {
    static const WCHAR local[] = L"\\\\.\\pipe\\";
    static const WCHAR remote[] = L"\\\\localhost\\pipe\\";
    size_t prefix = wcslen(local);
    if (wcsncmp(name, local, prefix) != 0 || wcslen(name) + wcslen(remote) >= SELFTEST_PATH_BYTES) {
        return false;
    }
    wcscpy(ret_name, remote);
    wcscat(ret_name, name + prefix);
    return true;
}

/* A pipe of our own that lets remote clients in shows whether they can come at all. */
static void remote(const selftest_place *place, selftest_result *ret_result) {
    WCHAR name[SELFTEST_PATH_BYTES];
    WCHAR own[SELFTEST_PATH_BYTES];
    WCHAR other[SELFTEST_PATH_BYTES];
    (void)swprintf(own, SELFTEST_PATH_BYTES, L"\\\\.\\pipe\\sluice-selftest-%lu",
                   (unsigned long)GetCurrentProcessId());
    HANDLE pipe = CreateNamedPipeW(own, PIPE_ACCESS_DUPLEX, PIPE_ACCEPT_REMOTE_CLIENTS, INSTANCES,
                                   4096, 4096, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE || !by_network(own, other)) {
        refused(ret_result, "cannot make a pipe to compare with");
        return;
    }
    DWORD control = try_it(ATTACK_OPEN, other);
    (void)CloseHandle(pipe);
    if (control != 0) {
        selftest_say(ret_result, SELFTEST_SKIPPED,
                     "no pipe of this machine can be reached over the network: Windows error %lu",
                     (unsigned long)control);
        return;
    }
    if (!selftest_endpoint_path(place, name) || !by_network(name, other)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "no private broker");
        return;
    }
    DWORD here = try_it(ATTACK_OPEN, name);
    DWORD away = here == 0 ? try_it(ATTACK_OPEN, other) : here;
    if (here != 0 || away == ERROR_PIPE_BUSY) { /* it was not asked, whoever came */
        selftest_say(ret_result, SELFTEST_SKIPPED,
                     "the broker's pipe took nobody at that time: Windows error %lu",
                     (unsigned long)away);
    } else if (away == 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it was let in");
    } else {
        selftest_say(ret_result, SELFTEST_PASSED, "Windows error %lu", (unsigned long)away);
    }
}

static void token(const selftest_place *place, selftest_result *ret_result) {
    selftest_sid user;
    char *text = NULL;
    HANDLE own = selftest_own_token();
    PSID sid = own != NULL ? user_of(own, &user) : NULL;
    if (sid == NULL || !ConvertSidToStringSidA(sid, &text)) {
        refused(ret_result, "our own token");
    } else if (strcmp(text, place->user) == 0) {
        selftest_say(ret_result, SELFTEST_PASSED, "%s", "");
    } else {
        selftest_say(ret_result, SELFTEST_FAILED, "we are %.80s, to the broker %.80s", text,
                     place->user);
    }
    (void)LocalFree(text);
    if (own != NULL) {
        (void)CloseHandle(own);
    }
}

void selftest_ask(selftest_question question, const selftest_place *place,
                  selftest_result *ret_result) {
    switch (question) {
    case SELFTEST_FIRST_INSTANCE: must_refuse(ATTACK_FIRST, NULL, place, ret_result); break;
    case SELFTEST_OTHER_USER:
        must_refuse_other(ATTACK_OPEN, selftest_other_user(), place, ret_result);
        break;
    case SELFTEST_LOW_INTEGRITY:
        must_refuse_other(ATTACK_OPEN, low_token(), place, ret_result);
        break;
    case SELFTEST_NEW_INSTANCE:
        must_refuse_other(ATTACK_INSTANCE, selftest_other_user(), place, ret_result);
        break;
    case SELFTEST_REMOTE: remote(place, ret_result); break;
    case SELFTEST_TOKEN: token(place, ret_result); break;
    case SELFTEST_ENDPOINT_ACCESS:
    case SELFTEST_PIPE_ACCESS:
    case SELFTEST_FILTERED: selftest_access(question, place, ret_result); break;
    case SELFTEST_SERVICE_LOG:
    case SELFTEST_SERVICE_PROGRAM: selftest_places(question, place, ret_result); break;
    default: selftest_service(question, place, ret_result); break;
    }
}
