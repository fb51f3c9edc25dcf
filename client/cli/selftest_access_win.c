/*
 * selftest_access_win.c - whom a broker's pipes let in, read back from the system; and what a
 * broker opens for a program of its own user that may do less than it.
 *
 * Synchronous calls on the main thread: the tool's raw side.
 */
#include "client/cli/selftest_win.h"

#include <sddl.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define OWN_ACCESS    0x12019fu /* FILE_GENERIC_READ | FILE_GENERIC_WRITE (engine/iocp_pipe.c) */
#define VISIT_LIMIT_S 60u
#define ACCESS_BYTES  4096u

/* ---- whom a pipe lets in ---- */

static bool own_user(selftest_sid *ret_user) {
    HANDLE token;
    DWORD length;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        return false;
    }
    bool is_known = GetTokenInformation(token, TokenUser, ret_user, sizeof(*ret_user), &length);
    (void)CloseHandle(token);
    return is_known;
}

/* What is wrong with it; NULL: it is this user's, is inherited from nobody, and lets in this user
 * and nobody else. */
static const char *find_fault(PSECURITY_DESCRIPTOR access, PSID user) {
    SECURITY_DESCRIPTOR_CONTROL control = 0;
    DWORD revision = 0;
    PSID owner = NULL;
    PACL list = NULL;
    BOOL is_present = FALSE;
    BOOL is_default = FALSE;
    if (!GetSecurityDescriptorControl(access, &control, &revision) ||
        !GetSecurityDescriptorOwner(access, &owner, &is_default) ||
        !GetSecurityDescriptorDacl(access, &is_present, &list, &is_default)) {
        return "its descriptor cannot be read";
    }
    if (owner == NULL || !EqualSid(owner, user)) {
        return "it belongs to somebody else";
    }
    if ((control & SE_DACL_PROTECTED) == 0) {
        return "its access list is not protected";
    }
    if (!is_present || list == NULL) {
        return "it has no access list";
    }
    bool is_user_in = false;
    for (DWORD i = 0; i < list->AceCount; i++) {
        void *entry = NULL;
        if (!GetAce(list, i, &entry)) {
            return "its access list is broken";
        }
        const ACCESS_ALLOWED_ACE *allowed = entry;
        if (allowed->Header.AceType != ACCESS_ALLOWED_ACE_TYPE ||
            !EqualSid((PSID)(ULONG_PTR)&allowed->SidStart, user)) {
            return "its access list has an entry for somebody else";
        }
        if ((allowed->Mask & ~OWN_ACCESS) != 0) {
            return "its access list permits more than to read and write";
        }
        is_user_in = is_user_in || allowed->Mask == OWN_ACCESS;
    }
    return is_user_in ? NULL : "its access list does not let this user in";
}

static void check_access(const WCHAR *pipe, selftest_result *ret_result) {
    static union {
        SECURITY_DESCRIPTOR descriptor;
        BYTE bytes[ACCESS_BYTES];
    } access;
    selftest_sid user;
    DWORD length = 0;
    HANDLE handle = CreateFileW(pipe, READ_CONTROL | SYNCHRONIZE, 0, NULL, OPEN_EXISTING,
                                SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    bool is_read =
        handle != INVALID_HANDLE_VALUE && own_user(&user) &&
        GetKernelObjectSecurity(handle, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                &access.descriptor, sizeof(access), &length);
    DWORD os_error = is_read ? 0 : GetLastError();
    if (handle != INVALID_HANDLE_VALUE) {
        (void)CloseHandle(handle);
    }
    if (!is_read) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "it cannot be read: Windows error %lu",
                     (unsigned long)os_error);
        return;
    }
    const char *fault = find_fault(&access.descriptor, user.user.User.Sid);
    selftest_say(ret_result, fault == NULL ? SELFTEST_PASSED : SELFTEST_FAILED, "%s",
                 fault == NULL ? "" : fault);
}

/* ---- a program that may do less ---- */

/* This program's token without what only administrators may: as a program for everyday use has it.
 * To be closed; NULL: refused. */
static HANDLE everyday_token(void) {
    BYTE administrators[SECURITY_MAX_SID_SIZE];
    DWORD size = sizeof(administrators);
    HANDLE filtered = NULL;
    HANDLE own = CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, administrators, &size)
                     ? selftest_own_token()
                     : NULL;
    if (own == NULL) {
        return NULL;
    }
    SID_AND_ATTRIBUTES disabled = {.Sid = administrators};
    if (!CreateRestrictedToken(own, DISABLE_MAX_PRIVILEGE, 1, &disabled, 0, NULL, 0, NULL,
                               &filtered)) {
        filtered = NULL;
    }
    (void)CloseHandle(own);
    return filtered;
}

static bool is_administrator(void) {
    BYTE administrators[SECURITY_MAX_SID_SIZE];
    DWORD size = sizeof(administrators);
    BOOL is = FALSE;
    return CreateWellKnownSid(WinBuiltinAdministratorsSid, NULL, administrators, &size) &&
           CheckTokenMembership(NULL, administrators, &is) && is;
}

/* This program's SELFTEST_VISIT with that token (NULL: ours), which has the broker connect to the
 * pipe. Its exit code; -1 = it could not be run, or did not end. */
static int visit(HANDLE token, const char *endpoint, const char *pipe) {
    char text[SELFTEST_PATH_BYTES];
    WCHAR line[SELFTEST_PATH_BYTES];
    WCHAR path[SELFTEST_PATH_BYTES];
    STARTUPINFOW startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION process;
    DWORD length = GetModuleFileNameW(NULL, path, SELFTEST_PATH_BYTES);
    int count = snprintf(text, sizeof(text), "sluice selftest " SELFTEST_VISIT " \"%s\" \"%s\"",
                         endpoint, pipe);
    if (length == 0 || length >= SELFTEST_PATH_BYTES || count <= 0 || count >= (int)sizeof(text) ||
        !selftest_wide(text, line)) {
        return -1;
    }
    if (!(token != NULL ? CreateProcessAsUserW(token, path, line, NULL, NULL, FALSE,
                                               CREATE_NO_WINDOW, NULL, NULL, &startup, &process)
                        : CreateProcessW(path, line, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL,
                                         NULL, &startup, &process))) {
        return -1;
    }
    return selftest_await(&process, VISIT_LIMIT_S);
}

/* The same at a pipe that only administrators may open. */
static int visit_guarded(HANDLE token, const char *endpoint) {
    char name[64];
    WCHAR path[96];
    SECURITY_ATTRIBUTES access = {.nLength = sizeof(access)};
    (void)snprintf(name, sizeof(name), "sluice-selftest-guarded-%lu",
                   (unsigned long)GetCurrentProcessId());
    (void)swprintf(path, 96, L"\\\\.\\pipe\\%hs", name);
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA("D:P(A;;FA;;;BA)", SDDL_REVISION_1,
                                                              &access.lpSecurityDescriptor, NULL)) {
        return -1;
    }
    HANDLE pipe =
        CreateNamedPipeW(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                         PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 4096, 4096, 0, &access);
    (void)LocalFree(access.lpSecurityDescriptor);
    if (pipe == INVALID_HANDLE_VALUE) {
        return -1;
    }
    int code = visit(token, endpoint, name);
    (void)CloseHandle(pipe);
    return code;
}

static void check_filtered(const selftest_place *place, selftest_result *ret_result) {
    if (!is_administrator()) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "only an administrator may do more than others");
        return;
    }
    HANDLE token = everyday_token();
    if (token == NULL) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "cannot make such a token: Windows error %lu",
                     (unsigned long)GetLastError());
        return;
    }
    int own = visit_guarded(NULL, place->endpoint);
    int filtered = own == SELFTEST_VISIT_OPENED ? visit_guarded(token, place->endpoint) : -1;
    (void)CloseHandle(token);
    if (own != SELFTEST_VISIT_OPENED) {
        selftest_say(ret_result, SELFTEST_SKIPPED,
                     "a program like this one does not get there either (exit code %d)", own);
    } else if (filtered == SELFTEST_VISIT_REFUSED) {
        selftest_say(ret_result, SELFTEST_PASSED, "%s", "");
    } else if (filtered == SELFTEST_VISIT_OPENED) {
        selftest_say(ret_result, SELFTEST_FAILED, "the broker opened it for that program");
    } else {
        selftest_say(ret_result, SELFTEST_SKIPPED, "that program could not ask (exit code %d)",
                     filtered);
    }
}

void selftest_access(selftest_question question, const selftest_place *place,
                     selftest_result *ret_result) {
    WCHAR pipe[SELFTEST_PATH_BYTES];
    if (question == SELFTEST_FILTERED) {
        check_filtered(place, ret_result);
    } else if (question == SELFTEST_PIPE_ACCESS ? !selftest_wide(place->pipe, pipe)
                                                : !selftest_endpoint_path(place, pipe)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "no private broker");
    } else {
        check_access(pipe, ret_result);
    }
}
