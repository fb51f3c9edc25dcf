/*
 * scm_win.c - see scm_win.h.
 */
#include "tests/fault/scm_win.h"

#include <sddl.h>
#include <shlobj.h>
#include <string.h>

#include "tests/fault/fault.h"

#define WAIT_MS 60000u

static struct {
    DWORD state; /* of the service, 0 = there is none; one that is deleted goes with its handle */
    bool is_deleted;
    unsigned open; /* handles to it and to the manager */
    HANDLE stop;
    bool is_wine;
    LPHANDLER_FUNCTION_EX handler;
    void *handler_context;
} scm;

/* Handles are told from each other by these. */
static int the_manager;
static int the_service;

static bool refuse(DWORD os_error) {
    SetLastError(os_error);
    return false;
}

static SC_HANDLE open_one(int *what) {
    scm.open++;
    return (SC_HANDLE)what;
}

/* ---- from outside ---------------------------------------------------------------------------- */

static SC_HANDLE WINAPI open_manager(LPCWSTR machine, LPCWSTR database, DWORD access) {
    EXPECT(machine == NULL && database == NULL && (access & SC_MANAGER_CONNECT) != 0);
    return open_one(&the_manager);
}

static SC_HANDLE WINAPI open_service(SC_HANDLE manager, LPCWSTR name, DWORD access) {
    EXPECT(manager == (SC_HANDLE)&the_manager && name[0] != L'\0' && access != 0);
    if (scm.state == 0) {
        SetLastError(ERROR_SERVICE_DOES_NOT_EXIST);
        return NULL;
    }
    return open_one(&the_service);
}

static SC_HANDLE WINAPI create_service(SC_HANDLE manager, LPCWSTR name, LPCWSTR title,
                                       DWORD access, DWORD type, DWORD start, DWORD on_error,
                                       LPCWSTR command, LPCWSTR group, LPDWORD tag,
                                       LPCWSTR depends_on, LPCWSTR account, LPCWSTR password) {
    EXPECT(manager == (SC_HANDLE)&the_manager && name[0] != L'\0' && title[0] != L'\0');
    EXPECT(access != 0 && type == SERVICE_WIN32_OWN_PROCESS && start == SERVICE_AUTO_START);
    EXPECT(on_error == SERVICE_ERROR_NORMAL && command[0] == L'"' && group == NULL);
    EXPECT(tag == NULL && depends_on == NULL && password == NULL);
    bool is_virtual = account != NULL;
    EXPECT(is_virtual || scm.is_wine);
    EXPECT(!is_virtual || (wcsncmp(account, L"NT SERVICE\\", 11) == 0 &&
                           wcscmp(account + 11, name) == 0));
    if (scm.state != 0 || (is_virtual && scm.is_wine)) {
        SetLastError(scm.state != 0 ? ERROR_SERVICE_EXISTS : ERROR_INVALID_SERVICE_ACCOUNT);
        return NULL;
    }
    scm.state = SERVICE_STOPPED;
    return open_one(&the_service);
}

static BOOL WINAPI change(SC_HANDLE service, DWORD level, LPVOID value) {
    EXPECT(service == (SC_HANDLE)&the_service && level != 0 && value != NULL);
    return !scm.is_wine || refuse(ERROR_CALL_NOT_IMPLEMENTED);
}

static BOOL WINAPI delete_service(SC_HANDLE service) {
    EXPECT(service == (SC_HANDLE)&the_service);
    scm.is_deleted = true;
    return TRUE;
}

static BOOL WINAPI close_handle(SC_HANDLE handle) {
    EXPECT(handle == (SC_HANDLE)&the_service || handle == (SC_HANDLE)&the_manager);
    EXPECT(scm.open > 0);
    scm.open--;
    return TRUE;
}

static BOOL WINAPI start_service(SC_HANDLE service, DWORD count, LPCWSTR *words) {
    EXPECT(service == (SC_HANDLE)&the_service && count == 0 && words == NULL);
    if (scm.state != SERVICE_STOPPED) {
        return refuse(ERROR_SERVICE_ALREADY_RUNNING);
    }
    scm.state = SERVICE_START_PENDING;
    return TRUE;
}

static BOOL WINAPI control_service(SC_HANDLE service, DWORD what, LPSERVICE_STATUS ret_status) {
    EXPECT(service == (SC_HANDLE)&the_service && what == SERVICE_CONTROL_STOP);
    if (scm.state != SERVICE_RUNNING) {
        return refuse(ERROR_SERVICE_NOT_ACTIVE);
    }
    memset(ret_status, 0, sizeof(*ret_status));
    scm.state = SERVICE_STOP_PENDING;
    return TRUE;
}

/* What is pending is so for one look. */
static BOOL WINAPI query(SC_HANDLE service, SC_STATUS_TYPE type, LPBYTE bytes, DWORD size,
                         LPDWORD ret_needed) {
    SERVICE_STATUS_PROCESS *status = (SERVICE_STATUS_PROCESS *)bytes;
    EXPECT(service == (SC_HANDLE)&the_service && type == SC_STATUS_PROCESS_INFO);
    EXPECT(size == sizeof(*status));
    *ret_needed = sizeof(*status);
    memset(status, 0, sizeof(*status));
    status->dwCurrentState = scm.state;
    scm.state = scm.state == SERVICE_START_PENDING  ? SERVICE_RUNNING
                : scm.state == SERVICE_STOP_PENDING ? SERVICE_STOPPED
                                                    : scm.state;
    return TRUE;
}

/* ---- from inside ----------------------------------------------------------------------------- */

static DWORD WINAPI run_service(void *context) {
    const SERVICE_TABLE_ENTRYW *entry = context;
    LPWSTR words[] = {entry->lpServiceName, NULL};
    entry->lpServiceProc(1, words);
    return 0;
}

static BOOL WINAPI dispatch(const SERVICE_TABLE_ENTRYW *table) {
    HANDLE waits[2];
    waits[0] = CreateThread(NULL, 0, run_service, (void *)table, 0, NULL);
    waits[1] = scm.stop;
    EXPECT(waits[0] != NULL);
    if (WaitForMultipleObjects(2, waits, FALSE, 2 * WAIT_MS) == WAIT_OBJECT_0 + 1) {
        EXPECT(scm.handler != NULL);
        EXPECT(scm.handler(SERVICE_CONTROL_INTERROGATE, 0, NULL, scm.handler_context) == NO_ERROR);
        EXPECT(scm.handler(SERVICE_CONTROL_PAUSE, 0, NULL, scm.handler_context) ==
               ERROR_CALL_NOT_IMPLEMENTED);
        EXPECT(scm.handler(SERVICE_CONTROL_STOP, 0, NULL, scm.handler_context) == NO_ERROR);
    }
    EXPECT(WaitForSingleObject(waits[0], WAIT_MS) == WAIT_OBJECT_0);
    (void)CloseHandle(waits[0]);
    return TRUE;
}

static SERVICE_STATUS_HANDLE WINAPI register_handler(LPCWSTR name, LPHANDLER_FUNCTION_EX handler,
                                                     LPVOID context) {
    EXPECT(name[0] != L'\0');
    scm.handler_context = context;
    scm.handler = handler;
    return (SERVICE_STATUS_HANDLE)&the_service;
}

static BOOL WINAPI set_status(SERVICE_STATUS_HANDLE handle, LPSERVICE_STATUS status) {
    EXPECT(handle == (SERVICE_STATUS_HANDLE)&the_service);
    EXPECT(status->dwServiceType == SERVICE_WIN32_OWN_PROCESS && status->dwCurrentState != 0);
    return TRUE;
}

/* Windows itself, by default: what Wine lacks is not passed over there. */
static void (*true_find)(void);

static FARPROC WINAPI find_procedure(HMODULE module, LPCSTR name) {
    FARPROC(WINAPI *find)(HMODULE, LPCSTR);
    memcpy(&find, &true_find, sizeof(find));
    if (strcmp(name, "wine_get_version") == 0) {
        FARPROC any = find(module, "NtClose"); /* asked for, and not called */
        EXPECT(any != NULL);
        SetLastError(ERROR_PROC_NOT_FOUND);
        return scm.is_wine ? any : NULL;
    }
    return find(module, name);
}

/* ---- what Windows has and Wine has not, of what a service is installed with ------------------ */

static void (*true_look_up)(void);
static void (*true_look)(void);

/* %ProgramData%, which is the test's. */
static HRESULT WINAPI find_folder(HWND window, int what, HANDLE token, DWORD flags, LPWSTR ret) {
    EXPECT(window == NULL && what == CSIDL_COMMON_APPDATA && token == NULL && flags == 0);
    DWORD length = GetEnvironmentVariableW(L"ProgramData", ret, MAX_PATH);
    EXPECT(length > 0 && length < MAX_PATH);
    return S_OK;
}

static BOOL WINAPI look_up(LPCWSTR system, LPCWSTR name, PSID ret_sid, LPDWORD size, LPWSTR domain,
                           LPDWORD domain_chars, PSID_NAME_USE ret_use) {
    BOOL(WINAPI *really)(LPCWSTR, LPCWSTR, PSID, LPDWORD, LPWSTR, LPDWORD, PSID_NAME_USE);
    memcpy(&really, &true_look_up, sizeof(really));
    if (wcsncmp(name, L"NT SERVICE\\", 11) != 0) {
        return really(system, name, ret_sid, size, domain, domain_chars, ret_use);
    }
    PSID account = NULL;
    EXPECT(scm.state != 0 && *size >= SECURITY_MAX_SID_SIZE);
    EXPECT(ConvertStringSidToSidW(L"S-1-5-80-1-2-3-4-5", &account));
    EXPECT(CopySid(*size, ret_sid, account));
    (void)LocalFree(account);
    return TRUE;
}

/* All that is installed from, and to, is the administrators'; and where Wine has a mount point
 * there is none. */
static BOOL WINAPI get_security(HANDLE handle, SECURITY_INFORMATION what, PSECURITY_DESCRIPTOR ret,
                                DWORD size, LPDWORD ret_length) {
    PSECURITY_DESCRIPTOR fine = NULL;
    EXPECT(handle != NULL && what == (OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION));
    EXPECT(ConvertStringSecurityDescriptorToSecurityDescriptorW(
        L"O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)", SDDL_REVISION_1, &fine, ret_length));
    EXPECT(*ret_length <= size);
    memcpy(ret, fine, *ret_length);
    (void)LocalFree(fine);
    return TRUE;
}

static BOOL WINAPI look(HANDLE handle, LPBY_HANDLE_FILE_INFORMATION ret_info) {
    BOOL(WINAPI *really)(HANDLE, LPBY_HANDLE_FILE_INFORMATION);
    memcpy(&really, &true_look, sizeof(really));
    BOOL result = really(handle, ret_info);
    ret_info->dwFileAttributes &= ~(DWORD)FILE_ATTRIBUTE_REPARSE_POINT;
    return result;
}

/* ---- behind the stubs ------------------------------------------------------------------------ */

/* Returns where it led before. */
static void (*lead(const char *name, void (*to)(void)))(void) {
    for (unsigned i = 0; i < fault_call_count; i++) {
        if (strcmp(fault_calls[i]->name, name) == 0) {
            void (*before)(void) = fault_calls[i]->real;
            fault_calls[i]->real = to;
            return before;
        }
    }
    EXPECT(!"a call of the table");
    return NULL;
}

void scm_install(DWORD state, HANDLE stop, bool is_wine) {
    scm.state = state;
    scm.is_wine = is_wine;
    scm.stop = stop;
#define LEAD(name, to) (void)lead(#name, (void (*)(void))(to))
    LEAD(OpenSCManagerW, open_manager);
    LEAD(OpenServiceW, open_service);
    LEAD(CreateServiceW, create_service);
    LEAD(ChangeServiceConfig2W, change);
    LEAD(DeleteService, delete_service);
    LEAD(CloseServiceHandle, close_handle);
    LEAD(StartServiceW, start_service);
    LEAD(ControlService, control_service);
    LEAD(QueryServiceStatusEx, query);
    LEAD(StartServiceCtrlDispatcherW, dispatch);
    LEAD(RegisterServiceCtrlHandlerExW, register_handler);
    LEAD(SetServiceStatus, set_status);
    true_find = lead("GetProcAddress", (void (*)(void))find_procedure);
    LEAD(SHGetFolderPathW, find_folder);
    if (state == 0) { /* one that serves asks the same of pipes */
        true_look_up = lead("LookupAccountNameW", (void (*)(void))look_up);
        true_look = lead("GetFileInformationByHandle", (void (*)(void))look);
        LEAD(GetKernelObjectSecurity, get_security);
    }
}

unsigned scm_open_count(void) {
    return scm.open;
}

bool scm_has_service(void) {
    return scm.state != 0 && !scm.is_deleted;
}
