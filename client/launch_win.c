/*
 * launch_win.c - see launch.h. The child is created suspended, put into a job that is killed when
 * its last handle is closed, and resumed. The job's handle is ours alone and not inheritable: when
 * this process ends in whatever way, the system closes it. Nothing is inherited.
 */
#include "client/launch.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#include "base/status.h"

#define PATH_CHARS 2048

static int status_of(DWORD error) {
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        return SLUICE_ENOTFOUND;
    case ERROR_ACCESS_DENIED:
    case ERROR_BAD_EXE_FORMAT:
        return SLUICE_EACCESS;
    case ERROR_NOT_ENOUGH_MEMORY:
        return SLUICE_ENOMEM;
    default:
        return SLUICE_EOS;
    }
}

bool client_launch_is_absolute(const char *path) {
    bool has_drive = path[0] != '\0' && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
    return has_drive || (path[0] == '\\' && path[1] == '\\');
}

/* sluiced.exe in the directory of a module. */
static bool try_beside(HMODULE module, const wchar_t *name, char *ret_path, size_t size) {
    wchar_t path[PATH_CHARS];
    DWORD length = GetModuleFileNameW(module, path, PATH_CHARS);
    wchar_t *slash = length == 0 || length >= PATH_CHARS ? NULL : wcsrchr(path, L'\\');
    if (slash == NULL || (size_t)(slash - path) + wcslen(name) + 2 > PATH_CHARS) {
        return false;
    }
    wcscpy(slash + 1, name);
    return GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES &&
           WideCharToMultiByte(CP_UTF8, 0, path, -1, ret_path, (int)size, NULL, NULL) != 0;
}

int client_launch_find(char *ret_path, size_t size) {
    static const wchar_t name[] = L"sluiced.exe";
    HMODULE library = NULL; /* the program itself when the library is a part of it */
    (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                 GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                             (LPCWSTR)(const void *)name, &library);
    return try_beside(library, name, ret_path, size) || try_beside(NULL, name, ret_path, size)
               ? SLUICE_OK
               : SLUICE_ENOTFOUND;
}

static HANDLE create_job(DWORD *ret_error) {
    HANDLE job = CreateJobObjectW(NULL, NULL);
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (job != NULL && SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits,
                                               sizeof(limits))) {
        return job;
    }
    *ret_error = GetLastError();
    if (job != NULL) {
        (void)CloseHandle(job);
    }
    return NULL;
}

/* Neither a path nor our endpoint has a quote or ends with a backslash. */
static bool command_line(const char *path, const char *endpoint, wchar_t *ret_path,
                         wchar_t *ret_line) {
    char line[PATH_CHARS];
    int length = snprintf(line, sizeof(line), "\"%s\" run --endpoint %s --private-for %lu", path,
                          endpoint, (unsigned long)GetCurrentProcessId());
    return length > 0 && (size_t)length < sizeof(line) && strchr(path, '"') == NULL &&
           MultiByteToWideChar(CP_UTF8, 0, line, -1, ret_line, PATH_CHARS) != 0 &&
           MultiByteToWideChar(CP_UTF8, 0, path, -1, ret_path, PATH_CHARS) != 0;
}

int client_launch_start(client_launch *launch, const char *path, const char *endpoint,
                        uint32_t *ret_os_error) {
    wchar_t line[PATH_CHARS];
    wchar_t wide[PATH_CHARS];
    if (!command_line(path, endpoint, wide, line)) {
        return SLUICE_ENAMETOOLONG;
    }
    DWORD error = 0;
    HANDLE job = create_job(&error);
    if (job == NULL) {
        *ret_os_error = error;
        return status_of(error);
    }
    STARTUPINFOW startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION process;
    if (!CreateProcessW(wide, line, NULL, NULL, FALSE, CREATE_SUSPENDED | CREATE_NO_WINDOW, NULL,
                        NULL, &startup, &process)) {
        error = GetLastError();
        (void)CloseHandle(job);
        *ret_os_error = error;
        return status_of(error);
    }
    if (!AssignProcessToJobObject(job, process.hProcess) ||
        ResumeThread(process.hThread) == (DWORD)-1) {
        error = GetLastError();
        (void)TerminateProcess(process.hProcess, 1);
    }
    (void)CloseHandle(process.hThread);
    if (error != 0) {
        (void)CloseHandle(process.hProcess);
        (void)CloseHandle(job);
        *ret_os_error = error;
        return status_of(error);
    }
    launch->process_id = process.dwProcessId;
    launch->os_process = (uint64_t)(uintptr_t)process.hProcess;
    launch->os_job = (uint64_t)(uintptr_t)job;
    return SLUICE_OK;
}

bool client_launch_has_ended(const client_launch *launch) {
    HANDLE process = (HANDLE)(uintptr_t)launch->os_process;
    return launch->process_id == 0 || WaitForSingleObject(process, 0) != WAIT_TIMEOUT;
}

void client_launch_stop(client_launch *launch, uint64_t grace_ns) {
    if (launch->process_id == 0) {
        return;
    }
    /* Nobody uses it any more, and it keeps nothing: the job ends it. */
    (void)CloseHandle((HANDLE)(uintptr_t)launch->os_job);
    HANDLE process = (HANDLE)(uintptr_t)launch->os_process;
    (void)WaitForSingleObject(process, (DWORD)(grace_ns / 1000000));
    (void)CloseHandle(process);
    *launch = (client_launch){0};
}

uint64_t client_launch_own_id(void) {
    return GetCurrentProcessId();
}

void client_launch_own_name(char *ret_name, size_t size) {
    wchar_t path[PATH_CHARS];
    DWORD length = GetModuleFileNameW(NULL, path, PATH_CHARS);
    const wchar_t *slash = length == 0 || length >= PATH_CHARS ? NULL : wcsrchr(path, L'\\');
    if (slash == NULL || WideCharToMultiByte(CP_UTF8, 0, slash + 1, -1, ret_name, (int)size, NULL,
                                             NULL) == 0) {
        (void)snprintf(ret_name, size, "program");
    }
}
