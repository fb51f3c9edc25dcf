/*
 * service_place_win.c - see service_place_win.h.
 *
 * Everything is asked of an open handle, and the handle is of the thing itself, not of what a link
 * leads to. What has been checked stays so: only those can change it who may do everything anyway.
 * On the main thread of `sluiced service install`, which does nothing else.
 */
#include "broker/service_place_win.h"

#include <sddl.h>
#include <shlobj.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/check.h"
#include "base/status.h"

#define DESCRIPTOR_BYTES 65536u /* an access list's size has 16 bits */
#define LINKS_HERE       (FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)

/* What others may not have. Rights in a folder have the bits of those to a file: to add a file is
 * to write data, to add a folder is to append [docs: File Access Rights Constants]. */
#define MOVES  (DELETE | FILE_DELETE_CHILD | WRITE_DAC | WRITE_OWNER | GENERIC_ALL)
#define WRITES \
    (MOVES | FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | \
     GENERIC_WRITE)

/* NT SERVICE\TrustedInstaller, the owner of what belongs to Windows
 * [docs: well-known SIDs, S-1-5-80-...]. */
static const struct {
    BYTE revision;
    BYTE count;
    SID_IDENTIFIER_AUTHORITY authority;
    DWORD parts[6];
} trusted_installer = {
    SID_REVISION, 6, {SECURITY_NT_AUTHORITY},
    {80, 956008885u, 3418522649u, 1831038044u, 1853292631u, 2271478464u}};

static bool is_guardian(PSID who, PSID service) {
    return IsWellKnownSid(who, WinLocalSystemSid) ||
           IsWellKnownSid(who, WinBuiltinAdministratorsSid) ||
           EqualSid(who, (PSID)&trusted_installer) || (service != NULL && EqualSid(who, service));
}

static bool refuse_sid(const char *before, PSID who, const char *after, char *ret_why,
                       size_t size) {
    char *text = NULL;
    bool is_known = ConvertSidToStringSidA(who, &text);
    (void)snprintf(ret_why, size, "%s%.180s%s", before, is_known ? text : "somebody", after);
    (void)LocalFree(text);
    return false;
}

/* An entry that lets somebody do something; what has another layout lets everybody. */
static bool is_entry_fine(const ACE_HEADER *entry, DWORD forbidden, PSID service, char *ret_why,
                          size_t size) {
    bool is_denial = entry->AceType == ACCESS_DENIED_ACE_TYPE ||
                     entry->AceType == ACCESS_DENIED_OBJECT_ACE_TYPE ||
                     entry->AceType == ACCESS_DENIED_CALLBACK_ACE_TYPE ||
                     entry->AceType == ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE;
    if (is_denial || (entry->AceFlags & INHERIT_ONLY_ACE) != 0) {
        return true; /* for what is made in it later */
    }
    if (entry->AceType != ACCESS_ALLOWED_ACE_TYPE &&
        entry->AceType != ACCESS_ALLOWED_CALLBACK_ACE_TYPE) {
        (void)snprintf(ret_why, size, "its access list has an entry of kind %u, unknown here",
                       (unsigned)entry->AceType);
        return false;
    }
    const ACCESS_ALLOWED_ACE *allowed = (const ACCESS_ALLOWED_ACE *)(const void *)entry;
    PSID who = (PSID)(ULONG_PTR)&allowed->SidStart;
    return (allowed->Mask & forbidden) == 0 || is_guardian(who, service) ||
           refuse_sid("", who, " can change it", ret_why, size);
}

bool place_is_guarded(PSECURITY_DESCRIPTOR descriptor, place_kind kind, PSID service,
                      char *ret_why, size_t size) {
    PSID owner = NULL;
    PACL list = NULL;
    BOOL is_default;
    BOOL is_present = FALSE;
    if (!GetSecurityDescriptorOwner(descriptor, &owner, &is_default) || owner == NULL ||
        !GetSecurityDescriptorDacl(descriptor, &is_present, &list, &is_default)) {
        (void)snprintf(ret_why, size, "nobody owns it");
        return false;
    }
    if (!is_guardian(owner, service)) {
        return refuse_sid("it belongs to ", owner, "", ret_why, size);
    }
    if (!is_present || list == NULL) {
        (void)snprintf(ret_why, size, "everybody can change it: it has no access list");
        return false;
    }
    for (DWORD i = 0; i < list->AceCount; i++) {
        void *entry = NULL;
        if (!GetAce(list, i, &entry)) {
            (void)snprintf(ret_why, size, "its access list is broken");
            return false;
        }
        if (!is_entry_fine(entry, kind == PLACE_ABOVE ? MOVES : WRITES, service, ret_why, size)) {
            return false;
        }
    }
    return true;
}

/* ---- what is there ---- */

/* "PATH: WHAT" */
static int say(config_error *error, int status, const WCHAR *path, const char *what) {
    char text[3 * PLACE_CHARS];
    if (WideCharToMultiByte(CP_UTF8, 0, path, -1, text, sizeof(text), NULL, NULL) <= 0) {
        text[0] = '\0';
    }
    (void)snprintf(error->text, sizeof(error->text), "%.260s: %.240s", text, what);
    return status;
}

static int say_os_error(config_error *error, const WCHAR *path, const char *what, long os_error) {
    char text[160];
    (void)snprintf(text, sizeof(text), "%.100s (Windows error %ld)", what, os_error);
    return say(error, SLUICE_EOS, path, text);
}

static const char *find_fault(const BY_HANDLE_FILE_INFORMATION *info, place_kind kind) {
    bool is_folder = (info->dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    if ((info->dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0) {
        return "is a link, and leads elsewhere";
    }
    if (is_folder != (kind != PLACE_FILE)) {
        return is_folder ? "is a folder" : "is no folder";
    }
    return kind == PLACE_FILE && info->nNumberOfLinks > 1
               ? "has a second name (a hard link) somewhere else"
               : NULL;
}

static int look(HANDLE handle, const WCHAR *path, place_kind kind, PSID service, bool is_wine,
                config_error *ret_error) {
    static union {
        SECURITY_DESCRIPTOR descriptor;
        BYTE bytes[DESCRIPTOR_BYTES];
    } security;
    BY_HANDLE_FILE_INFORMATION info;
    DWORD length;
    char why[240];
    if (!GetFileInformationByHandle(handle, &info)) {
        return say_os_error(ret_error, path, "cannot be looked at", (long)GetLastError());
    }
    const char *fault = find_fault(&info, kind);
    if (fault != NULL) {
        return say(ret_error, SLUICE_EACCESS, path, fault);
    }
    if (is_wine) {
        return SLUICE_OK;
    }
    if (!GetKernelObjectSecurity(handle, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                                 &security.descriptor, sizeof(security), &length)) {
        return say_os_error(ret_error, path, "its owner cannot be told", (long)GetLastError());
    }
    return place_is_guarded(&security.descriptor, kind, service, why, sizeof(why))
               ? SLUICE_OK
               : say(ret_error, SLUICE_EACCESS, path, why);
}

int place_check(const WCHAR *path, place_kind kind, PSID service, bool is_wine,
                config_error *ret_error) {
    HANDLE handle =
        CreateFileW(path, READ_CONTROL | FILE_READ_ATTRIBUTES,
                    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                    LINKS_HERE | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        DWORD os_error = GetLastError();
        int status = say_os_error(ret_error, path, "cannot be opened", (long)os_error);
        bool is_absent = os_error == ERROR_FILE_NOT_FOUND || os_error == ERROR_PATH_NOT_FOUND;
        return is_absent ? SLUICE_ENOTFOUND : status;
    }
    int status = look(handle, path, kind, service, is_wine, ret_error);
    (void)CloseHandle(handle);
    return status;
}

/* The folder that it is in: of C:\X it is C:\. false: it is the drive. */
static bool go_up(WCHAR *path) {
    WCHAR *slash = wcsrchr(path, L'\\');
    if (slash == NULL || slash[1] == L'\0') {
        return false;
    }
    slash[slash == path + 2 ? 1 : 0] = L'\0';
    return true;
}

static bool is_on_drive(const WCHAR *path) {
    return path[0] != L'\0' && path[1] == L':' && path[2] == L'\\';
}

/* What is above a place, up to the drive. */
static int check_above(WCHAR *path, config_error *ret_error) {
    int status = SLUICE_OK;
    while (status == SLUICE_OK && go_up(path)) {
        status = place_check(path, PLACE_ABOVE, NULL, false, ret_error);
    }
    return status;
}

int place_check_file(const WCHAR *path, config_error *ret_error) {
    WCHAR above[PLACE_CHARS];
    if (wcslen(path) >= PLACE_CHARS || !is_on_drive(path)) {
        return say(ret_error, SLUICE_EACCESS, path, "is not on a drive of this machine");
    }
    wcscpy(above, path);
    int status = place_check(path, PLACE_FILE, NULL, false, ret_error);
    if (status == SLUICE_OK && go_up(above)) {
        status = place_check(above, PLACE_FOLDER, NULL, false, ret_error);
    }
    return status == SLUICE_OK ? check_above(above, ret_error) : status;
}

/* ---- the log ---- */

int place_find_account(const WCHAR *service, place_account *ret_account, config_error *ret_error) {
    WCHAR name[CONFIG_NAME_BYTES + 16] = L"NT SERVICE\\";
    WCHAR domain[256];
    DWORD size = sizeof(ret_account->id);
    DWORD domain_chars = (DWORD)SL_ARRAY_COUNT(domain);
    SID_NAME_USE use;
    LPWSTR text = NULL;
    wcscat(name, service);
    if (!LookupAccountNameW(NULL, name, &ret_account->id.sid, &size, domain, &domain_chars, &use) ||
        !ConvertSidToStringSidW(&ret_account->id.sid, &text)) {
        return say_os_error(ret_error, name, "no such account", (long)GetLastError());
    }
    bool is_fitting = wcslen(text) < SL_ARRAY_COUNT(ret_account->text);
    SL_CHECK(is_fitting, "a SID has at most 15 parts");
    wcscpy(ret_account->text, text);
    (void)LocalFree(text);
    return SLUICE_OK;
}

int place_log_path(const WCHAR *service, WCHAR ret_path[PLACE_CHARS], config_error *ret_error) {
    WCHAR folder[MAX_PATH] = L"%ProgramData%";
    HRESULT result =
        SHGetFolderPathW(NULL, CSIDL_COMMON_APPDATA, NULL, SHGFP_TYPE_CURRENT, folder);
    if (result != S_OK) {
        return say_os_error(ret_error, folder, "the system does not know it", (long)result);
    }
    wcscpy(ret_path, folder);
    wcscat(ret_path, L"\\Sluice\\");
    wcscat(ret_path, service);
    wcscat(ret_path, L"\\");
    wcscat(ret_path, service);
    wcscat(ret_path, L".log");
    return SLUICE_OK;
}

/* Owned by the administrators (BA), who may do everything, as LocalSystem (SY) may; nobody else
 * may even look. A service may also read, write, make and remove in its own folder ("modify"). The
 * same for what is in them. */
#define ROOT_ACCESS    L"O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
#define SERVICE_ACCESS ROOT_ACCESS L"(A;OICI;0x1301bf;;;"

/* account NULL: Wine's files have no access lists. */
static int make_folder(const WCHAR *path, const WCHAR *access, const place_account *account,
                       bool is_of_service, config_error *ret_error) {
    SECURITY_ATTRIBUTES attributes = {.nLength = sizeof(attributes)};
    if (account != NULL && !ConvertStringSecurityDescriptorToSecurityDescriptorW(
                               access, SDDL_REVISION_1, &attributes.lpSecurityDescriptor, NULL)) {
        return say_os_error(ret_error, path, "its access list cannot be made",
                            (long)GetLastError());
    }
    bool is_there = CreateDirectoryW(path, account != NULL ? &attributes : NULL);
    DWORD os_error = is_there ? ERROR_SUCCESS : GetLastError();
    (void)LocalFree(attributes.lpSecurityDescriptor);
    if (!is_there && os_error != ERROR_ALREADY_EXISTS) {
        return say_os_error(ret_error, path, "cannot be made", (long)os_error);
    }
    PSID service = account != NULL && is_of_service ? (PSID)(ULONG_PTR)&account->id.sid : NULL;
    return place_check(path, PLACE_FOLDER, service, account == NULL, ret_error);
}

static int check_log_file(const WCHAR *path, PSID service, bool is_wine, config_error *ret_error) {
    int status = place_check(path, PLACE_FILE, service, is_wine, ret_error);
    return status == SLUICE_ENOTFOUND ? SLUICE_OK : status; /* the service makes it */
}

int place_check_log(const WCHAR *path, const place_account *account, config_error *ret_error) {
    WCHAR above[PLACE_CHARS];
    PSID service = account != NULL ? (PSID)(ULONG_PTR)&account->id.sid : NULL;
    wcscpy(above, path);
    if (!is_on_drive(path) || !go_up(above)) {
        return say(ret_error, SLUICE_EACCESS, path, "is not on a drive of this machine");
    }
    int status = place_check(above, PLACE_FOLDER, service, account == NULL, ret_error);
    if (status == SLUICE_OK) {
        status = check_log_file(path, service, account == NULL, ret_error);
    }
    return status == SLUICE_OK && account != NULL ? check_above(above, ret_error) : status;
}

int place_make_log(const WCHAR *path, const place_account *account, config_error *ret_error) {
    WCHAR own[PLACE_CHARS];
    WCHAR root[PLACE_CHARS];
    WCHAR above[PLACE_CHARS];
    WCHAR access[SL_ARRAY_COUNT(account->text) + 128] = SERVICE_ACCESS;
    wcscpy(own, path);
    (void)go_up(own);
    wcscpy(root, own);
    (void)go_up(root);
    wcscpy(above, root);
    if (account != NULL) {
        wcscat(access, account->text);
        wcscat(access, L")");
    }
    int status = account != NULL ? check_above(above, ret_error) : SLUICE_OK;
    if (status == SLUICE_OK) {
        status = make_folder(root, ROOT_ACCESS, account, false, ret_error);
    }
    if (status == SLUICE_OK) {
        status = make_folder(own, access, account, true, ret_error);
    }
    if (status == SLUICE_OK) {
        PSID service = account != NULL ? (PSID)(ULONG_PTR)&account->id.sid : NULL;
        status = check_log_file(path, service, account == NULL, ret_error);
    }
    return status;
}
